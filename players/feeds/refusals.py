"""Rows that could not be taken: kept as they came, told again until they are taken or a person dismisses them.

The source is asked for a row only while its window lasts, so what is refused must not depend on being sent again. A row is tried again
after a quarter of an hour, then after twice as long each time, at least once a day. It is known by the hash of its content: sent twice
it is kept once, and a dismissed one stays dismissed however often it comes. What is closed keeps no cell.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import F, Q

from loyalty_site.common import audit
from loyalty_site.common.clock import require_utc
from players.feeds.sinks import Refused, Sink
from players.models import FeedRefusal

logger = logging.getLogger(__name__)

FIRST_PAUSE = timedelta(minutes=15)
LONGEST_PAUSE = timedelta(days=1)
CLOSED_KEPT = timedelta(days=90)
_BATCH = 500
_UNPUNCTUAL = timedelta(minutes=1)  # how much too early the schedule may be
_PAGE_LOCK = "players.feeds.refusals"
Open, Accepted, Dismissed = FeedRefusal.Status.OPEN, FeedRefusal.Status.ACCEPTED, FeedRefusal.Status.DISMISSED
Row = dict[str, Any]
_EMPTIED: dict[str, Any] = {"raw": {}, "reason": "", "remedy": ""}  # reasons quote cells


def digest_of(row: Row) -> str:
    return hashlib.sha256(json.dumps(row, ensure_ascii=False, sort_keys=True, default=str).encode()).hexdigest()


def take_page(resource: str, sink: Sink, page: list[Row], at: datetime, *, again: bool = False) -> int:
    """Let the sink take a page, keep what it refuses, and close what it now takes. Returns how many of its rows were refused.

    `again`: these are kept rows whose turn has come, so each that is refused once more waits longer; what the source repeats does not.
    """
    digests = [digest_of(row) for row in page]
    with _one_at_a_time():
        dismissed = set(_known(resource, digests, Dismissed))
        told = [(digest, row) for digest, row in zip(digests, page, strict=True) if digest not in dismissed]
        answer = sink([row for _, row in told], at)
        refused = {one.position: one for one in answer}
        # of a row that stands in the page several times, the last answer counts: the first may have waited for the row between them
        outcome = {digest: (row, refused.get(position)) for position, (digest, row) in enumerate(told)}
        with transaction.atomic():
            _keep(resource, {digest: (row, why) for digest, (row, why) in outcome.items() if why is not None}, at, again=again)
            taken = [digest for digest, (_, why) in outcome.items() if why is None]
            FeedRefusal.objects.filter(resource=resource, digest__in=taken, status=Open).update(
                status=Accepted, resolved_at=at, last_tried_at=at, attempts=F("attempts") + 1, **_EMPTIED
            )
    return len(answer)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Until a page is through nobody dismisses a row of it: what is dismissed was not taken, and what was taken is not dismissed."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [_PAGE_LOCK])
    try:
        yield
    finally:
        if connection.connection is not None and not connection.connection.closed:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [_PAGE_LOCK])


def try_again(resource: str, sink: Sink, at: datetime, on_batch: Callable[[], None] = lambda: None) -> int:
    """Tell the sink the open rows whose turn has come, in the order in which they were first refused. Returns how many it took now."""
    tried = taken = 0
    for batch in _due_batches(resource, at):
        tried += len(batch)
        taken += len(batch) - take_page(resource, sink, batch, at, again=True)
        on_batch()
    if tried:
        logger.info("players.feed_refusals_tried resource=%s tried=%s taken=%s", resource, tried, taken)
    return taken


def pause_after(attempts: int) -> timedelta:
    """How long a row waits after that many attempts, at least one: a quarter of an hour, twice as long each time, at most a day."""
    return min(FIRST_PAUSE * 2 ** min(attempts - 1, 16), LONGEST_PAUSE)


def forget(at: datetime) -> int:
    """Of rows closed 90 days before `at`, delete those that were taken; of dismissed ones keep the hash alone, by which they stay out.

    Returns how many rows were deleted.
    """
    old = FeedRefusal.objects.filter(resolved_at__lt=require_utc(at, "at") - CLOSED_KEPT)
    old.filter(status=Dismissed).exclude(note="").update(note="")
    return old.filter(status=Accepted).delete()[0]


def open_count(resource: str) -> int:
    return FeedRefusal.objects.filter(resource=resource, status=Open).count()


def dismiss(ids: Iterable[int], *, actor: User, at: datetime, reason: str) -> int:
    """Close open rows for good: they are never taken, not even when the source sends them again. Returns how many.

    Their content goes and its hash stays. Waits for a page that is being taken. Raises ValueError without a reason, or when none of them
    is open.
    """
    require_utc(at, "at")
    if not reason.strip():
        raise ValueError("Dismissing rows needs a reason. Say why they are not taken.")
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [_PAGE_LOCK])
        rows = list(FeedRefusal.objects.select_for_update().filter(pk__in=list(ids), status=Open).order_by("pk"))
        if not rows:
            raise ValueError("None of these rows is open. Reload the page and choose again.")
        closed = [row.pk for row in rows]
        FeedRefusal.objects.filter(pk__in=closed).update(
            status=Dismissed, resolved_at=at, resolved_by=actor, note=reason.strip(), **_EMPTIED
        )
        for resource in sorted({row.resource for row in rows}):
            mine = [row.pk for row in rows if row.resource == resource]
            audit.record(
                "players.feed_rows_dismissed",
                ("players.feedrefusal", resource),
                at=at,
                actor=actor,
                after={"count": len(mine), "rows": mine[:1000]},
                reason=reason,
            )
    return len(closed)


def _known(resource: str, digests: list[str], status: FeedRefusal.Status) -> Iterable[str]:
    return FeedRefusal.objects.filter(resource=resource, digest__in=digests, status=status).values_list("digest", flat=True)


def _due_batches(resource: str, at: datetime) -> Iterator[list[Row]]:
    due = Q()
    attempts = 1
    while pause_after(attempts) < LONGEST_PAUSE:
        due |= Q(attempts=attempts, last_tried_at__lte=at + _UNPUNCTUAL - pause_after(attempts))
        attempts += 1
    due |= Q(attempts__gte=attempts, last_tried_at__lte=at + _UNPUNCTUAL - LONGEST_PAUSE)
    waiting = FeedRefusal.objects.filter(due, resource=resource, status=Open).order_by("pk").values_list("pk", "raw")
    last = 0
    while rows := list(waiting.filter(pk__gt=last)[:_BATCH]):
        last = rows[-1][0]
        yield [raw for _, raw in rows]


def _keep(resource: str, rows: dict[str, tuple[Row, Refused]], at: datetime, *, again: bool) -> None:
    """Insert what is new, renew the reason of what is open where it changed. What took effect or was dismissed before stays so."""
    mine = FeedRefusal.objects.filter(resource=resource, digest__in=list(rows))
    known = {row.digest: row for row in mine.only("digest", "status", "field", "reason", "remedy")}
    FeedRefusal.objects.bulk_create(
        FeedRefusal(resource=resource, digest=digest, raw=row, first_refused_at=at, last_tried_at=at, **_words(why))
        for digest, (row, why) in rows.items()
        if digest not in known
    )
    for digest, kept in known.items():
        words = _words(rows[digest][1])
        if kept.status == Open and any(getattr(kept, name) != text for name, text in words.items()):
            FeedRefusal.objects.filter(pk=kept.pk).update(**words)
    if again:
        mine.filter(status=Open).update(attempts=F("attempts") + 1, last_tried_at=at)


def _words(why: Refused) -> dict[str, str]:
    return {"field": why.field[:120], "reason": why.reason, "remedy": why.remedy}
