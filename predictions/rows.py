"""Columns of scores, and their way into a table: binary COPY straight from numpy arrays, with no Python object per row.

Rows whose texts and empty fields lie alike have one layout, so a block of them is one structured array. Layouts as in the PostgreSQL
documentation (COPY, "Binary Format") and `numeric_recv`: a numeric is four 16-bit headers and digits to the base 10,000, so an
amount with four places has exactly one digit after the point.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db import connection

PLACES = 4  # of stored amounts
_SCALE = 10**PLACES
_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_NUMERIC_DIGITS = 5  # four before the point hold 10**16, as much as the column does
_LARGEST = 9.0e18


class Type(Enum):
    BIGINT = ">i8"
    INT = ">i4"
    SMALLINT = ">i2"
    FLOAT = ">f8"
    AMOUNT = "amount"  # int64: the amount times 10,000
    TEXT = "text"
    JSON = "json"  # the same text in every row, such as "[]"


class BadScores(ValueError):
    """A model answered with something that must not be stored; names the column, how many rows and the first player."""


@dataclass(frozen=True)
class Column:
    """`values` has one entry a row (JSON: a single text); rows where `missing` is true have no value."""

    type: Type
    values: Any
    missing: npt.NDArray[np.bool_] | None = None

    def value(self, row: int) -> Any:
        """The value of one row as the model field holds it: int, float, Decimal, str or None."""
        if self.missing is not None and bool(self.missing[row]):
            return None
        if self.type is Type.AMOUNT:
            return Decimal(int(self.values[row])).scaleb(-PLACES)
        if self.type is Type.FLOAT:
            return float(self.values[row])
        if self.type in (Type.TEXT, Type.JSON):
            return str(self.values if self.type is Type.JSON else self.values[row])
        return int(self.values[row])


def to_amounts(units: npt.NDArray[np.float64], unit: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """`units` times the currency unit of each row as integers of a ten-thousandth; where `units` is NaN: 0.

    Exactly Decimal(repr(units)) * Decimal(repr(unit)) rounded half-even to four places: floats decide wherever they cannot be wrong,
    the few rows near a half are computed with decimals. Raises BadScores above 900 trillion.
    """
    given = np.where(np.isnan(units), 0.0, units)
    product = given * unit * _SCALE
    if not (np.abs(product) < _LARGEST).all():
        raise BadScores("an amount above 900 trillion, or none that is finite; check the model and the currency's typical deposit")
    whole = np.rint(product)
    # three roundings of at most half a unit in the last place: beyond 2.5e14 every row is in doubt
    doubt = np.abs(product - np.floor(product) - 0.5) <= np.abs(product) * 2e-15 + 1e-9
    amounts = whole.astype(np.int64)
    for row in np.flatnonzero(doubt & (product != 0)):
        exact = Decimal(repr(float(given[row]))) * Decimal(repr(float(unit[row])))
        amounts[row] = int(exact.scaleb(PLACES).to_integral_value(ROUND_HALF_EVEN))
    return amounts


def copy_rows(table: str, columns: Mapping[str, Column], rows: int) -> int:
    """Append `rows` rows to `table`. A column of type JSON repeats its text. Returns the number of rows."""
    if not rows:
        return 0
    names = ", ".join(f'"{name}"' for name in columns)
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(_HEADER)
        for block in _blocks(list(columns.values()), rows):
            copy.write(block)
        copy.write(_END)
    return rows


def _blocks(columns: list[Column], rows: int) -> Iterator[bytes]:
    codes = np.zeros(rows, dtype=np.int64)
    for column in columns:
        if column.missing is not None:
            codes = codes * 2 + column.missing
        elif column.type is Type.TEXT:
            _, part = np.unique(np.asarray(column.values, dtype=object).astype(str), return_inverse=True)
            codes = codes * (int(part.max()) + 1) + part
    for code in np.unique(codes):
        chosen = np.flatnonzero(codes == code)
        yield _block(columns, chosen)


def _block(columns: list[Column], chosen: npt.NDArray[Any]) -> bytes:
    """Rows of one layout as one structured array."""
    parts: list[tuple[str, str, Any]] = [("fields", ">i2", len(columns))]
    for number, column in enumerate(columns):
        parts.extend(_parts(f"c{number}", column, chosen))
    block = np.empty(len(chosen), dtype=[(name, layout) for name, layout, _ in parts])
    for name, _, values in parts:
        block[name] = values
    return block.tobytes()


def _parts(name: str, column: Column, chosen: npt.NDArray[Any]) -> list[tuple[str, str, Any]]:
    if column.missing is not None and column.missing[chosen[0]]:
        return [(f"{name}_size", ">i4", -1)]
    if column.type in (Type.TEXT, Type.JSON):
        text = (b"\x01" + column.values.encode()) if column.type is Type.JSON else str(column.values[chosen[0]]).encode()
        layout = [(f"{name}_size", ">i4", len(text))]
        return [*layout, (name, f"V{len(text)}", np.void(text))] if text else layout
    values = column.values[chosen]
    if column.type is Type.AMOUNT:
        return _numeric(name, values)
    return [(f"{name}_size", ">i4", np.dtype(column.type.value).itemsize), (name, column.type.value, values)]


def _numeric(name: str, values: npt.NDArray[np.int64]) -> list[tuple[str, str, Any]]:
    rest = np.abs(values)
    digits = []
    for _ in range(_NUMERIC_DIGITS):
        rest, digit = np.divmod(rest, 10_000)
        digits.append(digit)
    header: list[tuple[str, str, Any]] = [
        (f"{name}_size", ">i4", 8 + 2 * _NUMERIC_DIGITS),
        (f"{name}_digits", ">i2", _NUMERIC_DIGITS),
        (f"{name}_weight", ">i2", _NUMERIC_DIGITS - 2),
        (f"{name}_sign", ">u2", np.where(values < 0, 0x4000, 0)),
        (f"{name}_places", ">i2", PLACES),
    ]
    return header + [(f"{name}_{place}", ">i2", digit) for place, digit in enumerate(reversed(digits))]
