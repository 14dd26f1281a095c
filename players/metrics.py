"""Every figure of a player as of one instant, in one pass of the database over a range of players.

`docs/metrics.md` defines each figure, its unit and its edge cases. What counts:

* activity at or before `as_of`. Whole days come from the roll-up; the day of `as_of` itself is summed from its events up to that
  instant, so a past `as_of` gives the figures of that moment;
* the player's latest totals statement at or before `as_of`, if there is one, and the days after the statement's day. Figures that a
  statement does not carry (withdrawals, counts of payments, days, windows) come from all days.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from loyalty_site.common.clock import require_utc
from players import thresholds
from players.activity.days import FIGURES, HAS_ACTIVITY, day_figures_ctes, utc_day

LONG_WINDOW_DAYS = 30
SHORT_WINDOW_DAYS = 7

# Columns hold 8 digits before the point; a ratio beyond that (a jackpot on a minimal stake) is stored as the largest value.
_LARGEST = "99999999"

_AFTER = "FILTER (WHERE d.after_statement)"
_SHORT = f"FILTER (WHERE d.day > %(today)s::date - {SHORT_WINDOW_DAYS})"
_LONG = f"FILTER (WHERE d.day > %(today)s::date - {LONG_WINDOW_DAYS})"
_YESTERDAY = "FILTER (WHERE d.day = %(today)s::date - 1)"
_PLAYED = "FILTER (WHERE d.stake > 0)"
_ACTIVE = "FILTER (WHERE d.deposit_count > 0 OR d.rounds > 0 OR d.sessions > 0)"

# stored column -> SQL over s (sums of the player's days) and t (statement)
_METRICS = {
    "total_deposited": "COALESCE(t.total_deposited, 0) + s.deposits",
    "total_withdrawn": "s.withdrawals",
    "total_refunded": "s.refunds",
    "total_wagered": "f.wagered",
    "total_won": "f.won",
    "net_pnl": "f.won - f.wagered",
    "net_loss": "GREATEST(f.wagered - f.won, 0)",
    "house_edge_contribution": "round(COALESCE(t.total_wagered, 0) * %(edge)s::numeric, 9) + s.theo",
    "bonus_wagered": "s.bonus_stake",
    "deposit_count": "s.deposit_count",
    "withdrawal_count": "s.withdrawal_count",
    "sessions": "f.sessions",
    "playtime_hours": "f.playtime_hours",
    "avg_session_duration": f"LEAST(COALESCE(round(f.playtime_exact * 60 / NULLIF(f.sessions, 0), 4), 0), {_LARGEST})",
    "total_bets": "f.bets",
    # a statement that does not say its number of bets leaves the average to the days that do
    "avg_bet_size": """COALESCE(round(CASE WHEN t.player_id IS NULL OR t.bets IS NOT NULL
        THEN f.wagered / NULLIF(f.bets, 0) ELSE s.all_stake / NULLIF(s.all_rounds, 0) END, 4), 0)""",
    "active_days": "s.active_days",
    "first_activity_on": "s.first_activity_on",
    "last_activity_on": "s.last_activity_on",
    "last_deposit_on": "s.last_deposit_on",
    "last_play_on": "s.last_play_on",
    "win_loss_ratio": f"LEAST(COALESCE(round(f.won / NULLIF(f.wagered, 0), 6), 0), {_LARGEST})",
    "volatility_score": f"LEAST(COALESCE(round(s.result_sd / s.mean_stake, 6), 0), {_LARGEST})",
    "deposited_7d": "s.deposited_7d",
    "wagered_7d": "s.wagered_7d",
    "net_loss_7d": "GREATEST(s.wagered_7d - s.won_7d, 0)",
    "sessions_7d": "s.sessions_7d",
    "deposited_30d": "s.deposited_30d",
    "wagered_30d": "s.wagered_30d",
    "net_loss_30d": "GREATEST(s.wagered_30d - s.won_30d, 0)",
    "sessions_30d": "s.sessions_30d",
    "wagered_1d": "s.wagered_1d",
    "net_loss_1d": "GREATEST(s.wagered_1d - s.won_1d, 0)",
}

# sums over the days d of one player; every one is 0 (dates: empty) for a player without days
_SUMS = {
    "deposits": f"sum(d.deposits) {_AFTER}",
    "theo": f"sum(d.theo) {_AFTER}",
    "stake": f"sum(d.stake) {_AFTER}",
    "payout": f"sum(d.payout) {_AFTER}",
    "rounds": f"sum(d.rounds) {_AFTER}",
    "sessions": f"sum(d.sessions) {_AFTER}",
    "playtime_seconds": f"sum(d.playtime_seconds) {_AFTER}",
    "withdrawals": "sum(d.withdrawals)",
    "withdrawal_count": "sum(d.withdrawal_count)",
    "deposit_count": "sum(d.deposit_count)",
    "refunds": "sum(d.refunds)",
    "bonus_stake": "sum(d.bonus_stake)",
    "all_stake": "sum(d.stake)",
    "all_rounds": "sum(d.rounds)",
    "active_days": f"count(*) {_ACTIVE}",
    "deposited_7d": f"sum(d.deposits) {_SHORT}",
    "wagered_7d": f"sum(d.stake) {_SHORT}",
    "won_7d": f"sum(d.payout) {_SHORT}",
    "sessions_7d": f"sum(d.sessions) {_SHORT}",
    "deposited_30d": f"sum(d.deposits) {_LONG}",
    "wagered_30d": f"sum(d.stake) {_LONG}",
    "won_30d": f"sum(d.payout) {_LONG}",
    "sessions_30d": f"sum(d.sessions) {_LONG}",
    "wagered_1d": f"sum(d.stake) {_YESTERDAY}",
    "won_1d": f"sum(d.payout) {_YESTERDAY}",
}
_FACTS = {
    "first_activity_on": f"min(d.day) {_ACTIVE}",
    "last_activity_on": f"max(d.day) {_ACTIVE}",
    "last_deposit_on": "max(d.day) FILTER (WHERE d.deposit_count > 0)",
    "last_play_on": "max(d.day) FILTER (WHERE d.rounds > 0)",
    "result_sd": f"stddev_samp(d.payout - d.stake) {_PLAYED}",
    "mean_stake": f"avg(d.stake) {_PLAYED}",
}

METRIC_COLUMNS = tuple(_METRICS)


@dataclass(frozen=True)
class _Scope:
    """Which players: `condition` is SQL with {id} for the column that holds the player's id."""

    condition: str
    parameters: dict[str, Any]

    def on(self, column: str) -> str:
        return self.condition.format(id=column)


