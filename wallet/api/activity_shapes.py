"""Shapes of reported activity, quotes and explanations on the wire."""

from decimal import Decimal

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from loyalty_site.common.api.fields import AmountField, CleanCharField, EventTimeField, FreeObjectField
from wallet.activity import contract
from wallet.bonus.values import Kind
from wallet.models import Product, WagerCount

_CURRENCY = r"^[A-Z]{3}\Z"
MAX_EVENTS = 5000


@extend_schema_field({"anyOf": [{"type": "string", "format": "decimal"}, {"type": "number", "minimum": 0}]})
class EitherAmountField(AmountField):
    """An amount, and documented as what it takes: a text or a number."""


class ActivitySerializer(serializers.Serializer):
    """A bet, a win, a rollback or the end of a round. One effect per (source, activity_id, kind), however often it is sent."""

    source = CleanCharField(  # type: ignore[assignment] # a field of the request
        max_length=40, default="api", help_text="The platform that reports it; its ids are unique within it."
    )
    activity_id = CleanCharField(max_length=80)
    kind = serializers.ChoiceField([kind.value for kind in Kind])
    player_id = CleanCharField(max_length=64)
    currency = serializers.RegexField(_CURRENCY)
    product = serializers.ChoiceField(Product.values, default=Product.CASINO.value)
    round_id = CleanCharField(
        max_length=80, default="", allow_blank=True, help_text="Ties bets and wins together; empty: a bet is a round of its own."
    )
    amount = AmountField(default=Decimal(0), help_text="Stake or win; a rollback need not name it.")
    real_amount = AmountField(required=False, allow_null=True, help_text="Part that is cash. State all three parts or none.")
    bonus_amount = AmountField(required=False, allow_null=True)
    locked_amount = AmountField(required=False, allow_null=True)
    cash_before = serializers.DecimalField(
        max_digits=20,
        decimal_places=4,
        required=False,
        allow_null=True,
        help_text="The player's cash before it. With it the fund order of the bonus divides a stake; without it the whole stake is cash.",
    )
    ends_round = serializers.BooleanField(default=False, help_text="The round is settled with this event; its bets count now.")
    takes_back_id = CleanCharField(max_length=80, default="", allow_blank=True, help_text="Rollback: activity id of the bet or win.")
    takes_back_kind = serializers.ChoiceField(["", "BET", "WIN"], default="")
    game = CleanCharField(max_length=80, default="", allow_blank=True)
    category = CleanCharField(max_length=40, default="", allow_blank=True)
    provider = CleanCharField(max_length=80, default="", allow_blank=True)
    is_free_round = serializers.BooleanField(default=False)
    coverage = serializers.DecimalField(
        max_digits=7,
        decimal_places=6,
        required=False,
        allow_null=True,
        min_value=Decimal(0),
        max_value=Decimal(1),
        help_text="Share of the outcomes that the bet covers.",
    )
    occurred_at = EventTimeField()


class ActivityBatchSerializer(serializers.Serializer):
    items = serializers.ListField(child=ActivitySerializer(), min_length=1, max_length=MAX_EVENTS)


class CountedSerializer(serializers.Serializer):
    activity_id = serializers.CharField(help_text="The bet that counted.")
    grant_id = serializers.IntegerField()
    verdict = serializers.CharField()
    rule = serializers.CharField()
    weight = serializers.DecimalField(max_digits=9, decimal_places=6)
    counted_stake = serializers.DecimalField(max_digits=20, decimal_places=6)
    counted = serializers.DecimalField(max_digits=20, decimal_places=6)
    penalty = serializers.DecimalField(max_digits=20, decimal_places=6)
    before = serializers.DecimalField(max_digits=20, decimal_places=6)
    after = serializers.DecimalField(max_digits=20, decimal_places=6)
    required = serializers.DecimalField(max_digits=20, decimal_places=6)  # type: ignore[assignment] # a field of the answer


