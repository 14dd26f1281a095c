"""Frames of features: one row per player as of an instant, the same for training and for scoring."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from django.db import connection

from predictions.ml.features import FEATURE_NAMES

from .copying import read_columns, read_ids
from .scope import Scope, cut_of, ids_scope, instants, known_sql, range_scope
from .sql import features_sql
from .units import currency_units

RANGE_PLAYERS = 10_000


def frame(lower_id: int, upper_id: int, as_of: datetime, *, units: Mapping[str, float] | None = None) -> pd.DataFrame:
    """Features of the players from `lower_id` to before `upper_id` who were registered or active before the day of `as_of` (UTC).

    What counts is everything before the midnight that begins that day, and nothing after it. Index `player_id` (int64, ascending);
    columns FEATURE_NAMES (float64, NaN: unknown), `currency` and `currency_unit` (the amount in the player's currency that is one unit
    of the monetary features; NaN, and with it they, where the currency has too few deposits). `units` saves looking the units up again:
    pass what `currency_units(as_of)` gave. Raises ValueError for an `as_of` without a zone.
    """
    return _frame(range_scope(lower_id, upper_id), as_of, units)


def frame_for(player_ids: Sequence[int], as_of: datetime, *, units: Mapping[str, float] | None = None) -> pd.DataFrame:
    """The same for these players; ids that are unknown before `as_of` have no row, and one named twice has one."""
    return _frame(ids_scope(player_ids), as_of, units)


def known_ids(as_of: datetime) -> np.ndarray:
    """Ids of all players that have a row as of an instant, ascending, int64: eight bytes a player."""
    everyone = Scope("true", {})
    sql = f"WITH {known_sql(everyone)} SELECT player_id FROM known ORDER BY player_id"
    return read_ids(sql, instants(cut_of(as_of)))


def ranges(size: int = RANGE_PLAYERS) -> list[tuple[int, int]]:
    """Ranges (lower, upper) of player ids that hold all players, at most `size` in each; upper is the lower of the next."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) AS number FROM players_player) numbered
            WHERE mod(number - 1, %(size)s) = 0 ORDER BY id""",
            {"size": size},
        )
        starts = [row[0] for row in cursor.fetchall()]
        cursor.execute("SELECT max(id) FROM players_player")
        highest = cursor.fetchone()[0]
    return list(zip(starts, [*starts[1:], highest + 1], strict=True)) if starts else []


def iterate(as_of: datetime, size: int = RANGE_PLAYERS) -> Iterator[pd.DataFrame]:
    """All players' features range by range: memory is that of one range."""
    units = currency_units(as_of)
    for lower, upper in ranges(size):
        yield frame(lower, upper, as_of, units=units)


def unit_parameters(units: Mapping[str, float]) -> dict[str, Any]:
    return {"currencies": list(units), "units": list(units.values())}


def _frame(scope: Scope, as_of: datetime, units: Mapping[str, float] | None) -> pd.DataFrame:
    cut = cut_of(as_of)
    units = currency_units(as_of) if units is None else units
    parameters = {**scope.parameters, **instants(cut), **unit_parameters(units)}
    ids, currencies, values = read_columns(features_sql(scope), parameters, ("currency_unit", *FEATURE_NAMES))
    table = pd.DataFrame(values[:, 1:], index=pd.Index(ids, name="player_id"), columns=list(FEATURE_NAMES), copy=False)
    table["currency"] = _text(currencies)
    table["currency_unit"] = values[:, 0]
    return table


def _text(codes: np.ndarray) -> np.ndarray:
    """Decoded once for each different code, not once for each player."""
    different, position = np.unique(codes, return_inverse=True)
    return np.array([code.decode().strip() for code in different.tolist()], dtype=object)[position]
