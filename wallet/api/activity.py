"""Reported activity over HTTP: events in two shapes, quotes, and the explanation of a bonus bet by bet."""

from collections.abc import Callable, Iterable
from typing import Any

from django.http import StreamingHttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from loyalty_site.common import audit
from loyalty_site.common.api.authentication import actor_of
from loyalty_site.common.api.idempotency import IdempotentWriteMixin
from loyalty_site.common.api.pagination import KeysetPagination
from loyalty_site.common.api.permissions import KEYS_ONLY
from loyalty_site.common.api.problems import field_problem
from loyalty_site.common.clock import utc_now
from loyalty_site.common.money import MoneyError, to_minor
from players.models import Player
from wallet import services
from wallet.activity import contract
from wallet.activity.explain import explain, explained, explanation_csv
from wallet.activity.platform_bonuses import receive_bonuses
from wallet.bonus.values import Activity, Kind
from wallet.errors import InvalidPosting, UnknownPlayer, WalletError
from wallet.models import BonusGrant, WagerCount

from . import activity_shapes as shapes
from .views import wallet_problem

_GRANT_ID = OpenApiParameter(
    "grant_id",
    {"type": "integer", "format": "int64", "minimum": 1, "maximum": 2**63 - 1},
    OpenApiParameter.PATH,
    description="Id of the bonus grant.",
)
_BET = {
    "source": "casino-platform",
    "activity_id": "bet-1",
    "kind": "BET",
    "player_id": "P001",
    "currency": "EUR",
    "round_id": "round-1",
    "amount": "10.00",
    "cash_before": "6.00",
    "game": "book-of-suns",
    "category": "slots",
    "occurred_at": "2026-03-15T12:00:00Z",
}
_WIN = _BET | {"activity_id": "win-1", "kind": "WIN", "amount": "25.00", "ends_round": True}
_ROLLBACK = {
    "source": "casino-platform",
    "activity_id": "rollback-1",
    "kind": "ROLLBACK",
    "player_id": "P001",
    "currency": "EUR",
    "round_id": "round-1",
    "takes_back_id": "win-1",
    "takes_back_kind": "WIN",
    "occurred_at": "2026-03-15T12:05:00Z",
}
_CASINO = {
    "activity_id": "1234",
    "amount": "10.00",
    "balance_after": "0.00",
    "balance_before": "6.00",
    "bonus_wager_amount": "4.00",
    "currency": "EUR",
    "exchange_rate": "1",
    "game_id": "book-of-suns",
    "game_name": "Book of Suns",
    "game_type": "slots",
    "is_round_end": False,
    "locked_wager_amount": "0.00",
    "origin": "casino-platform",
    "round_id": "round-1",
    "status": "Approved",
    "timestamp": "2026-03-15T12:00:00Z",
    "type": "Bet",
    "user_id": "P001",
    "vendor_id": "7",
    "vendor_name": "Sun Studios",
    "wager_amount": "6.00",
    "meta": {},
}
_BONUS = {
    "amount": "20.00",
    "bonus_code": "RELOAD20",
    "bonus_id": "17",
    "bonus_turned_real": "0.00",
    "currency": "EUR",
    "exchange_rate": "1",
    "locked_amount": "0.00",
    "origin": "casino-platform",
    "product": "Casino",
    "required_wagering_amount": "200.00",
    "status": "Created",
    "timestamp": "2026-03-15T12:00:00Z",
    "type": "ReloadBonus",
    "user_bonus_id": "ub-1",
    "user_id": "P001",
}


def _refusal(name: str, value: str, error: WalletError) -> dict[str, str]:
    return {name: value, "type": f"urn:loyalty:problem:{error.slug}", "detail": str(error)}


def _player_ids(external_ids: Iterable[str]) -> dict[str, int]:
    return dict(Player.objects.filter(external_id__in=set(external_ids)).values_list("external_id", "pk"))


