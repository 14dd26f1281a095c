"""Clusters of players by recency, frequency and monetary value, how sure a membership is, and where players move next.

K-means (Lloyd, k-means++) on log(1 + value), standardised: all three are heavy-tailed, and without the logarithm one cluster holds the
three biggest depositors. The number of clusters is 4 unless 4 is unstable, or another stable number has a silhouette that is higher by
more than two standard deviations of the difference over samples of the players. Stability follows Hennig (2007), "Cluster-wise
assessment of cluster stability", with labels matched by the Hungarian method.

Transitions are counted between consecutive development cut-offs that lie as far apart as usual (30 days), with one pseudo-count per cell.
Groups and scores are fitted on the last development cut-off; the evaluation cut-off only measures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from . import rfm
from .kinds import Cutoff, Explanation, History, NotEnoughData, Record, Trained
from .segmentation_fit import Clustering, Scaler, choose, resampled
from .segmentation_names import characteristics, order
from .segmentation_record import record

MINIMUM_PLAYERS = 500
RESAMPLES = 20
_AXES = ("days_since_last_activity", "deposit_count_total", "deposits_total")


@dataclass(frozen=True)
class SegmentationModel:
    """`centres` (k, 3) and `resamples` (resamples, k, 3) on the standardised log scale; `transitions` (k, k), rows sum to 1."""

    scaler: Scaler
    centres: np.ndarray
    resamples: np.ndarray
    quintiles: rfm.Quintiles
    transitions: np.ndarray
    transition_days: float
    characteristics: Sequence[Mapping[str, Any]]
    algorithm: str = "k-means on RFM"
    features: tuple[str, ...] = rfm.FEATURES

    def clusters(self, frame: pd.DataFrame) -> np.ndarray:
        """Number of the nearest centre, shape (rows,)."""
        return nearest(self.scaler.points(frame), self.centres)

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        points = self.scaler.points(frame)
        cluster = nearest(points, self.centres)
        agreeing = np.zeros(len(frame))
        for centres in self.resamples:
            agreeing += nearest(points, centres) == cluster
        after = self.transitions.argmax(axis=1)
        answer = pd.DataFrame({"cluster": cluster}, index=frame.index).join(self.quintiles.scores(frame))
        answer["stability"] = agreeing / len(self.resamples)
        answer["next_cluster"] = after[cluster]
        answer["transition_probability"] = self.transitions.max(axis=1)[cluster]
        return answer

    def explain(self, frame: pd.DataFrame) -> Explanation:
        """How much nearer the player is to the own centre than to the second nearest, by axis: squared distances add up over axes."""
        points = self.scaler.points(frame)
        distances = squared_distances(points, self.centres)
        rows = np.arange(len(points))
        ranked = np.argsort(distances, axis=1, kind="stable")
        own, second = self.centres[ranked[:, 0]], self.centres[ranked[:, 1]]
        contributions = (points - second) ** 2 - (points - own) ** 2
        margin = distances[rows, ranked[:, 1]] - distances[rows, ranked[:, 0]]
        if not np.allclose(contributions.sum(axis=1), margin, rtol=1e-9, atol=1e-9):
            raise ArithmeticError("contributions do not add up to the margin")
        return Explanation(_AXES, contributions, np.zeros(len(points)), "squared standard deviations nearer than the next cluster")


def squared_distances(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Shape (rows, k)."""
    return np.column_stack([((points - centre) ** 2).sum(axis=1) for centre in centres])


def nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Number of the nearest centre; of equal ones the first. Shape (rows,)."""
    answer: np.ndarray = squared_distances(points, centres).argmin(axis=1)
    return answer


def train(history: History, *, seed: int) -> Trained:
    """Fits on the development cut-offs. NotEnoughData below two of them or below 500 players at the last."""
    if len(history.development) < 2:
        raise NotEnoughData(
            f"{len(history.development)} development cut-offs show no transition between segments; two are needed: "
            "wait until the history is 30 days longer or train with more cut-offs."
        )
    latest = eligible(history.development[-1])
    if len(latest) < MINIMUM_PLAYERS:
        raise NotEnoughData(f"{len(latest)} players are too few for segments, {MINIMUM_PLAYERS} are needed: import more players.")
    scaler = Scaler.fit(latest)
    points = scaler.points(latest)
    chosen, tried = choose(points, seed=seed)
    chosen = Clustering(chosen.centres[order(chosen.centres)], chosen.silhouette)
    centres = chosen.centres
    steps = consecutive(history.development)
    counts = sum(moves(before, after, scaler, centres) for before, after in steps)
    smoothed = np.asarray(counts, dtype=float) + 1.0
    model = SegmentationModel(
        scaler=scaler,
        centres=centres,
        resamples=resampled(points, centres, resamples=RESAMPLES, seed=seed + 1),
        quintiles=rfm.fit(latest),
        transitions=smoothed / smoothed.sum(axis=1, keepdims=True),
        transition_days=float(np.median([days_between(*step) for step in steps])),
        characteristics=characteristics(history.development, nearest, scaler, centres),
    )
    return Trained(model, _record(model, history, steps, np.asarray(counts), tried, seed))


def eligible(cutoff: Cutoff) -> pd.DataFrame:
    """Features of the players who were neither excluded nor closed, and of whom a day is known."""
    keep: np.ndarray = cutoff.labels["is_eligible"].to_numpy().astype(bool) & rfm.dated(cutoff.features)
    return cutoff.features[keep]


def days_between(before: Cutoff, after: Cutoff) -> float:
    return (after.as_of - before.as_of).total_seconds() / 86400


def consecutive(cutoffs: Sequence[Cutoff]) -> list[tuple[Cutoff, Cutoff]]:
    """Neighbouring pairs that lie as far apart as the nearest neighbours do, within a day: one matrix holds one length of time."""
    pairs = list(pairwise(cutoffs))
    shortest = min(days_between(*pair) for pair in pairs)
    return [pair for pair in pairs if days_between(*pair) <= shortest + 1]


def moves(before: Cutoff, after: Cutoff, scaler: Scaler, centres: np.ndarray) -> np.ndarray:
    """Players by cluster at one cut-off (rows) and at the next (columns); only those who are in both. Shape (k, k)."""
    first, second = eligible(before), eligible(after)
    both = first.index.intersection(second.index)
    origin = nearest(scaler.points(first.loc[both]), centres)
    target = nearest(scaler.points(second.loc[both]), centres)
    counts = np.zeros((len(centres), len(centres)), dtype=np.int64)
    np.add.at(counts, (origin, target), 1)
    return counts


def _record(
    model: SegmentationModel,
    history: History,
    steps: Sequence[tuple[Cutoff, Cutoff]],
    counts: np.ndarray,
    tried: Sequence[Mapping[str, Any]],
    seed: int,
) -> Record:
    held_out = eligible(history.evaluation)
    last = (history.development[-1], history.evaluation)
    comparable = abs(days_between(*last) - model.transition_days) <= 1
    return record(
        model,
        answer=model.predict(held_out),
        points=model.scaler.points(held_out),
        counts=counts,
        held_out_counts=moves(*last, model.scaler, model.centres) if comparable else None,
        tried=tried,
        rows=sum(len(eligible(cutoff)) for cutoff in history.development),
        pairs=len(steps),
        seed=seed,
    )
