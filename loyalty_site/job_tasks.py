"""Celery's side of the jobs. A message only wakes a worker; what there is to do stands in the database."""

import logging
from datetime import timedelta

from celery import shared_task
from django.conf import settings

from loyalty_site.common import jobs
from loyalty_site.common.clock import utc_now
from loyalty_site.common.models import IdempotentRequest, JobRun

logger = logging.getLogger(__name__)

_ORPHAN_AFTER = timedelta(minutes=2)
_ANSWERS_KEPT = timedelta(days=30)


def wake_workers(run_id: int) -> None:
    """Ask as many workers as the site runs to take part in a run."""
    for _ in range(settings.JOB_FANOUT):
        work_chunks.delay(run_id=run_id)


@shared_task
def work_chunks(*, run_id: int) -> None:
    while jobs.work_one(run_id):
        pass


@shared_task
def execute_run(*, run_id: int) -> None:
    """Coordinate one run. When the same job already runs elsewhere this one stays queued, and `resume_runs` takes it up later."""
    try:
        jobs.execute(JobRun.objects.get(pk=run_id), wake_workers=wake_workers)
    except jobs.JobOverlap:
        return


@shared_task(acks_late=False)
def start_job(*, name: str) -> int | None:
    """Start a job or pipeline for this instant: what the schedule calls. None when another run keeps it from being started.

    Acknowledged before it runs: a night may outlast the broker's patience, and a second delivery would start a second night. When this
    worker dies, `resume_runs` finds the run.
    """
    try:
        run = jobs.create_run(name, as_of=utc_now())
    except jobs.JobRefused as refusal:
        logger.info("jobs.start_skipped job=%s reason=%s", name, refusal)
        return None
    execute_run(run_id=run.pk)
    return run.pk


@shared_task
def resume_runs() -> int:
    """Take up runs whose coordinator died or whose message was lost. Returns how many were looked at."""
    runs = jobs.unfinished_runs(utc_now() - _ORPHAN_AFTER)
    for run in runs:
        try:
            execute_run(run_id=run.pk)
        except Exception as error:  # one run that cannot go on must not keep the others from being taken up
            logger.error("jobs.resume_failed run=%s error=%s", run.pk, type(error).__name__)
    return len(runs)


@shared_task
def forget_old_answers() -> int:
    """Delete stored answers of idempotent requests that are older than 30 days. Returns how many."""
    deleted, _ = IdempotentRequest.objects.filter(created_at__lt=utc_now() - _ANSWERS_KEPT).delete()
    return deleted
