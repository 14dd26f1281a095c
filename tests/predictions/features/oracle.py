"""A plain Python account of the features of one player, written from docs/predictions-features.md and not from the SQL.

Events are dicts with the columns of the simulator's frames; money is in minor units. Players have no statements and no grants.
"""

import math
import statistics
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

NAN = math.nan
TABLE = {"table", "roulette", "blackjack", "poker"}


def share(part: float | Fraction, whole: float | Fraction) -> float:
    return float(Fraction(part) / Fraction(whole)) if whole else NAN


def day(moment: datetime) -> Any:
    return moment.astimezone(UTC).date()


def features(
    registered: datetime,
    payments: list[dict],
    sessions: list[dict],
    plays: list[dict],
    games: dict[str, dict],
    unit: float,
    as_of: datetime,
) -> dict[str, float]:
    cut = as_of.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    today = cut.date()
    money = unit * 100
    payments = [one for one in payments if one["occurred_at"] < cut]
    sessions = [one for one in sessions if one["started_at"] < cut]
    plays = [one for one in plays if one["played_at"] < cut]

    def last(events: list[dict], column: str, days: int) -> list[dict]:
        return [one for one in events if one[column] >= cut - timedelta(days=days)]

    def of(kind: str, days: int | None = None, status: str = "COMPLETED") -> list[dict]:
        chosen = payments if days is None else last(payments, "occurred_at", days)
        return [one for one in chosen if one["kind"] == kind and one["status"] == status]

    def total(events: list[dict], column: str = "amount") -> int:
        return sum(one[column] for one in events)

    deposits = of("DEPOSIT")
    active = sorted(
        {day(one["occurred_at"]) for one in deposits}
        | {day(one["started_at"]) for one in sessions}
        | {day(one["played_at"]) for one in plays}
    )
    ages = [(today - one).days for one in active]
    within = {days: [age for age in ages if age <= days] for days in (7, 30, 90, 365)}
    since = min([day(registered), *active])
    tenure = (today - since).days

    def idle(events: list[dict], column: str) -> float:
        return (today - max(day(one[column]) for one in events)).days if events else NAN

    def trend(short_sum: float, long_sum: float, short: int, long: int) -> float:
        return share(Fraction(short_sum, min(short, tenure)), Fraction(long_sum, min(long, tenure))) if long_sum else NAN

    visits = {days: last(sessions, "started_at", days) for days in (7, 14, 30, 90)}
    played = {days: last(plays, "played_at", days) for days in (7, 30, 90, 365)}
    stake = {days: total(played[days], "stake") for days in played}
    payout = {days: total(played[days], "payout") for days in played}
    lengths = [(one["ended_at"] - one["started_at"]) // timedelta(seconds=1) for one in visits[90] if one["ended_at"] < cut]
    weekdays = [one.weekday() for one in active if (today - one).days <= 90]
    gap = share((active[-1] - active[-len(within[365])]).days, len(within[365]) - 1) if len(within[365]) > 1 else NAN
    by_game: dict[str, int] = {}
    by_category: dict[str, int] = {}
    by_day: dict[Any, list[int]] = {}
    for one in played[90]:
        category = games[one["game_code"]]["category"]
        by_game[one["game_code"]] = by_game.get(one["game_code"], 0) + one["stake"]
        by_category[category] = by_category.get(category, 0) + one["stake"]
        sums = by_day.setdefault(day(one["played_at"]), [0, 0])
        sums[0] += one["stake"]
        sums[1] += one["payout"]
    staked_days = [sums for sums in by_day.values() if sums[0]]
    deviation = statistics.stdev(won - staked for staked, won in staked_days) if len(staked_days) > 1 else NAN
    deposit_days: dict[Any, int] = {}
    for one in deposits:
        if one["amount"]:
            deposit_days[day(one["occurred_at"])] = deposit_days.get(day(one["occurred_at"]), 0) + one["amount"]
    first, final = (min(deposit_days), max(deposit_days)) if deposit_days else (today, today)
    repeats = len(deposit_days) - 1
    attempts = len(of("DEPOSIT", 365)) + len(of("DEPOSIT", 365, "FAILED"))
    used = [one for one in last(payments, "occurred_at", 365) if one["kind"] in ("DEPOSIT", "WITHDRAWAL")]
    back = [one for one in last(payments, "occurred_at", 365) if one["kind"] in ("REFUND", "CHARGEBACK") and one["status"] == "COMPLETED"]
    last_active = ages[-1] if ages else NAN
    return {
        "days_since_last_activity": last_active,
        **{f"sessions_{days}d": len(visits[days]) for days in (7, 14, 30, 90)},
        "session_minutes_mean": share(sum(lengths), 60 * len(lengths)),
        **{f"active_days_{days}d": len(within[days]) for days in (7, 30, 90)},
        "active_weeks_90d": len({(age - 1) // 7 for age in ages if age <= 91}),
        "usual_gap_days": gap,
        "gap_overdue": last_active / gap,
        "sessions_trend": trend(len(visits[30]), len(visits[90]), 30, 90),
        "sessions_week_trend": trend(len(visits[7]), len(visits[30]), 7, 30),
        "weekend_share": share(sum(one >= 5 for one in weekdays), len(weekdays)),
        "top_weekday_share": share(max((weekdays.count(one) for one in range(7)), default=0), len(weekdays)),
        "days_since_last_deposit": idle(deposits, "occurred_at"),
        "deposit_count_30d": len(of("DEPOSIT", 30)),
        "deposit_count_90d": len(of("DEPOSIT", 90)),
        "deposits_30d": total(of("DEPOSIT", 30)) / money,
        "deposits_90d": total(of("DEPOSIT", 90)) / money,
        "deposit_count_total": len(deposits),
        "deposits_total": total(deposits) / money,
        "deposit_mean": share(total(deposits), len(deposits)) / money,
        "deposit_failure_rate": share(len(of("DEPOSIT", 365, "FAILED")), attempts),
        "deposits_trend": trend(total(of("DEPOSIT", 30)), total(of("DEPOSIT", 90)), 30, 90),
        "withdrawals_90d": total(of("WITHDRAWAL", 90)) / money,
        "withdrawal_count_90d": len(of("WITHDRAWAL", 90)),
        "days_since_last_play": idle(plays, "played_at"),
        **{f"stake_{days}d": stake[days] / money for days in (7, 30, 90)},
        "stake_total": total(plays, "stake") / money,
        "rounds_90d": total(played[90], "rounds"),
        "stake_mean_90d": share(stake[90], total(played[90], "rounds")) / money,
        # the roll-up keeps four decimals of the currency
        "max_stake_90d": max((round(Fraction(one["stake"] * 100, one["rounds"])) for one in played[90]), default=0) / money / 100,
        "stake_trend": trend(stake[30], stake[90], 30, 90),
        "stake_week_trend": trend(stake[7], stake[30], 7, 30),
        "game_variety_90d": len(by_game),
        "top_game_share_90d": share(max(by_game.values(), default=0), stake[90]),
        "slots_share_90d": share(by_category.get("slots", 0), stake[90]),
        "table_share_90d": share(sum(amount for name, amount in by_category.items() if name in TABLE), stake[90]),
        "live_share_90d": share(by_category.get("live", 0), stake[90]),
        "sports_share_90d": share(by_category.get("sports", 0), stake[90]),
        "win_ratio_90d": share(payout[90], stake[90]),
        "volatility_90d": deviation / (sum(staked for staked, _ in staked_days) / len(staked_days)) if staked_days else NAN,
        **{f"ngr_{days}d": (stake[days] - payout[days]) / money for days in (30, 90, 365)},
        "theo_90d": float(sum(one["stake"] * Fraction(str(games[one["game_code"]]["house_edge"])) for one in played[90])) / money,
        "bg_frequency": repeats if deposit_days else NAN,
        "bg_recency": (final - first).days / 7 if deposit_days else NAN,
        "bg_age": (today - first).days / 7 if deposit_days else NAN,
        "bg_spend": share(sum(deposit_days.values()) - deposit_days[first], repeats) / money if repeats > 0 else NAN,
        "bonus_share_90d": share(total(played[90], "bonus_stake"), stake[90]),
        "bonuses_90d": 0,
        "bonus_take_rate": NAN,
        "bonus_cost_90d": 0,
        "bonus_cost_share_90d": 0 if total(of("DEPOSIT", 90)) else NAN,
        "tenure_days": tenure,
        "payment_methods": len({one["method"] for one in used if one["status"] == "COMPLETED"} - {""}),
        "instruments": len({one["instrument"] for one in used} - {""}),
        "devices": len({one["device_id"] for one in visits[90]} - {""}),
        "ips": len({one["ip"] for one in visits[90]}),
        "rapid_deposits": len(of("DEPOSIT", 90)) / (len(visits[90]) + 1),
        "refunds_365d": total(back) / money,
    }


def churned(payments: list[dict], plays: list[dict], as_of: datetime, horizon_days: int) -> bool:
    begin = as_of.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    end = begin + timedelta(days=horizon_days)
    paid = any(one["kind"] == "DEPOSIT" and one["status"] == "COMPLETED" and begin <= one["occurred_at"] < end for one in payments)
    by_day: dict[Any, int] = {}
    for one in plays:
        if begin <= one["played_at"] < end:
            by_day[day(one["played_at"])] = by_day.get(day(one["played_at"]), 0) + one["stake"] - one["bonus_stake"]
    return not paid and not any(by_day.values())
