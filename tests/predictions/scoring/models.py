"""Small real models of every kind, fast enough for a test. They follow the protocol and are saved through the registry."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from predictions import registry
from predictions.ml.explain import linear_contributions
from predictions.ml.kinds import Explanation, Record, Trained
from predictions.models import Kind, ModelVersion
from tests.factories import NOW

IMPORTANCE = {"days_since_last_activity": 0.6, "sessions_30d": 0.3, "deposit_count_90d": 0.1}
BINS = {"edges": [1.0, 3.0, 9.0], "counts": [2, 4, 2, 2], "missing": 0, "median": 3.0}
REFERENCE = {"rows": 10, "features": dict.fromkeys(IMPORTANCE, BINS)}


@dataclass(frozen=True)
class Linear:
    """sum(coefficient * value) + intercept over `features`; an unknown value counts as 0."""

    algorithm: str
    features: tuple[str, ...]
    coefficients: tuple[float, ...]
    intercept: float
    scale: str = "log-odds"

    def values(self, frame: pd.DataFrame) -> np.ndarray:
        return np.nan_to_num(frame[list(self.features)].to_numpy(float))

    def raw(self, frame: pd.DataFrame) -> np.ndarray:
        return (self.values(frame) * np.array(self.coefficients)).sum(axis=1) + self.intercept

    def explain(self, frame: pd.DataFrame) -> Explanation:
        means = np.zeros(len(self.features))
        return linear_contributions(self.features, self.values(frame), np.array(self.coefficients), self.intercept, means, self.scale)

    def probability(self, frame: pd.DataFrame) -> np.ndarray:
        return 1 / (1 + np.exp(-self.raw(frame)))


class SmallChurn(Linear):
    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        p = self.probability(frame)
        return pd.DataFrame({"probability": p, "lower": np.maximum(p - 0.05, 0), "upper": np.minimum(p + 0.05, 1)}, index=frame.index)


class SmallEngagement(Linear):
    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        p = self.probability(frame)
        parts = {"logins": p / 2, "deposits": p / 4, "gameplay": p / 4}
        return pd.DataFrame({"probability": p, "lower": 0.0, "upper": 1.0, **parts, "decay": 0.25}, index=frame.index)


class SmallValue(Linear):
    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        value = self.raw(frame)
        depositor = frame["bg_age"].notna()
        return pd.DataFrame(
            {
                "value": value, "p10": value - 1 / 3, "p50": value, "p90": value + 1 / 3, "value_90": value / 4,
                "probabilistic": np.where(depositor, value * 1.1, np.nan), "boosted": value,
                "alive": np.where(depositor, 0.5, np.nan), "purchases": np.where(depositor, 2.5, np.nan), "confidence": 0.8,
            },
            index=frame.index,
        )  # fmt: skip


class SmallAnomaly(Linear):
    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"anomaly": self.probability(frame)}, index=frame.index)


class SmallSegments(Linear):
    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        cluster = (self.raw(frame) > 0).astype(int)
        name = np.where(cluster == 1, "Champions", "Can't Lose Them")
        scores = {"recency_score": 5, "frequency_score": 3, "monetary_score": 1}
        return pd.DataFrame(
            {"cluster": cluster, **scores, "rfm_segment": name, "stability": self.probability(frame), "next_cluster": 1 - cluster,
             "transition_probability": 0.125},
            index=frame.index,
        )  # fmt: skip


class Broken(SmallChurn):
    """Answers with NaN, as a model must never do."""

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        return super().predict(frame).assign(lower=np.nan)


_TWO = ("days_since_last_activity", "sessions_30d")
MODELS: dict[str, Linear] = {
    Kind.CHURN: SmallChurn("small logistic", (*_TWO, "deposit_count_90d"), (0.05, -0.2, -0.1), -0.3),
    Kind.LTV: SmallValue("small linear", ("deposits_90d", "ngr_90d", "bg_age"), (1.7, 0.3, 0.011), -0.5, "currency units"),
    Kind.FRAUD: SmallAnomaly("small anomaly", ("devices", "rapid_deposits"), (0.4, 0.6), -1.0),
    Kind.SEGMENTATION: SmallSegments("small segments", _TWO, (-0.1, 0.3), 0.2),
    Kind.ENGAGEMENT: SmallEngagement("small engagement", _TWO, (-0.1, 0.4), -0.2),
}


def champion(kind: str, model: Any = None) -> ModelVersion:
    """Save a model and put it into use: the starting point of a test."""
    model = model or MODELS[kind]
    record = Record(
        rows=1000, positives=300, metrics={"auc": 0.8}, baseline={"auc": 0.6}, candidates=[], curves={}, importance=IMPORTANCE,
        parameters={}, gate=(), reference=REFERENCE,
    )  # fmt: skip
    version = registry.save(
        kind, Trained(model, record), as_of=NOW, horizon_days=30, seed=0, is_synthetic=False, trained_by=None, seconds=0.1, at=NOW
    )
    ModelVersion.objects.filter(kind=kind, status=ModelVersion.Status.CHAMPION).update(status=ModelVersion.Status.RETIRED)
    version.status, version.promoted_at = ModelVersion.Status.CHAMPION, NOW
    version.save(update_fields=["status", "promoted_at"])
    return version


def all_champions(*, without: tuple[str, ...] = ()) -> dict[str, ModelVersion]:
    return {str(kind): champion(kind) for kind in MODELS if kind not in without}
