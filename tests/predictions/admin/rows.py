"""Rows of a published run, for tests of pages: what a run writes, without training anything."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from players.models import Player, Protection
from predictions import summaries
from predictions.ml import metrics
from predictions.models import (
    ChurnScore,
    EngagementScore,
    FraudScore,
    Kind,
    ModelVersion,
    ScorePoint,
    ScoringRun,
    SegmentScore,
    ValueScore,
)
from tests.factories import NOW, PlayerFactory

REASONS = [
    {"feature": "days_since_last_deposit", "value": 41.0, "contribution": 1.25, "quartiles": [2.0, 6.0, 20.0]},
    {"feature": "sessions_30d", "value": 9.0, "contribution": -0.5, "quartiles": [1.0, 3.0, 6.0]},
]
CLUSTERS = [
    {"name": name, "recommendation": key, "players": 100, "share": 0.25, "avg_ltv": 5.0, "avg_sessions": 3.0, "avg_deposits": 2.0}
    for name, key in (("Inactive", "reengage"), ("High value, active", "vip"), ("Regular", "retention"), ("New", "onboarding"))
]


def version(kind: str, *, number: int = 1, status: str = "CHAMPION", at: datetime = NOW, **fields: Any) -> ModelVersion:
    outcomes, found = [0, 0, 0, 1, 0, 1, 1, 1], [0.1, 0.1, 0.2, 0.3, 0.6, 0.7, 0.8, 0.9]
    curves: dict[str, Any] = {}
    if kind in (Kind.CHURN, Kind.ENGAGEMENT):
        curves = {
            "reliability": metrics.reliability(outcomes, found, bands=4),
            "lift": metrics.lift(outcomes, found, parts=4),
            "thresholds": metrics.threshold_table(outcomes, found, step=0.25),
            "baseline_reliability": metrics.reliability(outcomes, found[::-1], bands=4),
            "baseline_lift": metrics.lift(outcomes, found[::-1], parts=4),
        }
    if kind == Kind.SEGMENTATION:
        curves = {"characteristics": CLUSTERS, "transitions": [[0.25] * 4] * 4}
    values: dict[str, Any] = {
        "algorithm": "logistic regression",
        "as_of": at - timedelta(days=1),
        "trained_at": at,
        "rows": 5000,
        "metrics": {"auc": 0.81, "brier": 0.14},
        "baseline": {"auc": 0.7, "brier": 0.2},
        "candidates": [{"algorithm": "logistic regression", "chosen": True, "metrics": {"auc": 0.81}}],
        "importance": {"days_since_last_deposit": 0.75, "sessions_30d": 0.25},
        "gate": [{"name": "auc", "passed": True, "value": 0.81, "limit": 0.7, "reason": "ranks better than the baseline"}],
        "curves": curves,
        "artifact": f"{kind}/missing.joblib",
    }
    return ModelVersion.objects.create(kind=kind, number=number, status=status, **{**values, **fields})


def player(name: str, *, consent: bool = True, harm: bool = False, **fields: Any) -> Player:
    found = PlayerFactory(external_id=name, **fields)
    Protection.objects.create(player=found, marketing_consent=consent, harm_flag=harm)
    return found


def run(*, as_of: datetime = NOW, is_current: bool = True, withheld: dict[str, str] | None = None) -> ScoringRun:
    versions = {
        str(kind): (ModelVersion.objects.filter(kind=kind, status="CHAMPION").first() or version(kind)).pk
        for kind in (Kind.CHURN, Kind.LTV, Kind.FRAUD, Kind.SEGMENTATION, Kind.ENGAGEMENT)
        if kind not in (withheld or {})
    }
    return ScoringRun.objects.create(
        as_of=as_of,
        status="PUBLISHED",
        is_current=is_current,
        versions=versions,
        withheld=withheld or {},
        started_at=as_of,
        summary={"units": {"EUR": 20.0}},
    )


def score(at: ScoringRun, who: Player, *, churn: float = 0.5, value: str = "800", fraud: float = 0.1, reasons: Any = None) -> None:
    """One row of every kind."""
    told, money = REASONS if reasons is None else reasons, Decimal(value)
    ChurnScore.objects.create(
        run=at, player=who, probability=churn, lower=max(0.0, churn - 0.05), upper=min(1.0, churn + 0.05), value=money, priority=churn,
        idle_days=12, reasons=told,
    )  # fmt: skip
    ValueScore.objects.create(
        run=at, player=who, currency=who.currency, value=money, p10=money / 4, p50=money, p90=money * 3, value_90=money / 3,
        churn_adjusted=money / 2, probabilistic=None, boosted=money, alive=None, purchases=None, confidence=0.79, reasons=told,
    )  # fmt: skip
    FraudScore.objects.create(
        run=at, player=who, score=fraud, anomaly=fraud, detectors=fraud, fraud_type="MULTI_ACCOUNT" if fraud > 0.5 else "", reasons=told
    )
    SegmentScore.objects.create(
        run=at, player=who, cluster=1, recency_score=5, frequency_score=4, monetary_score=4, rfm_segment="Champions", stability=0.9,
        next_cluster=2, transition_probability=0.4,
    )  # fmt: skip
    EngagementScore.objects.create(
        run=at, player=who, probability=1 - churn, lower=0.1, upper=0.9, logins=0.2, deposits=0.1, gameplay=0.05, decay=0.08, reasons=told
    )


def publish(at: ScoringRun) -> ScoringRun:
    """Summaries as publishing makes them."""
    at.summary = {"units": at.units} | {kind: summaries.summarise(kind, at) for kind in at.versions}
    at.save(update_fields=["summary"])
    return at


def past(who: Player, kind: str, values: list[float], *, until: datetime = NOW) -> None:
    weeks = len(values)
    ScorePoint.objects.bulk_create(
        [ScorePoint(player=who, kind=kind, as_of=until - timedelta(weeks=weeks - n), value=value) for n, value in enumerate(values)]
    )
