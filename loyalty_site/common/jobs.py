"""Background jobs that survive their workers.

A job is a function over a range of ids. A run of it is split into chunks; each chunk is claimed, worked and marked done in ONE
transaction (`FOR UPDATE SKIP LOCKED` on the chunk's row), so

* any number of workers on any number of hosts can take part, and none takes what another holds;
* a worker killed in the middle leaves its chunk pending, because the claim dies with the transaction;
* a chunk that raises is recorded with its error in a second transaction and can be rerun alone.

One coordinator a run holds a session advisory lock named after the job: two runs of one job never overlap, and the lock dies
with its holder. The coordinator works chunks itself while it waits, so a run ends even when no other worker exists.
Messages only wake workers up; the state is in the database, so a lost message costs nothing.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Count, Q, Sum

from loyalty_site.common.clock import utc_now
from loyalty_site.common.errors import error_location, error_text
from loyalty_site.common.models import JobChunk, JobRun

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
_POLL_SECONDS = 0.2
_RECONNECT_SECONDS = (0.5, 1, 2, 4, 8, 15, 30)


class JobOverlap(Exception):
    """Another run of the same job is under way."""


class JobRefused(ValueError):
    """A run may not be recorded or taken up again as things stand; the message says why and what to do."""


class JobSuperseded(JobRefused):
    """A run whose results a later one has replaced; the message says which, and what to do."""


class JobCancelled(Exception):
    """Raised inside a work function that noticed a cancel request."""


@dataclass(frozen=True)
class Scope:
    """What one call of a work function covers: ids `lower_id <= id < upper_id`, computed for the instant `as_of`."""

    lower_id: int
    upper_id: int
    as_of: datetime
    run_id: int
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """A named piece of work. `work(scope)` runs in a transaction, must be safe to run twice, and returns {"rows": n, ...};
    numbers in its result are summed into the run's result. `ranges(parameters)` yields the (lower, upper) id ranges.

    `one_open`: no run is recorded or taken up again while another one is queued or under way (for jobs that are no stage of a pipeline).
    `start_on`: where staff start it, for a job that needs more than a name; it is then not among those that they may just run.
    `rerun_refusal`: why a run that failed or was cancelled is never taken up again, and what to do instead.
    """

    name: str
    title: str
    work: Callable[[Scope], dict[str, Any]]
    ranges: Callable[[dict[str, Any]], Iterator[tuple[int, int]]]
    one_open: bool = False
    start_on: str = ""
    rerun_refusal: str = ""


@dataclass(frozen=True)
class Pipeline:
    """Jobs that run one after the other for one instant; the first that fails stops the rest. A rerun goes on where it stopped."""

    name: str
    title: str
    stages: tuple[str, ...]


_registry: dict[str, Job | Pipeline] = {}


def register(job: Job | Pipeline) -> Job | Pipeline:
    _registry[job.name] = job
    return job


def get_job(name: str) -> Job | Pipeline:
    try:
        return _registry[name]
    except KeyError:
        raise LookupError(f"no job named {name!r}; known: {', '.join(sorted(_registry))}") from None


def registered_jobs() -> dict[str, Job | Pipeline]:
    return dict(_registry)


def id_ranges(
    table: str, *, chunk_size: int, id_column: str = "id", player_column: str = ""
) -> Callable[[dict[str, Any]], Iterator[tuple[int, int]]]:
    """Ranges over the ids of `table` with about `chunk_size` rows each, whatever the gaps (one index scan).

    `parameters["ids"]` are ids of players and narrow the run to them: to the rows of these ids, or, where the rows are something else
    than players, to those with one of them in `player_column`.
    """

    def ranges(parameters: dict[str, Any]) -> Iterator[tuple[int, int]]:
        if players := parameters.get("ids"):
            ids = [int(one) for one in players]
            if player_column:
                with connection.cursor() as cursor:
                    cursor.execute(f"SELECT {id_column} FROM {table} WHERE {player_column} = ANY(%s) ORDER BY {id_column}", [ids])
                    ids = [row[0] for row in cursor.fetchall()]
            yield from ((one, one + 1) for one in ids)
            return
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {id_column} FROM (SELECT {id_column}, row_number() OVER (ORDER BY {id_column}) AS n FROM {table}) AS numbered "
                f"WHERE n %% %s = 1 OR %s = 1 ORDER BY {id_column}",
                [chunk_size, chunk_size],
            )
            starts = [row[0] for row in cursor.fetchall()]
            cursor.execute(f"SELECT max({id_column}) FROM {table}")
            highest = cursor.fetchone()[0]
        for position, lower in enumerate(starts):
            upper = starts[position + 1] if position + 1 < len(starts) else highest + 1
            yield lower, upper

    return ranges


def create_run(
    name: str,
    *,
    as_of: datetime,
    parameters: dict[str, Any] | None = None,
    requested_by: User | None = None,
    parent: JobRun | None = None,
    title: str = "",
) -> JobRun:
    """Record a run to be executed by `execute`. Raises LookupError, and JobRefused while another one is open of a job with `one_open`."""
    job = get_job(name)
    with transaction.atomic():
        _require_none_open(job)
        return JobRun.objects.create(
            name=name,
            title=title or job.title,
            as_of=as_of,
            parameters=parameters or {},
            requested_by=requested_by,
            parent=parent,
            created_at=utc_now(),
        )


def open_run(name: str) -> JobRun | None:
    """The run of this job that has not ended yet, the oldest where there are several."""
    return JobRun.objects.filter(name=name, status__in=[JobRun.Status.QUEUED, JobRun.Status.RUNNING]).order_by("id").first()


def _require_none_open(job: Job | Pipeline) -> None:
    """Of a job with `one_open`; until the end of the transaction nobody else looks whether one is open."""
    if not isinstance(job, Job) or not job.one_open:
        return
    _lock_starts(job.name)
    if (running := open_run(job.name)) is not None:
        raise JobRefused(f"{job.title} is under way already (run {running.pk}); wait for its end or cancel it first")


def _lock_starts(name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_lock_key(f"start:{name}")])


def require_startable_by_name(name: str) -> None:
    """Raises LookupError for an unknown job, JobRefused for one that is started elsewhere; the message says where."""
    job = get_job(name)
    if isinstance(job, Job) and job.start_on:
        raise JobRefused(f"{job.title} is not started by its name alone; start it {job.start_on}")


def rerun_refusal(name: str) -> str:
    """Why no run of this job or pipeline is taken up again; empty when it may be. Raises LookupError."""
    job = get_job(name)
    if isinstance(job, Pipeline):
        return next((text for stage in job.stages if (text := rerun_refusal(stage))), "")
    return job.rerun_refusal


def _lock_key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"job:{name}".encode()).digest()[:8], "big", signed=True)


@contextmanager
def overlap_lock(name: str) -> Iterator[None]:
    """Hold the job's advisory lock on this connection. Raises JobOverlap when another session holds it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_lock_key(name)])
        if not cursor.fetchone()[0]:
            raise JobOverlap(f"another run of {name} is under way; wait for it or cancel it first")
    try:
        yield
    finally:
        if connection.connection is not None and not connection.connection.closed:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_lock_key(name)])


