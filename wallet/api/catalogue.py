"""The redemption catalogue over HTTP: what a player can have, buying, and undoing a purchase."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from loyalty_site.common.api.authentication import caller_of, client_of
from loyalty_site.common.api.idempotency import IdempotentWriteMixin
from loyalty_site.common.api.permissions import KEYS_ONLY
from loyalty_site.common.api.problems import Problem, field_problem
from loyalty_site.common.clock import utc_now
from players.models import Player
from wallet import services
from wallet.errors import RedemptionRefused, WalletError
from wallet.models import Redemption
from wallet.points.catalogue import Offer, catalogue, offers_for

from . import catalogue_shapes as shapes
from .views import wallet_problem

_BOUGHT = {
    "id": 17,
    "player_id": "P001",
    "item": "five-euro",
    "quantity": 1,
    "price": "500.00",
    "status": "FULFILLED",
    "reference": "order-4711",
    "grant_id": 230,
    "tickets": None,
    "ordered_at": "2026-03-15T12:00:00Z",
    "closed_at": "2026-03-15T12:00:00Z",
    "note": "",
}
_ITEM = {
    "code": "five-euro",
    "name": "5 euro bonus",
    "description": "Bonus money for slots, to be wagered 10 times.",
    "kind": "bonus",
    "price": "500.00",
    "bonus_amount": "5.00",
    "bonus_currency": "EUR",
    "tickets": None,
    "stock": None,
    "per_player": 1,
    "valid_from": None,
    "valid_to": None,
    "available": False,
    "cause": "not-enough-points",
    "reason": "the player has 320.00 RP, which does not cover 500.00 RP",
}


def redemption_problem(error: WalletError) -> Problem:
    """A refusal as problem details; what the catalogue refuses names its `cause`."""
    if isinstance(error, RedemptionRefused):
        status = 404 if error.code in ("unknown-item", "unknown-redemption") else 422
        return Problem(status, error.slug, "The catalogue refused the request", str(error), cause=error.code)
    return wallet_problem(error)


class CatalogueView(generics.GenericAPIView):
    access = {"read": ("wallet:read", "wallet.view_catalogueitem")}
    filter_backends: list[Any] = []
    pagination_class = None
    serializer_class = shapes.CatalogueSerializer

    @extend_schema(
        parameters=[
            OpenApiParameter("player_id", str, description="The operator's id of a player: says what this player can have, and why not.")
        ],
        examples=[OpenApiExample("for a player", response_only=True, value={"player_id": "P001", "items": [_ITEM]})],
    )
    def get(self, request: Request) -> Response:
        """What points buy now; for a player also whether it can be had, and why not."""
        query = shapes.CatalogueQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        external_id, at = query.validated_data.get("player_id"), utc_now()
        items = catalogue(at)
        if external_id is None:
            offers = [Offer(item, None) for item in items]
        else:
            offers = offers_for(_player(external_id).pk, items, at)
        shown = [shapes.item_shape(offer, for_player=external_id is not None) for offer in offers]
        return Response(self.get_serializer({"player_id": external_id, "items": shown}).data)


class RedemptionsView(IdempotentWriteMixin, generics.ListAPIView):
    """Redemptions, newest first."""

    access = {"read": ("wallet:read", "wallet.view_redemption"), "write": ("wallet:write", KEYS_ONLY)}
    queryset = Redemption.objects.select_related("player", "item", "ticket_entry")
    serializer_class = shapes.RedemptionSerializer
    filterset_class = shapes.RedemptionFilter
    ordering_fields = ["id"]

    @extend_schema(
        request=shapes.RedeemSerializer,
        responses={201: shapes.RedemptionSerializer},
        examples=[
            OpenApiExample(
                "buy a bonus",
                request_only=True,
                value={"player_id": "P001", "item": "five-euro", "quantity": 1, "reference": "order-4711"},
            ),
            OpenApiExample("bought", response_only=True, status_codes=["201"], value=_BOUGHT),
        ],
    )
    def post(self, request: Request) -> Response:
        """Buy from the catalogue with a player's reward points."""
        body = shapes.RedeemSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        values = body.validated_data
        player = _player(values["player_id"])
        try:
            redemption = services.redeem(
                player_id=player.pk,
                item_code=values["item"],
                quantity=values["quantity"],
                source=services.Source("api.redeem", f"{caller_of(request)}:{values['reference']}"),
                at=utc_now(),
            )
        except WalletError as error:
            raise redemption_problem(error) from error
        return Response(_shown(redemption.pk), status=201)


class CancelRedemptionView(IdempotentWriteMixin, APIView):
    # staff have the page of the redemption, which asks for their permission
    access = {"write": ("wallet:write", KEYS_ONLY)}

    @extend_schema(
        request=shapes.CancelRedemptionSerializer,
        responses=shapes.RedemptionSerializer,
        examples=[
            OpenApiExample("cancel", request_only=True, value={"reason": "The player changed their mind."}),
            OpenApiExample(
                "cancelled", response_only=True, value=_BOUGHT | {"status": "CANCELLED", "note": "The player changed their mind."}
            ),
        ],
    )
    def post(self, request: Request, redemption_id: int) -> Response:
        """Undo a purchase: the points go back to the lots they came from."""
        body = shapes.CancelRedemptionSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        try:
            services.cancel_redemption(
                redemption_id, reason=body.validated_data["reason"], actor=None, at=utc_now(), api_client=client_of(request)
            )
        except WalletError as error:
            raise redemption_problem(error) from error
        return Response(_shown(redemption_id))


def _shown(redemption_id: int) -> Any:
    return shapes.RedemptionSerializer(RedemptionsView.queryset.get(pk=redemption_id)).data


def _player(external_id: str) -> Player:
    player = Player.objects.filter(external_id=external_id).first()
    if player is None:
        raise field_problem("player_id", f"there is no player {external_id!r}", "Create the player first, or correct the id.")
    return player
