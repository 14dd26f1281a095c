"""How good values are: errors, ranking and coverage against what really came."""

import numpy as np
import pandas as pd

from . import metrics


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


def coverage(truth: np.ndarray, bounds: pd.DataFrame) -> dict[str, float]:
    """coverage: share inside p10 to p90 of those about whom something is uncertain (group above 0); coverage_all: of everybody;
    coverage_nothing: of those said to bring in nothing; interval_width: mean over everybody, currency units."""
    low, high, group = (bounds[name].to_numpy() for name in ("p10", "p90", "group"))
    inside = (truth >= low) & (truth <= high)
    answer = {
        "coverage_all": float(inside.mean()),
        "interval_width": float((high - low).mean()),
        "certain_share": float((group == 0).mean()),
    }
    if (group > 0).any():
        answer["coverage"] = float(inside[group > 0].mean())
    if (group == 0).any():
        answer["coverage_nothing"] = float(inside[group == 0].mean())
    return answer
