"""An interval that holds 80 % of the values: conformalised quantiles, by group of players.

Quantile regression gives a first interval; conformal calibration moves both ends by the same number of player scales, chosen so that 80 %
of held-out values of the group lie inside (Romano, Patterson, Candes 2019, "Conformalized quantile regression"; by groups: Vovk's Mondrian
conformal prediction). Two things differ from the textbook, both because many players bring in exactly nothing:

- Who brings in nothing with a probability above 90 % has P10 = P50 = P90 = 0, which is exactly right, and such a point holds far more
  than 80 %. They are a group of their own; the coverage of the others is what 78 to 82 % is asked of.
- An interval that held 0 still holds it after it was narrowed: cutting off the likeliest single value would be absurd.

P10 and P90 are therefore the ends of an interval that holds 80 %; with much probability on 0 more than 10 % may lie above P90.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

COVERAGE = 0.8
CERTAIN_BELOW = 0.1
MINIMUM = 100
_IDLE_BELOW = 0.5
_SIZES = 3


@dataclass(frozen=True)
class Groups:
    """0: almost certainly nothing; 1: more likely nothing than something; 2, 3, 4: the rest by thirds of their scale."""

    limits: tuple[float, ...]

    @classmethod
    def fit(cls, distribution: pd.DataFrame) -> "Groups":
        scale = distribution.loc[distribution["nonzero"] >= _IDLE_BELOW, "scale"].to_numpy()
        if len(scale) < MINIMUM * _SIZES:
            return cls(())
        return cls(tuple(float(limit) for limit in np.quantile(scale, np.arange(1, _SIZES) / _SIZES)))

    @property
    def count(self) -> int:
        return 3 + len(self.limits)

    def of(self, distribution: pd.DataFrame) -> np.ndarray:
        """Group of each row of a `Boosted.distribution`, shape (rows,)."""
        nonzero = distribution["nonzero"].to_numpy()
        size = 2 + np.searchsorted(np.array(self.limits), distribution["scale"].to_numpy())
        answer: np.ndarray = np.where(nonzero < CERTAIN_BELOW, 0, np.where(nonzero < _IDLE_BELOW, 1, size))
        return answer


@dataclass(frozen=True)
class Interval:
    """`shift` per group: by how many scales both ends move outwards (negative: inwards)."""

    groups: Groups
    shift: tuple[float, ...]

    def of(self, distribution: pd.DataFrame) -> pd.DataFrame:
        """Columns p10, p50, p90 (90 days, currency units) and group, same index."""
        group = self.groups.of(distribution)
        moved = np.asarray(self.shift)[group] * distribution["scale"].to_numpy()
        low, high = distribution["low"].to_numpy(), distribution["high"].to_numpy()
        low, high = bounded(low, distribution["middle"].to_numpy(), high, low - moved, high + moved)
        low, high = np.where(group == 0, 0.0, low), np.where(group == 0, 0.0, high)
        middle = np.clip(distribution["middle"].to_numpy(), low, high)
        return pd.DataFrame({"p10": low, "p50": middle, "p90": high, "group": group}, index=distribution.index)


def bounded(
    low: np.ndarray, middle: np.ndarray, high: np.ndarray, new_low: np.ndarray, new_high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """New ends that never pass the median, nor 0 where the old interval held it."""
    holds_nothing = (low <= 0) & (high >= 0)
    new_low, new_high = np.minimum(new_low, middle), np.maximum(new_high, middle)
    return (
        np.where(holds_nothing, np.minimum(new_low, 0.0), new_low),
        np.where(holds_nothing, np.maximum(new_high, 0.0), new_high),
    )


def fit(distribution: pd.DataFrame, value: np.ndarray) -> Interval:
    """Shifts from predictions of rows that the trees have not learned from, and their true values (rows,).

    A group of fewer than 100 rows takes the shift of all uncertain rows together.
    """
    groups = Groups.fit(distribution)
    group = groups.of(distribution)
    uncertain = group > 0
    pooled = _shift(distribution[uncertain], value[uncertain])
    shift = [0.0]
    for number in range(1, groups.count):
        inside = group == number
        shift.append(_shift(distribution[inside], value[inside]) if inside.sum() >= MINIMUM else pooled)
    return Interval(groups, tuple(shift))


def _shift(distribution: pd.DataFrame, value: np.ndarray) -> float:
    """The smallest shift at which the share inside reaches 80 % of (n + 1), as conformal prediction asks.

    Where the interval would shrink to a point before that (0 alone is more than 80 % of a group), it holds 90 % instead: then nobody's
    P90 is 0 while more than a tenth lie above.
    """
    needed = np.sort(_needed(distribution, value))
    for share in (COVERAGE, (1 + COVERAGE) / 2):
        shift = needed[_rank(share, len(needed))] if len(needed) else 0.0
        if np.isfinite(shift):
            return float(shift)
    finite = needed[np.isfinite(needed)]
    return float(finite[0]) if len(finite) else 0.0


def _rank(share: float, count: int) -> int:
    return min(int(np.ceil(share * (count + 1))), count) - 1


def _needed(distribution: pd.DataFrame, value: np.ndarray) -> np.ndarray:
    """The shift from which on each value is inside, shape (rows,); minus infinity where it is inside at any (see `bounded`)."""
    low, middle, high, scale = (distribution[name].to_numpy() for name in ("low", "middle", "high", "scale"))
    holds_nothing = (low <= 0) & (high >= 0)
    never_below = (value >= middle) | (holds_nothing & (value >= 0))
    never_above = (value <= middle) | (holds_nothing & (value <= 0))
    below = np.where(never_below, -np.inf, (low - value) / scale)
    above = np.where(never_above, -np.inf, (value - high) / scale)
    answer: np.ndarray = np.maximum(below, above)
    return answer


def widened(bounds: pd.DataFrame, growth: np.ndarray, factor: float) -> pd.DataFrame:
    """The same interval over a longer time: ends and median times the growth, distances from the median times `factor`.

    An end at 0 stays there, and 0 stays inside where it was.
    """
    low, middle, high = (bounds[name].to_numpy() * growth for name in ("p10", "p50", "p90"))
    new_low, new_high = bounded(low, middle, high, middle - factor * (middle - low), middle + factor * (high - middle))
    new_low = np.where(low >= 0, np.maximum(new_low, 0.0), new_low)
    return pd.DataFrame({"p10": new_low, "p50": middle, "p90": new_high}, index=bounds.index)


def fit_factor(bounds: pd.DataFrame, growth: np.ndarray, value: np.ndarray) -> float:
    """The smallest factor of a fine grid from 0.2 to 5 at which 80 % of the values lie inside; 5 when none does."""
    for factor in np.geomspace(0.2, 5.0, 130):
        ends = widened(bounds, growth, float(factor))
        if ((value >= ends["p10"].to_numpy()) & (value <= ends["p90"].to_numpy())).mean() >= COVERAGE:
            return float(factor)
    return 5.0
