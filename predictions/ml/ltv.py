"""Lifetime value: net gaming revenue of the next 365 and 90 days, in currency units, with an interval that holds 80 %.

Two methods: (a) BG/NBD with Gamma-Gamma on deposits times the margin (`ltv_deposits`), (b) gradient boosting (`ltv_boosted`). Both are
answered; `value` is by the one with the lower error on the last development cut-off, for depositors of whom anything is uncertain
(without a deposit only (b) knows anything, and who almost certainly brings in nothing is told by (b) alone). The error is the squared
error over the player's scale: like a squared error it is lowest for the true mean, but one whale does not decide it. An absolute error is
lowest for the median, and with most players bringing in nothing would choose whoever says 0.

The year is the 90 days times a growth that is fitted to what is known (`ltv_growth`). Cut-offs whose 365 days are over serve the year
alone: nothing of the 90 days is fitted, chosen or measured on them. The interval is conformalised on the last development cut-off
(`ltv_interval`), and again over the longest time that is known (`ltv_extension`): all of the 365 days, or as much as the history shows.

Both methods have the interval by boosting. BG/NBD's own is one of deposits times a constant margin: it never falls below 0 and knows
nothing of the luck of the games, by which many players bring in less than nothing, and no shift of its ends would tell those players from
others. The quantiles by boosting see the same deposits (bg_recency, bg_frequency, bg_age, bg_spend are among the features), and conformal
calibration holds whatever says the mean. What BG/NBD's own interval holds stands among the candidates. The mean of a skewed value may lie
outside P10 to P90 by either method.

Of players who almost certainly bring in nothing (`ltv_interval`, group 0), BG/NBD, which does not see that nobody plays any more, still
expects deposits, and trees a little of the scale; of a former whale that is much, and beside P10 = P90 = 0 it would lead every list. So
theirs is what trees expect, multiplied by the slope of what came on that among held-out such players (`certain_slope`): next to nothing.

Nothing is measured on players that were learned from: players are divided by id into three parts, trees for the players of a part learn
from the other two, and all choices, calibrations and reported figures use those. (Label windows of neighbouring cut-offs overlap, so a
later cut-off alone would not be unseen.) The trees in use learn from all players of all development cut-offs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from . import ltv_boosted, ltv_deposits, ltv_extension, ltv_growth, ltv_interval
from .kinds import Cutoff, Explanation, History, NotEnoughData, Trained
from .ltv_boosted import BOOSTED, Boosted
from .ltv_deposits import PROBABILISTIC, Deposits
from .ltv_growth import YEAR, Growth
from .ltv_interval import Interval
from .ltv_measure import scaled_error

MINIMUM_PLAYERS = 500
MINIMUM_VALUES = 50
PARTS = 3
REQUIRED = (*ltv_boosted.SCALE, *ltv_deposits.COLUMNS)
_CONTEXT = ("currency", "currency_unit")


@dataclass(frozen=True)
class LtvModel:
    """`interval` is that of 90 days, `extended` the one over `days`, the longest time measured; beyond, it grows with the value.

    `certain_slope`: what is expected of players of whom almost certainly nothing comes is multiplied by it, from 0 to 1.
    `confidence`: per group of `extended`, the share of held-out players whose value over `days` lay within P10 to P90, ends included.
    """

    algorithm: str
    features: tuple[str, ...]
    boosted: Boosted
    deposits: Deposits
    growth: Growth
    interval: Interval
    extended: Interval
    days: int
    certain_slope: float
    confidence: tuple[float, ...]

    def __setstate__(self, state: dict[str, Any]) -> None:
        if missing := [one.name for one in fields(self) if one.name not in state]:
            raise ValueError(f"the value model was trained by a release that had no {', '.join(missing)}")
        self.__dict__.update(state)

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Currency units over 365 days, those ending in _90 over 90; probabilistic, alive, purchases NaN without a deposit."""
        distribution = self.boosted.distribution(frame)
        bounds = self.interval.of(distribution)
        growth = self.growth.of(self.deposits, frame, YEAR)
        ends = self.extended.of(distribution, growth)
        boosted = self.expected(distribution, ends) * growth
        probabilistic = self.deposits.value(frame, YEAR)
        columns = {
            "value": self.of_method(boosted, probabilistic, ends),
            "p10": ends["p10"].to_numpy(),
            "p50": ends["p50"].to_numpy(),
            "p90": ends["p90"].to_numpy(),
            "value_90": self.of_method(self.expected(distribution, bounds), self.deposits.value(frame, ltv_growth.WINDOW), bounds),
            "probabilistic": probabilistic,
            "boosted": boosted,
            "alive": self.deposits.alive(frame),
            "purchases": self.deposits.purchases(frame, YEAR),
            "confidence": np.asarray(self.confidence)[ends["group"].to_numpy()],
            "p10_90": bounds["p10"].to_numpy(),
            "p50_90": bounds["p50"].to_numpy(),
            "p90_90": bounds["p90"].to_numpy(),
        }
        return pd.DataFrame(columns, index=frame.index)

    def expected(self, distribution: pd.DataFrame, bounds: pd.DataFrame) -> np.ndarray:
        """The mean of a `Boosted.distribution` over 90 days, currency units, shape (rows,), as told beside the ends `bounds`."""
        return expected(distribution, bounds, self.certain_slope)

    def of_method(self, boosted: np.ndarray, probabilistic: np.ndarray, bounds: pd.DataFrame) -> np.ndarray:
        """The value by the method in use, shape (rows,), beside the ends `bounds`: by boosting wherever deposits say nothing."""
        return np.where(self._by_deposits(probabilistic, bounds), probabilistic, boosted)

    def _by_deposits(self, probabilistic: np.ndarray, bounds: pd.DataFrame) -> np.ndarray:
        """Whose value is told by their deposits, shape (rows,)."""
        answer: np.ndarray = told_by_deposits(probabilistic, bounds) & (self.algorithm == PROBABILISTIC)
        return answer

    def explain(self, frame: pd.DataFrame) -> Explanation:
        """Contributions to `value`. Each row's base is what an average player who stays as long as this one would bring in.

        By boosting: `Boosted.contributions` times the growth and, as the base, times the slope where almost certainly nothing comes. By
        deposits: margin x alive x deposit days if alive x spend, each factor's Shapley value against its training mean, entered under
        bg_recency, bg_frequency and bg_spend.
        """
        parts, base = self.boosted.contributions(frame)
        distribution = self.boosted.distribution(frame)
        growth = self.growth.of(self.deposits, frame, YEAR)
        ends = self.extended.of(distribution, growth)
        factor = growth * _kept(ends, self.certain_slope)
        parts, base = parts * factor[:, None], base * factor
        probabilistic = self.deposits.value(frame, YEAR)
        known = self._by_deposits(probabilistic, ends)
        if known.any():
            by_deposits, deposit_base = self.deposits.contributions(frame[known], YEAR)
            parts[known] = 0.0
            for name, column in by_deposits.items():
                parts[known, self.features.index(name)] = column
            base[known] = deposit_base
        value = self.of_method(self.expected(distribution, ends) * growth, probabilistic, ends)
        if not np.allclose(base + parts.sum(axis=1), value, rtol=1e-5, atol=1e-6):
            raise ArithmeticError("contributions do not add up to the value")
        return Explanation(self.features, parts, base, "currency units")


