"""How unlike the others a player is, and one fraud score from that and the abuse detectors.

Isolation forest (Liu, Ting, Zhou 2008, "Isolation Forest"): rows that few random splits suffice to separate are unusual. Money and counts
enter as sign(x) * log(1 + |x|), because splits are drawn evenly over a feature's range and one whale would stretch it; an unknown value
enters as the median of the training players, so that it speaks neither way. `anomaly` is the share of training players who are less
isolated: 0.99 means "more unusual than 99 % of players", it is no probability of fraud.

Being unusual is no offence. Alone it never reaches the default fraud threshold: see `combine`. Up to the most unusual tenth it says nothing
about fraud at all, so there are no reasons either: see `AnomalyModel.explain`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from .anomaly_paths import Forest, contributions
from .explain import importance
from .kinds import Cutoff, Explanation, History, NotEnoughData, Record, Trained, Verdict

FEATURES = (
    "rapid_deposits",
    "deposit_failure_rate",
    "deposit_count_90d",
    "deposits_90d",
    "deposit_mean",
    "withdrawal_count_90d",
    "withdrawals_90d",
    "payment_methods",
    "devices",
    "ips",
    "bonus_share_90d",
    "win_ratio_90d",
    "volatility_90d",
    "max_stake_90d",
    "stake_90d",
    "rounds_90d",
    "sessions_90d",
    "session_minutes_mean",
    "top_game_share_90d",
    "tenure_days",
)
MINIMUM_PLAYERS = 500
# the most unusual tenth counts, and counts for at most half: reviewers look at it, the label needs a detector beside it
TAIL_FROM = 0.9
TAIL_WEIGHT = 0.5
_TREES = 200
_AGREEMENT = 0.9
_CURVE = 1001


@dataclass(frozen=True)
class AnomalyModel:
    """`medians` (features,) fill what is unknown; `isolation` holds the training players' scores at evenly spaced shares, ascending."""

    forest: Any
    medians: np.ndarray
    isolation: np.ndarray
    algorithm: str = "isolation forest"
    features: tuple[str, ...] = FEATURES

    @cached_property
    def _paths(self) -> Forest:
        """The forest as explanations read it: made once a process, as it takes longer than hundreds of explanations."""
        return Forest.of(self.forest)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_paths"}

    def inputs(self, frame: pd.DataFrame) -> np.ndarray:
        """Shape (rows, features), nothing unknown. ValueError names missing columns."""
        raw = compressed(frame, self.features)
        return np.where(np.isnan(raw), self.medians, raw)

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Column `anomaly`, 0 to 1: share of the training players who are less isolated."""
        # score_samples is the higher the more usual
        score = -self.forest.score_samples(self.inputs(frame)) if len(frame) else np.empty(0)
        shares = np.linspace(0.0, 1.0, len(self.isolation))
        return pd.DataFrame({"anomaly": np.interp(score, self.isolation, shares)}, index=frame.index)

    def explain(self, frame: pd.DataFrame) -> Explanation:
        """Contributions to minus the mean path length: what each feature's splits took off the way to the leaf.

        Only for the most unusual tenth, whose isolation raises the score. Of all others no feature moved it: their contributions are 0 and
        their whole path is in the base. What made their score are the signals of the detectors.
        """
        parts, base = contributions(self._paths, self.inputs(frame))
        silent = self.predict(frame)["anomaly"].to_numpy() <= TAIL_FROM
        base[silent] += parts[silent].sum(axis=1)
        parts[silent] = 0.0
        return Explanation(self.features, parts, base, "splits saved")


def combine(anomaly: np.ndarray, detectors: np.ndarray) -> np.ndarray:
    """One score from 0 to 1 of two: 1 - (1 - detectors) * (1 - 0.5 * tail), tail = how far into the most unusual tenth (0 to 1).

    It is never below the detectors' own score, rises with both, and without a detector stays at 0.5 or below. ValueError when something is
    not between 0 and 1.
    """
    first = _shares("anomaly", anomaly)
    return either(TAIL_WEIGHT * np.clip((first - TAIL_FROM) / (1 - TAIL_FROM), 0.0, 1.0), detectors)


def either(first: np.ndarray, detectors: np.ndarray) -> np.ndarray:
    """Noisy or: 1 - (1 - first) * (1 - detectors). Two grounds for suspicion, taken as independent, either of which may be wrong."""
    answer: np.ndarray = 1 - (1 - _shares("the score", first)) * (1 - _shares("detectors", detectors))
    return answer


def published(answer: pd.DataFrame, detectors: np.ndarray) -> pd.DataFrame:
    """Columns score, interval_low, interval_high as they are stored, of a fraud model's `answer` and the detectors' scores (rows, 0 to 1).

    Both kinds of model count together with the detectors. Without closed reviews nothing is known about the error: the interval is 0 to 1.
    """
    if "score" not in answer:
        score = combine(answer["anomaly"].to_numpy(float), detectors)
        return pd.DataFrame({"score": score, "interval_low": 0.0, "interval_high": 1.0}, index=answer.index)
    names = ("score", "interval_low", "interval_high")
    return pd.DataFrame({name: either(answer[name].to_numpy(float), detectors) for name in names}, index=answer.index)


def _shares(name: str, values: np.ndarray) -> np.ndarray:
    found = np.asarray(values, dtype=float)
    if not ((found >= 0) & (found <= 1)).all():
        raise ValueError(f"{name} must lie between 0 and 1")
    return found


def compressed(frame: pd.DataFrame, features: tuple[str, ...]) -> np.ndarray:
    """sign(x) * log(1 + |x|) of the named columns, NaN kept. ValueError names missing columns."""
    missing = [name for name in features if name not in frame.columns]
    if missing:
        raise ValueError(f"the frame lacks {', '.join(missing)}")
    raw = frame[list(features)].to_numpy(float)
    answer: np.ndarray = np.sign(raw) * np.log1p(np.abs(raw))
    return answer


def fit(frame: pd.DataFrame, *, seed: int, features: tuple[str, ...] = FEATURES, trees: int = _TREES) -> AnomalyModel:
    """A forest on the players of `frame`. NotEnoughData under 500."""
    from sklearn.ensemble import IsolationForest

    if len(frame) < MINIMUM_PLAYERS:
        raise NotEnoughData(f"{len(frame)} players are too few to tell who is unusual, {MINIMUM_PLAYERS} are needed: import more players.")
    raw = compressed(frame, features)
    medians = np.array([_median(column) for column in raw.T])
    inputs = np.where(np.isnan(raw), medians, raw)
    forest = IsolationForest(n_estimators=trees, random_state=seed, n_jobs=1).fit(inputs)
    isolation = np.quantile(-forest.score_samples(inputs), np.linspace(0.0, 1.0, _CURVE))
    return AnomalyModel(forest, medians, isolation, features=features)


def train(history: History, *, seed: int) -> Trained:
    """Fits on the last development cut-off, closed and excluded players included: fraud is a reason to be closed.

    Of a sample only players who were drawn count: those added for their reviews are likelier to be unusual than players are, and would
    make everybody else less so.
    """
    if not history.development:
        raise NotEnoughData("there is no development cut-off; train with at least two cut-offs.")
    latest = drawn(history.development[-1])
    model = fit(latest, seed=seed)
    return Trained(model, _record(model, latest, history, seed))


def drawn(cutoff: Cutoff) -> pd.DataFrame:
    """Features of the players who are distributed as all are: those of the cut-off without the ones that were added to its sample."""
    return cutoff.features[cutoff.is_drawn]


def _median(column: np.ndarray) -> float:
    known = column[~np.isnan(column)]
    # nobody has a value: the column is constant and no tree can split on it
    return float(np.median(known)) if len(known) else 0.0


def _record(model: AnomalyModel, latest: pd.DataFrame, history: History, seed: int) -> Record:
    """Without known outcomes only two things can be measured: do two forests agree, and is the tail as long later on."""
    from scipy.stats import spearmanr

    held_out = drawn(history.evaluation)
    answer = model.predict(held_out)["anomaly"].to_numpy()
    other = fit(latest, seed=seed + 1).predict(held_out)["anomaly"].to_numpy()
    metrics = {
        "rank_agreement": float(spearmanr(answer, other).statistic),
        "top_agreement": _shared_top(answer, other),
        "share_above_95": float((answer > 0.95).mean()),
        "share_above_99": float((answer > 0.99).mean()),
    }
    explanation = model.explain(held_out.iloc[np.argsort(-answer, kind="stable")[:500]])
    return Record(
        rows=len(latest),
        positives=0,
        metrics=metrics,
        baseline={"rank_agreement": 0.0, "top_agreement": 0.01, "share_above_95": 0.05, "share_above_99": 0.01},
        candidates=[{"algorithm": model.algorithm, "chosen": True, "metrics": metrics}],
        curves={"histogram": _histogram(answer)},
        importance=importance(explanation),
        parameters={"trees": _TREES, "rows_per_tree": 256, "tail_from": TAIL_FROM, "tail_weight": TAIL_WEIGHT, "seed": seed},
        gate=[
            Verdict(
                "rank_agreement",
                metrics["rank_agreement"] >= _AGREEMENT,
                metrics["rank_agreement"],
                _AGREEMENT,
                "Rank correlation of two forests with different seeds on the evaluation cut-off. How much fraud it finds is unknown "
                "until reviews have outcomes.",
            )
        ],
    )


def _shared_top(first: np.ndarray, second: np.ndarray) -> float:
    """Share of the most unusual hundredth by one that is also in it by the other; by chance 0.01."""
    size = max(1, len(first) // 100)
    top = [set(np.argsort(-scores, kind="stable")[:size].tolist()) for scores in (first, second)]
    return len(top[0] & top[1]) / size


def _histogram(anomaly: np.ndarray) -> list[Mapping[str, float]]:
    counts, limits = np.histogram(anomaly, bins=20, range=(0.0, 1.0))
    return [{"from": float(limits[bin_]), "to": float(limits[bin_ + 1]), "n": int(counts[bin_])} for bin_ in range(20)]


def train_supervised(history: History, cases: pd.DataFrame, detectors: pd.Series, *, players: int, seed: int) -> Trained:
    """A probability of fraud from closed reviews; see `anomaly_supervised`."""
    from . import anomaly_supervised

    return anomaly_supervised.train_supervised(history, cases, detectors, players=players, seed=seed)