WakeWorkers = Callable[[int], None]


def execute(run: JobRun, *, wake_workers: WakeWorkers | None = None, outer_locks: tuple[str, ...] = ()) -> JobRun:
    """Run everything that is open in `run` to its end and return it with its final status.

    `wake_workers(run_id)` may ask other workers to call `work_one` too. Raises JobOverlap if the job is running elsewhere.
    A database that goes away is waited for. Its locks went with the session, so they are all taken again before work goes on:
    `outer_locks` names those of the pipelines around this run.
    """
    try:
        job = get_job(run.name)
    except LookupError as error:  # a job of another release
        _end_as_failed(run, error)
        raise
    for pause in (*_RECONNECT_SECONDS, None):
        try:
            with ExitStack() as locks:
                for name in (*outer_locks, run.name):
                    locks.enter_context(overlap_lock(name))
                if isinstance(job, Pipeline):
                    return _execute_stages(run, job, wake_workers, (*outer_locks, run.name))
                if _prepare(run, job):
                    if wake_workers is not None:
                        wake_workers(run.pk)
                    _work_until_empty(run)
                return _finish(run)
        except (OperationalError, InterfaceError) as error:
            if pause is None:
                raise
            logger.warning("jobs.database_lost run=%s retry_in=%s error=%s", run.pk, pause, type(error).__name__)
            connection.close()
            time.sleep(pause)
    raise AssertionError("unreachable")


