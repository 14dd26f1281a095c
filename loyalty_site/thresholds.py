"""The thresholds that staff edit in the admin (django-constance). One table: name -> (default, help text, type).

Money thresholds are in the player's own currency unless the text says otherwise.
Code reads them at its edge (`from constance import config`) and hands plain values to the pure packages.
"""

from decimal import Decimal

_DECIMAL = "decimal"
_CHURN_DAYS = "churn_days"

# least and most days of CHURN_HORIZON_DAYS: below a week a player's own weekly habit would be churn; 180 days ask for 450 days of history
CHURN_HORIZON_RANGE = (7, 180)

THRESHOLD_FIELD_TYPES = {
    _CHURN_DAYS: [
        "django.forms.IntegerField",
        {
            "widget": "unfold.widgets.UnfoldAdminIntegerFieldWidget",
            "min_value": CHURN_HORIZON_RANGE[0],
            "max_value": CHURN_HORIZON_RANGE[1],
        },
    ],
    _DECIMAL: [
        "django.forms.DecimalField",
        {"widget": "unfold.widgets.UnfoldAdminDecimalFieldWidget", "max_digits": 18, "decimal_places": 6},
    ],
}

CONSTANCE_CONFIG = {
    "BASE_CURRENCY": ("EUR", "Currency of dashboards and of the figures that are shown first.", str),
    # segments
    "SEGMENT_NEW_BELOW_WAGERED": (Decimal("1000"), "A player who wagered less than this in total is NEW.", _DECIMAL),
    "SEGMENT_VIP_FROM_WAGERED": (Decimal("100000"), "VIP from this total wagered, with enough sessions.", _DECIMAL),
    "SEGMENT_VIP_FROM_SESSIONS": (50, "VIP from this number of sessions.", int),
    "SEGMENT_BREAKEVEN_BAND": (
        Decimal("0.02"),
        "BREAKEVEN while |net result| is at most this share of the total wagered; above it WINNING, below it LOSING.",
        _DECIMAL,
    ),
    # caps and approval
    "REWARD_CAP_DAY": (Decimal("1000"), "Most reward money one player may get in a day.", _DECIMAL),
    "REWARD_CAP_WEEK": (Decimal("5000"), "Most reward money one player may get in seven days.", _DECIMAL),
    "REWARD_CAP_MONTH": (Decimal("15000"), "Most reward money one player may get in thirty days.", _DECIMAL),
    "APPROVAL_FROM_AMOUNT": (Decimal("100"), "A reward of this amount or more waits for a person's approval.", _DECIMAL),
    "APPROVAL_SECOND_FROM_AMOUNT": (Decimal("1000"), "From this amount on two different people must approve.", _DECIMAL),
    "APPROVAL_FROM_POINTS": (
        Decimal("1000"),
        "A reward of this many points (LP or RP) waits for a person's approval, whatever the points cost: they move players up the tiers.",
        _DECIMAL,
    ),
    "APPROVAL_SECOND_FROM_POINTS": (Decimal("10000"), "From this many points on two different people must approve.", _DECIMAL),
    "APPROVAL_LAPSES_AFTER_HOURS": (72, "A pending reward nobody decided on lapses after this many hours.", int),
    "APPROVAL_STALE_AFTER_HOURS": (24, "On approval, checks older than this are run again before money moves.", int),
    "APPROVAL_FROM_ABUSE_SCORE": (61, "A reward for a player with this abuse score or more waits for a person's approval.", int),
    "APPROVAL_METRICS_MAX_AGE_HOURS": (36, "A reward is refused when the player's figures are older than this.", int),
    "ADJUSTMENT_SECOND_FROM_AMOUNT": (Decimal("100"), "A manual wallet adjustment from this amount on needs a second person.", _DECIMAL),
    # profit
    "PROFIT_MIN_ROI_PERCENT": (Decimal("0"), "A reward whose reference ROI is not above this percentage is refused.", _DECIMAL),
    "PROFIT_RETENTION_WINNING": (Decimal("1.0"), "Retention multiplier on the historical wager, segment WINNING.", _DECIMAL),
    "PROFIT_RETENTION_BREAKEVEN": (Decimal("1.1"), "Retention multiplier, segment BREAKEVEN.", _DECIMAL),
    "PROFIT_RETENTION_LOSING": (Decimal("1.3"), "Retention multiplier, segment LOSING.", _DECIMAL),
    "PROFIT_RETENTION_NEW": (Decimal("1.2"), "Retention multiplier, segment NEW.", _DECIMAL),
    "PROFIT_RETENTION_VIP": (Decimal("1.5"), "Retention multiplier, segment VIP.", _DECIMAL),
    "PROFIT_COST_PER_LP": (Decimal("0"), "What one loyalty point (LP) costs us; LP only move players through the tiers.", _DECIMAL),
    "PROFIT_COST_PER_RP": (Decimal("0.01"), "What one reward point (RP) costs us when it is redeemed.", _DECIMAL),
    "PROFIT_COST_PER_TICKET": (Decimal("1"), "What one ticket costs us.", _DECIMAL),
    "PROFIT_DEFAULT_HOUSE_EDGE": (Decimal("0.05"), "House edge for play without a known game.", _DECIMAL),
    # abuse
    "ABUSE_REDUCED_FROM": (31, "Abuse score from which rewards are reduced.", int),
    "ABUSE_WAGERING_FROM": (61, "Abuse score from which new bonuses carry more wagering.", int),
    "ABUSE_BLOCKED_FROM": (81, "Abuse score from which bonuses are blocked.", int),
    "ABUSE_REDUCED_MULTIPLIER": (Decimal("0.5"), "Factor on rewards in the reduced band.", _DECIMAL),
    "ABUSE_WAGERING_MULTIPLIER": (Decimal("1.5"), "Factor on wagering requirements in the increased-wagering band.", _DECIMAL),
    "ABUSE_BAND_HYSTERESIS": (10, "A band is left only this many points below its edge.", int),
    "ABUSE_SIGNAL_HALF_LIFE_DAYS": (30, "A signal loses half its weight in this many days.", int),
    # bonuses
    "BONUS_QUEUE_DAYS": (30, "A claimed bonus waits at most this many days behind another one of the same product.", int),
    # predictions
    "CHURN_HORIZON_DAYS": (
        30,
        "A player has churned after this many days without a real-money bet and without a deposit, 7 to 180. Holds from the next "
        "training on.",
        _CHURN_DAYS,
    ),
    "CHURN_THRESHOLD": (Decimal("0.5"), "From this probability on a player is labelled as churning.", _DECIMAL),
    "RISK_MEDIUM_FROM": (Decimal("0.3"), "From this probability on the risk level is medium.", _DECIMAL),
    "RISK_HIGH_FROM": (Decimal("0.6"), "From this probability on the risk level is high.", _DECIMAL),
    "VALUE_HIGH_FROM": (
        Decimal("1000"),
        "A predicted value above this raises priority by 1.2; from it on the value segment is high.",
        _DECIMAL,
    ),
    "VALUE_MEDIUM_FROM": (Decimal("500"), "From this predicted value on the value segment is medium.", _DECIMAL),
    "VALUE_VIP_FROM": (Decimal("5000"), "A predicted value above this raises priority by 1.5.", _DECIMAL),
    "FRAUD_THRESHOLD": (Decimal("0.8"), "Above this score a player is labelled as fraud.", _DECIMAL),
    "ENGAGEMENT_THRESHOLD": (Decimal("0.5"), "Above this probability a player is labelled as engaged.", _DECIMAL),
    "PREDICTION_MIN_DAYS": (180, "Predictions are shown from this many days of history on.", int),
    "PREDICTION_MIN_PLAYERS": (500, "Predictions are shown from this many players on.", int),
    "PREDICTION_MIN_POSITIVES": (50, "A probability is shown from this many observed cases on.", int),
    "PREDICTION_REASONS_FOR": (
        10_000,
        "Reasons are stored nightly for this many players at the top; for others they are computed when asked.",
        int,
    ),
    "PREDICTION_RUNS_KEPT": (3, "Scores of this many runs are kept.", int),
    "PREDICTION_HISTORY_DAYS": (
        90,
        "A player's history of scores is kept in full for this many days; of each whole month before them, the last point is.",
        int,
    ),
    "PREDICTION_HISTORY_YEARS": (5, "A player's history of scores is kept for this many years.", int),
    # imports
    "IMPORT_MAX_MEGABYTES": (200, "Largest file that an import accepts.", int),
    "IMPORT_MAX_ROWS": (2_000_000, "Most rows that one import accepts.", int),
}

CONSTANCE_CONFIG_FIELDSETS = {
    "General": ("BASE_CURRENCY",),
    "Segments": tuple(name for name in CONSTANCE_CONFIG if name.startswith("SEGMENT_")),
    "Reward caps and approval": tuple(name for name in CONSTANCE_CONFIG if name.startswith(("REWARD_CAP_", "APPROVAL_", "ADJUSTMENT_"))),
    "Profit safety": tuple(name for name in CONSTANCE_CONFIG if name.startswith("PROFIT_")),
    "Abuse": tuple(name for name in CONSTANCE_CONFIG if name.startswith("ABUSE_")),
    "Bonuses": tuple(name for name in CONSTANCE_CONFIG if name.startswith("BONUS_")),
    "Predictions": tuple(
        name for name in CONSTANCE_CONFIG if name.startswith(("CHURN_", "RISK_", "VALUE_", "FRAUD_", "ENGAGEMENT_", "PREDICTION_"))
    ),
    "Imports": tuple(name for name in CONSTANCE_CONFIG if name.startswith("IMPORT_")),
}
