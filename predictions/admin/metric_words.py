"""Figures of models and checks of their gate as pages write them, and the figure that each kind is known by."""

from collections.abc import Iterable, Mapping
from typing import Any

from loyalty_site.common.admin.display import badge
from predictions.metric_words import metric
from predictions.models import Kind

from .parts import DASH, percent

# the figure a kind is known by, the first that was measured
LEADING_METRIC: dict[str, tuple[str, ...]] = {
    Kind.CHURN: ("auc",),
    Kind.LTV: ("mae", "rmse", "gini"),
    Kind.FRAUD: ("pr_auc", "auc", "rank_agreement"),
    Kind.SEGMENTATION: ("silhouette", "stability"),
    Kind.ENGAGEMENT: ("auc",),
    Kind.PROFILE: ("mae", "rmse", "gini"),
}


def metric_text(name: str, value: Any) -> tuple[str, str]:
    """(label, figure) of a metric."""
    one = metric(name)
    return one.label, number(value, one.is_share)


def number(value: Any, is_share: bool = False) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return DASH if value is None else str(value)
    if is_share:
        return percent(float(value), 1)
    return f"{value:,.0f}" if abs(value) >= 1000 or isinstance(value, int) else f"{value:,.2f}" if abs(value) >= 10 else f"{value:.4f}"


def verdict_rows(verdicts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Checks of a gate as pages list them: {"badge", "label", "reason"}."""
    return [
        {
            "badge": badge("passed", "good") if one["passed"] else badge("failed", "bad"),
            "label": metric(one["name"]).label,
            "reason": one["reason"][:1].upper() + one["reason"][1:],
        }
        for one in verdicts
    ]