def _execute_stages(run: JobRun, pipeline: Pipeline, wake_workers: WakeWorkers | None, locks: tuple[str, ...]) -> JobRun:
    _mark_running(run, chunks_total=len(pipeline.stages))
    for number, name in enumerate(pipeline.stages, start=1):
        stage = _open_stage(run, name)
        if stage is None:
            run.status, run.error = JobRun.Status.CANCELLED, f"cancelled before {get_job(name).title}"
            break
        if stage.status != JobRun.Status.SUCCEEDED:
            stage = execute(stage, wake_workers=wake_workers, outer_locks=locks)
        if stage.status != JobRun.Status.SUCCEEDED:
            cancelled = stage.status != JobRun.Status.FAILED
            run.status = JobRun.Status.CANCELLED if cancelled else JobRun.Status.FAILED
            run.error = f"stopped after {stage.title}" if cancelled else f"{stage.title}: {stage.error}"
            break
        run.chunks_done = number
        run.heartbeat_at = utc_now()
        run.save(update_fields=["chunks_done", "heartbeat_at"])
    else:
        run.status = JobRun.Status.SUCCEEDED
    run.result = {stage.name: stage.result for stage in run.stages.order_by("id")}
    run.rows_done = run.stages.aggregate(rows=Sum("rows_done"))["rows"] or 0
    run.finished_at = utc_now()
    run.save(update_fields=["status", "error", "result", "rows_done", "finished_at"])
    return run


def _open_stage(run: JobRun, name: str) -> JobRun | None:
    """The run of a stage, recorded on its first time. None when a cancel was asked for before that."""
    with transaction.atomic():
        JobRun.objects.select_for_update().get(pk=run.pk)  # a cancel comes before the stage's row, or sees it
        run.refresh_from_db(fields=["cancel_requested"])
        stage = run.stages.filter(name=name).order_by("-id").first()
        if stage is not None:
            return stage
        if run.cancel_requested:
            return None
        return create_run(name, as_of=run.as_of, parameters=run.parameters, requested_by=run.requested_by, parent=run)


def _mark_running(run: JobRun, *, chunks_total: int) -> None:
    run.refresh_from_db()
    run.status = JobRun.Status.RUNNING
    run.started_at = run.started_at or utc_now()
    run.finished_at = None
    run.error = ""
    run.chunks_total = chunks_total
    run.save(update_fields=["status", "started_at", "finished_at", "error", "chunks_total"])


def _prepare(run: JobRun, job: Job) -> bool:
    """Cut the run into chunks once. False when nothing is open, as for a run that ended before the lock was ours.

    A run that cannot be cut (parameters nobody can read) ends here as failed; left open, it would be taken up for ever.
    """
    try:
        with transaction.atomic():
            if not run.chunks.exists():
                JobChunk.objects.bulk_create(
                    [
                        JobChunk(run=run, number=number, lower_id=lower, upper_id=upper)
                        for number, (lower, upper) in enumerate(job.ranges(run.parameters), start=1)
                    ],
                    batch_size=1000,
                )
            _mark_running(run, chunks_total=run.chunks.count())
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        _end_as_failed(run, error)
        raise
    return run.chunks.filter(status=JobChunk.Status.PENDING).exists()


