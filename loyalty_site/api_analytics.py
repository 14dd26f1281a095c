"""Figures of the whole programme over HTTP. They are those of the start page."""

from datetime import timedelta
from typing import Any

from constance import config
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from loyalty_site import figures
from loyalty_site.common.clock import utc_now
from rewards.api.serializers import DecisionSerializer
from rewards.api.views import DecisionViewSet
from wallet.api.views import EntriesView

_AMOUNT: dict[str, Any] = {"max_digits": 24, "decimal_places": 4}


class DaySerializer(serializers.Serializer):
    day = serializers.DateField()
    active_players = serializers.IntegerField()
    deposits = serializers.DecimalField(**_AMOUNT)
    net_deposits = serializers.DecimalField(**_AMOUNT)
    stake = serializers.DecimalField(**_AMOUNT)
    ggr = serializers.DecimalField(**_AMOUNT, help_text="Stake minus payout.")


class DashboardSerializer(serializers.Serializer):
    """The programme in one currency."""

    currency = serializers.CharField()
    players = serializers.IntegerField()
    segments = serializers.DictField(child=serializers.IntegerField())
    tiers = serializers.DictField(child=serializers.IntegerField())
    inactivity = serializers.DictField(child=serializers.IntegerField(), help_text="Players by days since their last play.")
    rewards_by_status = serializers.DictField(child=serializers.IntegerField(), help_text="Proposed in the days asked for.")
    pending_rewards = serializers.IntegerField()
    pending_reward_sum = serializers.DecimalField(**_AMOUNT)
    open_reviews = serializers.IntegerField()
    quarantined_rows = serializers.IntegerField()
    failed_runs = serializers.IntegerField()
    expiring_bonuses = serializers.IntegerField()
    days = DaySerializer(many=True)


class DashboardView(APIView):
    access = {"read": ("analytics:read", "players.view_playermetrics")}

    @extend_schema(
        parameters=[
            OpenApiParameter("currency", {"type": "string", "pattern": "^[A-Z]{3}$"}, description="ISO 4217; left out: the base currency."),
            OpenApiParameter("days", {"type": "integer", "minimum": 1, "maximum": 366, "default": 30}, description="How many days back."),
        ],
        responses=DashboardSerializer,
    )
    def get(self, request: Request) -> Response:
        """Dashboard figures."""
        query = request.query_params
        checks: dict[str, serializers.Field] = {
            "days": serializers.IntegerField(min_value=1, max_value=366),
            "currency": serializers.RegexField(r"^[A-Z]{3}\Z"),
        }
        values: dict[str, Any] = {"days": 30, "currency": config.BASE_CURRENCY}
        for name in checks.keys() & query.keys():
            try:
                values[name] = checks[name].run_validation(query[name])
            except serializers.ValidationError as error:
                raise serializers.ValidationError({name: error.detail}) from error
        now = utc_now()
        last = now.date()
        first = last - timedelta(days=values["days"] - 1)
        currency = values["currency"]
        population = figures.population(currency, last)
        work = figures.workload(currency, now)
        statuses: dict[str, int] = {}
        for by_status in figures.rewards_by_status(currency, first, last).values():
            for status, count in by_status.items():
                statuses[status] = statuses.get(status, 0) + count
        days = [{"day": day, **vars_of(totals)} for day, totals in sorted(figures.day_totals(currency, first, last).items())]
        body = {
            "currency": currency,
            "players": population.players,
            "segments": population.segments,
            "tiers": {name: count for name, _, count in population.tiers},
            "inactivity": dict(population.inactivity),
            "rewards_by_status": statuses,
            "pending_rewards": work.pending_rewards,
            "pending_reward_sum": work.pending_reward_sum,
            "open_reviews": work.open_reviews,
            "quarantined_rows": work.quarantined_rows,
            "failed_runs": work.failed_runs,
            "expiring_bonuses": work.expiring_bonuses,
            "days": days,
        }
        return Response(DashboardSerializer(body).data)


def vars_of(totals: figures.DayTotals) -> dict[str, Any]:
    return {name: getattr(totals, name) for name in ("active_players", "deposits", "net_deposits", "stake", "ggr")}


class RewardHistorySerializer(DecisionSerializer):
    """A reward and what became of it, without the verdicts: they tell who is excluded or flagged for harm."""

    verdicts = None  # type: ignore[assignment] # how DRF takes away an inherited field

    class Meta(DecisionSerializer.Meta):
        fields = [name for name in DecisionSerializer.Meta.fields if name != "verdicts"]


class RewardHistoryViewSet(DecisionViewSet):
    """Reward history: the decisions, for those who read analytics."""

    serializer_class = RewardHistorySerializer
    access = {"read": ("analytics:read", "rewards.view_rewarddecision")}


class TransactionsView(EntriesView):
    """Transaction history: the ledger, for those who read analytics."""

    access = {"read": ("analytics:read", "wallet.view_entry")}
