"""Shapes of described players and customers, and of their scores."""

from datetime import UTC, datetime
from typing import Any

from django.utils.dateparse import parse_datetime
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from loyalty_site.common.api.fields import CleanCharField, EventTimeField
from loyalty_site.common.clock import utc_now
from predictions.ml.profile_schema import CLOCKS_APART

from .query import CurrencyField, NumberField, StrictSerializer
from .shapes import BoundsSerializer, ReasonSerializer

_LONGEST_ID = 64
_MONEY: dict[str, Any] = {"min_value": 0, "max_value": 1e12}
_MOST_PRODUCTS, _MOST_TRANSACTIONS, _MOST_DEPOSITS, _MOST_FEATURES = 100, 5_000, 5_000, 200


class MomentField(serializers.DateTimeField):
    """An instant that has come (a day is allowed for clocks that differ): nobody can be scored by what is not known yet.

    One without a zone is taken as UTC, because descriptions of customers are often written so.
    """

    default_error_messages = {"future": EventTimeField.default_error_messages["future"]}

    def to_internal_value(self, value: Any) -> datetime:
        if isinstance(value, str):
            try:
                moment = parse_datetime(value)
            except ValueError:
                moment = None
            if moment is not None and moment.tzinfo is None:
                value = moment.replace(tzinfo=UTC)
        try:
            found = super().to_internal_value(value)
        except OverflowError:
            self.fail("invalid", format="YYYY-MM-DDThh:mm:ssZ")
        if found > utc_now() + CLOCKS_APART:
            self.fail("future")
        return found


class EventMomentField(MomentField, EventTimeField):
    """A moment of which events are known: not before 1970 either."""


@extend_schema_field({"oneOf": [{"type": "integer"}, {"type": "string", "maxLength": _LONGEST_ID}]})
class OwnIdField(serializers.Field):
    """The caller's own id of somebody described: a whole number or a text, handed back as it came."""

    default_error_messages = {"invalid": f"Send a whole number or a text of at most {_LONGEST_ID} characters."}

    def to_internal_value(self, data: Any) -> int | str:
        if isinstance(data, bool) or not isinstance(data, (int, str)) or len(str(data)) > _LONGEST_ID:
            self.fail("invalid")
        # a lone half of a surrogate pair could not be written into the answer
        return CleanCharField(trim_whitespace=False, allow_blank=True).run_validation(data) if isinstance(data, str) else data

    def to_representation(self, value: int | str) -> int | str:
        return value


class ChurnProfileSerializer(StrictSerializer):
    features = serializers.DictField(
        child=NumberField(allow_null=True, min_value=-1e12, max_value=1e12),
        allow_empty=False,
        help_text="Feature to number; null or left out: unknown. The model's page lists the names.",
    )
    currency = CurrencyField(required=False, help_text="Of the amounts among the features; left out: they are in typical deposits.")
    user_value = NumberField(required=False, min_value=0.0, max_value=1e12, help_text="What the player is worth; for priority and advice.")
    threshold = NumberField(required=False, min_value=0.0, max_value=1.0, help_text="Left out: the operator's setting.")

    def validate_features(self, value: dict[str, Any]) -> dict[str, Any]:
        if len(value) > _MOST_FEATURES:
            raise serializers.ValidationError(f"At most {_MOST_FEATURES} features.")
        return value


class _ScoreSerializer(serializers.Serializer):
    feature_importance = serializers.DictField(
        child=serializers.FloatField(),
        help_text="Share of each listed driver among all listed ones (churn: the five strongest); they sum to 1.",
    )
    drivers = ReasonSerializer(many=True)
    missing = serializers.ListField(child=serializers.CharField(), help_text="Features that were not given and count as unknown.")
    model_id = serializers.IntegerField()
    is_synthetic = serializers.BooleanField(help_text="The model was trained on simulated data.")


class ChurnScoreSerializer(_ScoreSerializer):
    churn_probability = serializers.FloatField()
    churn_label = serializers.CharField()
    confidence = serializers.FloatField()
    probability_interval = BoundsSerializer()
    risk_level = serializers.CharField()
    priority_score = serializers.FloatField(allow_null=True, help_text="null without user_value.")
    estimated_impact = serializers.FloatField(allow_null=True, help_text="null without user_value.")
    retention_recommendation = serializers.CharField(
        allow_null=True, help_text="null without user_value and features.days_since_last_activity."
    )
    threshold_used = serializers.FloatField()


