"""Pull the operator's API: a window of time per resource, through the same checks and merge as an uploaded file.

The window begins a little before the cursor (late rows) or, at first, seven days back, and ends now. The cursor moves only when
everything of the window has been taken in, so a source that fails, a worker that dies or a page that cannot be read costs a repetition:
what was taken before is recognised and changes nothing. When the source is down the last good data stay as they are, with
their age in `FeedState.failing_since`.
"""

import logging
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef

from loyalty_site.common.clock import require_utc, utc_now
from loyalty_site.common.jobs import overlap_lock
from players.feeds.client import FeedClient, FeedError, FeedSource
from players.feeds.sinks import sink_of
from players.feeds.spool import write_csv
from players.imports import services as imports
from players.imports.fields import FIELDS
from players.imports.mapping import missing_fields, suggest
from players.imports.problems import ImportRefused
from players.models import FeedState, ImportJob, ImportMapping, QuarantinedRow

logger = logging.getLogger(__name__)

# players first: the rest names them
RESOURCES = ("players", "deposits", "logs", "bonuses")
_KINDS = {"players": ("PLAYERS",), "deposits": ("PAYMENTS",), "logs": ("PLAYS", "SESSIONS")}
# a list of deposits does not say in each row that it is one
_CONSTANTS = {"deposits": {"kind": "DEPOSIT"}}
_SHOWN_REJECTED = 50
_FILE_PREFIX = "api-"


@dataclass(frozen=True)
class Pulled:
    """What one pull of one resource did. `error` is empty when it succeeded."""

    resource: str
    rows: int = 0
    rejected: int = 0
    import_id: int | None = None
    error: str = ""


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


def pull_all(at: datetime, client: FeedClient | None = None) -> list[Pulled]:
    """Pull every configured resource, one after the other; one that fails does not keep the others from trying.

    Returns an empty list when no source is configured. Raises JobOverlap when another pull is under way.
    """
    at = require_utc(at, "at")
    if client is None:
        source = source_from_settings()
        if source is None:
            return []
        client = FeedClient(source)
    with overlap_lock("players.feeds"):
        return [pull(one, at, client) for one in RESOURCES if settings.FEED_PATHS.get(one)]


def pull(resource: str, at: datetime, client: FeedClient) -> Pulled:
    """Pull one resource up to `at` and record how it went. A failure is an answer, not an exception."""
    state, _ = FeedState.objects.get_or_create(resource=resource)
    since = (state.cursor_at or at - timedelta(days=settings.FEED_WINDOW_DAYS)) - timedelta(minutes=settings.FEED_OVERLAP_MINUTES)
    try:
        pages = client.pages(settings.FEED_PATHS[resource], since, at)
        done = _into_sink(resource, pages, at) if resource not in _KINDS else _into_import(resource, pages, at)
    except (FeedError, ImportRefused) as error:
        done = Pulled(resource, error=str(error)), []
    except Exception as error:  # recorded for staff with its kind; the trace goes to the log, and the next resource has its turn
        logger.exception("players.feed_failed resource=%s", resource)
        done = Pulled(resource, error=f"stopped by {type(error).__name__}; an administrator finds the details in the log"), []
    outcome, rejected = done
    _record(state.pk, outcome, rejected, at)
    logger.info("players.feed_pulled resource=%s rows=%s rejected=%s ok=%s", resource, outcome.rows, outcome.rejected, not outcome.error)
    return outcome


def _record(state_id: int, outcome: Pulled, rejected: list[dict[str, Any]], at: datetime) -> None:
    with transaction.atomic():
        state = FeedState.objects.select_for_update().get(pk=state_id)
        state.last_attempt_at = at
        if outcome.error:
            state.failing_since = state.failing_since or at
            state.failures = F("failures") + 1
            state.last_error = outcome.error
        else:
            state.cursor_at = max(state.cursor_at or at, at)
            state.last_success_at = at
            state.failing_since = None
            state.failures = 0
            state.last_error = ""
            state.last_rows, state.last_rejected, state.rejected = outcome.rows, outcome.rejected, rejected[:_SHOWN_REJECTED]
        if outcome.import_id is not None:
            state.last_import_id = outcome.import_id
        state.save()


