"""The interval over the longest time that is known, and how growth and interval do on players that they were not fitted to.

Trees answer only for players of whom they learned nothing (`ltv.Learned`). For the figures, growth and interval are also fitted to two
parts of the players and measured on the third, in turn. What all players share is the law of deposits, eight numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from . import ltv_growth, ltv_interval
from .ltv_deposits import Deposits
from .ltv_growth import WINDOW, YEAR, Growth, Known
from .ltv_interval import Interval
from .ltv_measure import coverage, errors

if TYPE_CHECKING:
    from .ltv import Learned, LtvModel


@dataclass(frozen=True)
class HeldOut:
    """Predictions over the known time, in the order of `Known.rows`: `value`, `bounds` as by `Interval.of`, `scale`; currency units."""

    value: np.ndarray
    bounds: pd.DataFrame
    scale: np.ndarray


def fit(distribution: pd.DataFrame, deposits: Deposits, growth: Growth, known: Known) -> Interval:
    """The interval over `known.days` from held-out predictions of 90 days."""
    return ltv_interval.fit(distribution, known.far, growth.of(deposits, known.rows, known.days))


def held_out(model: "LtvModel", measured: "Learned", known: Known, *, seed: int) -> HeldOut:
    """Every player by growth and interval of the other players."""
    from .ltv import PARTS, part_of

    distribution, part = measured.distribution(known.rows), part_of(known.rows.index)
    value = np.empty(len(part))
    bounds = []
    for number in range(PARTS):
        rest, own = part != number, part == number
        growth = ltv_growth.fit(model.deposits, known.of(rest), seed=seed)
        interval = fit(distribution[rest], model.deposits, growth, known.of(rest))
        stretch = growth.of(model.deposits, known.rows[own], known.days)
        bounds.append(interval.of(distribution[own], stretch))
        value[own] = model.expected(distribution[own], bounds[-1]) * stretch
    order = np.concatenate([np.flatnonzero(part == number) for number in range(PARTS)])
    ends = pd.concat(bounds).iloc[np.argsort(order)]
    # the group that the model in use puts a player into, as that is the one whose coverage is shown
    group = model.extended.of(distribution, model.growth.of(model.deposits, known.rows, known.days))["group"].to_numpy()
    value = model.of_method(value, model.deposits.value(known.rows, known.days), ends)
    return HeldOut(value, ends.assign(group=group), distribution["scale"].to_numpy())


def describe(model: "LtvModel", known: Known | None, found: HeldOut | None) -> Mapping[str, Any]:
    """How far beyond 90 days anything was measured, and how the extended values did there."""
    growth = model.growth
    answer: dict[str, Any] = {
        "days_measured": model.days,
        "correction": growth.correction,
        "correction_error": growth.error,
        "players": growth.players,
        "validated": model.days >= YEAR,
        "reason": _reach(model.days),
    }
    if known is not None and found is not None:
        naive = np.nan_to_num(known.rows["ngr_90d"].to_numpy(float), nan=0.0) * known.days / WINDOW
        figures = errors(known.far, found.value, found.scale) | coverage(known.far, found.bounds)
        if "coverage" in figures:
            answer["reason"] += f" Of players held out, P10 to P90 over {known.days} days held {figures['coverage']:.1%}."
        answer["metrics"] = figures
        answer["baseline"] = errors(known.far, naive, found.scale)
    return answer


def _reach(days: int) -> str:
    if days >= YEAR:
        return "The value of 365 days was measured."
    if days > WINDOW:
        return (
            f"The history shows what followed for {days} days. The days from {days} to {YEAR} follow the fitted course of deposits and "
            "were not measured; they will be when cut-offs lie a year back."
        )
    return (
        f"The history shows no more than {WINDOW} days after a cut-off. The days from {WINDOW} to {YEAR} follow the course of deposits "
        "by BG/NBD alone and were not measured."
    )
