"""The catalogue of features: what each is called, what it measures, and the words for it. `predictions.features` computes them.

Windows end with the last whole UTC day before `as_of`: "in 30 days" is those 30 days. Money is in currency units: the amount divided by
the median completed deposit of its currency (`docs/predictions-features.md`). NaN is unknown: never happened, or nothing to divide by.
"""

from dataclasses import dataclass

GROUPS = ("logins", "deposits", "gameplay", "value", "bonus", "account", "risk")
UNITS = ("days", "weeks", "count", "minutes", "share", "ratio", "currency units")


@dataclass(frozen=True)
class Feature:
    """One column of the frame.

    `label` names it for staff; `increases` and `decreases` say in words that the value is high or low for a player ("fewer deposits than
    usual"). `unit` is one of UNITS: a share lies between 0 and 1, a ratio is any other quotient. `definition` is the exact rule.
    """

    name: str
    label: str
    unit: str
    group: str
    increases: str
    decreases: str
    definition: str

    @property
    def is_money(self) -> bool:
        return self.unit == "currency units"


# fmt: off
FEATURES: tuple[Feature, ...] = (
    Feature("days_since_last_activity", "days since last activity", "days", "logins", "has been away for long", "was active recently",
            "days from the last day with a session, a round or a completed deposit to the day of as_of; NaN when there was none"),
    Feature("sessions_7d", "sessions in 7 days", "count", "logins",
            "more sessions in 7 days than usual", "fewer sessions in 7 days than usual", "sessions begun, last 7 days"),
    Feature("sessions_14d", "sessions in 14 days", "count", "logins",
            "more sessions in 14 days than usual", "fewer sessions in 14 days than usual", "sessions begun, last 14 days"),
    Feature("sessions_30d", "sessions in 30 days", "count", "logins",
            "more sessions in 30 days than usual", "fewer sessions in 30 days than usual", "sessions begun, last 30 days"),
    Feature("sessions_90d", "sessions in 90 days", "count", "logins",
            "more sessions in 90 days than usual", "fewer sessions in 90 days than usual", "sessions begun, last 90 days"),
    Feature("session_minutes_mean", "minutes of a session", "minutes", "logins", "long sessions", "short sessions",
            "mean length in full seconds / 60 of the sessions begun in the last 90 days that had ended before as_of's day; NaN "
            "without one"),
    Feature("active_days_7d", "active days in 7 days", "count", "logins",
            "more active days in 7 days than usual", "fewer active days in 7 days than usual",
            "days with a session, a round or a completed deposit, last 7 days"),
    Feature("active_days_30d", "active days in 30 days", "count", "logins",
            "more active days in 30 days than usual", "fewer active days in 30 days than usual",
            "days with a session, a round or a completed deposit, last 30 days"),
    Feature("active_days_90d", "active days in 90 days", "count", "logins",
            "more active days in 90 days than usual", "fewer active days in 90 days than usual",
            "days with a session, a round or a completed deposit, last 90 days"),
    Feature("active_weeks_90d", "active weeks of the last 13", "count", "logins", "comes in most weeks", "comes in few weeks",
            "of the 13 blocks of 7 days before as_of's day, those with an active day"),
    Feature("usual_gap_days", "usual days between visits", "days", "logins", "long breaks between visits", "short breaks between visits",
            "(last - first active day) / (active days - 1) within the last 365 days; NaN below two active days"),
    Feature("gap_overdue", "days away, in usual breaks", "ratio", "logins", "away for much longer than usual", "away no longer than usual",
            "days_since_last_activity / usual_gap_days; NaN when either is"),
    Feature("sessions_trend", "sessions: 30 days against 90", "ratio", "logins", "more sessions lately", "fewer sessions lately",
            "daily rate of sessions over 30 days / over 90 days; a rate divides by the days of the window that the player has been "
            "here; NaN without a session in 90 days"),
    Feature("sessions_week_trend", "sessions: 7 days against 30", "ratio", "logins", "more sessions this week", "fewer sessions this week",
            "daily rate of sessions over 7 days / over 30 days; a rate divides by the days of the window that the player has been "
            "here; NaN without a session in 30 days"),
    Feature("weekend_share", "share of active days at weekends", "share", "logins",
            "comes mostly at weekends", "comes mostly on working days",
            "active days on a Saturday or Sunday / active days, last 90 days; NaN without one"),
    Feature("top_weekday_share", "share of the favourite weekday", "share", "logins", "comes on one weekday mostly", "comes on any weekday",
            "active days on the commonest weekday / active days, last 90 days; NaN without one"),
    Feature("days_since_last_deposit", "days since last deposit", "days", "deposits", "has not deposited for long", "deposited recently",
            "days from the last day with a completed deposit to the day of as_of; NaN when there was none"),
    Feature("deposit_count_30d", "deposits in 30 days", "count", "deposits",
            "more deposits in 30 days than usual", "fewer deposits in 30 days than usual", "completed deposits, last 30 days"),
    Feature("deposit_count_90d", "deposits in 90 days", "count", "deposits",
            "more deposits in 90 days than usual", "fewer deposits in 90 days than usual", "completed deposits, last 90 days"),
    Feature("deposits_30d", "deposited money in 30 days", "currency units", "deposits",
            "more deposited money in 30 days than usual", "less deposited money in 30 days than usual",
            "sum of completed deposits, last 30 days"),
    Feature("deposits_90d", "deposited money in 90 days", "currency units", "deposits",
            "more deposited money in 90 days than usual", "less deposited money in 90 days than usual",
            "sum of completed deposits, last 90 days"),
    Feature("deposit_count_total", "deposits in all", "count", "deposits", "many deposits so far", "few deposits so far",
            "completed deposits, all days"),
    Feature("deposits_total", "deposited in all", "currency units", "deposits", "has deposited much", "has deposited little",
            "completed deposits of all days; the latest totals statement before as_of's day stands for the days up to its own"),
    Feature("deposit_mean", "usual deposit", "currency units", "deposits", "larger deposits than usual", "smaller deposits than usual",
            "mean completed deposit, all days; NaN without one"),
    Feature("deposit_failure_rate", "share of deposits that failed", "share", "deposits", "deposits fail often", "deposits seldom fail",
            "failed / (failed + completed) deposits, last 365 days; NaN without an attempt"),
    Feature("deposits_trend", "deposits: 30 days against 90", "ratio", "deposits",
            "more deposits than usual lately", "fewer deposits than usual lately",
            "daily rate of deposited money over 30 days / over 90 days; a rate divides by the days of the window that the player "
            "has been here; NaN when nothing was deposited in 90 days"),
    Feature("withdrawals_90d", "withdrawn in 90 days", "currency units", "deposits", "withdrew much", "withdrew little",
            "sum of completed withdrawals, last 90 days"),
    Feature("withdrawal_count_90d", "withdrawals in 90 days", "count", "deposits", "many withdrawals", "few withdrawals",
            "completed withdrawals, last 90 days"),
    Feature("days_since_last_play", "days since last bet", "days", "gameplay", "has not played for long", "played recently",
            "days from the last day with a round to the day of as_of; NaN when there was none"),
    Feature("stake_7d", "staked money in 7 days", "currency units", "gameplay",
            "more staked money in 7 days than usual", "less staked money in 7 days than usual",
            "sum of stakes, bonus money included, last 7 days"),
    Feature("stake_30d", "staked money in 30 days", "currency units", "gameplay",
            "more staked money in 30 days than usual", "less staked money in 30 days than usual",
            "sum of stakes, bonus money included, last 30 days"),
    Feature("stake_90d", "staked money in 90 days", "currency units", "gameplay",
            "more staked money in 90 days than usual", "less staked money in 90 days than usual",
            "sum of stakes, bonus money included, last 90 days"),
    Feature("stake_total", "staked in all", "currency units", "gameplay", "has staked much", "has staked little",
            "stakes of all days; the latest totals statement before as_of's day stands for the days up to its own"),
    Feature("rounds_90d", "rounds in 90 days", "count", "gameplay", "played many rounds", "played few rounds", "rounds, last 90 days"),
    Feature("stake_mean_90d", "usual stake", "currency units", "gameplay", "high stakes", "low stakes",
            "stake / rounds, last 90 days; NaN without a round"),
    Feature("max_stake_90d", "highest stake in 90 days", "currency units", "gameplay", "a very high stake", "no high stake",
            "largest stake / rounds of one play record, last 90 days"),
    Feature("stake_trend", "stakes: 30 days against 90", "ratio", "gameplay", "higher stakes lately", "lower stakes lately",
            "daily rate of stakes over 30 days / over 90 days; a rate divides by the days of the window that the player has been "
            "here; NaN when nothing was staked in 90 days"),
    Feature("stake_week_trend", "stakes: 7 days against 30", "ratio", "gameplay", "higher stakes this week", "lower stakes this week",
            "daily rate of stakes over 7 days / over 30 days; a rate divides by the days of the window that the player has been "
            "here; NaN when nothing was staked in 30 days"),
    Feature("game_variety_90d", "different games in 90 days", "count", "gameplay", "plays many games", "plays few games",
            "different games played, last 90 days"),
    Feature("top_game_share_90d", "share of the preferred game", "share", "gameplay", "plays one game mostly", "has no preferred game",
            "stake on the game with most stake / stake, last 90 days; NaN without stake"),
    Feature("slots_share_90d", "share of slots", "share", "gameplay", "prefers slots", "plays few slots",
            "stake on slots / stake, last 90 days; NaN without stake"),
    Feature("table_share_90d", "share of table games", "share", "gameplay", "prefers table games", "plays few table games",
            "stake on table games, roulette, blackjack and poker / stake, last 90 days; NaN without stake"),
    Feature("live_share_90d", "share of live games", "share", "gameplay", "prefers live games", "plays few live games",
            "stake on live games / stake, last 90 days; NaN without stake"),
    Feature("sports_share_90d", "share of sports bets", "share", "gameplay", "prefers sports bets", "bets little on sports",
            "stake on sports / stake, last 90 days; NaN without stake"),
    Feature("win_ratio_90d", "won per unit staked", "ratio", "gameplay", "has been winning", "has been losing",
            "payout / stake, last 90 days; NaN without stake"),
    Feature("volatility_90d", "ups and downs of the daily result", "ratio", "gameplay", "large ups and downs", "steady results",
            "sample standard deviation of payout - stake over the days with stake / mean stake of these days, last 90 days; NaN below two"),
    Feature("ngr_30d", "net gaming revenue in 30 days", "currency units", "value", "brought in much", "brought in little",
            "stake - payout - bonus money turned real, last 30 days"),
    Feature("ngr_90d", "net gaming revenue in 90 days", "currency units", "value", "brought in much", "brought in little",
            "stake - payout - bonus money turned real, last 90 days"),
    Feature("ngr_365d", "net gaming revenue in 365 days", "currency units", "value", "brought in much", "brought in little",
            "stake - payout - bonus money turned real, last 365 days"),
    Feature("theo_90d", "theoretical win in 90 days", "currency units", "value", "high theoretical win", "low theoretical win",
            "sum of stake x house edge, last 90 days"),
    Feature("bg_frequency", "repeat deposit days", "count", "value", "deposits again and again", "few repeat deposits",
            "days with deposited money after the first such day; NaN before the first"),
    Feature("bg_recency", "weeks from first to last deposit", "weeks", "value", "a long time of deposits", "a short time of deposits",
            "(last - first day with deposited money) / 7; NaN before the first"),
    Feature("bg_age", "weeks since first deposit", "weeks", "value", "a depositor for long", "a new depositor",
            "(day of as_of - first day with deposited money) / 7; NaN before the first"),
    Feature("bg_spend", "deposited per repeat deposit day", "currency units", "value",
            "deposits much at a time", "deposits little at a time",
            "mean deposited on the days with deposited money after the first; NaN when there is none"),
    Feature("bonus_share_90d", "share of stakes paid with bonus money", "share", "bonus", "depends on bonuses", "plays with own money",
            "bonus part of stakes / stake, last 90 days; NaN without stake"),
    Feature("bonuses_90d", "bonuses taken in 90 days", "count", "bonus", "took many bonuses", "took few bonuses",
            "bonuses activated, last 90 days"),
    Feature("bonus_take_rate", "share of offered bonuses taken", "share", "bonus", "takes most bonuses", "leaves bonuses unused",
            "of the bonuses offered in the last 365 days, those activated before as_of's day; NaN without an offer"),
    Feature("bonus_cost_90d", "bonus money turned real in 90 days", "currency units", "bonus",
            "cost much in bonuses", "cost little in bonuses", "bonus money released to cash, last 90 days"),
    Feature("bonus_cost_share_90d", "bonus money turned real per deposited money", "ratio", "bonus",
            "bonuses instead of deposits", "deposits more than bonuses give",
            "bonus_cost_90d / deposits_90d; NaN when nothing was deposited in 90 days"),
    Feature("tenure_days", "days since registration", "days", "account", "with us for long", "new here",
            "days from the day of registration, or the first active day when that is earlier or alone, to the day of as_of"),
    Feature("payment_methods", "payment methods in 365 days", "count", "account", "uses several payment methods", "uses one payment method",
            "different named methods of completed deposits and withdrawals, last 365 days"),
    Feature("instruments", "cards and accounts in 365 days", "count", "risk",
            "pays from several cards or accounts", "pays from one card or account",
            "different instruments of attempted payments, last 365 days"),
    Feature("devices", "devices in 90 days", "count", "risk", "many devices", "few devices", "different device ids, sessions of 90 days"),
    Feature("ips", "IP addresses in 90 days", "count", "risk", "many addresses", "few addresses",
            "different addresses, sessions of 90 days"),
    Feature("rapid_deposits", "deposits per session", "ratio", "risk", "several deposits a session", "few deposits a session",
            "deposit_count_90d / (sessions_90d + 1)"),
    Feature("refunds_365d", "refunded in 365 days", "currency units", "risk", "refunds or chargebacks", "no refunds",
            "completed refunds and chargebacks, last 365 days"),
)
# fmt: on
FEATURE_NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
BY_NAME: dict[str, Feature] = {feature.name: feature for feature in FEATURES}
MONEY_FEATURES: tuple[str, ...] = tuple(feature.name for feature in FEATURES if feature.is_money)

# columns of a frame beside the features: the player's currency, and the amount that is one unit of it
CONTEXT = ("currency", "currency_unit")

# what happened after a cut-off; the horizon's own figures first
LABELS = ("churned", "active_7d", "ngr_90d", "ngr_365d", "deposit_days_horizon", "spend_horizon", "is_eligible")
