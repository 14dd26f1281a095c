"""A published run with scores of every kind, written as a scoring run leaves them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from players.models import Player
from predictions.models import (
    ChurnScore,
    EngagementScore,
    FraudScore,
    Kind,
    ModelVersion,
    ScoringRun,
    SegmentScore,
    ValueScore,
)

AS_OF = datetime(2026, 3, 15, 2, 30, tzinfo=UTC)
REASONS = [
    {"feature": "days_since_last_deposit", "value": 23.0, "contribution": 0.9, "quartiles": [1.0, 4.0, 12.0]},
    {"feature": "sessions_30d", "value": 2.0, "contribution": -0.6, "quartiles": [5.0, 9.0, 20.0]},
]
IMPORTANCE = {"days_since_last_deposit": 0.75, "sessions_30d": 0.25}
CHARACTERISTICS = [
    {"cluster": 0, "name": "Inactive", "recommendation": "reengage"},
    {"cluster": 1, "name": "High value, active", "recommendation": "vip"},
    {"cluster": 2, "name": "Regular", "recommendation": "retention"},
    {"cluster": 3, "name": "New or trying out", "recommendation": "onboarding"},
]


def make_version(kind: str, *, number: int = 1, **fields: Any) -> ModelVersion:
    values: dict[str, Any] = {
        "status": ModelVersion.Status.CHAMPION,
        "algorithm": "gradient boosting",
        "as_of": AS_OF - timedelta(days=6),
        "horizon_days": 30,
        "rows": 41230,
        "positives": 9115,
        "features": list(IMPORTANCE),
        "metrics": {"auc": 0.87},
        "baseline": {"auc": 0.81},
        "importance": IMPORTANCE,
        "curves": {"characteristics": CHARACTERISTICS} if kind == Kind.SEGMENTATION else {},
        "gate": [{"name": "auc", "passed": True, "value": 0.87, "limit": 0.81, "reason": "Better than recency alone."}],
        "trained_at": AS_OF - timedelta(days=5),
        "training_seconds": 21.4,
    }
    return ModelVersion.objects.create(kind=kind, number=number, **{**values, **fields})


def make_run(as_of: datetime = AS_OF, *, current: bool = True, withheld: dict[str, str] | None = None, **fields: Any) -> ScoringRun:
    """A published run; the versions of its kinds are made when there are none yet."""
    versions = {}
    for kind in (Kind.CHURN, Kind.LTV, Kind.FRAUD, Kind.SEGMENTATION, Kind.ENGAGEMENT):
        if kind not in (withheld or {}):
            found = ModelVersion.objects.filter(kind=kind, status=ModelVersion.Status.CHAMPION).first() or make_version(kind)
            versions[str(kind)] = found.pk
    if current:
        ScoringRun.objects.filter(is_current=True).update(is_current=False)
    return ScoringRun.objects.create(
        as_of=as_of,
        status=ScoringRun.Status.PUBLISHED,
        is_current=current,
        versions=versions,
        withheld=withheld or {},
        data_through=as_of - timedelta(minutes=10),
        started_at=as_of,
        published_at=as_of + timedelta(minutes=6),
        **{**fields, "summary": {"units": {"EUR": 20.0}, **fields.get("summary", {})}},
    )


def churn(run: ScoringRun, player: Player, probability: float, value: str = "100", **fields: Any) -> ChurnScore:
    worth = Decimal(value)
    multiplier = 1.5 if worth > 5000 else 1.2 if worth > 1000 else 1.0
    values: dict[str, Any] = {
        "lower": max(probability - 0.05, 0.0),
        "upper": min(probability + 0.05, 1.0),
        "priority": min(probability * multiplier, 1.0),
        "idle_days": 19,
        "reasons": REASONS,
    }
    return ChurnScore.objects.create(run=run, player=player, probability=probability, value=worth, **{**values, **fields})


def ltv(run: ScoringRun, player: Player, value: str, **fields: Any) -> ValueScore:
    worth = Decimal(value)
    values: dict[str, Any] = {
        "currency": player.currency,
        "p10": worth * Decimal("0.4"),
        "p50": worth * Decimal("0.9"),
        "p90": worth * 2,
        "value_90": worth / 4,
        "churn_adjusted": worth * Decimal("0.8"),
        "probabilistic": worth * Decimal("1.1"),
        "boosted": worth,
        "alive": 0.84,
        "purchases": 22.41,
        "confidence": 0.801,
        "reasons": REASONS,
    }
    return ValueScore.objects.create(run=run, player=player, value=worth, **{**values, **fields})


def fraud(run: ScoringRun, player: Player, score: float, **fields: Any) -> FraudScore:
    values: dict[str, Any] = {
        "anomaly": 0.97,
        "detectors": 0.88,
        "fraud_type": "IMMEDIATE_WITHDRAWAL",
        "severity": 0.8,
        "reasons": REASONS,
    }
    return FraudScore.objects.create(run=run, player=player, score=score, **{**values, **fields})


def segment(run: ScoringRun, player: Player, cluster: int, **fields: Any) -> SegmentScore:
    values: dict[str, Any] = {
        "recency_score": 5,
        "frequency_score": 5,
        "monetary_score": 4,
        "rfm_segment": "Champions",
        "stability": 0.95,
        "next_cluster": cluster,
        "transition_probability": 0.86,
        "reasons": REASONS,
    }
    return SegmentScore.objects.create(run=run, player=player, cluster=cluster, **{**values, **fields})


def engagement(run: ScoringRun, player: Player, probability: float, **fields: Any) -> EngagementScore:
    values: dict[str, Any] = {
        "lower": max(probability - 0.03, 0.0),
        "upper": min(probability + 0.03, 1.0),
        "logins": probability * 0.5,
        "deposits": probability * 0.3,
        "gameplay": probability * 0.2,
        "decay": 0.12,
        "reasons": REASONS,
    }
    return EngagementScore.objects.create(run=run, player=player, probability=probability, **{**values, **fields})
