"""The catalogue of features: what each is called, what it measures, and the words for it. `predictions.features` computes them.

Windows end with the last whole UTC day before `as_of`: "in 30 days" is those 30 days. Money is in currency units: the amount divided by
the median completed deposit of its currency (`docs/predictions-features.md`). NaN is unknown: never happened, or nothing to divide by.
"""

from dataclasses import dataclass

GROUPS = ("logins", "deposits", "gameplay", "value", "bonus", "account", "risk")
UNITS = ("days", "weeks", "count", "minutes", "share", "ratio", "currency units")
NOT_KNOWN = "not known"


@dataclass(frozen=True)
class Feature:
    """One column of the frame.

    `label` names it for staff; `increases` and `decreases` say in words that the value is high or low beside those of other players
    ("fewer deposits than usual"), never that it is high or low in itself. `unit` is one of UNITS: a share lies between 0 and 1, a ratio is
    any other quotient. `definition` is the exact rule. `unknown` says what NaN means for a player.
    """

    name: str
    label: str
    unit: str
    group: str
    increases: str
    decreases: str
    definition: str
    unknown: str = NOT_KNOWN

    @property
    def is_money(self) -> bool:
        return self.unit == "currency units"


# fmt: off
FEATURES: tuple[Feature, ...] = (
    Feature("days_since_last_activity", "days since last activity", "days", "logins",
            "away for longer than usual", "active more recently than usual",
            "days from the last day with a session, a round or a completed deposit to the day of as_of; NaN when there was none",
            unknown="no activity yet"),
    Feature("sessions_7d", "sessions in 7 days", "count", "logins",
            "more sessions in 7 days than usual", "fewer sessions in 7 days than usual", "sessions begun, last 7 days"),
    Feature("sessions_14d", "sessions in 14 days", "count", "logins",
            "more sessions in 14 days than usual", "fewer sessions in 14 days than usual", "sessions begun, last 14 days"),
    Feature("sessions_30d", "sessions in 30 days", "count", "logins",
            "more sessions in 30 days than usual", "fewer sessions in 30 days than usual", "sessions begun, last 30 days"),
    Feature("sessions_90d", "sessions in 90 days", "count", "logins",
            "more sessions in 90 days than usual", "fewer sessions in 90 days than usual", "sessions begun, last 90 days"),
    Feature("session_minutes_mean", "minutes of a session", "minutes", "logins",
            "longer sessions than usual", "shorter sessions than usual",
            "mean length in full seconds / 60 of the sessions begun in the last 90 days that had ended before as_of's day; NaN "
            "without one", unknown="no session in 90 days"),
    Feature("active_days_7d", "active days in 7 days", "count", "logins",
            "more active days in 7 days than usual", "fewer active days in 7 days than usual",
            "days with a session, a round or a completed deposit, last 7 days"),
    Feature("active_days_30d", "active days in 30 days", "count", "logins",
            "more active days in 30 days than usual", "fewer active days in 30 days than usual",
            "days with a session, a round or a completed deposit, last 30 days"),
    Feature("active_days_90d", "active days in 90 days", "count", "logins",
            "more active days in 90 days than usual", "fewer active days in 90 days than usual",
            "days with a session, a round or a completed deposit, last 90 days"),
    Feature("active_weeks_90d", "active weeks of the last 13", "count", "logins",
            "comes in more weeks than usual", "comes in fewer weeks than usual",
            "of the 13 blocks of 7 days before as_of's day, those with an active day"),
    Feature("usual_gap_days", "usual days between visits", "days", "logins",
            "longer breaks between visits than usual", "shorter breaks between visits than usual",
            "(last - first active day) / (active days - 1) within the last 365 days; NaN below two active days",
            unknown="fewer than two active days in a year"),
    Feature("gap_overdue", "time away, in multiples of the usual break", "ratio", "logins",
            "more overdue than usual", "less overdue than usual",
            "days_since_last_activity / usual_gap_days; NaN when either is", unknown="fewer than two active days in a year"),
    Feature("sessions_trend", "sessions: 30 days against 90", "ratio", "logins",
            "more sessions lately than before, beside others", "fewer sessions lately than before, beside others",
            "daily rate of sessions over 30 days / over 90 days; a rate divides by the days of the window that the player has been "
            "here; NaN without a session in 90 days", unknown="no session in 90 days"),
    Feature("sessions_week_trend", "sessions: 7 days against 30", "ratio", "logins",
            "more sessions this week than before, beside others", "fewer sessions this week than before, beside others",
            "daily rate of sessions over 7 days / over 30 days; a rate divides by the days of the window that the player has been "
            "here; NaN without a session in 30 days", unknown="no session in 30 days"),
    Feature("weekend_share", "share of active days at weekends", "share", "logins",
            "comes at weekends more than usual", "comes on working days more than usual",
            "active days on a Saturday or Sunday / active days, last 90 days; NaN without one", unknown="no active day in 90 days"),
    Feature("top_weekday_share", "share of the favourite weekday", "share", "logins",
            "keeps to one weekday more than usual", "keeps to one weekday less than usual",
            "active days on the commonest weekday / active days, last 90 days; NaN without one", unknown="no active day in 90 days"),
    Feature("days_since_last_deposit", "days since last deposit", "days", "deposits",
            "last deposit longer ago than usual", "deposited more recently than usual",
            "days from the last day with a completed deposit to the day of as_of; NaN when there was none", unknown="no deposit yet"),
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
    Feature("deposit_count_total", "deposits in all", "count", "deposits",
            "more deposits so far than usual", "fewer deposits so far than usual",
            "completed deposits, all days"),
    Feature("deposits_total", "deposited in all", "currency units", "deposits",
            "has deposited more than usual", "has deposited less than usual",
            "completed deposits of all days; the latest totals statement before as_of's day stands for the days up to its own"),
    Feature("deposit_mean", "usual deposit", "currency units", "deposits", "larger deposits than usual", "smaller deposits than usual",
            "mean completed deposit, all days; NaN without one", unknown="no deposit yet"),
    Feature("deposit_failure_rate", "share of deposits that failed", "share", "deposits",
            "deposits fail more often than usual", "deposits fail less often than usual",
            "failed / (failed + completed) deposits, last 365 days; NaN without an attempt",
            unknown="no attempt to deposit in a year"),
    Feature("deposits_trend", "deposits: 30 days against 90", "ratio", "deposits",
            "more deposited lately than before, beside others", "less deposited lately than before, beside others",
            "daily rate of deposited money over 30 days / over 90 days; a rate divides by the days of the window that the player "
            "has been here; NaN when nothing was deposited in 90 days", unknown="no deposit in 90 days"),
    Feature("withdrawals_90d", "withdrawn in 90 days", "currency units", "deposits", "withdrew more than usual", "withdrew less than usual",
            "sum of completed withdrawals, last 90 days"),
    Feature("withdrawal_count_90d", "withdrawals in 90 days", "count", "deposits",
            "more withdrawals than usual", "fewer withdrawals than usual",
            "completed withdrawals, last 90 days"),
    Feature("days_since_last_play", "days since last bet", "days", "gameplay",
            "last bet longer ago than usual", "played more recently than usual",
            "days from the last day with a round to the day of as_of; NaN when there was none", unknown="no bet yet"),
    Feature("stake_7d", "staked money in 7 days", "currency units", "gameplay",
            "more staked money in 7 days than usual", "less staked money in 7 days than usual",
            "sum of stakes, bonus money included, last 7 days"),
    Feature("stake_30d", "staked money in 30 days", "currency units", "gameplay",
            "more staked money in 30 days than usual", "less staked money in 30 days than usual",
            "sum of stakes, bonus money included, last 30 days"),
    Feature("stake_90d", "staked money in 90 days", "currency units", "gameplay",
            "more staked money in 90 days than usual", "less staked money in 90 days than usual",
            "sum of stakes, bonus money included, last 90 days"),
    Feature("stake_total", "staked in all", "currency units", "gameplay", "has staked more than usual", "has staked less than usual",
            "stakes of all days; the latest totals statement before as_of's day stands for the days up to its own"),
    Feature("rounds_90d", "rounds in 90 days", "count", "gameplay",
            "more rounds than usual", "fewer rounds than usual", "rounds, last 90 days"),
    Feature("stake_mean_90d", "usual stake", "currency units", "gameplay", "higher stakes than usual", "lower stakes than usual",
            "stake / rounds, last 90 days; NaN without a round", unknown="no round in 90 days"),
    Feature("max_stake_90d", "highest stake in 90 days", "currency units", "gameplay",
            "a higher top stake than usual", "a lower top stake than usual",
            "largest stake / rounds of one play record, last 90 days"),
    Feature("stake_trend", "stakes: 30 days against 90", "ratio", "gameplay",
            "more staked lately than before, beside others", "less staked lately than before, beside others",
            "daily rate of stakes over 30 days / over 90 days; a rate divides by the days of the window that the player has been "
            "here; NaN when nothing was staked in 90 days", unknown="nothing staked in 90 days"),
    Feature("stake_week_trend", "stakes: 7 days against 30", "ratio", "gameplay",
            "more staked this week than before, beside others", "less staked this week than before, beside others",
            "daily rate of stakes over 7 days / over 30 days; a rate divides by the days of the window that the player has been "
            "here; NaN when nothing was staked in 30 days", unknown="nothing staked in 30 days"),
    Feature("game_variety_90d", "different games in 90 days", "count", "gameplay",
            "plays more games than usual", "plays fewer games than usual",
            "different games played, last 90 days"),
    Feature("top_game_share_90d", "share of the preferred game", "share", "gameplay",
            "keeps to one game more than usual", "keeps to one game less than usual",
            "stake on the game with most stake / stake, last 90 days; NaN without stake", unknown="nothing staked in 90 days"),
    Feature("slots_share_90d", "share of slots", "share", "gameplay", "plays slots more than usual", "plays slots less than usual",
            "stake on slots / stake, last 90 days; NaN without stake", unknown="nothing staked in 90 days"),
    Feature("table_share_90d", "share of table games", "share", "gameplay",
            "plays table games more than usual", "plays table games less than usual",
            "stake on table games, roulette, blackjack and poker / stake, last 90 days; NaN without stake",
            unknown="nothing staked in 90 days"),
    Feature("live_share_90d", "share of live games", "share", "gameplay",
            "plays live games more than usual", "plays live games less than usual",
            "stake on live games / stake, last 90 days; NaN without stake", unknown="nothing staked in 90 days"),
    Feature("sports_share_90d", "share of sports bets", "share", "gameplay",
            "bets on sports more than usual", "bets on sports less than usual",
            "stake on sports / stake, last 90 days; NaN without stake", unknown="nothing staked in 90 days"),
    Feature("win_ratio_90d", "won per unit staked", "ratio", "gameplay", "won back more than usual", "won back less than usual",
            "payout / stake, last 90 days; NaN without stake", unknown="nothing staked in 90 days"),
    Feature("volatility_90d", "ups and downs of the daily result", "ratio", "gameplay",
            "larger ups and downs than usual", "smaller ups and downs than usual",
            "sample standard deviation of payout - stake over the days with stake / mean stake of these days, last 90 days; NaN below two",
            unknown="fewer than two days with a stake in 90 days"),
    Feature("ngr_30d", "net gaming revenue in 30 days", "currency units", "value",
            "brought in more than usual", "brought in less than usual",
            "stake - payout - bonus money turned real, last 30 days"),
    Feature("ngr_90d", "net gaming revenue in 90 days", "currency units", "value",
            "brought in more than usual", "brought in less than usual",
            "stake - payout - bonus money turned real, last 90 days"),
    Feature("ngr_365d", "net gaming revenue in 365 days", "currency units", "value",
            "brought in more than usual", "brought in less than usual",
            "stake - payout - bonus money turned real, last 365 days"),
    Feature("theo_90d", "theoretical win in 90 days", "currency units", "value",
            "higher theoretical win than usual", "lower theoretical win than usual",
            "sum of stake x house edge, last 90 days"),
    Feature("bg_frequency", "repeat deposit days", "count", "value", "more repeat deposits than usual", "fewer repeat deposits than usual",
            "days with deposited money after the first such day; NaN before the first", unknown="no deposit yet"),
    Feature("bg_recency", "weeks from first to last deposit", "weeks", "value",
            "has deposited over a longer time than usual", "has deposited over a shorter time than usual",
            "(last - first day with deposited money) / 7; NaN before the first", unknown="no deposit yet"),
    Feature("bg_age", "weeks since first deposit", "weeks", "value",
            "began to deposit earlier than usual", "began to deposit later than usual",
            "(day of as_of - first day with deposited money) / 7; NaN before the first", unknown="no deposit yet"),
    Feature("bg_spend", "deposited per repeat deposit day", "currency units", "value",
            "deposits more at a time than usual", "deposits less at a time than usual",
            "mean deposited on the days with deposited money after the first; NaN when there is none",
            unknown="no second day with a deposit yet"),
    Feature("bonus_share_90d", "share of stakes paid with bonus money", "share", "bonus",
            "plays with bonus money more than usual", "plays with own money more than usual",
            "bonus part of stakes / stake, last 90 days; NaN without stake", unknown="nothing staked in 90 days"),
    Feature("bonuses_90d", "bonuses taken in 90 days", "count", "bonus", "more bonuses taken than usual", "fewer bonuses taken than usual",
            "bonuses activated, last 90 days"),
    Feature("bonus_take_rate", "share of offered bonuses taken", "share", "bonus",
            "takes more of the offered bonuses than usual", "takes fewer of the offered bonuses than usual",
            "of the bonuses offered in the last 365 days, those activated before as_of's day; NaN without an offer",
            unknown="no bonus offered in a year"),
    Feature("bonus_cost_90d", "bonus money turned real in 90 days", "currency units", "bonus",
            "cost more in bonuses than usual", "cost less in bonuses than usual", "bonus money released to cash, last 90 days"),
    Feature("bonus_cost_share_90d", "bonus money turned real per deposited money", "ratio", "bonus",
            "more bonus money per deposit than usual", "less bonus money per deposit than usual",
            "bonus_cost_90d / deposits_90d; NaN when nothing was deposited in 90 days", unknown="no deposit in 90 days"),
    Feature("tenure_days", "days since registration", "days", "account", "with us for longer than most", "registered later than most",
            "days from the day of registration, or the first active day when that is earlier or alone, to the day of as_of"),
    Feature("payment_methods", "payment methods in 365 days", "count", "account",
            "more payment methods than usual", "fewer payment methods than usual",
            "different named methods of completed deposits and withdrawals, last 365 days"),
    Feature("instruments", "cards and accounts in 365 days", "count", "risk",
            "pays from more cards or accounts than usual", "pays from fewer cards or accounts than usual",
            "different instruments of attempted payments, last 365 days"),
    Feature("devices", "devices in 90 days", "count", "risk",
            "more devices than usual", "fewer devices than usual", "different device ids, sessions of 90 days"),
    Feature("ips", "IP addresses in 90 days", "count", "risk", "more addresses than usual", "fewer addresses than usual",
            "different addresses, sessions of 90 days"),
    Feature("rapid_deposits", "deposits per session", "ratio", "risk",
            "more deposits a session than usual", "fewer deposits a session than usual",
            "deposit_count_90d / (sessions_90d + 1)"),
    Feature("refunds_365d", "refunded in 365 days", "currency units", "risk",
            "more refunds or chargebacks than usual", "fewer refunds or chargebacks than usual",
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
