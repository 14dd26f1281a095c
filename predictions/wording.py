"""Reasons in the words of the feature catalogue. Loads no model: pages and lists call it for every row."""

import math
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

from loyalty_site.common.money import exponent
from predictions.ml.features import BY_NAME, NOT_KNOWN, Feature
from predictions.models import Kind
from predictions.services import MoneyUnit, Reason

# kinds whose label turns at a probability of one half; of all others what raises the figure speaks for it
_TWO_SIDED = frozenset({Kind.CHURN, Kind.ENGAGEMENT})
_PLACES = Decimal("0.0001")
_LEAST_SHARE = 0.005  # below it rounds to nothing
# the scale of an explanation as staff read it, after "they add up from ... to ..."
_SCALES = {
    "squared standard deviations nearer than the next cluster": (
        "in points of nearness: positive ones bring the player nearer to this cluster than to the next"
    ),
    "splits saved": "in points on the model's scale: positive ones make the player stand out more",
}
_OTHER_SCALE = "in points on the model's scale: positive ones raise it"


def in_words(kind: str, reasons: Sequence[Mapping[str, Any]], unit: MoneyUnit, *, not_told: Collection[str] = ()) -> list[Reason]:
    """In the same order. Contributions to the value become amounts of the currency of `unit`, where it is known.

    A reason's "quartiles" (of the feature at training) tell what is more or less than usual; without them the figure is stated alone.
    `not_told`: features that somebody who describes a person may leave empty: without a figure they are not known, and do not mean "never".
    """
    factor = unit.amount if kind == Kind.LTV and unit.amount is not None else 1.0
    return [_reason(one, factor, unit, str(one["feature"]) in not_told) for one in reasons]


def raises(kind: str, probability: float | None) -> bool:
    """Whether what raises the figure speaks for the label of a score; for an unlikely outcome what lowers it does."""
    return kind not in _TWO_SIDED or probability is None or probability >= 0.5


def for_and_against(kind: str, reasons: Sequence[Reason], probability: float | None) -> tuple[list[Reason], list[Reason]]:
    """Those that speak for the score's label and those against it, each largest first."""
    ranked = sorted((one for one in reasons if one.contribution), key=lambda one: -abs(one.contribution))
    up = raises(kind, probability)
    return [one for one in ranked if (one.contribution > 0) == up], [one for one in ranked if (one.contribution > 0) != up]


def scale_words(scale: str) -> str:
    """The scale of contributions in plain words, for staff."""
    return _SCALES.get(scale, _OTHER_SCALE)


def quartiles(reference: Mapping[str, Any]) -> dict[str, list[float]]:
    """Feature to its quartiles at training, where the version keeps them (`predictions.ml.drift.reference_bins`) and it was known."""
    kept = {name: bins.get("quartiles") for name, bins in reference.get("features", {}).items()}
    return {name: found for name, found in kept.items() if found}


def figure_text(feature: Feature, value: float | None, unit: MoneyUnit) -> str:
    """A value of a feature as staff read it: an amount of money in the currency of `unit`."""
    return NOT_KNOWN if value is None or math.isnan(value) else _figure(feature, value, unit)


def money_text(amount: Decimal, currency: str) -> str:
    """ "22,275.00 EUR"; without a currency "371.25 typical deposits"."""
    places = exponent(currency) if currency else 2
    return f"{amount:,.{places}f} {currency or 'typical deposits'}"


def _reason(reason: Mapping[str, Any], factor: float, unit: MoneyUnit, is_left_empty: bool) -> Reason:
    name = str(reason["feature"])
    feature = BY_NAME.get(name)
    value = reason["value"]
    value = None if value is None or not math.isfinite(value) else float(value)
    is_amount = feature is not None and feature.is_money and value is not None and unit.amount is not None and unit.currency != ""
    return Reason(
        feature=name,
        label=feature.label if feature else name.replace("_", " "),
        unit=feature.unit if feature else "",
        value=value,
        contribution=factor * float(reason["contribution"]),
        words=_words(feature, name, value, reason.get("quartiles"), unit, is_left_empty),
        amount=_amount(value, unit) if is_amount and value is not None else None,
        currency=unit.currency if is_amount else "",
    )


def _words(
    feature: Feature | None, name: str, value: float | None, usual: Sequence[float] | None, unit: MoneyUnit, is_left_empty: bool
) -> str:
    label = feature.label if feature else name.replace("_", " ")
    if feature is None:
        return f"{label}: {NOT_KNOWN if value is None else _number(value)}"
    if value is None:
        # an amount is also unknown in a currency with too few deposits to know a typical one
        is_never = feature.unknown != NOT_KNOWN and not is_left_empty and not (feature.is_money and unit.amount is None)
        return feature.unknown if is_never else f"{label}: {NOT_KNOWN}"
    figure = _figure(feature, value, unit)
    told = f"{label}: {figure}"
    if usual is None:
        return told
    low, _, high = usual
    # what reads like the end of the middle half is not told from it, and next to nothing is never much
    if value > high and figure != _figure(feature, high, unit) and not (feature.unit == "share" and value < _LEAST_SHARE):
        return f"{feature.increases} ({told})"
    if value < low and figure != _figure(feature, low, unit):
        return f"{feature.decreases} ({told})"
    return told


def _figure(feature: Feature, value: float, unit: MoneyUnit) -> str:
    if feature.is_money:
        known = unit.currency if unit.amount is not None else ""
        return money_text(_amount(value, unit), known)
    if feature.unit == "share":
        return _share(value)
    return f"{value:,.0f}" if feature.unit in ("count", "days") else _number(value)


def _share(value: float) -> str:
    if 0 < value < _LEAST_SHARE:
        return "<1 %"
    if 1 - _LEAST_SHARE < value < 1:
        return ">99 %"
    return f"{100 * value:.0f} %"


def _number(value: float) -> str:
    """Two significant digits, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 10 or value == int(value) else f"{value:.2g}"


def _amount(value: float, unit: MoneyUnit) -> Decimal:
    return Decimal(repr(value * (1.0 if unit.amount is None else unit.amount))).quantize(_PLACES)
