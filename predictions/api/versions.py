"""The models behind the predictions: versions with their figures, cards, and whether each kind can be shown today."""

from datetime import datetime
from typing import Any

from django.shortcuts import get_object_or_404
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from loyalty_site.common.clock import utc_now
from predictions import drifting, gate, model_card, registry, selectors
from predictions.models import Kind, ModelVersion, ScoringRun

from . import examples, query, reading
from .told import CANNOT_BE_OPENED, outward

_ACCESS = {"read": ("predictions:read", "predictions.view_modelversion")}
_ID = OpenApiParameter(
    "id",
    {"type": "integer", "format": "int64", "minimum": 1, "maximum": 2**63 - 1},
    OpenApiParameter.PATH,
    description="Id of the version.",
)


class PredictionModelSerializer(serializers.ModelSerializer):
    """A model version, in short."""

    class Meta:
        model = ModelVersion
        fields = [
            "id",
            "kind",
            "number",
            "status",
            "algorithm",
            "as_of",
            "horizon_days",
            "is_synthetic",
            "rows",
            "positives",
            "metrics",
            "baseline",
            "trained_at",
            "training_seconds",
            "promoted_at",
            "retired_at",
        ]
        read_only_fields = fields


class DriftedFeatureSerializer(serializers.Serializer):
    feature = serializers.CharField()
    level = serializers.ChoiceField(["none", "moderate", "major"])
    psi = serializers.FloatField(help_text="Population stability index between training and the run.")
    limit = serializers.FloatField(help_text="From here on it counts as moved; never below what chance reaches.")
    missing_before = serializers.FloatField(help_text="Share of players of whom it was unknown at training.")
    missing_now = serializers.FloatField()


class DriftSerializer(serializers.Serializer):
    """How far the players of the current run are from those that the version learned from."""

    version = serializers.IntegerField()
    level = serializers.ChoiceField(["none", "moderate", "major", "unknown"])
    reason = serializers.CharField(required=False, help_text="Why it is unknown.")
    rows = serializers.IntegerField(required=False, help_text="Players of the run that were compared.")
    reference_rows = serializers.IntegerField(required=False)
    features = serializers.IntegerField(required=False, help_text="Features that were compared.")
    moved = serializers.IntegerField(required=False, help_text="Those of them that moved.")
    most_moved = DriftedFeatureSerializer(many=True, required=False)


class PredictionModelDetailSerializer(PredictionModelSerializer):
    """A model version with everything that its training recorded, but for the bins of the features."""

    drift = serializers.SerializerMethodField(help_text="As of the current run; null unless it was scored with this version.")

    @extend_schema_field(DriftSerializer(allow_null=True))
    def get_drift(self, version: ModelVersion) -> dict[str, Any] | None:
        return _drift_of(version, drifting.kept(reading.current_run()))

    class Meta(PredictionModelSerializer.Meta):
        fields = [
            *PredictionModelSerializer.Meta.fields,
            "drift",
            "seed",
            "features",
            "parameters",
            "candidates",
            "curves",
            "importance",
            "gate",
            "libraries",
            "sha256",
            "size_bytes",
        ]
        read_only_fields = fields


class CardSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    kind = serializers.ChoiceField(Kind.choices)
    markdown = serializers.CharField()


class ModelFilter(filters.FilterSet):
    kind = filters.ChoiceFilter(choices=Kind.choices)
    status = filters.ChoiceFilter(choices=ModelVersion.Status.choices)

    class Meta:
        model = ModelVersion
        fields = ["kind", "status"]


@extend_schema_view(
    list=extend_schema(summary="Versions of models, newest first."),
    retrieve=extend_schema(
        summary="One version with its figures, curves and gate.",
        parameters=[_ID],
        responses=PredictionModelDetailSerializer,
        examples=[OpenApiExample("churn", value=examples.MODEL, response_only=True, status_codes=["200"])],
    ),
)
class ModelViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    queryset = ModelVersion.objects.all()
    serializer_class = PredictionModelSerializer
    filterset_class = ModelFilter
    ordering_fields = ["id"]
    lookup_field = "pk"
    lookup_url_kwarg = "id"
    lookup_value_regex = r"\d{1,18}"
    access = _ACCESS

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        query.require_once(request.query_params)

    def get_serializer_class(self) -> Any:
        return PredictionModelDetailSerializer if self.action == "retrieve" else PredictionModelSerializer

    @extend_schema(
        summary="The card of a version: what it predicts, how good it is, what it must not be used for.",
        parameters=[_ID],
        responses=CardSerializer,
        examples=[OpenApiExample("card", value=examples.CARD, response_only=True, status_codes=["200"])],
    )
    @action(detail=True, pagination_class=None, filter_backends=[])
    def card(self, request: Request, **kwargs: Any) -> Response:
        query.checked(query.Query, request.query_params)
        version = get_object_or_404(ModelVersion, pk=kwargs["id"])
        return Response({"id": version.pk, "kind": version.kind, "markdown": model_card.text(version)})


