from celery import shared_task

from loyalty_site.common.clock import utc_now
from loyalty_site.common.jobs import JobOverlap
from players.feeds.pull import pull_all


@shared_task(name="players.feeds.pull")
def pull_feeds(run_id: int | None = None) -> dict[str, str]:
    """Fetch from the operator's API what is new; with `run_id` only if that run, which staff asked for, still waits.

    Returns {resource: error, or empty}; a pull that is already under way is left to it.
    """
    try:
        return {one.resource: one.error for one in pull_all(utc_now(), run_id=run_id)}
    except JobOverlap:
        return {}
