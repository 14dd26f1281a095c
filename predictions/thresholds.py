"""The thresholds that predictions depend on, read from the settings that staff edit. The only reader of them in this app.

Read through `get_values_for_keys`, never `config.NAME`: that writes the default on its first read.
"""

from dataclasses import dataclass
from decimal import Decimal

from constance.utils import get_values_for_keys


@dataclass(frozen=True)
class Thresholds:
    """See the settings of the same names. `value_*` are amounts in the player's currency, `churn_horizon` and `min_days` are days."""

    churn_horizon: int
    churn: float
    risk_medium_from: float
    risk_high_from: float
    value_medium_from: Decimal
    value_high_from: Decimal
    value_vip_from: Decimal
    fraud: float
    engagement: float
    min_days: int
    min_players: int
    min_positives: int
    reasons_for: int
    runs_kept: int
    history_days: int
    history_years: int


_NAMES = {
    "churn_horizon": "CHURN_HORIZON_DAYS",
    "churn": "CHURN_THRESHOLD",
    "risk_medium_from": "RISK_MEDIUM_FROM",
    "risk_high_from": "RISK_HIGH_FROM",
    "value_medium_from": "VALUE_MEDIUM_FROM",
    "value_high_from": "VALUE_HIGH_FROM",
    "value_vip_from": "VALUE_VIP_FROM",
    "fraud": "FRAUD_THRESHOLD",
    "engagement": "ENGAGEMENT_THRESHOLD",
    "min_days": "PREDICTION_MIN_DAYS",
    "min_players": "PREDICTION_MIN_PLAYERS",
    "min_positives": "PREDICTION_MIN_POSITIVES",
    "reasons_for": "PREDICTION_REASONS_FOR",
    "runs_kept": "PREDICTION_RUNS_KEPT",
    "history_days": "PREDICTION_HISTORY_DAYS",
    "history_years": "PREDICTION_HISTORY_YEARS",
}


def thresholds() -> Thresholds:
    """The values that staff set; one query."""
    values = get_values_for_keys(list(_NAMES.values()))
    read = {field: Thresholds.__annotations__[field](values[name]) for field, name in _NAMES.items()}
    return Thresholds(**read)
