"""Reasons in the words of the feature catalogue. Loads no model: pages and lists call it for every row."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from predictions.ml.features import BY_NAME, Feature
from predictions.services import Reason


def in_words(kind: str, reasons: Sequence[Mapping[str, Any]]) -> list[Reason]:
    """A reason's "typical" (the feature's median at training) tells what is high and low; without it the figure is stated alone."""
    return [_reason(one, one.get("typical")) for one in reasons]


def _reason(reason: Mapping[str, Any], typical: float | None) -> Reason:
    name = str(reason["feature"])
    feature = BY_NAME.get(name)
    value = reason["value"]
    value = None if value is None or not math.isfinite(value) else float(value)
    return Reason(
        feature=name,
        label=feature.label if feature else name.replace("_", " "),
        unit=feature.unit if feature else "",
        value=value,
        contribution=float(reason["contribution"]),
        words=_words(feature, name, value, typical),
    )


def _words(feature: Feature | None, name: str, value: float | None, typical: float | None) -> str:
    label = feature.label if feature else name.replace("_", " ")
    if value is None:
        return f"{label}: not known"
    figure = _figure(value, feature.unit if feature else "")
    if feature is None or typical is None or value == typical:
        return f"{label}: {figure}"
    return f"{feature.increases if value > typical else feature.decreases} ({label}: {figure})"


def _figure(value: float, unit: str) -> str:
    if unit == "share":
        return f"{100 * value:.0f} %"
    rounded = f"{value:,.0f}" if unit in ("count", "days") or abs(value) >= 100 else f"{value:,.2g}" if value else "0"
    return rounded


def medians(reference: Mapping[str, Any]) -> dict[str, float]:
    """Feature to its median at training, to the nearest edge of the bins that a version keeps for drift (`predictions.ml.drift`)."""
    found = {}
    for name, bins in reference.get("features", {}).items():
        edges, counts = bins["edges"], bins["counts"]
        below, half = 0, sum(counts) / 2
        for edge, count in zip(edges, counts, strict=False):  # the last bin has no upper edge
            below += count
            if below >= half:
                found[name] = float(edge)
                break
        else:
            if edges:
                found[name] = float(edges[-1])
    return found