@dataclass(frozen=True)
class Learned:
    """Trees per part of the players, learned from the other parts."""

    parts: Sequence[Boosted]

    def held_out(self, frame: pd.DataFrame, answer: Callable[[Boosted, pd.DataFrame], pd.DataFrame]) -> pd.DataFrame:
        """`answer` for every row by the trees that have not seen the player, in the order of `frame`."""
        part = part_of(frame.index)
        pieces = [answer(trees, frame[part == number]) for number, trees in enumerate(self.parts)]
        order = np.concatenate([np.flatnonzero(part == number) for number in range(PARTS)])
        return pd.concat(pieces).iloc[np.argsort(order)]

    def distribution(self, frame: pd.DataFrame) -> pd.DataFrame:
        return self.held_out(frame, Boosted.distribution)


def train(history: History, *, seed: int) -> Trained:
    """NotEnoughData below 2 development cut-offs, 500 eligible players, 50 values that are not 0, or 300 (repeat) depositors."""
    from .ltv_record import record

    near = [cutoff for cutoff in history.cutoffs if not year_is_over(cutoff)]
    if not near:
        raise NotEnoughData("every cut-off lies a year back, none is left to learn the next 90 days from: train with later cut-offs.")
    development, evaluation = [usable(cutoff) for cutoff in near[:-1]], usable(near[-1])
    check(development)
    last = development[-1]
    features = tuple(name for name in last.features.columns if name not in _CONTEXT)
    deposits = ltv_deposits.fit(development)
    # for choosing and calibrating: trees that saw neither these players nor the last development cut-off
    earlier = _learn(development[:-1], features, seed)
    distribution = earlier.distribution(last.features)
    truth = last.labels["ngr_90d"].to_numpy(float)
    interval = ltv_interval.fit(distribution, truth)
    bounds = interval.of(distribution)
    slope = certain_slope(distribution, bounds, truth)
    by_trees = expected(distribution, bounds, slope)
    algorithm = choose(deposits.value(last.features, ltv_growth.WINDOW), by_trees, bounds, distribution["scale"].to_numpy(), truth)
    # for measuring: trees that saw all development cut-offs, but not these players
    measured = _learn(development, features, seed)
    # with everybody, as who is not eligible later still counts for the year; never the evaluation cut-off, whose labels only measure
    known = ltv_growth.known([cutoff for cutoff in history.cutoffs if cutoff is not near[-1]])
    growth = ltv_growth.fit(deposits, known, seed=seed)
    extended, days = interval, ltv_growth.WINDOW
    if known is not None:
        extended, days = ltv_extension.fit(measured.distribution(known.rows), deposits, growth, known), known.days
    rows, values = stacked(development)
    draft = LtvModel(
        algorithm,
        features,
        ltv_boosted.fit(rows, values, features, seed=seed),
        deposits,
        growth,
        interval,
        extended,
        days,
        slope,
        confidence=(ltv_interval.COVERAGE,) * len(extended.shift),
    )
    return record(draft, development, evaluation, distribution, measured, known, seed=seed)


