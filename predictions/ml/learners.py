"""Classifiers behind one door: fitted on values (rows, features) with NaN for unknown, they answer a raw score and its contributions.

All keep nothing but numbers and LightGBM's model text, so that a fitted one can be stored, compared and read by any version of this file.
Randomness comes from the seed alone; everything runs on one thread.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import lightgbm
import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from predictions.ml import explain
from predictions.ml.kinds import Explanation

# rows that the slow learners are given at most
NETWORK_ROWS = 20_000
FOREST_ROWS = 100_000
LINEAR_ROWS = 200_000
BOOSTING_ROWS = 1_000_000

QUIET = {"verbosity": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True, "max_bin": 63}


class Learner(Protocol):
    @property
    def name(self) -> str: ...

    def raw(self, values: np.ndarray) -> np.ndarray:
        """Score (rows) on a scale like log-odds: higher is likelier."""

    def explain(self, features: Sequence[str], values: np.ndarray) -> Explanation: ...


Fit = Callable[[np.ndarray, np.ndarray, int], Learner]  # values, outcomes, seed


@dataclass(frozen=True)
class Preparation:
    """Values made fit for linear arithmetic: sign(x) * log(1 + |x|), unknown replaced by the median, standardised, held within 6.

    Columns that were unknown for somebody in training get a second column that says so; `owner` names the feature of every column.
    """

    medians: np.ndarray
    means: np.ndarray
    scales: np.ndarray
    flagged: np.ndarray
    owner: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray) -> "Preparation":
        squeezed = _squeeze(values)
        known = ~np.isnan(squeezed)
        medians = np.array([np.median(column[mask]) if mask.any() else 0.0 for column, mask in zip(squeezed.T, known.T, strict=True)])
        flagged = np.flatnonzero(~known.all(axis=0) & known.any(axis=0))
        columns = np.column_stack([np.where(known, squeezed, medians), ~known[:, flagged]])
        scales = columns.std(axis=0)
        owner = np.concatenate([np.arange(values.shape[1]), flagged])
        return cls(medians, columns.mean(axis=0), np.where(scales > 1e-9, scales, 1.0), flagged, owner)

    def apply(self, values: np.ndarray) -> np.ndarray:
        squeezed = _squeeze(values)
        unknown = np.isnan(squeezed)
        columns = np.column_stack([np.where(unknown, self.medians, squeezed), unknown[:, self.flagged]])
        found: np.ndarray = np.clip((columns - self.means) / self.scales, -6, 6)
        return found

    def by_feature(self, contributions: np.ndarray) -> np.ndarray:
        """Contributions of columns (rows, columns) summed to features (rows, features)."""
        found = contributions[:, : len(self.medians)].copy()
        # every flagged feature stands once in `flagged`, so plain addition loses nothing
        found[:, self.flagged] += contributions[:, len(self.medians) :]
        return found


@dataclass(frozen=True)
class Logistic:
    """Logistic regression on prepared columns, lightly held (ridge)."""

    preparation: Preparation
    coefficients: np.ndarray
    intercept: float
    means: np.ndarray
    name: str = "logistic regression"

    def raw(self, values: np.ndarray) -> np.ndarray:
        found: np.ndarray = self.preparation.apply(values) @ self.coefficients + self.intercept
        return found

    def explain(self, features: Sequence[str], values: np.ndarray) -> Explanation:
        columns = self.preparation.apply(values)
        names = [features[index] for index in self.preparation.owner]
        found = explain.linear_contributions(names, columns, self.coefficients, self.intercept, self.means)
        output = columns @ self.coefficients + self.intercept
        return explain.additive(features, self.preparation.by_feature(found.contributions), found.base, output, "log-odds")


def fit_logistic(values: np.ndarray, y: np.ndarray, seed: int, ridge: float = 5.0) -> Logistic:
    """Penalised maximum likelihood (ridge / 2 * |coefficients|^2) by L-BFGS on at most 200,000 rows. One optimum: the seed only samples."""
    rows = _sample(len(y), LINEAR_ROWS, seed)
    preparation = Preparation.fit(values[rows])
    columns, outcomes = preparation.apply(values[rows]), y[rows]

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        line = columns @ theta[1:] + theta[0]
        residual = expit(line) - outcomes
        value = np.sum(np.logaddexp(0, line) - outcomes * line) + ridge / 2 * theta[1:] @ theta[1:]
        slope = np.append(residual.sum(), columns.T @ residual + ridge * theta[1:])
        return float(value) / len(outcomes), slope / len(outcomes)

    start = np.append(logit(np.clip(outcomes.mean(), 1e-6, 1 - 1e-6)), np.zeros(columns.shape[1]))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 300, "ftol": 1e-10, "gtol": 1e-6})
    if not np.isfinite(found.x).all():
        raise ValueError("the logistic regression did not converge to finite numbers")
    return Logistic(preparation, found.x[1:], float(found.x[0]), columns.mean(axis=0))


@dataclass(frozen=True)
class Trees:
    """A LightGBM model, raw = shift + factor * its own raw output. Stored as text, which any LightGBM 4 reads."""

    name: str
    booster: lightgbm.Booster
    factor: float = 1.0
    shift: float = 0.0

    def raw(self, values: np.ndarray, trees: int | None = None) -> np.ndarray:
        """Score (rows), of the first `trees` alone when given."""
        found = np.asarray(self.booster.predict(values, raw_score=True, num_iteration=trees, num_threads=1), dtype=np.float64)
        output: np.ndarray = self.shift + self.factor * found
        return output

    def explain(self, features: Sequence[str], values: np.ndarray) -> Explanation:
        found = explain.tree_contributions(features, values, self.booster)
        return explain.additive(
            features, found.contributions * self.factor, self.shift + found.base * self.factor, self.raw(values), "log-odds"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {"name": self.name, "text": self.booster.model_to_string(), "factor": self.factor, "shift": self.shift}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for key in ("name", "factor", "shift"):
            object.__setattr__(self, key, state[key])
        object.__setattr__(self, "booster", lightgbm.Booster(model_str=state["text"]))


def fit_boosting(values: np.ndarray, y: np.ndarray, seed: int, trees: int = 160, leaves: int = 31) -> Trees:
    """Gradient boosting by LightGBM: slow steps, leaves that hold enough players, half of the features per tree."""
    rows = _sample(len(y), BOOSTING_ROWS, seed)
    parameters = QUIET | {
        "objective": "binary",
        "learning_rate": 0.05,
        "num_leaves": leaves,
        "min_data_in_leaf": int(np.clip(len(rows) // 250, 20, 200)),
        "feature_fraction": 0.5,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 5.0,
        "seed": seed,
    }
    data = lightgbm.Dataset(values[rows], y[rows], params=QUIET, free_raw_data=True)
    return Trees("gradient boosting", _detached(lightgbm.train(parameters, data, num_boost_round=trees)))


def fit_forest(values: np.ndarray, y: np.ndarray, seed: int, trees: int = 100) -> Trees:
    """Random forest of 100 trees with at least 200 players a leaf (fewer only when there are under 10,000 rows).

    Breiman's forest as LightGBM grows it: each tree from 63 % of the rows, a random third of the features at each split, least squares on
    0/1, which for two classes is the Gini criterion, and the mean of the leaves' shares; its raw output is a probability p. The score is
    its log-odds to first order, logit(m) + (p - m) / (m (1 - m)) about the base rate m: in order of p, and linear in it, so that the
    Shapley values stay exact.
    """
    rows = _sample(len(y), FOREST_ROWS, seed)
    parameters = QUIET | {
        "objective": "regression",
        "boosting": "rf",
        "num_leaves": 255,
        "min_data_in_leaf": int(np.clip(len(rows) // 50, 5, 200)),
        "feature_fraction_bynode": 0.33,
        "bagging_fraction": 0.632,
        "bagging_freq": 1,
        "seed": seed,
    }
    data = lightgbm.Dataset(values[rows], y[rows].astype(np.float64), params=QUIET, free_raw_data=True)
    booster = _detached(lightgbm.train(parameters, data, num_boost_round=trees))
    mean = float(np.clip(y[rows].mean(), 1e-6, 1 - 1e-6))
    slope = 1 / (mean * (1 - mean))
    # LightGBM's raw output and contributions of a forest are the sum over the trees; only its prediction is their mean
    return Trees("random forest", booster, slope / booster.num_trees(), float(logit(mean)) - mean * slope)


@dataclass(frozen=True)
class Network:
    """A neural network with one hidden layer of rectified units, on prepared columns. Raw output is the log-odds."""

    preparation: Preparation
    hidden: np.ndarray
    hidden_bias: np.ndarray
    out: np.ndarray
    out_bias: float
    name: str = "neural network"

    def raw(self, values: np.ndarray) -> np.ndarray:
        return self._output(self.preparation.apply(values))

    def _output(self, columns: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.maximum(columns @ self.hidden + self.hidden_bias, 0) @ self.out + self.out_bias
        return found

    def explain(self, features: Sequence[str], values: np.ndarray) -> Explanation:
        """Aumann-Shapley values from the mean player (integrated gradients; Sundararajan, Taly and Yan 2017), in closed form.

        Along the straight way from the mean to the player a unit's input is linear, so the gradient changes only where it crosses 0:
        the integral is the share of the way on which each unit is active.
        """
        columns = self.preparation.apply(values)
        start = self.hidden_bias
        end = columns @ self.hidden + self.hidden_bias
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = start / (start - end)
        active = np.where((start > 0) == (end > 0), start > 0, np.where(start > 0, crossing, 1 - crossing))
        contributions = columns * ((active * self.out) @ self.hidden.T)
        base = self._output(np.zeros((1, columns.shape[1])))
        return explain.additive(
            features, self.preparation.by_feature(contributions), np.repeat(base, len(values)), self._output(columns), "log-odds"
        )


def fit_network(values: np.ndarray, y: np.ndarray, seed: int, units: int = 16, epochs: int = 25) -> Network:
    """scikit-learn's multi-layer perceptron, small and early-stopped on a tenth of at most 20,000 of the given rows."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    rows = _sample(len(y), NETWORK_ROWS, seed)
    preparation = Preparation.fit(values[rows])
    network = MLPClassifier(
        (units,),
        alpha=1e-2,
        batch_size=min(256, len(rows)),
        learning_rate_init=3e-3,
        max_iter=epochs,
        early_stopping=True,
        n_iter_no_change=5,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is stopped on purpose
        network.fit(preparation.apply(values[rows]), y[rows].astype(int))
    hidden, out = (np.asarray(part, dtype=np.float64) for part in network.coefs_)
    first, last = (np.asarray(part, dtype=np.float64) for part in network.intercepts_)
    return Network(preparation, hidden, first, out[:, 0], float(last[0]))


@dataclass(frozen=True)
class Ensemble:
    """Weighted sum of the members' log-odds; weights are not negative and come from rows that the members were not fitted on."""

    members: tuple[Learner, ...]
    weights: np.ndarray
    name: str = "weighted ensemble"

    def raw(self, values: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.column_stack([member.raw(values) for member in self.members]) @ self.weights
        return found

    def explain(self, features: Sequence[str], values: np.ndarray) -> Explanation:
        parts = [member.explain(features, values) for member in self.members]
        contributions = sum(
            (w * part.contributions for w, part in zip(self.weights, parts, strict=True)), np.zeros((len(values), len(features)))
        )
        base = sum((w * part.base for w, part in zip(self.weights, parts, strict=True)), np.zeros(len(values)))
        return explain.additive(features, contributions, base, self.raw(values), "log-odds")


def fit_weights(raws: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Weights (members) of held-out scores (rows, members) by logistic maximum likelihood, none negative, lightly drawn to equal parts."""
    count = raws.shape[1]

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        line = theta[0] + raws @ theta[1:]
        residual = expit(line) - y
        away = theta[1:] - 1 / count
        value = np.sum(np.logaddexp(0, line) - y * line) + 2 * away @ away
        return float(value) / len(y), np.append(residual.sum(), raws.T @ residual + 4 * away) / len(y)

    bounds = [(None, None)] + [(0.0, None)] * count
    found = minimize(loss, np.append(0.0, np.full(count, 1 / count)), jac=True, method="L-BFGS-B", bounds=bounds)
    weights: np.ndarray = found.x[1:]
    if not np.isfinite(weights).all() or weights.sum() <= 0:
        raise ValueError("no member of the ensemble says anything about the outcome")
    return weights


def _squeeze(values: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.sign(values) * np.log1p(np.abs(values))
    return found


def _sample(rows: int, most: int, seed: int) -> np.ndarray:
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def _detached(booster: lightgbm.Booster) -> lightgbm.Booster:
    """The same model from its text: what is used after training is what will be read back from storage."""
    return lightgbm.Booster(model_str=booster.model_to_string())
