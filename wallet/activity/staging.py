"""The stage of an import: its rows in a table of their own, sorted by player, so that every chunk reads what it needs and nothing else.

The table is unlogged: after a crash of the database it is empty, and the import says so instead of doing nothing.
"""

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from psycopg import sql

from wallet.bonus.values import Activity

COLUMNS = {
    "line_no": "bigint", "external_id": "text", "player_id": "bigint", "source": "text", "activity_id": "text", "kind": "text",
    "currency": "text", "product": "text", "round_id": "text", "amount": "bigint", "real_part": "bigint", "bonus_part": "bigint",
    "locked_part": "bigint", "cash_before": "bigint", "ends_round": "boolean", "takes_back_id": "text", "takes_back_kind": "text",
    "game_code": "text", "game_category": "text", "provider": "text", "house_edge": "numeric", "is_free_round": "boolean",
    "coverage": "numeric", "occurred_at": "timestamptz",
}  # fmt: skip
_PREFIX = "wallet_wagerstage_"
_OF_ACTIVITY = [one.name for one in fields(Activity) if one.name in COLUMNS]
_KEPT_FOR = timedelta(days=2)
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class StageLost(RuntimeError):
    """The staged rows are gone."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Names of the tables of one import."""

    token: str

    @property
    def raw(self) -> str:
        return f"{_PREFIX}{self.token}_raw"

    @property
    def rows(self) -> str:
        return f"{_PREFIX}{self.token}"

    @property
    def together(self) -> str:
        """Players whose ids cross: they are worked together, in the order of the file."""
        return f"{_PREFIX}{self.token}_together"

    @property
    def refused(self) -> str:
        return f"{_PREFIX}{self.token}_refused"

    def sql(self, text: str) -> sql.Composed:
        names = {name: sql.Identifier(getattr(self, name)) for name in ("raw", "rows", "together", "refused")}
        return sql.SQL(text).format(**names)

    def run(self, text: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(self.sql(text), parameters)
            return cursor.fetchall() if cursor.description else []


def fill(rows: Iterable[dict[str, Any]], at: datetime) -> Stage:
    """Make a stage of rows (keys of COLUMNS, `external_id` or `player_id`), sorted by player and line. Returns it."""
    stage = Stage(f"{at:%Y%m%d%H%M%S}_{uuid.uuid4().hex[:8]}")
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    stage.run(f"CREATE UNLOGGED TABLE {{raw}} ({columns})")
    with connection.cursor() as cursor, cursor.copy(stage.sql(f"COPY {{raw}} ({', '.join(COLUMNS)}) FROM STDIN")) as copy:
        buffer: list[str] = []
        for row in rows:
            buffer.append(_line(row))
            if len(buffer) >= 2000:
                copy.write("".join(buffer))
                buffer.clear()
        copy.write("".join(buffer))
    others = ", ".join(f"raw.{name}" for name in COLUMNS if name != "player_id")
    stage.run(
        f"""CREATE UNLOGGED TABLE {{rows}} AS SELECT p.id AS player_id, {others} FROM {{raw}} AS raw
        LEFT JOIN players_player AS p ON p.external_id = raw.external_id WHERE raw.player_id IS NULL
        UNION ALL SELECT p.id, {others} FROM {{raw}} AS raw
        LEFT JOIN players_player AS p ON p.id = raw.player_id WHERE raw.player_id IS NOT NULL
        ORDER BY player_id, line_no"""
    )
    stage.run("DROP TABLE {raw}")
    stage.run("CREATE INDEX ON {rows} (player_id, line_no)")
    stage.run("ANALYZE {rows}")
    stage.run(
        """CREATE UNLOGGED TABLE {together} AS
        SELECT s.player_id FROM {rows} AS s JOIN (
            SELECT source, activity_id, kind FROM {rows} WHERE player_id IS NOT NULL
            GROUP BY 1, 2, 3 HAVING min(player_id) <> max(player_id)
        ) AS shared USING (source, activity_id, kind) WHERE s.player_id IS NOT NULL
        UNION SELECT unnest(ARRAY[r.player_id, t.player_id]) FROM {rows} AS r
        JOIN {rows} AS t ON t.source = r.source AND t.activity_id = r.takes_back_id AND t.player_id <> r.player_id
        WHERE r.takes_back_id <> ''"""
    )
    stage.run("CREATE TABLE {refused} (line_no bigint, field text, reason text, remedy text)")
    stage.run(
        """INSERT INTO {refused} SELECT line_no, 'player_id', 'there is no player ' || coalesce(nullif(external_id, ''), 'with this id'),
        'Create the player first, or correct the id.' FROM {rows} WHERE player_id IS NULL"""
    )
    return stage


def drop(stage: Stage) -> None:
    for name in ("raw", "rows", "together", "refused"):
        stage.run(f"DROP TABLE IF EXISTS {{{name}}}")


def sweep(at: datetime) -> None:
    """Drop what imports left behind that were killed more than two days before `at`."""
    oldest = f"{_PREFIX}{at - _KEPT_FOR:%Y%m%d%H%M%S}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE %s AND relname < %s", [f"{_PREFIX}%", oldest])
        for (name,) in cursor.fetchall():
            cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(name)))


def check(stage: Stage) -> None:
    """Raise StageLost when the rows went with a crash of the database."""
    if not stage.run("SELECT EXISTS (SELECT FROM {rows})")[0][0]:
        raise StageLost("the staged rows are gone, because the database was restarted; run the file again: nothing is counted twice")


def ranges(stage: Stage, rows: int) -> Iterator[tuple[int, int]]:
    """Ranges of player ids with about `rows` rows each; first, as (-1, 0), the players who are worked together."""
    if stage.run("SELECT EXISTS (SELECT FROM {together})")[0][0]:
        yield -1, 0
    yield from stage.run(
        """SELECT min(player_id), max(player_id) + 1 FROM (
            SELECT player_id, (sum(n) OVER (ORDER BY player_id) - 1)::bigint / %(rows)s AS part FROM (
                SELECT player_id, count(*) AS n FROM {rows} AS s
                WHERE player_id IS NOT NULL AND NOT EXISTS (SELECT FROM {together} AS t WHERE t.player_id = s.player_id) GROUP BY 1
            ) AS counted
        ) AS parts GROUP BY part ORDER BY 1""",
        {"rows": rows},
    )


def row_of(activity: Activity, number: int) -> dict[str, Any]:
    """An activity as a row of a stage."""
    return {"line_no": number, "external_id": "", **{name: getattr(activity, name) for name in _OF_ACTIVITY}}


def _line(row: dict[str, Any]) -> str:
    return "\t".join([_cell(row.get(name)) for name in COLUMNS]) + "\n"


def _cell(value: Any) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, str):
        return value.translate(_ESCAPES) if "\\" in value or not value.isprintable() else str(value)
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)
