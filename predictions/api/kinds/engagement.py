"""Engagement pages: who will be active within the next 7 days, which behaviour carries it, and how fast it fades."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import Avg, Count, Q, QuerySet

from predictions.api import query, shapes
from predictions.api.bands import Above
from predictions.api.paging import BY_PLAYER, Sort
from predictions.ml import advice
from predictions.models import Kind

from .base import Context, Prediction, probability, recommendation_in_json, who

INTERVAL_LEVEL = 0.9


class Engagement(Prediction):
    kind = Kind.ENGAGEMENT
    prediction_type = "engagement_prediction"
    query = query.EngagementQuery
    threshold = "engagement"
    shape = shapes.EngagementResultSerializer
    summary_shape = shapes.EngagementSummarySerializer
    extra_shapes = {
        "decay_analysis": lambda: shapes.DecaySerializer(many=True, required=False, help_text="Players of this page who are not engaged.")
    }
    sorts = {"engagement_score": Sort("probability"), "predicted_decay": Sort("decay"), "user_id": BY_PLAYER}

    def where(self, context: Context) -> Q:
        bound = self.bound(context)
        return {"engaged": Q(probability__gt=bound), "not_engaged": Q(probability__lte=bound), query.ALL: Q()}[context.values["engagement"]]

    def totals(self, rows: QuerySet[Any], context: Context) -> dict[str, Any]:
        return rows.aggregate(users=Count("pk"), mean=Avg("probability"), decay=Avg("decay"))

    def at_threshold(self, above: Above, totals: Mapping[str, Any], bound: float) -> dict[str, Any]:
        engaged = above.count(bound)
        return {"engaged": engaged, "not_engaged": totals["users"] - engaged}

    def known_count(self, context: Context) -> int | None:
        chosen = context.values["engagement"]
        return None if chosen == query.ALL else int(context.totals[chosen])

    def results(self, rows: Sequence[Any], context: Context) -> list[dict[str, Any]]:
        return [self._result(row, context) for row in rows]

    def _result(self, row: Any, context: Context) -> dict[str, Any]:
        bound, score = self.bound(context), row.probability
        answer = {
            **who(row),
            "engagement_prediction": advice.engagement_prediction(score, bound),
            "engagement_score": probability(score),
            "probability_interval": {"min": probability(row.lower), "max": probability(row.upper), "level": INTERVAL_LEVEL},
            "engagement_breakdown": {
                "logins": probability(row.logins),
                "deposits": probability(row.deposits),
                "gameplay": probability(row.gameplay),
            },
            "engagement_trigger": context.advised(row, advice.engagement_trigger(score, bound)),
            "campaign_eligibility": context.advised(row, advice.campaign_eligibility(score, bound)),
            "predicted_decay": probability(row.decay),
            "timeframe": advice.TIMEFRAME,
            "threshold_used": bound,
        }
        return {**answer, **self.reasons(row, context)} if context.details else answer

    def summary(self, context: Context) -> dict[str, Any]:
        totals = context.totals
        actions = advice.engagement_recommendations({name: advice.Sum(totals[name]) for name in ("engaged", "not_engaged")})
        return {
            "total_users": totals["users"],
            "engaged_users": totals["engaged"],
            "not_engaged_users": totals["not_engaged"],
            "average_engagement_score": None if totals["mean"] is None else probability(totals["mean"]),
            "average_weekly_decay": None if totals["decay"] is None else probability(totals["decay"]),
            "business_recommendations": [recommendation_in_json(one, context.base_currency, {}) for one in actions],
        }

    def extras(self, results: Sequence[dict[str, Any]], context: Context) -> dict[str, Any]:
        fields = ("user_id", "predicted_decay", "timeframe")
        return {
            "decay_analysis": [
                {name: one[name] for name in fields} for one in results if one["engagement_prediction"] == advice.NOT_ENGAGED
            ]
        }