_SHOWN = ("kind", "number", "trained_at", "is_synthetic")
_RECORD = ("artifact", "sha256", "signature", "size_bytes", "libraries", "artifact_deleted_at")  # by which a file is verified


class KindHealthSerializer(serializers.Serializer):
    kind = serializers.ChoiceField(Kind.choices)
    status = serializers.ChoiceField(
        ["ok", "degraded", "withheld", "no_model"],
        help_text="degraded: scores are shown, but the version in use cannot be opened, so nothing is explained or scored on demand.",
    )
    reason = serializers.CharField(allow_null=True)
    model_id = serializers.IntegerField(allow_null=True, help_text="The version in use.")
    model_number = serializers.IntegerField(allow_null=True)
    trained_at = serializers.DateTimeField(allow_null=True)
    is_synthetic = serializers.BooleanField(allow_null=True)
    drift = serializers.ChoiceField(
        ["none", "moderate", "major", "unknown"],
        allow_null=True,
        help_text="Whether the players still look like those of the training; null before a run with the version in use.",
    )
    drifted_features = serializers.ListField(child=serializers.CharField(), help_text="Those that moved, the most moved first.")


class HealthSerializer(serializers.Serializer):
    """ok: every kind answers, on data that are renewed. degraded: some kinds do not answer or not all that is asked, or the operator's
    feed fails (stale_since). unavailable: none answers."""

    status = serializers.ChoiceField(["ok", "degraded", "unavailable"])
    scored_as_of = serializers.DateTimeField(allow_null=True)
    published_at = serializers.DateTimeField(allow_null=True)
    data_through = serializers.DateTimeField(allow_null=True)
    age_seconds = serializers.IntegerField(allow_null=True)
    stale_since = serializers.DateTimeField(allow_null=True)
    kinds = KindHealthSerializer(many=True)


class HealthView(APIView):
    access = _ACCESS

    @extend_schema(
        summary="Whether each kind can be shown, and how old its scores are.",
        responses=HealthSerializer,
        examples=[OpenApiExample("a good day", value=examples.HEALTH, response_only=True, status_codes=["200"])],
    )
    def get(self, request: Request) -> Response:
        query.checked(query.Query, request.query_params)
        run = reading.current_run()
        in_use = {version.kind: version for version in _champions()}
        drifts = drifting.kept(run)
        kinds = [_health_of(kind, run, in_use.get(kind), drifts) for kind in Kind.values]
        stale = selectors.stale_since(run)
        return Response(
            {
                "status": _overall({one["status"] for one in kinds}, stale),
                "scored_as_of": run.as_of if run else None,
                "published_at": run.published_at if run else None,
                "data_through": run.data_through if run else None,
                "age_seconds": max(int((utc_now() - run.as_of).total_seconds()), 0) if run else None,
                "stale_since": stale,
                "kinds": kinds,
            }
        )


def _champions() -> Any:
    """The versions in use, without what only their own pages show."""
    return ModelVersion.objects.filter(status=ModelVersion.Status.CHAMPION).only(*_SHOWN, *_RECORD)


def _overall(statuses: set[str], stale: datetime | None) -> str:
    if statuses.isdisjoint({"ok", "degraded"}):
        return "unavailable"
    return "ok" if statuses == {"ok"} and stale is None else "degraded"


def _health_of(kind: str, run: ScoringRun | None, version: ModelVersion | None, drifts: dict[str, Any]) -> dict[str, Any]:
    """A kind that is scored needs a published run that does not withhold it; profiles are scored on demand and need only the model."""
    reason = None if kind == Kind.PROFILE else selectors.withheld_reason(kind, run)
    status = "ok"
    if version is None:
        status, reason = "no_model", outward(reason or gate.why_no_model(kind))
    elif reason is not None:
        status, reason = "withheld", outward(reason)
    elif not registry.is_intact(version):
        status, reason = "withheld" if kind == Kind.PROFILE else "degraded", CANNOT_BE_OPENED
    drift = _drift_of(version, drifts)
    return {
        "kind": kind,
        "status": status,
        "reason": reason,
        "model_id": version.pk if version else None,
        "model_number": version.number if version else None,
        "trained_at": version.trained_at if version else None,
        "is_synthetic": version.is_synthetic if version else None,
        "drift": drift["level"] if drift else None,
        "drifted_features": [one["feature"] for one in drifting.moved(drift)],
    }


def _drift_of(version: ModelVersion | None, drifts: dict[str, Any]) -> dict[str, Any] | None:
    """What the run found of the version; None when it was scored with another one."""
    found: dict[str, Any] | None = drifts.get(version.kind) if version else None
    return found if found and version and found["version"] == version.pk else None
