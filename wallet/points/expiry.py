"""Points that run out: one account before a debit, or everybody's by chunks, with the same statements."""

from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from loyalty_site.common.sql import id_array
from wallet.locks import lock_accounts, lock_accounts_of_lots
from wallet.lots import INACTIVITY
from wallet.models import Account

from . import policies
from .inactivity import postpone_ends
from .movements import LOT_SOURCE

# One statement: entries take what remains, accounts go down by the same, pairs are stored, lots close. Under the accounts' locks.
_EXPIRE = f"""
WITH due AS MATERIALIZED (
    SELECT id, account_id, remaining, expires_at FROM wallet_lot
    WHERE id = ANY(%(ids)s::bigint[]) AND status = 'ACTIVE' AND expires_at <= %(at)s
), taken AS MATERIALIZED (
    SELECT due.id AS lot_id, due.account_id, due.remaining AS amount, nextval('wallet_entry_id_seq') AS entry_id,
           account.version + row_number() OVER in_order AS seq,
           account.balance - sum(due.remaining) OVER in_order AS balance_after
    FROM due JOIN wallet_account AS account ON account.id = due.account_id
    WINDOW in_order AS (PARTITION BY due.account_id ORDER BY due.expires_at, due.id ROWS UNBOUNDED PRECEDING)
), posted AS (
    INSERT INTO wallet_entry (id, account_id, house, amount, seq, balance_after, source_type, source_ref, source_sub, reason, occurred_at)
    SELECT entry_id, account_id, 'expiry', -amount, seq, balance_after, '{LOT_SOURCE}', lot_id::text, 'expire', 'points ran out', %(at)s
    FROM taken ORDER BY entry_id
), lowered AS (
    UPDATE wallet_account AS account
    SET balance = account.balance - sums.amount, version = account.version + sums.entries
    FROM (SELECT account_id, sum(amount) AS amount, count(*) AS entries FROM taken GROUP BY account_id) AS sums
    WHERE account.id = sums.account_id
), used AS (
    INSERT INTO wallet_lotuse (lot_id, entry_id, amount) SELECT lot_id, entry_id, -amount FROM taken ORDER BY entry_id
), closed AS (
    UPDATE wallet_lot AS lot SET status = 'EXPIRED', remaining = 0, closed_at = %(at)s FROM taken WHERE lot.id = taken.lot_id
)
SELECT count(*) FROM taken
"""

_DUE_OF_ACCOUNT = "SELECT id FROM wallet_lot WHERE account_id = %(account)s AND status = 'ACTIVE' AND expires_at <= %(at)s"
_ENDING_ACCOUNTS = """
SELECT DISTINCT lot.account_id FROM wallet_lot AS lot JOIN wallet_account AS account ON account.id = lot.account_id
WHERE lot.status = 'ACTIVE' AND lot.expires_at <= %(ends)s AND lot.player_id >= %(lower)s AND lot.player_id < %(upper)s
  AND account.unit = %(unit)s AND lot.account_id > %(last)s
ORDER BY lot.account_id LIMIT %(limit)s
"""
_DUE = """
SELECT id FROM wallet_lot
WHERE status = 'ACTIVE' AND expires_at <= %(at)s AND player_id >= %(lower)s AND player_id < %(upper)s
ORDER BY expires_at, id LIMIT %(limit)s
"""


def expire_account(account: Account, at: datetime) -> int:
    """Expire what has ended of one locked account, inside the caller's transaction. Returns how many lots."""
    parameters: dict[str, Any] = {"account": account.pk, "at": at}
    with connection.cursor() as cursor:
        cursor.execute(_DUE_OF_ACCOUNT, parameters)
        due = [row[0] for row in cursor.fetchall()]
        if due and (policy := policies.current(account.unit)).expiry == INACTIVITY:
            postpone_ends(cursor, policy, unit=account.unit, account_ids=[account.pk], at=at, ends_before=at)
        if not due:
            return 0
        expired = _expire(cursor, due, at)
        if expired:
            account.refresh_from_db(fields=["balance", "version"])
    return expired


def expire_lots(*, at: datetime, lower_id: int, upper_id: int, chunk_size: int = 5000) -> int:
    """Expire the active lots of players `lower_id <= id < upper_id` that had ended at `at`. Returns how many.

    Chunks of `chunk_size` lots bound memory and statement time; each is a transaction of its own. Safe to run twice and beside debits:
    the accounts are locked and the lots read again under the locks. Never touches what was earned in all.
    """
    postpone(at=at, lower_id=lower_id, upper_id=upper_id, ends_before=at)
    expired = 0
    parameters: dict[str, Any] = {"at": at, "lower": lower_id, "upper": upper_id, "limit": chunk_size}
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_DUE, parameters)
            due = [row[0] for row in cursor.fetchall()]
            if not due:
                return expired
            lock_accounts_of_lots(due)
            expired += _expire(cursor, due, at)


def postpone(*, at: datetime, lower_id: int, upper_id: int, ends_before: datetime, chunk_size: int = 5000) -> int:
    """Where a unit ends by inactivity: move on the ends that lie at or before `ends_before` and are no longer right. Returns how many.

    Chunks of `chunk_size` accounts are transactions of their own.
    """
    moved = 0
    for unit, policy in policies.read_policies().items():
        last = 0
        while policy.expiry == INACTIVITY:
            with transaction.atomic(), connection.cursor() as cursor:
                parameters: dict[str, Any] = {"unit": unit, "lower": lower_id, "upper": upper_id, "ends": ends_before, "last": last}
                cursor.execute(_ENDING_ACCOUNTS, {**parameters, "limit": chunk_size})
                accounts = [row[0] for row in cursor.fetchall()]
                if not accounts:
                    break
                lock_accounts(accounts)
                moved += postpone_ends(cursor, policy, unit=unit, account_ids=accounts, at=at, ends_before=ends_before)
            last = accounts[-1]
    return moved


def _expire(cursor: CursorWrapper, lot_ids: list[int], at: datetime) -> int:
    cursor.execute(_EXPIRE, {"ids": id_array(lot_ids), "at": at})
    return int(cursor.fetchone()[0])
