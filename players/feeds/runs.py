"""One pull as staff see it: asked for, under way, ended. The database lets at most one be open; the overlap lock tells whether it lives."""

import time
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from loyalty_site.common import audit
from loyalty_site.common.clock import require_utc, utc_now
from loyalty_site.common.jobs import JobOverlap, overlap_lock
from players.models import FeedRun

PULL_LOCK = "players.feeds"
Status = FeedRun.Status
_KEPT = timedelta(days=30)
_NOTE_SECONDS = 1.0


def open_run() -> FeedRun | None:
    return FeedRun.objects.filter(finished_at__isnull=True).select_related("requested_by").first()


def request_run(*, actor: User, at: datetime) -> tuple[FeedRun, bool]:
    """Ask for a pull. Returns (the open run, whether it is a new one): while one waits or is under way there is no second.

    A run whose worker died is closed first. The caller wakes a worker with `tasks.pull_feeds.delay(run_id=...)`, after commit.
    """
    require_utc(at, "at")
    try:
        with overlap_lock(PULL_LOCK):
            _close_dead(at)
    except JobOverlap:
        pass  # it lives
    while True:
        try:
            with transaction.atomic():
                run = FeedRun.objects.create(created_at=at, requested_by=actor)
                audit.record("players.feed_requested", run, at=at, actor=actor)
            return run, True
        except IntegrityError:  # feedrun_one_open
            if (under_way := open_run()) is not None:  # else it ended in between
                return under_way, False


def begin(at: datetime, run_id: int | None = None) -> FeedRun | None:
    """Start the run that waits, or a new one. None when `run_id` is given and that run waits no more. Needs the overlap lock."""
    _close_dead(at)
    waiting = FeedRun.objects.filter(status=Status.WAITING)
    while True:
        run = waiting.filter(pk=run_id).first() if run_id is not None else waiting.first()
        if run is None and run_id is not None:
            return None
        run = run or FeedRun(created_at=at)
        run.status, run.started_at, run.heartbeat_at = Status.RUNNING, at, utc_now()
        try:
            with transaction.atomic():
                run.save()
            return run
        except IntegrityError:  # feedrun_one_open: somebody asked for a run just now; take that one
            continue


def finish(run: FeedRun, errors: dict[str, str]) -> None:
    """Close the run; `errors` are the resources that failed, with their errors. Runs of the time before the last 30 days go."""
    now = utc_now()
    run.status = Status.FAILED if errors else Status.DONE
    run.error = "; ".join(f"{resource}: {error}" for resource, error in errors.items())
    run.finished_at, run.heartbeat_at, run.progress, run.resource, run.taken_until = now, now, 100, "", None
    run.save()
    FeedRun.objects.filter(finished_at__lt=now - _KEPT).delete()


def close_unfetchable(at: datetime) -> None:
    """Close what was asked for before the source was taken out of the settings. Needs the overlap lock."""
    _close_dead(at)
    FeedRun.objects.filter(status=Status.WAITING).update(
        status=Status.BROKEN_OFF, finished_at=at, error="no API is configured any more (LOYALTY_FEED_URL), so nothing was fetched"
    )


def _close_dead(at: datetime) -> None:
    """Only a holder of the overlap lock runs, so what is marked as running while we hold it was killed."""
    FeedRun.objects.filter(status=Status.RUNNING).update(
        status=Status.BROKEN_OFF,
        finished_at=at,
        error="its worker ended in the middle; what it had taken stays, the next fetch goes on there",
    )


class Progress:
    """Notes how far the run is, at most once a second, so that pages and slices may be reported one by one."""

    def __init__(self, run: FeedRun, resources: int) -> None:
        self._run = run
        self._resources = resources
        self._done = -1
        self._noted = 0.0

    def resource(self, name: str) -> None:
        self._done += 1
        self._run.resource, self._run.taken_until = name, None
        self._note(0.0, now=True)

    @property
    def count(self) -> int:
        """Rows so far, of all resources."""
        return self._run.rows

    def rows(self, count: int) -> None:
        self._run.rows += count
        self._note(None)

    def take_back(self, count: int) -> None:
        """Go back to an earlier `count`: the rows since then are asked for again."""
        self._run.rows = count

    def alive(self) -> None:
        """Something was done that has no figure of its own."""
        self._note(None)

    def until(self, taken: datetime, since: datetime, end: datetime) -> None:
        """Everything of `since` to `end` is in up to `taken`."""
        self._run.taken_until = taken
        self._note((taken - since) / (end - since), now=True)

    def _note(self, share: float | None, *, now: bool = False) -> None:
        if share is not None:
            self._run.progress = min(int(100 * (self._done + share) / self._resources), 99)
        if now or time.monotonic() - self._noted >= _NOTE_SECONDS:
            self._noted = time.monotonic()
            self._run.heartbeat_at = utc_now()
            self._run.save(update_fields=["resource", "taken_until", "rows", "progress", "heartbeat_at"])
