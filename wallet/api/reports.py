"""Finance reports over HTTP: the liability of points and bonuses, and the roll-forward. The figures are those of the back-office."""

from datetime import datetime, timedelta
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from loyalty_site.common.api.fields import EventTimeField
from loyalty_site.common.api.problems import field_problem
from loyalty_site.common.clock import utc_now
from wallet.errors import InvalidPosting
from wallet.points.liability import BUCKETS, OWN, PRIOR, UNITS, liability_report
from wallet.points.roll_forward import LINES, roll_forward

from .views import wallet_problem

_ACCESS = {"read": ("finance:read", "wallet.view_liability")}
_AMOUNT: dict[str, Any] = {"max_digits": 24, "decimal_places": 4}
_SHARE: dict[str, Any] = {"max_digits": 7, "decimal_places": 6}
_PERIOD = timedelta(days=30)


class _QuerySerializer(serializers.Serializer):
    unit = serializers.ChoiceField(list(UNITS), required=False, default=UNITS[0])

    def to_internal_value(self, data: Any) -> Any:
        if unknown := sorted(set(data) - set(self.fields) - {"format"}):
            known = ", ".join(self.fields)
            raise serializers.ValidationError({name: f"There is no such parameter. Known: {known}." for name in unknown})
        return super().to_internal_value(data)


class LiabilityQuerySerializer(_QuerySerializer):
    at = EventTimeField(required=False, help_text="Entries up to and including this instant; left out: now.")


class RollForwardQuerySerializer(_QuerySerializer):
    since = EventTimeField(required=False, help_text="First instant of the period; left out: 30 days before `until`.")
    until = EventTimeField(required=False, help_text="End of the period, not included; left out: now.")


class CohortSerializer(serializers.Serializer):
    """Points credited in one month. earned + other + spent + expired + reversed = remaining."""

    month = serializers.DateField(help_text="First day of the month of earning.")
    earned = serializers.DecimalField(**_AMOUNT)
    other = serializers.DecimalField(**_AMOUNT, help_text="Bought, adjusted by staff, reinstated, lent or paid back as debt.")
    spent = serializers.DecimalField(**_AMOUNT)
    expired = serializers.DecimalField(**_AMOUNT)
    reversed = serializers.DecimalField(**_AMOUNT)
    remaining = serializers.DecimalField(**_AMOUNT)
    matured = serializers.DecimalField(**_SHARE, help_text="Share of the month's credits whose end has come.")
    breakage = serializers.DecimalField(**_SHARE, help_text="Share of what remains that is expected never to be used.")
    source = serializers.ChoiceField([OWN, PRIOR], help_text="Where the breakage is from: own history, or the points policy.")  # type: ignore[assignment] # a field of the answer
    liability = serializers.DecimalField(**_AMOUNT)


class BucketSerializer(serializers.Serializer):
    code = serializers.ChoiceField([code for code, _ in BUCKETS], help_text="Days until the end; ended: not swept yet.")
    remaining = serializers.DecimalField(**_AMOUNT)
    liability = serializers.DecimalField(**_AMOUNT)


class MoneySerializer(serializers.Serializer):
    currency = serializers.CharField()
    holders = serializers.IntegerField()
    amount = serializers.DecimalField(**_AMOUNT)


class LiabilitySerializer(serializers.Serializer):
    unit = serializers.ChoiceField(list(UNITS))
    at = serializers.DateTimeField()
    currency = serializers.CharField(help_text="Of all money amounts but those of `money`.")
    cost_per_point = serializers.DecimalField(max_digits=12, decimal_places=6)
    prior = serializers.DecimalField(**_SHARE, help_text="Breakage of the points policy, for months without enough history.")
    remaining = serializers.DecimalField(**_AMOUNT)
    on_accounts = serializers.DecimalField(**_AMOUNT, help_text="Sum of all entries; equal to `remaining`, or the books are broken.")
    face_value = serializers.DecimalField(**_AMOUNT, help_text="remaining x cost_per_point.")
    liability = serializers.DecimalField(**_AMOUNT, help_text="Sum of the months, each rounded to the minor unit of the currency.")
    cohorts = CohortSerializer(many=True)
    buckets = BucketSerializer(many=True)
    money = MoneySerializer(many=True, help_text="Bonus money that players hold, at face value.")


class LineSerializer(serializers.Serializer):
    code = serializers.ChoiceField(list(LINES))
    label = serializers.CharField()  # type: ignore[assignment] # a field of the answer
    amount = serializers.DecimalField(**_AMOUNT, help_text="Signed: positive to the players.")
    entries = serializers.IntegerField()


class RollForwardSerializer(serializers.Serializer):
    """opening + all lines = closing, exactly."""

    unit = serializers.ChoiceField(list(UNITS))
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    opening = serializers.DecimalField(**_AMOUNT)
    lines = LineSerializer(many=True)
    closing = serializers.DecimalField(**_AMOUNT)


_COHORT = {
    "month": "2026-01-01",
    "earned": "1000.0000",
    "other": "0.0000",
    "spent": "-450.0000",
    "expired": "-150.0000",
    "reversed": "0.0000",
    "remaining": "400.0000",
    "matured": "0.600000",
    "breakage": "0.250000",
    "source": "own",
    "liability": "3.0000",
}
_LIABILITY = {
    "unit": "RP",
    "at": "2026-02-03T00:00:00Z",
    "currency": "EUR",
    "cost_per_point": "0.010000",
    "prior": "0.100000",
    "remaining": "400.0000",
    "on_accounts": "400.0000",
    "face_value": "4.0000",
    "liability": "3.0000",
    "cohorts": [_COHORT],
    "buckets": [{"code": "never", "remaining": "400.0000", "liability": "3.0000"}],
    "money": [{"currency": "EUR", "holders": 12, "amount": "340.5000"}],
}
_LINE = {"code": "earned", "label": "Earned", "amount": "500.0000", "entries": 3}


class LiabilityView(APIView):
    access = _ACCESS

    @extend_schema(
        parameters=[LiabilityQuerySerializer],
        responses=LiabilitySerializer,
        examples=[OpenApiExample("one month", response_only=True, value=_LIABILITY)],
    )
    def get(self, request: Request) -> Response:
        """What the points of a unit will cost as of an instant, by month of earning, less breakage; and bonus money held."""
        query = LiabilityQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        values = query.validated_data
        try:
            report = liability_report(values.get("at") or utc_now(), values["unit"])
        except InvalidPosting as error:
            raise wallet_problem(error) from error
        return Response(LiabilitySerializer(report).data)


class RollForwardView(APIView):
    access = _ACCESS

    @extend_schema(
        parameters=[RollForwardQuerySerializer],
        responses=RollForwardSerializer,
        examples=[
            OpenApiExample(
                "a month",
                response_only=True,
                value={
                    "unit": "RP",
                    "since": "2026-02-01T00:00:00Z",
                    "until": "2026-03-01T00:00:00Z",
                    "opening": "1000.0000",
                    "lines": [_LINE],
                    "closing": "1500.0000",
                },
            )
        ],
    )
    def get(self, request: Request) -> Response:
        """What came and went of a unit in a period, by cause, from the entries."""
        query = RollForwardQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        values = query.validated_data
        until: datetime = values.get("until") or utc_now()
        since: datetime = values.get("since") or until - _PERIOD
        if since >= until:
            raise field_problem("since", "since must lie before until", "Send an earlier since, or a later until.")
        try:
            report = roll_forward(values["unit"], since, until)
        except InvalidPosting as error:
            raise wallet_problem(error) from error
        return Response(RollForwardSerializer(report).data)
