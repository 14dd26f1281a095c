"""What the five kinds have in common: how a page is filtered, what a row says, what is summed over a run."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet
from rest_framework import serializers

from predictions import services, wording
from predictions.api.bands import Above
from predictions.api.paging import Sort
from predictions.ml import advice
from predictions.models import Kind, ModelVersion, ScoringRun

PROBABILITY_PLACES = 6
AMOUNT_PLACES = 4


@dataclass(frozen=True)
class Context:
    """One request: the run it reads, the model that scored it, the operator's thresholds and the checked parameters."""

    run: ScoringRun
    version: ModelVersion | None
    limits: advice.Thresholds
    values: Mapping[str, Any]
    base_currency: str
    at: datetime
    totals: Mapping[str, Any] = field(default_factory=dict)
    barred: frozenset[int] = frozenset()

    def advised(self, row: Any, words: str) -> str:
        """What is recommended for the player of `row`: nothing, if he may be given nothing. Why is told to nobody outside."""
        return advice.NO_ACTION if row.player_id in self.barred else words

    @property
    def details(self) -> bool:
        return bool(self.values["include_details"])


class Prediction:
    """One kind. Rows are those of its score model; answers are plain JSON."""

    kind: Kind
    prediction_type: str
    query: type[serializers.Serializer]
    sorts: Mapping[str, Sort]
    threshold: str | None = None  # field of the thresholds that the parameter `threshold` takes the place of
    shape: type[serializers.Serializer]
    summary_shape: type[serializers.Serializer]
    extra_shapes: Mapping[str, Callable[[], serializers.Field]] = {}

    def bound(self, context: Context) -> float:
        """The threshold in effect: the request's, or the operator's setting."""
        assert self.threshold is not None
        asked = context.values.get("threshold")
        return float(getattr(context.limits, self.threshold) if asked is None else asked)

    def where(self, context: Context) -> Q:
        """The rows that the filters ask for."""
        return Q()

    def totals(self, rows: QuerySet[Any], context: Context) -> dict[str, Any]:
        """Sums over all rows of the run, plain JSON; remembered. Depends on the run and `limits` alone."""
        raise NotImplementedError

    def at_threshold(self, above: Above, totals: Mapping[str, Any], bound: float) -> dict[str, Any]:
        """What of the totals depends on the threshold in effect: counted anew for each, so it must be quick."""
        return {}

    def known_count(self, context: Context) -> int | None:
        """How many rows the filters leave, where the totals say so; None: they must be counted."""
        return None

    def results(self, rows: Sequence[Any], context: Context) -> list[dict[str, Any]]:
        raise NotImplementedError

    def summary(self, context: Context) -> dict[str, Any]:
        """From `context.totals`."""
        raise NotImplementedError

    def extras(self, results: Sequence[dict[str, Any]], context: Context) -> dict[str, Any]:
        """What stands in `data` beside results and summary, with include_details."""
        return {}

    def reasons(self, row: Any, context: Context) -> dict[str, Any]:
        """The stored reasons in words, those for the label of the score first, and their shares; without any the model's own shares."""
        importance = advice.normalized({reason["feature"]: reason["contribution"] for reason in row.reasons})
        own = bool(importance)
        if not own and context.version is not None:
            importance = dict(context.version.importance)
        return {
            "feature_importance": shares(importance),
            "feature_importance_of": "reasons" if own else "model",
            "reasons": [reason_in_json(reason) for reason in self._told(row, context)] if row.reasons else [],
        }

    def _told(self, row: Any, context: Context) -> list[services.Reason]:
        unit = services.money_unit(context.run, row.player.currency)
        return services.in_words(self.kind, row.reasons, unit, getattr(row, "probability", None))

    def for_label_first(self, row: Any, found: Sequence[services.Reason]) -> list[services.Reason]:
        """Reasons of the score of `row`: those that speak for its label, then those against it."""
        ahead, behind = wording.for_and_against(self.kind, found, getattr(row, "probability", None))
        return [*ahead, *behind]


def reason_in_json(reason: services.Reason) -> dict[str, Any]:
    known = reason.amount is not None
    return {
        **vars(reason),
        "contribution": round(reason.contribution, PROBABILITY_PLACES),
        "amount": amount(reason.amount) if known else None,
        "currency": reason.currency if known else None,
    }


def probability(value: float) -> float:
    return round(value, PROBABILITY_PLACES)


def shares(parts: Mapping[str, float]) -> dict[str, float]:
    """Parts of a whole, rounded so that they add up to as much as before: what is left over goes to those that lost most by rounding."""
    scale = 10**PROBABILITY_PLACES
    whole = {name: math.floor(part * scale) for name, part in parts.items()}
    left = round(sum(parts.values()) * scale) - sum(whole.values())
    for name in sorted(parts, key=lambda name: whole[name] - parts[name] * scale)[:left]:
        whole[name] += 1
    return {name: units / scale for name, units in whole.items()}


def amount(value: Any) -> float:
    """An estimate in money as a number: it is no booking, so it is no decimal string either."""
    return round(float(value), AMOUNT_PLACES)


def who(row: Any) -> dict[str, Any]:
    """The operator's own id, under the name of the reference and under the one of all other endpoints. Nothing personal."""
    return {"user_id": row.player.external_id, "player_id": row.player.external_id}


def in_bounds(column: str, bounds: tuple[float | None, float | None]) -> Q:
    start, end = bounds
    found = Q() if start is None else Q(**{f"{column}__gte": start})
    return found if end is None else found & Q(**{f"{column}__lt": end})


def recommended(
    recommend: Callable[[Mapping[str, advice.Sum]], Sequence[advice.Recommendation]],
    sums: Mapping[str, Mapping[str, Sequence[float]]],
    base_currency: str,
) -> list[dict[str, Any]]:
    """Recommendations over all currencies. `sums`: currency -> group -> [players, impact]; amounts of currencies are never added."""
    users: dict[str, int] = {}
    impacts: dict[str, dict[str, float]] = {}
    for currency, groups in sums.items():
        for name, (count, impact) in groups.items():
            users[name] = users.get(name, 0) + int(count)
            impacts.setdefault(name, {})[currency] = amount(impact)
    own = {name: advice.Sum(count, impacts[name].get(base_currency, 0.0)) for name, count in users.items()}
    return [recommendation_in_json(one, base_currency, impacts.get(one.type, {})) for one in recommend(own)]


def recommendation_in_json(one: advice.Recommendation, base_currency: str, by_currency: Mapping[str, float]) -> dict[str, Any]:
    has_money = one.estimated_impact is not None
    return {
        **asdict(one),
        "estimated_impact": amount(one.estimated_impact) if has_money else None,
        "currency": base_currency if has_money else None,
        "estimated_impact_by_currency": dict(sorted(by_currency.items())) if has_money else {},
    }
