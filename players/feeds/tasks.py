from celery import shared_task

from loyalty_site.common.clock import utc_now
from loyalty_site.common.jobs import JobOverlap
from players.feeds.pull import pull_all


@shared_task(name="players.feeds.pull")
def pull_feeds() -> dict[str, str]:
    """Fetch from the operator's API what is new. Returns {resource: error, or empty}; a pull that is already under way is left to it."""
    try:
        return {one.resource: one.error for one in pull_all(utc_now())}
    except JobOverlap:
        return {}
