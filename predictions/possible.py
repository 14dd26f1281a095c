"""Whether figures of a player can be true together: what is refused before anything is scored.

Only contradictions among what was told, and with what no change can alter (the registration); everything else is moved along by
`predictions.dependent`.
"""

from collections.abc import Mapping

from predictions.ml.features import BY_NAME
from predictions.windows import LAST, TOTAL, WINDOWS, family_of

_ACTIVITY = "days_since_last_activity"
_MOST = {"days": 36_500.0, "weeks": 5_200.0, "count": 1_000_000.0, "minutes": 1_440.0}
_MOST_MONEY = 1_000_000_000.0  # in typical deposits


def problems(before: Mapping[str, float | None], given: Mapping[str, float | None]) -> dict[str, str]:
    """Field to what is wrong with it; {} when all can be. `before`: the player's own figures, {} for somebody described."""
    found: dict[str, str] = {}
    told = {name: value for name, value in given.items() if value is not None}
    _check_sizes(told, found)
    tenure = told.get("tenure_days", before.get("tenure_days"))
    if tenure is not None:
        _check_registration(told, before, tenure, found)
    away = told.get(_ACTIVITY)
    for part in ("days_since_last_play", "days_since_last_deposit"):
        if away is not None and part in told and told[part] < away:
            found.setdefault(part, f"The last activity of all was {away:,.0f} days ago, so this cannot be later.")
    for family in WINDOWS:
        _check_windows(family, told, found)
    for window in ("30d", "90d", "total"):
        count, money = f"deposit_count_{window}", f"deposits_{window}"
        if count in told and money in told and (told[count] == 0) != (told[money] == 0):
            found.setdefault(money, f"{told[count]:,.0f} deposits cannot be {'no money' if told[count] else 'money'}.")
    for days in (7, 30, 90):
        sessions, active = f"sessions_{days}d", f"active_days_{days}d"
        if told.get(sessions) and told.get(active) == 0:
            found.setdefault(active, f"{told[sessions]:,.0f} sessions need a day at least.")
    return found


def _check_sizes(told: Mapping[str, float], found: dict[str, str]) -> None:
    for name, value in told.items():
        most = _MOST_MONEY if BY_NAME[name].is_money else _MOST.get(BY_NAME[name].unit)
        if most is not None and abs(value) > most:
            found[name] = "No amount is that large." if BY_NAME[name].is_money else f"{most:,.0f} at most."
    for name, most in (("active_days_7d", 7), ("active_days_30d", 30), ("active_days_90d", 90), ("active_weeks_90d", 13)):
        if told.get(name, 0) > most:
            found[name] = f"{most} at most: the window has no more."


def _check_registration(told: Mapping[str, float], before: Mapping[str, float | None], tenure: float, found: dict[str, str]) -> None:
    for name in (_ACTIVITY, "days_since_last_play", "days_since_last_deposit"):
        if name in told and told[name] > tenure:
            found.setdefault(name, f"This lies before the registration, {tenure:,.0f} days ago.")
        elif "tenure_days" in told and name not in told and (before.get(name) or 0.0) > tenure:
            found.setdefault("tenure_days", f"{BY_NAME[name].label.capitalize()}: {before[name]:,.0f}. The registration lies before that.")
    for days in (7, 30, 90):
        name = f"active_days_{days}d"
        if name in told and told[name] > max(tenure, 1.0):
            found.setdefault(name, f"{tenure:,.0f} at most: the registration is that many days ago.")


def _check_windows(family: tuple[tuple[str, int], ...], told: Mapping[str, float], found: dict[str, str]) -> None:
    last = LAST[family_of(family)]
    largest: tuple[str, float] | None = None
    for name, days in family:
        if name not in told:
            continue
        if largest is not None and told[name] < largest[1]:
            found.setdefault(name, f"A longer window holds at least what a shorter one does: {BY_NAME[largest[0]].label}.")
        if largest is None or told[name] > largest[1]:
            largest = (name, told[name])
        if last in told and days != TOTAL and told[name] > 0 and told[last] > days:
            found.setdefault(name, f"{BY_NAME[last].label.capitalize()}: {told[last]:,.0f}, so there was nothing in these {days} days.")
