"""The envelope of every prediction answer, as the reference has it: status, data, pagination, filters, errors, localisation.

Nothing to show is no error of the request: a kind that is withheld (too little history, no model) or was never scored answers 200 with
status "withheld", no results and the reason in `errors`, so that a nightly pull neither breaks nor invents anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from rest_framework import serializers

from predictions.api import query
from predictions.models import ModelVersion, ScoringRun

from .kinds.base import Prediction

API_VERSION = str(settings.SPECTACULAR_SETTINGS["VERSION"])
SUCCESS, WITHHELD = "success", "withheld"


@dataclass(frozen=True)
class Page:
    """`page` is None when it was reached by a cursor: then nobody counted."""

    page: int | None
    page_size: int
    total_items: int
    has_next: bool
    next_cursor: str | None


def envelope(
    prediction: Prediction,
    *,
    at: datetime,
    data: Mapping[str, Any],
    metadata: Mapping[str, Any],
    page: Page,
    filters: Mapping[str, Any],
    base_currency: str,
    errors: Sequence[Mapping[str, str]] = (),
    status: str = SUCCESS,
) -> dict[str, Any]:
    return {
        "status": status,
        "api_version": API_VERSION,
        "timestamp": at,
        "data": {"prediction_type": prediction.prediction_type, **data, "metadata": metadata},
        "pagination": {
            "page": page.page,
            "page_size": page.page_size,
            "total_items": page.total_items,
            "total_pages": -(-page.total_items // page.page_size),
            "has_next": page.has_next,
            "next_cursor": page.next_cursor,
        },
        "filters_applied": filters,
        "errors": list(errors),
        "localization": {"currency": base_currency, "language": settings.LANGUAGE_CODE, "region": region_of(base_currency)},
    }


def region_of(currency: str) -> str | None:
    """The territory whose currency it is: the first two letters of an ISO 4217 code, unless it belongs to none (X..)."""
    return None if currency.startswith("X") else currency[:2]


def metadata(
    run: ScoringRun | None,
    version: ModelVersion | None,
    *,
    at: datetime,
    stale_since: datetime | None,
    withheld: str | None = None,
) -> dict[str, Any]:
    """Which model said it, for which instant, on which data, and since when that data is old."""
    return {
        "model": None if version is None else model_in_short(version),
        "run": None
        if run is None
        else {"id": run.pk, "as_of": run.as_of, "published_at": run.published_at, "data_through": run.data_through},
        "age_seconds": None if run is None else max(int((at - run.as_of).total_seconds()), 0),
        "stale_since": stale_since,
        "withheld_reason": withheld,
    }


def model_in_short(version: ModelVersion) -> dict[str, Any]:
    return {
        "id": version.pk,
        "number": version.number,
        "algorithm": version.algorithm,
        "trained_at": version.trained_at,
        "trained_on_data_until": version.as_of,
        "horizon_days": version.horizon_days,
        "is_synthetic": version.is_synthetic,
        "metrics": version.metrics,
        "baseline": version.baseline,
    }


class ModelInShortSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    number = serializers.IntegerField()
    algorithm = serializers.CharField()
    trained_at = serializers.DateTimeField()
    trained_on_data_until = serializers.DateTimeField()
    horizon_days = serializers.IntegerField()
    is_synthetic = serializers.BooleanField(help_text="Trained on a simulated operator.")
    metrics = serializers.DictField(child=serializers.FloatField(allow_null=True), help_text="On players that no choice was made on.")
    baseline = serializers.DictField(child=serializers.FloatField(allow_null=True), help_text="The same of the naive baseline.")


class RunSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    as_of = serializers.DateTimeField(help_text="The instant that the scores are for.")
    published_at = serializers.DateTimeField(allow_null=True)
    data_through = serializers.DateTimeField(allow_null=True, help_text="Latest activity that was known.")


class MetadataSerializer(serializers.Serializer):
    model = ModelInShortSerializer(allow_null=True)
    run = RunSerializer(allow_null=True)
    age_seconds = serializers.IntegerField(allow_null=True, help_text="From the run's instant to this answer.")
    stale_since = serializers.DateTimeField(allow_null=True, help_text="Since when the operator's feed fails; null while it works.")
    withheld_reason = serializers.CharField(allow_null=True, help_text="Why there is nothing to show.")


class PaginationSerializer(serializers.Serializer):
    page = serializers.IntegerField(allow_null=True, help_text="null when reached by cursor.")
    page_size = serializers.IntegerField()
    total_items = serializers.IntegerField()
    total_pages = serializers.IntegerField()
    has_next = serializers.BooleanField()
    next_cursor = serializers.CharField(allow_null=True)


class NoticeSerializer(serializers.Serializer):
    code = serializers.CharField()
    detail = serializers.CharField()
    remedy = serializers.CharField()


class LocalizationSerializer(serializers.Serializer):
    currency = serializers.CharField(help_text="The operator's base currency, that of sums; a player's amounts are in his own.")
    language = serializers.CharField()
    region = serializers.CharField(allow_null=True)


class PointSerializer(serializers.Serializer):
    as_of = serializers.DateTimeField()
    value = serializers.FloatField()


class HintSerializer(serializers.Serializer):
    """What would bring the probability below the medium risk level, verified by scoring the changed player."""

    text = serializers.CharField()
    probability_before = serializers.FloatField()
    probability_after = serializers.FloatField()


def envelope_shape(prediction: Prediction, *, single: bool = False) -> type[serializers.Serializer]:
    """The serializer of a kind's answer."""
    kind = type(prediction).__name__
    name = f"{kind}Player" if single else kind
    fields: dict[str, Any] = {
        "prediction_type": serializers.CharField(),
        "results": prediction.shape(many=True),
        "metadata": MetadataSerializer(),
        **{field: make() for field, make in prediction.extra_shapes.items()},
    }
    if single:
        fields["history"] = PointSerializer(many=True, required=False, help_text="The leading figure over time, thin.")
        fields["hint"] = HintSerializer(required=False, allow_null=True)
    else:
        fields["summary"] = prediction.summary_shape(allow_null=True)
    data = type(f"{name}DataSerializer", (serializers.Serializer,), {**fields, "__doc__": "What was predicted."})
    filters = prediction.query
    return type(
        f"{name}AnswerSerializer",
        (serializers.Serializer,),
        {
            "__doc__": "The envelope of predictions.",
            "status": serializers.ChoiceField([SUCCESS, WITHHELD]),
            "api_version": serializers.CharField(),
            "timestamp": serializers.DateTimeField(),
            "data": data(),
            "pagination": PaginationSerializer(),
            "filters_applied": serializers.DictField(help_text=f"The parameters in effect: {', '.join(_named(filters))}."),
            "errors": NoticeSerializer(many=True),
            "localization": LocalizationSerializer(),
        },
    )


def _named(shape: type[serializers.Serializer]) -> list[str]:
    shared = query.PageQuery().fields
    return [str(name) for name in shape().fields if name not in shared]
