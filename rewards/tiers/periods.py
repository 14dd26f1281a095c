"""The periods of a programme as SQL over days: the same as in `qualification`, for a column of days."""

from rewards.tiers.qualification import Window

_UNIT = {Window.MONTH: "month", Window.QUARTER: "quarter", Window.YEAR: "year"}
_SPAN = {Window.MONTH: "1 month", Window.QUARTER: "3 months", Window.YEAR: "1 year"}


class Periods:
    """SQL expressions on the expression `day`. `joined` is the column with the day whose anniversaries count."""

    def __init__(self, window: Window, rolling_days: int, joined: str) -> None:
        self.window, self.days, self.joined = window, int(rolling_days), joined

    def start(self, day: str) -> str:
        if self.window is Window.ROLLING:
            return f"({day} - {self.days - 1})"
        if self.window is Window.ANNIVERSARY:
            return self._anniversary(self._years(day))
        return f"date_trunc('{_UNIT[self.window]}', ({day})::timestamp)::date"

    def end(self, day: str) -> str:
        if self.window is Window.ROLLING:
            return f"({day} + 1)"
        if self.window is Window.ANNIVERSARY:
            return self._anniversary(f"({self._years(day)} + 1)")
        return f"(date_trunc('{_UNIT[self.window]}', ({day})::timestamp) + interval '{_SPAN[self.window]}')::date"

    def end_of_next(self, day: str) -> str:
        return f"({day} + {self.days + 1})" if self.window is Window.ROLLING else self.end(self.end(day))

    def end_of_this(self, day: str) -> str:
        return f"({day} + {self.days})" if self.window is Window.ROLLING else self.end(day)

    def reviewed_from(self, valid_until: str) -> str:
        return self.start(f"({valid_until} - 1)")

    def _years(self, day: str) -> str:
        years = f"(extract(year FROM {day}) - extract(year FROM {self.joined}))::int"
        return f"({years} - ({self._anniversary(years)} > {day})::int)"

    def _anniversary(self, years: str) -> str:
        return f"({self.joined} + make_interval(years => {years}))::date"
