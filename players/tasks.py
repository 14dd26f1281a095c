"""The players' jobs. Each works a range of ids in one transaction and may run twice."""

from datetime import UTC, date, timedelta
from typing import Any

from django.db import connection

from loyalty_site.common.jobs import Job, Scope, id_ranges, register
from players.activity.days import TOUCHED_DAYS, create_touched_tables, refresh_days, utc_day
from players.feeds import tasks as feed_tasks  # noqa: F401 - Celery finds tasks through this module
from players.imports import tasks as import_tasks  # noqa: F401 - as above
from players.metrics import refresh_metrics
from players.segments import classify_segments

ROLLUP_DAYS = 3
REPAIR_DAYS = 35


def roll_up(scope: Scope) -> dict[str, Any]:
    """Recompute the roll-up of the last 3 days, and of every day of the last 35 whose row is missing or has nothing behind it.

    Ingest keeps the roll-up current by itself; this catches what was changed behind its back. `parameters["days"]` widens both
    windows (0: all days there are), which also applies a changed house edge to the past.
    """
    days = int(scope.parameters.get("days", ROLLUP_DAYS))
    today = scope.as_of.astimezone(UTC).date()
    recompute_from = today - timedelta(days=days - 1) if days > 0 else date.min
    check_from = today - timedelta(days=max(days, REPAIR_DAYS) - 1) if days > 0 else date.min
    with connection.cursor() as cursor:
        create_touched_tables(cursor)
        cursor.execute(
            _TOUCH,
            {"lower": scope.lower_id, "upper": scope.upper_id, "recompute_from": recompute_from, "check_from": check_from},
        )
        looked_at = cursor.rowcount
        return {"rows": looked_at, "changed": refresh_days(cursor)}


def _event_days(table: str, moment: str, condition: str = "true") -> str:
    # one index probe a player and table, whatever the length of the history before the window
    return f"""SELECT p.id AS player_id, e.day FROM players_player p CROSS JOIN LATERAL (
        SELECT DISTINCT {utc_day(moment)} AS day FROM {table}
        WHERE player_id = p.id AND {moment} >= %(check_from)s::timestamp AT TIME ZONE 'UTC' AND {condition}
    ) e WHERE p.id >= %(lower)s AND p.id < %(upper)s"""


_TOUCH = f"""
WITH event_day AS (
    {_event_days("players_payment", "occurred_at", "(status = 'COMPLETED' OR (kind = 'DEPOSIT' AND status = 'FAILED'))")}
    UNION {_event_days("players_playsession", "started_at")}
    UNION {_event_days("players_gameplay", "played_at")}
), stored AS (
    SELECT player_id, day FROM players_playerday
    WHERE player_id >= %(lower)s AND player_id < %(upper)s AND day >= %(check_from)s::date
)
INSERT INTO {TOUCHED_DAYS}
SELECT player_id, day FROM event_day e FULL JOIN stored s USING (player_id, day)
WHERE day >= %(recompute_from)s::date OR e.day IS NULL OR s.day IS NULL
"""


def measure_range(scope: Scope) -> dict[str, Any]:
    return {"rows": refresh_metrics(scope.lower_id, scope.upper_id, scope.as_of)}


def classify_range(scope: Scope) -> dict[str, Any]:
    return dict(classify_segments(scope.lower_id, scope.upper_id, scope.as_of, run_id=scope.run_id))


_players = id_ranges("players_player", chunk_size=5000)

register(Job("players.rollup", "Day roll-up", roll_up, _players))
register(Job("players.metrics", "Player metrics", measure_range, _players))
register(Job("players.segments", "Player segments", classify_range, _players))
