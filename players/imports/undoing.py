"""Take back what an import wrote: changed rows get their old content, created rows go, roll-ups follow. One transaction.

Refused, with every reason, when something built on it was paid (guards registered by the layers above), when a later import changed
the same rows, or when rows it changed have been changed since by anything else.
"""

from typing import Any

from django.db import connection

from players.activity import TOUCHED_DAYS, TOUCHED_PLAYERS, ActivityKind, create_touched_tables, lock_touched_players, refresh_days
from players.imports import hooks, stage
from players.imports.applying import CONSENT, PROFILE, after_image
from players.models import ImportChange, ImportJob

_MOMENT: dict[str, str] = {ActivityKind.PAYMENTS: "occurred_at", ActivityKind.SESSIONS: "started_at", ActivityKind.PLAYS: "played_at"}
# rows that are computed from a player's activity, and history of those computations: they go with a player that goes
_DERIVED = ("players_playerday", "players_playermetrics", "players_segmentmove", "players_tiermove")
# rows that go with the player, unless staff decided something in them
_STAFF_DECIDED = {
    "players_protection": " AND (r.harm_flag OR r.harm_note <> '')",
    "players_playertier": " AND r.override_until IS NOT NULL",
}


def refusals(job: ImportJob) -> list[str]:
    """Why `job` can not be undone now, in words for staff. Empty: it can."""
    if job.status != ImportJob.Status.DONE:
        return [f"The import is {job.get_status_display().lower()}; only a finished import can be undone."]
    reasons = hooks.undo_refusals(job)
    with connection.cursor() as cursor:
        later = _later_imports(cursor, job)
        if later:
            named = ", ".join(f"#{number}" for number in later)
            reasons.append(f"Later imports changed rows of this one: {named}. Undo them first, the latest first.")
        elif changed := _changed_since(cursor, job):
            reasons.append(f"{changed} rows that this import changed have been changed again since; undoing would lose that.")
    return reasons


def _later_imports(cursor: Any, job: ImportJob) -> list[int]:
    target = stage.TARGETS[job.kind].table
    cursor.execute(
        f"""SELECT DISTINCT o.job_id FROM players_importchange o JOIN players_importjob later ON later.id = o.job_id
        WHERE o.job_id > %(job)s AND later.status = 'DONE' AND (
            (o.kind = %(kind)s AND (EXISTS (SELECT 1 FROM players_importchange j
                WHERE j.job_id = %(job)s AND j.kind = o.kind AND j.target_id = o.target_id)
             OR EXISTS (SELECT 1 FROM {target} t WHERE t.id = o.target_id AND t.import_job_id = %(job)s)))
            OR (o.kind = 'PLAYERS' AND EXISTS (SELECT 1 FROM players_player p WHERE p.id = o.target_id AND p.import_job_id = %(job)s)))
        ORDER BY 1""",
        {"job": job.pk, "kind": job.kind},
    )
    return [row[0] for row in cursor.fetchall()]


def _changed_since(cursor: Any, job: ImportJob) -> int:
    target = stage.TARGETS[job.kind].table
    consent = "LEFT JOIN players_protection c ON c.player_id = t.id" if job.kind == ActivityKind.PLAYERS else ""
    cursor.execute(
        f"""SELECT count(*) FROM players_importchange j LEFT JOIN {target} t ON t.id = j.target_id {consent}
        WHERE j.job_id = %s AND j.kind = %s AND j.after IS DISTINCT FROM {after_image(job.kind)}""",
        [job.pk, job.kind],
    )
    return int(cursor.fetchone()[0])