def year_is_over(cutoff: Cutoff) -> bool:
    """Whether the value of 365 days is known."""
    return bool(cutoff.labels["ngr_365d"].notna().any())


def usable(cutoff: Cutoff) -> Cutoff:
    """Only players who were eligible and whose 90 days are over."""
    keep = cutoff.labels["is_eligible"].to_numpy().astype(bool) & cutoff.labels["ngr_90d"].notna().to_numpy()
    return Cutoff(cutoff.as_of, cutoff.features[keep], cutoff.labels[keep])


def check(development: Sequence[Cutoff]) -> None:
    """NotEnoughData, or ValueError when columns are missing."""
    if len(development) < 2:
        raise NotEnoughData(
            f"{len(development)} development cut-offs with 90 days after them, two are needed (one to learn from, a later one to choose "
            "and calibrate on): wait until the history is longer or train with more cut-offs."
        )
    missing = [name for name in REQUIRED if name not in development[-1].features.columns]
    if missing:
        raise ValueError(f"the frame lacks {', '.join(missing)}")
    earlier = [sum(len(cutoff.features) for cutoff in development[:-1]), sum(_values(cutoff) for cutoff in development[:-1])]
    players = min(len(development[-1].features), earlier[0])
    if players < MINIMUM_PLAYERS:
        raise NotEnoughData(f"{players} players are too few for values, {MINIMUM_PLAYERS} are needed: import more players.")
    values = min(_values(development[-1]), earlier[1])
    if values < MINIMUM_VALUES:
        raise NotEnoughData(f"{values} players brought in anything within 90 days, {MINIMUM_VALUES} are needed: wait for more play.")


def _values(cutoff: Cutoff) -> int:
    return int((cutoff.labels["ngr_90d"] != 0).sum())


def part_of(players: pd.Index) -> np.ndarray:
    """Part 0, 1 or 2 of each player, by a fixed hash of the id: the same at every cut-off and in every training."""
    mixed = players.to_numpy(dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    answer: np.ndarray = ((mixed >> np.uint64(32)) % np.uint64(PARTS)).astype(np.int64)
    return answer


def stacked(cutoffs: Sequence[Cutoff]) -> tuple[pd.DataFrame, np.ndarray]:
    """All rows of all cut-offs, and their NGR of the following 90 days."""
    rows = pd.concat([cutoff.features for cutoff in cutoffs])
    return rows, np.concatenate([cutoff.labels["ngr_90d"].to_numpy(float) for cutoff in cutoffs])


def certain_slope(distribution: pd.DataFrame, bounds: pd.DataFrame, truth: np.ndarray) -> float:
    """Slope, from 0 to 1, of what came on what was expected of held-out players of whom almost certainly nothing comes (group 0).

    Least squares through 0 of the error over the player's scale, as everywhere here. 1 for fewer than 100 such players, or when nothing
    at all was expected of them.
    """
    certain = (bounds["group"] == 0).to_numpy()
    value, scale = distribution["value"].to_numpy()[certain], distribution["scale"].to_numpy()[certain]
    square = float((value**2 / scale).sum())
    if certain.sum() < ltv_interval.MINIMUM or square == 0:
        return 1.0
    return float(np.clip((truth[certain] * value / scale).sum() / square, 0.0, 1.0))


def expected(distribution: pd.DataFrame, bounds: pd.DataFrame, slope: float) -> np.ndarray:
    """The mean of each player over 90 days, currency units, shape (rows,)."""
    answer: np.ndarray = distribution["value"].to_numpy() * _kept(bounds, slope)
    return answer


def _kept(bounds: pd.DataFrame, slope: float) -> np.ndarray:
    answer: np.ndarray = np.where(bounds["group"] == 0, slope, 1.0)
    return answer


def told_by_deposits(probabilistic: np.ndarray, bounds: pd.DataFrame) -> np.ndarray:
    """Of whom deposits may tell the value, shape (rows,): who made one, and does not almost certainly bring in nothing."""
    answer: np.ndarray = ~np.isnan(probabilistic) & (bounds["group"] != 0).to_numpy()
    return answer


def choose(probabilistic: np.ndarray, by_trees: np.ndarray, bounds: pd.DataFrame, scale: np.ndarray, truth: np.ndarray) -> str:
    """The method with the lower error over 90 days where both could tell the value; boosting when equal. All of shape (rows,)."""
    known = told_by_deposits(probabilistic, bounds)
    if not known.any():
        return BOOSTED
    of_deposits = scaled_error(truth[known], probabilistic[known], scale[known])
    of_trees = scaled_error(truth[known], by_trees[known], scale[known])
    return PROBABILISTIC if of_deposits < of_trees else BOOSTED


def _learn(cutoffs: Sequence[Cutoff], features: tuple[str, ...], seed: int) -> Learned:
    rows, values = stacked(cutoffs)
    part = part_of(rows.index)
    return Learned([ltv_boosted.fit(rows[part != number], values[part != number], features, seed=seed) for number in range(PARTS)])
