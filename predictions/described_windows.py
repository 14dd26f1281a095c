"""What follows for somebody described by a few numbers: the windows, days and totals that were not told.

The assumptions are the plainest ones: the pace that was told held for as long as the person is here (no further back than the
registration, not in the days since the last activity), sessions come on days of their own, a deposit without an amount is a typical
one, and deposits began with the registration. Of what nothing was told (play, bonuses, risk) nothing is filled: it stays unknown.
"""

import math

from predictions.windows import LAST, TOTAL, WINDOWS, Values, family_of

_WHOLE = frozenset({"sessions", "active_days", "deposit_count"})


def fill(values: Values) -> None:
    """Adds to `values` what follows; what is there is left as it is. Amounts are in typical deposits."""
    _pair(values)
    for family in WINDOWS:
        _fill_family(family, values)
    _pair(values)
    _fill_visits(values)
    _fill_deposit_days(values)


def _put(values: Values, name: str, value: float | None) -> None:
    if values.get(name) is None and value is not None:
        values[name] = value


def _pair(values: Values) -> None:
    """Sessions and the days they come on, deposits and their money: the one from the other, window by window."""
    tenure = values.get("tenure_days")
    for days in (7, 30, 90):
        sessions, active = values.get(f"sessions_{days}d"), values.get(f"active_days_{days}d")
        _put(values, f"sessions_{days}d", active)
        if sessions is not None:
            _put(values, f"active_days_{days}d", min(sessions, days, tenure if tenure is not None else days))
    mean = values.get("deposit_mean") or 1.0
    for window in ("30d", "90d", "total"):
        count, money = values.get(f"deposit_count_{window}"), values.get(f"deposits_{window}")
        if count is not None:
            _put(values, f"deposits_{window}", count * mean)
        if money is not None:
            _put(values, f"deposit_count_{window}", float(max(1, math.floor(money / mean + 0.5))) if money else 0.0)


def _fill_family(family: tuple[tuple[str, int], ...], values: Values) -> None:
    tenure, away = values.get("tenure_days"), values.get(LAST[family_of(family)])
    told = [(name, days) for name, days in family if values.get(name) is not None]
    for name, days in family:
        if values.get(name) is not None or not told or (days == TOTAL and tenure is None):
            continue
        shorter = [one for one in told if one[1] < days]
        other, other_days = shorter[-1] if shorter else next(one for one in told if one[1] > days)
        if not shorter and other_days == TOTAL and tenure is None:
            continue
        known, quiet = values[other] or 0.0, 0.0 if shorter else max((away or 0.0) - 1, 0.0)
        span, other_span = (max((float(one) if tenure is None else min(float(one), tenure)) - quiet, 0.0) for one in (days, other_days))
        found = known * min(span / other_span, math.inf) if other_span else known
        if family_of(family) in _WHOLE:
            found = float(math.floor(found + 0.5))
            if known and away is not None and away <= days:
                found = max(found, 1.0)
        found = max(found, known) if shorter else min(found, known)
        values[name] = found if away is None or away <= days else 0.0
        if family_of(family) == "active_days":
            values[name] = min(values[name] or 0.0, days, tenure if tenure is not None else days)


def _fill_visits(values: Values) -> None:
    active, away = values.get("active_days_90d"), values.get("days_since_last_activity")
    if active is None or away is None:
        return
    tenure = values.get("tenure_days")
    span = max((90.0 if tenure is None else min(90.0, tenure)) - away, 0.0)
    _put(values, "active_weeks_90d", min(active, 13.0, float(math.ceil((span + 1) / 7))))
    if active >= 2 and span:
        _put(values, "usual_gap_days", max(span / (active - 1), 1.0))


def _fill_deposit_days(values: Values) -> None:
    count, money = values.get("deposit_count_total"), values.get("deposits_total")
    last, tenure = values.get("days_since_last_deposit"), values.get("tenure_days")
    if not count or money is None or last is None or tenure is None:
        return
    is_repeated = count > 1
    _put(values, "bg_frequency", count - 1)
    _put(values, "bg_age", (tenure if is_repeated else last) / 7)
    _put(values, "bg_recency", max(tenure - last, 0.0) / 7 if is_repeated else 0.0)
    if is_repeated:
        _put(values, "bg_spend", money / count)
