"""Shapes of the catalogue and of redemptions on the wire. Prices are reward points (RP)."""

from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from loyalty_site.common.api.fields import CleanCharField
from loyalty_site.common.api.filters import InstantFilter
from loyalty_site.common.money import from_minor, to_minor
from wallet.models import CatalogueItem, Redemption, Unit
from wallet.points.catalogue import Offer
from wallet.points.redemptions import MOST_AT_ONCE

_AMOUNT = {"type": "string", "format": "decimal"}


class CatalogueQuerySerializer(serializers.Serializer):
    player_id = CleanCharField(max_length=64, required=False)

    def to_internal_value(self, data: Any) -> Any:
        if unknown := sorted(set(data) - set(self.fields) - {"format"}):
            raise serializers.ValidationError({name: "There is no such parameter. Known: player_id." for name in unknown})
        return super().to_internal_value(data)


class CatalogueItemSerializer(serializers.Serializer):
    code = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    kind = serializers.ChoiceField(CatalogueItem.Kind.choices)
    price = serializers.DecimalField(max_digits=20, decimal_places=2)
    bonus_amount = serializers.CharField(allow_null=True, help_text="Bonus money in one piece, a decimal.")
    bonus_currency = serializers.CharField(allow_blank=True)
    tickets = serializers.IntegerField(allow_null=True)
    stock = serializers.IntegerField(allow_null=True, help_text="Pieces left; null: without limit.")
    per_player = serializers.IntegerField(allow_null=True)
    valid_from = serializers.DateTimeField(allow_null=True)
    valid_to = serializers.DateTimeField(allow_null=True)
    available = serializers.BooleanField(allow_null=True, help_text="Whether the player can have one now; null when no player was named.")
    cause = serializers.CharField(allow_blank=True, help_text="Why not, for machines: out-of-stock, not-enough-points, player-limit, ...")
    reason = serializers.CharField(allow_blank=True, help_text="Why not, in words.")


class CatalogueSerializer(serializers.Serializer):
    player_id = serializers.CharField(allow_null=True)
    items = CatalogueItemSerializer(many=True)


def item_shape(offer: Offer, *, for_player: bool) -> dict[str, Any]:
    item, why = offer.item, offer.refusal
    bonus = None
    if item.bonus_amount is not None:
        bonus = str(from_minor(to_minor(item.bonus_amount, item.bonus_currency), item.bonus_currency))
    return {
        "code": item.code,
        "name": item.name,
        "description": item.description,
        "kind": item.kind,
        "price": from_minor(item.price, Unit.RP),
        "bonus_amount": bonus,
        "bonus_currency": item.bonus_currency,
        "tickets": item.tickets,
        "stock": item.stock,
        "per_player": item.per_player,
        "valid_from": item.valid_from,
        "valid_to": item.valid_to,
        "available": why is None if for_player else None,
        "cause": why.code if why else "",
        "reason": why.text if why else "",
    }


class RedeemSerializer(serializers.Serializer):
    player_id = CleanCharField(max_length=64)
    item = CleanCharField(max_length=60, help_text="Code of the item.")
    quantity = serializers.IntegerField(min_value=1, max_value=MOST_AT_ONCE, default=1)
    reference = CleanCharField(max_length=100, help_text="Your id of the purchase: the same id again has no further effect.")


class CancelRedemptionSerializer(serializers.Serializer):
    reason = CleanCharField(max_length=300)


class RedemptionSerializer(serializers.ModelSerializer):
    """A purchase with points. ORDERED: goods that wait to be handed over."""

    player_id = serializers.CharField(source="player.external_id")
    item = serializers.CharField(source="item.code")
    grant_id = serializers.IntegerField(allow_null=True, help_text="The bonus that was bought.")
    price = serializers.SerializerMethodField()
    reference = serializers.SerializerMethodField()
    tickets = serializers.SerializerMethodField()

    class Meta:
        model = Redemption
        fields = [
            "id",
            "player_id",
            "item",
            "quantity",
            "price",
            "status",
            "reference",
            "grant_id",
            "tickets",
            "ordered_at",
            "closed_at",
            "note",
        ]

    @extend_schema_field(_AMOUNT)
    def get_price(self, redemption: Redemption) -> str:
        return str(from_minor(redemption.price, Unit.RP))

    @extend_schema_field({"type": "string", "description": "The caller's id of the purchase."})
    def get_reference(self, redemption: Redemption) -> str:
        ref = redemption.source_ref
        return ref.split(":", 2)[-1] if redemption.source_type == "api.redeem" else ref

    @extend_schema_field({"type": ["integer", "null"], "description": "Tickets that were bought."})
    def get_tickets(self, redemption: Redemption) -> int | None:
        return redemption.ticket_entry.amount if redemption.ticket_entry is not None else None


class RedemptionFilter(filters.FilterSet):
    player_id = filters.CharFilter("player__external_id")
    item = filters.CharFilter("item__code")
    status = filters.MultipleChoiceFilter(choices=Redemption.Status.choices)
    ordered_from = InstantFilter("ordered_at", lookup_expr="gte")
    ordered_to = InstantFilter("ordered_at", lookup_expr="lt")

    class Meta:
        model = Redemption
        fields: list[str] = []
