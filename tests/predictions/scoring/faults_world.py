"""A process of its own, on the database of DATABASE_URL, that a test may kill.

`python -m tests.predictions.scoring.faults_world fill N` makes players and models; `... night` scores and publishes in ranges of 100
players, or goes on with the night that a killed process left behind.
"""

import sys

import django

RANGE = 100


def main(action: str, players: int = 0) -> None:
    from loyalty_site.common import jobs
    from loyalty_site.common.jobs import id_ranges
    from loyalty_site.common.models import JobRun
    from predictions import tasks
    from tests.factories import NOW
    from tests.predictions.scoring.models import all_champions
    from tests.predictions.scoring.world import fill

    if action == "fill":
        fill(players)
        all_champions()
        return
    tasks._players = tasks._many_players = id_ranges("players_player", chunk_size=RANGE)
    left = JobRun.objects.filter(name="predictions", status__in=["QUEUED", "RUNNING"]).first()
    jobs.execute(left or jobs.create_run("predictions", as_of=NOW))


if __name__ == "__main__":
    django.setup()
    main(sys.argv[1], *map(int, sys.argv[2:]))
