"""The roll-up: one row per player and UTC day, recomputed from the events of exactly the days that were touched."""

from decimal import Decimal
from typing import Any

from players import thresholds

TOUCHED_DAYS = "touched_player_day"
TOUCHED_PLAYERS = "touched_player"

FIGURES = (
    "deposits",
    "deposit_count",
    "failed_deposit_count",
    "withdrawals",
    "withdrawal_count",
    "refunds",
    "stake",
    "payout",
    "bonus_stake",
    "theo",
    "rounds",
    "max_stake",
    "games",
    "sessions",
    "playtime_seconds",
)

# A day with none of these has no row.
HAS_ACTIVITY = (
    "(c.deposit_count > 0 OR c.failed_deposit_count > 0 OR c.withdrawal_count > 0 OR c.refunds > 0 OR c.rounds > 0 OR c.sessions > 0)"
)


def utc_day(expression: str) -> str:
    """SQL for the UTC day of a timestamptz expression."""
    return f"({expression} AT TIME ZONE 'UTC')::date"


def day_figures_ctes(target: str, only: str = "true") -> str:
    """CTEs that end in `day_figures(player_id, day, ...FIGURES)` for the pairs of the relation `target(player_id, day)`.

    `only` is a further SQL condition on the events, with {player} and {moment} for an event's player and instant.
    Reads the parameter `edge`, the house edge of games without one.
    """

    def on_day(event: str, moment: str) -> str:
        # The range lets an index answer a few days, the equality lets a hash join answer many; both say the same.
        return (
            f"{event}.player_id = t.player_id AND {utc_day(f'{event}.{moment}')} = t.day "
            f"AND {event}.{moment} >= t.day::timestamp AT TIME ZONE 'UTC' AND {event}.{moment} < (t.day + 1)::timestamp AT TIME ZONE 'UTC' "
            f"AND {only.format(player=f'{event}.player_id', moment=f'{event}.{moment}')}"
        )

    return f"""
    day_money AS (
        SELECT t.player_id, t.day,
            sum(e.amount) FILTER (WHERE e.kind = 'DEPOSIT' AND e.status = 'COMPLETED') AS deposits,
            count(*) FILTER (WHERE e.kind = 'DEPOSIT' AND e.status = 'COMPLETED') AS deposit_count,
            count(*) FILTER (WHERE e.kind = 'DEPOSIT' AND e.status = 'FAILED') AS failed_deposit_count,
            sum(e.amount) FILTER (WHERE e.kind = 'WITHDRAWAL' AND e.status = 'COMPLETED') AS withdrawals,
            count(*) FILTER (WHERE e.kind = 'WITHDRAWAL' AND e.status = 'COMPLETED') AS withdrawal_count,
            sum(e.amount) FILTER (WHERE e.kind IN ('REFUND', 'CHARGEBACK') AND e.status = 'COMPLETED') AS refunds
        FROM {target} t JOIN players_payment e ON {on_day("e", "occurred_at")}
        GROUP BY t.player_id, t.day
    ), day_play AS (
        SELECT t.player_id, t.day, sum(e.stake) AS stake, sum(e.payout) AS payout, sum(e.bonus_stake) AS bonus_stake,
            round(sum(e.stake * COALESCE(g.house_edge, %(edge)s::numeric)), 9) AS theo, sum(e.rounds::bigint) AS rounds,
            max(round(e.stake / e.rounds, 4)) AS max_stake, count(DISTINCT e.game_id) AS games
        FROM {target} t JOIN players_gameplay e ON {on_day("e", "played_at")} JOIN players_game g ON g.id = e.game_id
        GROUP BY t.player_id, t.day
    ), day_session AS (
        SELECT t.player_id, t.day, count(*) AS sessions,
            sum(floor(extract(epoch FROM e.ended_at - e.started_at)))::bigint AS playtime_seconds
        FROM {target} t JOIN players_playsession e ON {on_day("e", "started_at")}
        GROUP BY t.player_id, t.day
    ), day_figures AS (
        SELECT t.player_id, t.day, {", ".join(f"COALESCE({figure}, 0) AS {figure}" for figure in FIGURES)}
        FROM {target} t LEFT JOIN day_money USING (player_id, day) LEFT JOIN day_play USING (player_id, day)
            LEFT JOIN day_session USING (player_id, day)
    )"""


