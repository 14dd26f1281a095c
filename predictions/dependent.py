"""Keeps a changed description of a player possible: what follows from a changed figure is moved with it.

Of a real player only what depends on a change is touched, never a figure that was given, and with no changes nothing moves at all. The
rules are those of the catalogue's definitions: a longer window holds at least what a shorter one does; who has been away longer than a
window did nothing in it; sessions and deposits happen on days; quotients are computed anew. Of somebody described, who has no figures
of his own, `predictions.described_windows` fills what follows from what was told. What cannot be true at all is refused before, by
`predictions.possible`.
"""

import math
from collections.abc import Callable, Mapping

from predictions import possible
from predictions.described_windows import fill
from predictions.services import InvalidProfile
from predictions.windows import LAST, TOTAL, WINDOWS, Values, family_of, spread

_ACTIVITY = "days_since_last_activity"
_OF_PLAY = ("rounds_90d", "game_variety_90d", "max_stake_90d", "theo_90d")  # nothing without a stake
_SHARES_OF_PLAY = ("top_game_share_90d", "slots_share_90d", "table_share_90d", "live_share_90d", "sports_share_90d", "win_ratio_90d",
                   "volatility_90d", "bonus_share_90d")  # fmt: skip


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
    """`before` with `changes` and what follows from them. None is unknown; names that `before` lacks count as unknown.

    An empty `before` is somebody described: windows, last days and totals that were not told are filled (`described_windows.fill`).
    Raises InvalidProfile, by field, for changes that cannot be true together or of this player.
    """
    values: Values = {**before, **changes}
    if not changes:
        return values
    if errors := possible.problems(before, changes):
        raise InvalidProfile(errors)
    _move_last_days(values, changes)
    _move_recency(values, changes)
    for family in WINDOWS:
        _move_windows(family, values, before, changes)
    if before:
        _move_deposits(values, before, changes)
        _move_active_days(values, before, changes)
    else:
        fill(values)
    if values.get("stake_90d") == 0 and before.get("stake_90d") != 0:
        values |= {name: 0.0 for name in _OF_PLAY if name not in changes}
        values |= {name: None for name in _SHARES_OF_PLAY if name not in changes and name in values}
    for name, (inputs, compute) in _QUOTIENTS.items():
        moved = any(values.get(one) != before.get(one) for one in inputs)
        if moved and name not in changes:
            values[name] = compute(values)
    return values


def _move_last_days(values: Values, changes: Mapping[str, float | None]) -> None:
    """The last activity is no longer ago than the last bet or deposit, which are no more recent than it."""
    parts = ("days_since_last_play", "days_since_last_deposit")
    given = [one for part in parts if part in changes and (one := changes[part]) is not None]
    if _ACTIVITY not in changes and given:
        current = values.get(_ACTIVITY)
        values[_ACTIVITY] = min([*given, *([] if current is None else [current])])
    away = values.get(_ACTIVITY)
    for part in parts:
        current = values.get(part)
        if _ACTIVITY in changes and part not in changes and away is not None and current is not None:
            values[part] = max(current, away)


def _move_recency(values: Values, changes: Mapping[str, float | None]) -> None:
    """What was given for a window happened within it, so its last day cannot lie before it: in equal steps, but never after the last
    activity that was given."""
    for family in WINDOWS:
        last = LAST[family_of(family)]
        for name, days in family:
            given = changes.get(name)
            current = values.get(last)
            if last in changes or not given or days == TOTAL or (current is not None and current <= days):
                continue
            floor = values.get(_ACTIVITY) if last != _ACTIVITY else None
            if floor is not None and floor > days and _ACTIVITY not in changes:
                floor = None
            count = {"stake": None, "deposits": 1.0}.get(family_of(family), given)
            values[last] = spread(days, count, values.get("tenure_days"), floor)
            away = values.get(_ACTIVITY)
            if _ACTIVITY not in changes and (away is None or away > (values[last] or 0.0)):
                values[_ACTIVITY] = values[last]


def _move_windows(
    family: tuple[tuple[str, int], ...], values: Values, before: Mapping[str, float | None], changes: Mapping[str, float | None]
) -> None:
    last = LAST[family_of(family)]
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


def _move_deposits(values: Values, before: Mapping[str, float | None], changes: Mapping[str, float | None]) -> None:
    """More deposits bring more money, of the player's usual size (of one typical deposit before the first), and money comes by deposits."""
    mean = before.get("deposit_mean") or 1.0
    last = values.get("days_since_last_deposit")
    for count, amount, days in (("30d", "30d", 30), ("90d", "90d", 90), ("total", "total", TOTAL)):
        counted, deposited = f"deposit_count_{count}", f"deposits_{amount}"
        now, money = values.get(counted), values.get(deposited)
        if now is None or money is None:
            continue
        was, had = before.get(counted) or 0.0, before.get(deposited) or 0.0
        is_recent = last is not None and last <= days and last != before.get("days_since_last_deposit")
        if is_recent and now == 0 and money == had and counted not in changes:
            now = values[counted] = 1.0
        if now != was and money == had and deposited not in changes:
            values[deposited] = max(had + (now - was) * mean, 0.0) if now else 0.0
        elif money != had and now == was and counted not in changes:
            values[counted] = max(now, 1.0, math.floor(money / mean + 0.5) if not now else 1.0) if money else 0.0


def _move_active_days(values: Values, before: Mapping[str, float | None], changes: Mapping[str, float | None]) -> None:
    """Sessions come on days, as many to a day as the player's last 90 had; a window with any activity has a day of it."""
    days_each = min(1.0, _divide(before.get("active_days_90d"), before.get("sessions_90d")) or 1.0)
    away, at_least = values.get(_ACTIVITY), 0.0
    for days in (7, 30, 90):
        name, sessions = f"active_days_{days}d", f"sessions_{days}d"
        current = values.get(name)
        if current is None:
            continue
        if name not in changes:
            wanted = current + ((values.get(sessions) or 0.0) - (before.get(sessions) or 0.0)) * days_each
            is_moved = values.get(sessions) != before.get(sessions) or away != before.get(_ACTIVITY)
            done = away is not None and away <= days
            low = max(at_least, 1.0 if done and is_moved else 0.0)
            high = min(days, values.get("tenure_days") or days) if is_moved else current
            values[name] = max(min(float(math.floor(wanted + 0.5)), max(high, low)), low) if is_moved else max(current, low)
        at_least = values[name] or 0.0
