"""One row per player from PostgreSQL into numpy, as bytes: no Python object is made of any value."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from django.db import connection, transaction

_SIGNATURE = b"PGCOPY\n\xff\r\n\x00"
_HEADER_BYTES = len(_SIGNATURE) + 8
_TRAILER_BYTES = 2
# JIT compiles these statements for longer than it saves; with the memory that statements have by default, groups are sorted on disk; and
# ranges of players run beside each other already
_SETTINGS = {"jit": "off", "work_mem": "64MB", "max_parallel_workers_per_gather": "0"}
CURRENCY_BYTES = 3


def read_ids(sql: str, parameters: Mapping[str, Any]) -> np.ndarray:
    """The one bigint column of a query, as int64."""
    row = np.dtype([("fields", ">i2"), ("id_length", ">i4"), ("id", ">i8")])
    return _rows(sql, parameters, row)["id"].astype(np.int64)


def read_columns(sql: str, parameters: Mapping[str, Any], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows of a query with the columns (player id, currency, ...names), none of them NULL: ids, currencies and values.

    Shapes (n,), (n,) and (n, len(names)): int64, text of three bytes and float64. The query gives bigint, bytea of CURRENCY_BYTES and
    double precision. Raises RuntimeError when a row is not of that shape, which says that a column was NULL.
    """
    number = np.dtype([("length", ">i4"), ("value", ">f8")])
    row = np.dtype(
        [
            ("fields", ">i2"),
            ("id_length", ">i4"),
            ("id", ">i8"),
            ("currency_length", ">i4"),
            ("currency", f"S{CURRENCY_BYTES}"),
            ("numbers", number, (len(names),)),
        ]
    )
    rows = _rows(sql, parameters, row)
    lengths_fit = (rows["currency_length"] == CURRENCY_BYTES).all() and (rows["numbers"]["length"] == 8).all()
    if not lengths_fit:
        raise RuntimeError("a query for columns gave a NULL")
    # column by column in memory, which is how models and pandas read it
    values = np.asfortranarray(rows["numbers"]["value"].astype(np.float64))
    return rows["id"].astype(np.int64), rows["currency"], values


def _rows(sql: str, parameters: Mapping[str, Any], row: np.dtype) -> np.ndarray:
    """The binary COPY format is a header, rows of fixed width as long as no field is NULL or of varying length, and a trailer of -1."""
    received = bytearray()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT " + ", ".join(f"current_setting('{name}')" for name in _SETTINGS))
        before = cursor.fetchone()
        _set(cursor, _SETTINGS.values())
        # the driver's own cursor: Django's takes no parameters for COPY while it logs statements
        with cursor.cursor.copy(f"COPY ({sql}) TO STDOUT (FORMAT binary)", parameters) as copy:
            for block in copy:
                received += block
        _set(cursor, before)
    content = len(received) - _HEADER_BYTES - _TRAILER_BYTES
    if not received.startswith(_SIGNATURE) or content % row.itemsize:
        raise RuntimeError("a query for columns gave rows of another width; a column was NULL or of another type")
    rows = np.frombuffer(received, dtype=row, count=content // row.itemsize, offset=_HEADER_BYTES)
    fields = len(row.names or ()) // 2 if "numbers" not in (row.names or ()) else 2 + row["numbers"].shape[0]
    if not (rows["fields"] == fields).all():
        raise RuntimeError("a query for columns gave another number of columns")
    return rows


def _set(cursor: Any, values: Iterable[str]) -> None:
    """For this transaction, which may be the caller's: it gets its own settings back."""
    cursor.execute("SELECT " + ", ".join(f"set_config('{name}', %s, true)" for name in _SETTINGS), list(values))
