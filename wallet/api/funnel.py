"""The bonus funnel over HTTP. The figures are those of the page in the back-office."""

from dataclasses import asdict
from datetime import timedelta
from decimal import Decimal
from typing import Any

from constance import config
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from loyalty_site.common.clock import utc_now
from wallet.funnel import MEASURES, Funnel, FunnelError, Group, Line, Question, bonus_funnel

_DAYS = 30
_AMOUNT: dict[str, Any] = {"max_digits": 24, "decimal_places": 4}
_SHARE: dict[str, Any] = {"max_digits": 24, "decimal_places": 6, "allow_null": True}


class FunnelQuerySerializer(serializers.Serializer):
    first = serializers.DateField(required=False, help_text=f"First day (UTC); left out: {_DAYS} days up to `last`.")
    last = serializers.DateField(required=False, help_text="Last day (UTC), included; left out: today.")
    currency = serializers.RegexField(r"^[A-Z]{3}\Z", required=False, help_text="ISO 4217; left out: the base currency.")
    group = serializers.ChoiceField(Group.choices, required=False, default=str(Group.TEMPLATE), help_text="What a line stands for.")
    template = serializers.SlugField(required=False, max_length=60, help_text="Only bonuses of this template.")
    market = serializers.RegexField(r"^[A-Za-z0-9*_-]{1,10}\Z", required=False, help_text="Only players of this market.")
    segment = serializers.RegexField(r"^[A-Z]{1,20}\Z", required=False, help_text="Only players of this segment now.")


class CountSerializer(serializers.Serializer):
    bonuses = serializers.IntegerField()
    amount = serializers.DecimalField(**_AMOUNT)


class FunnelLineSerializer(serializers.Serializer):
    """How many bonuses, and their face value. `active` has what is left on them, `turned_real` and `free` what became cash."""

    key = serializers.CharField(allow_blank=True)
    label = serializers.CharField()  # type: ignore[assignment] # a field of the answer
    offered = CountSerializer()
    waiting = CountSerializer(help_text="Offered and not claimed yet.")
    queued = CountSerializer()
    activated = CountSerializer(help_text="Were ever active.")
    wagering_begun = CountSerializer()
    active = CountSerializer(help_text="Open now: active, wagering or paused.")
    completed = CountSerializer()
    expired_unclaimed = CountSerializer()
    expired = CountSerializer()
    forfeited = CountSerializer()
    lost = CountSerializer()
    voided = CountSerializer()
    reversed = CountSerializer()
    turned_real = CountSerializer(help_text="Became cash by wagering.")
    free = CountSerializer(help_text="Became cash with nothing to wager.")
    kept = CountSerializer(help_text="Kept by the house of completed bonuses: cap, sticky terms.")
    cost = serializers.DecimalField(**_AMOUNT, help_text="turned_real + free.")
    cost_share = serializers.DecimalField(**_SHARE, help_text="Cost in terms of the activated face value.")
    completion_rate = serializers.DecimalField(**_SHARE, help_text="Completed among the activated that have ended.")


class FunnelSerializer(serializers.Serializer):
    first = serializers.DateField()
    last = serializers.DateField()
    currency = serializers.CharField()
    group = serializers.ChoiceField(Group.choices)
    total = FunnelLineSerializer()
    lines = FunnelLineSerializer(many=True)
    ggr = serializers.DecimalField(**_AMOUNT, allow_null=True, help_text="Stakes less payouts of the players in the period.")
    ngr = serializers.DecimalField(**_AMOUNT, allow_null=True, help_text="GGR less cost.")
    cost_of_ngr = serializers.DecimalField(**_SHARE, help_text="null when NGR is unknown or not positive.")


_NO_COUNT = {"bonuses": 0, "amount": "0.0000"}
_EXAMPLE_LINE = {
    "key": "welcome",
    "label": "Welcome",
    **dict.fromkeys(MEASURES, _NO_COUNT),
    "offered": {"bonuses": 120, "amount": "12000.0000"},
    "activated": {"bonuses": 80, "amount": "8000.0000"},
    "completed": {"bonuses": 20, "amount": "2000.0000"},
    "turned_real": {"bonuses": 20, "amount": "2450.0000"},
    "cost": "2450.0000",
    "cost_share": "0.306250",
    "completion_rate": "0.312500",
}


class BonusFunnelView(APIView):
    access = {"read": ("analytics:read", "wallet.view_bonusgrant")}

    @extend_schema(
        parameters=[FunnelQuerySerializer],
        responses=FunnelSerializer,
        examples=[
            OpenApiExample(
                "a month of one template",
                response_only=True,
                value={
                    "first": "2026-03-01",
                    "last": "2026-03-31",
                    "currency": "EUR",
                    "group": "template",
                    "total": {**_EXAMPLE_LINE, "key": "", "label": "All"},
                    "lines": [_EXAMPLE_LINE],
                    "ggr": "41200.0000",
                    "ngr": "38750.0000",
                    "cost_of_ngr": "0.063226",
                },
            )
        ],
    )
    def get(self, request: Request) -> Response:
        """What became of the bonuses that were offered in a period, and what they cost."""
        asked = FunnelQuerySerializer(data=request.query_params)
        asked.is_valid(raise_exception=True)
        values = asked.validated_data
        last = values.get("last") or utc_now().date()
        try:
            first = values.get("first") or last - timedelta(days=_DAYS - 1)
            report = bonus_funnel(
                Question(
                    first=first,
                    last=last,
                    currency=values.get("currency") or config.BASE_CURRENCY,
                    group=Group(values["group"]),
                    **{name: values[name] for name in ("template", "market", "segment") if name in values},
                )
            )
        except OverflowError:
            raise serializers.ValidationError({"last": "The day is out of range; use days from 2000-01-01 to 2999-12-31."}) from None
        except FunnelError as error:
            raise serializers.ValidationError({"first": str(error)}) from error
        return Response(FunnelSerializer(_shape(report)).data)


def _shape(report: Funnel) -> dict[str, Any]:
    question = report.question
    return {
        "first": question.first,
        "last": question.last,
        "currency": question.currency,
        "group": question.group,
        "total": _line(report.total),
        "lines": [_line(line) for line in report.lines],
        "ggr": report.ggr,
        "ngr": report.ngr,
        "cost_of_ngr": _six(report.cost_of_ngr),
    }


def _line(line: Line) -> dict[str, Any]:
    return {**asdict(line), "cost": line.cost, "cost_share": _six(line.cost_share), "completion_rate": _six(line.completion_rate)}


def _six(share: Decimal | None) -> Decimal | None:
    return None if share is None else share.quantize(Decimal("0.000001"))
