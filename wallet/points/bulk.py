"""The points of a credit stage: what must wait is set aside as pending lots, the rest gets a lot for each entry, and debts are paid.

`wallet.credit_stage` calls this inside its transaction, with the accounts of the stage locked.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.backends.utils import CursorWrapper

from wallet.errors import IdempotencyConflict
from wallet.lots import expires_at, pending_until

from . import policies
from .movements import Credited, pay_debts

_WAITING = "wallet_waiting_lines"

# Of the stage's points: lines whose unit waits, and lines whose source made a lot without entry before (it waits, or was cancelled).
# One index probe a line, as everywhere in the stage.
_FIND_WAITING = f"""
CREATE TEMP TABLE {_WAITING} ON COMMIT DROP AS
SELECT place, line_no, account_id, player_id, unit, amount_minor, source_type, source_ref, source_sub,
       known_lot IS NULL AND posted IS NULL AND row_number() OVER same_source = 1 AS fresh,
       (known_lot IS NOT NULL AND (lot_account <> account_id OR lot_qty <> amount_minor OR lot_house <> %(house)s))
       OR (posted IS NOT NULL AND (posted_account <> account_id OR posted_amount <> amount_minor OR posted_house <> %(house)s))
       OR made IS NOT NULL
       OR first_value(account_id) OVER same_source <> account_id
       OR first_value(amount_minor) OVER same_source <> amount_minor AS conflict
FROM (
    SELECT stage.ctid AS place, stage.line_no, account.id AS account_id, stage.player_id, stage.unit, stage.amount_minor,
           stage.source_type, stage.source_ref, coalesce(stage.source_sub, '') AS source_sub,
           lot.id AS known_lot, lot.account_id AS lot_account, lot.qty AS lot_qty, lot.house AS lot_house,
           entry.id AS posted, entry.account_id AS posted_account, entry.amount AS posted_amount, entry.house AS posted_house,
           made.id AS made
    FROM {{stage}} AS stage
    CROSS JOIN LATERAL (
        SELECT id FROM wallet_account WHERE player_id = stage.player_id AND unit = stage.unit AND currency = '' LIMIT 1
    ) AS account
    LEFT JOIN LATERAL (
        SELECT id, account_id, qty, house FROM wallet_lot
        WHERE source_ref = stage.source_ref AND source_type = stage.source_type AND source_sub = coalesce(stage.source_sub, '')
          AND entry_id IS NULL LIMIT 1
    ) AS lot ON true
    LEFT JOIN LATERAL (
        SELECT id, account_id, amount, house FROM wallet_entry
        WHERE source_ref = stage.source_ref AND source_type = stage.source_type AND source_sub = coalesce(stage.source_sub, '') LIMIT 1
    ) AS entry ON true
    LEFT JOIN LATERAL (
        SELECT id FROM wallet_bonusgrant
        WHERE source_ref = stage.source_ref AND source_type = stage.source_type AND source_sub = coalesce(stage.source_sub, '') LIMIT 1
    ) AS made ON true
    WHERE stage.unit IN ('LP', 'RP', 'TICKET') AND (lot.id IS NOT NULL OR stage.unit = ANY(%(waiting)s::text[]))
) AS line
WINDOW same_source AS (PARTITION BY source_ref, source_type, source_sub ORDER BY line_no)
"""
_KEEP_WAITING = f"""
INSERT INTO wallet_lot (account_id, player_id, qty, remaining, status, earned_at, available_at, house,
                        source_type, source_ref, source_sub)
SELECT line.account_id, line.player_id, line.amount_minor, line.amount_minor, 'PENDING', %(at)s, waits.until, %(house)s,
       line.source_type, line.source_ref, line.source_sub
FROM {_WAITING} AS line JOIN unnest(%(units)s::text[], %(untils)s::timestamptz[]) AS waits(unit, until) ON waits.unit = line.unit
WHERE line.fresh ORDER BY line.line_no
"""
_MAKE_LOTS = """
INSERT INTO wallet_lot (account_id, player_id, entry_id, qty, remaining, status, earned_at, available_at, expires_at, house,
                        source_type, source_ref, source_sub)
