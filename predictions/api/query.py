"""Parameters of prediction pages: each is checked, each unknown one is refused, what is left out has a documented default."""

import math
from typing import Any

from rest_framework import serializers

from loyalty_site.common.api.fields import CleanCharField
from loyalty_site.common.api.problems import Problem, field_problem
from predictions.ml import advice

DEFAULT_SIZE, LARGEST_SIZE = 50, 100
# a page number reads and throws away all rows before it; beyond this many the cursor, which reads none, is the way
DEEPEST_ROW = 10_000
ALL = "all"


class StrictBooleanField(serializers.BooleanField):
    """`true` or `false`, nothing that merely looks like it."""

    def to_internal_value(self, data: Any) -> bool:
        if data not in ("true", "false", True, False):
            self.fail("invalid", input=data)
        return data in ("true", True)


class NumberField(serializers.FloatField):
    """A finite number: NaN and infinity pass every comparison or none."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool):
            self.fail("invalid")
        try:
            number = super().to_internal_value(data)
        except OverflowError:
            self.fail("invalid")
        if not math.isfinite(number):
            self.fail("invalid")
        return number


class StrictSerializer(serializers.Serializer):
    """Refuses what it does not know: a misspelt filter would otherwise quietly return everything."""

    def to_internal_value(self, data: Any) -> Any:
        if hasattr(data, "keys") and (unknown := sorted(set(data) - set(self.fields) - {"format"})):
            known = ", ".join(self.fields)
            raise serializers.ValidationError({name: f"There is no such parameter. Known: {known}." for name in unknown})
        return super().to_internal_value(data)


class PageQuery(StrictSerializer):
    """What every kind knows."""

    page = serializers.IntegerField(
        min_value=1,
        max_value=DEEPEST_ROW,
        default=1,
        help_text=f"Page number. Pages that end beyond row {DEEPEST_ROW:,} are refused: follow `pagination.next_cursor` there.",
    )
    page_size = serializers.IntegerField(min_value=1, max_value=LARGEST_SIZE, default=DEFAULT_SIZE)
    cursor = CleanCharField(
        required=False,
        max_length=600,
        help_text="`pagination.next_cursor` of the page before, with the same filters; instead of `page`. Stays with the run it began in.",
    )
    include_details = StrictBooleanField(default=True, help_text="false leaves out reasons, importance and analysis.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs.get("cursor") and attrs["page"] != 1:
            raise serializers.ValidationError({"page": "Send page or cursor, not both."})
        return attrs


def _threshold(meaning: str) -> NumberField:
    return NumberField(required=False, min_value=0.0, max_value=1.0, help_text=f"{meaning} Left out: the operator's setting.")


def _choice(names: Any, meaning: str, default: str) -> serializers.ChoiceField:
    return serializers.ChoiceField(list(names), default=default, help_text=meaning)


class ChurnQuery(PageQuery):
    threshold = _threshold("From this probability on the label is Churn; confidence is counted from it.")
    risk_level = _choice([*advice.RISK_LEVELS, ALL], "Only players of this level.", ALL)
    sort_by = _choice(["probability", "priority_score", "user_value", "user_id"], "Largest first; user_id ascending.", "probability")


class ValueQuery(PageQuery):
    segment = _choice([*advice.VALUE_SEGMENTS, ALL], "Only players of this value segment.", ALL)
    min_ltv = NumberField(required=False, min_value=-1e15, max_value=1e15, help_text="Only players with at least this predicted value.")
    currency = serializers.RegexField(r"^[A-Z]{3}\Z", required=False, help_text="Only players of this currency (ISO 4217).")
    sort_by = _choice(["predicted_ltv", "churn_adjusted_ltv", "user_id"], "Largest first; user_id ascending.", "predicted_ltv")


class FraudQuery(PageQuery):
    threshold = _threshold("Above this score the label is Fraud.")
    label = _choice(["fraud", "not_fraud", ALL], "Only players with this label, at the threshold.", ALL)  # type: ignore[assignment] # a parameter of that name
    min_score = NumberField(required=False, min_value=0.0, max_value=1.0, help_text="Only players with at least this score.")
    sort_by = _choice(["fraud_score", "anomaly_score", "user_id"], "Largest first; user_id ascending.", "fraud_score")


class SegmentQuery(PageQuery):
    segment = serializers.IntegerField(required=False, min_value=0, max_value=99, help_text="Only players of this cluster.")
    rfm_segment = serializers.ChoiceField(list(advice.RFM_RECOMMENDATIONS), required=False, help_text="Only players of this named segment.")
    sort_by = _choice(["segment", "stability", "user_id"], "segment and user_id ascending, stability largest first.", "segment")


class EngagementQuery(PageQuery):
    threshold = _threshold("Above this score the prediction is Engaged.")
    engagement = _choice(["engaged", "not_engaged", ALL], "Only players with this prediction, at the threshold.", ALL)
    sort_by = _choice(["engagement_score", "predicted_decay", "user_id"], "Largest first; user_id ascending.", "engagement_score")


class PlayerQuery(StrictSerializer):
    """Of one player."""

    threshold = _threshold("As on the page of all players.")
    include_details = StrictBooleanField(default=True, help_text="false leaves out reasons, history and analysis.")
    hint = StrictBooleanField(
        default=False, help_text="Churn: look for a change that would bring the probability below the medium risk level."
    )


def checked(shape: type[serializers.Serializer], data: Any) -> dict[str, Any]:
    """The validated parameters. Raises ValidationError (400)."""
    query = shape(data=data)
    query.is_valid(raise_exception=True)
    return dict(query.validated_data)


def offset_of(values: dict[str, Any]) -> int:
    """Rows before the page. Raises a 400 that points to the cursor when they are too many to be thrown away."""
    if values["page"] * values["page_size"] > DEEPEST_ROW:
        raise too_deep()
    return (values["page"] - 1) * values["page_size"]


def too_deep() -> Problem:
    return field_problem(
        "page",
        f"page times page_size passes {DEEPEST_ROW:,} rows",
        "Use the cursor: send pagination.next_cursor of the page before as cursor; it is as fast on the last page as on the first.",
    )
