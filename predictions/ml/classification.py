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
from predictions.ml.samples import Sample, folds_of, require_both, values_of

FOLDS = 3
# of either outcome, for a learner that keeps a tenth of its rows apart to know when to stop
LEAST_OF_EITHER = 10
# the latest cut-offs that probabilities are calibrated on: enough outcomes, and none of long ago
CALIBRATION_CUTOFFS = 2
IMPORTANCE_ROWS = 1_000
# how far predicted and observed shares may lie apart on the evaluation cut-off, beyond chance
CALIBRATION_LIMIT = 0.05
# of either outcome among the active players of the evaluation cut-off, for figures of them
LEAST_ACTIVE_CASES = 20


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

    `fit` is called once per fold, with all rows of the players outside it. Raises NotEnoughData when one outcome is missing there, or among
    the rows that are scored.
    """
    folds = folds_of(data.players, FOLDS, seed)
    latest = data.cutoff > data.cutoff.max() - CALIBRATION_CUTOFFS
    found = None
    for fold in range(FOLDS):
        inside = latest & (folds == fold)
        if not inside.any():
            continue
        others = data.take(folds != fold)
        require_both(others.outcomes, "of the players outside a fold", LEAST_OF_EITHER)
        learners = fit(others)
        scores = np.column_stack([learner.raw(data.values[inside]) for learner in learners])
        found = np.full((len(data), scores.shape[1]), np.nan) if found is None else found
        found[inside] = scores
    assert found is not None  # the latest cut-off has rows
    require_both(data.outcomes[latest], "of the latest cut-offs, which probabilities are calibrated on,")
    return found[latest], data.take(latest)


def cross_fitted(raws: np.ndarray, data: Sample, seed: int) -> np.ndarray:
    """Probabilities (rows) of scores (rows, learners), each half of the players weighted and calibrated by the other half's outcomes.

    Raises NotEnoughData when all of a half have the same outcome.
    """
    half = folds_of(data.players, 2, seed + 7) == 0
    found = np.empty(len(raws))
    for inside in (half, ~half):
        require_both(data.outcomes[~inside], "of half the players who choose the algorithm")
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
    active_within: tuple[int, int],
    minimum_players: int,
    seed: int,
) -> Record:
    """Measures model and baseline on the evaluation rows, and once more on those who were active shortly before.

    Most players of an old operator left long ago: everybody can tell, and they make any figure over all players look good. So the figures
    "..._active" and the curves "active" are of the players with no more than the days in the column of `active_within` (column, days),
    and the gate asks for both.
    """
    y = evaluation.outcomes
    found = model.answers(evaluation.values, pd.RangeIndex(len(evaluation)))
    probability, naive = found["probability"].to_numpy(), baseline.probability(evaluation.values)
    column, days = active_within
    active = evaluation.values[:, column] <= days
    figures, naive_figures = metrics.binary_metrics(y, probability), metrics.binary_metrics(y, naive)
    curves: dict[str, Any] = _curves(y, probability, naive)
    verdicts = _gate(figures, naive_figures, len(y), minimum_players) + [_active_cases(y[active])]
    if verdicts[-1].passed:
        shown = y[active], probability[active], naive[active]
        figures |= _active_figures(shown[0], shown[1])
        naive_figures |= _active_figures(shown[0], shown[2])
        curves["active"] = {"within_days": days, "players": int(active.sum()), "positives": int(shown[0].sum()), **_curves(*shown)}
        verdicts += _better(figures, naive_figures, "_active", " among active players")
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(data.cutoff == data.cutoff.max()))[:IMPORTANCE_ROWS]
    return Record(
        rows=len(data),
        positives=data.positives,
        metrics=figures,
        baseline=naive_figures,
        candidates=candidates,
        curves=curves,
        importance=explain.importance(model.learner.explain(model.features, data.values[rows])),
        parameters={**parameters, "active_within_days": days},
        gate=verdicts,
    )


def _curves(y: np.ndarray, probability: np.ndarray, naive: np.ndarray) -> dict[str, Any]:
    return {
        "reliability": metrics.reliability(y, probability),
        "lift": metrics.lift(y, probability),
        "thresholds": metrics.threshold_table(y, probability),
        "baseline_reliability": metrics.reliability(y, naive),
        "baseline_lift": metrics.lift(y, naive),
    }


def _active_figures(y: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    return {f"{name}_active": value for name, value in metrics.binary_metrics(y, probability).items()}


def _active_cases(y: np.ndarray) -> Verdict:
    """Fails closed: a model that nobody saw at work on active players has only been seen to know who left long ago."""
    rarer = int(min(y.sum(), len(y) - y.sum()))
    reason = (
        f"{int(y.sum())} cases among {len(y)} players who were active before the evaluation cut-off; {LEAST_ACTIVE_CASES} cases and as "
        "many opposite cases are needed to measure it on those who can still be kept."
    )
    return Verdict("active cases", rarer >= LEAST_ACTIVE_CASES, rarer, LEAST_ACTIVE_CASES, reason)


def _gate(figures: Mapping[str, float], naive: Mapping[str, float], players: int, minimum_players: int) -> list[Verdict]:
    chance = 0.8 * float(np.sqrt(10 * figures["base_rate"] * (1 - figures["base_rate"]) / players))
    limit = CALIBRATION_LIMIT + chance
    measured = (
        f"{players} players of the evaluation cut-off, which nothing was learned from, have a known outcome; {minimum_players} are needed. "
        "With fewer the figures say little of the next month."
    )
    apart = (
        f"predicted and observed shares lie {100 * figures['ece']:.1f} points of a hundred apart on average; at most {100 * limit:.1f} are "
        f"allowed ({100 * CALIBRATION_LIMIT:.0f}, and what chance explains among {players} players). Else nobody could plan with them."
    )
    return [
        Verdict("players_measured", players >= minimum_players, players, minimum_players, measured),
        *_better(figures, naive, "", ""),
        Verdict("calibration", figures["ece"] <= limit, figures["ece"], limit, apart),
    ]


def _better(figures: Mapping[str, float], naive: Mapping[str, float], suffix: str, among: str) -> list[Verdict]:
    auc, brier = f"auc{suffix}", f"brier{suffix}"
    return [
        Verdict(auc, figures[auc] > naive[auc], figures[auc], naive[auc], f"ranks better than the baseline{among}"),
        Verdict(brier, figures[brier] < naive[brier], figures[brier], naive[brier], f"is closer to what happened than the baseline{among}"),
    ]
