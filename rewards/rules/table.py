"""Players as columns: what rules are evaluated over.

Every number is exact. A numeric column holds integers scaled by a power of ten (`scale` decimal places), so that comparing and
adding never goes through binary fractions. A category column holds codes into a small tuple of names.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from .facts import Kind, fact

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Column:
    """One fact of all players of a table.

    values: numbers: int64, the number times 10**scale; dates: int64 days since 1970-01-01; bools: int64 0 or 1;
            categories: int64 codes into `categories`.
    missing: True where the player has no value (what `values` holds there has no meaning); None: nobody misses it.
    """

    values: IntArray
    missing: BoolArray | None = None
    scale: int = 0
    categories: tuple[str, ...] = ()

    def is_missing(self, row: int) -> bool:
        return self.missing is not None and bool(self.missing[row])


@dataclass(frozen=True)
class FactTable:
    """Facts of players at one instant: `columns[name]` has one entry per element of `player_ids`."""

    player_ids: IntArray
    columns: dict[str, Column]
    as_of: datetime

    def __post_init__(self) -> None:
        if self.as_of.tzinfo is None:
            raise ValueError("as_of has no time zone; pass an aware datetime")
        object.__setattr__(self, "as_of", self.as_of.astimezone(UTC))
        for name, column in self.columns.items():
            if len(column.values) != len(self.player_ids):
                raise ValueError(f"column {name} has {len(column.values)} values for {len(self.player_ids)} players")

    def __len__(self) -> int:
        return len(self.player_ids)

    def value(self, name: str, row: int) -> Any:
        """The value of one fact of one player: Decimal, str, bool or date as its catalogue entry says; None when missing."""
        column = self.columns[name]
        if column.is_missing(row):
            return None
        raw = int(column.values[row])
        kind = fact(name).kind
        if kind is Kind.CATEGORY:
            return column.categories[raw]
        if kind is Kind.BOOL:
            return bool(raw)
        if kind is Kind.DATE:
            return _EPOCH + timedelta(days=raw)
        return Decimal(raw).scaleb(-column.scale)

    def take(self, rows: npt.NDArray[Any], names: Iterable[str] | None = None) -> "FactTable":
        """The table of the given rows (a mask or positions), with the named columns only if names are given."""
        columns = {}
        for name in self.columns if names is None else names:
            c = self.columns[name]
            columns[name] = Column(c.values[rows], None if c.missing is None else c.missing[rows], c.scale, c.categories)
        return FactTable(self.player_ids[rows], columns, self.as_of)
