"""The features of `predictions.ml.features` in SQL: exact sums per player first, then one expression for each feature.

Sums are exact decimals or whole numbers before they become floats, so the order in which rows are read changes no bit of them.
"""

from loyalty_site.common.money import OTHER_EXPONENTS
from predictions.ml.features import FEATURES

from .copying import CURRENCY_BYTES
from .scope import Scope, known_sql

_ACTIVE = "(d.deposit_count > 0 OR d.rounds > 0 OR d.sessions > 0)"
# 2000-01-03 was a Monday. No weekday comes 16 times in 90 days, so seven counts of four bits fit into one sum.
_WEEKDAY_BIT = "1 << (4 * mod(d.day - date '2000-01-03', 7))"
_WEEK_BIT = "1 << ((%(today)s::date - 1 - d.day) / 7)"


def _within(days: int, condition: str = "true") -> str:
    return f"FILTER (WHERE d.day >= %(today)s::date - {days} AND {condition})"


# Sums over the days d of a player before the cut, 0 when there is none: over all days, and over the last 91 alone. Every aggregate costs
# its filter on every row, and most rows are older than that.
_ALL_SUMS = {
    "active_365": f"count(*) {_within(365, _ACTIVE)}",
    "deposit_count": "sum(d.deposit_count)",
    "deposit_count_365": f"sum(d.deposit_count) {_within(365)}",
    "deposits": "sum(d.deposits)",
    "stake": "sum(d.stake)",
    "failed_365": f"sum(d.failed_deposit_count) {_within(365)}",
    "refunds_365": f"sum(d.refunds) {_within(365)}",
    "result_365": f"sum(d.stake - d.payout) {_within(365)}",
    "deposit_days": "count(*) FILTER (WHERE d.deposits > 0)",
}
_LATE_SUMS = {
    **{f"sessions_{days}": f"sum(d.sessions) {_within(days)}" for days in (7, 14, 30, 90)},
    **{f"active_{days}": f"count(*) {_within(days, _ACTIVE)}" for days in (7, 30, 90)},
    "weeks": f"bit_or({_WEEK_BIT}) FILTER (WHERE {_ACTIVE})",
    "weekdays": f"sum({_WEEKDAY_BIT}) {_within(90, _ACTIVE)}",
    **{f"deposit_count_{days}": f"sum(d.deposit_count) {_within(days)}" for days in (30, 90)},
    **{f"deposits_{days}": f"sum(d.deposits) {_within(days)}" for days in (30, 90)},
    "withdrawals_90": f"sum(d.withdrawals) {_within(90)}",
    "withdrawal_count_90": f"sum(d.withdrawal_count) {_within(90)}",
    **{f"stake_{days}": f"sum(d.stake) {_within(days)}" for days in (7, 30, 90)},
    "payout_30": f"sum(d.payout) {_within(30)}",
    "payout_90": f"sum(d.payout) {_within(90)}",
    "bonus_stake_90": f"sum(d.bonus_stake) {_within(90)}",
    "theo_90": f"sum(d.theo) {_within(90)}",
    "rounds_90": f"sum(d.rounds) {_within(90)}",
    "max_stake_90": f"max(d.max_stake) {_within(90)}",
    "stake_days_90": f"count(*) {_within(90, 'd.stake > 0')}",
}
# facts of the days of a player: NULL when there is none
_ALL_FACTS = {
    "last_active": f"max(d.day) FILTER (WHERE {_ACTIVE})",
    "first_active": f"min(d.day) FILTER (WHERE {_ACTIVE})",
    "first_active_365": f"min(d.day) {_within(365, _ACTIVE)}",
    "last_deposit": "max(d.day) FILTER (WHERE d.deposit_count > 0)",
    "last_play": "max(d.day) FILTER (WHERE d.rounds > 0)",
    "first_money": "min(d.day) FILTER (WHERE d.deposits > 0)",
    "last_money": "max(d.day) FILTER (WHERE d.deposits > 0)",
    "first_deposits": "(array_agg(d.deposits ORDER BY d.day) FILTER (WHERE d.deposits > 0))[1]",
}
_LATE_FACTS = {"result_sd_90": f"stddev_samp(d.payout - d.stake) {_within(90, 'd.stake > 0')}"}
_CATEGORIES = {"slots": "'slots'", "table": "'table', 'roulette', 'blackjack', 'poker'", "live": "'live'", "sports": "'sports'"}
# sums over the events that the roll-up does not keep apart
_EVENT_SUMS = {
    "play": ("games", "top_stake", "game_stake", *(f"{name}_stake" for name in _CATEGORIES)),
    "visit": ("ips", "devices"),
    "paid": ("methods", "instruments"),
    "bonus": ("bonuses_90", "offered_365", "taken_365"),
    "cost": ("cost_30", "cost_90", "cost_365"),
}