_COMPUTE = f"""
CREATE TEMP TABLE computed_player_day ON COMMIT DROP AS
WITH touched AS (SELECT DISTINCT player_id, day FROM {TOUCHED_DAYS}), {day_figures_ctes("touched")}
SELECT * FROM day_figures
"""

_WRITE = f"""
INSERT INTO players_playerday AS d (player_id, day, {", ".join(FIGURES)})
SELECT c.player_id, c.day, {", ".join(f"c.{figure}" for figure in FIGURES)} FROM computed_player_day c
WHERE {HAS_ACTIVITY} ORDER BY c.player_id, c.day
ON CONFLICT (player_id, day) DO UPDATE SET {", ".join(f"{figure} = EXCLUDED.{figure}" for figure in FIGURES)}
WHERE ({", ".join(f"d.{figure}" for figure in FIGURES)}) IS DISTINCT FROM ({", ".join(f"EXCLUDED.{figure}" for figure in FIGURES)})
"""

_REMOVE = f"""
DELETE FROM players_playerday d USING computed_player_day c
WHERE d.player_id = c.player_id AND d.day = c.day AND NOT {HAS_ACTIVITY}
"""


def create_touched_tables(cursor: Any) -> None:
    """Create the empty temporary tables `touched_player_day(player_id, day)` and `touched_player(player_id)`, replacing older ones."""
    cursor.execute(f"DROP TABLE IF EXISTS pg_temp.{TOUCHED_DAYS}, pg_temp.{TOUCHED_PLAYERS}")
    cursor.execute(f"CREATE TEMP TABLE {TOUCHED_DAYS} (player_id bigint NOT NULL, day date NOT NULL) ON COMMIT DROP")
    cursor.execute(f"CREATE TEMP TABLE {TOUCHED_PLAYERS} (player_id bigint NOT NULL) ON COMMIT DROP")


def lock_touched_players(cursor: Any) -> None:
    """Lock the players of `touched_player_day`, in id order, until the transaction ends.

    Whoever changes or deletes events calls this before doing so: it is what makes the roll-up safe beside other writers.
    """
    lock_players(cursor, TOUCHED_DAYS)


def lock_players(cursor: Any, relation: str) -> None:
    """Lock the players named by `relation(player_id, ...)`, in id order, until the transaction ends."""
    cursor.execute(f"SELECT id FROM players_player WHERE id IN (SELECT player_id FROM {relation}) ORDER BY id FOR NO KEY UPDATE")


def refresh_days(cursor: Any, *, default_edge: Decimal | None = None) -> int:
    """Recompute the roll-up of the pairs in `touched_player_day` (duplicates allowed) from payments, sessions and plays.

    Days without anything to count lose their row; rows that stay equal are not written. `default_edge` is the house edge of
    games that have none (default: the threshold PROFIT_DEFAULT_HOUSE_EDGE). Returns the number of day rows written or removed.
    """
    if default_edge is None:
        default_edge = thresholds.default_house_edge()
    cursor.execute(f"ANALYZE {TOUCHED_DAYS}")
    lock_players(cursor, TOUCHED_DAYS)
    cursor.execute("DROP TABLE IF EXISTS pg_temp.computed_player_day")
    cursor.execute(_COMPUTE, {"edge": default_edge})
    cursor.execute(_WRITE)
    changed = cursor.rowcount
    cursor.execute(_REMOVE)
    changed += cursor.rowcount
    cursor.execute("DROP TABLE computed_player_day")
    return int(changed)
