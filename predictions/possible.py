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
_MOST_THINGS = 10_000.0  # of one person: an address every quarter of an hour of 90 days is 8,640
_THINGS = ("ips", "devices", "instruments", "payment_methods")
_SHARES = ("slots_share_90d", "table_share_90d", "live_share_90d", "sports_share_90d")  # of games, none of which is two of these
_NEAR = 0.02  # figures may come rounded
_FAMILIES = {family_of(family): family for family in WINDOWS}
# quotient: what is divided, by what, and what is added to that
_QUOTIENTS = {
    "gap_overdue": ("days_since_last_activity", "usual_gap_days", 0.0),
    "deposit_mean": ("deposits_total", "deposit_count_total", 0.0),
    "stake_mean_90d": ("stake_90d", "rounds_90d", 0.0),
    "bonus_cost_share_90d": ("bonus_cost_90d", "deposits_90d", 0.0),
    "rapid_deposits": ("deposit_count_90d", "sessions_90d", 1.0),
}
# daily rate of the short window / of the long one: at most as many times as the long window is longer, for it holds the short one
_TRENDS = {
    "sessions_trend": ("sessions_30d", "sessions_90d", 90 / 30),
    "sessions_week_trend": ("sessions_7d", "sessions_30d", 30 / 7),
    "deposits_trend": ("deposits_30d", "deposits_90d", 90 / 30),
    "stake_trend": ("stake_30d", "stake_90d", 90 / 30),
    "stake_week_trend": ("stake_7d", "stake_30d", 30 / 7),
}


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
    _check_deposits(told, found)
    _check_visits(told, found)
    _check_games(told, found)
    _check_quotients(told, found)
    _check_trends(told, found)
    return found


def _check_sizes(told: Mapping[str, float], found: dict[str, str]) -> None:
    for name, value in told.items():
        most = _MOST_MONEY if BY_NAME[name].is_money else _MOST.get(BY_NAME[name].unit)
        if name in _THINGS:
            most = _MOST_THINGS
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


def _check_deposits(told: Mapping[str, float], found: dict[str, str]) -> None:
    """Deposits are money: what one window has of the one, each window that holds it has of the other."""
    for count, counted in _FAMILIES["deposit_count"]:
        for money, summed in _FAMILIES["deposits"]:
            if count not in told or money not in told:
                continue
            is_unpaid = counted <= summed and told[count] > 0 and told[money] == 0
            is_uncounted = summed <= counted and told[money] > 0 and told[count] == 0
            if is_unpaid or is_uncounted:
                found.setdefault(money, f"{told[count]:,.0f} deposits cannot be {'no money' if is_unpaid else 'money'}.")


def _check_visits(told: Mapping[str, float], found: dict[str, str]) -> None:
    """Sessions need a day; each is from one address and one device."""
    for sessions, begun in _FAMILIES["sessions"]:
        for active, days in _FAMILIES["active_days"]:
            if begun <= days and told.get(sessions) and told.get(active) == 0:
                found.setdefault(active, f"{told[sessions]:,.0f} sessions need a day at least.")
    most = told.get("sessions_90d")
    for name in ("ips", "devices"):
        if most is not None and told.get(name, 0) > most:
            found.setdefault(name, f"{most:,.0f} at most: each of the sessions has one.")


def _check_games(told: Mapping[str, float], found: dict[str, str]) -> None:
    """Shares of different games add up to 1 at most, and the preferred of n games has a nth at least."""
    shares = [name for name in _SHARES if name in told]
    total = sum(told[name] for name in shares)
    if total > 1 + _NEAR:
        found.setdefault(shares[-1], f"The shares of games add up to {total:.2f}: they are parts of one whole.")
    games, top = told.get("game_variety_90d"), told.get("top_game_share_90d")
    if games and top is not None and top < 1 / games - _NEAR:
        found.setdefault("top_game_share_90d", f"{1 / games:.2f} at least: the preferred of {games:,.0f} games has no less than its part.")
    elif games == 0 and top:
        found.setdefault("top_game_share_90d", "Without a game there is no preferred one.")


def _check_quotients(told: Mapping[str, float], found: dict[str, str]) -> None:
    for name, (above, below, more) in _QUOTIENTS.items():
        if name not in told or below not in told:
            continue
        divisor, words = told[below] + more, BY_NAME[below].label
        if not divisor:
            if told[name]:
                found.setdefault(name, f"{words.capitalize()}: 0, so there is nothing to divide by.")
        elif above in told and abs(told[name] * divisor - told[above]) > _NEAR * (told[above] + divisor):
            by = f"{words} and {more:,.0f}" if more else words
            found.setdefault(name, f"This is not {BY_NAME[above].label} / {by}. Leave it out: it follows from them.")


def _check_trends(told: Mapping[str, float], found: dict[str, str]) -> None:
    for name, (short, long, most) in _TRENDS.items():
        if told.get(name, 0) > most + _NEAR:
            found.setdefault(name, f"{most:.2f} at most: the longer window holds what the shorter one does.")
        elif told.get(name):
            empty = next((one for one in (short, long) if told.get(one) == 0), None)
            if empty is not None:
                found.setdefault(name, f"{BY_NAME[empty].label.capitalize()}: 0, so there is no such rate.")
