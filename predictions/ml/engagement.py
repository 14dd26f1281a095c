"""Probability of activity within the next 7 days, what it is made of, and how it fades.

A logistic regression, because its contributions are exact and simple. The breakdown into logins, deposits and gameplay:

1. A group's contribution is the sum over its features, in log-odds. It is measured from a floor, the lowest hundredth of the training
   rows: what the group gives above a player with hardly any of it; below the floor it gives 0. So no part is negative.
2. The gain in probability from "all three at their floor" to the player is shared by Shapley's rule: each group's gain, averaged over the
   orders in which the three can be switched on. All other features stay as they are.
3. The shares are scaled to sum to the probability itself. A player with all three at the floor gets the mean shares of training.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import pandas as pd

from predictions.ml import calibration, decay, metrics
from predictions.ml.classification import LEAST_OF_EITHER, Baseline, ProbabilityModel, cross_fitted, fit_alone, out_of_fold, record
from predictions.ml.decay import Decay
from predictions.ml.features import BY_NAME
from predictions.ml.kinds import Explanation, History, Trained
from predictions.ml.learners import fit_logistic
from predictions.ml.samples import Sample, Split, check_enough, feature_names, require_both, sample, split, values_of

PARTS = ("logins", "deposits", "gameplay")
LABEL_DAYS = 7
RECENCY = decay.IDLE
ACTIVE_WITHIN_DAYS = 30
FLOOR = 0.01
FLOOR_ROWS = 100_000


@dataclass(frozen=True)
class EngagementModel:
    """`members` (parts, features) marks the features of each part, `floors` (parts) their floors, `usual` (parts) shares that sum to 1."""

    core: ProbabilityModel
    members: np.ndarray
    floors: np.ndarray
    usual: np.ndarray
    decay: Decay

    @property
    def algorithm(self) -> str:
        return self.core.algorithm

    @property
    def features(self) -> tuple[str, ...]:
        return self.core.features

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Columns probability, lower, upper, logins, deposits, gameplay (these three sum to probability, none is negative), decay."""
        values = values_of(frame, self.features)
        found = self.core.answers(values, frame.index)
        parts = self.parts(values, found["probability"].to_numpy())
        for number, name in enumerate(PARTS):
            found[name] = parts[:, number]
        found["decay"] = self.decay.loss(decay.habits(values, self.features)[1])
        return found

    def explain(self, frame: pd.DataFrame) -> Explanation:
        return self.core.explain(frame)

    def parts(self, values: np.ndarray, probability: np.ndarray) -> np.ndarray:
        """The breakdown (rows, parts) of `probability` (rows)."""
        gains = self.gains(values)
        total = gains.sum(axis=1, keepdims=True)
        shares = np.where(total > 0, gains / np.where(total > 0, total, 1.0), self.usual)
        found: np.ndarray = shares * probability[:, None]
        return found

    def gains(self, values: np.ndarray) -> np.ndarray:
        """Shapley gains in probability (rows, parts) from all three at their floor to the player."""
        if not len(values):
            return np.empty((0, len(PARTS)))
        explanation = self.core.learner.explain(self.features, values)
        grouped = explanation.contributions @ self.members.T
        lifts = np.maximum(grouped - self.floors, 0)
        ground = explanation.base + explanation.contributions.sum(axis=1) - grouped.sum(axis=1) + self.floors.sum()
        return _shapley(self.core, ground, lifts)


def _shapley(core: ProbabilityModel, ground: np.ndarray, lifts: np.ndarray) -> np.ndarray:
    count = lifts.shape[1]
    worth = {
        chosen: core.calibrator.probability(ground + lifts[:, list(chosen)].sum(axis=1))
        for size in range(count + 1)
        for chosen in combinations(range(count), size)
    }
    found = np.zeros_like(lifts)
    for part in range(count):
        for chosen, before in worth.items():
            if part not in chosen:
                weight = factorial(len(chosen)) * factorial(count - len(chosen) - 1) / factorial(count)
                found[:, part] += weight * (worth[tuple(sorted((*chosen, part)))] - before)
    # rounding may leave a part without any lift a hair below 0
    gains: np.ndarray = np.maximum(found, 0)
    return gains


