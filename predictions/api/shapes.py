"""Shapes of prediction answers: the envelope and the result of each kind, as the OpenAPI document shows them.

Answers are built as plain JSON (`kinds/`); these describe them and a test holds every answer against them. Fields that come only with
include_details are not required.
"""

from typing import Any

from rest_framework import serializers

from predictions.ml import advice

_ID = "The operator's id of the player."


def _optional(help_text: str = "", **more: Any) -> dict[str, Any]:
    return {"required": False, "help_text": help_text, **more}


class BoundsSerializer(serializers.Serializer):
    min = serializers.FloatField()
    max = serializers.FloatField()
    level = serializers.FloatField(required=False, help_text="Share of cases that the interval is made to cover.")


class ReasonSerializer(serializers.Serializer):
    feature = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment] # a field of the answer
    unit = serializers.CharField()
    value = serializers.FloatField(allow_null=True, help_text="Of a monetary feature in currency units (a typical deposit); see amount.")
    contribution = serializers.FloatField(
        help_text="On the model's own scale, to the value in the player's currency; all contributions and the base add up to its output."
    )
    words = serializers.CharField()
    amount = serializers.FloatField(allow_null=True, help_text="The value of a monetary feature as an amount of currency.")
    currency = serializers.CharField(allow_null=True, help_text="Of the amount; null where there is none.")


class _ResultSerializer(serializers.Serializer):
    user_id = serializers.CharField(help_text=_ID)
    player_id = serializers.CharField(help_text="The same id, under the name that the rest of this API uses.")
    feature_importance = serializers.DictField(
        child=serializers.FloatField(), **_optional("Feature to its share; they sum to 1. feature_importance_of says of what.")
    )
    feature_importance_of = serializers.ChoiceField(
        ["player", "reasons", "model"],
        **_optional(
            "player: of this player's score, over all features (one player). reasons: among the few stored reasons of this player's score "
            "(pages). model: of the model as a whole, when no reasons are stored."
        ),
    )
    reasons = ReasonSerializer(many=True, **_optional("The strongest, stored nightly for the players at the top."))


class ChurnResultSerializer(_ResultSerializer):
    churn_probability = serializers.FloatField(help_text="Of no real-money bet and no deposit within the horizon; calibrated.")
    churn_label = serializers.ChoiceField([advice.CHURN, advice.NOT_CHURN])
    confidence = serializers.FloatField(help_text="0.95, 0.925 or 0.90 by the distance from the threshold; see probability_interval.")
    probability_interval = BoundsSerializer(help_text="The calibrated interval of the probability.")
    priority_score = serializers.FloatField(help_text="Probability times 1.5 (VIP) or 1.2 (high value), at most 1, as of the run.")
    risk_level = serializers.ChoiceField(list(advice.RISK_LEVELS))
    retention_recommendation = serializers.CharField()
    estimated_impact = serializers.FloatField(
        help_text="Probability times user_value: ranks players. No forecast of a loss, as the value is net of leaving already."
    )
    user_value = serializers.FloatField(help_text="Predicted value, or what was deposited while value is withheld.")
    currency = serializers.CharField()
    days_since_last_activity = serializers.IntegerField()
    threshold_used = serializers.FloatField()


class MethodsSerializer(serializers.Serializer):
    boosted = serializers.FloatField()
    probabilistic = serializers.FloatField(allow_null=True, help_text="BG/NBD and Gamma-Gamma; null without a deposit.")


