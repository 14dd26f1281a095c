"""Pull the operator's API: a window of time per resource, through the same checks and merge as an uploaded file.

The window begins a little before the cursor (late rows) or, at first, seven days back, and ends now. It is taken in slices of a day at
most (`windows`), and the cursor moves when everything of a slice has been taken in. So a source that fails, a worker that dies or a page
that cannot be read costs the repetition of one slice: what was taken before is recognised and changes nothing. When the source is down
the last good data stay as they are; `freshness` tells their age.
"""

import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, Max, OuterRef

from loyalty_site.common.clock import require_utc, utc_now
from loyalty_site.common.errors import error_location, error_text
from loyalty_site.common.jobs import overlap_lock
from players.feeds import refusals, runs
from players.feeds.client import FeedClient, FeedDeferred, FeedError, FeedSource, WindowTooLarge
from players.feeds.columns import FILE_PREFIX, KINDS, read_as
from players.feeds.freshness import fetched_resources
from players.feeds.sinks import Sink, sink_of
from players.feeds.spool import flatten, spooled
from players.feeds.windows import take_in_slices
from players.imports import services as imports
from players.imports.checking import limits
from players.imports.problems import ImportRefused
from players.models import FeedState, ImportJob, QuarantinedRow

logger = logging.getLogger(__name__)

# players first: the rest names them
RESOURCES = ("players", "deposits", "logs", "bonuses")
_TOO_LARGE = frozenset({"too_many_rows", "file_too_large"})
_Status = ImportJob.Status


@dataclass
class Pulled:
    """What one pull of one resource did: rows that came, rows set aside or refused of them. `error` is empty when it succeeded; what it had
    taken before stays."""

    resource: str
    rows: int = 0
    rejected: int = 0
    import_id: int | None = None
    error: str = ""
    deferred_until: datetime | None = field(default=None, repr=False)


def source_from_settings() -> FeedSource | None:
    """The operator's API as configured; None when no address is set."""
    if not settings.FEED_URL:
        return None
    return FeedSource(
        url=settings.FEED_URL,
        authorization=settings.FEED_AUTH,
        page_size=settings.FEED_PAGE_SIZE,
        timeout=settings.FEED_TIMEOUT_SECONDS,
        attempts=settings.FEED_ATTEMPTS,
        parameters=dict(settings.FEED_PARAMETERS),
    )


def pull_all(at: datetime, client: FeedClient | None = None, run_id: int | None = None) -> list[Pulled]:
    """Pull every configured resource, one after the other; one that fails does not keep the others from trying.

    `run_id` names the run that staff asked for; nothing is done when another worker has taken it up. Returns an empty list then, and when
    no source is configured. Raises JobOverlap when another pull is under way.
    """
    at = require_utc(at, "at")
    if client is None:
        source = source_from_settings()
        if source is None:
            with overlap_lock(runs.PULL_LOCK):
                runs.close_unfetchable(at)
                refusals.forget(at)
            return []
        client = FeedClient(source)
    with overlap_lock(runs.PULL_LOCK):
        run = runs.begin(at, run_id)
        if run is None:
            return []
        resources = [one for one in RESOURCES if one in fetched_resources()]
        for one in resources:
            FeedState.objects.get_or_create(resource=one, defaults={"first_asked_at": at})
        _cancel_unwritten(at)
        refusals.forget(at)
        progress = runs.Progress(run, len(resources))
        done = [_pull(one, at, client, progress) for one in resources]
        runs.finish(run, {one.resource: one.error for one in done if one.error})
        return done


def _pull(resource: str, at: datetime, client: FeedClient, progress: runs.Progress) -> Pulled:
    """Pull one resource up to `at` and record how it went. A failure is an answer, not an exception."""
    progress.resource(resource)
    state = FeedState.objects.get(resource=resource)
    done = Pulled(resource)
    since = (state.cursor_at or at - timedelta(days=settings.FEED_WINDOW_DAYS)) - timedelta(minutes=settings.FEED_OVERLAP_MINUTES)

    def take(start: datetime, end: datetime) -> None:
        _take_slice(done, start, end, at, client, progress)
        FeedState.objects.filter(pk=state.pk).update(cursor_at=max(state.cursor_at or end, end))
        progress.until(end, since, at)

    try:
        if resource not in KINDS:
            refusals.try_again(resource, _sink(resource), at, progress.alive)
        _respect_patience(client.now())
        take_in_slices(since, at, take)
    except FeedDeferred as error:
        done.error, done.deferred_until = str(error), error.until
    except (FeedError, ImportRefused) as error:
        done.error = str(error)
    except Exception as error:  # recorded for staff with its kind; where it was goes to the log, and the next resource has its turn
        logger.error("players.feed_failed resource=%s error=%s\n%s", resource, error_text(error, handles_rows=True), error_location(error))
        done.error = f"stopped by {type(error).__name__}; an administrator finds the details in the log"
    _record(state.pk, done, at)
    logger.info("players.feed_pulled resource=%s rows=%s rejected=%s ok=%s", resource, done.rows, done.rejected, not done.error)
    return done


def _respect_patience(now: datetime) -> None:
    """A source that asked for patience at any of its resources is asked for none before that is over."""
    until = FeedState.objects.filter(ask_not_before__gt=now).aggregate(latest=Max("ask_not_before"))["latest"]
    if until is not None:
        raise FeedDeferred(
            f"the source asked to be left alone until {until:%Y-%m-%d %H:%M:%S} UTC; the first fetch after that asks again", until
        )