def _end_as_failed(run: JobRun, error: Exception) -> None:
    JobRun.objects.filter(pk=run.pk).update(status=JobRun.Status.FAILED, error=error_text(error), finished_at=utc_now())


def _work_until_empty(run: JobRun) -> None:
    while True:
        worked = work_one(run.pk)
        _beat(run)
        if run.cancel_requested:
            return
        if worked:
            continue
        if not run.chunks.filter(status=JobChunk.Status.PENDING).exists():
            return
        time.sleep(_POLL_SECONDS)  # another worker holds the rest


def _beat(run: JobRun) -> None:
    done = run.chunks.filter(status=JobChunk.Status.DONE).aggregate(rows=Sum("rows"), chunks=Count("pk"))
    JobRun.objects.filter(pk=run.pk).update(heartbeat_at=utc_now(), rows_done=done["rows"] or 0, chunks_done=done["chunks"])
    run.refresh_from_db(fields=["cancel_requested"])


def work_one(run_id: int) -> bool:
    """Claim and work one open chunk of the run. False when there is none to claim."""
    chunk_id: int | None = None
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = 0")
                # a plan made while a table was empty (a foreign key check of the first chunk) would be kept while it grows
                cursor.execute("DISCARD PLANS")
            chunk = (
                JobChunk.objects.select_for_update(skip_locked=True, of=("self",))
                .filter(run_id=run_id, status=JobChunk.Status.PENDING, run__cancel_requested=False)
                .select_related("run")
                .order_by("number")
                .first()
            )
            if chunk is None:
                return False
            chunk_id = chunk.pk
            run = chunk.run
            started = utc_now()
            job = get_job(run.name)
            assert isinstance(job, Job)  # only jobs have chunks
            result = job.work(Scope(chunk.lower_id, chunk.upper_id, run.as_of, run.pk, run.parameters))
            chunk.status = JobChunk.Status.DONE
            chunk.attempts += 1
            chunk.rows = int(result.get("rows", 0))
            chunk.result = result
            chunk.error = ""
            chunk.started_at, chunk.finished_at = started, utc_now()
            chunk.save(update_fields=["status", "attempts", "rows", "result", "error", "started_at", "finished_at"])
    except JobCancelled:
        return False
    except Exception as error:  # the chunk's failure is data: recorded with its cause, shown to staff, rerun alone
        if connection.connection is None or connection.connection.closed or chunk_id is None:
            raise
        _record_failure(chunk_id, error)
    return True


def _record_failure(chunk_id: int, error: Exception) -> None:
    transient = isinstance(error, OperationalError)  # deadlock, serialisation, lock timeout: worth another try
    logger.error("jobs.chunk_failed chunk=%s error=%s\n%s", chunk_id, error_text(error), error_location(error))
    with transaction.atomic():
        chunk = JobChunk.objects.select_for_update().get(pk=chunk_id)
        if chunk.status != JobChunk.Status.PENDING:
            return
        chunk.attempts += 1
        if not transient or chunk.attempts >= MAX_ATTEMPTS:
            chunk.status = JobChunk.Status.FAILED
        chunk.error = error_text(error)
        chunk.finished_at = utc_now()
        chunk.save(update_fields=["status", "attempts", "error", "finished_at"])


