"""P10, P50 and P90 that mean what they say: a tenth of the values lies below P10, a half below P50, a tenth above P90.

Quantile regression gives first ends; conformal calibration moves each end on its own by a number of player scales, chosen on held-out
values so that its share lies below it (one-sided, after Romano, Patterson, Candes 2019, "Conformalized quantile regression"; by groups of
players: Vovk's Mondrian conformal prediction).

Many players bring in exactly nothing, so the distribution of a value has a point mass at 0, and an end whose level falls into it is 0
exactly: P(value < 0) <= level <= P(value <= 0). Both probabilities are calibrated on the same held-out values, and such an end is not
moved; the others keep their side of 0. Who brings in nothing with a probability above 90 % has P10 = P50 = P90 = 0 in this way.

Where an end is 0, more values than its level may be at or below it, and no interval of plain ends holds exactly 80 %: [0, P90] holds 90 %.
So calibration is judged by the randomised probability integral transform (`ltv_measure.below`): values at a point mass are shared between
the sides as the mass lies. Counting ends as inside instead gives the larger share that a reader sees come true (`confidence`).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from . import calibration
from .calibration import Calibrator

COVERAGE = 0.8
LEVELS = (0.1, 0.5, 0.9)
MINIMUM = 100
_ENDS = ("low", "middle", "high")
_IDLE_BELOW = 0.5
_SIZES = 3
_TINY = 1e-6


@dataclass(frozen=True)
class Signs:
    """Calibration of the probabilities of any value and, if there is any, of a gain; None where only one of both was ever seen."""

    nonzero: Calibrator | None
    gain: Calibrator | None

    def of(self, distribution: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities of a value below and above 0, shape (rows,) each."""
        nonzero = _calibrated(self.nonzero, distribution["nonzero"])
        gain = _calibrated(self.gain, distribution["gain"])
        return nonzero * (1 - gain), nonzero * gain


@dataclass(frozen=True)
class Interval:
    """`limits` cut players by their scale into groups of size; `shift`: by how many scales the three ends of each group move up.

    Groups: 0: all ends are 0; 1: more likely nothing than something; 2, 3, 4: the rest by thirds of their scale.
    """

    signs: Signs
    limits: tuple[float, ...]
    shift: tuple[tuple[float, ...], ...]

    def of(self, distribution: pd.DataFrame, growth: Any = 1.0) -> pd.DataFrame:
        """Columns p10, p50, p90 (currency units), group, and the probabilities below and above (0) of a `Boosted.distribution`, same index.

        `growth`: of the value from 90 days to the time of the interval, one number or one for each row.
        """
        below, above = self.signs.of(distribution)
        side = _sides(below, above)
        group = _groups(side, below + above, distribution, self.limits)
        start, scale = _start(distribution, side, growth)
        moved = start + np.asarray(self.shift)[group] * scale[:, None]
        ends = np.sort(_on_side(moved, side), axis=1)
        columns = {"p10": ends[:, 0], "p50": ends[:, 1], "p90": ends[:, 2], "group": group, "below": below, "above": above}
        return pd.DataFrame(columns, index=distribution.index)


def fit(distribution: pd.DataFrame, value: np.ndarray, growth: Any = 1.0) -> Interval:
    """From predictions of rows that the trees have not learned from, and their true values (rows,) over the time of the interval.

    A group of fewer than 100 rows takes the shifts of all uncertain rows together.
    """
    any_value = value != 0
    signs = Signs(
        _calibrator(distribution["nonzero"].to_numpy(), any_value),
        _calibrator(distribution["gain"].to_numpy()[any_value], value[any_value] > 0),
    )
    below, above = signs.of(distribution)
    side = _sides(below, above)
    limits = _limits(distribution, below + above)
    group = _groups(side, below + above, distribution, limits)
    start, scale = _start(distribution, side, growth)

    def shifts(rows: np.ndarray) -> tuple[float, ...]:
        return tuple(_shift(start[rows, end], scale[rows], side[rows, end], value[rows], level) for end, level in enumerate(LEVELS))

    pooled = shifts(group > 0)
    apart = [shifts(group == number) if (group == number).sum() >= MINIMUM else pooled for number in range(1, 3 + len(limits))]
    return Interval(signs, limits, ((0.0,) * len(LEVELS), *apart))


def _calibrator(probability: np.ndarray, happened: np.ndarray) -> Calibrator | None:
    if happened.all() or not happened.any():
        return None
    return calibration.fit(_log_odds(probability), happened)


def _calibrated(calibrator: Calibrator | None, probability: pd.Series) -> np.ndarray:
    raw = probability.to_numpy()
    return raw if calibrator is None else calibrator.probability(_log_odds(raw))


def _log_odds(probability: np.ndarray) -> np.ndarray:
    kept = np.clip(probability, _TINY, 1 - _TINY)
    answer: np.ndarray = np.log(kept / (1 - kept))
    return answer


def _sides(below: np.ndarray, above: np.ndarray) -> np.ndarray:
    """Of each end (rows, 3): -1 below 0, 1 above, 0 where its level falls into the point mass."""
    levels = np.array(LEVELS)
    answer: np.ndarray = (levels > 1 - above[:, None]).astype(int) - (levels < below[:, None]).astype(int)
    return answer


def _limits(distribution: pd.DataFrame, nonzero: np.ndarray) -> tuple[float, ...]:
    scale = distribution["scale"].to_numpy()[nonzero >= _IDLE_BELOW]
    if len(scale) < MINIMUM * _SIZES:
        return ()
    return tuple(float(limit) for limit in np.quantile(scale, np.arange(1, _SIZES) / _SIZES))


def _groups(side: np.ndarray, nonzero: np.ndarray, distribution: pd.DataFrame, limits: tuple[float, ...]) -> np.ndarray:
    size = 2 + np.searchsorted(np.array(limits), distribution["scale"].to_numpy())
    answer: np.ndarray = np.where((side == 0).all(axis=1), 0, np.where(nonzero < _IDLE_BELOW, 1, size))
    return answer


def _start(distribution: pd.DataFrame, side: np.ndarray, growth: Any) -> tuple[np.ndarray, np.ndarray]:
    """Ends by the trees, brought to their side of 0 (rows, 3), and the scale (rows,), both over the time of the interval."""
    stretch = np.broadcast_to(np.asarray(growth, dtype=float), len(distribution))
    return _on_side(distribution[list(_ENDS)].to_numpy() * stretch[:, None], side), distribution["scale"].to_numpy() * stretch


def _on_side(ends: np.ndarray, side: np.ndarray) -> np.ndarray:
    answer: np.ndarray = np.where(side > 0, np.maximum(ends, 0.0), np.where(side < 0, np.minimum(ends, 0.0), 0.0))
    return answer


def _shift(start: np.ndarray, scale: np.ndarray, side: np.ndarray, value: np.ndarray, level: float) -> float:
    """The shift at which the share `level` of the values of rows with an end beside 0 lies below it; 0 without such a row.

    The quantile at rank level * (n + 1) makes that share right in expectation over samples of any size, as conformal prediction asks.
    """
    rows = side != 0
    if not rows.any():
        return 0.0
    start, scale, side, value = start[rows], scale[rows], side[rows], value[rows]
    needed = (value - start) / scale
    # an end above 0 is above every value at or below 0 wherever it moves, and the other way round
    finite = needed[side * value > 0]
    bound = max(float(np.abs(start / scale).max()), float(np.abs(finite).max(initial=0.0)))
    needed = np.where(side * value > 0, needed, -side * bound)
    return float(np.quantile(needed, level, method="weibull"))