def _range_scope(lower_id: int, upper_id: int) -> _Scope:
    return _Scope("{id} >= %(lower)s AND {id} < %(upper)s", {"lower": lower_id, "upper": upper_id})


def _ids_scope(player_ids: Sequence[int]) -> _Scope:
    return _Scope("{id} = ANY(%(ids)s)", {"ids": [int(one) for one in player_ids]})


def _measured_sql(scope: _Scope) -> str:
    """A WITH list that ends in measured(player_id, ...METRIC_COLUMNS), one row for every player of the scope."""
    figures = ", ".join(FIGURES)
    # the constants say again what the join says, so that the planner sees how few events of how few players it is about
    so_far_today = (
        f"{scope.on('{player}')} AND {{moment}} >= %(today)s::timestamp AT TIME ZONE 'UTC' AND {{moment}} <= %(as_of)s::timestamptz"
    )
    return f"""
    WITH statement AS (
        SELECT DISTINCT ON (player_id) * FROM players_activitytotals
        WHERE {scope.on("player_id")} AND as_of <= %(as_of)s ORDER BY player_id, as_of DESC
    ), today AS (
        SELECT player_id, day FROM players_playerday WHERE {scope.on("player_id")} AND day = %(today)s::date
    ), {day_figures_ctes("today", so_far_today)}, counted_day AS (
        SELECT player_id, day, {figures} FROM players_playerday WHERE {scope.on("player_id")} AND day < %(today)s::date
        UNION ALL
        SELECT c.player_id, c.day, {", ".join(f"c.{one}" for one in FIGURES)} FROM day_figures c WHERE {HAS_ACTIVITY}
    ), d AS (
        SELECT c.*, t.player_id IS NULL OR c.day > {utc_day("t.as_of")} AS after_statement
        FROM counted_day c LEFT JOIN statement t USING (player_id)
    ), days AS (
        SELECT d.player_id, {", ".join(f"{sql} AS {name}" for name, sql in (_SUMS | _FACTS).items())} FROM d GROUP BY d.player_id
    ), s AS (
        SELECT p.id AS player_id, {", ".join(f"COALESCE({name}, 0) AS {name}" for name in _SUMS)}, {", ".join(_FACTS)}
        FROM players_player p LEFT JOIN days ON days.player_id = p.id WHERE {scope.on("p.id")}
    ), measured AS (
        SELECT s.player_id, {", ".join(f"{sql} AS {name}" for name, sql in _METRICS.items())}
        FROM s LEFT JOIN statement t USING (player_id)
        CROSS JOIN LATERAL (
            SELECT COALESCE(t.total_wagered, 0) + s.stake AS wagered,
                COALESCE(t.total_won, 0) + s.payout AS won,
                COALESCE(t.sessions, 0) + s.sessions AS sessions,
                CASE WHEN t.player_id IS NULL OR t.bets IS NOT NULL THEN COALESCE(t.bets, 0) + s.rounds ELSE s.all_rounds END AS bets,
                COALESCE(t.playtime_hours, 0) + s.playtime_seconds / 3600.0 AS playtime_exact,
                round(COALESCE(t.playtime_hours, 0) + s.playtime_seconds / 3600.0, 4) AS playtime_hours
        ) f
    )"""