class ValueResultSerializer(_ResultSerializer):
    predicted_ltv = serializers.FloatField(help_text="Expected net gaming revenue of the next 365 days.")
    prediction_confidence = serializers.FloatField(help_text="Share of held-out players whose value lay within the interval.")
    churn_adjusted_ltv = serializers.FloatField(
        allow_null=True,
        help_text="predicted_ltv times the probability of staying, null while churn is withheld. Ranks players; predicted_ltv is the "
        "forecast and is net of leaving already.",
    )
    ltv_confidence_interval = BoundsSerializer()
    cross_sell_opportunity = serializers.CharField()
    ltv_segment = serializers.ChoiceField(list(advice.VALUE_SEGMENTS))
    median_ltv = serializers.FloatField()
    ltv_90_days = serializers.FloatField()
    currency = serializers.CharField()
    methods = MethodsSerializer(required=False)
    probability_active = serializers.FloatField(
        **_optional("Of being a customer still; null without a repeat deposit day, which tells nothing of leaving.", allow_null=True)
    )
    expected_deposit_days = serializers.FloatField(**_optional("Days with a deposit, next 365.", allow_null=True))


class ActivitySerializer(serializers.Serializer):
    timestamp = serializers.DateTimeField(allow_null=True)
    details = serializers.CharField()


class LinkSerializer(serializers.Serializer):
    user_id = serializers.CharField(help_text=_ID)
    shared_attribute = serializers.CharField(allow_null=True)


class SignalSerializer(serializers.Serializer):
    type = serializers.CharField(allow_null=True)
    severity_score = serializers.FloatField()


class FraudResultSerializer(_ResultSerializer):
    fraud_label = serializers.ChoiceField([advice.FRAUD, advice.NOT_FRAUD])
    fraud_score = serializers.FloatField()
    confidence = serializers.FloatField(help_text="See confidence_basis.")
    confidence_basis = serializers.ChoiceField(
        ["outcomes", "agreement"],
        help_text="outcomes: probability that the label is right. agreement: how far detectors and anomaly agree; no probability.",
    )
    fraud_type = serializers.CharField(allow_null=True, help_text="null unless the label is Fraud; see strongest_signal.")
    severity_score = serializers.FloatField(help_text="Strength of the strongest signal; 0 unless the label is Fraud.")
    severity = serializers.ChoiceField(list(advice.SEVERITIES))
    suspicious_activity = ActivitySerializer(allow_null=True)
    linked_accounts = LinkSerializer(many=True)
    threshold_used = serializers.FloatField()
    strongest_signal = SignalSerializer(required=False, allow_null=True)
    anomaly_score = serializers.FloatField(**_optional("Share of players who are less unusual."))
    detector_score = serializers.FloatField(**_optional("The abuse score of the detectors, 0 to 1."))
    score_interval = BoundsSerializer(required=False, allow_null=True)
    signals = serializers.ListField(child=serializers.CharField(), required=False)


class CharacteristicsSerializer(serializers.Serializer):
    avg_ltv = serializers.FloatField(allow_null=True)
    avg_sessions = serializers.FloatField(allow_null=True)
    avg_deposits = serializers.FloatField(allow_null=True, help_text="Deposited in all, per player.")
    currency = serializers.CharField(help_text="The means are over the players of the segment with this currency.")


class RfmSerializer(serializers.Serializer):
    recency = serializers.IntegerField(min_value=1, max_value=5)
    frequency = serializers.IntegerField(min_value=1, max_value=5)
    monetary = serializers.IntegerField(min_value=1, max_value=5)


class SegmentResultSerializer(_ResultSerializer):
    segment = serializers.IntegerField()
    segment_name = serializers.CharField()
    segment_characteristics = CharacteristicsSerializer()
    segment_recommendation = serializers.CharField()
    segment_stability = serializers.FloatField(help_text="Share of resampled clusterings that agree.")
    predicted_next_segment = serializers.IntegerField()
    transition_probability = serializers.FloatField(help_text="Of being in predicted_next_segment 30 days later, as observed.")
    rfm_scores = RfmSerializer()
    rfm_segment = serializers.CharField()
    rfm_recommendation = serializers.CharField()


class BreakdownSerializer(serializers.Serializer):
    """Parts of the score; they sum to it."""

    logins = serializers.FloatField()
    deposits = serializers.FloatField()
    gameplay = serializers.FloatField()


