"""Cutting a window of time into slices that can be taken one by one. Pure: no database, no clock."""

from collections.abc import Callable
from datetime import datetime, timedelta

from players.feeds.client import FeedError, WindowTooLarge

LONGEST_SLICE = timedelta(days=1)
SHORTEST_SLICE = timedelta(minutes=1)


def take_in_slices(since: datetime, until: datetime, take: Callable[[datetime, datetime], None]) -> None:
    """Call `take(start, end)` for slices that cover `since <= t < until` without gaps, from the oldest on, a day each at most.

    A slice that `take` refuses with WindowTooLarge is tried again at half its length, down to a minute; after one that was taken the next
    is twice as long. Raises FeedError when even a minute holds too much; slices before it stay taken.
    """
    length = LONGEST_SLICE
    start = since
    while start < until:
        end = min(start + length, until)
        try:
            take(start, end)
        except WindowTooLarge as error:
            if end - start <= SHORTEST_SLICE:
                raise FeedError(
                    f"the rows from {start:%Y-%m-%d %H:%M:%S} to {end:%Y-%m-%d %H:%M:%S} UTC cannot be taken at once: {error}, and no "
                    "shorter time can be asked for. Raise that limit on the page of thresholds, or check that the source keeps to the "
                    "times it is asked for"
                ) from error
            length = max(timedelta(seconds=(end - start).total_seconds() // 2), SHORTEST_SLICE)
            continue
        start = end
        length = min(2 * length, LONGEST_SLICE)
