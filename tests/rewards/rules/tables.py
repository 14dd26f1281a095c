"""Small tables of facts for tests, written as plain values."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np

from rewards.rules.facts import CATALOGUE, Kind
from rewards.rules.table import Column, FactTable

NOW = datetime(2026, 3, 15, 12, 0, tzinfo=UTC)


def table(**facts: list[Any]) -> FactTable:
    """`table(net_loss=["100.29", None], segment=["LOSING", "VIP"])`; currency is EUR unless given. Players are 1, 2, ..."""
    rows = len(next(iter(facts.values())))
    facts.setdefault("currency", ["EUR"] * rows)
    columns = {name: _column(name, values) for name, values in facts.items()}
    return FactTable(np.arange(1, rows + 1, dtype=np.int64), columns, NOW)


def _column(name: str, values: list[Any]) -> Column:
    spec = CATALOGUE[name]
    missing = np.array([value is None for value in values])
    categories: tuple[str, ...] = ()
    if spec.kind is Kind.CATEGORY:
        categories = tuple(sorted({value for value in values if value is not None}))
        raw = [0 if value is None else categories.index(value) for value in values]
    elif spec.kind is Kind.DATE:
        raw = [0 if value is None else (date.fromisoformat(value) - date(1970, 1, 1)).days for value in values]
    elif spec.kind is Kind.BOOL:
        raw = [int(bool(value)) for value in values]
    else:
        raw = [0 if value is None else int(Decimal(str(value)).scaleb(spec.places)) for value in values]
    scale = spec.places if spec.kind is Kind.NUMBER else 0
    return Column(np.array(raw, dtype=np.int64), missing if missing.any() else None, scale, categories)
