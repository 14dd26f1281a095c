"""Ending bonus grants, one or a hundred thousand, with the same statement. It gives exactly what `wallet.bonus` gives for one."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from loyalty_site.common.sql import id_array

from ..bonus import states
from ..bonus.closing import BREAKAGE_SUB, HOUSE_OF_END, SUB_OF_END
from ..bonus.states import Status
from ..locks import lock_bonus_of_grants
from ..models import House
from ..values import GRANT_SOURCE, PLATFORM_SOURCE

# A grant whose time is up. An open one waits for the rounds that were begun in time, but no longer than its grace.
DUE = """expires_at <= %(at)s::timestamptz AND (
    status IN ('OFFERED', 'QUEUED') OR open_bets = 0
    OR expires_at + coalesce((terms->>'settle_grace_hours')::integer, 24) * interval '1 hour' <= %(at)s::timestamptz)"""

# What a completed grant pays out of its money: `wallet.bonus.closing.release` in SQL (a NULL does not bound `least`).
_RELEASED = """least(
    balance + locked - CASE WHEN coalesce((terms->>'sticky')::boolean, false)
                            THEN least(balance + locked, greatest(0, principal - kept)) ELSE 0 END,
    greatest(CASE WHEN terms->>'cash_out_cap' IS NOT NULL THEN 0 END,
             trunc((terms->>'cash_out_cap')::numeric * principal)::bigint - released))"""

# One statement: entries take what is left, accounts go down by the same, grants close, events say why, pay-outs are put in the outbox.
# A grant without money closes without an entry. Several entries of one account get consecutive seq and balance_after.
_CLOSE_SQL = f"""
WITH ending AS MATERIALIZED (
    SELECT id, account_id, player_id, currency, balance, locked, status, expires_at, released AS paid_before, kept AS kept_before,
           -- a bonus of the platform's own engine is paid out by that engine
           CASE WHEN source_type = %(platform)s THEN left('user bonus ' || source_ref, 120) ELSE '' END AS paid_as,
           CASE WHEN %(releases)s::boolean THEN {_RELEASED} ELSE 0 END AS released
    FROM wallet_bonusgrant
    WHERE id = ANY(%(ids)s::bigint[]) AND status = ANY(%(sources)s::text[]) AND (NOT %(only_due)s::boolean OR ({DUE}))
), taken AS MATERIALIZED (
    SELECT parts.grant_id, parts.account_id, parts.house, parts.sub, parts.amount, parts.of_locked, parts.number,
           nextval('wallet_entry_id_seq') AS entry_id,
           account.version + parts.position AS seq, account.balance - parts.running AS balance_after
    FROM (
        SELECT ending.id AS grant_id, ending.account_id, part.number, part.house, part.sub, part.amount, part.of_locked,
               row_number() OVER in_order AS position, sum(part.amount) OVER in_order AS running
        FROM ending CROSS JOIN LATERAL (VALUES
            (1, %(house)s::text, %(sub)s::text, CASE WHEN %(releases)s::boolean THEN released ELSE balance + locked END,
             CASE WHEN %(releases)s::boolean THEN least(locked, released) ELSE locked END),
            (2, %(kept_house)s::text, %(kept_sub)s::text, CASE WHEN %(releases)s::boolean THEN balance + locked - released ELSE 0 END,
             CASE WHEN %(releases)s::boolean THEN locked - least(locked, released) ELSE 0 END)
        ) AS part(number, house, sub, amount, of_locked)
        WHERE part.amount > 0
        WINDOW in_order AS (PARTITION BY ending.account_id ORDER BY ending.expires_at, ending.id, part.number ROWS UNBOUNDED PRECEDING)
        ORDER BY ending.account_id, ending.expires_at, ending.id, part.number
    ) AS parts
    JOIN wallet_account AS account ON account.id = parts.account_id
), posted AS (
    INSERT INTO wallet_entry (id, account_id, house, amount, seq, balance_after, source_type, source_ref, source_sub,
                              reason, actor_id, occurred_at)
    SELECT entry_id, account_id, house, -amount, seq, balance_after, %(source_type)s, grant_id::text, sub,
           %(cause)s, %(actor)s::bigint, %(at)s::timestamptz
    FROM taken
), lowered AS (
    UPDATE wallet_account AS account
    SET balance = account.balance - sums.amount, version = account.version + sums.entries
    FROM (SELECT account_id, sum(amount) AS amount, count(*) AS entries FROM taken GROUP BY account_id) AS sums
    WHERE account.id = sums.account_id
), moved AS (
    INSERT INTO wallet_grantmovement (grant_id, entry_id, pocket, amount)
    SELECT grant_id, entry_id, pocket, -part FROM taken
    CROSS JOIN LATERAL (VALUES ('balance', amount - of_locked), ('locked', of_locked)) AS pockets(pocket, part) WHERE part > 0
), closed AS (
    UPDATE wallet_bonusgrant AS g
    SET status = %(status)s, balance = 0, locked = 0, closed_at = %(at)s::timestamptz, released = g.released + ending.released,
        kept = g.kept + CASE WHEN %(releases)s::boolean THEN ending.balance + ending.locked - ending.released ELSE 0 END
    FROM ending WHERE g.id = ending.id
), paid AS (
    INSERT INTO wallet_payoutinstruction (key, player_id, grant_id, entry_id, currency, amount, status, attempts, next_attempt_at,
                                          last_error, created_at, delivered_at, platform_ref)
    SELECT 'grant-' || ending.id || '-' || taken.sub, ending.player_id, ending.id, taken.entry_id, ending.currency, taken.amount,
           CASE WHEN paid_as = '' THEN 'PENDING' ELSE 'DELIVERED' END, 0, %(at)s::timestamptz, '', %(at)s::timestamptz,
           CASE WHEN paid_as <> '' THEN %(at)s::timestamptz END, paid_as
    FROM taken JOIN ending ON ending.id = taken.grant_id WHERE %(releases)s::boolean AND taken.number = 1
), told AS (
    INSERT INTO wallet_grantevent (grant_id, from_status, to_status, cause, detail, entry_id, actor_id, occurred_at)
    SELECT ending.id, ending.status, %(status)s, %(cause)s,
           %(detail)s::jsonb || jsonb_build_object(
               'money', (ending.balance + ending.locked)::text, 'released', (ending.paid_before + ending.released)::text,
               'kept', (ending.kept_before
                        + CASE WHEN %(releases)s::boolean THEN ending.balance + ending.locked - ending.released ELSE 0 END)::text),
           first.entry_id, %(actor)s::bigint, %(at)s::timestamptz
    FROM ending LEFT JOIN (SELECT DISTINCT ON (grant_id) grant_id, entry_id FROM taken ORDER BY grant_id, number) AS first
         ON first.grant_id = ending.id
    ORDER BY ending.id
)
SELECT (SELECT count(*) FROM ending), coalesce((SELECT sum(amount) FROM taken), 0),
       coalesce((SELECT array_agg(DISTINCT player_id) FROM ending), '{{}}')
