"""Shapes of balances, entries, grants and wagers on the wire. Amounts are decimals with the places of their unit."""

from decimal import Decimal

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from loyalty_site.common.api.fields import AmountField, CleanCharField, EventTimeField
from loyalty_site.common.money import from_minor
from wallet.models import BonusGrant, Entry, Unit
from wallet.values import money_unit

_AMOUNT = {"type": "string", "format": "decimal"}


class BalanceSerializer(serializers.Serializer):
    unit = serializers.ChoiceField(Unit.choices)
    currency = serializers.CharField(help_text="ISO 4217 for bonus money, empty for points and tickets.")
    amount = serializers.DecimalField(max_digits=20, decimal_places=4)
    earned_total = serializers.DecimalField(max_digits=20, decimal_places=4, help_text="Earned in all, net of reversals.")
    owed = serializers.DecimalField(
        max_digits=20, decimal_places=4, help_text="What reversals took that was not there any more: the next credits pay it first."
    )
    pending = serializers.DecimalField(
        max_digits=20, decimal_places=4, help_text="Points in lots that wait for their time or event; no part of the amount."
    )


class BalancesSerializer(serializers.Serializer):
    player_id = serializers.CharField()
    balances = BalanceSerializer(many=True)


class EntrySerializer(serializers.ModelSerializer):
    """One posting of a player's account."""

    player_id = serializers.CharField(source="account.player.external_id")
    unit = serializers.CharField(source="account.unit")
    currency = serializers.CharField(source="account.currency")
    amount = serializers.SerializerMethodField()
    balance_after = serializers.SerializerMethodField()

    class Meta:
        model = Entry
        fields = [
            "id",
            "player_id",
            "unit",
            "currency",
            "amount",
            "balance_after",
            "house",
            "source_type",
            "source_ref",
            "reason",
            "reversal_of",
            "occurred_at",
        ]

    @extend_schema_field(_AMOUNT)
    def get_amount(self, entry: Entry) -> str:
        return str(from_minor(entry.amount, money_unit(entry.account.unit, entry.account.currency)))

    @extend_schema_field(_AMOUNT)
    def get_balance_after(self, entry: Entry) -> str:
        return str(from_minor(entry.balance_after, money_unit(entry.account.unit, entry.account.currency)))


class GrantSerializer(serializers.ModelSerializer):
    """A bonus of a player under its terms, and how far its wagering is."""

    player_id = serializers.CharField(source="player.external_id")
    template = serializers.CharField(
        source="template_version.template.code", allow_null=True, default=None, help_text="Code of the bonus template, if it has one."
    )
    principal = serializers.SerializerMethodField()
    balance = serializers.SerializerMethodField()
    locked = serializers.SerializerMethodField(help_text="Winnings locked until the wagering is complete.")
    deposit = serializers.SerializerMethodField()
    released = serializers.SerializerMethodField(help_text="Turned into cash.")
    max_bet = serializers.SerializerMethodField()
    eligible_games = serializers.SerializerMethodField()
    left_to_wager = serializers.SerializerMethodField()

    class Meta:
        model = BonusGrant
        fields = [
            "id",
            "player_id",
            "currency",
            "status",
            "product",
            "template",
            "principal",
            "balance",
            "locked",
            "deposit",
            "wagering_required",
            "wagered",
            "left_to_wager",
            "spins_left",
            "released",
            "max_bet",
            "eligible_games",
            "offered_at",
            "activated_at",
            "expires_at",
            "closed_at",
        ]

    @extend_schema_field(_AMOUNT)
    def get_principal(self, grant: BonusGrant) -> str:
        return str(from_minor(grant.principal, grant.currency))

    @extend_schema_field(_AMOUNT)
    def get_balance(self, grant: BonusGrant) -> str:
        return str(from_minor(grant.balance, grant.currency))

    @extend_schema_field(_AMOUNT)
    def get_locked(self, grant: BonusGrant) -> str:
        return str(from_minor(grant.locked, grant.currency))

    @extend_schema_field(_AMOUNT)
    def get_deposit(self, grant: BonusGrant) -> str:
        return str(from_minor(grant.deposit, grant.currency))

    @extend_schema_field(_AMOUNT)
    def get_released(self, grant: BonusGrant) -> str:
        return str(from_minor(grant.released, grant.currency))

    @extend_schema_field({**_AMOUNT, "type": ["string", "null"]})
    def get_max_bet(self, grant: BonusGrant) -> str | None:
        largest = grant.terms.get("max_bet")
        return None if largest is None else str(from_minor(largest, grant.currency))

    @extend_schema_field({"type": "array", "items": {"type": "string"}})
    def get_eligible_games(self, grant: BonusGrant) -> list[str]:
        return list(grant.terms.get("eligible_games", ()))

    @extend_schema_field(_AMOUNT)
    def get_left_to_wager(self, grant: BonusGrant) -> str:
        return str(grant.wagering_required - grant.wagered)


class WagerSerializer(serializers.Serializer):
    player_id = CleanCharField(max_length=64)
    activity_id = CleanCharField(
        max_length=80,
        help_text="Id of the bet, unique among all bets reported here, whoever's they are: reported again it has no further effect.",
    )
    currency = serializers.RegexField(r"^[A-Z]{3}$")
    stake = AmountField(help_text="Not finer than the minor unit of the currency.")
    game = CleanCharField(max_length=80, default="", allow_blank=True)
    category = CleanCharField(max_length=40, default="", allow_blank=True)
    placed_at = EventTimeField()


class WagerCountSerializer(serializers.Serializer):
    """What a bet did to one grant, and why."""

    grant_id = serializers.IntegerField()
    verdict = serializers.CharField()
    counted = serializers.DecimalField(max_digits=20, decimal_places=6)
    before = serializers.DecimalField(max_digits=20, decimal_places=6)
    after = serializers.DecimalField(max_digits=20, decimal_places=6)
    required = serializers.DecimalField(max_digits=20, decimal_places=6)  # type: ignore[assignment] # a field of the answer


class WagerProgressSerializer(serializers.Serializer):
    activity_id = serializers.CharField()
    stake = serializers.DecimalField(max_digits=20, decimal_places=4)
    counted = serializers.DecimalField(max_digits=20, decimal_places=6)
    repeated = serializers.BooleanField(help_text="True when this bet was reported before.")
    completed_grant_ids = serializers.ListField(child=serializers.IntegerField())
    counts = WagerCountSerializer(many=True)


class WagerRefusalSerializer(serializers.Serializer):
    activity_id = serializers.CharField()
    type = serializers.CharField()
    detail = serializers.CharField()


class WagerBatchSerializer(serializers.Serializer):
    items = serializers.ListField(child=WagerSerializer(), min_length=1, max_length=500)


class WagerAnswerSerializer(serializers.Serializer):
    """Each bet stands for itself: what was taken, and what was refused with the reason."""

    accepted = WagerProgressSerializer(many=True)
    refused = WagerRefusalSerializer(many=True)


class SpendSerializer(serializers.Serializer):
    player_id = CleanCharField(max_length=64)
    unit = serializers.ChoiceField([Unit.LP, Unit.RP, Unit.TICKET])
    amount = AmountField(min_value=Decimal("0.01"))
    reference = CleanCharField(max_length=100, help_text="Your id of the redemption: the same id again has no further effect.")
    reason = CleanCharField(max_length=500)
