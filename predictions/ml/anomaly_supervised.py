"""Probability of fraud, learned from closed reviews.

A player counts as fraud (1) when a review confirmed it and as not fraud (0) otherwise: cleared, or never reviewed. Not reviewed is not the
same as innocent, so the answer is the probability that a review has found or would have found fraud as things are done today; fraud that
nobody reviews is not in it, and figures count it as a false alarm. Learning from reviewed players alone would be worse: they were picked
because they looked bad, and everybody else would be scored by what separates bad from worse.

Features are those of `anomaly`, log-scaled as there. Logistic regression and gradient boosting compete by average precision in
five-fold cross-validation; the winner's held-out scores calibrate it (`calibration`). A quarter of the players, by a fixed hash of their
id, is learned from by nobody: the figures are theirs, at the evaluation cut-off.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from . import calibration, metrics
from .anomaly import AnomalyModel
from .anomaly import fit as fit_anomaly
from .calibration import Calibrator
from .kinds import Cutoff, Explanation, History, NotEnoughData, Record, Trained, Verdict
from .ltv_trees import Binned, Trees

MINIMUM_OUTCOMES = 50
LOGISTIC, BOOSTED = "logistic regression on reviewed cases", "gradient boosting on reviewed cases"
_FOLDS = 5
_HELD_OUT = 4
_FEWEST_HELD_OUT = 5
_GATE = "Average precision on held-out players, against isolation alone."
_BOOSTING: dict[str, Any] = {"objective": "binary", "num_leaves": 7, "min_data_in_leaf": 30, "rounds": 80}


@dataclass(frozen=True)
class Linear:
    """Log-odds = intercept + weights . (inputs - mean) / deviation."""

    mean: np.ndarray
    deviation: np.ndarray
    weights: np.ndarray
    intercept: float

    def raw(self, inputs: np.ndarray) -> np.ndarray:
        parts, base = self.contributions(inputs)
        answer: np.ndarray = base + parts.sum(axis=1)
        return answer

    def contributions(self, inputs: np.ndarray) -> tuple[np.ndarray, float]:
        return (inputs - self.mean) / self.deviation * self.weights, self.intercept


@dataclass(frozen=True)
class Boosting:
    trees: Trees

    def raw(self, inputs: np.ndarray) -> np.ndarray:
        parts, base = self.contributions(inputs)
        answer: np.ndarray = base + parts.sum(axis=1)
        return answer

    def contributions(self, inputs: np.ndarray) -> tuple[np.ndarray, float]:
        return self.trees.contributions(inputs)


@dataclass(frozen=True)
class SupervisedModel:
    algorithm: str
    anomaly: AnomalyModel
    scorer: Linear | Boosting
    calibrator: Calibrator

    @property
    def features(self) -> tuple[str, ...]:
        return self.anomaly.features

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Columns score (calibrated probability), interval_low, interval_high (90 %), anomaly; same index."""
        unusual = self.anomaly.predict(frame)
        if not len(frame):
            return unusual.assign(score=0.0, interval_low=0.0, interval_high=0.0)
        raw = self.scorer.raw(self.anomaly.inputs(frame))
        low, high = self.calibrator.interval(raw)
        return unusual.assign(score=self.calibrator.probability(raw), interval_low=low, interval_high=high)

    def explain(self, frame: pd.DataFrame) -> Explanation:
        """Log-odds before calibration, which keeps their order."""
        parts, base = self.scorer.contributions(self.anomaly.inputs(frame))
        return Explanation(self.features, parts, np.full(len(frame), base), "log-odds before calibration")


def train_supervised(history: History, outcomes: pd.Series, *, seed: int) -> Trained:
    """`outcomes`: player id to 1 (confirmed) or 0 (cleared), closed reviews only.

    NotEnoughData below 50 confirmed and 50 cleared cases among the players of the last development cut-off; ValueError for other outcomes.
    """
    if not outcomes.isin((0, 1)).all():
        raise ValueError("outcomes are 1 (confirmed) or 0 (cleared)")
    if not history.development:
        raise NotEnoughData("there is no development cut-off; train with at least two cut-offs.")
    last = history.development[-1]
    known = outcomes[outcomes.index.isin(last.features.index)]
    confirmed, cleared = int((known == 1).sum()), int((known == 0).sum())
    if min(confirmed, cleared) < MINIMUM_OUTCOMES:
        raise NotEnoughData(
            f"{confirmed} confirmed and {cleared} cleared cases, {MINIMUM_OUTCOMES} of each are needed: close more reviews; until then "
            "scores come from the detectors and the isolation forest."
        )
    frame = last.features[~held_out(last.features.index)]
    truth = labels(frame, outcomes)
    anomaly = fit_anomaly(frame, seed=seed)
    columns = anomaly.inputs(frame)
    folds = np.random.default_rng(seed).permutation(len(frame)) % _FOLDS
    raw = {name: _cross_validated(name, columns, truth, folds, seed) for name in (LOGISTIC, BOOSTED)}
    precision = {name: metrics.average_precision(truth, scores) for name, scores in raw.items()}
    algorithm = max(precision, key=lambda name: precision[name])
    model = SupervisedModel(algorithm, anomaly, _fit(algorithm, columns, truth, seed), calibration.fit(raw[algorithm], truth))
    candidates = [
        {"algorithm": name, "chosen": name == algorithm, "metrics": {"pr_auc": precision[name], "auc": metrics.auc(truth, raw[name])}}
        for name in raw
    ]
    return Trained(model, _record(model, history.evaluation, outcomes, candidates, frame, truth, seed))


