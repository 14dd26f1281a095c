"""K-means on recency, frequency and monetary value: scaling, the number of clusters, resampled centres."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from . import rfm

DEFAULT_CLUSTERS = 4
CANDIDATES = (3, 4, 5, 6, 7)
STABLE = 0.8
_TRIALS = 10
_SAMPLE = 1500


@dataclass(frozen=True)
class Scaler:
    """Mean and standard deviation of log(1 + value) of recency, frequency and monetary; shape (3,) each."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def fit(cls, frame: pd.DataFrame) -> "Scaler":
        logs = np.log1p(rfm.values(frame))
        deviation = logs.std(axis=0)
        # a column that never varies must not divide by zero, and separates nobody
        return cls(logs.mean(axis=0), np.where(deviation > 0, deviation, 1.0))

    def points(self, frame: pd.DataFrame) -> np.ndarray:
        """Standardised log values, shape (rows, 3)."""
        answer: np.ndarray = (np.log1p(rfm.values(frame)) - self.mean) / self.deviation
        return answer

    def values(self, points: np.ndarray) -> np.ndarray:
        """Back to days, deposits and currency units."""
        answer: np.ndarray = np.expm1(points * self.deviation + self.mean)
        return answer


@dataclass(frozen=True)
class Clustering:
    centres: np.ndarray
    silhouette: float


def kmeans(points: np.ndarray, clusters: int, *, seed: int, start: np.ndarray | None = None) -> np.ndarray:
    """Centres, shape (clusters, 3). With `start`, a single run from there."""
    from sklearn.cluster import KMeans

    if start is None:
        fitted = KMeans(clusters, n_init=5, random_state=seed).fit(points)
    else:
        fitted = KMeans(clusters, init=start, n_init=1, random_state=seed).fit(points)
    centres: np.ndarray = fitted.cluster_centers_
    return centres


def matched(labels: np.ndarray, other: np.ndarray, clusters: int) -> np.ndarray:
    """For each reference cluster, the cluster of `other` that shares most players with it, one to one. Shape (clusters,)."""
    from scipy.optimize import linear_sum_assignment

    shared = np.zeros((clusters, clusters), dtype=np.int64)
    np.add.at(shared, (labels, other), 1)
    answer: np.ndarray = linear_sum_assignment(-shared)[1]
    return answer


def resampled(points: np.ndarray, centres: np.ndarray, *, resamples: int, seed: int) -> np.ndarray:
    """Centres of k-means on bootstrap samples of the players, numbered as in `centres`; shape (resamples, k, 3).

    Each resample starts afresh (k-means++), so that a solution that depends on where one starts shows as unstable.
    """
    rng = np.random.default_rng(seed)
    labels = _labels(points, centres)
    answer = []
    for trial in range(resamples):
        rows = rng.integers(0, len(points), len(points))
        again = kmeans(points[rows], len(centres), seed=seed + trial)
        answer.append(again[matched(labels, _labels(points, again), len(centres))])
    return np.stack(answer)


def choose(points: np.ndarray, *, seed: int, candidates: Sequence[int] = CANDIDATES) -> tuple[Clustering, list[Mapping[str, Any]]]:
    """The clustering by the rule of `predictions.ml.segmentation`, and what was measured for every number of clusters."""
    from sklearn.metrics import silhouette_score

    rng = np.random.default_rng(seed)
    samples = [rng.choice(len(points), min(_SAMPLE, len(points)), replace=False) for _ in range(_TRIALS)]
    possible = [number for number in candidates if number < len(np.unique(points, axis=0))]
    if DEFAULT_CLUSTERS not in possible:
        raise ValueError(f"fewer than {DEFAULT_CLUSTERS + 1} different players: there is nothing to divide")
    centres, silhouettes, stabilities = {}, {}, {}
    for number in possible:
        centres[number] = kmeans(points, number, seed=seed)
        labels = _labels(points, centres[number])
        silhouettes[number] = np.array([silhouette_score(points[rows], labels[rows]) for rows in samples])
        again = resampled(points, centres[number], resamples=_TRIALS, seed=seed)
        stabilities[number] = float(np.mean([(_labels(points, other) == labels).mean() for other in again]))
    number = _choice(silhouettes, stabilities)
    tried: list[Mapping[str, Any]] = [
        {
            "algorithm": f"k-means, {candidate} clusters",
            "chosen": candidate == number,
            "metrics": {"silhouette": float(silhouettes[candidate].mean()), "stability": stabilities[candidate]},
        }
        for candidate in possible
    ]
    return Clustering(centres[number], float(silhouettes[number].mean())), tried


def _choice(silhouettes: Mapping[int, np.ndarray], stabilities: Mapping[int, float]) -> int:
    stable = [number for number in silhouettes if stabilities[number] >= STABLE]
    if not stable:
        return max(stabilities, key=lambda number: stabilities[number])
    best = max(stable, key=lambda number: silhouettes[number].mean())
    if DEFAULT_CLUSTERS not in stable:
        return best
    gain = silhouettes[best] - silhouettes[DEFAULT_CLUSTERS]
    return best if gain.mean() > 2 * gain.std(ddof=1) else DEFAULT_CLUSTERS


def _labels(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    distances = np.column_stack([((points - centre) ** 2).sum(axis=1) for centre in centres])
    answer: np.ndarray = distances.argmin(axis=1)
    return answer
