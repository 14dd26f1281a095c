"""Ask a worker to execute a recorded run, and be that worker.

What there is to do stands in the database, so a broker that is away costs only time.
"""

import logging
from typing import Any

from kombu.exceptions import OperationalError as BrokerError

from loyalty_site.common import jobs
from loyalty_site.common.models import JobRun

logger = logging.getLogger(__name__)


def enqueue(task: Any, run: JobRun) -> bool:
    """Send Celery's `task` the number of the run. False when the broker does not answer: it starts when workers take up what is open."""
    try:
        task.delay(run_id=run.pk)
    except BrokerError as error:
        logger.warning("predictions.run_not_enqueued run=%s job=%s error=%s", run.pk, run.name, type(error).__name__)
        return False
    return True


def execute(run_id: int) -> None:
    """Execute a recorded run. While another one of its job is under way it stays queued, and is taken up later."""
    try:
        jobs.execute(JobRun.objects.get(pk=run_id))
    except jobs.JobOverlap:
        return
