"""Value of a described customer who is not in the database: mean, 80 % interval, its measured coverage, and exact reasons.

Learned from the simulated bank of `predictions.ml.profile_bank`, whose true values are known: it shows what such a model can do and says
nothing about real customers until it is trained on them. A described player of ours is another matter: `predictions.ml.profile_deposits`
values their deposits by the operator's own purchase model.

The interval is conformal (Romano, Patterson and Candes, "Conformalized quantile regression", 2019): boosted 10 and 90 % quantiles, each
moved by as much, in units of the distance between them, as customers kept apart need for a tenth of them to lie beyond. The confidence
is the share of further customers kept apart whose value did lie inside, among those of a similar predicted value, as completely described.
"""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import lightgbm
import numpy as np
import pandas as pd

from predictions.ml import explain, metrics, profile_bank
from predictions.ml.kinds import Explanation, Record, Trained, Verdict
from predictions.ml.profile_schema import CATEGORIES, FEATURES, LABELS, InvalidProfile, features, read

__all__ = ["InvalidProfile", "ProfileModel", "train"]

CUSTOMERS = 48_000  # half to learn from, a sixth to calibrate the interval, a third to measure
LEVEL = 0.8
TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
ANSWER = ("value", "low", "high", "confidence")
BANDS = 4  # of the predicted value; the interval is calibrated and measured in each
_TREES, _LEAVES = 150, 15
_FACTS = ("income", "credit_score", "region", "acquisition_channel", "active_products", "transactions_365d", "oldest_product_months")


