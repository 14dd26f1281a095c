"""Celery's tasks of the site itself."""

from celery import shared_task

from loyalty_site import health
from loyalty_site.common.clock import utc_now


@shared_task
def beat_heartbeat() -> None:
    """Note that beat sends and a worker works. Beat sends it each minute."""
    health.record_heartbeat(utc_now())