def _finish(run: JobRun) -> JobRun:
    counts = run.chunks.aggregate(
        failed=Count("pk", filter=Q(status=JobChunk.Status.FAILED)), open=Count("pk", filter=Q(status=JobChunk.Status.PENDING))
    )
    totals: dict[str, float] = {}
    for result in run.chunks.filter(status=JobChunk.Status.DONE).values_list("result", flat=True):
        for key, value in result.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                totals[key] = totals.get(key, 0) + value
    run.result = totals
    run.rows_done = int(totals.get("rows", 0))
    run.chunks_done = run.chunks.filter(status=JobChunk.Status.DONE).count()
    if run.cancel_requested and counts["open"]:
        run.status, run.error = JobRun.Status.CANCELLED, f"cancelled with {counts['open']} chunks not worked"
    elif counts["failed"]:
        first = run.chunks.filter(status=JobChunk.Status.FAILED).order_by("number").first()
        run.status = JobRun.Status.FAILED
        run.error = f"{counts['failed']} chunks failed; first: chunk {first.number}: {first.error}" if first else "chunks failed"
    else:
        run.status = JobRun.Status.SUCCEEDED
    run.finished_at = utc_now()
    run.save(update_fields=["result", "rows_done", "chunks_done", "status", "error", "finished_at"])
    logger.info("jobs.run_finished run=%s job=%s status=%s rows=%s", run.pk, run.name, run.status, run.rows_done)
    return run


def reopen_failed(run: JobRun) -> int:
    """Make what failed or was cancelled in an ended run open again, for `execute`; returns the number of failed chunks.

    Chunks and stages that are done stay done. Raises JobSuperseded when the same work has succeeded for a later instant: figures,
    points and segments would go back to what they were. Raises JobRefused for a job with `rerun_refusal`, and of one with `one_open`
    while another run is open.
    """
    job = get_job(run.name)
    if refusal := rerun_refusal(run.name):
        raise JobRefused(refusal)
    names = [run.name, *(job.stages if isinstance(job, Pipeline) else ())]
    same_work = JobRun.objects.filter(name__in=names, parameters=run.parameters, status=JobRun.Status.SUCCEEDED)
    if later := same_work.filter(as_of__gt=run.as_of).order_by("-as_of", "id").first():
        raise JobSuperseded(
            f"{later.title} has succeeded for {later.as_of:%Y-%m-%d %H:%M} UTC (run {later.pk}), later than this run's "
            f"{run.as_of:%Y-%m-%d %H:%M} UTC. Start a new run instead."
        )
    with transaction.atomic():
        _require_none_open(job)
        runs = JobRun.objects.select_for_update().filter(Q(pk=run.pk) | Q(parent_id=run.pk))
        ended = list(runs.filter(status__in=[JobRun.Status.FAILED, JobRun.Status.CANCELLED]).values_list("pk", flat=True))
        JobRun.objects.filter(pk__in=ended).update(status=JobRun.Status.QUEUED, cancel_requested=False, finished_at=None, error="")
        run.refresh_from_db()
        return JobChunk.objects.filter(run_id__in=ended, status=JobChunk.Status.FAILED).update(
            status=JobChunk.Status.PENDING, attempts=0, error=""
        )


def request_cancel(run: JobRun) -> None:
    """Ask a run to stop after the chunks that are being worked; of a pipeline, no further stage begins."""
    with transaction.atomic():
        JobRun.objects.filter(pk=run.pk).update(cancel_requested=True)
        JobRun.objects.filter(parent_id=run.pk).update(cancel_requested=True)


def withdraw(run: JobRun, reason: str) -> None:
    """End a run that never began, so that nobody takes it up later."""
    JobRun.objects.filter(pk=run.pk, status=JobRun.Status.QUEUED).update(
        status=JobRun.Status.CANCELLED, error=reason, finished_at=utc_now()
    )


def unfinished_runs(older_than: datetime) -> list[JobRun]:
    """Runs that no final status was written for: lost messages, dead coordinators. `execute` refuses those that still run."""
    return list(
        JobRun.objects.filter(
            parent__isnull=True, status__in=[JobRun.Status.QUEUED, JobRun.Status.RUNNING], created_at__lt=older_than
        ).order_by("id")
    )
