"""The thresholds of the granting pipeline, read once a batch from the settings that staff edit."""

from dataclasses import dataclass
from decimal import Decimal

from constance import config


@dataclass(frozen=True)
class Thresholds:
    """Money in the player's own currency. `point_cost` is what one point or ticket costs the operator."""

    cap_day: Decimal
    cap_week: Decimal
    cap_month: Decimal
    approval_from: Decimal
    approval_second_from: Decimal
    approval_from_points: Decimal
    approval_second_from_points: Decimal
    approval_from_abuse_score: int
    stale_after_hours: int
    lapses_after_hours: int
    metrics_max_age_hours: int
    min_roi_percent: Decimal
    retention: dict[str, Decimal]
    default_house_edge: Decimal
    point_cost: dict[str, Decimal]
    reduced_multiplier: Decimal
    wagering_multiplier: Decimal


def read_thresholds() -> Thresholds:
    return Thresholds(
        cap_day=Decimal(config.REWARD_CAP_DAY),
        cap_week=Decimal(config.REWARD_CAP_WEEK),
        cap_month=Decimal(config.REWARD_CAP_MONTH),
        approval_from=Decimal(config.APPROVAL_FROM_AMOUNT),
        approval_second_from=Decimal(config.APPROVAL_SECOND_FROM_AMOUNT),
        approval_from_points=Decimal(config.APPROVAL_FROM_POINTS),
        approval_second_from_points=Decimal(config.APPROVAL_SECOND_FROM_POINTS),
        approval_from_abuse_score=int(config.APPROVAL_FROM_ABUSE_SCORE),
        stale_after_hours=int(config.APPROVAL_STALE_AFTER_HOURS),
        lapses_after_hours=int(config.APPROVAL_LAPSES_AFTER_HOURS),
        metrics_max_age_hours=int(config.APPROVAL_METRICS_MAX_AGE_HOURS),
        min_roi_percent=Decimal(config.PROFIT_MIN_ROI_PERCENT),
        retention={
            "WINNING": Decimal(config.PROFIT_RETENTION_WINNING),
            "BREAKEVEN": Decimal(config.PROFIT_RETENTION_BREAKEVEN),
            "LOSING": Decimal(config.PROFIT_RETENTION_LOSING),
            "NEW": Decimal(config.PROFIT_RETENTION_NEW),
            "VIP": Decimal(config.PROFIT_RETENTION_VIP),
        },
        default_house_edge=Decimal(config.PROFIT_DEFAULT_HOUSE_EDGE),
        point_cost={
            "LP": Decimal(config.PROFIT_COST_PER_LP),
            "RP": Decimal(config.PROFIT_COST_PER_RP),
            "TICKET": Decimal(config.PROFIT_COST_PER_TICKET),
        },
        reduced_multiplier=Decimal(config.ABUSE_REDUCED_MULTIPLIER),
        wagering_multiplier=Decimal(config.ABUSE_WAGERING_MULTIPLIER),
    )
