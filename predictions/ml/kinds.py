"""What every kind of model has in common: what it is trained on, what it answers, what is recorded of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import numpy as np
import pandas as pd


class NotEnoughData(ValueError):
    """Too little history to train; the message says what there is, what is needed, and what to do."""


@dataclass(frozen=True)
class Cutoff:
    """Features as of one instant and what happened after it.

    `features`: one row per player, index `player_id` (int64), float64 columns named as in `predictions.ml.features`; NaN is unknown.
    `labels`: same index; columns are those of `predictions.ml.features.LABELS`. `added`: ids that stand beside a sample of the players,
    because they were asked for by name (they may have left the rows since); everybody else is a player like any other.
    """

    as_of: datetime
    features: pd.DataFrame
    labels: pd.DataFrame
    added: frozenset[int] = frozenset()

    @property
    def is_drawn(self) -> np.ndarray:
        """Whether each row (rows) is there by chance alone: only these are distributed as all players are."""
        drawn: np.ndarray = ~self.features.index.isin(list(self.added))
        return drawn


@dataclass(frozen=True)
class History:
    """Cut-offs in order of time. The last is the evaluation cut-off: nothing is fitted, chosen or calibrated on it."""

    cutoffs: Sequence[Cutoff]
    horizon_days: int

    @property
    def evaluation(self) -> Cutoff:
        return self.cutoffs[-1]

    @property
    def development(self) -> Sequence[Cutoff]:
        return self.cutoffs[:-1]


@dataclass(frozen=True)
class Explanation:
    """Exact additive contributions: base[i] + contributions[i].sum() is the model's raw output for row i.

    `contributions` has shape (rows, features), in the order of `features`; `scale` says what the raw output is ("log-odds",
    "currency units", "probability").
    """

    features: tuple[str, ...]
    contributions: np.ndarray
    base: np.ndarray
    scale: str


class Model(Protocol):
    """A trained model of any kind. Attributes are constant after training; all methods are pure and thread-safe."""

    @property
    def algorithm(self) -> str: ...

    @property
    def features(self) -> tuple[str, ...]: ...

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Answers for the rows of `frame` (any further columns are ignored), same index. Columns depend on the kind."""

    def explain(self, frame: pd.DataFrame) -> Explanation:
        """Exact contributions of each feature to the leading figure, on the model's raw scale."""


@dataclass(frozen=True)
class Verdict:
    """One check of the gate, with what it compared."""

    name: str
    passed: bool
    value: float
    limit: float
    reason: str


@dataclass(frozen=True)
class Record:
    """What is kept of a training, all plain JSON: numbers, strings, lists and dictionaries; no NaN.

    `metrics` and `baseline` share their names, measured on the evaluation cut-off. `candidates` lists every algorithm tried:
    {"algorithm", "chosen", "metrics"}, measured on the validation part of the development cut-offs. `curves` holds what pages draw
    ("reliability": [{"from","to","n","predicted","observed"}], "lift": [{"decile","n","positives","lift"}],
    "thresholds": [{"threshold","share","precision","recall"}], ...). `importance` sums to 1.
    """

    rows: int
    positives: int
    metrics: Mapping[str, float]
    baseline: Mapping[str, float]
    candidates: Sequence[Mapping[str, Any]]
    curves: Mapping[str, Any]
    importance: Mapping[str, float]
    parameters: Mapping[str, Any]
    gate: Sequence[Verdict]
    reference: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trained:
    model: Model
    record: Record