class ReceivedSerializer(serializers.Serializer):
    """What an event did. `cash_change`: what the platform adds to the player's cash for it."""

    source = serializers.CharField()  # type: ignore[assignment] # a field of the answer
    activity_id = serializers.CharField()
    kind = serializers.CharField()
    currency = serializers.CharField()
    amount = serializers.DecimalField(max_digits=20, decimal_places=4)
    real = serializers.DecimalField(max_digits=20, decimal_places=4)
    bonus = serializers.DecimalField(max_digits=20, decimal_places=4)
    locked = serializers.DecimalField(max_digits=20, decimal_places=4)
    cash_change = serializers.DecimalField(max_digits=20, decimal_places=4)
    grant_id = serializers.IntegerField(allow_null=True)
    waits = serializers.BooleanField(help_text="It came before the bet or win that it belongs to, and takes effect with that.")
    repeated = serializers.BooleanField(help_text="Reported before; this is what it did then.")
    completed_grant_ids = serializers.ListField(child=serializers.IntegerField())
    counts = CountedSerializer(many=True)


class RefusedSerializer(serializers.Serializer):
    activity_id = serializers.CharField()
    type = serializers.CharField()
    detail = serializers.CharField()


class ReceivedBatchSerializer(serializers.Serializer):
    """Each event stands for itself: what was taken, and what was refused with the reason, both in the order sent."""

    accepted = ReceivedSerializer(many=True)
    refused = RefusedSerializer(many=True)


class CasinoEventSerializer(serializers.Serializer):
    """A CASINO event of the event contract. amount = wager_amount + bonus_wager_amount + locked_wager_amount."""

    activity_id = CleanCharField(max_length=contract.LONGEST_ACTIVITY_ID)
    amount = AmountField()
    balance_after = serializers.DecimalField(max_digits=20, decimal_places=4)
    balance_before = serializers.DecimalField(max_digits=20, decimal_places=4)
    bonus_wager_amount = AmountField()
    currency = serializers.RegexField(_CURRENCY)
    exchange_rate = serializers.DecimalField(max_digits=20, decimal_places=10, min_value=Decimal(0))
    game_id = CleanCharField(max_length=80)
    game_name = CleanCharField(max_length=200, default="", allow_blank=True)
    game_type = CleanCharField(max_length=40, default="", allow_blank=True)
    is_round_end = serializers.BooleanField()
    locked_wager_amount = AmountField()
    origin = CleanCharField(max_length=40, help_text="The platform; activity ids are unique within it.")
    round_id = CleanCharField(max_length=80, allow_blank=True)
    status = serializers.ChoiceField(contract.CASINO_STATUSES)
    timestamp = EventTimeField()
    type = serializers.ChoiceField(contract.CASINO_TYPES)
    user_id = CleanCharField(max_length=64)
    vendor_id = CleanCharField(max_length=80, default="", allow_blank=True)
    vendor_name = CleanCharField(max_length=80, default="", allow_blank=True)
    wager_amount = AmountField()
    meta = FreeObjectField(required=False, help_text="Not looked at.")


class CasinoBatchSerializer(serializers.Serializer):
    items = serializers.ListField(child=CasinoEventSerializer(), min_length=1, max_length=MAX_EVENTS)


class BonusEventSerializer(serializers.Serializer):
    """A BONUS event of the event contract: a change of a bonus that the operator's own engine runs."""

    amount = AmountField()
    bonus_code = CleanCharField(max_length=80, default="", allow_blank=True)
    bonus_id = CleanCharField(max_length=80, default="", allow_blank=True)
    bonus_turned_real = AmountField(
        default=Decimal(0), help_text="Of a completed bonus: what became cash. It has to be what the books have; 0: not said."
    )
    currency = serializers.RegexField(_CURRENCY)
    exchange_rate = serializers.DecimalField(max_digits=20, decimal_places=10, min_value=Decimal(0))
    locked_amount = AmountField(default=Decimal(0))
    origin = CleanCharField(max_length=40)
    product = serializers.ChoiceField(tuple(contract.PRODUCTS))
    required_wagering_amount = serializers.DecimalField(max_digits=20, decimal_places=6, min_value=Decimal(0))
    status = serializers.ChoiceField(contract.BONUS_STATUSES)
    timestamp = EventTimeField()
    type = serializers.ChoiceField(contract.BONUS_TYPES)
    user_bonus_id = CleanCharField(max_length=128, help_text="The platform's id of this player's bonus.")
    user_id = CleanCharField(max_length=64)


