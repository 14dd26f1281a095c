"""The states of an import: check, confirm, write, cancel, undo. `docs/imports.md` tells the guarantees."""

import logging
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import OperationalError, connection, transaction

from loyalty_site.common import audit
from loyalty_site.common.clock import require_utc
from loyalty_site.common.errors import error_location, error_text
from loyalty_site.common.jobs import JobOverlap, overlap_lock
from loyalty_site.common.models import ApiClient
from players.imports import stage, undoing
from players.imports.applying import write
from players.imports.checking import Cancelled, read_into_stage
from players.imports.follow_up import refresh_touched, run_follow_up
from players.imports.problems import ImportRefused
from players.imports.uploads import AFTER_IMPORT
from players.models import ImportJob, QuarantinedRow

logger = logging.getLogger(__name__)
Status = ImportJob.Status
_ATTEMPTS = 3


def check_import(job_id: int, *, at: datetime) -> ImportJob:
    """Read and validate the file and compute what it would change; the job ends in PREVIEW, FAILED or CANCELLED.

    Writes nothing but the job's own stage and quarantine, so it may be killed and called again. Raises JobOverlap while another
    process works on the same job, and ImportRefused when the job is in no status to be checked.
    """
    with overlap_lock(f"import:{job_id}"):
        claimed = ImportJob.objects.filter(pk=job_id, status__in=[Status.UPLOADED, Status.CHECKING, Status.PREVIEW]).update(
            status=Status.CHECKING, progress=0, error=""
        )
        job = ImportJob.objects.get(pk=job_id)
        if not claimed:
            raise ImportRefused("wrong_status", f"The import is {job.get_status_display().lower()}.", "Upload the file again to check it.")
        if job.result.get("open"):
            ImportJob.objects.filter(pk=job_id).update(status=Status.UPLOADED)
            first = job.result["open"][0]
            raise ImportRefused(first["code"], first["message"], first["remedy"])
        try:
            read_into_stage(job)
        except Cancelled:
            return _end_cancelled(job, at)
        except ImportRefused as refused:
            return _fail(job, f"{refused.message} {refused.remedy}", refused.as_dict(), at)
        except Exception as error:
            _log_failure("players.import_check_failed", job_id, error)
            _fail(job, f"The check stopped: {type(error).__name__}. An administrator finds the details in the log.", {}, at)
            raise
        job.result["same_file_as"] = _same_file_as(job)
        ImportJob.objects.filter(pk=job_id, status=Status.CHECKING).update(
            status=Status.PREVIEW, progress=100, checked_at=at, result=job.result, total_rows=job.total_rows,
            created_count=job.created_count, updated_count=job.updated_count, unchanged_count=job.unchanged_count,
            quarantined_count=job.quarantined_count, players_created=job.players_created, players_updated=job.players_updated,
        )  # fmt: skip
        job.refresh_from_db()
        logger.info(
            "players.import_checked job=%s rows=%s created=%s changed=%s unchanged=%s quarantined=%s",
            job.pk, job.total_rows, job.created_count, job.updated_count, job.unchanged_count, job.quarantined_count,
        )  # fmt: skip
        return job


def _log_failure(event: str, job_id: int, error: Exception) -> None:
    """Where and what kind, not logger.exception: the messages of errors quote cells and whole rows of players."""
    logger.error("%s job=%s error=%s\n%s", event, job_id, error_text(error, handles_rows=True), error_location(error))


def _same_file_as(job: ImportJob) -> int | None:
    return (
        ImportJob.objects.filter(file_sha256=job.file_sha256, kind=job.kind, status=Status.DONE)
        .exclude(pk=job.pk)
        .order_by("-pk")
        .values_list("pk", flat=True)
        .first()
    )


def _close_rows(job: ImportJob, at: datetime, why: str) -> None:
    """Nothing of the import is stored, so its rows can not be replayed: they stay readable, but wait for nobody."""
    job.quarantine.filter(status=QuarantinedRow.Status.OPEN).update(status=QuarantinedRow.Status.DISMISSED, resolved_at=at, note=why)