class _ReceivesActivity(IdempotentWriteMixin, APIView):
    """Translates events into activities, lets them take effect in one transaction, and answers for each."""

    access = {"write": ("wagers:write", KEYS_ONLY)}
    batch: type[BaseSerializer[Any]]
    player_field: str
    translate: Callable[[dict[str, Any], int], Activity]

    def _receive(self, request: Request) -> Response:
        body = self.batch(data=request.data)
        body.is_valid(raise_exception=True)
        items = body.validated_data["items"]
        ids = _player_ids(item[self.player_field] for item in items)
        asked: list[Activity | WalletError] = []
        for item in items:
            external_id = item[self.player_field]
            try:
                if external_id not in ids:
                    raise UnknownPlayer(f"{self.player_field}: there is no player {external_id!r}; create the player first")
                asked.append(type(self).translate(item, ids[external_id]))
            except WalletError as error:
                asked.append(error)
        answers = iter(services.receive([one for one in asked if isinstance(one, Activity)]))
        accepted, refused = [], []
        for item, one in zip(items, asked, strict=True):
            answer = next(answers) if isinstance(one, Activity) else one
            if isinstance(answer, WalletError):
                refused.append(_refusal("activity_id", item["activity_id"], answer))
            else:
                accepted.append(answer)
        return Response(shapes.ReceivedBatchSerializer({"accepted": accepted, "refused": refused}).data)


def _own_activity(item: dict[str, Any], player_id: int) -> Activity:
    currency = item["currency"]

    def minor(name: str) -> int | None:
        if item.get(name) is None:
            return None
        try:
            return to_minor(item[name], currency)
        except MoneyError as error:
            raise InvalidPosting(f"{name}: {error}") from error

    takes_back = item["takes_back_id"] if item["kind"] == Kind.ROLLBACK else ""
    if item["takes_back_id"] and not takes_back:
        raise InvalidPosting("takes_back_id: only a rollback takes something back; leave it empty")
    return Activity(
        source=item["source"],
        activity_id=item["activity_id"],
        kind=Kind(item["kind"]),
        player_id=player_id,
        currency=currency,
        round_id=item["round_id"] or takes_back or item["activity_id"],
        occurred_at=item["occurred_at"],
        received_at=utc_now(),
        product=item["product"],
        amount=minor("amount") or 0,
        real_part=minor("real_amount"),
        bonus_part=minor("bonus_amount"),
        locked_part=minor("locked_amount"),
        cash_before=minor("cash_before"),
        ends_round=item["ends_round"],
        takes_back_id=takes_back,
        takes_back_kind=item["takes_back_kind"],
        game_code=item["game"],
        game_category=item["category"],
        provider=item["provider"],
        is_free_round=item["is_free_round"],
        coverage=item.get("coverage"),
    )


def _casino_activity(item: dict[str, Any], player_id: int) -> Activity:
    return contract.casino_activity(item, player_id=player_id, received_at=utc_now())


class EventsView(_ReceivesActivity):
    batch = shapes.ActivityBatchSerializer
    player_field = "player_id"
    translate = staticmethod(_own_activity)

    @extend_schema(
        request=shapes.ActivityBatchSerializer,
        responses=shapes.ReceivedBatchSerializer,
        examples=[
            OpenApiExample("a bet and its win", request_only=True, value={"items": [_BET, _WIN]}),
            OpenApiExample("a rollback", request_only=True, value={"items": [_ROLLBACK]}),
        ],
    )
    def post(self, request: Request) -> Response:
        """Report bets, wins, rollbacks and round ends, in any order and as often as you like.

        Without stated parts the fund order of the player's bonus divides a stake; the answer says how. A win before its bet, and a
        rollback before its target, wait until that arrives.
        """
        return self._receive(request)


class CasinoEventsView(_ReceivesActivity):
    batch = shapes.CasinoBatchSerializer
    player_field = "user_id"
    translate = staticmethod(_casino_activity)

    @extend_schema(
        request=shapes.CasinoBatchSerializer,
        responses=shapes.ReceivedBatchSerializer,
        examples=[
            OpenApiExample("a bet", request_only=True, value={"items": [_CASINO]}),
            OpenApiExample("taken back", request_only=True, value={"items": [_CASINO | {"status": "Rollback"}]}),
        ],
    )
    def post(self, request: Request) -> Response:
        """Report activity as CASINO events of the event contract."""
        return self._receive(request)


