"""Bonus grants over HTTP: one grant with its terms and history, claiming, surrendering, and what a withdrawal or a charge-back does."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeVar

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from loyalty_site.common.api.authentication import actor_of, caller_of
from loyalty_site.common.api.fields import AmountField, CleanCharField, EventTimeField
from loyalty_site.common.api.idempotency import IdempotentWriteMixin
from loyalty_site.common.api.permissions import KEYS_ONLY
from loyalty_site.common.api.problems import Problem
from loyalty_site.common.clock import utc_now
from loyalty_site.common.money import from_minor
from players.models import Player
from wallet import services
from wallet.bonus.terms import Terms
from wallet.errors import WalletError
from wallet.grants.queue import ACT_PERMISSION, queue_position
from wallet.models import BonusGrant, GrantEvent

from .serializers import GrantSerializer
from .views import wallet_problem

_LARGEST_ID = 2**63 - 1
_NUMBER = {"type": "integer", "minimum": 1, "maximum": _LARGEST_ID}
_GRANT_ID = OpenApiParameter("grant_id", _NUMBER, OpenApiParameter.PATH, description="The number of the grant.")
_PLAYER = OpenApiParameter("player_id", str, OpenApiParameter.PATH, description="The operator's id of the player.")
_MONEY_TERMS = ("max_bet", "min_bet", "spin_value")
_Result = TypeVar("_Result")

_GRANT_EXAMPLE = {
    "id": 4711,
    "player_id": "P001",
    "currency": "EUR",
    "status": "WAGERING",
    "product": "casino",
    "template": "welcome",
    "principal": "25.00",
    "balance": "18.40",
    "locked": "0.00",
    "deposit": "50.00",
    "wagering_required": "750.000000",
    "wagered": "120.000000",
    "left_to_wager": "630.000000",
    "spins_left": 0,
    "released": "0.00",
    "max_bet": "5.00",
    "eligible_games": ["slots"],
    "offered_at": "2026-03-14T09:00:00Z",
    "activated_at": "2026-03-14T09:30:00Z",
    "expires_at": "2026-03-21T09:30:00Z",
    "closed_at": None,
    "progress_percent": "16.00",
    "queue_position": None,
    "open_bets": 1,
    "terms": {
        "kind": "money",
        "base": "bonus",
        "multiple": "30.00",
        "count_mode": "all_funds",
        "fund_order": "real_first",
        "sticky": False,
        "cash_out_cap": "10.00",
        "max_bet": "5.00",
        "min_bet": "0.10",
        "eligible_games": ["slots"],
    },
    "timeline": [
        {"at": "2026-03-14T09:00:00Z", "from_status": "", "to_status": "OFFERED", "cause": "offered by reward 99", "detail": {}},
        {"at": "2026-03-14T09:30:00Z", "from_status": "OFFERED", "to_status": "ACTIVE", "cause": "claimed", "detail": {}},
        {"at": "2026-03-14T09:31:12Z", "from_status": "ACTIVE", "to_status": "WAGERING", "cause": "first counted bet b1", "detail": {}},
    ],
}
OFFERED_EXAMPLE = _GRANT_EXAMPLE | {
    "status": "OFFERED",
    "principal": "0.00",
    "balance": "0.00",
    "deposit": "0.00",
    "wagering_required": "0.000000",
    "wagered": "0.000000",
    "left_to_wager": "0.000000",
    "activated_at": None,
    "progress_percent": None,
    "open_bets": 0,
    "timeline": [{"at": "2026-03-14T09:00:00Z", "from_status": "", "to_status": "OFFERED", "cause": "offered", "detail": {}}],
}
_EXAMPLES = [OpenApiExample("bonus under way", response_only=True, value=_GRANT_EXAMPLE)]


class GrantEventSerializer(serializers.ModelSerializer):
    """One change of status, with its cause. The first comes from nothing."""

    at = serializers.DateTimeField(source="occurred_at")
    detail = serializers.DictField()

    class Meta:
        model = GrantEvent
        fields = ["at", "from_status", "to_status", "cause", "detail"]


class GrantDetailSerializer(GrantSerializer):
    """A bonus with its terms as frozen, its place in the queue and its history."""

    progress_percent = serializers.SerializerMethodField()
    queue_position = serializers.SerializerMethodField(help_text="From 1; empty unless it is queued.")
    terms = serializers.SerializerMethodField()
    timeline = GrantEventSerializer(source="events", many=True)

    class Meta(GrantSerializer.Meta):
        fields = [*GrantSerializer.Meta.fields, "progress_percent", "queue_position", "open_bets", "terms", "timeline"]

    @extend_schema_field({"type": ["string", "null"], "format": "decimal"})
    def get_progress_percent(self, grant: BonusGrant) -> str | None:
        if not grant.wagering_required:
            return None
        return str((100 * grant.wagered / grant.wagering_required).quantize(Decimal("0.01")))

    @extend_schema_field({"type": ["integer", "null"]})
    def get_queue_position(self, grant: BonusGrant) -> int | None:
        return queue_position(grant)

    @extend_schema_field({"type": "object", "additionalProperties": True})
    def get_terms(self, grant: BonusGrant) -> dict[str, Any]:
        terms = Terms.from_json(grant.terms).as_json()
        for name in _MONEY_TERMS:
            if terms[name] is not None:
                terms[name] = str(from_minor(terms[name], grant.currency))
        return terms


class ClaimSerializer(serializers.Serializer):
    deposit = AmountField(required=False, allow_null=True, default=None, min_value=Decimal("0.001"), help_text="Where the bonus needs one.")
    deposit_ref = CleanCharField(required=False, allow_blank=True, default="", max_length=80, help_text="Your id of that deposit.")


class SurrenderSerializer(serializers.Serializer):
    reason = CleanCharField(required=False, default="asked for by the player", max_length=250)


class LossSerializer(serializers.Serializer):
    grant_id = serializers.IntegerField()
    bonus = serializers.DecimalField(max_digits=20, decimal_places=4)
    locked = serializers.DecimalField(max_digits=20, decimal_places=4)
    wagering_left = serializers.DecimalField(max_digits=20, decimal_places=6)


class ForfeitPreviewSerializer(serializers.Serializer):
    """What a withdrawal pays, and what it costs bonus by bonus. Cash is never held back."""

    cash_paid = serializers.DecimalField(max_digits=20, decimal_places=4)
    lost = LossSerializer(many=True)


class WithdrawalSerializer(serializers.Serializer):
    currency = serializers.RegexField(r"^[A-Z]{3}$")
    amount = AmountField(min_value=Decimal("0.001"))
    withdrawal_ref = CleanCharField(max_length=80, help_text="Your id of the withdrawal: the same again has no further effect.")
    occurred_at = EventTimeField(help_text="A bonus that began later is not touched.")


class DepositReversalSerializer(serializers.Serializer):
    deposit_ref = CleanCharField(max_length=80, help_text="The id under which the bonus was claimed.")
    reversal_ref = CleanCharField(max_length=100, help_text="Your id of the charge-back or rollback.")


class ReversedGrantsSerializer(serializers.Serializer):
    reversed_grant_ids = serializers.ListField(child=serializers.IntegerField())


def shown_grant(grant_id: int) -> dict[str, Any]:
    grant = BonusGrant.objects.select_related("player", "template_version__template").prefetch_related("events").get(pk=grant_id)
    return GrantDetailSerializer(grant).data


def _existing(grant_id: int) -> int:
    """404 instead of a refusal for a number that no grant has."""
    if grant_id > _LARGEST_ID or not BonusGrant.objects.filter(pk=grant_id).exists():
        raise Problem(404, "not-found", "There is no such bonus", f"No bonus grant has the number {grant_id}.")
    return grant_id


def _player(external_id: str) -> Player:
    player = Player.objects.filter(external_id=external_id).first() if "\x00" not in external_id else None
    if player is None:
        raise Problem(404, "not-found", "There is no such player", "No player has this id; create the player first.")
    return player


def _done(call: Callable[[], _Result]) -> _Result:
    try:
        return call()
    except WalletError as error:
        raise wallet_problem(error) from error


class GrantView(generics.GenericAPIView):
    access = {"read": ("wallet:read", "wallet.view_bonusgrant")}
    queryset = BonusGrant.objects.all()
    filter_backends: list[Any] = []
    pagination_class = None
    serializer_class = GrantDetailSerializer

    @extend_schema(parameters=[_GRANT_ID], examples=_EXAMPLES)
    def get(self, request: Request, grant_id: int) -> Response:
        """One bonus: its terms as frozen, its progress, its place in the queue, and everything that happened to it."""
        return Response(shown_grant(_existing(grant_id)))


class ClaimView(IdempotentWriteMixin, APIView):
    access = {"write": ("wallet:write", ACT_PERMISSION)}

    @extend_schema(
        parameters=[_GRANT_ID],
        request=ClaimSerializer,
        responses=GrantDetailSerializer,
        examples=[OpenApiExample("with a deposit", request_only=True, value={"deposit": "50.00", "deposit_ref": "D-77"}), *_EXAMPLES],
    )
    def post(self, request: Request, grant_id: int) -> Response:
        """Take up an offer for the player. It is active at once, or queued behind the open bonus of its product."""
        body = ClaimSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        _existing(grant_id)
        _done(lambda: services.claim_grant(grant_id, at=utc_now(), actor=actor_of(request), **body.validated_data))
        return Response(shown_grant(grant_id))


class SurrenderView(IdempotentWriteMixin, APIView):
    access = {"write": ("wallet:write", ACT_PERMISSION)}

    @extend_schema(
        parameters=[_GRANT_ID],
        request=SurrenderSerializer,
        responses=GrantDetailSerializer,
        examples=[OpenApiExample("with a reason", request_only=True, value={"reason": "wants to play without a bonus"})],
    )
    def post(self, request: Request, grant_id: int) -> Response:
        """Give a bonus up for the player: offered, queued or open. What is left of it is forfeited."""
        body = SurrenderSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        _existing(grant_id)
        reason = body.validated_data["reason"]
        _done(lambda: services.surrender_grant(grant_id, at=utc_now(), reason=reason, actor=actor_of(request)))
        return Response(shown_grant(grant_id))


_PREVIEW = {"cash_paid": "40.00", "lost": [{"grant_id": 4711, "bonus": "18.40", "locked": "0.00", "wagering_left": "630.000000"}]}


class ForfeitPreviewView(APIView):
    access = {"read": ("wallet:read", "wallet.view_bonusgrant")}

    @extend_schema(
        parameters=[
            _PLAYER,
            OpenApiParameter("currency", {"type": "string", "pattern": "^[A-Z]{3}$"}, required=True, description="ISO 4217."),
            OpenApiParameter("amount", {"type": "string", "format": "decimal"}, description="What is to be withdrawn; 0 if left out."),
        ],
        responses=ForfeitPreviewSerializer,
        examples=[OpenApiExample("one bonus would be lost", response_only=True, value=_PREVIEW)],
    )
    def get(self, request: Request, player_id: str) -> Response:
        """What a withdrawal now would cost the player: to be shown before the player confirms it."""
        asked = _PreviewQuery(data=request.query_params)
        asked.is_valid(raise_exception=True)
        player, values = _player(player_id), asked.validated_data
        preview = _done(lambda: services.forfeit_preview(player.pk, values["currency"], utc_now(), values["amount"]))
        return Response(ForfeitPreviewSerializer(preview).data)


class _PreviewQuery(serializers.Serializer):
    currency = serializers.RegexField(r"^[A-Z]{3}$")
    amount = AmountField(required=False, default=Decimal(0))


class WithdrawalsView(IdempotentWriteMixin, APIView):
    access = {"write": ("wallet:write", KEYS_ONLY)}

    @extend_schema(
        parameters=[_PLAYER],
        request=WithdrawalSerializer,
        responses=ForfeitPreviewSerializer,
        examples=[
            OpenApiExample(
                "withdrawal",
                request_only=True,
                value={"currency": "EUR", "amount": "40.00", "withdrawal_ref": "W-12", "occurred_at": "2026-03-15T12:00:00Z"},
            ),
            OpenApiExample("one bonus was lost", response_only=True, value=_PREVIEW),
        ],
    )
    def post(self, request: Request, player_id: str) -> Response:
        """Tell of a withdrawal of cash: open bonuses whose terms say so are forfeited."""
        body = WithdrawalSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        player, values = _player(player_id), body.validated_data
        at = values.pop("occurred_at")
        return Response(ForfeitPreviewSerializer(_done(lambda: services.withdraw(player_id=player.pk, at=at, **values))).data)


class DepositReversalsView(IdempotentWriteMixin, APIView):
    access = {"write": ("wallet:write", KEYS_ONLY)}

    @extend_schema(
        parameters=[_PLAYER],
        request=DepositReversalSerializer,
        responses=ReversedGrantsSerializer,
        examples=[
            OpenApiExample("charge-back", request_only=True, value={"deposit_ref": "D-77", "reversal_ref": "CB-5"}),
            OpenApiExample("one bonus taken back", response_only=True, value={"reversed_grant_ids": [4711]}),
        ],
    )
    def post(self, request: Request, player_id: str) -> Response:
        """Tell that a deposit was charged back or rolled back: the bonuses that it triggered are taken back."""
        body = DepositReversalSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        player, values = _player(player_id), body.validated_data
        source = services.Source("api.reversal", f"{caller_of(request)}:{values['reversal_ref']}"[:128])
        ids = _done(lambda: services.reverse_deposit(player_id=player.pk, deposit_ref=values["deposit_ref"], at=utc_now(), source=source))
        return Response({"reversed_grant_ids": ids})