SELECT line.account_id, line.player_id, line.entry_id, line.amount_minor, line.amount_minor, 'ACTIVE', %(at)s, %(at)s, ends.at, %(house)s,
       line.source_type, line.source_ref, line.source_sub
FROM {lines} AS line JOIN unnest(%(units)s::text[], %(ends)s::timestamptz[]) AS ends(unit, at) ON ends.unit = line.unit
WHERE line.fresh ORDER BY line.entry_id
"""
_OF_OWING = """
SELECT lot.id, lot.entry_id, lot.qty
FROM (SELECT DISTINCT account_id FROM {lines} WHERE fresh AND unit IN ('LP', 'RP', 'TICKET')) AS credited
JOIN wallet_account AS account ON account.id = credited.account_id AND account.owed > 0
JOIN {lines} AS line ON line.account_id = account.id AND line.fresh
JOIN wallet_lot AS lot ON lot.entry_id = line.entry_id
ORDER BY lot.entry_id
"""


@dataclass(frozen=True, slots=True)
class SetAside:
    """Lines that became pending lots, lines that had done so before, and minor units kept waiting by unit."""

    kept: int = 0
    known: int = 0
    by_unit: dict[str, int] = field(default_factory=dict)


def set_waiting_aside(cursor: CursorWrapper, stage: str, *, house: str, at: datetime) -> SetAside:
    """Take the lines of points that must wait out of the stage and keep them as pending lots. Raises IdempotencyConflict."""
    untils = {unit: pending_until(policy, at) for unit, policy in policies.read_policies().items() if policy.pending_hours}
    if house not in policies.WAITING_HOUSES:
        untils = {}
    parameters: dict[str, Any] = {"house": house, "at": at, "waiting": list(untils), "units": list(untils), "untils": list(untils.values())}
    cursor.execute(f"DROP TABLE IF EXISTS pg_temp.{_WAITING}")
    cursor.execute(_FIND_WAITING.format(stage=stage), parameters)
    if cursor.rowcount == 0:
        return SetAside()
    cursor.execute(
        f"SELECT line_no, concat_ws(':', source_type, source_ref, nullif(source_sub, '')) FROM {_WAITING} "
        "WHERE conflict ORDER BY line_no LIMIT 5"
    )
    if conflicts := cursor.fetchall():
        raise IdempotencyConflict(
            "; ".join(f"line {line_no}: source {source} stands for points with other content" for line_no, source in conflicts)
        )
    cursor.execute(_KEEP_WAITING, parameters)
    cursor.execute(f"DELETE FROM {stage} AS stage USING {_WAITING} AS line WHERE stage.ctid = line.place")
    cursor.execute(
        f"SELECT unit, count(*) FILTER (WHERE fresh), count(*), coalesce(sum(amount_minor) FILTER (WHERE fresh), 0) "
        f"FROM {_WAITING} GROUP BY unit"
    )
    rows = cursor.fetchall()
    kept, lines = sum(row[1] for row in rows), sum(row[2] for row in rows)
    return SetAside(kept, lines - kept, {unit: int(minor) for unit, _, _, minor in rows if minor})


def make_lots(cursor: CursorWrapper, lines: str, *, house: str, at: datetime) -> None:
    """Make the lots of the posted lines, and let players who owe points pay from them, one entry a lot, after the batch's credits."""
    ends = {unit: expires_at(policy, at) for unit, policy in policies.read_policies().items()}
    cursor.execute(_MAKE_LOTS.format(lines=lines), {"house": house, "at": at, "units": list(ends), "ends": list(ends.values())})
    if cursor.rowcount:
        cursor.execute(_OF_OWING.format(lines=lines))
        pay_debts(cursor, [Credited(*row) for row in cursor.fetchall()], at=at)
