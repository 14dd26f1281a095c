"""Data and options for Chart.js (bundled with the theme), as plain structures that templates write into data attributes."""

import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

_TICK = "#8b98a9"  # readable on white and on the dark base
PALETTE = {
    "teal": "#0d9488",
    "amber": "#d97706",
    "blue": "#3b82f6",
    "green": "#16a34a",
    "red": "#dc2626",
    "slate": "#94a3b8",
    "violet": "#8b5cf6",
}


def _scale(**extra: Any) -> dict[str, Any]:
    return {
        "grid": {"color": "#94a3b8", "drawTicks": False, "lineWidth": 0.3},
        "border": {"display": False},
        "ticks": {"color": _TICK},
        **extra,
    }


def _options(*, stacked: bool = False, legend: bool = True, horizontal: bool = False) -> str:
    ticks = {"color": _TICK, "maxTicksLimit": 6, "padding": 6}
    labels = {"color": _TICK, "maxRotation": 0, "autoSkip": True, "maxTicksLimit": 8, "padding": 6}
    options: dict[str, Any] = {
        "animation": False,
        "maintainAspectRatio": False,
        "responsive": True,
        "interaction": {"mode": "index", "intersect": False},
        "plugins": {
            "legend": {
                "display": legend,
                "position": "bottom",
                "labels": {"color": _TICK, "boxWidth": 8, "boxHeight": 8, "usePointStyle": True},
            }
        },
        "scales": {
            "x": _scale(stacked=stacked, ticks=ticks if horizontal else labels),
            "y": _scale(stacked=stacked, ticks=labels if horizontal else ticks, beginAtZero=True),
        },
    }
    if horizontal:
        options["indexAxis"] = "y"
    return json.dumps(options)


def _number(value: Decimal | int) -> float:
    return round(float(value), 2)  # drawing only; figures in text stay exact


def line_chart(days: Sequence[date], series: Sequence[tuple[str, str, Sequence[Decimal]]]) -> dict[str, str]:
    """Lines over days: (label, colour name, values)."""
    datasets = [
        {
            "label": label,
            "data": [_number(value) for value in values],
            "borderColor": PALETTE[color],
            "backgroundColor": PALETTE[color],
            "borderWidth": 2,
            "pointRadius": 0,
            "pointHoverRadius": 4,
            "tension": 0.25,
        }
        for label, color, values in series
    ]
    return {"data": json.dumps({"labels": [f"{day:%d %b}" for day in days], "datasets": datasets}), "options": _options()}


def bar_chart(
    labels: Sequence[str], series: Sequence[tuple[str, str, Sequence[Decimal | int]]], *, stacked: bool = False, horizontal: bool = False
) -> dict[str, str]:
    """Bars: (label, colour name, values); stacked on one another when asked."""
    datasets = [
        {
            "label": label,
            "data": [_number(value) for value in values],
            "backgroundColor": PALETTE[color],
            "borderRadius": 2,
            "maxBarThickness": 26,
        }
        for label, color, values in series
    ]
    return {
        "data": json.dumps({"labels": list(labels), "datasets": datasets}),
        "options": _options(stacked=stacked, legend=len(series) > 1, horizontal=horizontal),
    }
