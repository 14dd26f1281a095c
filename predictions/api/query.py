"""Parameters of prediction pages: each is checked, each unknown one is refused, what is left out has a documented default."""

import math
import re
from typing import Any

from django.http import QueryDict
from rest_framework import serializers

from loyalty_site.common.api.fields import CleanCharField
from loyalty_site.common.api.problems import Problem, field_problem
from predictions.ml import advice

DEFAULT_SIZE, LARGEST_SIZE = 50, 100
# a page number reads and throws away all rows before it; beyond this many the cursor, which reads none, is the way
DEEPEST_ROW = 10_000
ALL = "all"
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_DECIMAL = re.compile(r"-?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


class StrictBooleanField(serializers.BooleanField):
    """`true` or `false`, nothing that merely looks like it."""

    def to_internal_value(self, data: Any) -> bool:
        if data not in ("true", "false", True, False):
            self.fail("invalid", input=data)
        return data in ("true", True)


class NumberField(serializers.FloatField):
    """A finite JSON number: text is refused, and so are NaN and infinity, which pass every comparison or none."""

    default_error_messages = {"not_a_number": "Send a JSON number, not a text."}

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, str):
            self.fail("not_a_number")
        if isinstance(data, bool):
            self.fail("invalid")
        try:
            number = super().to_internal_value(data)
        except OverflowError:
            self.fail("invalid")
        if not math.isfinite(number):
            self.fail("invalid")
        return number


class NumberParameter(NumberField):
    """A finite number of a query string, in ASCII: `float` alone would take 1_0 and the digits of every script."""

    def to_internal_value(self, data: Any) -> float:
        if not _DECIMAL.fullmatch(data):
            self.fail("invalid")
        return super().to_internal_value(float(data))


class WholeNumberParameter(serializers.IntegerField):
    """A whole number of a query string, in ASCII digits alone."""

    def to_internal_value(self, data: Any) -> int:
        if not _WHOLE.fullmatch(data):
            self.fail("invalid")
        return int(data)


class CurrencyField(serializers.RegexField):
    """A code of ISO 4217 as it is written: nothing is trimmed, not even the end of a line."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(r"^[A-Z]{3}\Z", trim_whitespace=False, **kwargs)


class StrictSerializer(serializers.Serializer):
    """Refuses what it does not know: a misspelt name would otherwise quietly change nothing."""

    accepted: frozenset[str] = frozenset()  # beside the fields

    def to_internal_value(self, data: Any) -> Any:
        if hasattr(data, "keys") and (unknown := sorted(set(data) - set(self.fields) - self.accepted)):
            known = ", ".join(self.fields) or "none"
            raise serializers.ValidationError({name: [_unknown(known)] for name in unknown})
        return super().to_internal_value(data)


def _unknown(known: str) -> serializers.ErrorDetail:
    return serializers.ErrorDetail(f"There is no such parameter. Known: {known}.", code="unknown")


class Query(StrictSerializer):
    """Parameters of a query string; without fields: of an endpoint that has none. `format` is the framework's own."""

    accepted = frozenset({"format"})


