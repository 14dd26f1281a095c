"""Offering bonuses of a template over HTTP, beside the list of all of them."""

from decimal import Decimal
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from loyalty_site.common.api.authentication import caller_of
from loyalty_site.common.api.fields import AmountField, CleanCharField
from loyalty_site.common.api.idempotency import IdempotentWriteMixin
from loyalty_site.common.api.permissions import KEYS_ONLY
from loyalty_site.common.api.problems import field_problem
from loyalty_site.common.clock import utc_now
from players.models import Player
from wallet import services
from wallet.errors import WalletError
from wallet.models import BonusGrant

from .filters import GrantFilter
from .grants import OFFERED_EXAMPLE, GrantDetailSerializer, shown_grant
from .serializers import GrantSerializer
from .views import wallet_problem


class OfferSerializer(serializers.Serializer):
    player_id = CleanCharField(max_length=64)
    template = CleanCharField(max_length=60, help_text="Code of the bonus template; its current version holds.")
    deposit = AmountField(
        required=False,
        allow_null=True,
        default=None,
        min_value=Decimal("0.001"),
        help_text="Where the bonus needs one and no claim.",
    )
    deposit_ref = CleanCharField(required=False, allow_blank=True, default="", max_length=80, help_text="Your id of that deposit.")
    reference = CleanCharField(max_length=60, help_text="Your id of this offer: the same id again has no further effect.")
    reason = CleanCharField(required=False, allow_blank=True, default="", max_length=250)


class GrantsView(IdempotentWriteMixin, generics.ListAPIView):
    """Bonus grants, newest first."""

    # staff offer on the page of the template, which knows their limit
    access = {"read": ("wallet:read", "wallet.view_bonusgrant"), "write": ("wallet:write", KEYS_ONLY)}
    queryset = BonusGrant.objects.select_related("player", "template_version__template")
    serializer_class = GrantSerializer
    filterset_class = GrantFilter
    ordering_fields = ["id"]

    @extend_schema(
        request=OfferSerializer,
        responses={201: GrantDetailSerializer},
        examples=[
            OpenApiExample(
                "an offer to claim",
                request_only=True,
                value={"player_id": "P001", "template": "welcome", "reference": "welcome-P001"},
            ),
            OpenApiExample(
                "on a deposit",
                request_only=True,
                value={
                    "player_id": "P001",
                    "template": "reload",
                    "deposit": "50.00",
                    "deposit_ref": "D-77",
                    "reference": "reload-D-77",
                },
            ),
            OpenApiExample("offered", response_only=True, status_codes=["201"], value=OFFERED_EXAMPLE),
        ],
    )
    def post(self, request: Request) -> Response:
        """Offer a player a bonus of a template: free spins, a share of a deposit, or money.

        One that needs a claim waits for it; any other is active at once, or queued behind the open bonus of its product. How much is
        for the template to say, in the currency of the player. An amount of your own is a reward, with its checks and approvals:
        `/wallet/add-bonus`.
        """
        body = OfferSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        values: dict[str, Any] = dict(body.validated_data)
        external_id, reference = values.pop("player_id"), values.pop("reference")
        player = Player.objects.filter(external_id=external_id).first()
        if player is None:
            raise field_problem("player_id", f"there is no player {external_id!r}", "Create the player first, or correct the id.")
        source = services.Source("api.offer", f"{caller_of(request)}:{reference}")
        try:
            grant = services.offer_bonus(player_id=player.pk, currency=player.currency, source=source, at=utc_now(), **values)
        except WalletError as error:
            raise wallet_problem(error) from error
        return Response(shown_grant(grant.pk), status=201)
