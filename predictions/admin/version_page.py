"""What the page of a version shows: its record in words and pictures. Nothing is computed anew."""

from collections.abc import Mapping
from typing import Any

from predictions import artifact_pruning, model_card
from predictions.metric_words import in_order, known_in_order, metric
from predictions.models import ModelVersion
from wallet.admin.parts import page_url

from . import drawing
from .card import card_html
from .drift import drift_panel
from .metric_words import number, verdict_rows
from .parts import badge, percent

_IMPORTANT = 12


def version_page(version: ModelVersion) -> dict[str, Any]:
    curves: Mapping[str, Any] = version.curves
    return {
        "version": version,
        "title": str(version),
        "status_badge": badge(version.get_status_display(), _TONES[version.status]),
        "metrics": _metrics(version),
        "candidates": _candidates(version),
        "gate": verdict_rows(version.gate),
        **classifier_curves(curves),
        "active": _active(curves.get("active")),
        "deciles": drawing.deciles(curves.get("deciles") or []),
        "decile_rows": curves.get("deciles") or [],
        "threshold_curve": drawing.thresholds(curves.get("thresholds") or []),
        "clusters": curves.get("characteristics") or [],
        "transitions": _transitions(curves),
        "importance": _importance(version),
        "drift": drift_panel(version),
        "parameters": sorted((name.replace("_", " "), _plain(value)) for name, value in version.parameters.items()),
        "requests": [
            {"asked": asked, "url": page_url(asked, asked.pk)}
            for asked in version.promotion_requests.select_related("requested_by", "decided_by").order_by("-id")
        ],
        "why_deleted": artifact_pruning.why_deleted(version) if version.artifact_deleted_at else "",
        "card": card_html(model_card.text(version)),
        "size": f"{version.size_bytes / 1024:,.0f} kB",
    }


_TONES = {"CANDIDATE": "info", "CHAMPION": "good", "RETIRED": "", "REFUSED": "bad"}


def classifier_curves(curves: Mapping[str, Any]) -> dict[str, Any]:
    """Calibration and lift beside the naive baseline, for templates/predictions/curves.html."""
    return {
        "calibration": drawing.calibration(curves.get("reliability") or [], baseline_curve(curves, "reliability")),
        "reliability": curves.get("reliability") or [],
        "lift": drawing.lift(curves.get("lift") or [], baseline_curve(curves, "lift")),
        "lift_rows": curves.get("lift") or [],
    }


def _active(curves: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The same of the players who were active before the cut-off, with how many they are; None where it was not measured."""
    return None if not curves else {**classifier_curves(curves), **{name: curves[name] for name in ("players", "positives", "within_days")}}


def baseline_curve(curves: Mapping[str, Any], name: str) -> list[Any]:
    """The naive baseline's curve, where the training recorded one."""
    nested = curves.get("baseline")
    return curves.get(f"baseline_{name}") or (nested.get(name) if isinstance(nested, Mapping) else None) or []


def _metrics(version: ModelVersion) -> list[dict[str, Any]]:
    rows = []
    for name in in_order({*version.metrics, *version.baseline}):
        one, mine, naive = metric(name), version.metrics.get(name), version.baseline.get(name)
        better = one.better(mine, naive)
        rows.append(
            {
                "label": one.label,
                "mine": number(mine, one.is_share),
                "naive": number(naive, one.is_share),
                "verdict": "" if better is None else badge("better", "good") if better else badge("worse", "bad"),
                "wants": one.wants,
            }
        )
    return rows


def _candidates(version: ModelVersion) -> dict[str, Any]:
    """A table of what was tried: the first five metrics that are known, what was chosen first."""
    tried = [(one, one.get("metrics") or {}) for one in version.candidates if isinstance(one, dict)]
    names = known_in_order({name for _, figures in tried for name in figures})[:5]
    return {
        "columns": [metric(name).label for name in names],
        "rows": [
            {
                "algorithm": one.get("algorithm", ""),
                "is_chosen": bool(one.get("chosen")),
                "cells": [number(figures.get(name), metric(name).is_share) for name in names],
            }
            for one, figures in tried
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
