"""Where a player stands in the tiers, over HTTP."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from loyalty_site.common.api.problems import Problem
from loyalty_site.common.clock import utc_now
from players.models import Player
from rewards.tiers.projection import tier_view
from rewards.tiers.qualification import Outcome

_POINTS: dict[str, Any] = {"max_digits": 16, "decimal_places": 2}


class TierNameSerializer(serializers.Serializer):
    name = serializers.CharField()
    rank = serializers.IntegerField(help_text="0 is the lowest tier.")
    earn_multiplier = serializers.DecimalField(max_digits=6, decimal_places=3)
    cashback_multiplier = serializers.DecimalField(max_digits=6, decimal_places=3)
    benefits = serializers.ListField(child=serializers.CharField())
    color = serializers.CharField()


class TierStandingSerializer(serializers.Serializer):
    player_id = serializers.CharField()
    as_of = serializers.DateTimeField()
    tier = TierNameSerializer(allow_null=True, help_text="The tier the player has.")
    rule_tier = serializers.CharField(
        source="rule_tier.name", default=None, allow_null=True, help_text="The tier by the rules; another one while an override holds."
    )
    since = serializers.DateTimeField(allow_null=True, help_text="When the rules gave the tier.")
    valid_until = serializers.DateTimeField(allow_null=True, help_text="The review: the period that ends here decides.")
    override_until = serializers.DateTimeField(allow_null=True)
    frozen = serializers.CharField(allow_blank=True, help_text="EXCLUDED, SUSPENDED or CLOSED: no tier moves. Empty otherwise.")
    metric = serializers.DecimalField(**_POINTS, help_text="Qualifying points of the running window, net of reversals.")
    window_from = serializers.DateField(help_text="First day of the running window, in the programme's zone.")
    next_tier = serializers.CharField(source="next_tier.name", default=None, allow_null=True)
    to_next = serializers.DecimalField(**_POINTS, allow_null=True, help_text="Points to the next tier; null at the top.")
    next_needs_clearance = serializers.BooleanField(help_text="The next tier is for high-value players, and no clearance is in force.")
    waiting_for_clearance = serializers.CharField(source="waiting_for.name", default=None, allow_null=True)
    next_review_at = serializers.DateTimeField(allow_null=True, help_text="End of the grace, or else the review.")
    days_left = serializers.IntegerField(allow_null=True, help_text="Days to the next review.")
    may_be_told = serializers.BooleanField(
        help_text="False under an exclusion, a cool-off or a harm flag: no message may say that the tier could be lost, and the fields "
        "that would say it are null."
    )
    review_metric = serializers.DecimalField(**_POINTS, allow_null=True, help_text="Points so far in the period of the next review.")
    to_keep = serializers.DecimalField(**_POINTS, allow_null=True, help_text="Points still needed to keep the tier.")
    in_grace = serializers.BooleanField(allow_null=True)
    grace_until = serializers.DateTimeField(allow_null=True)
    projected_outcome = serializers.ChoiceField(choices=[one.value for one in Outcome], allow_null=True)
    projected_tier = serializers.CharField(allow_null=True, help_text="After the next review, at the pace of the last 30 days.")
    keep_text = serializers.CharField(allow_blank=True, help_text="What the player may be told about keeping the tier.")


# what says, or lets one work out, that the tier could be lost
LOSS_FIELDS = (
    "valid_until", "next_review_at", "days_left", "review_metric", "to_keep", "in_grace", "grace_until", "projected_outcome",
    "projected_tier",
)  # fmt: skip


class PlayerTierView(generics.GenericAPIView):
    access = {"read": ("players:read", "players.view_playertier")}
    queryset = Player.objects.all()
    lookup_field = "external_id"
    lookup_url_kwarg = "player_id"
    filter_backends: list[Any] = []
    pagination_class = None
    serializer_class = TierStandingSerializer

    @extend_schema(
        parameters=[OpenApiParameter("player_id", str, OpenApiParameter.PATH, description="The operator's id of the player.")],
        examples=[
            OpenApiExample(
                "Gold, in the middle of a quarter",
                response_only=True,
                value={
                    "player_id": "P001",
                    "as_of": "2026-05-31T12:00:00Z",
                    "tier": {
                        "name": "Gold",
                        "rank": 2,
                        "earn_multiplier": "1.250",
                        "cashback_multiplier": "1.250",
                        "benefits": ["25 % more loyalty points"],
                        "color": "#ca8a04",
                    },
                    "rule_tier": "Gold",
                    "since": "2026-02-09T08:00:00Z",
                    "valid_until": "2026-07-01T00:00:00Z",
                    "override_until": None,
                    "frozen": "",
                    "metric": "5500.00",
                    "window_from": "2026-04-01",
                    "next_tier": "Platinum",
                    "to_next": "44500.00",
                    "next_needs_clearance": True,
                    "waiting_for_clearance": None,
                    "next_review_at": "2026-07-01T00:00:00Z",
                    "days_left": 31,
                    "may_be_told": True,
                    "review_metric": "5500.00",
                    "to_keep": "2500.00",
                    "in_grace": False,
                    "grace_until": None,
                    "projected_outcome": "KEEPS",
                    "projected_tier": "Gold",
                    "keep_text": "2,500 points before 2026-07-01 00:00 UTC keep Gold.",
                },
            )
        ],
    )
    def get(self, request: Request, player_id: str) -> Response:
        """A player's tier: what it rests on, what is missing to the next one and to keep it, and what the next review would do."""
        player = self.get_object()
        view = tier_view(player.pk, utc_now())
        if view is None:
            raise Problem(409, "no-tiers", "There are no tiers", "The loyalty ladder is empty; create tiers first.")
        shown = {name: getattr(view, name) for name in view.__dataclass_fields__}
        shown |= {
            "player_id": player.external_id,
            "in_grace": view.in_grace,
            "projected_outcome": view.outcome.value,
            "projected_tier": view.projected.name if view.projected else None,
        }
        if not view.may_be_told:
            shown |= dict.fromkeys(LOSS_FIELDS)
        return Response(self.get_serializer(shown).data)
