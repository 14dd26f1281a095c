"""Which players, and the instant that counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from loyalty_site.common.clock import require_utc


def cut_of(as_of: datetime) -> datetime:
    """The instant that features end at and labels begin with: the midnight (UTC) that begins the day of `as_of`."""
    return require_utc(as_of, "as_of").replace(hour=0, minute=0, second=0, microsecond=0)


@dataclass(frozen=True)
class Scope:
    """`condition` is SQL with {id} for the column that holds the player's id."""

    condition: str
    parameters: dict[str, Any]

    def on(self, column: str) -> str:
        return self.condition.format(id=column)


def range_scope(lower_id: int, upper_id: int) -> Scope:
    """Players from `lower_id` to before `upper_id`."""
    return Scope("{id} >= %(lower)s AND {id} < %(upper)s", {"lower": int(lower_id), "upper": int(upper_id)})


def ids_scope(player_ids: Sequence[int]) -> Scope:
    return Scope("{id} = ANY(%(ids)s)", {"ids": [int(one) for one in player_ids]})


def instants(cut: datetime) -> dict[str, Any]:
    """Parameters of every query: the cut as an instant and as a day, and the starts of the windows before it."""
    windows = {f"from_{days}": cut - timedelta(days=days) for days in (90, 365)}
    return {"cut": cut, "today": cut.date(), **windows}


def known_sql(scope: Scope) -> str:
    """CTEs `statement` (latest totals before the cut) and `known(player_id, currency, registered_on)`: who was there before the cut."""
    return f"""
    statement AS (
        SELECT DISTINCT ON (player_id) player_id, (as_of AT TIME ZONE 'UTC')::date AS day, total_deposited, total_wagered
        FROM players_activitytotals WHERE {scope.on("player_id")} AND as_of < %(cut)s ORDER BY player_id, as_of DESC
    ), known AS (
        SELECT p.id AS player_id, p.currency,
            CASE WHEN p.registered_at < %(cut)s THEN (p.registered_at AT TIME ZONE 'UTC')::date END AS registered_on
        FROM players_player p WHERE {scope.on("p.id")} AND (
            p.registered_at < %(cut)s
            OR EXISTS (SELECT 1 FROM players_playerday e WHERE e.player_id = p.id AND e.day < %(today)s)
            OR EXISTS (SELECT 1 FROM statement t WHERE t.player_id = p.id)
        )
    )"""
