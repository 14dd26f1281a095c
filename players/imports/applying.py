"""Write a checked job: one transaction for the whole file, so that a cancelled or killed import leaves nothing behind.

Inside it the rows go to the merge in ranges of players (about 100,000 rows each), so that memory stays level, progress can be shown
through a second connection, and a cancel request is noticed between two ranges. Ranges run in the order of player ids, and players that
exist are locked in id order first: the same order in which every other writer of activity takes its locks.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from players.activity import COLUMNS, TOUCHED_PLAYERS, ActivityKind, create_stage, merge_stage
from players.imports import stage
from players.imports.checking import Cancelled, difference_of
from players.imports.problems import ImportRefused
from players.models import ImportJob

logger = logging.getLogger(__name__)
ROWS_PER_MERGE = 100_000
_APPLY_LOCK = 0x1_0AD5

# columns of a player that an import may change, and that an undo therefore puts back
PROFILE = tuple(name for name in COLUMNS[ActivityKind.PLAYERS] if name not in ("external_id", "marketing_consent", "profiling_consent")) + (
    "jurisdiction_id",
)
CONSENT = ("marketing_consent", "marketing_consent_at", "profiling_consent", "profiling_consent_at")


@dataclass
class Written:
    created: int = 0
    changed: int = 0
    unchanged: int = 0
    players_created: int = 0
    players_updated: int = 0


def write(job: ImportJob, at: datetime) -> Written:
    """Merge the stage of `job` into the stored rows in the caller's transaction. Raises Cancelled when asked to stop, and ImportRefused
    when a player has come by another currency since the check.

    Leaves the table `import_touched_<job>` (player_id): whose activity changed; the follow-up reads and drops it.
    """
    difference = difference_of(job)
    written = Written()
    with connection.cursor() as cursor, _progress_writer(job) as report:
        cursor.execute("SET LOCAL lock_timeout = '120s'")
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_APPLY_LOCK])  # one import writes at a time
        table, key = stage.table_of(job.pk), difference.key_column
        cursor.execute(f"DROP TABLE IF EXISTS {stage.touched_table_of(job.pk)}")
        cursor.execute(f"CREATE TABLE {stage.touched_table_of(job.pk)} (player_id bigint NOT NULL)")
        cursor.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM players_player WHERE external_id IN (SELECT {key} FROM {table}) "
            "ORDER BY id FOR NO KEY UPDATE) locked"
        )
        players_before = _player_mark(cursor)
        ranges = list(_ranges(cursor, table, key))
        for number, (condition, parameters) in enumerate(ranges, start=1):
            _stop_if_asked(cursor, job)
            # a worker's session keeps its plans: those of foreign key checks made while the tables were small read all of a large one
            cursor.execute("DISCARD PLANS")
            _merge_range(cursor, job, difference, condition, parameters, at, written)
            if len(ranges) > 1:
                report(int(number * 95 / len(ranges)))
        _stop_if_asked(cursor, job)
        if difference.names_currency:
            _settle_currencies(cursor, job)
        _record_after_images(cursor, job)
        written.unchanged = _count(cursor, f"SELECT count(*) FROM {table}") - written.created - written.changed
        touched = stage.touched_table_of(job.pk)
        cursor.execute(f"DELETE FROM {touched} a USING {touched} b WHERE a.ctid > b.ctid AND a.player_id = b.player_id")
        cursor.execute(f"SELECT count(*) FROM {touched} WHERE player_id <= %s", [players_before])
        written.players_updated = cursor.fetchone()[0]
    return written


def _settle_currencies(cursor: Any, job: ImportJob) -> None:
    """New players get the currency that their rows name; what the check found to be a player's own money has to be so still."""
    stage.name_currencies(cursor, job.pk, job.kind)
    if stage.has_other_currencies(cursor, job.pk, job.kind):
        raise ImportRefused(
            "currency_changed",
            "Since the check, players of the file have come by another currency than their rows name. Nothing was written.",
            "Import the file again.",
        )


def _player_mark(cursor: Any) -> int:
    return _count(cursor, "SELECT COALESCE(max(id), 0) FROM players_player")


def _count(cursor: Any, sql: str) -> int:
    cursor.execute(sql)
    return int(cursor.fetchone()[0])