class EngagementResultSerializer(_ResultSerializer):
    engagement_prediction = serializers.ChoiceField([advice.ENGAGED, advice.NOT_ENGAGED])
    engagement_score = serializers.FloatField(help_text="Probability of activity within the next 7 days.")
    probability_interval = BoundsSerializer()
    engagement_breakdown = BreakdownSerializer()
    engagement_trigger = serializers.CharField()
    campaign_eligibility = serializers.CharField()
    predicted_decay = serializers.FloatField(help_text="Fitted relative loss of activity per week without contact.")
    timeframe = serializers.CharField()
    threshold_used = serializers.FloatField()


class AlertSerializer(serializers.Serializer):
    user_id = serializers.CharField(help_text=_ID)
    alert = serializers.CharField()
    severity = serializers.ChoiceField(list(advice.SEVERITIES))
    fraud_score = serializers.FloatField()
    timestamp = serializers.DateTimeField()


class DecaySerializer(serializers.Serializer):
    user_id = serializers.CharField(help_text=_ID)
    predicted_decay = serializers.FloatField()
    timeframe = serializers.CharField()


class RecommendationSerializer(serializers.Serializer):
    type = serializers.CharField()
    action = serializers.CharField()
    group = serializers.CharField()
    user_count = serializers.IntegerField(help_text="Players of all currencies.")
    estimated_impact = serializers.FloatField(allow_null=True, help_text="In `currency`; null where the kind has no money measure.")
    currency = serializers.CharField(allow_null=True)
    estimated_impact_by_currency = serializers.DictField(child=serializers.FloatField())


class _SummarySerializer(serializers.Serializer):
    """Over all players of the run, whatever the filters."""

    total_users = serializers.IntegerField()
    business_recommendations = RecommendationSerializer(many=True)


class ValueAtRiskSerializer(serializers.Serializer):
    user_value = serializers.FloatField()
    expected_loss = serializers.FloatField(
        help_text="Sum of probability times user_value: ranks currencies and nights. No forecast of a loss, as the value is net of leaving "
        "already."
    )


class ChurnSummarySerializer(_SummarySerializer):
    predicted_churners = serializers.IntegerField(help_text="At the threshold.")
    expected_churners = serializers.FloatField(help_text="Sum of the probabilities.")
    average_churn_probability = serializers.FloatField(allow_null=True)
    risk_levels = serializers.DictField(child=serializers.IntegerField())
    value_at_risk = serializers.DictField(child=ValueAtRiskSerializer(), help_text="By currency.")


class CurrencyValueSerializer(serializers.Serializer):
    users = serializers.IntegerField()
    total_ltv = serializers.FloatField()
    average_ltv = serializers.FloatField()
    total_churn_adjusted_ltv = serializers.FloatField(allow_null=True)


class ValueSummarySerializer(_SummarySerializer):
    segments = serializers.DictField(child=serializers.IntegerField())
    value_by_currency = serializers.DictField(child=CurrencyValueSerializer())
    interval_coverage = serializers.FloatField(allow_null=True, help_text="Measured on held-out players.")


class FraudSummarySerializer(_SummarySerializer):
    flagged_users = serializers.IntegerField(help_text="Above the threshold.")
    average_fraud_score = serializers.FloatField(allow_null=True)
    fraud_types = serializers.DictField(child=serializers.IntegerField(), help_text="Of the flagged players.")


class SegmentSerializer(serializers.Serializer):
    segment = serializers.IntegerField()
    name = serializers.CharField()
    users = serializers.IntegerField()
    share = serializers.FloatField()
    segment_characteristics = CharacteristicsSerializer()


class SegmentSummarySerializer(_SummarySerializer):
    average_stability = serializers.FloatField(allow_null=True)
    segments = SegmentSerializer(many=True)
    rfm_segments = serializers.DictField(child=serializers.IntegerField())


class EngagementSummarySerializer(_SummarySerializer):
    engaged_users = serializers.IntegerField()
    not_engaged_users = serializers.IntegerField()
    average_engagement_score = serializers.FloatField(allow_null=True)
    average_weekly_decay = serializers.FloatField(allow_null=True)
