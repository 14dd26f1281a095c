"""Drift of data on the pages of models: how far the players of the latest run are from those that a version learned from."""

from collections.abc import Sequence
from typing import Any

from django.utils.safestring import SafeString

from loyalty_site.common.admin.display import DASH, badge
from predictions import drifting
from predictions.ml.features import BY_NAME
from predictions.models import ModelVersion, ScoringRun

from .parts import percent

_TONES = {"none": "good", "moderate": "warn", "major": "bad", drifting.UNKNOWN: ""}
_WORDS = {"none": "no drift", "moderate": "moderate drift", "major": "major drift", drifting.UNKNOWN: "not known"}
_UNITS = {"days": " days", "weeks": " weeks", "minutes": " minutes", "currency units": " typical deposits"}
_SHOWN_UNMOVED = 3  # so that nobody wonders how close the others are


def drift_badge(found: dict[str, Any] | None) -> SafeString | str:
    """The level as a badge that names what moved; a dash for a version that no run has used."""
    if found is None:
        return DASH
    return badge(_WORDS[found["level"]], _TONES[found["level"]], title=drifting.in_words(found) or found.get("reason", ""))


def drift_panel(version: ModelVersion) -> dict[str, Any] | None:
    """What the latest published run with this version found; None before there is one."""
    runs = ScoringRun.objects.filter(**{f"versions__{version.kind}": version.pk, "published_at__isnull": False})
    run = runs.defer("summary").order_by("-as_of").first()
    found = drifting.found(version.kind, run)
    if run is None or found is None:
        return None
    moved = drifting.moved(found)
    rows = [*moved, *[one for one in found.get("most_moved", []) if one not in moved][:_SHOWN_UNMOVED]]
    longest = max((max(one["psi"], one["limit"]) for one in rows), default=1.0)
    return {
        "run": run,
        "found": found,
        "badge": drift_badge(found),
        "rows": [_row(one, longest) for one in rows],
        "remedy": drifting.remedy(version),
    }


def _row(one: dict[str, Any], longest: float) -> dict[str, Any]:
    return {
        "label": drifting.label(one["feature"]),
        "tone": {"moderate": "lb-warn", "major": "lb-bad"}.get(one["level"], ""),
        "width": f"{100 * one['psi'] / longest:.1f}",
        "limit_at": f"{100 * one['limit'] / longest:.1f}",
        "psi": f"{one['psi']:.2f}",
        "limit": f"{one['limit']:.2f}",
        "evidence": "; ".join(filter(None, (_values(one), _missing(one)))),
    }


def _values(one: dict[str, Any]) -> str:
    """The quartiles before and now; "" of a run that kept none (of an earlier release), or where nobody's value was or is known."""
    before, now = one.get("quartiles_before"), one.get("quartiles_now")
    if before is None and now is None:
        return ""
    feature = BY_NAME.get(one["feature"])
    unit = feature.unit if feature else ""
    return f"quartiles {_three(before, unit)} → {_three(now, unit)}{_UNITS.get(unit, '')}"


def _three(quartiles: Sequence[float] | None, unit: str) -> str:
    if quartiles is None:
        return "not known"
    return " / ".join(percent(one, 1) if unit == "share" else _number(one) for one in quartiles)


def _number(value: float) -> str:
    """Two significant digits, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 10 or value == int(value) else f"{value:.2g}"


def _missing(one: dict[str, Any]) -> str:
    if not (one["missing_before"] or one["missing_now"]):
        return ""
    return f"unknown {percent(one['missing_before'], 1)} → {percent(one['missing_now'], 1)}"