def _record(state_id: int, done: Pulled, at: datetime) -> None:
    with transaction.atomic():
        state = FeedState.objects.select_for_update().get(pk=state_id)
        state.last_attempt_at = at
        if done.deferred_until is not None or not done.error:  # what failed for another reason never asked the source
            state.ask_not_before = done.deferred_until
        if done.error:
            state.failing_since = state.failing_since or at
            state.failures = F("failures") + 1
            state.last_error = done.error
        else:
            state.last_success_at = at
            state.failing_since = None
            state.failures = 0
            state.last_error = ""
            state.last_rows, state.last_rejected = done.rows, done.rejected
        if done.import_id is not None:
            state.last_import_id = done.import_id
        state.save()


def _take_slice(done: Pulled, start: datetime, end: datetime, at: datetime, client: FeedClient, progress: runs.Progress) -> None:
    """Take everything from `start` to `end` and add its figures to `done`. Raises FeedError; WindowTooLarge asks for a shorter slice."""
    path = settings.FEED_PATHS[done.resource]
    part = Pulled(done.resource)
    counted = progress.count
    pages = _counted(client.pages(path, start, end), progress)
    try:
        if done.resource in KINDS:
            _into_import(part, pages, at, lambda: _headers(client.pages(path, end, at), progress) if end < at else ())
        else:
            sink = _sink(done.resource)
            for page in pages:
                part.rejected += refusals.take_page(done.resource, sink, page, at)
                part.rows += len(page)
    except WindowTooLarge:
        progress.take_back(counted)  # the shorter slices count these rows
        raise
    finally:
        done.import_id = part.import_id or done.import_id
    done.rows += part.rows
    done.rejected += part.rejected


def _counted(pages: Iterable[list[dict[str, Any]]], progress: runs.Progress) -> Iterator[list[dict[str, Any]]]:
    for page in pages:
        progress.rows(len(page))
        yield page


def _headers(pages: Iterable[list[dict[str, Any]]], progress: runs.Progress) -> Iterator[list[str]]:
    """The headers of pages that are looked at and not taken yet."""
    for page in pages:
        progress.alive()
        yield list(dict.fromkeys(name for row in page for name in flatten(row)))


def _sink(resource: str) -> Sink:
    sink = sink_of(resource)
    if sink is None:
        raise FeedError(f"nothing in this installation takes {resource}; remove it from LOYALTY_FEED_PATHS")
    return sink


def _into_import(done: Pulled, pages: Iterable[list[dict[str, Any]]], at: datetime, later: Callable[[], Iterable[Iterable[str]]]) -> None:
    with tempfile.TemporaryDirectory(prefix="feed-") as folder:
        path = Path(folder) / f"{done.resource}.csv"
        with spooled(pages, path, limits()) as spool:
            if not spool.rows:
                return
            reading = read_as(done.resource, spool.headers, later)
            spool.write_csv(reading.empty)
        name = f"{FILE_PREFIX}{done.resource}-{at:%Y%m%d-%H%M%S}.csv"
        try:
            with path.open("rb") as file:
                job = imports.create_import(file=file, file_name=name, at=at, kind=reading.kind, mapping=reading.mapping)
        except ImportRefused as refused:
            _refuse_size(refused.code, refused.message)
            raise
    done.import_id = job.pk
    job = imports.check_import(job.pk, at=utc_now())
    if job.status == _Status.PREVIEW:
        job = imports.apply_import(job.pk, at=utc_now())
    if job.status != _Status.DONE:
        _refuse_size(job.result.get("error", {}).get("code", ""), job.error)
        raise FeedError(f"import {job.pk} ended as {job.get_status_display()}: {job.error}")
    done.rows += spool.rows
    done.rejected += _newly_set_aside(job)


def _refuse_size(code: str, message: str) -> None:
    if code in _TOO_LARGE:
        raise WindowTooLarge(message.rstrip("."))


def _cancel_unwritten(at: datetime) -> None:
    """Imports of a pull that was killed before they were written: their slice is asked for again, so nobody needs them."""
    ours = ImportJob.objects.filter(file_name__startswith=FILE_PREFIX, requested_by__isnull=True, api_client__isnull=True)
    for job in ours.filter(status__in=[_Status.UPLOADED, _Status.CHECKING, _Status.PREVIEW]):
        with suppress(ImportRefused):  # somebody confirmed it meanwhile
            imports.cancel_import(job.pk, at=at, actor=None)


def _newly_set_aside(job: ImportJob) -> int:
    """Windows overlap, so a faulty row comes again until the source corrects it: forget those that an earlier pull set aside already.

    Only rows of an import that was written count as set aside before: those of one that failed or was cancelled were closed with it.
    """
    earlier = QuarantinedRow.objects.filter(
        job__file_name__startswith=FILE_PREFIX, job__kind=job.kind, job_id__lt=job.pk, job__status=_Status.DONE
    )
    known = earlier.filter(raw=OuterRef("raw"))
    QuarantinedRow.objects.filter(pk__in=job.quarantine.filter(Exists(known)).values("pk")).delete()
    return job.quarantine.count()


def set_aside_count(resource: str) -> int:
    """How many rows of a resource that goes through the import wait in the quarantine for staff."""
    ours = QuarantinedRow.objects.filter(job__file_name__startswith=f"{FILE_PREFIX}{resource}-", job__status=_Status.DONE)
    return ours.filter(status=QuarantinedRow.Status.OPEN).count()
