"""What follows from a row of scores, in words.

A row carries `bounds` (the thresholds of staff), `cluster_names`, and `is_barred`: nothing is recommended for somebody who may be given
nothing. See `ScoreAdmin.prepared`.
"""

from typing import Any

from predictions.ml import advice


def risk_of(row: Any) -> str:
    return advice.risk_level(row.probability, row.bounds)


NO_CONTACT = "No offer: excluded, not active or harm flag"


def recommendation_of(row: Any) -> str:
    return NO_CONTACT if row.is_barred else advice.retention_recommendation(row.probability, float(row.value), row.idle_days, row.bounds)


def value_band_of(row: Any) -> str:
    return advice.value_segment(float(row.value), row.bounds)


def cross_sell_of(row: Any) -> str:
    return NO_CONTACT if row.is_barred else advice.cross_sell(float(row.value), row.bounds)


def trigger_of(row: Any) -> str:
    return NO_CONTACT if row.is_barred else advice.engagement_trigger(row.probability, row.bounds.engagement)


def eligibility_of(row: Any) -> str:
    return "" if row.is_barred else advice.campaign_eligibility(row.probability, row.bounds.engagement)


def fraud_of(row: Any) -> tuple[str, str]:
    """(label, colour)."""
    group = advice.fraud_group(row.score, row.bounds.fraud)
    return {"review": ("Fraud", "bad"), "watch": ("Watch", "warn")}.get(group or "", ("Clear", ""))


def engagement_of(row: Any) -> tuple[str, str]:
    label = advice.engagement_prediction(row.probability, row.bounds.engagement)
    return label, "good" if label == advice.ENGAGED else ""


def cluster_recommendation(row: Any) -> str:
    """What to do with the players of the cluster; a dash for a version that recorded no characteristics."""
    if row.is_barred:
        return NO_CONTACT
    known = row.cluster_names.get(row.cluster)
    key = str(known["recommendation"]) if known else ""
    # a version of another release may name a group that has no words here: the list must open all the same
    return advice.SEGMENT_RECOMMENDATIONS.get(key, "–")