def _fail(job: ImportJob, error: str, details: dict[str, Any], at: datetime) -> ImportJob:
    with transaction.atomic(), connection.cursor() as cursor:
        stage.drop(cursor, job.pk)
        job.result = {**job.result, "error": details, "error_phase": job.get_status_display()}
        _close_rows(job, at, "The import failed.")
        ImportJob.objects.filter(pk=job.pk).update(status=Status.FAILED, error=error, result=job.result)
    job.refresh_from_db()
    return job


def _end_cancelled(job: ImportJob, at: datetime) -> ImportJob:
    with transaction.atomic(), connection.cursor() as cursor:
        stage.drop(cursor, job.pk)
        _close_rows(job, at, "The import was cancelled.")
        ImportJob.objects.filter(pk=job.pk).update(
            status=Status.CANCELLED, progress=0, created_count=0, updated_count=0, players_created=0, players_updated=0
        )
    job.refresh_from_db()
    logger.info("players.import_cancelled job=%s", job.pk)
    return job


def confirm_import(job_id: int, *, at: datetime, actor: User | None, api_client: ApiClient | None = None) -> ImportJob:
    """Claim a previewed job for writing. Of several callers one succeeds; the others get ImportRefused naming the status."""
    with transaction.atomic():
        claimed = ImportJob.objects.filter(pk=job_id, status=Status.PREVIEW).update(
            status=Status.APPLYING, progress=0, cancel_requested=False
        )
        job = ImportJob.objects.get(pk=job_id)
        if not claimed:
            raise ImportRefused(
                "wrong_status",
                f"The import is {job.get_status_display().lower()}.",
                "Only an import that is ready to confirm can be written; somebody may have been faster.",
            )
        audit.record(
            "players.import_confirmed",
            job,
            at=at,
            actor=actor,
            api_client=api_client,
            after={"created": job.created_count, "changed": job.updated_count, "quarantined": job.quarantined_count},
        )
    return job


def apply_import(job_id: int, *, at: datetime, actor: User | None = None) -> ImportJob:
    """Write a job: confirms it first when it is in PREVIEW; ends in DONE, FAILED or CANCELLED.

    All or nothing: killed at any moment it leaves no row behind, and may be called again. Deadlocks are tried again. Then runs what the
    operator asked for the touched players. Raises JobOverlap while another process writes the same job.
    """
    require_utc(at, "at")
    job = ImportJob.objects.get(pk=job_id)
    if job.status == Status.PREVIEW:
        job = confirm_import(job_id, at=at, actor=actor)
    with overlap_lock(f"import:{job_id}"):
        job.refresh_from_db()
        if job.status == Status.APPLYING:
            try:
                _write_or_retry(job, at, actor)
            except Cancelled:
                return _end_cancelled(job, at)
            except ImportRefused as refused:
                return _fail(job, f"{refused.message} {refused.remedy}", refused.as_dict(), at)
            except Exception as error:
                _log_failure("players.import_failed", job_id, error)
                _fail(job, f"Nothing was written: {type(error).__name__}. An administrator finds the details in the log.", {}, at)
                raise
        elif job.status != Status.DONE:
            raise ImportRefused(
                "wrong_status", f"The import is {job.get_status_display().lower()}.", "Only a previewed import can be written."
            )
        job.refresh_from_db()
        if job.result.get("after_pending"):
            run_follow_up(job, at)
            job.refresh_from_db()
    return job


def _write_or_retry(job: ImportJob, at: datetime, actor: User | None) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        _rebuild_lost_stage(job)
        try:
            return _write_once(job, at, actor)
        except OperationalError as error:
            if attempt == _ATTEMPTS or connection.in_atomic_block or connection.connection is None or connection.connection.closed:
                raise
            logger.warning("players.import_retried job=%s attempt=%s error=%s", job.pk, attempt, type(error).__name__)
    raise AssertionError("unreachable")


def _rebuild_lost_stage(job: ImportJob) -> None:
    """A crash of the database server empties unlogged tables: read the file again, then."""
    expected = job.total_rows - job.quarantined_count - int(job.result.get("repeated_rows", 0))
    with connection.cursor() as cursor:
        rows = stage.row_count(cursor, job.pk)
    if rows != expected:
        logger.warning("players.import_stage_rebuilt job=%s rows=%s expected=%s", job.pk, rows, expected)
        read_into_stage(job)
        ImportJob.objects.filter(pk=job.pk).update(result=job.result, total_rows=job.total_rows, quarantined_count=job.quarantined_count)


