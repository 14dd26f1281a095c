"""Value by the deposits alone: BG/NBD for how often, Gamma-Gamma for how much, and the margin that is kept of what is deposited.

`margin` is NGR over deposits, both summed over all players and development cut-offs (features of the last 90 days, so nothing after a
cut-off is used); 0 when players took out more than they put in.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from . import bgnbd, clv, gamma_gamma
from .kinds import Cutoff

PROBABILISTIC = "BG/NBD and Gamma-Gamma"
COLUMNS = clv.COLUMNS
# days over which value is measured or foretold: whole 90-day windows, and the year
HORIZONS = (90, 180, 270, 360, 365)


@dataclass(frozen=True)
class Deposits:
    """`pooled`: expected deposit days of all depositors within each of HORIZONS, over those within 90 days. `means`: of alive, of the
    deposit days of a year if alive, and of the spend, over the depositors: what contributions are counted from."""

    bg: bgnbd.BgNbd
    gg: gamma_gamma.GammaGamma
    margin: float
    pooled: dict[int, float]
    means: tuple[float, float, float]

    def value(self, frame: pd.DataFrame, days: int) -> np.ndarray:
        """Expected NGR, currency units, shape (rows,); NaN without a deposit."""
        frequency, _, age, spend = _columns(frame)
        answer: np.ndarray = self.margin * self.purchases(frame, days) * _known(self.gg.expected_spend, age, frequency, spend)
        return answer

    def purchases(self, frame: pd.DataFrame, days: int) -> np.ndarray:
        """Expected days with a deposit within `days`; NaN without a deposit so far."""
        frequency, recency, age, _ = _columns(frame)
        weeks = days / clv.DAYS_PER_UNIT
        return _known(lambda *customer: self.bg.expected_purchases(weeks, *customer), age, frequency, recency, age)

    def alive(self, frame: pd.DataFrame) -> np.ndarray:
        """Probability of being a customer still; NaN without a deposit."""
        frequency, recency, age, _ = _columns(frame)
        return _known(self.bg.probability_alive, age, frequency, recency, age)

    def stretch(self, frame: pd.DataFrame, days: int) -> np.ndarray:
        """Expected deposit days within `days` over those within 90, shape (rows,); without a deposit the ratio of all depositors together.

        The probability of being alive cancels.
        """
        ratio = self.purchases_if_alive(frame, days) / self.purchases_if_alive(frame, 90)
        answer: np.ndarray = np.where(np.isnan(ratio), self.pooled[days], ratio)
        return answer

    def purchases_if_alive(self, frame: pd.DataFrame, days: int) -> np.ndarray:
        """Expected days with a deposit of those who have not left; NaN without a deposit so far."""
        frequency, _, age, _ = _columns(frame)
        return _known(lambda x, whole: _if_alive(self.bg, days, x, whole), age, frequency, age)

    def contributions(self, frame: pd.DataFrame, days: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Parts of `value` by column, (rows,) each, and the base; every row must have a deposit.

        Shapley values of a product of three factors against the product of their means: alive (bg_recency), deposit days if alive
        (bg_frequency), spend (bg_spend).
        """
        alive = self.alive(frame)
        frequency, _, _, spend = _columns(frame)
        often = self.purchases_if_alive(frame, days)
        factors = np.column_stack([alive, often, self.gg.expected_spend(frequency, spend)])
        parts = _shares(factors, np.asarray(self.means)) * self.margin
        return (
            {"bg_recency": parts[:, 0], "bg_frequency": parts[:, 1], "bg_spend": parts[:, 2]},
            np.full(len(frame), self.margin * float(np.prod(self.means))),
        )


def fit(cutoffs: Sequence[Cutoff]) -> Deposits:
    """Customers as of the last cut-off. NotEnoughData when there are fewer than 300 depositors, or 300 with a repeat deposit day."""
    latest = cutoffs[-1].features
    known = latest[latest["bg_age"].notna()]
    frequency, recency, age, spend = _columns(known)
    bg = bgnbd.fit(frequency, recency, age)
    gg = gamma_gamma.fit(frequency, np.where(frequency > 0, spend, 1.0))
    kept = sum(float(cutoff.features["ngr_90d"].sum()) for cutoff in cutoffs)
    deposited = sum(float(cutoff.features["deposits_90d"].sum()) for cutoff in cutoffs)
    totals = {days: float(bg.expected_purchases(days / clv.DAYS_PER_UNIT, frequency, recency, age).sum()) for days in HORIZONS}
    margin = max(kept / deposited, 0.0) if deposited > 0 else 0.0
    alive = bg.probability_alive(frequency, recency, age)
    often = _if_alive(bg, 365, frequency, age)
    means = (float(alive.mean()), float(often.mean()), float(gg.expected_spend(frequency, spend).mean()))
    return Deposits(bg, gg, margin, {days: total / totals[90] for days, total in totals.items()}, means)


def _columns(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    frequency, recency, age, spend = (frame[name].to_numpy(float) for name in COLUMNS)
    return frequency, recency, age, spend


def _if_alive(bg: bgnbd.BgNbd, days: int, frequency: np.ndarray, age: np.ndarray) -> np.ndarray:
    """Divided by the probability of being alive of somebody who deposited just now: it does not depend on when they did, and dividing by
    the own one would lose all digits for those who left long ago."""
    answer: np.ndarray = bg.expected_purchases(days / clv.DAYS_PER_UNIT, frequency, age, age) / bg.probability_alive(frequency, age, age)
    return answer


def _known(function: Callable[..., np.ndarray], age: np.ndarray, *columns: np.ndarray) -> np.ndarray:
    """`function` of the rows with a deposit, NaN elsewhere."""
    known = ~np.isnan(age)
    answer = np.full(len(age), np.nan)
    answer[known] = function(*(column[known] for column in columns))
    return answer


def _shares(factors: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Shapley values of the three factors of a product, shape (rows, 3); they add up to the product minus that of the means."""
    answer = np.empty_like(factors)
    for own in range(3):
        one, two = (other for other in range(3) if other != own)
        here, there = factors[:, one], factors[:, two]
        rest = here * there / 3 + (here * means[two] + means[one] * there) / 6 + means[one] * means[two] / 3
        answer[:, own] = (factors[:, own] - means[own]) * rest
    return answer
