"""Qualifying points by day, kept up to date from the ledger.

What counts: entries of loyalty points whose house code is an earning one, reversals included; spending, expiry and adjustments never
do. A reversal counts on the day of the entry that it reverses. Every account numbers its entries without gaps and under its lock, so
"the entries after the last one that was rolled up" misses none, however transactions overtake one another.
"""

from datetime import date
from typing import Any

from django.db import connection
from django.db.backends.utils import CursorWrapper

from loyalty_site.common.sql import id_array
from wallet.models import EARNING_HOUSES

_DAY = "(COALESCE(original.occurred_at, entry.occurred_at) AT TIME ZONE %(zone)s)::date"

_FRESH = f"""
SELECT due.player_id, {_DAY} AS day, sum(entry.amount)::bigint AS points
FROM due
JOIN LATERAL (
    SELECT amount, occurred_at, reversal_of_id FROM wallet_entry
    WHERE account_id = due.account_id AND seq > due.through AND house = ANY(%(houses)s) OFFSET 0
) AS entry ON true
LEFT JOIN LATERAL (SELECT occurred_at FROM wallet_entry WHERE id = entry.reversal_of_id LIMIT 1) AS original ON true
GROUP BY 1, 2
"""

_DUE = """
SELECT account.player_id, account.id AS account_id, account.version, COALESCE(mark.through_seq, 0) AS through
FROM wallet_account AS account LEFT JOIN rewards_qualifyingmark AS mark ON mark.player_id = account.player_id
WHERE {where} AND account.unit = 'LP' AND account.currency = '' AND account.version > COALESCE(mark.through_seq, 0)
"""

# one statement, so one snapshot: the account's version and its entries belong together
_ROLL_UP = f"""
WITH due AS MATERIALIZED ({_DUE}), fresh AS ({_FRESH}), days AS (
    INSERT INTO rewards_qualifyingday AS known (player_id, day, points) SELECT player_id, day, points FROM fresh ORDER BY player_id, day
    ON CONFLICT (player_id, day) DO UPDATE SET points = known.points + EXCLUDED.points
)
INSERT INTO rewards_qualifyingmark (player_id, through_seq, zone) SELECT player_id, version, %(zone)s FROM due ORDER BY player_id
ON CONFLICT (player_id) DO UPDATE SET through_seq = EXCLUDED.through_seq, zone = EXCLUDED.zone
"""

# the days of another zone are others: begin again
_OTHER_ZONE = "SELECT player_id FROM rewards_qualifyingmark AS mark WHERE {where} AND zone <> %(zone)s"


def roll_up(cursor: CursorWrapper, where: str, parameters: dict[str, Any], zone: str) -> int:
    """Bring the days of the players in `where` (on the column `player_id`) up to date; returns how many had new entries.

    The caller holds the players' rows, so that two runs do not add the same entries twice.
    """
    values = {**parameters, "zone": zone, "houses": [str(house.value) for house in EARNING_HOUSES]}
    cursor.execute(_OTHER_ZONE.format(where=where.format(column="mark.player_id")), values)
    if moved := [row[0] for row in cursor.fetchall()]:
        cursor.execute("DELETE FROM rewards_qualifyingday WHERE player_id = ANY(%s::bigint[])", [id_array(moved)])
        cursor.execute("DELETE FROM rewards_qualifyingmark WHERE player_id = ANY(%s::bigint[])", [id_array(moved)])
    cursor.execute(_ROLL_UP.format(where=where.format(column="account.player_id")), values)
    return int(cursor.rowcount)


def points_by_day(player_id: int, zone: str) -> dict[date, int]:
    """Qualifying hundredths of one player by day, to the last entry. Writes nothing: what is not rolled up yet is read as well."""
    parameters: dict[str, Any] = {"player": player_id, "zone": zone, "houses": [str(house.value) for house in EARNING_HOUSES]}
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH due AS MATERIALIZED (
                SELECT account.player_id, account.id AS account_id, COALESCE(mark.through_seq, 0) AS through
                FROM wallet_account AS account
                LEFT JOIN rewards_qualifyingmark AS mark ON mark.player_id = account.player_id AND mark.zone = %(zone)s
                WHERE account.player_id = %(player)s AND account.unit = 'LP' AND account.currency = ''
            ), fresh AS ({_FRESH})
            SELECT day, sum(points)::bigint FROM (
                SELECT day, points FROM fresh
                UNION ALL
                SELECT day.day, day.points FROM rewards_qualifyingday AS day
                JOIN rewards_qualifyingmark AS mark ON mark.player_id = day.player_id AND mark.zone = %(zone)s
                WHERE day.player_id = %(player)s
            ) AS known GROUP BY day
            """,
            parameters,
        )
        return dict(cursor.fetchall())
