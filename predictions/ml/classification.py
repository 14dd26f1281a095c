"""What the models of a probability share: the calibrated model, fitting without seeing the own outcome, and the record of a training."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from predictions.ml import calibration, explain, metrics
from predictions.ml.calibration import Calibrator
from predictions.ml.kinds import Explanation, Record, Verdict
from predictions.ml.learners import Fit, Learner, fit_logistic, fit_weights
from predictions.ml.samples import Sample, folds_of, values_of

FOLDS = 3
# the latest cut-offs that probabilities are calibrated on: enough outcomes, and none of long ago
CALIBRATION_CUTOFFS = 2
IMPORTANCE_ROWS = 1_000
# how far predicted and observed shares may lie apart on the evaluation cut-off, beyond chance
CALIBRATION_LIMIT = 0.05


@dataclass(frozen=True)
class ProbabilityModel:
    """A fitted learner and its calibrator. `explain` is on the learner's scale, which the calibrator maps increasingly to probability."""

    algorithm: str
    features: tuple[str, ...]
    learner: Learner
    calibrator: Calibrator

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Columns probability, lower and upper (90 % interval of the share among players of this score), all strictly within 0 and 1."""
        return self.answers(values_of(frame, self.features), frame.index)

    def answers(self, values: np.ndarray, index: pd.Index) -> pd.DataFrame:
        if not len(values):
            return pd.DataFrame({name: np.empty(0) for name in ("probability", "lower", "upper")}, index=index)
        raw = self.learner.raw(values)
        lower, upper = self.calibrator.interval(raw)
        return pd.DataFrame({"probability": self.calibrator.probability(raw), "lower": lower, "upper": upper}, index=index)

    def explain(self, frame: pd.DataFrame) -> Explanation:
        values = values_of(frame, self.features)
        if not len(values):
            return Explanation(self.features, np.empty((0, len(self.features))), np.empty(0), "log-odds")
        return self.learner.explain(self.features, values)


@dataclass(frozen=True)
class Baseline:
    """What one figure alone says, usually the days since the last activity: logistic in its logarithm, then calibrated."""

    column: int
    learner: Learner
    calibrator: Calibrator

    @classmethod
    def fit(cls, data: Sample, column: int, seed: int) -> "Baseline":
        learner = fit_logistic(data.values[:, [column]], data.outcomes, seed)
        # one number cannot be learned by heart, so the rows it was fitted on serve for its calibration
        return cls(column, learner, calibration.fit(learner.raw(data.values[:, [column]]), data.outcomes))

    def probability(self, values: np.ndarray) -> np.ndarray:
        return self.calibrator.probability(self.learner.raw(values[:, [self.column]]))


def out_of_fold(data: Sample, fit: Callable[[Sample], Sequence[Learner]], seed: int) -> tuple[np.ndarray, Sample]:
    """Scores (rows, learners) of the latest cut-offs' rows by learners fitted without any row of the same player, and these rows.

    `fit` is called once per fold, with all rows of the players outside it.
    """
    folds = folds_of(data.players, FOLDS, seed)
    latest = data.cutoff > data.cutoff.max() - CALIBRATION_CUTOFFS
    found = None
    for fold in range(FOLDS):
        inside = latest & (folds == fold)
        if not inside.any():
            continue
        learners = fit(data.take(folds != fold))
        scores = np.column_stack([learner.raw(data.values[inside]) for learner in learners])
        found = np.full((len(data), scores.shape[1]), np.nan) if found is None else found
        found[inside] = scores
    assert found is not None  # the latest cut-off has rows
    return found[latest], data.take(latest)


def cross_fitted(raws: np.ndarray, data: Sample, seed: int) -> np.ndarray:
    """Probabilities (rows) of scores (rows, learners), each half of the players weighted and calibrated by the other half's outcomes."""
    half = folds_of(data.players, 2, seed + 7) == 0
    found = np.empty(len(raws))
    for inside in (half, ~half):
        weights = weigh(raws[~inside], data.outcomes[~inside])
        calibrator = calibration.fit(raws[~inside] @ weights, data.outcomes[~inside])
        found[inside] = calibrator.probability(raws[inside] @ weights)
    return found


def weigh(raws: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Weights (learners) of scores (rows, learners); one alone has weight 1."""
    return np.ones(1) if raws.shape[1] == 1 else fit_weights(raws, y)


def fit_alone(fit: Fit, seed: int) -> Callable[[Sample], Sequence[Learner]]:
    return lambda data: (fit(data.values, data.outcomes, seed),)


def record(
    model: ProbabilityModel,
    baseline: Baseline,
    data: Sample,
    evaluation: Sample,
    *,
    candidates: Sequence[Mapping[str, Any]],
    parameters: Mapping[str, Any],
    active_within: tuple[int, float] | None,
    minimum_players: int,
    seed: int,
) -> Record:
    """Measures model and baseline on the evaluation rows. `active_within` (column, days): "auc_active" is the AUC among players with no
    more than that in the column, who are the ones that can still be kept."""
    y = evaluation.outcomes
    found = model.answers(evaluation.values, pd.RangeIndex(len(evaluation)))
    probability, naive = found["probability"].to_numpy(), baseline.probability(evaluation.values)
    figures, naive_figures = metrics.binary_metrics(y, probability), metrics.binary_metrics(y, naive)
    if active_within:
        recent = evaluation.values[:, active_within[0]] <= active_within[1]
        if len(np.unique(y[recent])) == 2:
            figures["auc_active"] = metrics.auc(y[recent], probability[recent])
            naive_figures["auc_active"] = metrics.auc(y[recent], naive[recent])
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(data.cutoff == data.cutoff.max()))[:IMPORTANCE_ROWS]
    return Record(
        rows=len(data),
        positives=data.positives,
        metrics=figures,
        baseline=naive_figures,
        candidates=candidates,
        curves={
            "reliability": metrics.reliability(y, probability),
            "lift": metrics.lift(y, probability),
            "thresholds": metrics.threshold_table(y, probability),
            "baseline_reliability": metrics.reliability(y, naive),
            "baseline_lift": metrics.lift(y, naive),
        },
        importance=explain.importance(model.learner.explain(model.features, data.values[rows])),
        parameters=parameters,
        gate=_gate(figures, naive_figures, evaluation, minimum_players),
    )


def _gate(figures: Mapping[str, float], naive: Mapping[str, float], evaluation: Sample, minimum_players: int) -> list[Verdict]:
    players = len(evaluation)
    chance = 0.8 * float(np.sqrt(10 * figures["base_rate"] * (1 - figures["base_rate"]) / players))
    limit = CALIBRATION_LIMIT + chance
    return [
        Verdict("players", players >= minimum_players, players, minimum_players, "players on the evaluation cut-off"),
        Verdict("auc", figures["auc"] > naive["auc"], figures["auc"], naive["auc"], "ranks better than the baseline"),
        Verdict(
            "brier", figures["brier"] < naive["brier"], figures["brier"], naive["brier"], "is closer to what happened than the baseline"
        ),
        Verdict("calibration", figures["ece"] <= limit, figures["ece"], limit, "predicted and observed shares agree, beyond chance"),
    ]