class BonusBatchSerializer(serializers.Serializer):
    items = serializers.ListField(child=BonusEventSerializer(), min_length=1, max_length=500)


class BonusAnswerSerializer(serializers.Serializer):
    user_bonus_id = serializers.CharField()
    grant_id = serializers.IntegerField(allow_null=True)
    status = serializers.CharField(help_text="Of the grant as it is now; empty when there is none.")
    changed = serializers.BooleanField(help_text="Whether this event changed it.")


class BonusRefusedSerializer(serializers.Serializer):
    user_bonus_id = serializers.CharField()
    type = serializers.CharField()
    detail = serializers.CharField()


class BonusAnswersSerializer(serializers.Serializer):
    accepted = BonusAnswerSerializer(many=True)
    refused = BonusRefusedSerializer(many=True)


class QuoteSerializer(serializers.Serializer):
    player_id = CleanCharField(max_length=64)
    currency = serializers.RegexField(_CURRENCY)
    product = serializers.ChoiceField(Product.values, default=Product.CASINO.value)
    stake = EitherAmountField()
    cash = EitherAmountField(required=False, allow_null=True, help_text="The player's cash; without it the whole stake is cash.")
    win = EitherAmountField(required=False, allow_null=True, help_text="Also say how a win of this much would be divided.")
    game = CleanCharField(max_length=80, default="", allow_blank=True)
    category = CleanCharField(max_length=40, default="", allow_blank=True)
    provider = CleanCharField(max_length=80, default="", allow_blank=True)
    is_free_round = serializers.BooleanField(default=False)


class SplitSerializer(serializers.Serializer):
    real = serializers.DecimalField(max_digits=20, decimal_places=4)
    bonus = serializers.DecimalField(max_digits=20, decimal_places=4)
    locked = serializers.DecimalField(max_digits=20, decimal_places=4)


class QuotedSerializer(serializers.Serializer):
    """How the stake (and the win) would be divided now, and what the stake would count; a promise of nothing."""

    currency = serializers.CharField()
    grant_id = serializers.IntegerField(allow_null=True)
    stake = SplitSerializer()
    win = SplitSerializer(allow_null=True)
    verdict = serializers.CharField(help_text="As in explanations; NO_BONUS: no open bonus of the product.")
    rule = serializers.CharField()
    weight = serializers.DecimalField(max_digits=9, decimal_places=6)
    would_count = serializers.DecimalField(max_digits=20, decimal_places=6)


class ExplanationSerializer(serializers.Serializer):
    """One step of the wagering: what of the bet counted, at which weight and why; progress before and after."""

    number = serializers.IntegerField()
    reported_as = serializers.CharField()
    activity_id = serializers.CharField()
    round_id = serializers.CharField()
    placed_at = serializers.DateTimeField()
    settled_at = serializers.DateTimeField()
    game = serializers.CharField()
    category = serializers.CharField()
    provider = serializers.CharField()
    currency = serializers.CharField()
    stake = serializers.DecimalField(max_digits=20, decimal_places=4)
    stake_cash = serializers.DecimalField(max_digits=20, decimal_places=4)
    stake_bonus = serializers.DecimalField(max_digits=20, decimal_places=4)
    stake_locked = serializers.DecimalField(max_digits=20, decimal_places=4)
    verdict = serializers.ChoiceField(WagerCount.Verdict.choices)
    explanation = serializers.CharField()
    rule = serializers.CharField()
    weight = serializers.DecimalField(max_digits=9, decimal_places=6)
    counted_stake = serializers.DecimalField(max_digits=20, decimal_places=6)
    counted = serializers.DecimalField(max_digits=20, decimal_places=6)
    penalty = serializers.DecimalField(max_digits=20, decimal_places=6)
    progress_before = serializers.DecimalField(max_digits=20, decimal_places=6)
    progress_after = serializers.DecimalField(max_digits=20, decimal_places=6)
    required = serializers.DecimalField(max_digits=20, decimal_places=6)  # type: ignore[assignment] # a field of the answer