def _into_sink(resource: str, pages: Iterable[list[dict[str, Any]]], at: datetime) -> tuple[Pulled, list[dict[str, Any]]]:
    sink = sink_of(resource)
    if sink is None:
        raise FeedError(f"nothing in this installation takes {resource}; remove it from LOYALTY_FEED_PATHS")
    result = sink(pages, at)
    return Pulled(resource, rows=result.rows, rejected=len(result.rejected)), result.rejected


def _into_import(resource: str, pages: Iterable[list[dict[str, Any]]], at: datetime) -> tuple[Pulled, list[dict[str, Any]]]:
    with tempfile.TemporaryDirectory(prefix="feed-") as folder:
        path = Path(folder) / f"{resource}.csv"
        rows, headers = write_csv(pages, path)
        if not rows:
            return Pulled(resource), []
        kind, mapping = _mapping(resource, headers)
        with path.open("rb") as file:
            job = imports.create_import(
                file=file, file_name=f"{_FILE_PREFIX}{resource}-{at:%Y%m%d-%H%M%S}.csv", at=at, kind=kind, mapping=mapping
            )
    job = imports.check_import(job.pk, at=utc_now())
    if job.status == ImportJob.Status.PREVIEW:
        job = imports.apply_import(job.pk, at=utc_now())
    if job.status != ImportJob.Status.DONE:
        return Pulled(resource, rows=rows, import_id=job.pk, error=f"import {job.pk} ended as {job.get_status_display()}: {job.error}"), []
    return Pulled(resource, rows=rows, rejected=_newly_set_aside(job), import_id=job.pk), []


def _newly_set_aside(job: ImportJob) -> int:
    """Windows overlap, so a faulty row comes again until the source corrects it: forget those that an earlier pull set aside already."""
    earlier = QuarantinedRow.objects.filter(job__file_name__startswith=_FILE_PREFIX, job__kind=job.kind, job_id__lt=job.pk)
    known = earlier.filter(raw=OuterRef("raw"))
    QuarantinedRow.objects.filter(pk__in=job.quarantine.filter(Exists(known)).values("pk")).delete()
    return job.quarantine.count()


def mapping_name(resource: str) -> str:
    """The saved mapping that staff may define to read a resource another way than by its headers."""
    return f"api {resource}"


def _mapping(resource: str, headers: list[str]) -> tuple[str, str | dict[str, Any]]:
    saved = ImportMapping.objects.filter(name=mapping_name(resource), kind__in=_KINDS[resource]).first()
    if saved is not None:
        return saved.kind, saved.name
    constants = _CONSTANTS.get(resource, {})
    missing: list[str] = []
    for kind in _KINDS[resource]:
        columns: dict[str, Any] = dict(suggest(kind, headers))
        columns |= {name: {"constant": value} for name, value in constants.items() if name not in columns}
        missing = [one.name for one in missing_fields(kind, columns)]
        if not missing:
            return kind, columns
    fields = ", ".join(one.name for one in FIELDS[_KINDS[resource][-1]])
    raise FeedError(
        f"{resource}: no column holds {', '.join(missing)}. The rows have: {', '.join(headers[:40])}. "
        f"Save a column mapping named {mapping_name(resource)!r} for them (fields: {fields})"
    )


def stale_since() -> datetime | None:
    """Since when the operator's data have not been complete: the earliest failing resource. None: up to date, or nothing configured."""
    if not settings.FEED_URL:
        return None
    failing = FeedState.objects.filter(failing_since__isnull=False, resource__in=settings.FEED_PATHS)
    return failing.order_by("failing_since").values_list("failing_since", flat=True).first()
