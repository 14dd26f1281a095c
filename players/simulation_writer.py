"""Write a simulated operator: into the database through the door that all activity takes, or into files that the import reads.

The hidden truth goes to a file and nowhere else.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
from django.db import connection, transaction
from openpyxl import Workbook

from players.activity import COLUMNS, ActivityKind, create_stage, merge_stage
from players.models import Player
from players.origin import record_simulated
from players.simulation import SimulatedOperator, SimulationConfig, SimulationError, simulate_blocks
from players.simulation.export import as_csv, as_text
from players.simulation.frames import MONEY

XLSX_ROWS = 1_048_575  # below the header
FILE_KINDS = ("players", "payments", "sessions", "plays", "totals")
_DATABASE_KINDS = ("players", "payments", "sessions", "plays")
_PROGRESS = Callable[[str], None]


def write_database(config: SimulationConfig, *, truth_path: Path, at: datetime, append: bool, progress: _PROGRESS) -> dict[str, int]:
    """Simulate into the database, all or nothing, and the truth into `truth_path`. Returns rows by table.

    Without `append` the players table must be empty. With it the numbering of players goes on where it ends.
    Raises SimulationError when the database has players and `append` is off.
    """
    counts: dict[str, int] = {}
    # one transaction: half an operator would look like a whole one to the next start
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = 0")
        cursor.execute("LOCK TABLE players_player IN SHARE ROW EXCLUSIVE MODE")
        if Player.objects.exists():
            if not append:
                raise SimulationError("the database already has players; use --append to add simulated ones, or an empty database")
            config = replace(config, first_number=_highest_number(cursor, config.id_prefix) + 1)
        truth: list[pd.DataFrame] = []
        done = 0
        for block in simulate_blocks(config):
            _write_block(cursor, block, at, counts)
            truth.append(block.truth)
            done += len(block.players)
            progress(f"{done:,} of {config.players:,} players")
        record_simulated(config, at)
        _write_truth(pd.concat(truth, ignore_index=True), truth_path, append=append)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE players_player, players_payment, players_playsession, players_gameplay, players_playerday")
    return counts


def write_files(config: SimulationConfig, directory: Path, file_format: str, *, progress: _PROGRESS) -> dict[str, int]:
    """Simulate into one file a kind in `directory` (headers = columns of the activity kinds), the truth into `directory`/truth/.

    Raises SimulationError when files are already there, or when a kind has more rows than a sheet of Excel holds.
    """
    targets = {kind: directory / f"{kind}.{file_format}" for kind in FILE_KINDS}
    existing = [path.name for path in targets.values() if path.exists()]
    if existing:
        raise SimulationError(f"{directory} already has {', '.join(existing)}; name another directory or remove them")
    (directory / "truth").mkdir(parents=True, exist_ok=True)
    counts = dict.fromkeys(FILE_KINDS, 0)
    truth: list[pd.DataFrame] = []

    def blocks() -> Iterator[SimulatedOperator]:
        for block in simulate_blocks(config):
            yield block
            truth.append(block.truth)
            for kind in FILE_KINDS:
                counts[kind] += len(getattr(block, kind))
            progress(f"{counts['players']:,} of {config.players:,} players")

    if file_format == "csv":
        _write_csv_files(blocks(), targets)
    else:
        _write_workbooks(blocks(), targets)
    _write_truth(pd.concat(truth, ignore_index=True), directory / "truth" / "truth.csv", append=False)
    return counts


def _write_csv_files(blocks: Iterator[SimulatedOperator], targets: dict[str, Path]) -> None:
    for number, block in enumerate(blocks):
        for kind, path in targets.items():
            with path.open("w" if number == 0 else "a", encoding="utf-8", newline="") as file:
                file.write(as_csv(getattr(block, kind), header=number == 0))


def _write_workbooks(blocks: Iterator[SimulatedOperator], targets: dict[str, Path]) -> None:
    books = {kind: Workbook(write_only=True) for kind in targets}
    rows = dict.fromkeys(targets, 0)
    sheets = {kind: book.create_sheet(kind) for kind, book in books.items()}
    for kind, sheet in sheets.items():
        sheet.append(list(COLUMNS[ActivityKind[kind.upper()]]))
    try:
        for block in blocks:
            for kind, sheet in sheets.items():
                frame = as_text(getattr(block, kind))
                rows[kind] += len(frame)
                if rows[kind] > XLSX_ROWS:
                    raise SimulationError(
                        f"{kind} has more than {XLSX_ROWS:,} rows, which no Excel sheet holds; use --format csv or fewer players"
                    )
                for name in MONEY & set(frame.columns):
                    frame[name] = frame[name].map(Decimal).astype(object)  # a number in the sheet, not a text
                for row in frame.astype(object).where(frame.notna(), None).itertuples(index=False, name=None):
                    sheet.append(row)
    except BaseException:
        for sheet in sheets.values():  # or their temporary files outlive the run
            sheet.close()
        raise
    for kind, book in books.items():
        book.save(targets[kind])


def _write_block(cursor: Any, block: SimulatedOperator, at: datetime, counts: dict[str, int]) -> None:
    _insert_games(cursor, block.games)
    for kind in _DATABASE_KINDS:
        stage = create_stage(cursor, ActivityKind[kind.upper()])
        _copy(cursor, stage, getattr(block, kind))
        merged = merge_stage(cursor, ActivityKind[kind.upper()], at=at)
        counts[kind] = counts.get(kind, 0) + merged.created
    _write_protection(cursor, block.protections)
    for name, insert in (("exclusions", _INSERT_EXCLUSIONS), ("deposit_limits", _INSERT_LIMITS)):
        stage = _stage_like(cursor, getattr(block, name), name)
        cursor.execute(insert.format(stage=stage), {"at": at})
        counts[name] = counts.get(name, 0) + cursor.rowcount


def _copy(cursor: Any, table: str, frame: pd.DataFrame) -> None:
    with cursor.copy(f"COPY {table} ({', '.join(frame.columns)}) FROM STDIN (FORMAT csv)") as copy:
        copy.write(as_csv(frame, header=False))


def _stage_like(cursor: Any, frame: pd.DataFrame, name: str) -> str:
    stage = f"simulated_{name}"
    cursor.execute(f"DROP TABLE IF EXISTS pg_temp.{stage}")
    cursor.execute(f"CREATE TEMP TABLE {stage} ({', '.join(f'{column} text' for column in frame.columns)}) ON COMMIT DROP")
    _copy(cursor, stage, frame)
    return stage


def _insert_games(cursor: Any, games: pd.DataFrame) -> None:
    """The simulated catalogue; games that the operator already has stay as they are."""
    stage = _stage_like(cursor, games, "games")
    cursor.execute(
        f"""INSERT INTO players_game (code, name, provider, category, house_edge, round_sd)
        SELECT code, name, provider, category, house_edge::numeric, round_sd::numeric FROM {stage} ORDER BY code
        ON CONFLICT (code) DO NOTHING"""
    )


def _write_protection(cursor: Any, protections: pd.DataFrame) -> None:
    """Harm flags, and consent dated by registration instead of by the import."""
    stage = _stage_like(cursor, protections, "protections")
    cursor.execute(
        f"""INSERT INTO players_protection (player_id, marketing_consent, marketing_consent_at, profiling_consent,
            profiling_consent_at, harm_flag, harm_flag_at, harm_note)
        SELECT p.id, s.marketing_consent::boolean, CASE WHEN s.marketing_consent::boolean THEN s.consent_at::timestamptz END,
            s.profiling_consent::boolean, CASE WHEN s.profiling_consent::boolean THEN s.consent_at::timestamptz END,
            s.harm_flag::boolean, s.harm_flag_at::timestamptz, COALESCE(s.harm_note, '')
        FROM {stage} s JOIN players_player p ON p.external_id = s.player_external_id ORDER BY p.id
        ON CONFLICT (player_id) DO UPDATE SET marketing_consent_at = EXCLUDED.marketing_consent_at,
            profiling_consent_at = EXCLUDED.profiling_consent_at, harm_flag = EXCLUDED.harm_flag,
            harm_flag_at = EXCLUDED.harm_flag_at, harm_note = EXCLUDED.harm_note"""
    )


_INSERT_EXCLUSIONS = """INSERT INTO players_exclusion (player_id, kind, starts_at, ends_at, reason, recorded_at)
    SELECT p.id, s.kind, s.starts_at::timestamptz, s.ends_at::timestamptz, 'Asked for by the player', s.starts_at::timestamptz
    FROM {stage} s JOIN players_player p ON p.external_id = s.player_external_id ORDER BY p.id"""
_INSERT_LIMITS = """INSERT INTO players_depositlimit (player_id, period, amount, starts_at)
    SELECT p.id, s.period, s.amount::numeric, s.starts_at::timestamptz
    FROM {stage} s JOIN players_player p ON p.external_id = s.player_external_id ORDER BY p.id"""


def _highest_number(cursor: Any, prefix: str) -> int:
    cursor.execute(
        "SELECT COALESCE(max(substr(external_id, %s)::bigint), 0) FROM players_player WHERE external_id ~ %s",
        [len(prefix) + 1, f"^{prefix}[0-9]{{7,9}}$"],
    )
    return int(cursor.fetchone()[0])


def _write_truth(truth: pd.DataFrame, path: Path, *, append: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if append and path.exists():
        truth = pd.concat([pd.read_csv(path, keep_default_na=False), truth], ignore_index=True)
    partial = path.with_suffix(".partial")
    partial.write_text(as_csv(truth, header=True), encoding="utf-8")
    partial.replace(path)
