from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from players.imports.dates import DateFormat, parse_unix
from players.imports.problems import Problem


@pytest.mark.parametrize(
    ("text", "zone", "instant"),
    [
        ("2026-03-15 18:30:00", "UTC", "2026-03-15T18:30:00+00:00"),
        ("2026-03-15T18:30:00Z", "Europe/Malta", "2026-03-15T18:30:00+00:00"),
        ("2026-03-15T18:30:00+02:00", "UTC", "2026-03-15T16:30:00+00:00"),
        ("2026-07-01 00:30", "Europe/Malta", "2026-06-30T22:30:00+00:00"),
        ("2026/3/5", "UTC", "2026-03-05T00:00:00+00:00"),
        ("25.12.2025 6:05 pm", "UTC", "2025-12-25T18:05:00+00:00"),
        ("12/25/2025", "UTC", "2025-12-25T00:00:00+00:00"),
        ("2026-03-15 18:30:00.250", "UTC", "2026-03-15T18:30:00.250000+00:00"),
    ],
)
def test_instant__readable__is_utc(text, zone, instant):
    assert DateFormat(zone).parse_instant(text) == instant


@pytest.mark.parametrize(
    ("text", "zone", "code"),
    [
        ("03/04/2026", "UTC", "ambiguous_date"),
        ("2026-02-30", "UTC", "not_a_date"),
        ("yesterday", "UTC", "not_a_date"),
        ("2026-03-29 02:30", "Europe/Malta", "clock_change"),
        ("2026-10-25 02:30", "Europe/Malta", "clock_change"),
        ("1969-12-31", "UTC", "date_out_of_range"),
        ("2026-03-15 25:00", "UTC", "not_a_date"),
        ("13:30 pm", "UTC", "not_a_date"),
    ],
)
def test_instant__unreadable_or_unclear__is_a_problem(text, zone, code):
    assert DateFormat(zone).parse_instant(text).code == code


def test_instant__order_stated__decides_day_and_month():
    assert DateFormat(day_first=True).parse_instant("03/04/2026") == "2026-04-03T00:00:00+00:00"
    assert DateFormat(day_first=False).parse_instant("03/04/2026") == "2026-03-04T00:00:00+00:00"
    assert DateFormat(day_first=False).parse_instant("25/12/2025").code == "not_a_date"


def test_instant__more_than_a_day_ahead__is_a_problem(now):
    assert DateFormat(latest=now).parse_instant("2026-03-16 11:00:00") == "2026-03-16T11:00:00+00:00"
    assert DateFormat(latest=now).parse_instant("2026-03-16 12:00:01").code == "in_the_future"


def test_day__time_of_day__is_a_problem():
    assert DateFormat().parse_day("1990-05-01") == "1990-05-01"
    assert DateFormat().parse_day("1990-05-01 00:00:00") == "1990-05-01"
    assert DateFormat().parse_day("1990-05-01 10:00:00").code == "not_a_day"
    assert DateFormat().parse_day("1990-02-31").code == "not_a_date"


def test_unix__seconds_and_milliseconds__are_read():
    assert parse_unix("1700000000", DateFormat()) == "2023-11-14T22:13:20+00:00"
    assert parse_unix("1700000000000", DateFormat(), milliseconds=True) == "2023-11-14T22:13:20+00:00"
    assert parse_unix("soon", DateFormat()).code == "not_a_date"


@given(st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2090, 1, 1)))  # noqa: DTZ001 - naive on purpose
def test_instant__iso_text__reads_back(moment):
    text = DateFormat().parse_instant(moment.isoformat(sep=" "))
    assert datetime.fromisoformat(text) == moment.replace(tzinfo=UTC)


@given(st.text(max_size=30))
def test_instant__any_text__never_raises(text):
    assert isinstance(DateFormat("Europe/Malta").parse_instant(text), (str, Problem))
    assert isinstance(DateFormat().parse_day(text), (str, Problem))
