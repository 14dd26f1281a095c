"""Points that end by inactivity: each activity that counts moves the end of all lots of the player on."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.backends.utils import CursorWrapper

from loyalty_site.common.sql import id_array
from wallet.lots import Policy
from wallet.models import EARNING_HOUSES, PointsPolicy

from .policies import ends_of_days

# The last instant of each kind of activity at or before the given one. A day of play is known by its day (UTC) only: its last instant
# counts, which can be at most a day too kind. All are single look-ups in an index by player.
ACTIVITIES: dict[str, str] = {
    "bet": """
        greatest(
            (SELECT least((day + 1)::timestamp AT TIME ZONE 'UTC' - interval '1 microsecond', %(at)s) FROM players_playerday
             WHERE player_id = holder.player_id AND rounds > 0 AND day <= (%(at)s::timestamptz AT TIME ZONE 'UTC')::date
             ORDER BY day DESC LIMIT 1),
            (SELECT occurred_at FROM wallet_wagerevent
             WHERE player_id = holder.player_id AND kind = 'BET' AND occurred_at <= %(at)s ORDER BY occurred_at DESC LIMIT 1))
    """,
    "deposit": """
        (SELECT occurred_at FROM players_payment
         WHERE player_id = holder.player_id AND kind = 'DEPOSIT' AND status = 'COMPLETED' AND occurred_at <= %(at)s
         ORDER BY occurred_at DESC LIMIT 1)
    """,
    "session": """
        (SELECT started_at FROM players_playsession
         WHERE player_id = holder.player_id AND started_at <= %(at)s ORDER BY started_at DESC LIMIT 1)
    """,
    "earn": f"""
        (SELECT max(earned_at) FROM wallet_lot
         WHERE account_id = holder.account_id AND player_id = holder.player_id AND status <> 'CANCELLED' AND earned_at <= %(at)s
           AND house IN ({", ".join(f"'{house}'" for house in EARNING_HOUSES)}))
    """,
}

_HOLDERS = """
WITH holder AS MATERIALIZED (
    SELECT DISTINCT lot.account_id, lot.player_id FROM wallet_lot AS lot JOIN wallet_account AS account ON account.id = lot.account_id
    WHERE lot.account_id = ANY(%(accounts)s::bigint[]) AND account.unit = %(unit)s AND lot.status = 'ACTIVE'
      AND lot.expires_at <= %(ends_before)s
), since AS MATERIALIZED (
    SELECT lot.id, (greatest(lot.available_at, {last}) AT TIME ZONE %(zone)s)::date AS day
    FROM holder JOIN wallet_lot AS lot ON lot.account_id = holder.account_id
    WHERE lot.status = 'ACTIVE' AND lot.expires_at IS NOT NULL
)
"""
_DAYS = _HOLDERS + "SELECT DISTINCT day FROM since"
_MOVE = (
    _HOLDERS
    + """
UPDATE wallet_lot AS lot SET expires_at = ends.at, warned_at = NULL
FROM since JOIN unnest(%(days)s::date[], %(ends)s::timestamptz[]) AS ends(day, at) ON ends.day = since.day
WHERE lot.id = since.id AND lot.status = 'ACTIVE' AND ends.at > lot.expires_at
"""
)
_LAST = "SELECT {last} FROM (SELECT %(account)s::bigint AS account_id, %(player)s::bigint AS player_id) AS holder"


def postpone_ends(
    cursor: CursorWrapper, policy: Policy, *, unit: str, account_ids: Iterable[int], at: datetime, ends_before: datetime
) -> int:
    """Move the ends of all active lots of those of the (locked) accounts that have one ending by `ends_before` to what the last activity
    before `at` says.

    An end moves on only, never back, and one that has moved is to be warned of anew. Returns how many lots moved.
    """
    parameters: dict[str, Any] = {"unit": unit, "at": at, "ends_before": ends_before, "zone": policy.zone}
    parameters["accounts"] = id_array(account_ids)
    last = _last(unit)
    cursor.execute(_DAYS.format(last=last), parameters)
    days, ends = ends_of_days(policy, (row[0] for row in cursor.fetchall()))
    if not days:
        return 0
    cursor.execute(_MOVE.format(last=last), {**parameters, "days": list(days), "ends": list(ends)})
    return int(cursor.rowcount)


def last_activity(cursor: CursorWrapper, *, unit: str, account_id: int, player_id: int, at: datetime) -> datetime | None:
    """The last activity of a player that counts for the unit, at or before `at`."""
    cursor.execute(_LAST.format(last=_last(unit)), {"account": account_id, "player": player_id, "at": at})
    found: datetime | None = cursor.fetchone()[0]
    return found


def _last(unit: str) -> str:
    """The expression for the last activity that the unit's policy lists; NULL when it lists none."""
    kinds = PointsPolicy.objects.values_list("qualifying", flat=True).get(unit=unit)
    return f"greatest({', '.join(ACTIVITIES[kind] for kind in kinds)})" if kinds else "NULL::timestamptz"
