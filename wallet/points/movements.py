"""What debits and reversals write: uses of lots, and payments of debts. Everything here runs under the account's lock."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.backends.utils import CursorWrapper

from loyalty_site.common.sql import id_array
from wallet.errors import WalletError
from wallet.lots import Held, Part
from wallet.models import Entry, Lot

LOT_SOURCE = "wallet.lot"  # postings that the wallet itself causes: expiry, debts, reinstatement
_FIRST_LOTS = 64  # of most accounts the first few lots cover any spend

_USE = """
WITH part AS (
    SELECT * FROM unnest(%(lots)s::bigint[], %(amounts)s::bigint[]) AS part(lot_id, amount)
), used AS (
    INSERT INTO wallet_lotuse (lot_id, entry_id, amount) SELECT lot_id, %(entry)s, amount FROM part ORDER BY lot_id
)
UPDATE wallet_lot AS lot SET
    remaining = lot.remaining + part.amount,
    status = CASE WHEN lot.remaining + part.amount > 0 THEN 'ACTIVE' ELSE %(emptied)s END,
    closed_at = CASE WHEN lot.remaining + part.amount > 0 THEN NULL ELSE %(at)s::timestamptz END
FROM part WHERE lot.id = part.lot_id
"""

# The player's debt is paid from what was just credited: one entry a lot, after all that was posted before.
_PAY_DEBTS = f"""
WITH credited AS MATERIALIZED (
    SELECT lot.id AS lot_id, lot.account_id, credit.entry_id, account.owed, account.version, account.balance,
           least(credit.amount, lot.remaining) AS amount,
           coalesce(sum(least(credit.amount, lot.remaining)) OVER (
               PARTITION BY lot.account_id ORDER BY credit.entry_id, lot.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
    FROM unnest(%(lots)s::bigint[], %(entries)s::bigint[], %(amounts)s::bigint[]) AS credit(lot_id, entry_id, amount)
    JOIN wallet_lot AS lot ON lot.id = credit.lot_id
    JOIN wallet_account AS account ON account.id = lot.account_id
    WHERE account.owed > 0 AND lot.remaining > 0
), paid AS MATERIALIZED (
    SELECT lot_id, account_id, entry_id, least(amount, owed - before) AS amount, nextval('wallet_entry_id_seq') AS paid_by,
           version + row_number() OVER in_order AS seq,
           balance - sum(least(amount, owed - before)) OVER in_order AS balance_after
    FROM credited WHERE before < owed
    WINDOW in_order AS (PARTITION BY account_id ORDER BY entry_id, lot_id ROWS UNBOUNDED PRECEDING)
), posted AS (
    INSERT INTO wallet_entry (id, account_id, house, amount, seq, balance_after, source_type, source_ref, source_sub, reason, occurred_at)
    SELECT paid_by, account_id, 'debt', -amount, seq, balance_after, '{LOT_SOURCE}', lot_id::text, 'debt:' || entry_id,
           'pays what the player owes', %(at)s FROM paid ORDER BY paid_by
), lowered AS (
    UPDATE wallet_account AS account
    SET balance = account.balance - sums.amount, version = account.version + sums.entries, owed = account.owed - sums.amount
    FROM (SELECT account_id, sum(amount) AS amount, count(*) AS entries FROM paid GROUP BY account_id) AS sums
    WHERE account.id = sums.account_id
), used AS (
    INSERT INTO wallet_lotuse (lot_id, entry_id, amount) SELECT lot_id, paid_by, -amount FROM paid ORDER BY paid_by
)
UPDATE wallet_lot AS lot SET
    remaining = lot.remaining - paid.amount,
    status = CASE WHEN lot.remaining > paid.amount THEN 'ACTIVE' ELSE 'SPENT' END,
    closed_at = CASE WHEN lot.remaining > paid.amount THEN NULL ELSE %(at)s::timestamptz END
FROM paid WHERE lot.id = paid.lot_id
"""


@dataclass(frozen=True, slots=True)
class Credited:
    """What was credited to a lot by an entry, and may be used to pay a debt."""

    lot_id: int
    entry_id: int
    amount: int


def use_lots(entry_id: int, parts: Iterable[Part], *, sign: int, at: datetime, emptied: str = Lot.Status.SPENT) -> None:
    """Store that the entry took the parts from their lots (`sign` -1) or gave them back (+1). A lot without rest becomes `emptied`."""
    parts = list(parts)
    if not parts:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            _USE,
            {
                "lots": id_array(part.lot_id for part in parts),
                "amounts": id_array(sign * part.amount for part in parts),
                "entry": entry_id,
                "emptied": str(emptied),
                "at": at,
            },
        )
        if cursor.rowcount != len(parts):
            raise WalletError(f"entry {entry_id} uses a lot that does not exist; run reconcile")


def pay_debts(cursor: CursorWrapper, credits: Sequence[Credited], *, at: datetime) -> None:
    """Let every account that owes points pay from what was just credited. The accounts are locked; those without a debt are passed over."""
    if credits:
        cursor.execute(
            _PAY_DEBTS,
            {
                "lots": id_array(one.lot_id for one in credits),
                "entries": id_array(one.entry_id for one in credits),
                "amounts": id_array(one.amount for one in credits),
                "at": at,
            },
        )


def active_lots(account_id: int, *, until_sum: int | None = None) -> list[Held]:
    """The active lots of a locked account in the order of spending; with `until_sum` as many as are sure to cover it, if all do."""
    found = (
        Lot.objects.filter(account_id=account_id, status=Lot.Status.ACTIVE)
        .order_by("expires_at", "earned_at", "id")  # PostgreSQL puts NULL, never, last
        .values_list("id", "remaining", "earned_at", "expires_at")
    )
    if until_sum is not None:
        first = [Held(*row) for row in found[:_FIRST_LOTS]]
        if len(first) < _FIRST_LOTS or sum(lot.remaining for lot in first) >= until_sum:
            return first
    return [Held(*row) for row in found]


def lot_of(entry: Entry) -> Lot | None:
    """The lot that the entry made."""
    return Lot.objects.filter(entry_id=entry.pk).first()
