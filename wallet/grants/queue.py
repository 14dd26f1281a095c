"""Beginning grants, and the queue behind them: one open grant per player and product, the others wait for their turn.

Whatever ends a grant goes through `end`, which lets the next one begin in the same transaction. A player who may be given nothing
(exclusion, harm) keeps the queue; the hourly job begins it when that is over.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from constance.utils import get_values_for_keys
from django.contrib.auth.models import User
from django.db import connection, transaction

from loyalty_site.common import audit
from loyalty_site.common.clock import require_utc
from loyalty_site.common.sql import id_array
from players.selectors import barred_players

from ..bonus.states import Status
from ..errors import GrantRefused
from ..locks import lock_bonus_of_grants, lock_bonus_of_players
from ..models import EARNING_HOUSES, BonusGrant
from .closing import LOST, NO_WAGERING, Closed, Closing, close_grants, sources

ACT_PERMISSION = "wallet.act_for_player"
NEXT = "next in the queue"
_LARGEST_INT = 2**31 - 1

# Credits the grants, with their own source and against the house code that they were given under, and opens them.
_START_SQL = """
WITH starting AS MATERIALIZED (
    SELECT g.id, g.account_id, g.status, g.principal, g.wagering_required, g.source_type, g.source_ref, g.source_sub, g.deposit,
           coalesce(made.detail->>'house', 'rewards') AS house, coalesce(made.detail->>'reason', '') AS reason, made.actor_id AS maker,
           CASE WHEN g.terms->>'kind' = 'free_spins' THEN coalesce((g.terms->>'spins')::integer, 0) ELSE 0 END AS spins,
           CASE WHEN g.terms->>'wagering_seconds' IS NULL THEN g.expires_at
                ELSE %(at)s::timestamptz + (g.terms->>'wagering_seconds')::bigint * interval '1 second' END AS ends_at
    FROM wallet_bonusgrant AS g
    LEFT JOIN LATERAL (SELECT detail, actor_id FROM wallet_grantevent WHERE grant_id = g.id ORDER BY id LIMIT 1) AS made ON true
    WHERE g.id = ANY(%(ids)s::bigint[]) AND g.status = ANY(%(sources)s::text[])
), credited AS MATERIALIZED (
    SELECT fresh.*, nextval('wallet_entry_id_seq') AS entry_id, account.version + fresh.position AS seq,
           account.balance + fresh.running AS balance_after
    FROM (
        SELECT *, row_number() OVER in_order AS position, sum(principal) OVER in_order AS running
        FROM starting WHERE principal > 0
        WINDOW in_order AS (PARTITION BY account_id ORDER BY id ROWS UNBOUNDED PRECEDING) ORDER BY account_id, id
    ) AS fresh JOIN wallet_account AS account ON account.id = fresh.account_id
), posted AS (
    INSERT INTO wallet_entry (id, account_id, house, amount, seq, balance_after, source_type, source_ref, source_sub,
                              reason, actor_id, occurred_at)
    SELECT entry_id, account_id, house, principal, seq, balance_after, source_type, source_ref, source_sub, reason,
           coalesce(%(actor)s::bigint, maker), %(at)s::timestamptz
    FROM credited
), raised AS (
    UPDATE wallet_account AS account
    SET balance = account.balance + sums.amount, version = account.version + sums.entries,
        earned_total = account.earned_total + sums.earned
    FROM (SELECT account_id, sum(principal) AS amount, count(*) AS entries,
                 coalesce(sum(principal) FILTER (WHERE house = ANY(%(earning)s::text[])), 0) AS earned
          FROM credited GROUP BY account_id) AS sums
    WHERE account.id = sums.account_id
), moved AS (
    INSERT INTO wallet_grantmovement (grant_id, entry_id, pocket, amount) SELECT id, entry_id, 'balance', principal FROM credited
), begun AS (
    UPDATE wallet_bonusgrant AS g
    SET status = 'ACTIVE', balance = starting.principal, spins_left = starting.spins, activated_at = %(at)s::timestamptz,
        expires_at = starting.ends_at
    FROM starting WHERE g.id = starting.id
), told AS (
    INSERT INTO wallet_grantevent (grant_id, from_status, to_status, cause, detail, entry_id, actor_id, occurred_at)
    SELECT starting.id, starting.status, 'ACTIVE', %(cause)s,
           jsonb_build_object('principal', starting.principal::text, 'deposit', starting.deposit::text,
                              'required', trim_scale(starting.wagering_required)::text, 'spins', starting.spins::text,
                              'expires_at', to_char(starting.ends_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')),
           credited.entry_id, %(actor)s::bigint, %(at)s::timestamptz
    FROM starting LEFT JOIN credited ON credited.id = starting.id ORDER BY starting.id
)
SELECT count(*) FROM starting
"""

# What ends in the moment it begins: nothing to wager, or less than the smallest bet on it.
_SPENT_AT_ONCE = """
SELECT id, wagering_required = 0 FROM wallet_bonusgrant
WHERE id = ANY(%s::bigint[]) AND status = 'ACTIVE' AND spins_left = 0
  AND (wagering_required = 0 AND balance > 0 OR balance + locked < coalesce((terms->>'min_bet')::bigint, 1))
ORDER BY id
"""

_HEADS = """
SELECT DISTINCT ON (waiting.player_id, waiting.product) waiting.id, waiting.player_id
FROM wallet_bonusgrant AS waiting
WHERE waiting.status = 'QUEUED' AND waiting.player_id = ANY(%(players)s::bigint[]) AND waiting.expires_at > %(at)s
  AND NOT EXISTS (
      SELECT FROM wallet_bonusgrant AS open WHERE open.player_id = waiting.player_id AND open.product = waiting.product
      AND open.status IN ('ACTIVE', 'WAGERING', 'PAUSED'))
ORDER BY waiting.player_id, waiting.product, waiting.queue_order, waiting.expires_at, waiting.id
"""


def queue_days() -> int:
    """How long a claimed bonus may wait behind another one of the same product."""
    return int(get_values_for_keys(["BONUS_QUEUE_DAYS"])["BONUS_QUEUE_DAYS"])


def start_grants(grant_ids: Iterable[int], *, at: datetime, cause: str, actor_id: int | None = None) -> int:
    """Open waiting grants and credit their money, in the caller's transaction; returns how many. Their products must be free.

    What has nothing to wager is completed at once, what cannot cover the smallest bet is lost at once: the product is free again then.
    """
    ids = list(grant_ids)
    if not ids:
        return 0
    with transaction.atomic():
        lock_bonus_of_grants(ids)
        with connection.cursor() as cursor:
            cursor.execute(
                _START_SQL,
                {
                    "ids": id_array(ids),
                    "sources": [one for one in sources(Status.ACTIVE) if one in ("OFFERED", "QUEUED")],
                    "at": at,
                    "cause": cause,
                    "actor": actor_id,
                    "earning": list(EARNING_HOUSES),
                },
            )
            started = int(cursor.fetchone()[0])
        close_spent(ids, at=at)
    return started


def close_spent(grant_ids: Iterable[int], *, at: datetime) -> None:
    """Close those of the grants, active since this moment, that have nothing to wager or nothing to play with."""
    with connection.cursor() as cursor:
        cursor.execute(_SPENT_AT_ONCE, [id_array(grant_ids)])
        rows = cursor.fetchall()
    close_grants([grant for grant, free in rows if free], NO_WAGERING, at=at)
    close_grants([grant for grant, free in rows if not free], LOST, at=at)


def start_next(player_ids: Iterable[int], *, at: datetime) -> int:
    """Begin the first queued grant of every product that is free at these players, as far as they may take up bonuses now.

    Returns how many began. In the caller's transaction; the players' bonus accounts must be locked.
    """
    started = 0
    players = sorted(set(player_ids))
    while players:
        with connection.cursor() as cursor:
            cursor.execute(_HEADS, {"players": id_array(players), "at": at})
            heads = cursor.fetchall()
        if not heads:
            break
        barred = barred_players([player for _, player in heads], at)
        heads = [(grant, player) for grant, player in heads if player not in barred]
        started += start_grants([grant for grant, _ in heads], at=at, cause=NEXT)
        players = sorted({player for _, player in heads})  # one that ended at once has freed its product again
    return started


def end(grant_ids: Iterable[int], closing: Closing, *, at: datetime, actor_id: int | None = None, only_due: bool = False) -> Closed:
    """End grants and let the next ones in their queues begin, in the caller's transaction. See `closing.close_grants`."""
    with transaction.atomic():
        closed = close_grants(grant_ids, closing, at=at, actor_id=actor_id, only_due=only_due)
        start_next(closed.player_ids, at=at)
    return closed


def activate_waiting(*, at: datetime, lower_id: int, upper_id: int, chunk_size: int = 5000) -> int:
    """Begin queued grants of players `lower_id <= id < upper_id` whose product is free; returns how many.

    For players who were barred when their last grant ended. Safe to run twice and beside anything else.
    """
    at = require_utc(at)
    started, last = 0, lower_id - 1
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT DISTINCT player_id FROM wallet_bonusgrant AS waiting WHERE status = 'QUEUED' AND player_id > %s AND player_id < %s "
                "AND expires_at > %s AND NOT EXISTS (SELECT FROM wallet_bonusgrant AS open WHERE open.player_id = waiting.player_id "
                "AND open.product = waiting.product AND open.status IN ('ACTIVE', 'WAGERING', 'PAUSED')) ORDER BY player_id LIMIT %s",
                [last, upper_id, at, chunk_size],
            )
            players = [row[0] for row in cursor.fetchall()]
        if not players:
            return started
        with transaction.atomic():
            lock_bonus_of_players(players)
            started += start_next(players, at=at)
        last = players[-1]


def move_in_queue(grant_id: int, queue_order: int, *, at: datetime, actor: User, reason: str = "") -> BonusGrant:
    """Give a queued grant another place: lower goes first, then the earlier end of waiting. Raises GrantRefused."""
    require_permission(actor, ACT_PERMISSION)
    if isinstance(queue_order, bool) or not isinstance(queue_order, int) or abs(queue_order) > _LARGEST_INT:
        raise GrantRefused(f"queue_order must be a whole number between -{_LARGEST_INT} and {_LARGEST_INT}, not {queue_order!r}")
    with transaction.atomic():
        grant = locked_grant(grant_id)
        if grant.status != Status.QUEUED:
            raise GrantRefused(
                f"bonus grant {grant_id} is {grant.get_status_display().lower()}; only queued ones have a place in the queue"
            )
        before = grant.queue_order
        grant.queue_order = queue_order
        grant.save(update_fields=["queue_order"])
        audit.record(
            "wallet.grant_moved_in_queue",
            grant,
            at=require_utc(at),
            actor=actor,
            before={"queue_order": before},
            after={"queue_order": queue_order},
            reason=reason,
        )
    return grant


def queue_position(grant: BonusGrant) -> int | None:
    """Place of a queued grant among those of its product, from 1; None when it is not queued."""
    if grant.status != Status.QUEUED:
        return None
    waiting = BonusGrant.objects.filter(player_id=grant.player_id, product=grant.product, status=Status.QUEUED)
    order = list(waiting.order_by("queue_order", "expires_at", "id").values_list("pk", flat=True))
    return order.index(grant.pk) + 1 if grant.pk in order else None


def locked_grant(grant_id: int) -> BonusGrant:
    """The grant as it is now, with its player's bonus accounts locked. Raises GrantRefused when there is none."""
    lock_bonus_of_grants([grant_id])
    grant = BonusGrant.objects.select_for_update().filter(pk=grant_id).first()
    if grant is None:
        raise GrantRefused(f"there is no bonus grant {grant_id}")
    return grant


def require_permission(actor: User | None, permission: str) -> None:
    """Raise GrantRefused unless the person (None: the player, or the operator's system) may do it."""
    if actor is not None and not (actor.is_active and actor.has_perm(permission)):
        raise GrantRefused(f"you may not do this; ask for the permission {permission}")


def record(action: str, grant: BonusGrant, before: str, *, at: datetime, actor: User | None, reason: str, **after: Any) -> None:
    """Audit what a person did to a grant; what the player did is told by the grant's own events."""
    if actor is not None:
        status = BonusGrant.objects.values_list("status", flat=True).get(pk=grant.pk)
        audit.record(action, grant, at=at, actor=actor, before={"status": before}, after={"status": status, **after}, reason=reason)