def held_out(players: pd.Index) -> np.ndarray:
    """The quarter of players that nothing is learned from, by a fixed hash of the id; shape (players,)."""
    mixed = players.to_numpy(dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    answer: np.ndarray = (mixed >> np.uint64(32)) % np.uint64(_HELD_OUT) == 0
    return answer


def labels(frame: pd.DataFrame, outcomes: pd.Series) -> np.ndarray:
    """1 for confirmed, 0 for everybody else; shape (rows,)."""
    answer: np.ndarray = outcomes.reindex(frame.index).fillna(0).to_numpy(float)
    return answer


def _fit(name: str, columns: np.ndarray, truth: np.ndarray, seed: int) -> Linear | Boosting:
    if name == BOOSTED:
        return Boosting(Binned(columns, seed=seed).fit(truth, **_BOOSTING))
    from sklearn.linear_model import LogisticRegression

    mean, deviation = columns.mean(axis=0), columns.std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    fitted = LogisticRegression(C=0.1, max_iter=1000).fit((columns - mean) / deviation, truth)
    return Linear(mean, deviation, fitted.coef_[0], float(fitted.intercept_[0]))


def _cross_validated(name: str, columns: np.ndarray, truth: np.ndarray, folds: np.ndarray, seed: int) -> np.ndarray:
    raw = np.empty(len(truth))
    for fold in range(_FOLDS):
        inside = folds == fold
        raw[inside] = _fit(name, columns[~inside], truth[~inside], seed).raw(columns[inside])
    return raw


def _record(
    model: SupervisedModel,
    evaluation: Cutoff,
    outcomes: pd.Series,
    candidates: Sequence[Mapping[str, Any]],
    learned: pd.DataFrame,
    learned_truth: np.ndarray,
    seed: int,
) -> Record:
    """Measured on the held-out players; the baseline ranks them by isolation alone."""
    frame = evaluation.features[held_out(evaluation.features.index)]
    truth = labels(frame, outcomes)
    if truth.sum() < _FEWEST_HELD_OUT:
        raise NotEnoughData(
            f"only {int(truth.sum())} confirmed cases are left to measure with, {_FEWEST_HELD_OUT} are needed: close more reviews."
        )
    answer = model.predict(frame)
    score, unusual = answer["score"].to_numpy(), answer["anomaly"].to_numpy()
    figures = metrics.binary_metrics(truth, score)
    baseline = {"auc": metrics.auc(truth, unusual), "pr_auc": metrics.average_precision(truth, unusual), "base_rate": figures["base_rate"]}
    reviewed = frame.index.isin(outcomes.index)
    if 0 < truth[reviewed].sum() < reviewed.sum():
        figures["auc_reviewed"] = metrics.auc(truth[reviewed], score[reviewed])
        baseline["auc_reviewed"] = metrics.auc(truth[reviewed], unusual[reviewed])
    explanation = model.explain(frame)
    sizes = np.abs(explanation.contributions).mean(axis=0)
    return Record(
        rows=len(learned),
        positives=int(learned_truth.sum()),
        metrics=figures,
        baseline=baseline,
        candidates=candidates,
        curves={
            "reliability": metrics.reliability(truth, score),
            "lift": metrics.lift(truth, score),
            "thresholds": metrics.threshold_table(truth, score),
        },
        importance=dict(zip(explanation.features, (sizes / sizes.sum()).tolist(), strict=True)),
        parameters={
            "confirmed": int((outcomes == 1).sum()),
            "cleared": int((outcomes == 0).sum()),
            "held_out_share": 1 / _HELD_OUT,
            "not_reviewed": "counts as not fraud",
            "seed": seed,
        },
        gate=[Verdict("pr_auc", figures["pr_auc"] > baseline["pr_auc"], figures["pr_auc"], baseline["pr_auc"], _GATE)],
    )
