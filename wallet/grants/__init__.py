"""Closing bonus grants, one or a hundred thousand, with the same few statements."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction

from ..locks import lock_accounts_of_grants
from ..models import GrantStatus, House
from ..values import GRANT_SOURCE

# One statement: entries take what is left, accounts go down by the same, grants close, events say why.
# A grant without money left closes without an entry. Several grants of one account get consecutive seq and balance_after.
_CLOSE_SQL = """
WITH open_grants AS MATERIALIZED (
    SELECT id, account_id, player_id, balance, status, expires_at
    FROM wallet_bonusgrant
    WHERE id = ANY(%(ids)s::bigint[]) AND status IN ('ACTIVE', 'WAGERING', 'PAUSED')
      AND (NOT %(only_due)s::boolean OR expires_at <= %(at)s::timestamptz)
), taken AS MATERIALIZED (
    SELECT grants.id AS grant_id, grants.account_id, grants.balance AS amount, nextval('wallet_entry_id_seq') AS entry_id,
           account.version + grants.position AS seq, account.balance - grants.running AS balance_after
    FROM (
        SELECT id, account_id, balance,
               row_number() OVER in_order AS position, sum(balance) OVER in_order AS running
        FROM open_grants WHERE balance > 0
        WINDOW in_order AS (PARTITION BY account_id ORDER BY expires_at, id ROWS UNBOUNDED PRECEDING)
    ) AS grants
    JOIN wallet_account AS account ON account.id = grants.account_id
), posted AS (
    INSERT INTO wallet_entry (id, account_id, house, amount, seq, balance_after, source_type, source_ref, source_sub,
                              reason, actor_id, occurred_at)
    SELECT entry_id, account_id, %(house)s, -amount, seq, balance_after, %(source_type)s, grant_id::text, %(sub)s,
           %(cause)s, %(actor)s::bigint, %(at)s::timestamptz
    FROM taken
), lowered AS (
    UPDATE wallet_account AS account
    SET balance = account.balance - sums.amount, version = account.version + sums.entries
    FROM (SELECT account_id, sum(amount) AS amount, count(*) AS entries FROM taken GROUP BY account_id) AS sums
    WHERE account.id = sums.account_id
), moved AS (
    INSERT INTO wallet_grantmovement (grant_id, entry_id, amount) SELECT grant_id, entry_id, -amount FROM taken
), closed AS (
    UPDATE wallet_bonusgrant AS g SET status = %(status)s, balance = 0, closed_at = %(at)s::timestamptz
    FROM open_grants WHERE g.id = open_grants.id
), told AS (
    INSERT INTO wallet_grantevent (grant_id, from_status, to_status, cause, entry_id, actor_id, occurred_at)
    SELECT open_grants.id, open_grants.status, %(status)s, %(cause)s, taken.entry_id, %(actor)s::bigint, %(at)s::timestamptz
    FROM open_grants LEFT JOIN taken ON taken.grant_id = open_grants.id
    ORDER BY open_grants.id
)
SELECT (SELECT count(*) FROM open_grants), coalesce((SELECT sum(amount) FROM taken), 0)
"""


@dataclass(frozen=True, slots=True)
class Closing:
    """How grants end: the final status, the house code that takes what is left, and why."""

    status: str
    house: str
    sub: str
    cause: str


COMPLETED = Closing(GrantStatus.COMPLETED, House.PAYOUT, "complete", "wagering completed; the balance is released to cash")
NO_WAGERING = Closing(GrantStatus.COMPLETED, House.PAYOUT, "complete", "no wagering required; the balance is released to cash")
EXPIRED = Closing(GrantStatus.EXPIRED, House.EXPIRY, "expire", "expired before the wagering was completed")


def close_grants(
    grant_ids: Sequence[int], closing: Closing, *, at: datetime, actor_id: int | None = None, only_due: bool = False
) -> tuple[int, int]:
    """Close those of the grants that are open (with `only_due`: and past their expiry at `at`), inside the caller's transaction.

    Returns (grants closed, minor units taken). Grants that are closed already are left as they are, so a rerun does nothing.
    """
    if not grant_ids:
        return 0, 0
    with transaction.atomic():
        lock_accounts_of_grants(grant_ids)
        with connection.cursor() as cursor:
            cursor.execute(
                _CLOSE_SQL,
                {
                    "ids": list(grant_ids),
                    "only_due": only_due,
                    "at": at,
                    "house": closing.house,
                    "status": closing.status,
                    "sub": closing.sub,
                    "cause": closing.cause,
                    "source_type": GRANT_SOURCE,
                    "actor": actor_id,
                },
            )
            closed, amount = cursor.fetchone()
    return int(closed), int(amount)


def expire_bonuses(*, at: datetime, lower_id: int, upper_id: int, chunk_size: int = 5000) -> int:
    """Expire the open grants of players `lower_id <= id < upper_id` whose time was up at `at`. Returns how many.

    Chunks of `chunk_size` grants bound memory and statement time. Safe to run twice and beside bets: accounts are locked and the
    grants' state is read again under the lock.
    """
    expired = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT id FROM wallet_bonusgrant WHERE status IN ('ACTIVE', 'WAGERING', 'PAUSED') "
                "AND player_id >= %s AND player_id < %s AND expires_at <= %s ORDER BY player_id, id LIMIT %s",
                [lower_id, upper_id, at, chunk_size],
            )
            due = [row[0] for row in cursor.fetchall()]
        if not due:
            return expired
        closed, _ = close_grants(due, EXPIRED, at=at, only_due=True)
        expired += closed
