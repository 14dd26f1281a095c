"""Segmentation pages: the cluster of a player, what its players are like, and where they move next."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection
from django.db.models import Avg, Count, Q, QuerySet

from predictions.api import query, shapes
from predictions.api.paging import BY_PLAYER, Sort
from predictions.ml import advice
from predictions.models import Kind, ModelVersion

from .base import Context, Prediction, amount, probability, recommendation_in_json, who

# what the players of a cluster are like now, by currency; sessions and deposits of all time, values of the same run where there are any
_MEANS = """
    SELECT s.cluster, p.currency, count(*), avg(v.value), sum(v.value), avg(m.sessions), avg(m.total_deposited)
    FROM predictions_segmentscore s
    JOIN players_player p ON p.id = s.player_id
    LEFT JOIN players_playermetrics m ON m.player_id = s.player_id
    LEFT JOIN predictions_valuescore v ON v.run_id = s.run_id AND v.player_id = s.player_id
    WHERE s.run_id = %s
    GROUP BY 1, 2
"""


class Segmentation(Prediction):
    kind = Kind.SEGMENTATION
    prediction_type = "user_segmentation"
    query = query.SegmentQuery
    shape = shapes.SegmentResultSerializer
    summary_shape = shapes.SegmentSummarySerializer
    sorts = {"segment": Sort("cluster", descending=False), "stability": Sort("stability"), "user_id": BY_PLAYER}

    def where(self, context: Context) -> Q:
        values = context.values
        found = Q(cluster=values["segment"]) if "segment" in values else Q()
        return found & Q(rfm_segment=values["rfm_segment"]) if "rfm_segment" in values else found

    def totals(self, rows: QuerySet[Any], context: Context) -> dict[str, Any]:
        with connection.cursor() as cursor:
            cursor.execute(_MEANS, [context.run.pk])
            found = cursor.fetchall()
        means = [
            {
                "cluster": cluster,
                "currency": currency,
                "users": users,
                "avg_ltv": _known(ltv),
                "total_ltv": _known(total),
                "avg_sessions": _known(sessions),
                "avg_deposits": _known(deposits),
            }
            for cluster, currency, users, ltv, total, sessions, deposits in found
        ]
        named = dict(rows.values_list("rfm_segment").annotate(users=Count("pk")).order_by("-users", "rfm_segment"))
        return {"users": sum(one["users"] for one in means), "means": means, "named": named, **rows.aggregate(stability=Avg("stability"))}

    def results(self, rows: Sequence[Any], context: Context) -> list[dict[str, Any]]:
        groups = groups_of(context.version)
        means = {(one["cluster"], one["currency"]): one for one in context.totals["means"]}
        return [self._result(row, groups[row.cluster], means.get((row.cluster, row.player.currency)), context) for row in rows]

    def _result(self, row: Any, group: Mapping[str, Any], mean: Mapping[str, Any] | None, context: Context) -> dict[str, Any]:
        answer = {
            **who(row),
            "segment": row.cluster,
            "segment_name": group["name"],
            "segment_characteristics": _characteristics(mean, row.player.currency),
            "segment_recommendation": context.advised(row, advice.segment_recommendation(group["recommendation"])),
            "segment_stability": probability(row.stability),
            "predicted_next_segment": row.next_cluster,
            "transition_probability": probability(row.transition_probability),
            "rfm_scores": {"recency": row.recency_score, "frequency": row.frequency_score, "monetary": row.monetary_score},
            "rfm_segment": row.rfm_segment,
            "rfm_recommendation": context.advised(row, advice.RFM_RECOMMENDATIONS[row.rfm_segment]),
        }
        return {**answer, **self.reasons(row, context)} if context.details else answer

    def summary(self, context: Context) -> dict[str, Any]:
        totals = context.totals
        groups = groups_of(context.version)
        by_cluster: dict[int, list[Mapping[str, Any]]] = {}
        for one in totals["means"]:
            by_cluster.setdefault(one["cluster"], []).append(one)
        return {
            "total_users": totals["users"],
            "average_stability": None if totals["stability"] is None else probability(totals["stability"]),
            "segments": [
                self._segment(cluster, groups[cluster], by_cluster[cluster], totals["users"], context.base_currency)
                for cluster in sorted(by_cluster)
            ],
            "rfm_segments": totals["named"],
            "business_recommendations": [
                self._recommendation(groups[cluster], by_cluster[cluster], context.base_currency) for cluster in sorted(by_cluster)
            ],
        }

    def _segment(
        self, cluster: int, group: Mapping[str, Any], means: Sequence[Mapping[str, Any]], everybody: int, base_currency: str
    ) -> dict[str, Any]:
        users = sum(one["users"] for one in means)
        own = next((one for one in means if one["currency"] == base_currency), None)
        return {
            "segment": cluster,
            "name": group["name"],
            "users": users,
            "share": probability(users / everybody),
            "segment_characteristics": _characteristics(own, base_currency),
        }

    def _recommendation(self, group: Mapping[str, Any], means: Sequence[Mapping[str, Any]], base_currency: str) -> dict[str, Any]:
        worth = {one["currency"]: one["total_ltv"] for one in means if one["total_ltv"] is not None}
        sums = advice.Sum(sum(one["users"] for one in means), worth.get(base_currency, 0.0))
        (one,) = advice.segment_recommendations([(group["name"], group["recommendation"], sums)])
        return recommendation_in_json(one, base_currency, worth)


def groups_of(version: ModelVersion | None) -> dict[int, Mapping[str, Any]]:
    """Name and recommendation of each cluster, as the training recorded them."""
    assert version is not None  # a run that shows segments names the version that made them
    return {int(one["cluster"]): one for one in version.curves["characteristics"]}


def _characteristics(mean: Mapping[str, Any] | None, currency: str) -> dict[str, Any]:
    """Means over the players of the cluster who play in the currency; None where there is nothing to take a mean of."""
    known = mean or {}
    return {**{name: known.get(name) for name in ("avg_ltv", "avg_sessions", "avg_deposits")}, "currency": currency}


def _known(value: Any) -> float | None:
    return None if value is None else amount(value)
