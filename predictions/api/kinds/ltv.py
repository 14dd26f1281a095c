"""Lifetime-value pages: what a player will bring, between which amounts, by which method."""

from collections.abc import Sequence
from typing import Any

from django.db.models import Avg, Count, Q, QuerySet, Sum

from loyalty_site.common.api.problems import field_problem
from predictions.api import query, shapes
from predictions.api.paging import BY_PLAYER, Sort
from predictions.api.told import outward
from predictions.ml import advice
from predictions.models import Kind

from .base import Context, Prediction, amount, in_bounds, probability, recommended, who

INTERVAL_LEVEL = 0.8


class Ltv(Prediction):
    kind = Kind.LTV
    prediction_type = "ltv_prediction"
    query = query.ValueQuery
    shape = shapes.ValueResultSerializer
    summary_shape = shapes.ValueSummarySerializer
    sorts = {"predicted_ltv": Sort("value"), "churn_adjusted_ltv": Sort("churn_adjusted", nullable=True), "user_id": BY_PLAYER}

    def where(self, context: Context) -> Q:
        values = context.values
        if values["sort_by"] == "churn_adjusted_ltv" and (reason := context.run.withheld.get(Kind.CHURN)):
            raise field_problem("sort_by", f"there is no churn-adjusted value in this run: {outward(reason)}", "Sort by predicted_ltv.")
        found = Q() if values["segment"] == query.ALL else in_bounds("value", advice.value_bounds(values["segment"], context.limits))
        if "min_ltv" in values:
            found &= Q(value__gte=values["min_ltv"])
        if "currency" in values:
            found &= Q(currency=values["currency"])
        return found

    def totals(self, rows: QuerySet[Any], context: Context) -> dict[str, Any]:
        segments = {name: in_bounds("value", advice.value_bounds(name, context.limits)) for name in advice.VALUE_SEGMENTS}
        sums: dict[str, Any] = {f"{name}_users": Count("pk", filter=condition) for name, condition in segments.items()}
        sums |= {f"{name}_value": Sum("value", filter=condition, default=0) for name, condition in segments.items()}
        found = rows.values("currency").annotate(
            users=Count("pk"), total=Sum("value"), adjusted=Sum("churn_adjusted"), coverage=Avg("confidence"), **sums
        )
        totals: dict[str, Any] = {
            "users": 0,
            "confidence": 0.0,
            "segments": dict.fromkeys(advice.VALUE_SEGMENTS, 0),
            "money": {},
            "groups": {},
        }
        for row in found:
            totals["users"] += row["users"]
            totals["confidence"] += row["coverage"] * row["users"]
            for name in advice.VALUE_SEGMENTS:
                totals["segments"][name] += row[f"{name}_users"]
            totals["money"][row["currency"]] = {
                "users": row["users"],
                "total_ltv": amount(row["total"]),
                "average_ltv": amount(row["total"] / row["users"]),
                "total_churn_adjusted_ltv": None if row["adjusted"] is None else amount(row["adjusted"]),
            }
            totals["groups"][row["currency"]] = {
                name: [row[f"{name}_users"], float(row[f"{name}_value"])] for name in advice.VALUE_SEGMENTS
            }
        return totals

    def known_count(self, context: Context) -> int | None:
        values = context.values
        if values["segment"] == query.ALL or {"min_ltv", "currency"} & values.keys():
            return None
        return int(context.totals["segments"][values["segment"]])

    def results(self, rows: Sequence[Any], context: Context) -> list[dict[str, Any]]:
        return [self._result(row, context) for row in rows]

    def _result(self, row: Any, context: Context) -> dict[str, Any]:
        value = float(row.value)
        answer = {
            **who(row),
            "predicted_ltv": amount(value),
            "prediction_confidence": probability(row.confidence),
            "churn_adjusted_ltv": None if row.churn_adjusted is None else amount(row.churn_adjusted),
            "ltv_confidence_interval": {"min": amount(row.p10), "max": amount(row.p90), "level": INTERVAL_LEVEL},
            "cross_sell_opportunity": context.advised(row, advice.cross_sell(value, context.limits)),
            "ltv_segment": advice.value_segment(value, context.limits),
            "median_ltv": amount(row.p50),
            "ltv_90_days": amount(row.value_90),
            "currency": row.currency,
        }
        if not context.details:
            return answer
        methods = {"boosted": amount(row.boosted), "probabilistic": None if row.probabilistic is None else amount(row.probabilistic)}
        return {
            **answer,
            "methods": methods,
            "probability_active": _active(row.alive),
            "expected_deposit_days": None if row.purchases is None else round(row.purchases, 2),
            **self.reasons(row, context),
        }

    def summary(self, context: Context) -> dict[str, Any]:
        totals = context.totals
        users = totals["users"]
        return {
            "total_users": users,
            "segments": totals["segments"],
            "value_by_currency": totals["money"],
            "interval_coverage": probability(totals["confidence"] / users) if users else None,
            "business_recommendations": recommended(advice.value_recommendations, totals["groups"], context.base_currency),
        }


def _active(alive: float | None) -> float | None:
    """Null also for 1, which is no certainty: BG/NBD says it, and only it, of players without a repeat deposit, however long ago."""
    return None if alive is None or alive == 1 else probability(alive)
