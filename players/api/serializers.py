"""Shapes of players, tiers and activity on the wire."""

from decimal import Decimal
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request

from loyalty_site.common.api.fields import AmountField, CleanCharField, EventTimeField, FreeObjectField
from loyalty_site.common.models import ApiKey
from players.ladder import ladder_fault
from players.models import Game, Payment, Player, Tier
from players.profile import PERSONAL_FIELDS, market_of

_PLAYER_ID: dict[str, Any] = {"max_length": 64, "help_text": "The operator's id of the player."}
_EVENT_ID: dict[str, Any] = {
    "max_length": 80,
    "help_text": "The operator's id of the event, unique per player.",
}


def shows_personal_data(request: Request) -> bool:
    """Whether the caller sees names, birth dates and the operator's own fields: every key, and staff with the permission."""
    return isinstance(request.auth, ApiKey) or request.user.has_perm("players.view_player_pii")


class PlayerSerializer(serializers.ModelSerializer):
    """A player. Personal fields and the operator's own are empty for staff without the permission to see them."""

    player_id = serializers.CharField(source="external_id", read_only=True, help_text=_PLAYER_ID["help_text"])
    username = CleanCharField(max_length=100, required=False, allow_blank=True)
    first_name = CleanCharField(max_length=100, required=False, allow_blank=True)
    last_name = CleanCharField(max_length=100, required=False, allow_blank=True)
    country = serializers.RegexField(r"^[A-Z]{2}$", required=False, allow_blank=True, help_text="ISO 3166 alpha-2.")
    currency = serializers.RegexField(r"^[A-Z]{3}$", required=False, help_text="ISO 4217; fixed once the player has activity.")
    language = CleanCharField(max_length=8, required=False, allow_blank=True)
    acquisition_channel = CleanCharField(max_length=60, required=False, allow_blank=True)
    registered_at = EventTimeField(required=False, allow_null=True)
    jurisdiction: serializers.RelatedField = serializers.SlugRelatedField("code", read_only=True, allow_null=True)
    tier: serializers.RelatedField = serializers.SlugRelatedField("name", read_only=True, allow_null=True)
    attributes = FreeObjectField(required=False, help_text="Free JSON object of the operator's own fields.")

    class Meta:
        model = Player
        fields = [
            "player_id",
            "username",
            "first_name",
            "last_name",
            "email",
            "birth_date",
            "country",
            "jurisdiction",
            "currency",
            "language",
            "registered_at",
            "acquisition_channel",
            "status",
            "segment",
            "tier",
            "risk_score",
            "attributes",
            "created_at",
            "updated_at",
        ]
        read_only_fields = ["segment", "risk_score", "created_at", "updated_at"]

    def to_representation(self, instance: Player) -> dict[str, Any]:
        data = super().to_representation(instance)
        request = self.context.get("request")
        if request is not None and not shows_personal_data(request):
            for name in PERSONAL_FIELDS & data.keys():
                data[name] = None if name == "birth_date" else ""
            data["attributes"] = {}
        return data

    def validated_profile(self) -> dict[str, Any]:
        """The validated fields without the id; a changed country brings its market along. The same country again leaves the market,
        which compliance may have narrowed to a region, as it is."""
        values = {name: value for name, value in self.validated_data.items() if name != "external_id"}
        stored: Player | None = self.instance
        if values.get("country") and (stored is None or stored.country != values["country"] or stored.jurisdiction_id is None):
            values["jurisdiction"] = market_of(values["country"])
        return values


class PlayerCreateSerializer(PlayerSerializer):
    player_id = CleanCharField(source="external_id", **_PLAYER_ID)


