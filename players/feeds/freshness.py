"""How old the operator's data are: failing, overdue, or up to date."""

from datetime import datetime, timedelta

from django.conf import settings

from loyalty_site.common.clock import require_utc, utc_now
from players.models import FeedState


def fetched_resources() -> list[str]:
    """The resources that the settings say to fetch; none without an address."""
    return [one for one, path in settings.FEED_PATHS.items() if path] if settings.FEED_URL else []


def is_overdue(feed: FeedState, at: datetime) -> bool:
    """Whether nothing came for longer than LOYALTY_FEED_STALE_AFTER_MINUTES before `at`, whatever was attempted: no worker, no schedule."""
    last = renewed_at(feed)
    return last is not None and last < at - timedelta(minutes=settings.FEED_STALE_AFTER_MINUTES)


def renewed_at(feed: FeedState) -> datetime | None:
    """The last success, or where none was yet, the first attempt."""
    return feed.last_success_at or feed.first_asked_at or feed.failing_since


def stale_since(at: datetime | None = None) -> datetime | None:
    """Since when the operator's data have not been renewed, the earliest of all resources; `at` is now unless given.

    A resource is stale from its first failed attempt on, and, even if nothing is attempted, once its last success is older than
    LOYALTY_FEED_STALE_AFTER_MINUTES; either way the instant is that of the last success. None: up to date, or nothing is configured, or
    nothing was ever asked for.
    """
    at = require_utc(at, "at") if at is not None else utc_now()
    feeds = FeedState.objects.filter(resource__in=fetched_resources())
    known = [renewed_at(feed) for feed in feeds if feed.failing_since is not None or is_overdue(feed, at)]
    return min((since for since in known if since is not None), default=None)
