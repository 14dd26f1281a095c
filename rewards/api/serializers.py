"""Shapes of rules, decisions and grants on the wire."""

from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from loyalty_site.common.api.fields import AmountField, AwareDateTimeField, CleanCharField, FreeObjectField
from rewards.models import RewardDecision, RewardRule, RuleVersion

_CONTENT_FIELDS = ("conditions", "reward_config", "period", "cooldown_hours", "stacking_group", "player_budget", "total_budget")


class RuleSerializer(serializers.ModelSerializer):
    """A reward rule with the content of its current version."""

    version = serializers.IntegerField(source="current_version.number")
    conditions = serializers.DictField(source="current_version.conditions")
    reward_config = serializers.DictField(source="current_version.reward_config")
    period = serializers.ChoiceField(RuleVersion.Period.choices, source="current_version.period")
    cooldown_hours = serializers.IntegerField(source="current_version.cooldown_hours")
    stacking_group = serializers.CharField(source="current_version.stacking_group", allow_blank=True)
    player_budget = serializers.DecimalField(source="current_version.player_budget", max_digits=18, decimal_places=4, allow_null=True)
    total_budget = serializers.DecimalField(source="current_version.total_budget", max_digits=18, decimal_places=4, allow_null=True)

    class Meta:
        model = RewardRule
        fields = ["rule_id", "name", "description", "priority", "is_active", "valid_from", "valid_to", "version", *_CONTENT_FIELDS]


class RuleWriteSerializer(serializers.Serializer):
    """A rule as it is sent. Conditions and reward_config are checked by the rule language; errors name their place."""

    name = CleanCharField(max_length=120)
    description = CleanCharField(required=False, allow_blank=True, default="", max_length=2000)
    priority = serializers.IntegerField(required=False, default=0, min_value=-(2**31), max_value=2**31 - 1)
    is_active = serializers.BooleanField(required=False, default=False)
    valid_from = AwareDateTimeField(required=False, allow_null=True, default=None)
    valid_to = AwareDateTimeField(required=False, allow_null=True, default=None)
    conditions = FreeObjectField()
    reward_config = FreeObjectField()
    period = serializers.ChoiceField(RuleVersion.Period.choices, required=False, default=RuleVersion.Period.DAY)
    cooldown_hours = serializers.IntegerField(required=False, default=0, min_value=0, max_value=100_000)
    stacking_group = CleanCharField(required=False, allow_blank=True, default="", max_length=40)
    player_budget = AmountField(required=False, allow_null=True, default=None, max_digits=18)
    total_budget = AmountField(required=False, allow_null=True, default=None, max_digits=18)
    reason = CleanCharField(required=False, default="Changed over the API", max_length=500, help_text="Kept in the audit trail.")


class RuleCreateSerializer(RuleWriteSerializer):
    rule_id = serializers.SlugField(max_length=80, help_text="Letters, digits, _ and -. It stays the same for ever.")


class RuleSavedSerializer(RuleSerializer):
    warnings = serializers.ListField(child=serializers.CharField(), help_text="What to think about before switching the rule on.")

    class Meta(RuleSerializer.Meta):
        fields = [*RuleSerializer.Meta.fields, "warnings"]


class RuleTestSerializer(serializers.Serializer):
    player_id = CleanCharField(
        max_length=64, required=False, help_text="Test on this player, explained and with gates. Left out: on all players, summed up."
    )


class DecisionSerializer(serializers.ModelSerializer):
    """A reward: what was proposed, what each gate said, what became of it."""

    player_id = serializers.CharField(source="player.external_id")
    rule_id = serializers.CharField(source="rule.rule_id", allow_null=True, default=None)
    version = serializers.IntegerField(source="rule_version.number", allow_null=True, default=None)
    amount = serializers.SerializerMethodField()
    proposed_amount = serializers.SerializerMethodField()
    verdicts = serializers.SerializerMethodField()

    class Meta:
        model = RewardDecision
        fields = [
            "id",
            "player_id",
            "rule_id",
            "version",
            "period",
            "source",
            "unit",
            "currency",
            "proposed_amount",
            "amount",
            "wagering_required",
            "bonus_template",
            "status",
            "refused_by",
            "verdicts",
            "reason",
            "proposed_at",
            "decided_at",
            "issued_at",
        ]

    @extend_schema_field({"type": "string", "format": "decimal"})
    def get_amount(self, decision: RewardDecision) -> str:
        return str(decision.amount)

    @extend_schema_field({"type": "string", "format": "decimal"})
    def get_proposed_amount(self, decision: RewardDecision) -> str:
        return str(decision.proposed_amount)

    @extend_schema_field({"type": "array", "items": {"type": "object", "additionalProperties": True}})
    def get_verdicts(self, decision: RewardDecision) -> list[dict[str, Any]]:
        return decision.verdicts


class AddPointsSerializer(serializers.Serializer):
    player_id = CleanCharField(max_length=64)
    amount = AmountField(min_value=Decimal("0.01"), max_digits=14, decimal_places=2)
    reference = CleanCharField(max_length=60, help_text="Your id of this credit: the same id again has no further effect.")
    reason = CleanCharField(max_length=500)


class AddBonusSerializer(AddPointsSerializer):
    bonus_template = CleanCharField(
        required=False,
        default="",
        allow_blank=True,
        max_length=60,
        help_text="Code of a bonus template: its terms hold, and the other terms must be left out.",
    )
    wagering_multiple = serializers.DecimalField(
        required=False,
        max_digits=6,
        decimal_places=2,
        min_value=Decimal(0),
        help_text="Times the amount that must be wagered; 0 pays out at once. Needed without a template.",
    )
    expiry_hours = serializers.IntegerField(required=False, min_value=1, max_value=87_600, help_text="Without a template: 168 if left out.")
    max_bet = AmountField(required=False, allow_null=True, default=None, max_digits=14, decimal_places=2, min_value=Decimal("0.01"))
    eligible_games = serializers.ListField(child=CleanCharField(max_length=80), required=False, default=list, max_length=200)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["bonus_template"]:
            for name in ("wagering_multiple", "expiry_hours", "max_bet", "eligible_games"):
                if attrs.get(name):
                    raise serializers.ValidationError({name: "The bonus template has this term; leave it out."})
                attrs.pop(name, None)
            return attrs
        if "wagering_multiple" not in attrs:
            raise serializers.ValidationError({"wagering_multiple": "Needed without a bonus_template: how many times to wager the amount."})
        attrs.setdefault("expiry_hours", 168)
        return attrs


class BatchSerializer(serializers.Serializer):
    player_ids = serializers.ListField(child=CleanCharField(max_length=64), min_length=1, max_length=5000)
    trigger_rewards = serializers.BooleanField(default=False)


class BatchAnswerSerializer(serializers.Serializer):
    """What the batch did. `rewards` counts decisions by outcome."""

    players = serializers.IntegerField()
    segments = serializers.DictField(child=serializers.IntegerField())
    rewards = serializers.DictField(child=serializers.IntegerField())