class PageQuery(Query):
    """What every kind knows."""

    page = WholeNumberParameter(
        min_value=1,
        max_value=DEEPEST_ROW,
        default=1,
        help_text=f"Page number. Pages that end beyond row {DEEPEST_ROW:,} are refused: follow `pagination.next_cursor` there.",
    )
    page_size = WholeNumberParameter(min_value=1, max_value=LARGEST_SIZE, default=DEFAULT_SIZE)
    cursor = CleanCharField(
        required=False,
        trim_whitespace=False,
        max_length=600,
        help_text="`pagination.next_cursor` of the page before, with the same filters; instead of `page`. Stays with the run it began in.",
    )
    include_details = StrictBooleanField(default=True, help_text="false leaves out reasons, importance and analysis.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs.get("cursor") and attrs["page"] != 1:
            raise serializers.ValidationError({"page": "Send page or cursor, not both."})
        return attrs


def _threshold(meaning: str) -> NumberParameter:
    return NumberParameter(required=False, min_value=0.0, max_value=1.0, help_text=f"{meaning} Left out: the operator's setting.")


def _choice(names: Any, meaning: str, default: str) -> serializers.ChoiceField:
    return serializers.ChoiceField(list(names), default=default, help_text=meaning)


class ChurnQuery(PageQuery):
    threshold = _threshold("From this probability on the label is Churn; confidence is counted from it.")
    risk_level = _choice([*advice.RISK_LEVELS, ALL], "Only players of this level.", ALL)
    sort_by = _choice(["probability", "priority_score", "user_value", "user_id"], "Largest first; user_id ascending.", "probability")


class ValueQuery(PageQuery):
    segment = _choice([*advice.VALUE_SEGMENTS, ALL], "Only players of this value segment.", ALL)
    min_ltv = NumberParameter(required=False, min_value=-1e15, max_value=1e15, help_text="Only players with at least this predicted value.")
    currency = CurrencyField(required=False, help_text="Only players of this currency (ISO 4217).")
    sort_by = _choice(
        ["predicted_ltv", "churn_adjusted_ltv", "user_id"],
        "Largest first, players without the value last; user_id ascending.",
        "predicted_ltv",
    )


class FraudQuery(PageQuery):
    threshold = _threshold("Above this score the label is Fraud.")
    label = _choice(["fraud", "not_fraud", ALL], "Only players with this label, at the threshold.", ALL)  # type: ignore[assignment] # a parameter of that name
    min_score = NumberParameter(required=False, min_value=0.0, max_value=1.0, help_text="Only players with at least this score.")
    sort_by = _choice(["fraud_score", "anomaly_score", "user_id"], "Largest first; user_id ascending.", "fraud_score")


class SegmentQuery(PageQuery):
    segment = WholeNumberParameter(required=False, min_value=0, max_value=99, help_text="Only players of this cluster.")
    rfm_segment = serializers.ChoiceField(list(advice.RFM_RECOMMENDATIONS), required=False, help_text="Only players of this named segment.")
    sort_by = _choice(["segment", "stability", "user_id"], "segment and user_id ascending, stability largest first.", "segment")


class EngagementQuery(PageQuery):
    threshold = _threshold("Above this score the prediction is Engaged.")
    engagement = _choice(["engaged", "not_engaged", ALL], "Only players with this prediction, at the threshold.", ALL)
    sort_by = _choice(["engagement_score", "predicted_decay", "user_id"], "Largest first; user_id ascending.", "engagement_score")


class PlayerQuery(Query):
    """Of one player."""

    include_details = StrictBooleanField(default=True, help_text="false leaves out reasons, history and analysis.")


class ThresholdPlayerQuery(PlayerQuery):
    """Of one player, where labels are made at a threshold."""

    threshold = _threshold("As on the page of all players.")


class ChurnPlayerQuery(ThresholdPlayerQuery):
    """Of one player, who may leave."""

    hint = StrictBooleanField(default=False, help_text="Look for a change that would bring the probability below the medium risk level.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["hint"] and not attrs["include_details"]:
            raise serializers.ValidationError({"hint": "The hint is one of the details: leave include_details out, or hint."})
        return attrs


def player_query(threshold: str | None) -> type[PlayerQuery]:
    """The parameters of one player of a kind, by the threshold that the kind has (`Prediction.threshold`)."""
    if threshold is None:
        return PlayerQuery
    return ChurnPlayerQuery if threshold == "churn" else ThresholdPlayerQuery


def checked(shape: type[serializers.Serializer], data: QueryDict) -> dict[str, Any]:
    """The validated parameters. Raises ValidationError (400)."""
    require_once(data)
    query = shape(data=data)
    query.is_valid(raise_exception=True)
    return dict(query.validated_data)


def require_once(data: QueryDict) -> None:
    """Raises ValidationError (400) for parameters that stand twice, of which one would be ignored, or that are empty."""
    errors = {}
    for name, values in data.lists():
        if len(values) > 1:
            errors[name] = [serializers.ErrorDetail("The parameter stands more than once.", code="repeated")]
        elif not values[0]:
            errors[name] = [serializers.ErrorDetail("The parameter is empty.", code="empty_parameter")]
    if errors:
        raise serializers.ValidationError(errors)


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
