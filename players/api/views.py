"""Players, tiers and activity over HTTP: translate in, one call of the players app, translate out."""

from dataclasses import asdict
from typing import Any

from django.db import transaction
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from loyalty_site.common import audit
from loyalty_site.common.api.authentication import actor_of, client_of
from loyalty_site.common.api.idempotency import IdempotentWriteMixin
from loyalty_site.common.api.problems import conflict
from loyalty_site.common.clock import utc_now
from players import profile, selectors, services
from players.activity import ActivityKind
from players.models import Player, Tier

from . import serializers as shapes
from .filters import PlayerFilter

MAX_BATCH = 5_000


class PlayerViewSet(IdempotentWriteMixin, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Players of the operator, addressed by the operator's own id."""

    queryset = Player.objects.select_related("tier", "jurisdiction")
    serializer_class = shapes.PlayerSerializer
    filterset_class = PlayerFilter
    ordering_fields = ["id", "risk_score"]
    lookup_field = "external_id"
    lookup_url_kwarg = "player_id"
    lookup_value_regex = "[^/]+"
    access = {
        "read": ("players:read", "players.view_player"),
        "create": ("players:write", "players.add_player"),
        "write": ("players:write", "players.change_player"),
    }

    @extend_schema(request=shapes.PlayerCreateSerializer, responses={201: shapes.PlayerSerializer})
    def create(self, request: Request) -> Response:
        """Create a player."""
        body = shapes.PlayerCreateSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        try:
            player = profile.create_player(
                body.validated_data["external_id"],
                body.validated_profile(),
                at=utc_now(),
                actor=actor_of(request),
                api_client=client_of(request),
            )
        except profile.PlayerExists as error:
            raise conflict(f"{error}; change it with PUT or PATCH", slug="player-exists") from error
        return Response(self.get_serializer(player).data, status=201)

    @extend_schema(request=shapes.PlayerSerializer, responses=shapes.PlayerSerializer)
    def update(self, request: Request, **kwargs: Any) -> Response:
        """Replace the profile fields that are sent."""
        return self._change(request)

    @extend_schema(request=shapes.PlayerSerializer, responses=shapes.PlayerSerializer)
    def partial_update(self, request: Request, **kwargs: Any) -> Response:
        """Change some profile fields."""
        return self._change(request)

    def _change(self, request: Request) -> Response:
        player = self.get_object()
        body = shapes.PlayerSerializer(player, data=request.data, partial=True, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        try:
            player = profile.update_player(
                player.pk, body.validated_profile(), at=utc_now(), actor=actor_of(request), api_client=client_of(request)
            )
        except profile.CurrencyFixed as error:
            raise conflict(str(error), slug="currency-fixed") from error
        return Response(self.get_serializer(player).data)

    @extend_schema(request=None, responses=shapes.PlayerSerializer)
    def destroy(self, request: Request, **kwargs: Any) -> Response:
        """Deactivate a player. Nothing is deleted: history and ledger stay."""
        player = profile.deactivate_player(self.get_object().pk, at=utc_now(), actor=actor_of(request), api_client=client_of(request))
        return Response(self.get_serializer(player).data)

    @extend_schema(responses=OpenApiTypes.OBJECT)
    @action(detail=True, pagination_class=None, filter_backends=[])
    def state(self, request: Request, **kwargs: Any) -> Response:
        """Everything rules know of a player: metrics, segment, tier, protection."""
        state = selectors.player_state(self.get_object().pk, utc_now())
        if not shapes.shows_personal_data(request):
            state["attributes"] = {}
        return Response(state)

    @extend_schema(
        parameters=[OpenApiParameter("limit", int, description="Most events to return, 1 to 500.", default=100)],
        responses=OpenApiTypes.OBJECT,
    )
    @action(detail=True, pagination_class=None, filter_backends=[])
    def timeline(self, request: Request, **kwargs: Any) -> Response:
        """What happened to a player, newest first."""
        try:
            limit = serializers.IntegerField(min_value=1, max_value=500).run_validation(request.query_params.get("limit", 100))
        except serializers.ValidationError as error:
            raise serializers.ValidationError({"limit": error.detail}) from error
        return Response({"events": [asdict(item) for item in selectors.player_timeline(self.get_object().pk, limit)]})


class TierViewSet(IdempotentWriteMixin, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """The loyalty ladder."""

    queryset = Tier.objects.all()
    serializer_class = shapes.TierSerializer
    lookup_value_regex = "[^/]+"
    ordering_fields = ["id"]
    access = {
        "read": ("tiers:read", "players.view_tier"),
        "create": ("tiers:write", "players.add_tier"),
        "write": ("tiers:write", "players.change_tier"),
    }

    @extend_schema(responses={201: shapes.TierSerializer})
    def create(self, request: Request) -> Response:
        """Create a tier."""
        body = self.get_serializer(data=request.data)
        body.is_valid(raise_exception=True)
        return Response(self._saved(request, body, "players.tier_created").data, status=201)

    def update(self, request: Request, **kwargs: Any) -> Response:
        """Replace a tier."""
        return self._change(request, partial=False)

    def partial_update(self, request: Request, **kwargs: Any) -> Response:
        """Change some fields of a tier."""
        return self._change(request, partial=True)

    def _change(self, request: Request, *, partial: bool) -> Response:
        body = self.get_serializer(self.get_object(), data=request.data, partial=partial)
        body.is_valid(raise_exception=True)
        return Response(self._saved(request, body, "players.tier_changed").data)

    def _saved(self, request: Request, body: serializers.BaseSerializer, event: str) -> serializers.BaseSerializer:
        with transaction.atomic():
            before = {} if body.instance is None else {k: str(v) for k, v in self.get_serializer(body.instance).data.items()}
            tier = body.save()
            audit.record(
                event,
                tier,
                at=utc_now(),
                actor=actor_of(request),
                api_client=client_of(request),
                before=before,
                after={k: str(v) for k, v in body.data.items()},
            )
        return body


class _ActivityView(IdempotentWriteMixin, APIView):
    """Takes a batch of events; the same events again change nothing."""

    access = {"write": ("activity:write", "players.import_player")}
    kind: ActivityKind
    item_serializer: type[serializers.Serializer]
    fields: tuple[str, ...]

    def post(self, request: Request) -> Response:
        items = request.data.get("items") if isinstance(request.data, dict) else None
        if not isinstance(items, list):
            raise serializers.ValidationError({"items": ["Send an object with an array named items."]})
        if not 1 <= len(items) <= MAX_BATCH:
            raise serializers.ValidationError({"items": [f"Send 1 to {MAX_BATCH} items; this request has {len(items)}."]})
        body = self.item_serializer(data=items, many=True)
        if not body.is_valid():
            # DRF lists the errors of all items, or maps the positions of the bad ones to theirs
            errors = body.errors.items() if isinstance(body.errors, dict) else enumerate(body.errors)
            raise serializers.ValidationError({f"items[{position}]": found for position, found in errors if found})
        rows = [tuple(item[name] for name in self.fields) for item in body.validated_data]
        counts = services.ingest(self.kind, rows, at=utc_now())
        return Response(
            {
                "received": len(rows),
                "created": counts.created,
                "updated": counts.updated,
                "unchanged": counts.unchanged,
                "players_created": counts.players_created,
            }
        )


def _activity_schema(shape: type[serializers.Serializer], example: dict[str, Any]) -> Any:
    batch = type(
        shape.__name__.replace("Serializer", "BatchSerializer"),
        (serializers.Serializer,),
        {"items": serializers.ListField(child=shape(), min_length=1, max_length=MAX_BATCH), "__doc__": "A batch of events."},
    )
    return extend_schema(
        request=batch,
        responses=shapes.MergeCountsSerializer,
        examples=[OpenApiExample("one event", value={"items": [example]}, request_only=True)],
    )


class PaymentsView(_ActivityView):
    kind = ActivityKind.PAYMENTS
    item_serializer = shapes.PaymentEventSerializer
    fields = ("player_id", "event_id", "kind", "status", "amount", "method", "instrument", "occurred_at")

    @_activity_schema(
        shapes.PaymentEventSerializer,
        {"player_id": "P001", "event_id": "dep-1", "kind": "DEPOSIT", "amount": "50.00", "occurred_at": "2026-03-15T12:00:00Z"},
    )
    def post(self, request: Request) -> Response:
        """Send deposits, withdrawals, refunds and chargebacks."""
        return super().post(request)


class SessionsView(_ActivityView):
    kind = ActivityKind.SESSIONS
    item_serializer = shapes.SessionEventSerializer
    fields = ("player_id", "event_id", "started_at", "ended_at", "ip", "device_id")

    @_activity_schema(
        shapes.SessionEventSerializer,
        {"player_id": "P001", "event_id": "s-1", "started_at": "2026-03-15T12:00:00Z", "ended_at": "2026-03-15T12:40:00Z"},
    )
    def post(self, request: Request) -> Response:
        """Send play sessions."""
        return super().post(request)


class PlaysView(_ActivityView):
    kind = ActivityKind.PLAYS
    item_serializer = shapes.PlayEventSerializer
    fields = (
        "player_id",
        "event_id",
        "session_id",
        "game",
        "category",
        "played_at",
        "stake",
        "payout",
        "bonus_stake",
        "rounds",
    )

    @_activity_schema(
        shapes.PlayEventSerializer,
        {
            "player_id": "P001",
            "event_id": "r-1",
            "game": "book-of-suns",
            "category": "slots",
            "played_at": "2026-03-15T12:05:00Z",
            "stake": "20.00",
            "payout": "13.50",
            "rounds": 20,
        },
    )
    def post(self, request: Request) -> Response:
        """Send game rounds, or batches of rounds of one game."""
        return super().post(request)


class TotalsView(_ActivityView):
    kind = ActivityKind.TOTALS
    item_serializer = shapes.TotalsSerializer
    fields = ("player_id", "as_of", "total_deposited", "total_wagered", "total_won", "sessions", "playtime_hours", "bets")

    @_activity_schema(
        shapes.TotalsSerializer,
        {
            "player_id": "P001",
            "as_of": "2026-03-14T23:59:59Z",
            "total_deposited": "5000",
            "total_wagered": "15000",
            "total_won": "12000",
            "sessions": 25,
            "playtime_hours": "48",
        },
    )
    def post(self, request: Request) -> Response:
        """Send totals per player up to an instant; later events add to them."""
        return super().post(request)
