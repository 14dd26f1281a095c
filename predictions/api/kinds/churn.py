"""Churn pages: who is about to leave, what leaves with him, and what to do."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import Avg, Count, F, FloatField, Max, Q, QuerySet, Sum
from django.db.models.functions import Cast, Greatest

from predictions.api import query, shapes
from predictions.api.bands import Above
from predictions.api.paging import BY_PLAYER, Sort
from predictions.ml import advice
from predictions.models import Kind

from .base import Context, Prediction, amount, in_bounds, probability, recommended, who

INTERVAL_LEVEL = 0.9


def groups(limits: advice.Thresholds) -> dict[str, Q]:
    """Who belongs to each of `advice.CHURN_GROUPS`: players are counted where their own recommendation sends them."""
    risky = Q(probability__gte=limits.risk_high, value__lte=limits.value_high)
    worthless = Q(value__lt=advice.worthless_below(limits))
    no_contact = risky & worthless
    win_back = risky & ~worthless & Q(idle_days__gt=advice.WIN_BACK_AFTER_DAYS)
    certain, contacted = Q(probability__gte=advice.BUSINESS_FROM), ~no_contact & ~win_back
    return {
        "urgent_action": certain & Q(value__gt=limits.value_high),
        "retention_campaign": certain & contacted,
        "engagement_boost": Q(probability__gte=advice.BOOST_FROM, probability__lt=advice.BUSINESS_FROM) & contacted,
        "win_back": win_back,
        "no_contact": no_contact,
    }


class Churn(Prediction):
    kind = Kind.CHURN
    prediction_type = "churn_prediction"
    query = query.ChurnQuery
    threshold = "churn"
    shape = shapes.ChurnResultSerializer
    summary_shape = shapes.ChurnSummarySerializer
    sorts = {
        "probability": Sort("probability"),
        "priority_score": Sort("priority"),
        "user_value": Sort("value"),
        "user_id": BY_PLAYER,
    }

    def where(self, context: Context) -> Q:
        level = context.values["risk_level"]
        if level == query.ALL:
            return Q()
        start, end = advice.risk_bounds(level, context.limits)
        found = in_bounds("probability", (start, end))
        # lets the order by priority begin where the level does, instead of skipping all that stands above it
        if context.values["sort_by"] == "priority_score" and (highest := context.totals["highest_priority"][level]) is not None:
            found &= Q(priority__lte=highest)
        return found

    def totals(self, rows: QuerySet[Any], context: Context) -> dict[str, Any]:
        limits = context.limits
        loss = Greatest(F("probability") * Cast("value", FloatField()), 0.0)
        where = groups(limits)
        sums: dict[str, Any] = {
            level: Count("pk", filter=in_bounds("probability", advice.risk_bounds(level, limits))) for level in advice.RISK_LEVELS
        }
        sums |= {
            f"{level}_priority": Max("priority", filter=in_bounds("probability", advice.risk_bounds(level, limits)))
            for level in advice.RISK_LEVELS
        }
        sums |= {f"{name}_users": Count("pk", filter=condition) for name, condition in where.items()}
        sums |= {f"{name}_loss": Sum(loss, filter=condition, default=0.0) for name, condition in where.items()}
        found = rows.values(currency=F("player__currency")).annotate(
            users=Count("pk"),
            mean=Avg("probability"),
            worth=Sum("value"),
            loss=Sum(loss),
            **sums,
        )
        totals: dict[str, Any] = {
            "users": 0,
            "expected": 0.0,
            "risk": dict.fromkeys(advice.RISK_LEVELS, 0),
            "highest_priority": dict.fromkeys(advice.RISK_LEVELS),
            "money": {},
            "groups": {},
        }
        for row in found:
            totals["users"] += row["users"]
            totals["expected"] += row["mean"] * row["users"]
            for level in advice.RISK_LEVELS:
                totals["risk"][level] += row[level]
                known = [one for one in (totals["highest_priority"][level], row[f"{level}_priority"]) if one is not None]
                totals["highest_priority"][level] = max(known, default=None)
            totals["money"][row["currency"]] = {"user_value": amount(row["worth"]), "expected_loss": amount(row["loss"])}
            totals["groups"][row["currency"]] = {name: [row[f"{name}_users"], row[f"{name}_loss"]] for name in where}
        return totals

    def at_threshold(self, above: Above, totals: Mapping[str, Any], bound: float) -> dict[str, Any]:
        return {"churning": above.count(bound, inclusive=True)}

    def known_count(self, context: Context) -> int | None:
        level = context.values["risk_level"]
        return None if level == query.ALL else int(context.totals["risk"][level])

    def results(self, rows: Sequence[Any], context: Context) -> list[dict[str, Any]]:
        return [self._result(row, context) for row in rows]

    def _result(self, row: Any, context: Context) -> dict[str, Any]:
        bound, limits, value = self.bound(context), context.limits, float(row.value)
        answer = {
            **who(row),
            "churn_probability": probability(row.probability),
            "churn_label": advice.churn_label(row.probability, bound),
            "confidence": advice.churn_confidence(row.probability, bound),
            "probability_interval": {"min": probability(row.lower), "max": probability(row.upper), "level": INTERVAL_LEVEL},
            "priority_score": probability(row.priority),
            "risk_level": advice.risk_level(row.probability, limits),
            "retention_recommendation": context.advised(
                row, advice.retention_recommendation(row.probability, value, row.idle_days, limits)
            ),
            "estimated_impact": amount(advice.estimated_impact(row.probability, value)),
            "user_value": amount(value),
            "currency": row.player.currency,
            "days_since_last_activity": row.idle_days,
            "threshold_used": bound,
        }
        return {**answer, **self.reasons(row, context)} if context.details else answer

    def summary(self, context: Context) -> dict[str, Any]:
        totals = context.totals
        users = totals["users"]
        return {
            "total_users": users,
            "predicted_churners": totals["churning"],
            "expected_churners": round(totals["expected"], 1),
            "average_churn_probability": probability(totals["expected"] / users) if users else None,
            "risk_levels": totals["risk"],
            "value_at_risk": totals["money"],
            "business_recommendations": recommended(advice.churn_recommendations, totals["groups"], context.base_currency),
        }
