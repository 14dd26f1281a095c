"""Small real models that follow the protocol, and records to save them with."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from django.contrib.auth.models import Permission
from sklearn.linear_model import LogisticRegression

from predictions import registry
from predictions.ml.kinds import Cutoff, Explanation, History, Record, Trained, Verdict
from predictions.ml.metrics import binary_metrics
from predictions.models import ModelVersion
from tests.factories import NOW, UserFactory

AS_OF = datetime(2026, 3, 1, tzinfo=UTC)
HORIZON = 30


@dataclass(frozen=True)
class SmallChurn:
    """Logistic regression on two columns. `use` picks those that it looks at: a model that looks at the noise only is a worse one."""

    regression: LogisticRegression
    use: tuple[int, ...] = (0, 1)
    algorithm: str = "small logistic regression"
    features: tuple[str, ...] = field(default=("signal", "noise"))

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        probability = self.regression.predict_proba(frame[list(self.features)].to_numpy()[:, list(self.use)])[:, 1]
        return pd.DataFrame({"probability": probability, "lower": probability, "upper": probability}, index=frame.index)

    def explain(self, frame: pd.DataFrame) -> Explanation:
        contributions = np.zeros((len(frame), 2))
        contributions[:, list(self.use)] = frame[list(self.features)].to_numpy()[:, list(self.use)] * self.regression.coef_[0]
        return Explanation(self.features, contributions, np.full(len(frame), self.regression.intercept_[0]), "log-odds")


def a_cutoff(as_of: datetime = AS_OF - timedelta(days=HORIZON), *, players: int = 800, seed: int = 0) -> Cutoff:
    """Players whose churn follows the column `signal` and not the column `noise`."""
    rng = np.random.default_rng(seed)
    index = pd.Index(np.arange(1, players + 1), dtype="int64", name="player_id")
    features = pd.DataFrame({"signal": rng.normal(size=players), "noise": rng.normal(size=players)}, index=index)
    churned = rng.random(players) < 1 / (1 + np.exp(-1.5 * features["signal"]))
    labels = pd.DataFrame({"churned": churned.astype(float), "active_7d": (~churned).astype(float), "is_eligible": True}, index=index)
    return Cutoff(as_of, features, labels)


def a_history(seed: int = 0) -> History:
    cutoffs = [a_cutoff(AS_OF - timedelta(days=HORIZON + 30 * back), seed=seed + back) for back in (2, 1, 0)]
    return History(cutoffs, HORIZON)


def fit(history: History, use: tuple[int, ...] = (0, 1)) -> SmallChurn:
    frame = pd.concat([one.features for one in history.development])
    churned = pd.concat([one.labels["churned"] for one in history.development])
    return SmallChurn(LogisticRegression().fit(frame.to_numpy()[:, list(use)], churned.to_numpy()), use)


def trained(model: Any = None, *, history: History | None = None, gate: tuple[Verdict, ...] = (), **changes: Any) -> Trained:
    history = history or a_history()
    model = model or fit(history)
    evaluation = history.evaluation
    churned = evaluation.labels["churned"].to_numpy()
    content: dict[str, Any] = {
        "rows": 1600,
        "positives": int(churned.sum()),
        "metrics": binary_metrics(churned, model.predict(evaluation.features)["probability"].to_numpy()),
        "baseline": binary_metrics(churned, np.full(len(churned), churned.mean())),
        "candidates": [{"algorithm": model.algorithm, "chosen": True, "metrics": {"auc": 0.8}}],
        "curves": {},
        "importance": {"signal": 0.9, "noise": 0.1},
        "parameters": {"C": 1.0},
        "gate": gate,
    }
    return Trained(model, Record(**{**content, **changes}))


def saved(use: tuple[int, ...] = (0, 1), *, kind: str = "churn", seed: int = 0, as_of: datetime = AS_OF, **changes: Any) -> ModelVersion:
    """A saved version. Another `seed` or `use` gives other bytes."""
    history = a_history(seed)
    content = changes.pop("trained", None) or trained(fit(history, use), history=history, **changes)
    return registry.save(
        kind,
        content,
        as_of=as_of,
        horizon_days=HORIZON,
        seed=seed,
        is_synthetic=False,
        trained_by=None,
        seconds=1.5,
        at=NOW,
    )


def champion(version: ModelVersion) -> ModelVersion:
    """Put into use without asking: the starting point of a test."""
    version.status, version.promoted_at = ModelVersion.Status.CHAMPION, NOW
    version.save(update_fields=["status", "promoted_at"])
    return version


def staff(*codenames: str) -> Any:
    user = UserFactory()
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="predictions", codename__in=codenames))
    return type(user).objects.get(pk=user.pk)
