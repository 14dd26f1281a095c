"""The jobs of the predictions: "predictions.score" for all players, then "predictions.publish", which shows the run at once.

Nothing here imports a machine-learning library before a range is worked: web processes know the jobs as well.
"""

from collections.abc import Iterator
from typing import Any

from loyalty_site.common.jobs import Job, Pipeline, Scope, id_ranges, register
from predictions import training_jobs  # noqa: F401 - Celery finds tasks and jobs through this module

CHUNK_PLAYERS = 10_000
NOBODY = (0, 1)  # ids begin at 1
_players = id_ranges("players_player", chunk_size=CHUNK_PLAYERS)


def score_ranges(parameters: dict[str, Any]) -> Iterator[tuple[int, int]]:
    """A range without players first: it makes the run, for which the others would otherwise wait as long as a whole range takes.

    A run narrowed to single players scores nobody: a run is shown as a whole or not at all (`services.score_player` scores one).
    """
    if parameters.get("ids"):
        return
    yield NOBODY
    yield from _players(parameters)


def publish_ranges(parameters: dict[str, Any]) -> Iterator[tuple[int, int]]:
    if not parameters.get("ids"):
        yield NOBODY


def score(scope: Scope) -> dict[str, Any]:
    from predictions.scoring import score_range

    return score_range(scope.lower_id, scope.upper_id, scope.as_of)


def publish(scope: Scope) -> dict[str, Any]:
    from predictions.publishing import publish as publish_run

    return publish_run(scope.as_of)


register(Job("predictions.score", "Scores of all players", score, score_ranges))
register(Job("predictions.publish", "Publication of the scores", publish, publish_ranges))
register(Pipeline("predictions", "Predictions", ("predictions.score", "predictions.publish")))
