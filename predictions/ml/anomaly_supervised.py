"""Probability of fraud, learned from closed reviews.

A player counts as fraud (1) when a review confirmed it and as not fraud (0) otherwise: cleared, or never reviewed. Not reviewed is not the
same as innocent, so the answer is the probability that a review has found or would have found fraud as things are done today; fraud that
nobody reviews is not in it, and figures count it as a false alarm. Learning from reviewed players alone would be worse: they were picked
because they looked bad, and everybody else would be scored by what separates bad from worse.

A review changes what it looks at: bonuses are blocked, accounts closed, players leave. So a reviewed player enters with the features of the
last cut-off before the review was opened (`cases.place`), at most 90 days before it, and at no other; everybody else with those of the last
cut-off. Reviewed players are all in the history, of the others it may hold a sample: each of these counts as often as players it stands
for, in the comparison of algorithms, the calibration and the figures, and as one player in the intervals. The algorithms are fitted on
each row once: the calibration sets the share of the reviewed right, and copies would drown the few. Isolation is learned from the sample
alone, without the reviewed players that were added to it (`kinds.Cutoff.added`).

Features are those of `anomaly`, log-scaled as there. Logistic regression and gradient boosting compete by average precision in
five-fold cross-validation; the winner's held-out scores calibrate it (`calibration`). A quarter of the players (`cases.held_out`) is at no
cut-off learned from: the figures are theirs, with their cases of all cut-offs and everybody else at the evaluation cut-off. They are of the
score as published, together with the detectors; the baseline is isolation together with the detectors, which is what is published without
this model. Detectors count as they stood when the review was opened, of everybody else as they stand at the training.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from . import calibration, explain, metrics
from .anomaly import AnomalyModel, combine, drawn, published
from .anomaly import fit as fit_anomaly
from .calibration import Calibrator
from .cases import CASE_DAYS, HELD_OUT_SHARE, held_out, place
from .kinds import Cutoff, Explanation, History, NotEnoughData, Record, Trained, Verdict
from .ltv_trees import Binned, Trees

MINIMUM_OUTCOMES = 50
LOGISTIC, BOOSTED = "logistic regression on reviewed cases", "gradient boosting on reviewed cases"
_FOLDS = 5
_FEWEST_HELD_OUT = 5
_GATE = "Average precision on held-out players, against isolation together with the detectors."
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
        """Columns score (calibrated probability, the detectors not counted), interval_low, interval_high (90 %), anomaly; same index."""
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


@dataclass(frozen=True)
class Rows:
    """Players with what is known of them: one row each, reviewed ones first.

    `counts` (rows): how many players a row stands for, a whole number. `detectors` (rows): their abuse score, 0 to 1.
    """

    features: pd.DataFrame
    truth: np.ndarray
    is_reviewed: np.ndarray
    counts: np.ndarray
    detectors: np.ndarray

    def spread(self, values: np.ndarray) -> np.ndarray:
        """`values` (rows, ...) with each row as often as it counts."""
        return np.repeat(values, self.counts, axis=0)


def train_supervised(history: History, cases: pd.DataFrame, detectors: pd.Series, *, players: int, seed: int) -> Trained:
    """Learns from `cases` (`predictions.ml.cases`) of the development cut-offs, and from everybody who was never reviewed.

    `detectors`: player id to abuse score at the training, 0 to 1. `players`: how many there were at the last development cut-off; the
    history may hold a sample of them, with all the reviewed ones. NotEnoughData below 50 confirmed and 50 cleared cases to learn from, or 5
    confirmed ones to measure with; ValueError for other outcomes.
    """
    if not cases["confirmed"].isin((0, 1)).all():
        raise ValueError("outcomes are 1 (confirmed) or 0 (cleared)")
    if not history.development:
        raise NotEnoughData("there is no development cut-off; train with at least two cut-offs.")
    last = history.development[-1]
    ours = cases[~held_out(cases.index)]
    each = _stands_for(last, cases, players)
    rows = _rows(history.development, ours, last, ~held_out(last.features.index), cases, detectors, each)
    _require_cases(rows)
    everybody = drawn(last)
    anomaly = fit_anomaly(everybody[~held_out(everybody.index)], seed=seed)
    columns, truth = anomaly.inputs(rows.features), rows.truth
    folds = np.random.default_rng(seed).permutation(len(truth)) % _FOLDS
    raw = {name: _cross_validated(name, columns, truth, folds, seed) for name in (LOGISTIC, BOOSTED)}
    everyone = rows.spread(truth)
    spread = {name: rows.spread(scores) for name, scores in raw.items()}
    precision = {name: metrics.average_precision(everyone, scores) for name, scores in spread.items()}
    algorithm = max(precision, key=lambda name: precision[name])
    # each row counts as the players it stands for in the probability, but as one player in the interval: copies are no evidence
    calibrator = calibration.fit(spread[algorithm], everyone, players=rows.spread(np.arange(len(truth))))
    model = SupervisedModel(algorithm, anomaly, _fit(algorithm, columns, truth, seed), calibrator)
    candidates = [
        {"algorithm": name, "chosen": name == algorithm, "metrics": {"pr_auc": precision[name], "auc": metrics.auc(everyone, spread[name])}}
        for name in spread
    ]
    apart = held_out(history.evaluation.features.index)
    judged = _rows(history.cutoffs, cases[held_out(cases.index)], history.evaluation, apart, cases, detectors, each)
    parameters = {
        "confirmed": int(truth.sum()),
        "cleared": int((rows.is_reviewed & (truth == 0)).sum()),
        "cases_decided_until": cases["decided_at"].max().isoformat(),
        "case_days": CASE_DAYS,
        "held_out_share": HELD_OUT_SHARE,
        "not_reviewed": "counts as not fraud",
        "players_a_row_not_reviewed": each,
        "seed": seed,
    }
    return Trained(model, _record(model, judged, rows, candidates, parameters))


def _rows(
    cutoffs: Sequence[Cutoff],
    ours: pd.DataFrame,
    latest: Cutoff,
    inside: np.ndarray,
    cases: pd.DataFrame,
    detectors: pd.Series,
    each: int,
) -> Rows:
    """The cases `ours`, each with the features of its own cut-off, and the players `inside` of `latest` (mask) who have no case."""
    position = place(ours, [cutoff.as_of for cutoff in cutoffs])
    found = []
    for number, cutoff in enumerate(cutoffs):
        here = position.index[position == number]
        found.append(cutoff.features[cutoff.features.index.isin(here)])
    others = latest.features[inside & ~latest.features.index.isin(cases.index)]
    features = pd.concat([*found, others])
    reviewed = np.arange(len(features)) < len(features) - len(others)
    return Rows(
        features,
        truth=np.where(reviewed, cases["confirmed"].reindex(features.index).fillna(0).to_numpy(float), 0.0),
        is_reviewed=reviewed,
        counts=np.where(reviewed, 1, each),
        detectors=np.where(
            reviewed,
            cases["detectors"].reindex(features.index).fillna(0.0).to_numpy(float),
            detectors.reindex(features.index).fillna(0.0).to_numpy(float),
        ),
    )


def _stands_for(cutoff: Cutoff, cases: pd.DataFrame, players: int) -> int:
    """How many players one who was never reviewed stands for, when the cut-off holds a sample of them."""
    reviewed = int(cutoff.features.index.isin(cases.index).sum())
    return max(1, round((players - reviewed) / max(len(cutoff.features) - reviewed, 1)))


def _require_cases(rows: Rows) -> None:
    confirmed, reviewed = int(rows.truth.sum()), int(rows.is_reviewed.sum())
    if min(confirmed, reviewed - confirmed) < MINIMUM_OUTCOMES:
        raise NotEnoughData(
            f"{confirmed} confirmed and {reviewed - confirmed} cleared cases that were opened within {CASE_DAYS} days after a cut-off, "
            f"{MINIMUM_OUTCOMES} of each are needed: close more reviews; until then scores come from the detectors and isolation."
        )


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
    judged: Rows,
    learned: Rows,
    candidates: Sequence[Mapping[str, Any]],
    parameters: Mapping[str, Any],
) -> Record:
    """Measured on the held-out players: what would be published with the model, and without it."""
    if judged.truth.sum() < _FEWEST_HELD_OUT:
        raise NotEnoughData(
            f"only {int(judged.truth.sum())} confirmed cases are left to measure with, {_FEWEST_HELD_OUT} are needed: close more reviews."
        )
    answer = model.predict(judged.features)
    score = published(answer, judged.detectors)["score"].to_numpy()
    without = combine(answer["anomaly"].to_numpy(), judged.detectors)
    truth, scores, naive = (judged.spread(values) for values in (judged.truth, score, without))
    figures, baseline = metrics.binary_metrics(truth, scores), metrics.binary_metrics(truth, naive)
    reviewed = judged.is_reviewed
    if 0 < judged.truth[reviewed].sum() < reviewed.sum():
        figures["auc_reviewed"] = metrics.auc(judged.truth[reviewed], score[reviewed])
        baseline["auc_reviewed"] = metrics.auc(judged.truth[reviewed], without[reviewed])
    return Record(
        rows=len(learned.truth),
        positives=int(learned.truth.sum()),
        metrics=figures,
        baseline=baseline,
        candidates=candidates,
        curves={
            "reliability": metrics.reliability(truth, scores),
            "lift": metrics.lift(truth, scores),
            "thresholds": metrics.threshold_table(truth, scores),
            "baseline_reliability": metrics.reliability(truth, naive),
            "baseline_lift": metrics.lift(truth, naive),
        },
        importance=explain.importance(model.explain(judged.features)),
        parameters=parameters,
        gate=[Verdict("pr_auc", figures["pr_auc"] > baseline["pr_auc"], figures["pr_auc"], baseline["pr_auc"], _GATE)],
    )
