"""Wallets over HTTP: balances, entries, grants, wagers and spending."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from loyalty_site.common.api.authentication import caller_of
from loyalty_site.common.api.idempotency import IdempotentWriteMixin
from loyalty_site.common.api.permissions import KEYS_ONLY
from loyalty_site.common.api.problems import Problem, field_problem
from loyalty_site.common.clock import utc_now
from players.models import Player
from wallet import selectors, services
from wallet.errors import IdempotencyConflict, InsufficientFunds, WalletError
from wallet.models import Entry

from . import serializers as shapes
from .filters import EntryFilter

_PLAYER = OpenApiParameter("player_id", str, OpenApiParameter.PATH, description="The operator's id of the player.")


def wallet_problem(error: WalletError) -> Problem:
    """A refusal of the wallet as problem details: 409 for a used source, 422 otherwise."""
    status = 409 if isinstance(error, IdempotencyConflict) else 422
    title = "The player does not own enough" if isinstance(error, InsufficientFunds) else "The wallet refused the request"
    return Problem(status, error.slug, title, str(error))


def _refusal(item: dict[str, Any], error: WalletError) -> dict[str, str]:
    return {"activity_id": item["activity_id"], "type": f"urn:loyalty:problem:{error.slug}", "detail": str(error)}


class BalancesView(generics.GenericAPIView):
    access = {"read": ("wallet:read", "wallet.view_account")}
    queryset = Player.objects.all()
    lookup_field = "external_id"
    lookup_url_kwarg = "player_id"
    filter_backends: list[Any] = []
    pagination_class = None
    serializer_class = shapes.BalancesSerializer

    @extend_schema(parameters=[_PLAYER])
    def get(self, request: Request, player_id: str) -> Response:
        """What a player owns."""
        player = self.get_object()
        return Response(self.get_serializer({"player_id": player.external_id, "balances": selectors.balances(player.pk)}).data)


class EntriesView(generics.ListAPIView):
    """Ledger entries, newest first."""

    access = {"read": ("wallet:read", "wallet.view_entry")}
    queryset = Entry.objects.select_related("account__player")
    serializer_class = shapes.EntrySerializer
    filterset_class = EntryFilter
    ordering_fields = ["id"]


class WagersView(IdempotentWriteMixin, APIView):
    access = {"write": ("wagers:write", KEYS_ONLY)}

    @extend_schema(
        request=shapes.WagerBatchSerializer,
        responses=shapes.WagerAnswerSerializer,
        examples=[
            OpenApiExample(
                "one bet",
                request_only=True,
                value={
                    "items": [
                        {
                            "player_id": "P001",
                            "activity_id": "bet-1",
                            "currency": "EUR",
                            "stake": "10.00",
                            "game": "book-of-suns",
                            "category": "slots",
                            "placed_at": "2026-03-15T12:00:00Z",
                        }
                    ]
                },
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Report bets, to be counted towards the wagering of open bonuses."""
        body = shapes.WagerBatchSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        items = body.validated_data["items"]
        ids = dict(Player.objects.filter(external_id__in={item["player_id"] for item in items}).values_list("external_id", "pk"))
        unknown = [item for item in items if item["player_id"] not in ids]
        reported = [item for item in items if item["player_id"] in ids]
        answers = services.record_wagers(
            [
                services.ReportedBet(
                    player_id=ids[item["player_id"]],
                    stake=item["stake"],
                    game_code=item["game"],
                    game_category=item["category"],
                    activity_id=item["activity_id"],
                    at=item["placed_at"],
                    currency=item["currency"],
                )
                for item in reported
            ]
        )
        accepted = [answer for answer in answers if not isinstance(answer, WalletError)]
        refused = [_refusal(item, services.UnknownPlayer(f"there is no player {item['player_id']!r}")) for item in unknown]
        refused += [_refusal(item, answer) for item, answer in zip(reported, answers, strict=True) if isinstance(answer, WalletError)]
        return Response(shapes.WagerAnswerSerializer({"accepted": accepted, "refused": refused}).data)


class SpendView(IdempotentWriteMixin, APIView):
    # staff take points by an adjustment, which knows a second person above the limit
    access = {"write": ("wallet:write", KEYS_ONLY)}

    @extend_schema(request=shapes.SpendSerializer, responses={201: shapes.EntrySerializer})
    def post(self, request: Request) -> Response:
        """Take points or tickets that a player spends."""
        body = shapes.SpendSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        values = body.validated_data
        player = Player.objects.filter(external_id=values["player_id"]).first()
        if player is None:
            raise field_problem("player_id", f"there is no player {values['player_id']!r}", "Create the player first, or correct the id.")
        try:
            entry = services.spend(
                player_id=player.pk,
                unit=values["unit"],
                currency="",
                amount=values["amount"],
                source=services.Source("api.spend", f"{caller_of(request)}:{values['reference']}"),
                at=utc_now(),
                reason=values["reason"],
            )
        except WalletError as error:
            raise wallet_problem(error) from error
        return Response(shapes.EntrySerializer(Entry.objects.select_related("account__player").get(pk=entry.pk)).data, status=201)
