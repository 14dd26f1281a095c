"""Windows are cut so that nothing is left out, nothing is taken twice, and what is too large gets smaller."""

from datetime import UTC, datetime, timedelta

import pytest

from players.feeds.client import FeedError, WindowTooLarge
from players.feeds.windows import take_in_slices

SINCE = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def _taken(until: datetime, most_hours: float = 24.0) -> tuple[list[tuple[float, float]], int]:
    """(slices taken as hours from the start, refusals) where a slice longer than `most_hours` is too large."""
    taken: list[tuple[float, float]] = []
    refusals = 0

    def take(start: datetime, end: datetime) -> None:
        nonlocal refusals
        if end - start > most_hours * HOUR:
            refusals += 1
            raise WindowTooLarge("too many")
        taken.append(((start - SINCE) / HOUR, (end - SINCE) / HOUR))

    take_in_slices(SINCE, until, take)
    return taken, refusals


def test_take_in_slices__window__is_taken_a_day_at_a_time_without_gaps() -> None:
    assert _taken(SINCE + 50 * HOUR) == ([(0, 24), (24, 48), (48, 50)], 0)


def test_take_in_slices__nothing_to_take__takes_nothing() -> None:
    assert _taken(SINCE) == ([], 0)


def test_take_in_slices__slice_that_is_too_large__is_halved_and_grows_again() -> None:
    assert _taken(SINCE + 24 * HOUR, most_hours=6) == ([(0, 6), (6, 12), (12, 18), (18, 24)], 4)


def test_take_in_slices__minute_that_is_too_large__says_what_to_do_and_keeps_what_came_before() -> None:
    full = SINCE + timedelta(hours=30, seconds=90)
    taken: list[datetime] = []

    def take(start: datetime, end: datetime) -> None:
        if start <= full < end:
            raise WindowTooLarge("more than 3 rows")
        taken.append(end)

    with pytest.raises(FeedError, match="more than 3 rows, and no shorter time can be asked for. Raise that limit") as caught:
        take_in_slices(SINCE, SINCE + 48 * HOUR, take)
    assert not isinstance(caught.value, WindowTooLarge)
    assert full - timedelta(minutes=1) <= taken[-1] <= full
