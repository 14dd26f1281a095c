"""Pay-out instructions over HTTP, for platforms that fetch them instead of being told."""

from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from loyalty_site.common.api.authentication import client_of
from loyalty_site.common.api.fields import CleanCharField
from loyalty_site.common.api.filters import InstantFilter
from loyalty_site.common.api.idempotency import IdempotentWriteMixin
from loyalty_site.common.api.permissions import KEYS_ONLY
from loyalty_site.common.api.problems import Problem
from loyalty_site.common.clock import utc_now
from loyalty_site.common.money import from_minor
from wallet import services
from wallet.errors import IdempotencyConflict, WalletError
from wallet.models import PayoutInstruction

_AMOUNT = {"type": "string", "format": "decimal"}
_EXAMPLE = {
    "key": "grant-4711-complete",
    "player_id": "P001",
    "grant_id": 4711,
    "direction": "credit",
    "currency": "EUR",
    "amount": "125.50",
    "status": "PENDING",
    "attempts": 0,
    "created_at": "2026-03-15T12:00:00Z",
    "delivered_at": None,
    "platform_ref": "",
}


class PayoutSerializer(serializers.ModelSerializer):
    """Cash that the platform credits to the player, or takes back."""

    player_id = serializers.CharField(source="player.external_id")
    direction = serializers.SerializerMethodField(help_text="credit: give to the player; debit: take back.")
    amount = serializers.SerializerMethodField(help_text="Above zero; the direction says which way.")

    class Meta:
        model = PayoutInstruction
        fields = list(_EXAMPLE)

    @extend_schema_field({"type": "string", "enum": ["credit", "debit"]})
    def get_direction(self, payout: PayoutInstruction) -> str:
        return "credit" if payout.amount > 0 else "debit"

    @extend_schema_field(_AMOUNT)
    def get_amount(self, payout: PayoutInstruction) -> str:
        return str(from_minor(abs(payout.amount), payout.currency))


class ConfirmationSerializer(serializers.Serializer):
    reference = CleanCharField(max_length=120, help_text="Your own number of the payment. The same again has no further effect.")


class PayoutFilter(filters.FilterSet):
    player_id = filters.CharFilter("player__external_id")
    status = filters.MultipleChoiceFilter(choices=PayoutInstruction.Status.choices)
    created_from = InstantFilter("created_at", lookup_expr="gte")
    created_to = InstantFilter("created_at", lookup_expr="lt")

    class Meta:
        model = PayoutInstruction
        fields: list[str] = []


@extend_schema_view(get=extend_schema(examples=[OpenApiExample("to be carried out", response_only=True, value=_EXAMPLE)]))
class PayoutsView(generics.ListAPIView):
    """Pay-out instructions, newest first; with `status=PENDING&ordering=id` what is to be carried out, oldest first."""

    access = {"read": ("wallet:read", "wallet.view_payoutinstruction")}
    queryset = PayoutInstruction.objects.select_related("player")
    serializer_class = PayoutSerializer
    filterset_class = PayoutFilter
    ordering_fields = ["id"]


class ConfirmPayoutView(IdempotentWriteMixin, APIView):
    access = {"write": ("wallet:write", KEYS_ONLY)}

    @extend_schema(
        parameters=[OpenApiParameter("key", str, OpenApiParameter.PATH, description="The key of the instruction.")],
        request=ConfirmationSerializer,
        responses=PayoutSerializer,
        examples=[
            OpenApiExample("carried out", request_only=True, value={"reference": "pay-90311"}),
            OpenApiExample(
                "delivered",
                response_only=True,
                value=_EXAMPLE | {"status": "DELIVERED", "delivered_at": "2026-03-15T12:01:30Z", "platform_ref": "pay-90311"},
            ),
        ],
    )
    def post(self, request: Request, key: str) -> Response:
        """Say that an instruction was carried out."""
        body = ConfirmationSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        try:
            payout = services.confirm_payout(key, body.validated_data["reference"], utc_now(), api_client=client_of(request))
        except WalletError as error:
            raise _problem(error) from error
        return Response(PayoutSerializer(payout).data)


def _problem(error: WalletError) -> Problem:
    kinds: dict[type[WalletError], tuple[int, str]] = {
        services.UnknownPayout: (404, "There is no such pay-out instruction"),
        IdempotencyConflict: (409, "The pay-out was confirmed with another reference"),
    }
    status, title = kinds.get(type(error), (422, "The confirmation was refused"))
    return Problem(status, error.slug, title, str(error))