def _write_once(job: ImportJob, at: datetime, actor: User | None) -> None:
    with transaction.atomic():
        written = write(job, at)
        repeats = int(job.result.get("repeated_rows", 0))
        result = {**job.result, "after_pending": [name for name in AFTER_IMPORT if job.after_import.get(name)]}
        done = ImportJob.objects.filter(pk=job.pk, status=Status.APPLYING).update(
            status=Status.DONE, applied_at=at, progress=100, result=result, created_count=written.created, updated_count=written.changed,
            unchanged_count=written.unchanged + repeats, players_created=written.players_created, players_updated=written.players_updated,
        )  # fmt: skip
        if not done:
            raise Cancelled
        job.refresh_from_db()
        audit.record(
            "players.import_applied",
            job,
            at=at,
            actor=actor,
            api_client=job.api_client,
            after={
                "created": written.created, "changed": written.changed, "unchanged": job.unchanged_count,
                "quarantined": job.quarantined_count, "players_created": written.players_created,
            },
        )  # fmt: skip
        with connection.cursor() as cursor:
            stage.drop(cursor, job.pk)
            if not result["after_pending"]:
                cursor.execute(f"DROP TABLE IF EXISTS {stage.touched_table_of(job.pk)}")
    logger.info("players.import_applied job=%s created=%s changed=%s", job.pk, written.created, written.changed)


def cancel_import(job_id: int, *, at: datetime, actor: User | None) -> ImportJob:
    """Cancel: at once when nothing works on the job, else as soon as its worker looks (at most one chunk later).

    Raises ImportRefused when the import is already written or ended.
    """
    with transaction.atomic():
        waiting = ImportJob.objects.filter(pk=job_id, status__in=[Status.UPLOADED, Status.PREVIEW]).update(
            status=Status.CANCELLED, cancel_requested=True
        )
        running = 0
        if not waiting:
            running = ImportJob.objects.filter(pk=job_id, status__in=[Status.CHECKING, Status.APPLYING]).update(cancel_requested=True)
        job = ImportJob.objects.get(pk=job_id)
        if not waiting and not running:
            raise ImportRefused("wrong_status", f"The import is {job.get_status_display().lower()}.", "It can no longer be cancelled.")
        audit.record("players.import_cancel_requested", job, at=at, actor=actor)
    if waiting:
        return _end_cancelled(job, at)
    try:  # nobody works on it (its worker died): end it here
        with overlap_lock(f"import:{job_id}"):
            job.refresh_from_db()
            if job.status in (Status.CHECKING, Status.APPLYING):
                return _end_cancelled(job, at)
    except JobOverlap:
        pass
    return job


def undo_refusals(job: ImportJob) -> list[str]:
    """Why the import can not be undone now; empty: it can."""
    return undoing.refusals(job)


def undo_import(job_id: int, *, actor: User | None, at: datetime, reason: str) -> ImportJob:
    """Take back everything the import wrote, in one transaction. Raises ImportRefused with all reasons when it must stay."""
    if not reason.strip():
        raise ImportRefused("reason_missing", "An undo needs a reason.", "Say why the import is taken back.")
    with transaction.atomic():
        job = ImportJob.objects.select_for_update().get(pk=job_id)
        reasons = undoing.refusals(job)
        if reasons:
            raise ImportRefused("undo_refused", " ".join(reasons), "Correct the data with another import instead.", reasons=reasons)
        figures = undoing.take_back(job)
        _close_rows(job, at, "The import was undone.")
        job.result = {**job.result, "undo": figures, "after_pending": []}
        job.status, job.undone_at = Status.UNDONE, at
        job.save(update_fields=["result", "status", "undone_at"])
        with connection.cursor() as cursor:
            cursor.execute("SELECT player_id FROM touched_player ORDER BY player_id")
            touched = [row[0] for row in cursor.fetchall()]
            cursor.execute(f"DROP TABLE IF EXISTS {stage.touched_table_of(job.pk)}")
        audit.record("players.import_undone", job, at=at, actor=actor, after=figures, reason=reason)
        if job.after_import.get("metrics"):
            refresh_touched(touched, at, segments=bool(job.after_import.get("segments")))
    logger.info("players.import_undone job=%s removed=%s restored=%s", job.pk, figures["removed"], figures["restored"])
    return job