def take_back(job: ImportJob) -> dict[str, int]:
    """Undo in the caller's transaction. Leaves `touched_player` behind: players that remain and whose figures changed."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '120s'")
        create_touched_tables(cursor)
        _mark_touched(cursor, job)
        restored = _restore_players(cursor, job) if job.kind == ActivityKind.PLAYERS else _restore_rows(cursor, job)
        removed = _remove_created(cursor, job)
        if job.kind in _MOMENT:
            refresh_days(cursor)
        games = _remove_games(cursor, job)
        gone, kept = _remove_players(cursor, job)
        ImportChange.objects.filter(job=job).delete()
        return {"restored": restored, "removed": removed, "players_removed": gone, "players_kept": kept, "games_removed": games}


def _mark_touched(cursor: Any, job: ImportJob) -> None:
    """Fill touched_player and touched_player_day from the rows as they are and as they were; lock those players."""
    target = stage.TARGETS[job.kind].table
    if job.kind == ActivityKind.PLAYERS:
        cursor.execute(
            f"""INSERT INTO {TOUCHED_PLAYERS} SELECT id FROM players_player WHERE import_job_id = %(job)s
            UNION SELECT target_id FROM players_importchange WHERE job_id = %(job)s AND kind = 'PLAYERS'""",
            {"job": job.pk},
        )
        cursor.execute(f"SELECT id FROM players_player WHERE id IN (SELECT player_id FROM {TOUCHED_PLAYERS}) ORDER BY id FOR UPDATE")
        return
    rows = f"""SELECT t.* FROM {target} t WHERE t.import_job_id = %(job)s UNION ALL
        SELECT t.* FROM {target} t JOIN players_importchange j ON j.target_id = t.id WHERE j.job_id = %(job)s AND j.kind = %(kind)s"""
    cursor.execute(f"INSERT INTO {TOUCHED_PLAYERS} SELECT DISTINCT player_id FROM ({rows}) r", {"job": job.pk, "kind": job.kind})
    moment = _MOMENT.get(job.kind)
    if moment is not None:
        cursor.execute(
            f"""INSERT INTO {TOUCHED_DAYS} SELECT player_id, ({moment} AT TIME ZONE 'UTC')::date FROM ({rows}) r
            UNION SELECT old.player_id, (old.{moment} AT TIME ZONE 'UTC')::date FROM players_importchange j,
                jsonb_populate_record(NULL::{target}, j.before) old WHERE j.job_id = %(job)s AND j.kind = %(kind)s""",
            {"job": job.pk, "kind": job.kind},
        )
        lock_touched_players(cursor)
    else:
        cursor.execute(f"SELECT id FROM players_player WHERE id IN (SELECT player_id FROM {TOUCHED_PLAYERS}) ORDER BY id FOR NO KEY UPDATE")


def _restore_rows(cursor: Any, job: ImportJob) -> int:
    target = stage.TARGETS[job.kind].table
    cursor.execute("SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = %s", [target])
    columns = [row[0] for row in cursor.fetchall() if row[0] != "id"]
    cursor.execute(
        f"""UPDATE {target} t SET {", ".join(f"{name} = old.{name}" for name in columns)}
        FROM players_importchange j, jsonb_populate_record(NULL::{target}, j.before) old
        WHERE j.job_id = %s AND j.kind = %s AND t.id = j.target_id""",
        [job.pk, job.kind],
    )
    return int(cursor.rowcount)


def _restore_players(cursor: Any, job: ImportJob) -> int:
    cursor.execute(
        f"""UPDATE players_player t SET {", ".join(f"{name} = old.{name}" for name in PROFILE)}
        FROM players_importchange j, jsonb_populate_record(NULL::players_player, j.before) old
        WHERE j.job_id = %s AND j.kind = 'PLAYERS' AND t.id = j.target_id""",
        [job.pk],
    )
    restored = int(cursor.rowcount)
    cursor.execute(
        f"""UPDATE players_protection c SET {", ".join(f"{name} = old.{name}" for name in CONSENT)}
        FROM players_importchange j, jsonb_populate_record(NULL::players_protection, j.before -> 'consent') old
        WHERE j.job_id = %s AND j.kind = 'PLAYERS' AND c.player_id = j.target_id AND jsonb_typeof(j.before -> 'consent') = 'object'""",
        [job.pk],
    )
    cursor.execute(
        """DELETE FROM players_protection c USING players_importchange j
        WHERE j.job_id = %s AND j.kind = 'PLAYERS' AND c.player_id = j.target_id AND jsonb_typeof(j.before -> 'consent') = 'null'
            AND NOT c.harm_flag AND c.harm_note = ''""",
        [job.pk],
    )
    return restored


def _remove_created(cursor: Any, job: ImportJob) -> int:
    if job.kind == ActivityKind.PLAYERS:
        return 0
    cursor.execute(f"DELETE FROM {stage.TARGETS[job.kind].table} WHERE import_job_id = %s", [job.pk])
    return int(cursor.rowcount)


def _remove_games(cursor: Any, job: ImportJob) -> int:
    """Games that came with the import go when no play of anybody refers to them."""
    cursor.execute("SELECT target_id FROM players_importchange WHERE job_id = %s AND kind = 'GAME' ORDER BY target_id", [job.pk])
    games = [row[0] for row in cursor.fetchall()]
    if not games:
        return 0
    conditions = " AND ".join(
        f"NOT EXISTS (SELECT 1 FROM {table} r WHERE r.{column} = g.id)" for table, column in _references(cursor, "players_game")
    )
    cursor.execute(f"DELETE FROM players_game g WHERE g.id = ANY(%s) AND {conditions or 'true'}", [games])
    return int(cursor.rowcount)


def _references(cursor: Any, table: str) -> list[tuple[str, str]]:
    """(table, column) of every foreign key to `table`, whichever app it belongs to."""
    cursor.execute(
        """SELECT c.conrelid::regclass::text, a.attname FROM pg_constraint c
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
        WHERE c.contype = 'f' AND c.confrelid = %s::regclass ORDER BY 1, 2""",
        [table],
    )
    return [(row[0], row[1]) for row in cursor.fetchall()]


def _remove_players(cursor: Any, job: ImportJob) -> tuple[int, int]:
    """Delete the players that the import created and that nothing else refers to. Returns (deleted, kept)."""
    cursor.execute("DROP TABLE IF EXISTS pg_temp.undone_player")
    cursor.execute(
        "CREATE TEMP TABLE undone_player ON COMMIT DROP AS SELECT id AS player_id FROM players_player WHERE import_job_id = %s", [job.pk]
    )
    created = int(cursor.rowcount)
    if not created:
        return 0, 0
    hooks.run_undo_cleaners(cursor)
    for table, column in _references(cursor, "players_player"):
        if table in _DERIVED:
            continue
        # consent and tier came with the import; what staff noted about harm or overrode did not, and keeps the player
        what = _STAFF_DECIDED.get(table, "")
        cursor.execute(f"DELETE FROM undone_player u WHERE EXISTS (SELECT 1 FROM {table} r WHERE r.{column} = u.player_id{what})")
    for table in (*_DERIVED, *_STAFF_DECIDED):
        cursor.execute(f"DELETE FROM {table} r USING undone_player u WHERE r.player_id = u.player_id")
    cursor.execute(f"DELETE FROM {TOUCHED_PLAYERS} t USING undone_player u WHERE t.player_id = u.player_id")
    cursor.execute("DELETE FROM players_player p USING undone_player u WHERE p.id = u.player_id")
    gone = int(cursor.rowcount)
    return gone, created - gone
