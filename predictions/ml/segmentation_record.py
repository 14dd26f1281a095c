"""What is kept of a segmentation: silhouette and stability on the evaluation cut-off, and how well transitions foretell it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .kinds import Record, Verdict

if TYPE_CHECKING:
    from .segmentation import SegmentationModel

STABLE = 0.8
_SAMPLE = 3000


def record(
    model: "SegmentationModel",
    *,
    answer: pd.DataFrame,
    points: np.ndarray,
    counts: np.ndarray,
    held_out_counts: np.ndarray | None,
    tried: Sequence[Mapping[str, Any]],
    rows: int,
    pairs: int,
    seed: int,
) -> Record:
    """`answer` and `points` are those of the evaluation cut-off. Without `held_out_counts` transitions stay unmeasured."""
    metrics = {
        "silhouette": _silhouette(points, answer["cluster"].to_numpy(), seed),
        "stability": float(answer["stability"].mean()),
    }
    # what a division without structure reaches: equal parts of the players by monetary value alone
    ranks = pd.Series(points[:, 2]).rank(pct=True, method="first").to_numpy()
    slices = np.minimum((ranks * len(model.centres)).astype(int), len(model.centres) - 1)
    baseline = {"silhouette": _silhouette(points, slices, seed)}
    gate = _gate(metrics, baseline)
    curves: dict[str, Any] = {
        "characteristics": list(model.characteristics),
        "transitions": [[float(share) for share in row] for row in model.transitions],
        "transition_counts": [[int(count) for count in row] for row in counts],
        "transition_days": model.transition_days,
        "named_segments": {str(name): int(count) for name, count in answer["rfm_segment"].value_counts().items()},
        "stability": _bands(answer["stability"].to_numpy()),
    }
    if held_out_counts is not None and held_out_counts.sum():
        measured, marginal = _transitions(model.transitions, counts, held_out_counts)
        metrics |= measured
        baseline |= marginal
        curves["evaluation_transition_counts"] = [[int(count) for count in row] for row in held_out_counts]
        gate.append(
            Verdict(
                "transitions",
                measured["transition_log_loss"] < marginal["transition_log_loss"],
                measured["transition_log_loss"],
                marginal["transition_log_loss"],
                "Log loss of the next cluster given the current one, against the overall shares.",
            )
        )
    return Record(
        rows=rows,
        positives=0,
        metrics=metrics,
        baseline=baseline,
        candidates=list(tried),
        curves=curves,
        importance=_importance(points, answer["cluster"].to_numpy()),
        parameters=_parameters(model, pairs, seed),
        gate=gate,
    )


def _gate(metrics: Mapping[str, float], baseline: Mapping[str, float]) -> list[Verdict]:
    return [
        Verdict(
            "stability",
            metrics["stability"] >= STABLE,
            metrics["stability"],
            STABLE,
            "Share of resampled clusterings that put a player of the evaluation cut-off into the same cluster.",
        ),
        Verdict(
            "silhouette",
            metrics["silhouette"] > baseline["silhouette"],
            metrics["silhouette"],
            baseline["silhouette"],
            "Better separated than equal slices by deposits.",
        ),
    ]


def _parameters(model: "SegmentationModel", pairs: int, seed: int) -> dict[str, Any]:
    quintiles = model.quintiles
    return {
        "clusters": len(model.centres),
        "resamples": len(model.resamples),
        "pseudo_count": 1,
        "transition_pairs": pairs,
        "quintiles": {name: list(getattr(quintiles, name)) for name in ("recency", "frequency", "monetary")},
        "seed": seed,
    }


def _silhouette(points: np.ndarray, labels: np.ndarray, seed: int) -> float:
    """Over a sample of at most 3,000 players; 0 when all are in one cluster."""
    from sklearn.metrics import silhouette_score

    rows = np.random.default_rng(seed).permutation(len(points))[:_SAMPLE]
    if len(np.unique(labels[rows])) < 2:
        return 0.0
    return float(silhouette_score(points[rows], labels[rows]))


def _transitions(transitions: np.ndarray, counts: np.ndarray, held_out: np.ndarray) -> tuple[dict[str, float], dict[str, float]]:
    """Log loss and accuracy of the most probable next cluster; the baseline is the overall share of clusters at arrival."""
    total = held_out.sum()
    overall = (counts.sum(axis=0) + 1.0) / (counts.sum() + len(counts))
    rows = np.arange(len(counts))
    measured = {
        "transition_log_loss": float(-(held_out * np.log(transitions)).sum() / total),
        "transition_accuracy": float(held_out[rows, transitions.argmax(axis=1)].sum() / total),
    }
    marginal = {
        "transition_log_loss": float(-(held_out * np.log(overall)).sum() / total),
        "transition_accuracy": float(held_out[:, overall.argmax()].sum() / total),
    }
    return measured, marginal


def _importance(points: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Share of each axis in the variance between clusters."""
    mean = points.mean(axis=0)
    between = np.zeros(3)
    for label in np.unique(labels):
        inside = points[labels == label]
        between += len(inside) * (inside.mean(axis=0) - mean) ** 2
    shares = between / between.sum() if between.sum() > 0 else np.full(3, 1 / 3)
    return dict(zip(("days_since_last_activity", "deposit_count_total", "deposits_total"), shares.tolist(), strict=True))


def _bands(stability: np.ndarray) -> list[dict[str, float]]:
    """How many players have how stable a membership, in ten bands."""
    counts, limits = np.histogram(stability, bins=10, range=(0.0, 1.0))
    return [{"from": float(limits[band]), "to": float(limits[band + 1]), "n": int(counts[band])} for band in range(10)]