class TierSerializer(serializers.ModelSerializer):
    name = CleanCharField(max_length=40)
    benefits = serializers.ListField(child=CleanCharField(max_length=200), required=False, max_length=50)
    color = serializers.RegexField(r"^#[0-9a-fA-F]{6}$", required=False, help_text="Hex colour of badges and charts.")

    class Meta:
        model = Tier
        fields = [
            "id",
            "name",
            "rank",
            "entry_points",
            "keep_points",
            "earn_multiplier",
            "cashback_multiplier",
            "benefits",
            "color",
            "needs_gate",
        ]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        stored = self.instance
        entry = attrs.get("entry_points", getattr(stored, "entry_points", Decimal(0)))
        keep = attrs.get("keep_points", getattr(stored, "keep_points", Decimal(0)))
        errors = {}
        if entry < 0 or keep < 0:
            errors["entry_points"] = "Points are not negative."
        elif fault := ladder_fault(attrs.get("rank", getattr(stored, "rank", 0)), entry, tier_id=getattr(stored, "pk", None)):
            errors["entry_points"] = fault
        if keep > entry:
            errors["keep_points"] = f"At most the entry threshold ({entry}), or players would fall out of a tier they just reached."
        if attrs.get("earn_multiplier", Decimal(1)) <= 0:
            errors["earn_multiplier"] = "Greater than 0."
        if attrs.get("cashback_multiplier", Decimal(1)) < 0:
            errors["cashback_multiplier"] = "Not negative."
        if errors:
            raise serializers.ValidationError(errors)
        return attrs


class PaymentEventSerializer(serializers.Serializer):
    player_id = CleanCharField(**_PLAYER_ID)
    event_id = CleanCharField(**_EVENT_ID)
    kind = serializers.ChoiceField(Payment.Kind.choices)
    status = serializers.ChoiceField(Payment.Status.choices, default=Payment.Status.COMPLETED)
    amount = AmountField()
    method = CleanCharField(max_length=40, default="", allow_blank=True)
    instrument = CleanCharField(
        max_length=64, default="", allow_blank=True, help_text="Fingerprint of the card or account; never its number."
    )
    occurred_at = EventTimeField()


class SessionEventSerializer(serializers.Serializer):
    player_id = CleanCharField(**_PLAYER_ID)
    event_id = CleanCharField(**_EVENT_ID)
    started_at = EventTimeField()
    ended_at = EventTimeField(required=False, allow_null=True, default=None)
    ip = serializers.IPAddressField(required=False, allow_null=True, default=None)
    device_id = CleanCharField(max_length=80, default="", allow_blank=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["ended_at"] is not None and attrs["ended_at"] < attrs["started_at"]:
            raise serializers.ValidationError({"ended_at": "Not before started_at."})
        return attrs


class PlayEventSerializer(serializers.Serializer):
    player_id = CleanCharField(**_PLAYER_ID)
    event_id = CleanCharField(**_EVENT_ID)
    session_id = CleanCharField(max_length=80, default="", allow_blank=True)
    game = CleanCharField(max_length=80, help_text="Code of the game; an unknown one is added to the catalogue.")
    category = serializers.ChoiceField(Game.Category.choices, default=Game.Category.OTHER)
    played_at = EventTimeField()
    stake = AmountField()
    payout = AmountField()
    bonus_stake = AmountField(default=Decimal(0), help_text="Part of the stake paid with bonus money.")
    rounds = serializers.IntegerField(min_value=1, max_value=2_000_000_000, default=1)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["bonus_stake"] > attrs["stake"]:
            raise serializers.ValidationError({"bonus_stake": "At most the stake."})
        return attrs


class TotalsSerializer(serializers.Serializer):
    player_id = CleanCharField(**_PLAYER_ID)
    as_of = EventTimeField(
        help_text="Instant of the statement. It stands for its whole UTC day: events of later days add to it, so send 23:59:59 of a day."
    )
    total_deposited = AmountField()
    total_wagered = AmountField()
    total_won = AmountField()
    sessions = serializers.IntegerField(min_value=0, max_value=2_000_000_000, default=0)
    playtime_hours = serializers.DecimalField(max_digits=14, decimal_places=4, min_value=Decimal(0), default=Decimal(0))
    bets = serializers.IntegerField(min_value=0, max_value=2**62, required=False, allow_null=True, default=None)


class MergeCountsSerializer(serializers.Serializer):
    """What a batch of events did."""

    received = serializers.IntegerField()
    created = serializers.IntegerField()
    updated = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    players_created = serializers.IntegerField()
