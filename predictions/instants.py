"""Which instant is computed for: not one to come, and not one that the data do not reach."""

from datetime import UTC, datetime, timedelta

from loyalty_site.common.clock import require_utc, utc_now

_CLOCKS_APART = timedelta(minutes=1)  # hosts of one installation do not agree to the second


class FutureInstant(ValueError):
    """Scores or a training were asked for an instant that has not come yet."""


def require_past(as_of: datetime) -> datetime:
    """`as_of` in UTC. Raises FutureInstant when it is still to come: no run before that instant could be shown after one of it."""
    as_of = require_utc(as_of, "as_of")
    if as_of > utc_now() + _CLOCKS_APART:
        raise FutureInstant(f"{as_of:%Y-%m-%d %H:%M:%S} UTC has not come yet: give now or an instant in the past.")
    return as_of


def known_through(as_of: datetime, latest: datetime | None) -> datetime | None:
    """How far the data reach that scores of `as_of` rest on, when the latest activity there is now is `latest` (None: none at all).

    Of an instant that activity has passed it is the end of the last whole day before it: nothing later counts.
    """
    if latest is None or latest <= as_of:
        return latest
    return as_of.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(microseconds=1)


def features_instant(as_of: datetime, data_through: datetime | None) -> datetime:
    """What features of `as_of` are computed for, when the latest activity known is that of `data_through` (None: no activity at all).

    It is `as_of`, but at most the midnight (UTC) that ends the last day with data. While a feed is down the clock goes on and the data do
    not: counted from `as_of`, everybody would have been away since the feed failed, and would look lost.
    """
    as_of = require_utc(as_of, "as_of")
    if data_through is None:
        return as_of
    last = data_through.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return min(as_of, last + timedelta(days=1))
