"""Background work of the imports. The state is in the database: a lost message costs nothing, `resume_imports` finds the job again."""

import logging
from collections.abc import Callable
from typing import Any

from celery import shared_task
from django.db.models import Q

from loyalty_site.common.clock import utc_now
from loyalty_site.common.errors import error_text
from loyalty_site.common.jobs import JobOverlap
from players.imports import services
from players.imports.problems import ImportRefused
from players.models import ImportJob

logger = logging.getLogger(__name__)


class ImportFailed(RuntimeError):
    """An import ended in an error, told without the rows that the error quotes: Celery writes what a task raises into its log."""


@shared_task(name="players.imports.check")
def check_import_file(job_id: int) -> None:
    """Validate an uploaded file and prepare its preview. Raises ImportFailed."""
    _run(services.check_import, job_id)


@shared_task(name="players.imports.apply")
def apply_import_file(job_id: int) -> None:
    """Write a confirmed import and run its follow-up. Raises ImportFailed."""
    _run(services.apply_import, job_id)


def _run(work: Callable[..., Any], job_id: int) -> None:
    try:
        work(job_id, at=utc_now())
    except (JobOverlap, ImportRefused) as refused:
        logger.info("players.import_skipped job=%s work=%s why=%s", job_id, work.__name__, refused)
    except Exception as error:
        raise ImportFailed(f"import {job_id}: {error_text(error, handles_rows=True)}") from None


@shared_task(name="players.imports.resume")
def resume_imports() -> int:
    """Pick up imports whose worker died: an overlap lock nobody holds means nobody works on them. Returns how many were looked at."""
    looked_at = 0
    for job in ImportJob.objects.filter(Q(status__in=["CHECKING", "APPLYING"]) | Q(status="DONE", result__after_pending__0__isnull=False)):
        looked_at += 1
        try:
            if job.status == ImportJob.Status.CHECKING:
                check_import_file(job.pk)
            else:
                apply_import_file(job.pk)
        except Exception as error:  # one import that cannot go on must not keep the others from being taken up
            logger.error("players.import_resume_failed job=%s error=%s", job.pk, type(error).__name__)
    return looked_at
