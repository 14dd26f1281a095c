"""Statements of the activity path: prepared, with one array for each column, so that one row and thousands take the same statement.

A plain psycopg cursor with the server's own `$1` is used, because Django's has no way to ask for a prepared statement. An array is
passed as its text, which is ten times faster than binding a list; `COLUMN` hides its length from the planner, so that one generic plan
(index probes throughout) serves every length.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg
from django.db import connection

# above this many rows a statement is planned for itself: it runs once
_PREPARE_UP_TO = 200


def run(sql: str, parameters: Sequence[Any], *, rows: int = 1) -> list[tuple[Any, ...]]:
    """Run one statement on Django's connection, inside its transaction, and return its rows (none for a statement without)."""
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.RawCursor(connection.connection) as cursor:
        cursor.execute(sql, parameters, prepare=rows <= _PREPARE_UP_TO, binary=True)
        return cursor.fetchall() if cursor.description is not None else []


def run_together(statements: Sequence[tuple[str, Sequence[Any]]], *, rows: int = 1) -> list[list[tuple[Any, ...]]]:
    """Run several statements in their order by one round trip, and return the rows of each. Each sees what was committed before it
    began, so a statement after a lock sees what the lock waited for."""
    connection.ensure_connection()
    raw = connection.connection
    with connection.wrap_database_errors:
        cursors = [psycopg.RawCursor(raw) for _ in statements]
        with raw.pipeline():
            for cursor, (sql, parameters) in zip(cursors, statements, strict=True):
                cursor.execute(sql, parameters, prepare=rows <= _PREPARE_UP_TO, binary=True)
        return [cursor.fetchall() for cursor in cursors]


def numbers(values: Iterable[int | Decimal | None]) -> str:
    """Numbers as the text of an array."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def flags(values: Iterable[bool]) -> str:
    return "{" + ",".join(["t" if value else "f" for value in values]) + "}"


def texts(values: Iterable[str | None]) -> str:
    """Texts as the text of an array; every one is quoted, so none can mean anything else."""
    return "{" + ",".join(["NULL" if value is None else _quoted(value) for value in values]) + "}"


def instants(values: Iterable[datetime | None]) -> str:
    return "{" + ",".join(["NULL" if value is None else f'"{value.isoformat()}"' for value in values]) + "}"


def _quoted(value: str) -> str:
    if '"' in value or "\\" in value:
        value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{value}"'


def unnest(columns: Sequence[tuple[str, str]], alias: str, first: int = 1) -> str:
    """`unnest` of the parameters `$first`, `$first+1`, ... as rows of `columns` (name, type)."""
    arrays = ", ".join(f"(SELECT ${number}::{kind}[])" for number, (_, kind) in enumerate(columns, start=first))
    return f"unnest({arrays}) AS {alias}({', '.join(name for name, _ in columns)})"
