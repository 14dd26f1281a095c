"""Merge a filled stage into the stored rows, set by set, and refresh the roll-up of what changed."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from loyalty_site.common.clock import require_utc
from players import thresholds

from .columns import ActivityKind, stage_name
from .days import TOUCHED_DAYS, TOUCHED_PLAYERS, create_touched_tables, lock_players, refresh_days, utc_day
from .profiles import merge_profiles


@dataclass(frozen=True)
class MergeCounts:
    """What a merge did, in rows. `duplicates` are stage rows that a later row of the same key replaced; the other three
    figures count distinct keys, so created + updated + unchanged + duplicates is the number of staged rows."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    players_created: int = 0
    duplicates: int = 0


@dataclass(frozen=True)
class _Events:
    """How the rows of one kind are stored: `values` maps a stored column to its SQL over the stage row `s` (game: `g`)."""

    table: str
    key: str
    moment: str
    values: dict[str, str]
    joins: str = ""
    has_days: bool = True


_EVENTS: dict[str, _Events] = {
    ActivityKind.PAYMENTS: _Events(
        table="players_payment",
        key="external_id",
        moment="occurred_at",
        values={
            "kind": "s.kind",
            "status": "COALESCE(s.status, 'COMPLETED')",
            "amount": "s.amount",
            "method": "COALESCE(s.method, '')",
            "instrument": "COALESCE(s.instrument, '')",
            "occurred_at": "s.occurred_at",
        },
    ),
    ActivityKind.SESSIONS: _Events(
        table="players_playsession",
        key="external_id",
        moment="started_at",
        values={"started_at": "s.started_at", "ended_at": "s.ended_at", "ip": "s.ip", "device_id": "COALESCE(s.device_id, '')"},
    ),
    ActivityKind.PLAYS: _Events(
        table="players_gameplay",
        key="external_id",
        moment="played_at",
        values={
            "session_ref": "COALESCE(s.session_ref, '')",
            "game_id": "g.id",
            "played_at": "s.played_at",
            "stake": "s.stake",
            "payout": "s.payout",
            "bonus_stake": "COALESCE(s.bonus_stake, 0)",
            "rounds": "COALESCE(s.rounds, 1)",
        },
        joins="JOIN players_game g ON g.code = s.game_code",
    ),
    ActivityKind.TOTALS: _Events(
        table="players_activitytotals",
        key="as_of",
        moment="as_of",
        values={
            "total_deposited": "s.total_deposited",
            "total_wagered": "s.total_wagered",
            "total_won": "s.total_won",
            "sessions": "COALESCE(s.sessions, 0)",
            "playtime_hours": "COALESCE(s.playtime_hours, 0)",
            "bets": "s.bets",
        },
        has_days=False,
    ),
}


def merge_stage(cursor: Any, kind: str, *, at: datetime, import_job_id: int | None = None) -> MergeCounts:
    """Merge `stage_<kind>` into the stored rows, in the caller's transaction.

    Players and games that are not known yet are created. A row created here carries `import_job_id`; an update keeps the job
    that brought the row first. Leaves the temporary tables `touched_player_day` and `touched_player` behind: the days whose
    roll-up was recomputed (the old and the new one of an event that moved) and the players of whom anything changed.
    """
    require_utc(at, "at")
    stage = stage_name(kind)
    create_touched_tables(cursor)
    cursor.execute(f"ANALYZE {stage}")
    staged = _count(cursor, f"SELECT count(*) FROM {stage}")
    merge: Callable[..., tuple[int, int, int, int]] = merge_profiles if kind == ActivityKind.PLAYERS else _merge_events
    created, updated, keys, players_created = merge(cursor, kind, stage, at, import_job_id)
    return MergeCounts(
        created=created,
        updated=updated,
        unchanged=keys - created - updated,
        players_created=players_created,
        duplicates=staged - keys,
    )


def _merge_events(cursor: Any, kind: str, stage: str, at: datetime, import_job_id: int | None) -> tuple[int, int, int, int]:
    """(created, updated, distinct keys, players created)."""
    events = _EVENTS[kind]
    players_created = _create_missing_players(cursor, stage, at, import_job_id)
    if kind == ActivityKind.PLAYS:
        _create_missing_games(cursor, stage)
    keys = _resolve_rows(cursor, events, stage)
    lock_players(cursor, "merge_row")
    created, updated = _write_rows(cursor, events, import_job_id)
    if events.has_days:
        cursor.execute(f"INSERT INTO {TOUCHED_PLAYERS} SELECT DISTINCT player_id FROM {TOUCHED_DAYS}")
        refresh_days(cursor)
    cursor.execute("DROP TABLE merge_row")
    return created, updated, keys, players_created


