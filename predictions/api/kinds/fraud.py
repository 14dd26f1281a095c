"""Fraud pages: detectors and anomaly together, with what speaks for it. No page decides anything: a case is closed by a person."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import Avg, Count, Q, QuerySet

from predictions import hooks
from predictions.api import query, shapes
from predictions.api.bands import Above
from predictions.api.paging import BY_PLAYER, Sort
from predictions.ml import advice
from predictions.models import Kind

from .base import Context, Prediction, probability, recommendation_in_json, who


class Fraud(Prediction):
    kind = Kind.FRAUD
    prediction_type = "fraud_detection"
    query = query.FraudQuery
    threshold = "fraud"
    shape = shapes.FraudResultSerializer
    summary_shape = shapes.FraudSummarySerializer
    extra_shapes = {
        "alerts": lambda: shapes.AlertSerializer(many=True, required=False, help_text="Players of this page above the threshold.")
    }
    sorts = {"fraud_score": Sort("score"), "anomaly_score": Sort("anomaly"), "user_id": BY_PLAYER}

    def where(self, context: Context) -> Q:
        values, bound = context.values, self.bound(context)
        found = {"fraud": Q(score__gt=bound), "not_fraud": Q(score__lte=bound), query.ALL: Q()}[values["label"]]
        return found & Q(score__gte=values["min_score"]) if "min_score" in values else found

    def totals(self, rows: QuerySet[Any], context: Context) -> dict[str, Any]:
        return rows.aggregate(users=Count("pk"), mean=Avg("score"))

    def at_threshold(self, above: Above, totals: Mapping[str, Any], bound: float) -> dict[str, Any]:
        review = above.count(bound)
        return {
            "review": review,
            "watch": above.count(bound / 2) - review,
            "types": {advice.fraud_type_word(kind) or "None": users for kind, users in above.types(bound).items()},
        }

    def known_count(self, context: Context) -> int | None:
        label = context.values["label"]
        if label == query.ALL or "min_score" in context.values:
            return None
        review = int(context.totals["review"])
        return review if label == "fraud" else int(context.totals["users"]) - review

    def results(self, rows: Sequence[Any], context: Context) -> list[dict[str, Any]]:
        known = hooks.fraud_evidence([row.player_id for row in rows])
        return [self._result(row, known[row.player_id], context) for row in rows]

    def _result(self, row: Any, detail: hooks.FraudDetail, context: Context) -> dict[str, Any]:
        bound = self.bound(context)
        label = advice.fraud_label(row.score, bound)
        confidence, basis = advice.fraud_confidence(row.score, row.anomaly, row.detectors, (row.interval_low, row.interval_high), bound)
        strongest = {"type": advice.fraud_type_word(row.fraud_type), "severity_score": probability(row.severity)}
        is_fraud = label == advice.FRAUD
        answer = {
            **who(row),
            "fraud_label": label,
            "fraud_score": probability(row.score),
            "confidence": probability(confidence),
            "confidence_basis": basis,
            "fraud_type": strongest["type"] if is_fraud else None,
            "severity_score": strongest["severity_score"] if is_fraud else 0.0,
            "severity": advice.severity_word(row.severity if is_fraud else 0.0),
            "suspicious_activity": _activity(detail),
            "linked_accounts": [
                {"user_id": other, "shared_attribute": detail.shared_attributes.get(other)} for other in detail.linked_accounts
            ],
            "threshold_used": bound,
        }
        if not context.details:
            return answer
        return {
            **answer,
            "strongest_signal": strongest if row.fraud_type else None,
            "anomaly_score": probability(row.anomaly),
            "detector_score": probability(row.detectors),
            "score_interval": {"min": probability(row.interval_low), "max": probability(row.interval_high)}
            if basis == "outcomes"
            else None,
            "signals": list(detail.suspicious_activity),
            **self.reasons(row, context),
        }

    def summary(self, context: Context) -> dict[str, Any]:
        totals = context.totals
        actions = advice.fraud_recommendations({name: advice.Sum(totals[name]) for name in ("review", "watch")})
        return {
            "total_users": totals["users"],
            "flagged_users": totals["review"],
            "average_fraud_score": None if totals["mean"] is None else probability(totals["mean"]),
            "fraud_types": totals["types"],
            "business_recommendations": [recommendation_in_json(one, context.base_currency, {}) for one in actions],
        }

    def extras(self, results: Sequence[dict[str, Any]], context: Context) -> dict[str, Any]:
        alerts = [
            {
                "user_id": one["user_id"],
                "alert": f"{one['fraud_type'] or 'Fraud score above the threshold'}: review needed",
                "severity": one["severity"],
                "fraud_score": one["fraud_score"],
                "timestamp": context.run.as_of,
            }
            for one in results
            if one["fraud_label"] == advice.FRAUD
        ]
        return {"alerts": alerts}


def _activity(detail: hooks.FraudDetail) -> dict[str, Any] | None:
    """The strongest signal; None when no detector has seen anything."""
    if not detail.suspicious_activity:
        return None
    return {"timestamp": detail.seen_at, "details": detail.suspicious_activity[0]}
