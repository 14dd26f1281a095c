"""Players with some months of activity, the same in every test."""

from datetime import datetime
from typing import Any

from constance import config
from django.db import connection

from loyalty_site.common import jobs
from loyalty_site.common.models import JobRun
from tests.factories import NOW

_FILL = (
    """INSERT INTO players_player (external_id, username, first_name, last_name, email, country, currency, language, registered_at,
           acquisition_channel, status, segment, risk_score, attributes, created_at, updated_at)
       SELECT 'S' || n, '', '', '', '', 'MT', CASE n %% 5 WHEN 0 THEN 'JPY' WHEN 1 THEN 'KWD' ELSE 'EUR' END, '',
           %(now)s - interval '300 days', '', 'ACTIVE', 'NEW', n %% 50, '{}', %(now)s, %(now)s FROM generate_series(1, %(players)s) n""",
    """CREATE TEMP TABLE busy AS SELECT p.id, p.currency, d FROM players_player p CROSS JOIN generate_series(1, 280) d
       CROSS JOIN LATERAL (SELECT substr(p.external_id, 2)::bigint AS n) own
       WHERE external_id LIKE 'S%%' AND ((hashint8(n * 37 + d) & 63) < n %% 7 OR (n = 5 AND d = 1))""",  # one came the day before NOW
    """INSERT INTO players_payment (player_id, external_id, kind, status, amount, method, instrument, occurred_at)
       SELECT id, 'd' || d, 'DEPOSIT', 'COMPLETED', CASE currency WHEN 'JPY' THEN 5000 WHEN 'KWD' THEN 12.345 ELSE 37.5 END
           * (1 + (d %% 3)), 'card', 'c' || id, %(now)s - d * interval '1 day' FROM busy WHERE d %% 2 = 0""",
    """INSERT INTO players_playsession (player_id, external_id, started_at, ended_at, device_id)
       SELECT id, 's' || d, %(now)s - d * interval '1 day', %(now)s - d * interval '1 day' + interval '20 minutes', 'dev' || id
       FROM busy""",
    "DROP TABLE busy",
)


def fill(players: int = 60) -> list[int]:
    """Players with sessions and deposits up to the day before NOW, rolled up. Returns their ids in order."""
    with connection.cursor() as cursor:
        for statement in _FILL:
            cursor.execute(statement, {"now": NOW, "players": players})
    jobs.execute(jobs.create_run("players.rollup", as_of=NOW, parameters={"days": 0}))
    config.PREDICTION_MIN_PLAYERS = 10
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM players_player WHERE external_id LIKE 'S%%' ORDER BY id")
        return [row[0] for row in cursor.fetchall()]


def run_job(name: str, as_of: datetime = NOW, **parameters: Any) -> JobRun:
    return jobs.execute(jobs.create_run(name, as_of=as_of, parameters=parameters))


def predict(as_of: datetime = NOW) -> JobRun:
    """Score and publish, as the night does."""
    run = run_job("predictions", as_of)
    assert run.status == JobRun.Status.SUCCEEDED, run.error
    return run