def _rate(sums: str, short: int, long: int) -> str:
    """Daily rate over the short window in terms of that over the long one, both over the days that the player has been here."""
    return f"({sums}_{short} / least({short}, tenure)) / (nullif({sums}_{long}, 0) / least({long}, tenure))"


def _on_weekday(number: int) -> str:
    """Active days of 90 on a weekday, 0 for Monday."""
    return f"(weekdays::bigint >> {4 * number} & 15)"


# feature -> SQL over r, whose columns are double precision; money is still in the player's currency
_FEATURES = {
    "days_since_last_activity": "idle",
    **{f"sessions_{days}d": f"sessions_{days}" for days in (7, 14, 30, 90)},
    "session_minutes_mean": "session_seconds / nullif(sessions_ended, 0) / 60",
    **{f"active_days_{days}d": f"active_{days}" for days in (7, 30, 90)},
    "active_weeks_90d": "bit_count(weeks::bigint::bit(64))",
    "usual_gap_days": "usual_gap",
    "gap_overdue": "idle / usual_gap",
    "sessions_trend": _rate("sessions", 30, 90),
    "sessions_week_trend": _rate("sessions", 7, 30),
    "weekend_share": f"({_on_weekday(5)} + {_on_weekday(6)}) / nullif(active_90, 0)",
    "top_weekday_share": f"greatest({', '.join(_on_weekday(number) for number in range(7))}) / nullif(active_90, 0)",
    "days_since_last_deposit": "deposit_idle",
    "deposit_count_30d": "deposit_count_30",
    "deposit_count_90d": "deposit_count_90",
    "deposits_30d": "deposits_30",
    "deposits_90d": "deposits_90",
    "deposit_count_total": "deposit_count",
    "deposits_total": "deposits + stated_deposits",
    "deposit_mean": "deposits / nullif(deposit_count, 0)",
    "deposit_failure_rate": "failed_365 / nullif(failed_365 + deposit_count_365, 0)",
    "deposits_trend": _rate("deposits", 30, 90),
    "withdrawals_90d": "withdrawals_90",
    "withdrawal_count_90d": "withdrawal_count_90",
    "days_since_last_play": "play_idle",
    **{f"stake_{days}d": f"stake_{days}" for days in (7, 30, 90)},
    "stake_total": "stake + stated_stake",
    "rounds_90d": "rounds_90",
    "stake_mean_90d": "stake_90 / nullif(rounds_90, 0)",
    "max_stake_90d": "max_stake_90",
    "stake_trend": _rate("stake", 30, 90),
    "stake_week_trend": _rate("stake", 7, 30),
    "game_variety_90d": "games",
    "top_game_share_90d": "top_stake / nullif(game_stake, 0)",
    **{f"{name}_share_90d": f"{name}_stake / nullif(game_stake, 0)" for name in _CATEGORIES},
    "win_ratio_90d": "payout_90 / nullif(stake_90, 0)",
    "volatility_90d": "result_sd_90 / (stake_90 / nullif(stake_days_90, 0))",
    **{f"ngr_{days}d": f"stake_{days} - payout_{days} - cost_{days}" for days in (30, 90)},
    "ngr_365d": "result_365 - cost_365",
    "theo_90d": "theo_90",
    "bg_frequency": "nullif(deposit_days, 0) - 1",
    "bg_recency": "money_span / 7",
    "bg_age": "money_age / 7",
    "bg_spend": "(deposits - first_deposits) / nullif(deposit_days - 1, 0)",
    "bonus_share_90d": "bonus_stake_90 / nullif(stake_90, 0)",
    "bonuses_90d": "bonuses_90",
    "bonus_take_rate": "taken_365 / nullif(offered_365, 0)",
    "bonus_cost_90d": "cost_90",
    "bonus_cost_share_90d": "cost_90 / nullif(deposits_90, 0)",
    "tenure_days": "tenure",
    "payment_methods": "methods",
    "instruments": "instruments",
    "devices": "devices",
    "ips": "ips",
    "rapid_deposits": "deposit_count_90 / (sessions_90 + 1)",
    "refunds_365d": "refunds_365",
}