def _ranges(cursor: Any, table: str, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Conditions on the stage that split it by player, in order, into ranges of about ROWS_PER_MERGE rows."""
    cursor.execute(
        f"""SELECT DISTINCT {key} FROM (SELECT {key}, row_number() OVER (ORDER BY {key}) AS n FROM {table}) numbered
        WHERE n %% %s = 0 ORDER BY {key}""",
        [ROWS_PER_MERGE],
    )
    bounds = [row[0] for row in cursor.fetchall()]
    lower = None
    for upper in [*bounds, None]:
        parts = []
        if lower is not None:
            parts.append(f"s.{key} > %(lower)s")
        if upper is not None:
            parts.append(f"s.{key} <= %(upper)s")
        yield " AND ".join(parts) or "true", {"lower": lower, "upper": upper}
        lower = upper


def _stop_if_asked(cursor: Any, job: ImportJob) -> None:
    cursor.execute("SELECT cancel_requested FROM players_importjob WHERE id = %s", [job.pk])
    if cursor.fetchone()[0]:
        raise Cancelled


def _merge_range(
    cursor: Any,
    job: ImportJob,
    difference: stage.Difference,
    condition: str,
    bounds: dict[str, Any],
    at: datetime,
    written: Written,
) -> None:
    kind = difference.kind
    columns = COLUMNS[kind]
    values = ", ".join(f"{_staged_value(difference, name)} AS {name}" for name in columns)
    cursor.execute("DROP TABLE IF EXISTS pg_temp.import_row")
    cursor.execute(
        f"""CREATE TEMP TABLE import_row ON COMMIT DROP AS
        SELECT s.row_number, {difference.verdict()} AS verdict, t.id AS target_id, {values} {difference.source()}
        WHERE {condition}""",
        {**difference.parameters, **bounds},
    )
    cursor.execute("DELETE FROM import_row WHERE verdict = 'unchanged'")
    cursor.execute("SELECT count(*) FILTER (WHERE verdict = 'created'), count(*) FILTER (WHERE verdict = 'changed') FROM import_row")
    created, changed = cursor.fetchone()
    if created + changed == 0:
        return
    _journal(cursor, job, kind)
    merge_table = create_stage(cursor, kind)
    cursor.execute(f"INSERT INTO {merge_table} ({', '.join(columns)}) SELECT {', '.join(columns)} FROM import_row ORDER BY row_number")
    counts = merge_stage(cursor, kind, at=at, import_job_id=job.pk)
    if kind == ActivityKind.PLAYS:
        _journal_new_games(cursor, job)
    cursor.execute(f"INSERT INTO {stage.touched_table_of(job.pk)} SELECT player_id FROM {TOUCHED_PLAYERS}")
    written.created += created
    written.changed += changed
    written.players_created += counts.players_created


def _staged_value(difference: stage.Difference, column: str) -> str:
    """SQL of what goes to the merge for `column`."""
    if column == difference.key_column or column == "external_id":
        return f"s.{column}"
    if difference.kind == ActivityKind.PLAYERS:
        return f"s.{column}"  # blank keeps what is stored: the merge knows the same rule
    return difference.effective(column)


def _journal(cursor: Any, job: ImportJob, kind: str) -> None:
    """Keep what the rows that will change are now. New totals beside older ones change no row."""
    target = stage.TARGETS[kind].table
    if kind == ActivityKind.PLAYERS:
        before = f"{_profile_image('t')}"
        keys = "r.external_id, ''"
        source = f"FROM import_row r JOIN {target} t ON t.id = r.target_id LEFT JOIN players_protection c ON c.player_id = t.id"
    else:
        before = "to_jsonb(t)"
        external = "t.as_of::text" if kind == ActivityKind.TOTALS else "r.external_id"
        keys = f"r.player_external_id, {external}"
        source = f"FROM import_row r JOIN {target} t ON t.id = r.target_id"
    same_row = " AND t.as_of = r.as_of" if kind == ActivityKind.TOTALS else ""
    cursor.execute(
        f"""INSERT INTO players_importchange (job_id, kind, target_id, player_external_id, external_id, before)
        SELECT %s, %s, t.id, {keys}, {before} {source} WHERE r.verdict = 'changed'{same_row}""",
        [job.pk, kind],
    )
    if kind == ActivityKind.PLAYS:
        cursor.execute("DROP TABLE IF EXISTS pg_temp.import_new_game")
        cursor.execute(
            """CREATE TEMP TABLE import_new_game ON COMMIT DROP AS SELECT DISTINCT game_code FROM import_row r
            WHERE NOT EXISTS (SELECT 1 FROM players_game g WHERE g.code = r.game_code)"""
        )


def _journal_new_games(cursor: Any, job: ImportJob) -> None:
    cursor.execute(
        """INSERT INTO players_importchange (job_id, kind, target_id, player_external_id, external_id, before)
        SELECT %s, 'GAME', g.id, '', g.code, NULL FROM players_game g JOIN import_new_game n ON n.game_code = g.code""",
        [job.pk],
    )


def _profile_image(alias: str) -> str:
    """SQL of a JSON image of the columns of a player that an import may change; `c` is the consent row."""
    profile = ", ".join(f"'{name}', {alias}.{name}" for name in PROFILE)
    consent = ", ".join(f"'{name}', c.{name}" for name in CONSENT)
    return f"jsonb_build_object({profile}, 'consent', CASE WHEN c.player_id IS NULL THEN NULL ELSE jsonb_build_object({consent}) END)"


def after_image(kind: str) -> str:
    """SQL of the image of the stored row `t` (consent `c`) as the journal compares it."""
    return _profile_image("t") if kind == ActivityKind.PLAYERS else "to_jsonb(t)"


def _record_after_images(cursor: Any, job: ImportJob) -> None:
    target = stage.TARGETS[job.kind].table
    consent = "LEFT JOIN players_protection c ON c.player_id = t.id" if job.kind == ActivityKind.PLAYERS else ""
    cursor.execute(
        f"""UPDATE players_importchange j SET after = image.after
        FROM (SELECT t.id, {after_image(job.kind)} AS after FROM {target} t {consent}) image
        WHERE j.job_id = %s AND j.kind = %s AND image.id = j.target_id""",
        [job.pk, job.kind],
    )


@contextmanager
def _progress_writer(job: ImportJob) -> Iterator[Callable[[int], None]]:
    """A function that publishes progress outside the transaction, through a connection opened on first use."""
    side: Any = None

    def report(progress: int) -> None:
        nonlocal side
        if side is None:
            side = connection.copy()
        with side.cursor() as cursor:
            cursor.execute("UPDATE players_importjob SET progress = %s WHERE id = %s AND progress < %s", [progress, job.pk, progress])

    try:
        yield report
    finally:
        if side is not None:
            side.close()


__all__ = ["CONSENT", "PROFILE", "Cancelled", "Written", "after_image", "write"]
