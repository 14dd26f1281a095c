"""Keeps a changed description of a player possible: what follows from a changed figure is moved with it.

Only what depends on a change is touched, never a figure that was given, and with no changes nothing moves at all. The rules are those
of the catalogue's definitions: a longer window holds at least what a shorter one does; who has been away longer than a window did
nothing in it; quotients are computed anew.
"""

import math
from collections.abc import Callable, Mapping

Values = dict[str, float | None]

_WINDOWS: tuple[tuple[tuple[str, int], ...], ...] = (
    (("sessions_7d", 7), ("sessions_14d", 14), ("sessions_30d", 30), ("sessions_90d", 90)),
    (("active_days_7d", 7), ("active_days_30d", 30), ("active_days_90d", 90)),
    (("stake_7d", 7), ("stake_30d", 30), ("stake_90d", 90)),
    (("deposit_count_30d", 30), ("deposit_count_90d", 90), ("deposit_count_total", 10**6)),
    (("deposits_30d", 30), ("deposits_90d", 90), ("deposits_total", 10**6)),
)
# what a window is empty of when the last of its kind lies before it
_LAST = {"sessions": "days_since_last_activity", "active_days": "days_since_last_activity", "stake": "days_since_last_play",
         "deposit_count": "days_since_last_deposit", "deposits": "days_since_last_deposit"}  # fmt: skip


def _ratio(above: str, below: str) -> tuple[tuple[str, ...], Callable[[Values], float | None]]:
    def compute(values: Values) -> float | None:
        return _divide(values.get(above), values.get(below))

    return (above, below), compute


def _trend(short: tuple[str, int], long: tuple[str, int]) -> tuple[tuple[str, ...], Callable[[Values], float | None]]:
    """A daily rate against another; a rate divides by the days of the window that the player has been here."""

    def compute(values: Values) -> float | None:
        tenure = values.get("tenure_days")
        here = math.inf if tenure is None else max(tenure, 1.0)
        rate = _divide(values.get(short[0]), min(short[1], here))
        return _divide(rate, _divide(values.get(long[0]), min(long[1], here)))

    return (short[0], long[0], "tenure_days"), compute


_QUOTIENTS: dict[str, tuple[tuple[str, ...], Callable[[Values], float | None]]] = {
    "gap_overdue": _ratio("days_since_last_activity", "usual_gap_days"),
    "deposit_mean": _ratio("deposits_total", "deposit_count_total"),
    "stake_mean_90d": _ratio("stake_90d", "rounds_90d"),
    "bonus_cost_share_90d": _ratio("bonus_cost_90d", "deposits_90d"),
    "sessions_trend": _trend(("sessions_30d", 30), ("sessions_90d", 90)),
    "sessions_week_trend": _trend(("sessions_7d", 7), ("sessions_30d", 30)),
    "deposits_trend": _trend(("deposits_30d", 30), ("deposits_90d", 90)),
    "stake_trend": _trend(("stake_30d", 30), ("stake_90d", 90)),
    "stake_week_trend": _trend(("stake_7d", 7), ("stake_30d", 30)),
    "rapid_deposits": (
        ("deposit_count_90d", "sessions_90d"),
        lambda values: _divide(values.get("deposit_count_90d"), _plus_one(values.get("sessions_90d"))),
    ),
}


def _plus_one(value: float | None) -> float | None:
    return None if value is None else value + 1


def _divide(above: float | None, below: float | None) -> float | None:
    return None if above is None or not below else above / below


def with_consequences(before: Mapping[str, float | None], changes: Mapping[str, float | None]) -> Values:
    """`before` with `changes` and what follows from them. None is unknown; names that `before` lacks count as unknown."""
    values: Values = {**before, **changes}
    if not changes:
        return values
    _move_last_days(values, changes)
    for family in _WINDOWS:
        _move_windows(family, values, before, changes)
    for name, (inputs, compute) in _QUOTIENTS.items():
        moved = any(values.get(one) != before.get(one) for one in inputs)
        if moved and name not in changes:
            values[name] = compute(values)
    return values


def _move_last_days(values: Values, changes: Mapping[str, float | None]) -> None:
    """The last activity is no longer ago than the last bet or deposit, which are no more recent than it."""
    activity, parts = "days_since_last_activity", ("days_since_last_play", "days_since_last_deposit")
    given = [one for part in parts if part in changes and (one := changes[part]) is not None]
    if activity not in changes and given:
        current = values.get(activity)
        values[activity] = min([*given, *([] if current is None else [current])])
    away = values.get(activity)
    for part in parts:
        current = values.get(part)
        if activity in changes and part not in changes and away is not None and current is not None:
            values[part] = max(current, away)


def _move_windows(
    family: tuple[tuple[str, int], ...], values: Values, before: Mapping[str, float | None], changes: Mapping[str, float | None]
) -> None:
    last = _LAST[family[0][0].rsplit("_", 1)[0]]
    away = values.get(last)
    if values.get(last) != before.get(last) and away is not None:
        for name, days in family:
            if days < away and name not in changes and values.get(name) is not None:
                values[name] = 0.0
    names = [name for name, _ in family]
    for name in names:
        given = changes.get(name)
        if given is None:
            continue
        place = names.index(name)
        for shorter in names[:place]:
            current = values.get(shorter)
            if shorter not in changes and current is not None:
                values[shorter] = min(current, given)
        for longer in names[place + 1 :]:
            current = values.get(longer)
            if longer not in changes and current is not None:
                # what was added in the shorter window lies in the longer one as well
                values[longer] = max(current + given - (before.get(name) or 0.0), given)
