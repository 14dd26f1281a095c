"""The bounds that staff edit, as the pure words and bands of `predictions.ml.advice` take them."""

from predictions.ml import advice
from predictions.thresholds import thresholds


def advice_bounds() -> advice.Thresholds:
    """One query. Amounts become floats: they are compared with estimates, never booked."""
    known = thresholds()
    return advice.Thresholds(
        churn=known.churn,
        risk_medium=known.risk_medium_from,
        risk_high=known.risk_high_from,
        value_medium=float(known.value_medium_from),
        value_high=float(known.value_high_from),
        value_vip=float(known.value_vip_from),
        fraud=known.fraud,
        engagement=known.engagement,
    )
