"""How good values are: errors, ranking and coverage against what really came."""

import numpy as np
import pandas as pd

from . import metrics
from .ltv_interval import LEVELS


def scaled_error(truth: np.ndarray, value: np.ndarray, scale: np.ndarray) -> float:
    """Squared error over the player's scale, as a share of the total scale: sum((truth - value)^2 / scale) / sum(scale)."""
    return float(((truth - value) ** 2 / scale).sum() / scale.sum())


def errors(truth: np.ndarray, value: np.ndarray, scale: np.ndarray) -> dict[str, float]:
    """mae, median_absolute_error, rmse (currency units), scaled_error, bias (total predicted over total actual - 1), gini (normalised).

    `bias` is left out when the actual total is not positive, `gini` when all values are equal.
    """
    away = np.abs(truth - value)
    answer = {
        "mae": float(away.mean()),
        "median_absolute_error": float(np.median(away)),
        "rmse": float(np.sqrt((away**2).mean())),
        "scaled_error": scaled_error(truth, value, scale),
    }
    if truth.sum() > 0:
        answer["bias"] = float(value.sum() / truth.sum() - 1)
    if np.ptp(truth) > 0:
        answer["gini"] = metrics.gini(truth, value)
    return answer


def of_median(truth: np.ndarray, middle: np.ndarray) -> dict[str, float]:
    """mae_p50 and median_absolute_error_p50: absolute errors are lowest for the median, so they are also taken of P50."""
    away = np.abs(truth - middle)
    return {"mae_p50": float(away.mean()), "median_absolute_error_p50": float(np.median(away))}


def below(truth: np.ndarray, bounds: pd.DataFrame) -> np.ndarray:
    """How much of each value counts as below P10, P50 and P90 of an `Interval.of`, shape (rows, 3); the mean is the level where ends hold.

    The randomised probability integral transform, averaged over its draws: a value of 0 at an end of 0 counts by the part of the point
    mass at 0 that the level covers, (level - P(value < 0)) / P(value = 0); anything else counts wholly or not at all.
    """
    ends = bounds[["p10", "p50", "p90"]].to_numpy()
    negative = bounds["below"].to_numpy()[:, None]
    mass = np.maximum(1 - negative - bounds["above"].to_numpy()[:, None], 1e-12)
    shared = np.clip((np.array(LEVELS) - negative) / mass, 0.0, 1.0)
    value = truth[:, None]
    answer: np.ndarray = np.where(value < ends, 1.0, np.where(value == ends, shared, 0.0))
    return answer


def inside(truth: np.ndarray, bounds: pd.DataFrame) -> np.ndarray:
    """Whether each value lies from p10 to p90, ends included, shape (rows,)."""
    answer: np.ndarray = (truth >= bounds["p10"].to_numpy()) & (truth <= bounds["p90"].to_numpy())
    return answer


def coverage(truth: np.ndarray, bounds: pd.DataFrame) -> dict[str, float]:
    """Of those about whom something is uncertain (group above 0): coverage, the share between P10 and P90 with the point mass at 0 shared
    (`below`), and below_p10, below_p50, below_p90. Ends included: coverage_closed of the same, coverage_nothing of those said to bring in
    nothing, coverage_all of everybody. interval_width: mean over everybody, currency units; certain_share: share of group 0.
    """
    held, certain, shares = inside(truth, bounds), (bounds["group"] == 0).to_numpy(), below(truth, bounds)
    answer = {
        "coverage_all": float(held.mean()),
        "interval_width": float((bounds["p90"] - bounds["p10"]).mean()),
        "certain_share": float(certain.mean()),
    }
    if not certain.all():
        low, middle, high = shares[~certain].mean(axis=0).tolist()
        answer |= {"coverage": high - low, "below_p10": low, "below_p50": middle, "below_p90": high}
        answer["coverage_closed"] = float(held[~certain].mean())
    if certain.any():
        answer["coverage_nothing"] = float(held[certain].mean())
    return answer
