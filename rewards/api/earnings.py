"""What a player earned by play on a day, rule by rule."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from loyalty_site.common.clock import utc_now
from players.models import Player
from rewards.earning import explain_day
from rewards.models import EarningRule
from rewards.models.earning import EXACT_POINTS

_STAKE: dict[str, Any] = {"max_digits": 20, "decimal_places": 4}


class EarningsQuerySerializer(serializers.Serializer):
    day = serializers.DateField(help_text="A UTC day that is over.")

    def to_internal_value(self, data: Any) -> Any:
        if unknown := sorted(set(data) - set(self.fields) - {"format"}):
            raise serializers.ValidationError({name: "There is no such parameter. Known: day." for name in unknown})
        return super().to_internal_value(data)


class EarningLineSerializer(serializers.Serializer):
    """What one rule gave: stake x rate (weight included) x multiplier where the rule uses it, then the caps."""

    rule_id = serializers.IntegerField(source="rule.pk")
    rule = serializers.CharField(source="rule.name")
    scope = serializers.ChoiceField(EarningRule.Scope.choices, source="rule.scope")
    key = serializers.CharField(source="rule.key", allow_blank=True)
    unit = serializers.ChoiceField(EarningRule.Unit.choices)
    plays = serializers.IntegerField(source="events", help_text="0: the day came without single plays.")
    stake = serializers.DecimalField(**_STAKE, help_text="What counted of the stakes.")
    rate = serializers.DecimalField(max_digits=24, decimal_places=9, help_text="Points per unit staked, weight included.")
    uses_tier_multiplier = serializers.BooleanField(source="rule.uses_tier_multiplier")
    uncapped = serializers.DecimalField(**EXACT_POINTS)
    points = serializers.DecimalField(**EXACT_POINTS)


class EarningsSerializer(serializers.Serializer):
    """Points are exact; the wallet holds the whole hundredths of their sum over all days. A day without points may not be reckoned yet:
    then `reckoned_at` is null."""

    player_id = serializers.CharField()
    day = serializers.DateField()
    stake = serializers.DecimalField(**_STAKE)
    bonus_stake = serializers.DecimalField(**_STAKE)
    multiplier = serializers.DecimalField(max_digits=6, decimal_places=3, help_text="Of the tier held when the day ended.")
    lp = serializers.DecimalField(**EXACT_POINTS)
    rp = serializers.DecimalField(**EXACT_POINTS)
    reckoned_at = serializers.DateTimeField(allow_null=True)
    lines = EarningLineSerializer(many=True)


_NOTHING: dict[str, Any] = {"stake": 0, "bonus_stake": 0, "multiplier": 1, "lp": 0, "rp": 0, "reckoned_at": None, "lines": []}
_LINE = {
    "rule_id": 3,
    "rule": "Slots",
    "scope": "category",
    "key": "slots",
    "unit": "LP",
    "plays": 42,
    "stake": "150.0000",
    "rate": "0.020000000",
    "uses_tier_multiplier": True,
    "uncapped": "4.5000000000000000",
    "points": "4.5000000000000000",
}


class EarningsView(generics.GenericAPIView):
    access = {"read": ("wallet:read", "rewards.view_earningrule")}
    queryset = Player.objects.all()
    lookup_field = "external_id"
    lookup_url_kwarg = "player_id"
    filter_backends: list[Any] = []
    pagination_class = None
    serializer_class = EarningsSerializer

    @extend_schema(
        parameters=[
            OpenApiParameter("player_id", str, OpenApiParameter.PATH, description="The operator's id of the player."),
            EarningsQuerySerializer,
        ],
        examples=[
            OpenApiExample(
                "a day at the slots",
                response_only=True,
                value={
                    "player_id": "P001",
                    "day": "2026-03-14",
                    "stake": "150.0000",
                    "bonus_stake": "0.0000",
                    "multiplier": "1.500",
                    "lp": "4.5000000000000000",
                    "rp": "0.0000000000000000",
                    "reckoned_at": "2026-03-15T02:00:00Z",
                    "lines": [_LINE],
                },
            )
        ],
    )
    def get(self, request: Request, player_id: str) -> Response:
        """What a player earned by play on a day, and by which rule."""
        query = EarningsQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        day = query.validated_data["day"]
        if day > utc_now().date():
            raise serializers.ValidationError({"day": "The day lies in the future."})
        player = self.get_object()
        found = explain_day(player.pk, day) or {"day": day, **_NOTHING}
        return Response(self.get_serializer({"player_id": player.external_id, **found}).data)
