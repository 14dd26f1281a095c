"""Probability that a player does not come back: no real-money bet and no deposit within the horizon after the cut-off.

Tried: logistic regression, a random forest, gradient boosting, and a weighted ensemble of boosting, forest and a small neural network. Each
is fitted on the earlier development cut-offs and compared on the last one by log loss, calibrated across halves of the players. The
ensemble, slower and harder to explain, must beat the best single one by 0.001 nats and a standard error. The chosen one is fitted again on
all development rows; its calibration comes from scores of players left out of the fit. The evaluation cut-off is only measured.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from predictions.ml import calibration, metrics
from predictions.ml.classification import (
    CALIBRATION_CUTOFFS,
    FOLDS,
    LEAST_OF_EITHER,
    Baseline,
    ProbabilityModel,
    cross_fitted,
    fit_alone,
    out_of_fold,
    record,
    weigh,
)
from predictions.ml.kinds import History, Trained
from predictions.ml.learners import Ensemble, Learner, fit_boosting, fit_forest, fit_logistic, fit_network
from predictions.ml.samples import Sample, check_enough, feature_names, require_both, sample, split

RECENCY = "days_since_last_activity"
# sizes of the boosted model that are tried: leaves of a tree, numbers of trees
LEAVES = (8, 31)
ROUNDS = (40, 80, 160)
# what the ensemble must gain in log loss, in nats
MIN_GAIN = 0.001


@dataclass(frozen=True)
class Candidate:
    """One algorithm: `fit` its members, `raws` their scores on the validation rows (rows, members)."""

    name: str
    fit: Callable[[Sample], Sequence[Learner]]
    raws: np.ndarray
    parameters: Mapping[str, Any]


def train(
    history: History,
    *,
    seed: int,
    features: Sequence[str] | None = None,
    recency: str = RECENCY,
    minimum_players: int = 500,
    minimum_positives: int = 50,
) -> Trained:
    """A calibrated churn model from labels `churned` of eligible players.

    `features` default to all numeric columns; `recency` names the one that the baseline knows alone.
    Raises NotEnoughData when no outcome was known at the evaluation cut-off, below the least number of players or of outcomes, or when one
    outcome is missing in a part that something is fitted, chosen or calibrated on.
    """
    names = tuple(features) if features is not None else feature_names(history)
    parts = split(history, names, "churned", history.horizon_days, seed)
    evaluation = sample(history.evaluation, names, "churned", len(history.development))
    check_enough(parts.both, evaluation, minimum_players, minimum_positives, "churn")
    require_both(parts.fit.outcomes, "of the earlier cut-offs, which candidates learn from,", LEAST_OF_EITHER)
    require_both(parts.validation.outcomes, "of the cut-off that chooses between candidates", LEAST_OF_EITHER)
    column = names.index(recency)
    candidates = _candidates(parts.fit, parts.validation, seed)
    table, chosen = _choose(candidates, parts.fit, parts.validation, column, seed)
    model = _final(chosen, parts.both, names, seed)
    weights = model.learner.weights.tolist() if isinstance(model.learner, Ensemble) else None
    parameters = {
        **chosen.parameters,
        "seed": seed,
        "horizon_days": history.horizon_days,
        "folds": FOLDS,
        "calibration_cutoffs": min(CALIBRATION_CUTOFFS, int(parts.both.cutoff.max()) + 1),
        "interval": calibration.INTERVAL,
        "cutoffs": int(parts.both.cutoff.max()) + 1,
        "cutoffs_left_out": parts.left_out,
        "recency": recency,
        **({"weights": weights} if weights else {}),
    }
    found = record(
        model,
        Baseline.fit(parts.both, column, seed),
        parts.both,
        evaluation,
        candidates=table,
        parameters=parameters,
        active_within=(column, history.horizon_days),
        minimum_players=minimum_players,
        seed=seed,
    )
    return Trained(model, found)


def _candidates(fit: Sample, validation: Sample, seed: int) -> list[Candidate]:
    boosting, boosting_raw, size = _boosting(fit, validation, seed)
    logistic = fit_logistic(fit.values, fit.outcomes, seed)
    forest = fit_forest(fit.values, fit.outcomes, seed)
    network = fit_network(fit.values, fit.outcomes, seed)
    forest_raw, network_raw = forest.raw(validation.values), network.raw(validation.values)

    def members(data: Sample) -> Sequence[Learner]:
        return (
            boosting(data.values, data.outcomes, seed),
            fit_forest(data.values, data.outcomes, seed),
            fit_network(data.values, data.outcomes, seed),
        )

    return [
        Candidate(logistic.name, fit_alone(fit_logistic, seed), logistic.raw(validation.values)[:, None], {}),
        Candidate(forest.name, fit_alone(fit_forest, seed), forest_raw[:, None], {}),
        Candidate("gradient boosting", fit_alone(boosting, seed), boosting_raw[:, None], size),
        Candidate("weighted ensemble", members, np.column_stack([boosting_raw, forest_raw, network_raw]), size),
    ]


def _boosting(fit: Sample, validation: Sample, seed: int) -> tuple[Callable[..., Learner], np.ndarray, dict[str, Any]]:
    """The size of boosted model with the least log loss on the validation rows."""
    best: tuple[float, int, int, np.ndarray] | None = None
    for leaves in LEAVES:
        learner = fit_boosting(fit.values, fit.outcomes, seed, ROUNDS[-1], leaves)
        for rounds in ROUNDS:
            raw = learner.raw(validation.values, rounds)
            loss = float(_losses(validation.outcomes, raw).mean())
            if best is None or loss < best[0]:
                best = (loss, leaves, rounds, raw)
    assert best is not None
    _, leaves, rounds, raw = best
    return partial(fit_boosting, trees=rounds, leaves=leaves), raw, {"trees": rounds, "leaves": leaves}


def _choose(
    candidates: Sequence[Candidate], fit: Sample, validation: Sample, column: int, seed: int
) -> tuple[list[dict[str, Any]], Candidate]:
    """The table of all candidates and the one with the least log loss on the validation rows."""
    naive = Baseline.fit(fit, column, seed).probability(validation.values)
    table: list[dict[str, Any]] = [
        {"algorithm": "recency alone", "chosen": False, "metrics": metrics.binary_metrics(validation.outcomes, naive)}
    ]
    losses = {}
    for candidate in candidates:
        probability = cross_fitted(candidate.raws, validation, seed)
        table.append({"algorithm": candidate.name, "chosen": False, "metrics": metrics.binary_metrics(validation.outcomes, probability)})
        losses[candidate.name] = -np.log(np.where(validation.outcomes == 1, probability, 1 - probability))
    *singles, ensemble = candidates
    chosen = min(singles, key=lambda candidate: float(losses[candidate.name].mean()))
    gain = losses[chosen.name] - losses[ensemble.name]
    if gain.mean() > max(MIN_GAIN, gain.std() / np.sqrt(len(gain))):
        chosen = ensemble
    for row in table:
        row["chosen"] = row["algorithm"] == chosen.name
    return table, chosen


def _final(chosen: Candidate, data: Sample, names: tuple[str, ...], seed: int) -> ProbabilityModel:
    raws, rows = out_of_fold(data, chosen.fit, seed)
    weights = weigh(raws, rows.outcomes)
    learners = tuple(chosen.fit(data))
    learner = learners[0] if len(learners) == 1 else Ensemble(learners, weights)
    return ProbabilityModel(chosen.name, names, learner, calibration.fit(raws @ weights, rows.outcomes, rows.players))


def _losses(y: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """Log loss in nats (rows) of log-odds (rows)."""
    found: np.ndarray = np.logaddexp(0, raw) - y * raw
    return found
