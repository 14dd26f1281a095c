"""Why a model answers what it answers: exact additive contributions, their sum of shares, and the reasons drawn from them.

Contributions are exact, never estimated by sampling: Shapley values from LightGBM for trees (`pred_contrib`; Lundberg, Erion and Lee 2018,
"Consistent individualized feature attribution for tree ensembles"), coefficient times distance from the mean for a linear model, which
are its Shapley values under independent features. Every construction checks that they add up to the model's output.
"""

from collections.abc import Sequence
from typing import Any

import lightgbm
import numpy as np
import pandas as pd

from predictions.ml.kinds import Explanation

# LightGBM sums the contributions of hundreds of trees in another order than the prediction
TOLERANCE = 1e-6


class NotAdditive(ArithmeticError):
    """Contributions do not add up to the output: the explanation would be wrong, so there is none."""


def additive(features: Sequence[str], contributions: np.ndarray, base: np.ndarray, output: np.ndarray, scale: str) -> Explanation:
    """An explanation of `output` (rows), checked. `contributions` (rows, features), `base` (rows).

    Raises NotAdditive when a row's base and contributions miss its output by more than 1e-6, relative to the size of what is summed.
    """
    if contributions.shape != (len(output), len(features)) or base.shape != output.shape:
        raise ValueError(f"contributions of shape {contributions.shape} do not fit {len(output)} rows of {len(features)} features")
    allowed = TOLERANCE * (1 + np.abs(contributions).sum(axis=1) + np.abs(base))
    off = np.abs(base + contributions.sum(axis=1) - output)
    # written so that NaN fails as well
    if not (off <= allowed).all():
        raise NotAdditive(f"contributions miss the output by up to {off.max():.3g}")
    return Explanation(features=tuple(features), contributions=contributions, base=base, scale=scale)


def linear_contributions(
    features: Sequence[str], values: np.ndarray, coefficients: np.ndarray, intercept: float, means: np.ndarray, scale: str = "log-odds"
) -> Explanation:
    """coefficient * (value - mean) for each feature; the base is the output at the means.

    `values` (rows, features), `coefficients` and `means` (features).
    """
    contributions = (values - means) * coefficients
    base = np.full(len(values), float(intercept + means @ coefficients))
    return additive(features, contributions, base, values @ coefficients + intercept, scale)


def tree_contributions(features: Sequence[str], values: np.ndarray, booster: lightgbm.Booster, scale: str = "log-odds") -> Explanation:
    """Exact Shapley values of a LightGBM model's raw output for `values` (rows, features); about 1 ms a row.

    The base is the mean output over what the model was trained on.
    """
    found = np.asarray(booster.predict(values, pred_contrib=True, num_threads=1), dtype=np.float64).reshape(len(values), -1)
    output = np.asarray(booster.predict(values, raw_score=True, num_threads=1), dtype=np.float64)
    return additive(features, found[:, :-1], found[:, -1], output, scale)


def importance(explanation: Explanation) -> dict[str, float]:
    """Share of each feature in the sum of absolute contributions, largest first; the shares sum to 1.

    A model that uses nothing gives every feature the same share. Raises ValueError without a row.
    """
    if not len(explanation.contributions):
        raise ValueError("importance needs at least one explained row")
    size = np.abs(explanation.contributions).mean(axis=0)
    total = size.sum()
    shares = size / total if total > 0 else np.full(len(size), 1 / len(size))
    order = np.argsort(-shares, kind="stable")
    return {explanation.features[index]: float(shares[index]) for index in order}


def reasons(explanation: Explanation, frame: pd.DataFrame, top: int = 3) -> list[list[dict[str, Any]]]:
    """Per row of `frame` (the rows that were explained, in order): the `top` features that moved it most, in either direction.

    Each is {"feature", "value", "contribution"}: value as in the frame (None when unknown), contribution on the explanation's scale, both
    rounded to six digits. What contributes nothing is no reason.
    """
    order = np.argsort(-np.abs(explanation.contributions), axis=1, kind="stable")[:, :top]
    return _picked(explanation, frame, order, np.ones(order.shape, dtype=bool))


def leading_reasons(
    explanation: Explanation, frame: pd.DataFrame, raises: np.ndarray, top: int = 3, against: int = 1
) -> list[list[dict[str, Any]]]:
    """As `reasons`, by what they speak for: per row the `top` features that moved it most in its direction, then the `against` others.

    `raises` (rows, bool): whether what raises the row's figure speaks for its label; else what lowers it does.
    """
    towards = explanation.contributions * np.where(raises, 1.0, -1.0)[:, None]
    ranked = np.argsort(-towards, axis=1, kind="stable")
    ahead, behind = ranked[:, :top], ranked[:, ::-1][:, :against]
    kept = np.hstack([np.take_along_axis(towards, ahead, axis=1) > 0, np.take_along_axis(towards, behind, axis=1) < 0])
    return _picked(explanation, frame, np.hstack([ahead, behind]), kept)


def _picked(explanation: Explanation, frame: pd.DataFrame, order: np.ndarray, kept: np.ndarray) -> list[list[dict[str, Any]]]:
    """The features at `order` (rows, n) where `kept`; what contributes nothing is left out."""
    contributions = explanation.contributions
    if len(contributions) != len(frame):
        raise ValueError(f"{len(contributions)} rows were explained, the frame has {len(frame)}")
    values = frame.loc[:, list(explanation.features)].to_numpy(dtype=np.float64)
    picked = np.take_along_axis(contributions, order, axis=1).tolist()
    shown = np.take_along_axis(values, order, axis=1).tolist()
    names = np.asarray(explanation.features, dtype=object)[order].tolist()
    return [
        [
            {"feature": name, "value": _plain(value), "contribution": float(f"{part:.6g}")}
            for name, value, part, is_kept in zip(*row, strict=True)
            if is_kept and part != 0
        ]
        for row in zip(names, shown, picked, kept.tolist(), strict=True)
    ]


def _plain(value: float) -> float | None:
    return float(f"{value:.6g}") if np.isfinite(value) else None
