"""Value of a described player of whom only the deposits are known, by the operator's own purchase model.

BG/NBD says how often they will deposit in the next 365 days and whether they still will, Gamma-Gamma how much on a day, and the margin what
is kept of it (`predictions.ml.ltv_deposits`). The deposits are read as those of real players are: days (UTC) with a deposit count, their
amounts in units of the currency's median deposit, the first day is no repeat.

The mean is exact. The interval, P10 to P90, holds 80 % of simulated futures of such a player, more where nothing at all is likelier than a
tenth; it takes the fitted parameters and the margin as known, and its coverage was not measured: no confidence is given with it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pandas as pd
from scipy.special import betainc

from predictions.ml import clv
from predictions.ml.ltv_deposits import Deposits
from predictions.ml.profile_schema import Checker, InvalidProfile

DAYS = 365
LEVEL = 0.8
RARE = 1e-4  # one depositor in ten thousand: beyond it the fit rests on next to nobody
DRAWS = 4_000  # p10 and p90 to about half a percent in probability; a few milliseconds
_SEED = 20260315
_FIELDS = ("currency", "deposits", "as_of", "player_id")
_DEPOSIT_FIELDS = ("occurred_at", "amount")
_MOST = 1e12


@dataclass(frozen=True)
class Described:
    """What was told. `deposits`: (day, amount) of each, amounts in `currency`; `day`: of the scoring, not before the last of them."""

    currency: str
    deposits: tuple[tuple[date, float], ...]
    day: date


def read(profile: Mapping[str, Any], now: datetime) -> Described:
    """The description, checked; scored as of its "as_of", or where it has none as of `now`.

    Clocks differ: up to `profile_schema.CLOCKS_APART` after `now` is no future, and without "as_of" the day of such a deposit is that of
    the scoring. Raises InvalidProfile with all that is wrong, under the field's name: no deposit at all, an amount that is not above 0,
    a date in the future or after the "as_of" that was given.
    """
    check = Checker(now)
    check.known(profile, _FIELDS, "")
    told = check.moment(profile, "as_of", "", needed=False)
    currency = profile.get("currency")
    if not isinstance(currency, str) or not currency:
        check.errors["currency"] = "is needed."
    deposits: list[tuple[date, float]] = []
    for at, row in check.rows(profile, "deposits", _DEPOSIT_FIELDS):
        moment = check.moment(row, "occurred_at", at, latest=told)
        amount = check.number(row, "amount", at, 0, _MOST, needed=True)
        if amount == 0:
            check.errors[f"{at}amount"] = "must be above 0."
        if moment is not None:
            deposits.append((moment.date(), amount))
    if not deposits and not any(field.startswith("deposits") for field in check.errors):
        check.errors["deposits"] = "must hold at least one: of somebody who never deposited the purchase model knows nothing."
    if check.errors:
        raise InvalidProfile(check.errors)
    day = told.date() if told is not None else max(now.date(), *(day for day, _ in deposits))
    return Described(str(currency), tuple(deposits), day)


def history(described: Described, unit: float) -> pd.DataFrame:
    """One row of `clv.COLUMNS`; amounts divided by `unit`, the median deposit of the currency."""
    by_day: dict[date, float] = {}
    for day, amount in described.deposits:
        by_day[day] = by_day.get(day, 0.0) + amount
    days = sorted(by_day)
    repeats = [by_day[day] / unit for day in days[1:]]
    spend = sum(repeats) / len(repeats) if repeats else math.nan
    recency, age = ((end - days[0]).days / clv.DAYS_PER_UNIT for end in (days[-1], described.day))
    return pd.DataFrame([[float(len(repeats)), recency, age, spend]], columns=list(clv.COLUMNS))


def outside(model: Deposits, frame: pd.DataFrame) -> list[str]:
    """Columns of the only row that less than RARE of the depositors reach, as the model was fitted to them.

    bg_frequency: so many repeat deposit days since the first (negative binomial, of who never leaves); bg_spend: so much on average on
    as many days (beta prime). Both tails are exact. Of amounts without a repeat day the model makes no use.
    """
    often, _, age, spend = (float(frame[name].iloc[0]) for name in clv.COLUMNS)
    if not often:
        return []
    bg, gg = model.bg, model.gg
    tails = {
        "bg_frequency": betainc(often, bg.r, age / (age + bg.alpha)),
        "bg_spend": betainc(gg.q, gg.p * often, gg.v / (gg.v + often * spend)),
    }
    return [name for name, tail in tails.items() if tail < RARE]


def value(model: Deposits, described: Described, unit: float) -> dict[str, Any]:
    """Value of the next 365 days, in the currency of the description.

    value; low, median, high: the interval of `level`; alive: probability of still being a customer, None without a repeat deposit day;
    purchases: expected days with a deposit; amounts_used: deposit days whose amount entered, all but the first, which Gamma-Gamma leaves
    out as BG/NBD begins with it; outside: see there; base and drivers: value = base (of an average depositor) + the
    contributions of all drivers, largest first, each {"feature", "label", "unit", "value", "contribution", "words"}.
    """
    frame = history(described, unit)
    found = clv.value(model.bg, model.gg, frame, DAYS, seed=_SEED, draws=DRAWS, margin=model.margin).iloc[0]
    parts, base = model.contributions(frame, DAYS)
    often = float(model.purchases_if_alive(frame, DAYS)[0])
    # without a repeat BG/NBD knows nothing of leaving and says 1, however long ago the only deposit day is
    alive = float(found["alive"]) if frame["bg_frequency"].iloc[0] > 0 else None
    still = "one deposit day tells nothing of leaving" if alive is None else f"still a customer with {100 * alive:.0f} %"
    spend = float(model.gg.expected_spend(frame["bg_frequency"].to_numpy(), frame["bg_spend"].to_numpy())[0]) * unit
    facts = (
        ("bg_recency", "still a customer", "share", alive, still),
        ("bg_frequency", "deposit days in a year, if still a customer", "days", often, f"{often:,.1f} deposit days a year, if still here"),
        ("bg_spend", "deposited on a deposit day", "money", spend, f"{spend:,.2f} on a deposit day"),
    )
    drivers = [
        {
            "feature": name,
            "label": label,
            "unit": kind,
            "value": figure,
            "contribution": float(parts[name][0]) * unit,
            "words": words,
        }
        for name, label, kind, figure, words in facts
    ]
    return {
        "value": float(found["value"]) * unit,
        "low": float(found["p10"]) * unit,
        "median": float(found["p50"]) * unit,
        "high": float(found["p90"]) * unit,
        "level": LEVEL,
        "alive": alive,
        "purchases": float(found["purchases"]),
        "amounts_used": int(frame["bg_frequency"].iloc[0]),
        "margin": model.margin,
        "outside": outside(model, frame),
        "base": float(base[0]) * unit,
        "drivers": sorted(drivers, key=lambda one: -abs(one["contribution"])),
    }