class ProfileProductSerializer(StrictSerializer):
    product_type = CleanCharField(max_length=60)
    start_date = MomentField()
    balance = NumberField(**_MONEY)
    status = CleanCharField(max_length=30)


class ProfileTransactionSerializer(StrictSerializer):
    transaction_date = EventMomentField()
    transaction_type = CleanCharField(max_length=60)
    amount = NumberField(**_MONEY)
    channel = CleanCharField(max_length=60)


class ClvProfileSerializer(StrictSerializer):
    """What is left out counts as unknown; no products is not the same as none told."""

    customer_id = OwnIdField(required=False, help_text="Yours: a number or a text, handed back as it came.")
    age = NumberField(min_value=18, max_value=110)
    income = NumberField(required=False, min_value=0, max_value=1e12)
    credit_score = NumberField(required=False, min_value=300, max_value=850)
    tenure_months = NumberField(min_value=0, max_value=1200)
    region = CleanCharField(required=False, max_length=60)
    acquisition_channel = CleanCharField(required=False, max_length=60)
    products = serializers.ListField(child=ProfileProductSerializer(), required=False, max_length=_MOST_PRODUCTS)
    transactions = serializers.ListField(child=ProfileTransactionSerializer(), required=False, max_length=_MOST_TRANSACTIONS)
    as_of = EventMomentField(required=False, help_text="The instant of scoring; left out: that of the last transaction.")

    def plain(self) -> dict[str, Any]:
        """The profile as the model reads it: plain values and instants."""
        values = dict(self.validated_data)
        for name in {"products", "transactions"} & values.keys():
            values[name] = [dict(one) for one in values[name]]
        return values


class ClvScoreSerializer(_ScoreSerializer):
    customer_id = OwnIdField(allow_null=True, help_text="As it came; null when none was sent.")
    predicted_clv = serializers.FloatField()
    confidence_score = serializers.FloatField(help_text="Share of held-out customers whose value lay within the interval.")
    clv_interval = BoundsSerializer()
    outside = serializers.ListField(
        child=serializers.CharField(), help_text="Features beyond what the model learned from; the coverage was not measured there."
    )


class DepositSerializer(StrictSerializer):
    occurred_at = EventMomentField()
    amount = NumberField(min_value=0.01, max_value=1e12)


class DepositorSerializer(StrictSerializer):
    """A player of whom only the deposits are known."""

    player_id = CleanCharField(required=False, max_length=64, help_text="Yours, handed back as it came; nobody is looked up.")
    currency = CurrencyField(help_text="Of the deposits (ISO 4217); one that the players here deposit in.")
    deposits = serializers.ListField(child=DepositSerializer(), allow_empty=False, max_length=_MOST_DEPOSITS)
    as_of = EventMomentField(required=False, help_text="The instant of scoring; left out: now. What counts is also how long nothing came.")

    def plain(self) -> dict[str, Any]:
        """The description as the model reads it: plain values and instants."""
        return {**self.validated_data, "deposits": [dict(one) for one in self.validated_data["deposits"]]}


class DepositorScoreSerializer(_ScoreSerializer):
    player_id = serializers.CharField(allow_null=True, help_text="As it came.")
    currency = serializers.CharField(help_text="Of all amounts.")
    predicted_ltv = serializers.FloatField(help_text="Expected net revenue of the next 365 days.")
    ltv_interval = BoundsSerializer()
    median_ltv = serializers.FloatField()
    confidence_score = serializers.FloatField(
        allow_null=True, help_text="Always null: the interval is that of simulated futures, its coverage of such players was not measured."
    )
    probability_active = serializers.FloatField(
        allow_null=True, help_text="Of being a customer still; null without a repeat deposit day, which tells nothing of leaving."
    )
    expected_deposit_days = serializers.FloatField(help_text="Within 365 days.")
    amounts_used = serializers.IntegerField(
        min_value=0,
        help_text="Deposit days whose amount entered the value: all but the first. 0: the amount of an average depositor stands in.",
    )
    outside = serializers.ListField(
        child=serializers.CharField(),
        help_text="Drivers beyond what the model knows: by its fit fewer than one in 10,000 depositors deposit on so many days "
        "(bg_frequency) or so much on a day (bg_spend). Do not build on the value then.",
    )
