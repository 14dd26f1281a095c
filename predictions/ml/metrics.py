"""Figures that say how good a prediction is. All take aligned one-dimensional arrays, answer plain floats, and refuse NaN and infinity.

Ties are never broken by the order of the rows: players with the same prediction share their outcomes evenly, so that every figure is the
expected one over all orders, and a constant prediction has AUC 0.5 and lift 1 everywhere.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

# keeps the logarithm finite for a prediction of exactly 0 or 1, as scikit-learn does for float64
TINY = float(np.finfo(np.float64).eps)


def binary_metrics(y: ArrayLike, p: ArrayLike) -> dict[str, float]:
    """auc, pr_auc, brier, log_loss, base_rate and ece of probabilities `p` (n) for outcomes `y` (n, 0 or 1).

    pr_auc is the average precision (no interpolation), log_loss is in nats, ece the expected calibration error over ten bands of equal
    size (see `reliability`). A true probability has an ece of about 0.8 * sqrt(10 p (1-p) / n) from chance alone: 0.01 at n = 10,000,
    0.04 at n = 1,000.
    Raises ValueError when an input is not finite, not of equal length, or only one outcome occurs (AUC is then undefined).
    """
    outcomes, probabilities = _pair(y, p)
    _check_binary(outcomes, probabilities)
    if outcomes.min() == outcomes.max():
        raise ValueError("both outcomes are needed to measure a classifier, all are the same")
    clipped = np.clip(probabilities, TINY, 1 - TINY)
    return {
        "auc": auc(outcomes, probabilities),
        "pr_auc": average_precision(outcomes, probabilities),
        "brier": float(np.mean((probabilities - outcomes) ** 2)),
        "log_loss": float(-np.mean(outcomes * np.log(clipped) + (1 - outcomes) * np.log1p(-clipped))),
        "base_rate": float(outcomes.mean()),
        "ece": expected_calibration_error(outcomes, probabilities),
    }


def auc(y: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties counting half (Mann-Whitney U). Any score."""
    outcomes, scores = _pair(y, score)
    positives = float(outcomes.sum())
    negatives = len(outcomes) - positives
    if not positives or not negatives:
        raise ValueError("both outcomes are needed for an AUC, all are the same")
    return float((rankdata(scores)[outcomes == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def average_precision(y: ArrayLike, score: ArrayLike) -> float:
    """Area under the precision-recall curve as the step sum of precision over gains in recall; its chance level is the base rate."""
    outcomes, scores = _pair(y, score)
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    found = np.cumsum(outcomes[order])[ends]
    if not found[-1]:
        raise ValueError("no positive outcome, precision and recall are undefined")
    return float(np.sum(np.diff(found, prepend=0.0) / found[-1] * found / (ends + 1)))


def expected_calibration_error(y: ArrayLike, p: ArrayLike, bands: int = 10) -> float:
    """Mean of |predicted - observed| over the bands of `reliability`, weighted by their size."""
    table = reliability(y, p, bands)
    return float(sum(row["n"] * abs(row["predicted"] - row["observed"]) for row in table) / sum(row["n"] for row in table))


def reliability(y: ArrayLike, p: ArrayLike, bands: int = 10) -> list[dict[str, Any]]:
    """Per band of the probability: "from", "to" (its lowest and highest), "n", and the "predicted" and "observed" share of positives.

    Bands hold equal numbers of rows, because probabilities crowd together and bands of equal width would stand empty; equal
    probabilities stay in one band, so there may be fewer than asked for, of unequal size.
    """
    outcomes, probabilities = _pair(y, p)
    _check_binary(outcomes, probabilities)
    values, inverse, counts = np.unique(probabilities, return_inverse=True, return_counts=True)
    # a group of equal values goes where its middle row would
    middle = np.cumsum(counts) - (counts + 1) / 2
    band = np.minimum((middle * bands / len(probabilities)).astype(int), bands - 1)[inverse]
    rows = []
    for number in np.unique(band):
        inside = band == number
        rows.append(
            {
                "from": float(probabilities[inside].min()),
                "to": float(probabilities[inside].max()),
                "n": int(inside.sum()),
                "predicted": float(probabilities[inside].mean()),
                "observed": float(outcomes[inside].mean()),
            }
        )
    return rows


def lift(y: ArrayLike, score: ArrayLike, parts: int = 10) -> list[dict[str, Any]]:
    """Per tenth of the rows, highest score first: "decile" (1..), "n", "positives" and "lift", their rate over the rate of all.

    "positives" is a mean over the orders of ties and so may be a fraction. Raises ValueError without a positive outcome.
    """
    outcomes, scores = _pair(y, score)
    if not outcomes.sum():
        raise ValueError("no positive outcome, lift is undefined")
    shared = _shared_outcomes(outcomes, scores)
    return [
        {
            "decile": number,
            "n": len(part),
            "positives": round(float(part.sum()), 6),
            "lift": float(part.mean() / outcomes.mean()),
        }
        for number, part in enumerate(np.array_split(shared, parts), start=1)
        if len(part)
    ]


def threshold_table(y: ArrayLike, p: ArrayLike, step: float = 0.05) -> list[dict[str, Any]]:
    """For thresholds from 0 to 1: the "share" of rows at or above it, their "precision" (None when there are none) and "recall"."""
    outcomes, probabilities = _pair(y, p)
    _check_binary(outcomes, probabilities)
    positives = outcomes.sum()
    order = np.argsort(probabilities, kind="stable")
    ranked, found = probabilities[order], np.append(np.cumsum(outcomes[order][::-1])[::-1], 0.0)
    rows = []
    for threshold in np.round(np.arange(0, 1 + step / 2, step), 10):
        first = int(np.searchsorted(ranked, threshold, side="left"))
        chosen = len(ranked) - first
        rows.append(
            {
                "threshold": float(threshold),
                "share": chosen / len(ranked),
                "precision": float(found[first] / chosen) if chosen else None,
                "recall": float(found[first] / positives) if positives else None,
            }
        )
    return rows


def gini(actual: ArrayLike, predicted: ArrayLike) -> float:
    """Normalised Gini coefficient: 1 for the true order of `actual`, 0 for a random one, -1 for the reverse.

    As cov(actual, rank of predicted) / cov(actual, rank of actual), which is the usual ratio of Lorenz areas, and stays defined when
    some of `actual` is negative. Raises ValueError when all of `actual` is equal.
    """
    real, guess = _pair(actual, predicted)
    centred = real - real.mean()
    best = float(centred @ rankdata(real))
    if best <= 0:
        raise ValueError("all actual values are equal, nothing can be ranked")
    return float(centred @ rankdata(guess)) / best


def decile_table(actual: ArrayLike, predicted: ArrayLike, parts: int = 10) -> list[dict[str, Any]]:
    """Per tenth of the rows, highest prediction first: "decile", "n", the mean "predicted" and "actual", and "share" of the actual total.

    "share" is None when the total is not positive. Units are those of the inputs.
    """
    real, guess = _pair(actual, predicted)
    total = float(real.sum())
    shared = _shared_outcomes(real, guess)
    ranked = np.sort(guess)[::-1]
    return [
        {
            "decile": number,
            "n": len(part),
            "predicted": float(values.mean()),
            "actual": float(part.mean()),
            "share": float(part.sum() / total) if total > 0 else None,
        }
        for number, (part, values) in enumerate(zip(np.array_split(shared, parts), np.array_split(ranked, parts), strict=True), start=1)
        if len(part)
    ]


def coverage(actual: ArrayLike, low: ArrayLike, high: ArrayLike) -> float:
    """Share of `actual` (n) inside [low, high] (n each), ends included."""
    real, lower = _pair(actual, low)
    _, upper = _pair(actual, high)
    if (lower > upper).any():
        raise ValueError("an interval ends below its beginning")
    return float(np.mean((real >= lower) & (real <= upper)))


def _pair(first: ArrayLike, second: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.ndim != 1 or one.shape != other.shape:
        raise ValueError(f"two columns of equal length are needed, not {one.shape} and {other.shape}")
    if not len(one):
        raise ValueError("there is no row to measure")
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise ValueError("a value is not finite")
    return one, other


def _check_binary(outcomes: np.ndarray, probabilities: np.ndarray) -> None:
    if not np.isin(outcomes, (0.0, 1.0)).all():
        raise ValueError("outcomes must be 0 or 1")
    if probabilities.min() < 0 or probabilities.max() > 1:
        raise ValueError("probabilities must lie between 0 and 1")


def _shared_outcomes(outcomes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Outcomes by falling score, each replaced by the mean of those of equal score."""
    _, inverse, counts = np.unique(-scores, return_inverse=True, return_counts=True)
    means = np.bincount(inverse, weights=outcomes) / counts
    shared: np.ndarray = np.repeat(means, counts)
    return shared