def _create_missing_players(cursor: Any, stage: str, at: datetime, import_job_id: int | None) -> int:
    # Sorted, so that two sessions creating the same players wait for each other instead of deadlocking.
    cursor.execute(
        f"""
        INSERT INTO players_player (external_id, username, first_name, last_name, email, country, currency, language,
            acquisition_channel, status, segment, risk_score, attributes, import_job_id, created_at, updated_at)
        SELECT player_external_id, '', '', '', '', '', %(currency)s, '', '', 'ACTIVE', 'NEW', 0, '{{}}', %(job)s, %(at)s, %(at)s
        FROM (SELECT DISTINCT player_external_id FROM {stage}) s
        WHERE NOT EXISTS (SELECT 1 FROM players_player p WHERE p.external_id = s.player_external_id)
        ORDER BY player_external_id
        ON CONFLICT (external_id) DO NOTHING
        """,
        {"currency": thresholds.base_currency(), "job": import_job_id, "at": at},
    )
    return int(cursor.rowcount)


def _create_missing_games(cursor: Any, stage: str) -> None:
    named = f"""
        SELECT game_code, (array_agg(game_category ORDER BY stage_row DESC) FILTER (WHERE game_category <> ''))[1] AS category
        FROM {stage} GROUP BY game_code
    """
    cursor.execute(
        f"""
        INSERT INTO players_game (code, name, provider, category)
        SELECT game_code, '', '', COALESCE(category, 'other') FROM ({named}) s
        WHERE NOT EXISTS (SELECT 1 FROM players_game g WHERE g.code = s.game_code)
        ORDER BY game_code
        ON CONFLICT (code) DO NOTHING
        """
    )


def _resolve_rows(cursor: Any, events: _Events, stage: str) -> int:
    """Temporary table merge_row: one row a key, the last of the stage, with ids instead of external ids. Returns their number."""
    cursor.execute("DROP TABLE IF EXISTS pg_temp.merge_row")
    values = {name: sql for name, sql in events.values.items() if name != events.key}
    cursor.execute(
        f"""
        CREATE TEMP TABLE merge_row ON COMMIT DROP AS
        SELECT DISTINCT ON (p.id, s.{events.key}) p.id AS player_id, s.{events.key},
            {", ".join(f"{sql} AS {name}" for name, sql in values.items())}
        FROM {stage} s JOIN players_player p ON p.external_id = s.player_external_id {events.joins}
        ORDER BY p.id, s.{events.key}, s.stage_row DESC
        """
    )
    keys = int(cursor.rowcount)
    cursor.execute("ANALYZE merge_row")
    return keys


def _write_rows(cursor: Any, events: _Events, import_job_id: int | None) -> tuple[int, int]:
    columns = list(events.values)
    key, moment, table = events.key, events.moment, events.table
    # Every part of one statement sees the table as it was before: `old` is the row that the upsert replaced.
    touch = (
        f"""INSERT INTO {TOUCHED_DAYS}
            SELECT player_id, {utc_day("new_moment")} FROM change UNION
            SELECT player_id, {utc_day("old_moment")} FROM change WHERE old_moment IS NOT NULL"""
        if events.has_days
        else f"INSERT INTO {TOUCHED_PLAYERS} SELECT DISTINCT player_id FROM change"
    )
    cursor.execute(
        f"""
        WITH written AS (
            INSERT INTO {table} AS d (player_id, {key}, {", ".join(columns)}, import_job_id)
            SELECT player_id, {key}, {", ".join(columns)}, %s FROM merge_row ORDER BY player_id, {key}
            ON CONFLICT (player_id, {key}) DO UPDATE SET {", ".join(f"{name} = EXCLUDED.{name}" for name in columns)}
            WHERE ({", ".join(f"d.{name}" for name in columns)}) IS DISTINCT FROM ({", ".join(f"EXCLUDED.{name}" for name in columns)})
            RETURNING player_id, {key}, {moment} AS new_moment
        ), change AS (
            SELECT w.*, old.{moment} AS old_moment, old.id IS NULL AS is_new
            FROM written w LEFT JOIN {table} old ON old.player_id = w.player_id AND old.{key} = w.{key}
        ), touched AS ({touch})
        SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new) FROM change
        """,
        [import_job_id],
    )
    created, updated = cursor.fetchone()
    return int(created), int(updated)


def _count(cursor: Any, sql: str) -> int:
    cursor.execute(sql)
    return int(cursor.fetchone()[0])
