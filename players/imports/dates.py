"""Instants and days. Pure. A time without an offset is local time in the zone that the import states; nothing is guessed.

Accepted: ISO 8601, year first with any of - / ., day or month first with / . or - (as the import's `day_first` says; when it says
nothing, only dates that read the same or only one way are taken), and Unix seconds or milliseconds when the column says so.
"""

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from players.imports.problems import Problem

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = (
    r"(?:[T ]+(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})"
    r"(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]{1,6})[0-9]*)?)?\s*(?P<half>[AaPp][Mm])?)?"
)
_OFFSET = r"\s*(?P<offset>Z|UTC|[+-][0-9]{2}:?[0-9]{2})?"
_YEAR_FIRST = re.compile(r"(?P<year>[0-9]{4})[-/.](?P<month>[0-9]{1,2})[-/.](?P<day>[0-9]{1,2})" + _TIME + _OFFSET)
_YEAR_LAST = re.compile(r"(?P<first>[0-9]{1,2})[-/.](?P<second_part>[0-9]{1,2})[-/.](?P<year>[0-9]{4})" + _TIME + _OFFSET)

_UNREADABLE = ("not_a_date", "Write dates as 2026-03-15 or 2026-03-15 18:30:00.")


class DateFormat:
    """Zone of times without an offset, order of day and month, and the latest instant that is believed."""

    def __init__(self, zone: str = "UTC", day_first: bool | None = None, latest: datetime | None = None) -> None:
        self.zone = ZoneInfo(zone)
        self.zone_name = zone
        self.day_first = day_first
        self.latest = latest + timedelta(days=1) if latest is not None else None
        self._is_utc = zone.upper() in {"UTC", "ETC/UTC", "GMT"}

    def parse_instant(self, text: str) -> str | Problem:
        """ISO text of the instant in UTC, or the Problem with it. Never raises."""
        try:
            moment = datetime.fromisoformat(text) if text[4:5] == "-" else self._parse_parts(text)
        except ValueError:
            moment = self._parse_parts(text)
        if isinstance(moment, Problem):
            return moment
        if moment.tzinfo is None:
            local = self._localise(moment, text)
            if isinstance(local, Problem):
                return local
            moment = local
        try:
            moment = moment.astimezone(UTC)
        except OverflowError:
            return Problem("date_out_of_range", f"{text!r} is outside the calendar.", "Enter the true date.")
        return self._believable(moment, text) or moment.isoformat()

    def parse_day(self, text: str) -> str | Problem:
        """ISO text of a day (a time of day, if any, must be midnight), or the Problem with it."""
        try:
            return (
                date.fromisoformat(text[:10]).isoformat()
                if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ]00:00(:00(\.0+)?)?)?", text)
                else self._day(text)
            )
        except ValueError:
            return Problem(_UNREADABLE[0], f"{text!r} is not a date of the calendar.", _UNREADABLE[1])

    def _day(self, text: str) -> str | Problem:
        moment = self._parse_parts(text)
        if isinstance(moment, Problem):
            return moment
        if moment.tzinfo is not None or moment.time() != datetime.min.time():
            return Problem("not_a_day", f"{text!r} carries a time of day where a date is wanted.", "Enter the date only.")
        return moment.date().isoformat()

    def _parse_parts(self, text: str) -> datetime | Problem:
        if match := _YEAR_FIRST.fullmatch(text):
            return _build(match, int(match["month"]), int(match["day"]), text)
        if match := _YEAR_LAST.fullmatch(text):
            first, second = int(match["first"]), int(match["second_part"])
            day_first = self.day_first
            if day_first is None:
                if first <= 12 and second <= 12 and first != second:
                    return Problem(
                        "ambiguous_date",
                        f"{text!r} can mean two different days.",
                        "State in the import whether the day or the month comes first, or write year-month-day.",
                    )
                day_first = first > 12
            month, day = (second, first) if day_first else (first, second)
            return _build(match, month, day, text)
        return Problem(_UNREADABLE[0], f"{text!r} is not a date that can be read.", _UNREADABLE[1])

    def _localise(self, moment: datetime, text: str) -> datetime | Problem:
        if self._is_utc:
            return moment.replace(tzinfo=UTC)
        early, late = moment.replace(tzinfo=self.zone, fold=0), moment.replace(tzinfo=self.zone, fold=1)
        if early.utcoffset() == late.utcoffset():
            return early
        gap = early.astimezone(UTC).astimezone(self.zone).replace(tzinfo=None) != moment
        what = "did not exist" if gap else "happened twice"
        return Problem(
            "clock_change",
            f"{text!r} {what} in {self.zone_name} because the clocks changed.",
            "Write the time with its offset, for example 2026-10-25T02:30:00+01:00.",
        )

    def _believable(self, moment: datetime, text: str) -> Problem | None:
        if self.latest is not None and moment > self.latest:
            return Problem("in_the_future", f"{text!r} lies in the future.", "Check the year, the order of day and month, and the zone.")
        if moment < _EARLIEST:
            return Problem("date_out_of_range", f"{text!r} lies before 1970.", "Check the year and the order of day and month.")
        return None


def _build(match: re.Match[str], month: int, day: int, text: str) -> datetime | Problem:
    hour = int(match["hour"] or 0)
    if match["half"]:
        if not 1 <= hour <= 12:
            return Problem(_UNREADABLE[0], f"{text!r} is not a time of day.", _UNREADABLE[1])
        hour = hour % 12 + (12 if match["half"].lower() == "pm" else 0)
    fraction = int((match["fraction"] or "0").ljust(6, "0"))
    offset = match["offset"]
    zone = "" if not offset else "+00:00" if offset in {"Z", "UTC"} else offset
    try:
        moment = datetime(int(match["year"]), month, day, hour, int(match["minute"] or 0), int(match["second"] or 0), fraction)  # noqa: DTZ001
        return datetime.fromisoformat(moment.isoformat() + zone) if zone else moment
    except ValueError:
        return Problem(_UNREADABLE[0], f"{text!r} is not a date of the calendar.", _UNREADABLE[1])


def parse_unix(text: str, fmt: DateFormat, *, milliseconds: bool = False) -> str | Problem:
    """ISO text of an instant given as Unix seconds (or milliseconds)."""
    if not re.fullmatch(r"[0-9]{1,13}(?:\.[0-9]{1,6})?", text):
        return Problem("not_a_date", f"{text!r} is not a Unix time.", "Enter whole seconds since 1970, or choose another date format.")
    seconds = float(text) / (1000 if milliseconds else 1)
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return Problem("date_out_of_range", f"{text!r} is outside the calendar.", "Check whether the column holds seconds or milliseconds.")
    return fmt.parse_instant(moment.isoformat())
