"""The sweep that ends grants whose time is up."""

from datetime import datetime

from django.db import connection, transaction

from loyalty_site.common.clock import require_utc

from . import queue
from .closing import DUE, EXPIRED, UNCLAIMED, close_grants

# in ranges of players, so that every chunk locks accounts nobody else's chunk locks
_DUE_SQL = f"""
SELECT id FROM wallet_bonusgrant
WHERE status IN ('OFFERED', 'QUEUED', 'ACTIVE', 'WAGERING', 'PAUSED') AND player_id >= %(lower)s AND player_id < %(upper)s AND {DUE}
ORDER BY player_id, id LIMIT %(limit)s
"""


def expire_bonuses(*, at: datetime, lower_id: int, upper_id: int, chunk_size: int = 5000) -> int:
    """End the grants of players `lower_id <= id < upper_id` whose time was up at `at`; returns how many.

    Offers that were not claimed and grants that waited too long are EXPIRED_UNCLAIMED, open ones EXPIRED; those with open rounds stay
    until these settle, at most for their grace. The next ones in the queues begin. Chunks of `chunk_size` grants bound memory and
    statement time. Safe to run twice and beside bets: accounts are locked and the grants' state is read again under the lock.
    """
    at = require_utc(at)
    expired = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_DUE_SQL, {"at": at, "lower": lower_id, "upper": upper_id, "limit": chunk_size})
            due = [row[0] for row in cursor.fetchall()]
        if not due:
            return expired
        expired += _expire(due, at)


def _expire(due: list[int], at: datetime) -> int:
    with transaction.atomic():
        unclaimed = close_grants(due, UNCLAIMED, at=at, only_due=True)  # first: what waited too long must not begin now
        ended = close_grants(due, EXPIRED, at=at, only_due=True)
        queue.start_next(ended.player_ids, at=at)
    return unclaimed.count + ended.count
