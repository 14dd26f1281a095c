"""The models behind the predictions: versions with their figures, cards, and whether each kind can be shown today."""

from typing import Any

from django.shortcuts import get_object_or_404
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from loyalty_site.common.clock import utc_now
from predictions import model_card, selectors
from predictions.models import Kind, ModelVersion, ScoringRun

from . import examples, reading

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


class PredictionModelDetailSerializer(PredictionModelSerializer):
    """A model version with everything that its training recorded, but for the bins of the features."""

    class Meta(PredictionModelSerializer.Meta):
        fields = [
            *PredictionModelSerializer.Meta.fields,
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
        version = get_object_or_404(ModelVersion, pk=kwargs["id"])
        return Response({"id": version.pk, "kind": version.kind, "markdown": model_card.text(version)})


class KindHealthSerializer(serializers.Serializer):
    kind = serializers.ChoiceField(Kind.choices)
    status = serializers.ChoiceField(["ok", "withheld", "no_model"])
    reason = serializers.CharField(allow_null=True)
    model_id = serializers.IntegerField(allow_null=True, help_text="The version in use.")
    model_number = serializers.IntegerField(allow_null=True)
    trained_at = serializers.DateTimeField(allow_null=True)
    is_synthetic = serializers.BooleanField(allow_null=True)


class HealthSerializer(serializers.Serializer):
    """ok: every kind answers. degraded: some are withheld. unavailable: none answers."""

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
        run = reading.current_run()
        in_use = {version.kind: version for version in _champions()}
        kinds = [_health_of(kind, run, in_use.get(kind)) for kind in Kind.values]
        well = sum(one["status"] == "ok" for one in kinds)
        return Response(
            {
                "status": "ok" if well == len(kinds) else "degraded" if well else "unavailable",
                "scored_as_of": run.as_of if run else None,
                "published_at": run.published_at if run else None,
                "data_through": run.data_through if run else None,
                "age_seconds": max(int((utc_now() - run.as_of).total_seconds()), 0) if run else None,
                "stale_since": selectors.stale_since(run),
                "kinds": kinds,
            }
        )


def _champions() -> Any:
    return ModelVersion.objects.filter(status=ModelVersion.Status.CHAMPION).only("kind", "number", "trained_at", "is_synthetic")


def _health_of(kind: str, run: ScoringRun | None, version: ModelVersion | None) -> dict[str, Any]:
    """A kind that is scored needs a published run that does not withhold it; profiles are scored on demand and need only the model."""
    reason = None if kind == Kind.PROFILE else selectors.withheld_reason(kind, run)
    status = "ok"
    if version is None:
        status, reason = "no_model", reason or "No model of this kind is in use: train one, and promote it."
    elif reason is not None:
        status = "withheld"
    return {
        "kind": kind,
        "status": status,
        "reason": reason,
        "model_id": version.pk if version else None,
        "model_number": version.number if version else None,
        "trained_at": version.trained_at if version else None,
        "is_synthetic": version.is_synthetic if version else None,
    }
