"""The catalogue: every fact about a player that a rule may name, with its type, unit and horizon.

Adding a fact takes an entry here and its column in `rewards.facts`; a test keeps the two in step.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    CATEGORY = "category"
    NUMBER = "number"
    BOOL = "bool"
    DATE = "date"


class Unit(StrEnum):
    MONEY = "money"
    COUNT = "count"
    HOURS = "hours"
    DAYS = "days"
    MINUTES = "minutes"
    YEARS = "years"
    POINTS = "points"
    RATIO = "ratio"
    SCORE = "score"
    NONE = "none"


class Horizon(StrEnum):
    """LIFETIME: a sum since registration, which never shrinks much; WINDOW: the days before the evaluation; STATE: how things stand."""

    LIFETIME = "lifetime"
    WINDOW = "window"
    STATE = "state"


@dataclass(frozen=True)
class FactSpec:
    """name: as in rules; places: decimal places kept (a number is exact to them); nullable: some players have no value;
    never_negative: a comparison below zero can never hold; window_days: length of a WINDOW fact; values: the only values of a category."""

    name: str
    kind: Kind
    unit: Unit
    horizon: Horizon
    description: str
    places: int = 0
    nullable: bool = False
    never_negative: bool = True
    window_days: int | None = None
    values: tuple[str, ...] = ()


def _money(name: str, horizon: Horizon, description: str, *, days: int | None = None, signed: bool = False) -> FactSpec:
    return FactSpec(name, Kind.NUMBER, Unit.MONEY, horizon, description, places=4, window_days=days, never_negative=not signed)


def _count(name: str, horizon: Horizon, description: str, *, days: int | None = None) -> FactSpec:
    return FactSpec(name, Kind.NUMBER, Unit.COUNT, horizon, description, window_days=days)


def _category(name: str, description: str, *, values: tuple[str, ...] = (), nullable: bool = False) -> FactSpec:
    return FactSpec(name, Kind.CATEGORY, Unit.NONE, Horizon.STATE, description, values=values, nullable=nullable)


def _days_since(name: str, description: str) -> FactSpec:
    return FactSpec(name, Kind.NUMBER, Unit.DAYS, Horizon.STATE, description, nullable=True)


def _date(name: str, description: str) -> FactSpec:
    return FactSpec(name, Kind.DATE, Unit.NONE, Horizon.STATE, description, nullable=True)


def _number(name: str, unit: Unit, horizon: Horizon, places: int, description: str, *, nullable: bool = False) -> FactSpec:
    return FactSpec(name, Kind.NUMBER, unit, horizon, description, places=places, nullable=nullable)


_LIFE, _WINDOW, _STATE = Horizon.LIFETIME, Horizon.WINDOW, Horizon.STATE

_SPECS = (
    # who the player is
    _category(
        "segment", "Segment from the last classification.", values=("NEW", "WINNING", "BREAKEVEN", "LOSING", "VIP")
    ),
    _category("tier", "Name of the loyalty tier.", nullable=True),
    _number("tier_rank", Unit.NONE, _STATE, 0, "Rank of the loyalty tier; 0 is the lowest.", nullable=True),
    _number("tier_earn_multiplier", Unit.RATIO, _STATE, 3, "Earn multiplier of the tier; 1 without a tier."),
    _number("tier_cashback_multiplier", Unit.RATIO, _STATE, 3, "Cashback multiplier of the tier; 1 without a tier."),
    _number("points_to_next", Unit.POINTS, _STATE, 2, "Qualifying points to the next tier; no value at the top.", nullable=True),
    _number("points_to_keep", Unit.POINTS, _STATE, 2,
            "Qualifying points still needed to keep the tier; no value for players who may not be told that they could lose it.",
            nullable=True),
    _number("days_to_review", Unit.DAYS, _STATE, 0,
            "Days (UTC) to the next tier review or the end of the grace; no value for players who may not be told.", nullable=True),
    FactSpec("in_grace", Kind.BOOL, Unit.NONE, _STATE,
             "True while a missed tier can still be kept; no value for players who may not be told.", nullable=True),
    FactSpec("tier_may_be_told", Kind.BOOL, Unit.NONE, _STATE,
             "False under an exclusion, a cool-off or a harm flag: no message may say that the tier could be lost."),
    _category("country", "Country of the player, two letters (ISO 3166).", nullable=True),
    _category("currency", "Currency of the player's money, three letters (ISO 4217)."),
    _category("language", "Language of the player.", nullable=True),
    _category("status", "Account status.", values=("ACTIVE", "SUSPENDED", "CLOSED")),
    _category("acquisition_channel", "Where the player came from.", nullable=True),
    _number("age_years", Unit.YEARS, _STATE, 0, "Age in whole years on the day of evaluation.", nullable=True),
    FactSpec("birthday_today", Kind.BOOL, Unit.NONE, _STATE, "True on the player's birthday (29 February counts as 28 in other years).",
             nullable=True),
    # money since registration
    _money("total_deposited", _LIFE, "Completed deposits since registration; refunds are not taken off."),
    _money("total_refunded", _LIFE, "Refunds and chargebacks of deposits since registration."),
    _money("total_withdrawn", _LIFE, "Completed withdrawals since registration."),
    _money("total_wagered", _LIFE, "Stakes since registration."),
    _money("total_won", _LIFE, "Payouts since registration."),
    _money("net_pnl", _LIFE, "Player's result since registration: won minus wagered; negative for a loss.", signed=True),
    _money("net_loss", _LIFE, "What the player lost since registration; 0 if the player is ahead."),
    FactSpec("house_edge_contribution", Kind.NUMBER, Unit.MONEY, _LIFE,
             "Expected win of the house since registration: stakes times house edge.", places=6, never_negative=False),
    _money("bonus_wagered", _LIFE, "Stakes paid with bonus money since registration."),
    # money in windows
    _money("deposited_7d", _WINDOW, "Deposits of the last 7 days.", days=7),
    _money("deposited_30d", _WINDOW, "Deposits of the last 30 days.", days=30),
    _money("wagered_1d", _WINDOW, "Stakes of the last full day (UTC).", days=1),
    _money("wagered_7d", _WINDOW, "Stakes of the last 7 days.", days=7),
    _money("wagered_30d", _WINDOW, "Stakes of the last 30 days.", days=30),
    _money("net_loss_1d", _WINDOW, "What the player lost on the last full day (UTC); 0 if ahead.", days=1),
    _money("net_loss_7d", _WINDOW, "What the player lost in the last 7 days; 0 if ahead.", days=7),
    _money("net_loss_30d", _WINDOW, "What the player lost in the last 30 days; 0 if ahead.", days=30),
    # behaviour
    _count("deposit_count", _LIFE, "Number of completed deposits."),
    _count("withdrawal_count", _LIFE, "Number of completed withdrawals."),
    _count("sessions", _LIFE, "Number of sessions."),
    _count("sessions_7d", _WINDOW, "Sessions of the last 7 days.", days=7),
    _count("sessions_30d", _WINDOW, "Sessions of the last 30 days.", days=30),
    _count("total_bets", _LIFE, "Number of bets."),
    _count("active_days", _LIFE, "Days with any activity."),
    _number("playtime_hours", Unit.HOURS, _LIFE, 4, "Time played, in hours."),
    _number("avg_session_duration", Unit.MINUTES, _STATE, 4, "Average length of a session, in minutes."),
    _money("avg_bet_size", _STATE, "Average stake of a bet."),
    # risk
    _number("win_loss_ratio", Unit.RATIO, _STATE, 6, "Won per unit wagered; 0 without play."),
    _number("volatility_score", Unit.SCORE, _STATE, 6, "How much the player's results swing."),
    _number("bonus_abuse_score", Unit.SCORE, _STATE, 3, "Abuse score, 0 to 100."),
    # predicted, by the published scoring run
    _number("churn_probability", Unit.RATIO, _STATE, 6,
            "Predicted probability (0 to 1) of neither a bet nor a deposit within the churn horizon; no value while predictions are "
            "withheld.", nullable=True),
    _category("churn_risk", "Band of the churn probability; its limits are settings.", values=("low", "medium", "high"), nullable=True),
    FactSpec("predicted_value", Kind.NUMBER, Unit.MONEY, _STATE,
             "Predicted net gaming revenue of the next 365 days, in the player's own currency; negative for a loss.",
             places=4, nullable=True, never_negative=False),
    _number("engagement_probability", Unit.RATIO, _STATE, 6, "Predicted probability (0 to 1) of activity within 7 days.", nullable=True),
    _category("rfm_segment", "Named segment by recency, frequency and money, such as Champions or At Risk.", nullable=True),
    _number("predicted_cluster", Unit.NONE, _STATE, 0, "Number of the player's cluster.", nullable=True),
    # wallet
    _number("lp_balance", Unit.POINTS, _STATE, 2, "Loyalty points in the wallet."),
    _number("lp_earned", Unit.POINTS, _LIFE, 2, "Loyalty points earned since registration."),
    _number("rp_balance", Unit.POINTS, _STATE, 2, "Reward points in the wallet."),
    _count("ticket_balance", _STATE, "Tickets in the wallet."),
    _money("bonus_balance", _STATE, "Bonus money in the wallet, in the player's own currency."),
    _count("open_bonuses", _STATE, "Bonuses that are still to be wagered."),
    # time
    _days_since("days_since_registration", "Whole days since registration."),
    _days_since("days_since_first_activity", "Days since the first day with any activity."),
    _days_since("days_since_last_activity", "Days since the last day with any activity."),
    _days_since("days_since_last_play", "Days since the last day with a bet."),
    _days_since("days_since_last_deposit", "Days since the last day with a deposit."),
    _date("registered_on", "Day of registration (UTC)."),
    _date("first_activity_on", "First day with any activity (UTC)."),
    _date("last_activity_on", "Last day with any activity (UTC)."),
    _date("last_play_on", "Last day with a bet (UTC)."),
    _date("last_deposit_on", "Last day with a deposit (UTC)."),
    _number("weekday", Unit.NONE, _STATE, 0, "Day of the week of the evaluation (UTC): 1 Monday to 7 Sunday."),
    _number("day_of_month", Unit.NONE, _STATE, 0, "Day of the month of the evaluation (UTC)."),
)  # fmt: skip

CATALOGUE: dict[str, FactSpec] = {spec.name: spec for spec in _SPECS}

# Other names under which the same fact is known.
ALIASES: dict[str, str] = {
    "player_segment": "segment",
    "tier_name": "tier",
    "earn_multiplier": "tier_earn_multiplier",
    "cashback_multiplier": "tier_cashback_multiplier",
    "days_to_tier_review": "days_to_review",
    "session_count": "sessions",
    "total_sessions": "sessions",
    "session_count_7d": "sessions_7d",
    "session_count_30d": "sessions_30d",
    "total_playtime": "playtime_hours",
    "playtime": "playtime_hours",
    "bets": "total_bets",
    "bet_count": "total_bets",
    "average_bet": "avg_bet_size",
    "abuse_score": "bonus_abuse_score",
    "risk_score": "bonus_abuse_score",
    "loyalty_points": "lp_balance",
    "reward_points": "rp_balance",
    "days_since_registered": "days_since_registration",
    "days_since_play": "days_since_last_play",
    "days_since_deposit": "days_since_last_deposit",
    "days_inactive": "days_since_last_activity",
}

UNIT_WORDS: dict[Unit, str] = {
    Unit.MONEY: "money",
    Unit.COUNT: "a number of things",
    Unit.HOURS: "hours",
    Unit.DAYS: "days",
    Unit.MINUTES: "minutes",
    Unit.YEARS: "years",
    Unit.POINTS: "points",
    Unit.RATIO: "a ratio",
    Unit.SCORE: "a score",
    Unit.NONE: "a plain number",
}


def canonical(name: str) -> str | None:
    """The catalogue's name for `name` (a name or an alias); None when there is no such fact."""
    name = ALIASES.get(name, name)
    return name if name in CATALOGUE else None


def fact(name: str) -> FactSpec:
    """Raises KeyError for names that are not in the catalogue."""
    return CATALOGUE[name]


def all_names() -> list[str]:
    return [*CATALOGUE, *ALIASES]