"""


@dataclass(frozen=True, slots=True)
class Closing:
    """How grants end: the final status and why. What is left goes to the house code of that end; a completed grant releases first."""

    status: Status
    cause: str
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Closed:
    """What a closing did: grants ended, minor units taken from them, and the players whose products may be free now."""

    count: int = 0
    amount: int = 0
    player_ids: tuple[int, ...] = ()


COMPLETED = Closing(Status.COMPLETED, "wagering completed; the balance is released to cash")
NO_WAGERING = Closing(Status.COMPLETED, "no wagering required; the balance is released to cash")
LOST = Closing(Status.LOST, "less than the smallest bet is left and no round is open")
EXPIRED = Closing(Status.EXPIRED, "expired before the wagering was completed")
UNCLAIMED = Closing(Status.EXPIRED_UNCLAIMED, "not claimed or not started in time")


def sources(status: Status) -> list[str]:
    """The statuses from which the state machine lets a grant come to `status`; the SQL touches no other."""
    return sorted(before for before, after in states.TRANSITIONS.items() if before is not None and status in after)


def close_grants(
    grant_ids: Iterable[int], closing: Closing, *, at: datetime, actor_id: int | None = None, only_due: bool = False
) -> Closed:
    """End those of the grants that may come to the closing's status (with `only_due`: whose time is up at `at`), inside the caller's
    transaction. Grants that are closed already are left as they are, so a rerun does nothing. The queue is not looked at: `queue.end`.
    """
    ids = list(grant_ids)
    if not ids:
        return Closed()
    status = Status(closing.status)
    with transaction.atomic():
        lock_bonus_of_grants(ids)
        with connection.cursor() as cursor:
            cursor.execute(
                _CLOSE_SQL,
                {
                    "ids": id_array(ids),
                    "sources": sources(status),
                    "only_due": only_due,
                    "at": at,
                    "releases": status is Status.COMPLETED,
                    "house": House.PAYOUT if status is Status.COMPLETED else HOUSE_OF_END.get(status, House.FORFEIT),
                    "sub": SUB_OF_END.get(status, ""),
                    "kept_house": House.BREAKAGE,
                    "kept_sub": BREAKAGE_SUB,
                    "status": status,
                    "cause": closing.cause[:300],
                    "detail": json.dumps(closing.detail),
                    "source_type": GRANT_SOURCE,
                    "platform": PLATFORM_SOURCE,
                    "actor": actor_id,
                },
            )
            count, amount, player_ids = cursor.fetchone()
    return Closed(int(count), int(amount), tuple(player_ids))