def minor_units_sql(currency: str) -> str:
    """SQL for the number of minor units in one unit of the currency in the column `currency`."""
    cases = " ".join(f"WHEN '{code}' THEN {10**places}" for code, places in OTHER_EXPONENTS.items())
    return f"(CASE {currency} {cases} ELSE 100 END)::numeric"


def cost_cte(scope: Scope, name: str, sums: str, begins: str, ends: str) -> str:
    """A CTE `name(player_id, ...sums)` over c(moment, amount): bonus money turned real between two instants, in units of the currency.

    What was turned real is what the wallet told the platform to pay, at the instant of the ledger's entry: the cost of the bonus funnel
    (`wallet.funnel.Line.cost`), dated. Amounts of another currency than the player's own stay out.
    """
    return f"""{name} AS (
        SELECT c.player_id, {sums} FROM (
            SELECT o.player_id, e.occurred_at AS moment, o.amount / {minor_units_sql("o.currency")} AS amount
            FROM wallet_payoutinstruction o JOIN wallet_entry e ON e.id = o.entry_id JOIN players_player p ON p.id = o.player_id
            WHERE {scope.on("o.player_id")} AND o.currency = p.currency AND e.occurred_at >= {begins} AND e.occurred_at < {ends}
        ) c GROUP BY c.player_id
    )"""


def _days_ctes(scope: Scope) -> str:
    def over(aggregates: dict[str, str], condition: str) -> str:
        return f"""SELECT d.player_id, {", ".join(f"{sql} AS {name}" for name, sql in aggregates.items())} FROM players_playerday d
        WHERE {scope.on("d.player_id")} AND d.day < %(today)s::date AND {condition} GROUP BY d.player_id"""

    # a statement stands for the days up to its own
    return f"""days AS ({over(_ALL_SUMS | _ALL_FACTS, "true")}
    ), late AS ({over(_LATE_SUMS | _LATE_FACTS, "d.day >= %(today)s::date - 91")}
    ), stated AS (
        SELECT t.player_id, t.total_deposited - coalesce(sum(d.deposits), 0) AS stated_deposits,
            t.total_wagered - coalesce(sum(d.stake), 0) AS stated_stake
        FROM statement t LEFT JOIN players_playerday d ON d.player_id = t.player_id AND d.day <= t.day AND d.day < %(today)s::date
        GROUP BY t.player_id, t.total_deposited, t.total_wagered
    )"""