def _refresh(scope: _Scope, as_of: datetime) -> int:
    columns = ("as_of", *METRIC_COLUMNS)
    with transaction.atomic(), connection.cursor() as cursor:
        # One refresh after the other for the same player: the later one reads what the earlier one's writer committed.
        cursor.execute(
            f"SELECT 1 FROM players_playermetrics WHERE {scope.on('player_id')} ORDER BY player_id FOR NO KEY UPDATE", scope.parameters
        )
        cursor.execute(
            f"""
            {_measured_sql(scope)}, written AS (
                INSERT INTO players_playermetrics AS m (player_id, {", ".join(columns)}, bonus_abuse_score)
                SELECT player_id, %(as_of)s::timestamptz, {", ".join(METRIC_COLUMNS)}, 0 FROM measured ORDER BY player_id
                ON CONFLICT (player_id) DO UPDATE SET {", ".join(f"{name} = EXCLUDED.{name}" for name in columns)}
                WHERE ({", ".join(f"m.{name}" for name in columns)})
                    IS DISTINCT FROM ({", ".join(f"EXCLUDED.{name}" for name in columns)})
            )
            SELECT count(*) FROM measured
            """,
            _parameters(scope, as_of),
        )
        return int(cursor.fetchone()[0])


def _parameters(scope: _Scope, as_of: datetime) -> dict[str, Any]:
    as_of = require_utc(as_of, "as_of")
    edge: Decimal = thresholds.default_house_edge()
    return scope.parameters | {"as_of": as_of, "today": as_of.date(), "edge": edge}


def refresh_metrics(lower_id: int, upper_id: int, as_of: datetime) -> int:
    """Measure the players with `lower_id <= id < upper_id` as of an instant and store it. Returns how many were measured.

    The abuse score is left as it is (`apply_abuse_scores` writes it). Rows that stay equal are not written.
    """
    return _refresh(_range_scope(lower_id, upper_id), as_of)


def refresh_metrics_for(player_ids: Sequence[int], as_of: datetime) -> int:
    """`refresh_metrics` for some players.

    Their rows are locked first: whoever measures a few players goes on to do something about them in the same transaction, and locks
    go players, then metrics, everywhere. A range is measured by a job whose transaction ends there.
    """
    scope = _ids_scope(player_ids)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT id FROM players_player WHERE {scope.on('id')} ORDER BY id FOR NO KEY UPDATE", scope.parameters)
        return _refresh(scope, as_of)


def measure(player_ids: Sequence[int], as_of: datetime) -> dict[int, dict[str, Any]]:
    """The figures of some players as of an instant, by player id and METRIC_COLUMNS name; stores nothing."""
    scope = _ids_scope(player_ids)
    with connection.cursor() as cursor:
        cursor.execute(f"{_measured_sql(scope)} SELECT player_id, {', '.join(METRIC_COLUMNS)} FROM measured", _parameters(scope, as_of))
        return {row[0]: dict(zip(METRIC_COLUMNS, row[1:], strict=True)) for row in cursor.fetchall()}