class ProfileModel:
    """Constant after training. Amounts are in the currency the profile is written in; the value is of the next 12 months."""

    algorithm = "gradient boosting, conformal quantiles"
    features = FEATURES

    def __init__(
        self,
        boosters: tuple[lightgbm.Booster, lightgbm.Booster, lightgbm.Booster],
        edges: np.ndarray,
        shifts: np.ndarray,
        confidence: np.ndarray,
        seen: np.ndarray,
    ) -> None:
        self._boosters = boosters  # mean, 10 % and 90 % quantile
        self._edges = edges  # (BANDS - 1,) of the predicted value
        self._shifts = shifts  # (BANDS, 2) of the quantiles, in widths
        self._confidence = confidence  # (BANDS, 2) for incomplete and complete descriptions
        self._seen = seen  # (2, FEATURES) least and greatest value learned from

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_boosters": tuple(one.model_to_string() for one in self._boosters)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._boosters = tuple(lightgbm.Booster(model_str=text) for text in state["_boosters"])  # type: ignore[assignment]

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """value, low, high, confidence for rows of FEATURES."""
        answers = self._answers(frame[list(FEATURES)].to_numpy(dtype=np.float64))
        return pd.DataFrame(dict(zip(ANSWER, answers, strict=True)), index=frame.index)

    def _answers(self, values: np.ndarray) -> tuple[np.ndarray, ...]:
        """ANSWER, (rows,) each."""
        mean, low, high = self._interval(values)
        return mean, low, high, self._confidence[self._band(mean), _complete(values).astype(int)]

    def explain(self, frame: pd.DataFrame) -> Explanation:
        """Exact contributions to the value, in money; the base is the mean value of the bank's customers."""
        values = frame[list(FEATURES)].to_numpy(dtype=np.float64)
        return explain.tree_contributions(FEATURES, values, self._boosters[0], scale="money")

    def predict_profile(self, profile: Mapping[str, Any], as_of: datetime | None = None, *, now: datetime | None = None) -> dict[str, Any]:
        """Value of one described customer (see `profile_schema.read`, which raises InvalidProfile naming each wrong field).

        value; low, high: the interval of `level`; confidence: its measured coverage; base and drivers: value = base + the contributions
        of all drivers, largest first, each {"feature", "label", "unit", "value", "contribution", "words"}; missing: features that are
        unknown; outside: those beyond what was learned from, for which the coverage was not measured.
        """
        values = features(read(profile, as_of, now=now))  # one row: a frame would cost as much as the trees
        row = values[0]
        answer = {name: float(column[0]) for name, column in zip(ANSWER, self._answers(values), strict=True)}
        explanation = explain.tree_contributions(FEATURES, values, self._boosters[0], scale="money")
        parts = explanation.contributions[0]
        return {
            **answer,
            "level": LEVEL,
            "base": float(explanation.base[0]),
            "drivers": [_driver(FEATURES[place], row[place], parts[place]) for place in np.argsort(-np.abs(parts), kind="stable")],
            "missing": [name for name, value in zip(FEATURES, row, strict=True) if math.isnan(value)],
            "outside": [name for name, beyond in zip(FEATURES, (row < self._seen[0]) | (row > self._seen[1]), strict=True) if beyond],
        }

    def _band(self, mean: np.ndarray) -> np.ndarray:
        return np.searchsorted(self._edges, mean)

    def _interval(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        mean, low, high = _raw(self._boosters, values)
        shift = self._shifts[self._band(mean)]
        width = high - low
        # the mean belongs to its interval; widening only adds coverage, and is measured with it
        return mean, np.minimum(low - shift[:, 0] * width, mean), np.maximum(high + shift[:, 1] * width, mean)


def train(*, seed: int) -> Trained:
    """Learn from a simulated bank of `seed`; about ten seconds of one processor."""
    bank = profile_bank.simulate(CUSTOMERS, seed)
    values = features(bank.people)
    learn, tune, held = np.split(np.arange(CUSTOMERS), [CUSTOMERS // 2, CUSTOMERS * 2 // 3])
    low, high = (_boost(values[learn], bank.value[learn], seed, objective="quantile", alpha=alpha) for alpha in TAILS)
    # the mean of a small customer is drowned by the noise of big ones unless each counts the less the less sure one can be of them
    width = np.abs(np.asarray(high.predict(values[learn])) - np.asarray(low.predict(values[learn])))
    sureness = 1 / (width + np.median(width) / 2)
    boosters = (_boost(values[learn], bank.value[learn], seed, weight=sureness / sureness.mean(), objective="regression"), low, high)
    edges, shifts = _conformal(_raw(boosters, values[tune]), bank.value[tune])
    seen = np.array([np.nanmin(values[learn], axis=0), np.nanmax(values[learn], axis=0)])
    draft = ProfileModel(boosters, edges, shifts, np.full((BANDS, 2), np.nan), seen)
    confidence = _measured(draft, values[held], bank.value[held])
    model = ProfileModel(boosters, edges, shifts, confidence, seen)
    return Trained(model, _record(model, bank, values, learn, tune, held))


def _boost(values: np.ndarray, target: np.ndarray, seed: int, weight: np.ndarray | None = None, **objective: Any) -> lightgbm.Booster:
    data = lightgbm.Dataset(
        values,
        target,
        weight=weight,
        feature_name=list(FEATURES),
        categorical_feature=[FEATURES.index(name) for name in CATEGORIES],
        free_raw_data=True,
    )
    parameters = {
        **objective,
        "num_leaves": _LEAVES,
        "learning_rate": 0.06,
        "min_data_in_leaf": 40,
        "min_sum_hessian_in_leaf": 1.0,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
    return lightgbm.train(parameters, data, num_boost_round=_TREES)


def _raw(boosters: tuple[lightgbm.Booster, ...], values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and quantiles, put in order where they cross."""
    mean, one, other = (np.asarray(booster.predict(values, num_threads=1), dtype=np.float64) for booster in boosters)
    return mean, np.minimum(one, other), np.maximum(one, other)


def _conformal(raw: tuple[np.ndarray, np.ndarray, np.ndarray], actual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(edges of the bands, shift of both quantiles in each). The rank (n + 1)(1 - miss) makes the coverage hold in finite samples."""
    mean, low, high = raw
    edges = np.quantile(mean, np.arange(1, BANDS) / BANDS)
    band = np.searchsorted(edges, mean)
    width = np.maximum(high - low, 1e-9)
    miss = (1 - LEVEL) / 2
    shifts = np.empty((BANDS, 2))
    for number in range(BANDS):
        inside = band == number
        rank = math.ceil((inside.sum() + 1) * (1 - miss)) - 1
        for side, score in enumerate(((low - actual) / width, (actual - high) / width)):
            shifts[number, side] = np.sort(score[inside])[rank]
    return edges, shifts


def _measured(model: ProfileModel, values: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Coverage on customers kept apart, by band of the predicted value and by whether the description is complete; shape (BANDS, 2)."""
    mean, low, high = model._interval(values)
    band, complete = model._band(mean), _complete(values)
    inside = (actual >= low) & (actual <= high)
    return np.array([[inside[(band == number) & (complete == whole)].mean() for whole in (False, True)] for number in range(BANDS)])


def _complete(values: np.ndarray) -> np.ndarray:
    return np.asarray(~np.isnan(values[:, [FEATURES.index(name) for name in _FACTS]]).any(axis=1))


def _record(
    model: ProfileModel, bank: profile_bank.Bank, values: np.ndarray, learn: np.ndarray, tune: np.ndarray, held: np.ndarray
) -> Record:
    known, actual = bank.value[learn], bank.value[held]
    frame = pd.DataFrame(values, columns=list(FEATURES))
    answer = model.predict(frame.iloc[held])
    found = _figures(actual, answer["value"].to_numpy(), answer["low"].to_numpy(), answer["high"].to_numpy())
    same = np.ones(held.size)
    naive = _figures(actual, same * known.mean(), same * np.quantile(known, 0.1), same * np.quantile(known, 0.9))
    truth = bank.expected[held]
    oracle = float(np.sqrt(np.mean((actual - truth) ** 2)))
    return Record(
        rows=learn.size,
        positives=0,
        metrics=found,
        baseline=naive,
        candidates=[
            {"algorithm": "mean of all", "chosen": False, "metrics": {"mae": naive["mae"]}},
            {"algorithm": model.algorithm, "chosen": True, "metrics": {"mae": _mae(bank.value[tune], model, frame.iloc[tune])}},
        ],
        curves={"deciles": metrics.decile_table(actual, answer["value"].to_numpy())},
        importance=explain.importance(model.explain(frame.iloc[held[:500]])),
        parameters={
            "bank": {"customers": CUSTOMERS, "seed_of": "the training", "months": profile_bank.MONTHS},
            "trees": _TREES,
            "leaves": _LEAVES,
            "level": LEVEL,
            "coverage_by_band": [[float(value) for value in row] for row in model._confidence],
            "rmse_of_the_true_expectation": oracle,
            "correlation_with_the_true_expectation": float(np.corrcoef(truth, answer["value"])[0, 1]),
        },
        gate=[
            Verdict("mae", found["mae"] < naive["mae"], found["mae"], naive["mae"], "Errs less than the mean of all customers would."),
            Verdict("coverage", abs(found["coverage"] - LEVEL) <= 0.02, found["coverage"], LEVEL, "The 80 % interval covers 78 to 82 %."),
        ],
    )


def _figures(actual: np.ndarray, value: np.ndarray, low: np.ndarray, high: np.ndarray) -> dict[str, float]:
    error = value - actual
    return {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "gini": metrics.gini(actual, value),
        "coverage": metrics.coverage(actual, low, high),
        "mean_width": float((high - low).mean()),
    }


def _mae(actual: np.ndarray, model: ProfileModel, frame: pd.DataFrame) -> float:
    return float(np.abs(actual - model.predict(frame)["value"].to_numpy()).mean())


def _driver(name: str, value: float, contribution: float) -> dict[str, Any]:
    label, unit = LABELS[name]
    if math.isnan(value):
        shown, words = None, f"{label}: not known"
    elif name in CATEGORIES:
        shown, words = None, f"{label}: {CATEGORIES[name][int(value)]}"
    else:
        shown, words = float(value), f"{label}: {value:.0%}" if unit == "share" else f"{label}: {value:,.0f}"
    return {"feature": name, "label": label, "unit": unit, "value": shown, "contribution": float(contribution), "words": words}