class BonusEventsView(IdempotentWriteMixin, APIView):
    access = {"write": ("wagers:write", KEYS_ONLY)}

    @extend_schema(
        request=shapes.BonusBatchSerializer,
        responses=shapes.BonusAnswersSerializer,
        examples=[OpenApiExample("a bonus of the platform begins", request_only=True, value={"items": [_BONUS]})],
    )
    def post(self, request: Request) -> Response:
        """Report changes of bonuses that your own engine runs, as BONUS events of the event contract.

        Pending makes an offer, Created a grant, a final status ends it; each once. Ongoing is accepted and changes nothing.
        What such a bonus releases is not sent to you for payment, as your engine has paid it.
        """
        body = shapes.BonusBatchSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        items = body.validated_data["items"]
        ids = _player_ids(item["user_id"] for item in items)
        accepted, refused = [], []
        for item in items:
            try:
                if item["user_id"] not in ids:
                    raise UnknownPlayer(f"user_id: there is no player {item['user_id']!r}; create the player first")
                (answer,) = receive_bonuses([contract.bonus_report(item, player_id=ids[item["user_id"]])], at=utc_now())
                if isinstance(answer, WalletError):
                    raise answer
                accepted.append(answer)
            except WalletError as error:
                refused.append(_refusal("user_bonus_id", item["user_bonus_id"], error))
        return Response(shapes.BonusAnswersSerializer({"accepted": accepted, "refused": refused}).data)


class QuoteView(APIView):
    """Reads only, so that it needs no idempotency key."""

    access = {"write": ("wagers:write", KEYS_ONLY)}

    @extend_schema(
        request=shapes.QuoteSerializer,
        responses=shapes.QuotedSerializer,
        examples=[
            OpenApiExample(
                "a stake of 10 with 6 in cash",
                request_only=True,
                value={"player_id": "P001", "currency": "EUR", "stake": "10.00", "cash": "6.00", "win": "25.00", "game": "book-of-suns"},
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Ask how a stake and a win would be divided between cash, bonus and locked winnings, and what would count. Changes nothing."""
        body = shapes.QuoteSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        values = body.validated_data
        player = Player.objects.filter(external_id=values["player_id"]).first()
        if player is None:
            raise field_problem("player_id", f"there is no player {values['player_id']!r}", "Create the player first, or correct the id.")
        try:
            quoted = services.quote(
                player_id=player.pk,
                currency=values["currency"],
                stake=values["stake"],
                cash=values.get("cash"),
                at=utc_now(),
                product=values["product"],
                game_code=values["game"],
                game_category=values["category"],
                provider=values["provider"],
                win=values.get("win"),
                is_free_round=values["is_free_round"],
            )
        except WalletError as error:
            raise wallet_problem(error) from error
        return Response(shapes.QuotedSerializer(quoted).data)


class _OldestFirst(KeysetPagination):
    ordering = "id"


class ExplanationView(generics.ListAPIView):
    """Why the wagering of a bonus stands where it stands: every bet, oldest first."""

    access = {"read": ("wallet:read", "wallet.view_bonusgrant")}
    queryset = WagerCount.objects.all()
    serializer_class = shapes.ExplanationSerializer
    pagination_class = _OldestFirst
    filter_backends: list[Any] = []

    @extend_schema(parameters=[_GRANT_ID])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        page = self.paginate_queryset(explain(get_object_or_404(BonusGrant, pk=kwargs["grant_id"]).pk))
        return self.get_paginated_response(self.get_serializer([explained(step) for step in page or []], many=True).data)


class ExplanationCsvView(APIView):
    access = {"read": ("wallet:read", "wallet.view_bonusgrant")}

    @extend_schema(parameters=[_GRANT_ID], responses={(200, "text/csv"): OpenApiTypes.STR})
    def get(self, request: Request, grant_id: int) -> StreamingHttpResponse:
        """The same as CSV, for a complaint; cells are safe to open in a spreadsheet."""
        grant = get_object_or_404(BonusGrant, pk=grant_id)
        audit.record("wallet.explanation_exported", grant, at=utc_now(), actor=actor_of(request), after={"format": "csv"})
        return StreamingHttpResponse(
            explanation_csv(grant),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="bonus-{grant.pk}-explanation.csv"'},
        )