def train(
    history: History,
    *,
    seed: int,
    features: Sequence[str] | None = None,
    groups: Mapping[str, str] | None = None,
    minimum_players: int = 500,
    minimum_positives: int = 50,
) -> Trained:
    """A calibrated engagement model from labels `active_7d` of eligible players.

    `groups` names the group of each feature, as in the catalogue of features by default; of these logins, deposits and gameplay count.
    Raises NotEnoughData as `churn.train` does, ValueError when the features of the decay or of one of the three groups are missing.
    """
    names = tuple(features) if features is not None else feature_names(history)
    group_of = groups if groups is not None else {name: feature.group for name, feature in BY_NAME.items()}
    members = np.array([[float(group_of.get(name) == part) for name in names] for part in PARTS])
    if not members.any(axis=1).all():
        raise ValueError(f"each of {', '.join(PARTS)} needs a feature")
    parts = split(history, names, "active_7d", LABEL_DAYS, seed)
    evaluation = sample(history.evaluation, names, "active_7d", len(history.development))
    check_enough(parts.both, evaluation, minimum_players, minimum_positives, "active")
    require_both(parts.fit.outcomes, "of the earlier cut-offs, which candidates learn from,", LEAST_OF_EITHER)
    require_both(parts.validation.outcomes, "of the cut-off that candidates are compared on", LEAST_OF_EITHER)
    column = names.index(RECENCY)
    raws, rows = out_of_fold(parts.both, fit_alone(fit_logistic, seed), seed)
    learner = fit_logistic(parts.both.values, parts.both.outcomes, seed)
    core = ProbabilityModel(learner.name, names, learner, calibration.fit(raws[:, 0], rows.outcomes, rows.players))
    weeks, habit = decay.habits(parts.both.values, names)
    # whoever has been away for longer than the window says nothing about how fast activity fades in it
    inside = weeks < decay.MOST_WEEKS
    require_both(parts.both.outcomes[inside], "of players seen within 13 weeks, who tell how activity fades,", LEAST_OF_EITHER)
    seen = weeks[inside], habit[inside], parts.both.outcomes[inside]
    fitted = decay.fit(*seen)
    bare = EngagementModel(core, members, np.zeros(len(PARTS)), np.full(len(PARTS), 1 / len(PARTS)), fitted)
    model = _with_floors(bare, parts.both, seed)
    found = record(
        core,
        Baseline.fit(parts.both, column, seed),
        parts.both,
        evaluation,
        candidates=_compare(parts, column, seed),
        parameters=_parameters(model, parts, history, seed),
        active_within=(column, ACTIVE_WITHIN_DAYS),
        minimum_players=minimum_players,
        seed=seed,
    )
    curves = {**found.curves, "decay": decay.curve(fitted, *seen)}
    return Trained(model, replace(found, curves=curves))


def _with_floors(model: EngagementModel, data: Sample, seed: int) -> EngagementModel:
    """The same model with floors and usual shares from at most 100,000 training rows."""
    values = data.values[np.random.default_rng(seed).permutation(len(data))[:FLOOR_ROWS]]
    grouped = model.core.learner.explain(model.features, values).contributions @ model.members.T
    model = replace(model, floors=np.quantile(grouped, FLOOR, axis=0))
    gains = model.gains(values).sum(axis=0)
    return replace(model, usual=gains / gains.sum()) if gains.sum() > 0 else model


def _compare(parts: Split, column: int, seed: int) -> list[dict[str, Any]]:
    naive = Baseline.fit(parts.fit, column, seed).probability(parts.validation.values)
    learner = fit_logistic(parts.fit.values, parts.fit.outcomes, seed)
    probability = cross_fitted(learner.raw(parts.validation.values)[:, None], parts.validation, seed)
    y = parts.validation.outcomes
    return [
        {"algorithm": "recency alone", "chosen": False, "metrics": metrics.binary_metrics(y, naive)},
        {"algorithm": learner.name, "chosen": True, "metrics": metrics.binary_metrics(y, probability)},
    ]


def _parameters(model: EngagementModel, parts: Split, history: History, seed: int) -> dict[str, Any]:
    law = model.decay
    return {
        "seed": seed,
        "label_days": LABEL_DAYS,
        "horizon_days": history.horizon_days,
        "interval": calibration.INTERVAL,
        "cutoffs": int(parts.both.cutoff.max()) + 1,
        "cutoffs_left_out": parts.left_out,
        "floors": dict(zip(PARTS, model.floors.tolist(), strict=True)),
        "usual_shares": dict(zip(PARTS, model.usual.tolist(), strict=True)),
        "decay": {
            "level": law.level,
            "level_by_habit": law.level_by_habit,
            "rate": law.rate,
            "rate_by_habit": law.rate_by_habit,
        },
    }