def _event_ctes(scope: Scope) -> str:
    """What the roll-up does not hold. Counts of different values are counts of groups: cheaper than count(DISTINCT)."""
    by_category = ", ".join(
        f"coalesce(sum(b.stake) FILTER (WHERE g.category IN ({codes})), 0) AS {name}_stake" for name, codes in _CATEGORIES.items()
    )
    money_out = cost_cte(
        scope,
        "cost",
        ", ".join(
            f"coalesce(sum(c.amount) FILTER (WHERE c.moment >= %(cut)s - interval '{days} days'), 0) AS cost_{days}"
            for days in (30, 90, 365)
        ),
        "%(from_365)s",
        "%(cut)s",
    )
    return f"""played AS (
        SELECT e.player_id, e.game_id, sum(e.stake) AS stake FROM players_gameplay e
        WHERE {scope.on("e.player_id")} AND e.played_at >= %(from_90)s AND e.played_at < %(cut)s GROUP BY e.player_id, e.game_id
    ), play AS (
        SELECT b.player_id, count(*) AS games, max(b.stake) AS top_stake, sum(b.stake) AS game_stake, {by_category}
        FROM played b JOIN players_game g ON g.id = b.game_id GROUP BY b.player_id
    ), visited AS (
        SELECT e.player_id, e.ip, e.device_id, count(*) FILTER (WHERE e.ended_at < %(cut)s) AS ended,
            sum(floor(date_part('epoch', e.ended_at - e.started_at))::bigint) FILTER (WHERE e.ended_at < %(cut)s) AS seconds
        FROM players_playsession e
        WHERE {scope.on("e.player_id")} AND e.started_at >= %(from_90)s AND e.started_at < %(cut)s
        GROUP BY e.player_id, e.ip, e.device_id
    ), visit AS (
        SELECT player_id, count(DISTINCT ip) AS ips, count(DISTINCT nullif(device_id, '')) AS devices,
            sum(ended) AS sessions_ended, sum(seconds) AS session_seconds
        FROM visited GROUP BY player_id
    ), paying AS (
        SELECT e.player_id, e.method, e.instrument, bool_or(e.status = 'COMPLETED') AS completed FROM players_payment e
        WHERE {scope.on("e.player_id")} AND e.occurred_at >= %(from_365)s AND e.occurred_at < %(cut)s
            AND e.kind IN ('DEPOSIT', 'WITHDRAWAL')
        GROUP BY e.player_id, e.method, e.instrument
    ), paid AS (
        SELECT player_id, count(DISTINCT nullif(method, '')) FILTER (WHERE completed) AS methods,
            count(DISTINCT nullif(instrument, '')) AS instruments
        FROM paying GROUP BY player_id
    ), bonus AS (
        SELECT e.player_id, count(*) FILTER (WHERE e.activated_at >= %(from_90)s AND e.activated_at < %(cut)s) AS bonuses_90,
            count(*) FILTER (WHERE e.offered_at >= %(from_365)s) AS offered_365,
            count(*) FILTER (WHERE e.offered_at >= %(from_365)s AND e.activated_at < %(cut)s) AS taken_365
        FROM wallet_bonusgrant e WHERE {scope.on("e.player_id")} AND e.offered_at < %(cut)s GROUP BY e.player_id
    ), {money_out}"""


def _raw_cte() -> str:
    """`r`: one row for every known player, all columns but the ids double precision."""
    sums = {"days": _ALL_SUMS, "late": _LATE_SUMS, "stated": ("stated_deposits", "stated_stake"), **_EVENT_SUMS}
    zeros = [f"coalesce({cte}.{name}, 0)::float8 AS {name}" for cte, names in sums.items() for name in names]
    day = "%(today)s::date"
    facts = {
        "tenure": f"{day} - least(k.registered_on, days.first_active)",
        "idle": f"{day} - days.last_active",
        "usual_gap": "(days.last_active - days.first_active_365)::numeric / nullif(days.active_365 - 1, 0)",
        "deposit_idle": f"{day} - days.last_deposit",
        "play_idle": f"{day} - days.last_play",
        "money_span": "days.last_money - days.first_money",
        "money_age": f"{day} - days.first_money",
        "first_deposits": "days.first_deposits",
        "result_sd_90": "late.result_sd_90",
        "sessions_ended": "visit.sessions_ended",
        "session_seconds": "visit.session_seconds",
    }
    return f"""r AS (
        SELECT k.player_id, k.currency, {", ".join(zeros)}, {", ".join(f"({sql})::float8 AS {name}" for name, sql in facts.items())}
        FROM known k {" ".join(f"LEFT JOIN {cte} USING (player_id)" for cte in sums)}
    )"""


def features_sql(scope: Scope) -> str:
    """Rows (player_id, currency, unit, ...FEATURE_NAMES) of the known players of the scope, by player id.

    Parameters beside those of the scope and `scope.instants`: `currencies` and `units`, arrays that belong together.
    """
    columns = []
    for feature in FEATURES:
        sql = _FEATURES[feature.name]
        columns.append(f"coalesce(({sql}){' / u.unit' if feature.is_money else ''}, 'NaN'::float8)")
    return f"""
    WITH {known_sql(scope)}, {_days_ctes(scope)}, {_event_ctes(scope)}, {_raw_cte()}
    SELECT r.player_id, {currency_sql("r.currency")}, coalesce(u.unit, 'NaN'::float8), {", ".join(columns)}
    FROM r LEFT JOIN unnest(%(currencies)s::text[], %(units)s::float8[]) AS u(currency, unit) USING (currency) ORDER BY r.player_id"""


def currency_sql(column: str) -> str:
    """The code as bytes of one length, which keeps the rows of a binary COPY of one width."""
    return f"substr(convert_to({column} || '{' ' * CURRENCY_BYTES}', 'UTF8'), 1, {CURRENCY_BYTES})"
