"""What the page of a version shows: its record in words and pictures. Nothing is computed anew."""

from collections.abc import Mapping
from typing import Any

from predictions import model_card
from predictions.models import Kind, ModelVersion
from wallet.admin.parts import page_url

from . import drawing
from .parts import DASH, badge, percent

# metric -> (label, whether it is a share, +1 higher is better, -1 lower is better, 0 neither)
METRICS: dict[str, tuple[str, bool, int]] = {
    "auc": ("AUC", False, 1),
    "pr_auc": ("PR-AUC", False, 1),
    "brier": ("Brier score", False, -1),
    "log_loss": ("Log loss", False, -1),
    "ece": ("Calibration error (ECE)", False, -1),
    "base_rate": ("Base rate", True, 0),
    "gini": ("Normalised Gini", False, 1),
    "coverage": ("Coverage of the 80 % interval", True, 0),
    "coverage_80": ("Coverage of the 80 % interval", True, 0),
    "mae": ("Mean absolute error", False, -1),
    "rmse": ("Root mean squared error", False, -1),
    "bias": ("Bias of the total", True, 0),
    "silhouette": ("Silhouette", False, 1),
    "stability": ("Stability", True, 1),
    "auc_active": ("AUC among players still active", False, 1),
    "rank_agreement": ("Agreement of two forests (rank)", False, 1),
    "top_agreement": ("Agreement on the top hundredth", True, 1),
    "share_above_95": ("Players above 0.95", True, 0),
    "share_above_99": ("Players above 0.99", True, 0),
    "transition_log_loss": ("Log loss of transitions", False, -1),
    "transition_accuracy": ("Accuracy of transitions", True, 1),
}
# the figure a kind is known by, the first that was measured
LEADING_METRIC: dict[str, tuple[str, ...]] = {
    Kind.CHURN: ("auc",),
    Kind.LTV: ("mae", "rmse", "gini"),
    Kind.FRAUD: ("pr_auc", "auc", "rank_agreement"),
    Kind.SEGMENTATION: ("silhouette", "stability"),
    Kind.ENGAGEMENT: ("auc",),
    Kind.PROFILE: ("mae", "rmse", "gini"),
}
_IMPORTANT = 12


def metric_text(name: str, value: Any) -> tuple[str, str]:
    """(label, figure) of a metric."""
    label, is_share, _ = METRICS.get(name, (name.replace("_", " ").capitalize(), False, 0))
    return label, number(value, is_share)


def number(value: Any, is_share: bool = False) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return DASH if value is None else str(value)
    if is_share:
        return percent(float(value), 1)
    return f"{value:,.0f}" if abs(value) >= 1000 or isinstance(value, int) else f"{value:,.2f}" if abs(value) >= 10 else f"{value:.4f}"


def version_page(version: ModelVersion) -> dict[str, Any]:
    curves: Mapping[str, Any] = version.curves
    return {
        "version": version,
        "title": str(version),
        "status_badge": badge(version.get_status_display(), _TONES[version.status]),
        "metrics": _metrics(version),
        "candidates": _candidates(version),
        "gate": [
            {**verdict, "badge": badge("passed", "good") if verdict.get("passed") else badge("failed", "bad")} for verdict in version.gate
        ],
        "calibration": drawing.calibration(curves.get("reliability") or [], baseline_curve(curves, "reliability")),
        "reliability": curves.get("reliability") or [],
        "lift": drawing.lift(curves.get("lift") or [], baseline_curve(curves, "lift")),
        "lift_rows": curves.get("lift") or [],
        "deciles": drawing.deciles(curves.get("deciles") or []),
        "decile_rows": curves.get("deciles") or [],
        "threshold_curve": drawing.thresholds(curves.get("thresholds") or []),
        "clusters": curves.get("characteristics") or [],
        "transitions": _transitions(curves),
        "importance": _importance(version),
        "parameters": sorted((name.replace("_", " "), _plain(value)) for name, value in version.parameters.items()),
        "requests": [
            {"asked": asked, "url": page_url(asked, asked.pk)}
            for asked in version.promotion_requests.select_related("requested_by", "decided_by").order_by("-id")
        ],
        "card": model_card.text(version),
        "size": f"{version.size_bytes / 1024:,.0f} kB",
    }


_TONES = {"CANDIDATE": "info", "CHAMPION": "good", "RETIRED": "", "REFUSED": "bad"}


def baseline_curve(curves: Mapping[str, Any], name: str) -> list[Any]:
    """The naive baseline's curve, where the training recorded one."""
    nested = curves.get("baseline")
    return curves.get(f"baseline_{name}") or (nested.get(name) if isinstance(nested, Mapping) else None) or []


def _metrics(version: ModelVersion) -> list[dict[str, Any]]:
    rows = []
    known = {**version.metrics, **version.baseline}
    for name in [*(one for one in METRICS if one in known), *sorted(one for one in known if one not in METRICS)]:
        label, is_share, direction = METRICS.get(name, (name.replace("_", " ").capitalize(), False, 0))
        mine, naive = version.metrics.get(name), version.baseline.get(name)
        better = None
        if direction and isinstance(mine, (int, float)) and isinstance(naive, (int, float)) and mine != naive:
            better = (mine > naive) == (direction > 0)
        rows.append(
            {
                "label": label,
                "mine": number(mine, is_share),
                "naive": number(naive, is_share),
                "verdict": "" if better is None else badge("better", "good") if better else badge("worse", "bad"),
                "wants": {1: "higher is better", -1: "lower is better"}.get(direction, ""),
            }
        )
    return rows


def _candidates(version: ModelVersion) -> dict[str, Any]:
    """A table of what was tried: the metrics that all share, chosen first."""
    tried = [one for one in version.candidates if isinstance(one, dict)]
    names = [name for name in METRICS if any(name in (one.get("metrics") or {}) for one in tried)][:5]
    return {
        "columns": [METRICS[name][0] for name in names],
        "rows": [
            {
                "algorithm": one.get("algorithm", ""),
                "is_chosen": bool(one.get("chosen")),
                "cells": [number((one.get("metrics") or {}).get(name), METRICS[name][1]) for name in names],
            }
            for one in tried
        ],
    }


def _importance(version: ModelVersion) -> list[dict[str, str]]:
    from predictions.ml.features import BY_NAME

    ranked = sorted(version.importance.items(), key=lambda one: (-float(one[1]), one[0]))
    largest = float(ranked[0][1]) if ranked else 0.0
    return [
        {
            "label": BY_NAME[name].label if name in BY_NAME else name.replace("_", " "),
            "share": percent(float(share), 1),
            "width": f"{100 * float(share) / largest if largest else 0:.1f}",
        }
        for name, share in ranked[:_IMPORTANT]
    ]


def _transitions(curves: Mapping[str, Any]) -> list[dict[str, Any]]:
    names = [str(one.get("name", number)) for number, one in enumerate(curves.get("characteristics") or [])]
    return [
        {"name": name, "cells": [{"text": percent(float(share)), "share": f"{float(share):.2f}"} for share in row]}
        for name, row in zip(names, curves.get("transitions") or [], strict=False)
    ]


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {_plain(one)}" for name, one in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain(one) for one in value)
    return number(value) if isinstance(value, float) else str(value)
