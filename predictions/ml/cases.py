"""Closed reviews as cases to learn from: which players are kept apart, and what was known of a player before the review began.

Cases are a frame, index `player_id` (int64, unique), with the columns

- `confirmed`: 1 when a person confirmed abuse, 0 when it was a false positive;
- `opened_at`, `decided_at`: aware UTC, when the review was asked for and when it was closed;
- `detectors`: the abuse score when it was opened, 0 to 1.
"""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pandas as pd

COLUMNS = ("confirmed", "opened_at", "decided_at", "detectors")
# a case is told from what was known at the last cut-off before it was opened, when that lies at most so many days back
CASE_DAYS = 90
_HELD_OUT = 4
HELD_OUT_SHARE = 1 / _HELD_OUT


def none() -> pd.DataFrame:
    """No case at all."""
    instants = pd.Series([], dtype="datetime64[us, UTC]")
    columns = {"confirmed": [], "opened_at": instants, "decided_at": instants, "detectors": pd.Series([], dtype=float)}
    return pd.DataFrame(columns, index=pd.Index([], dtype="int64", name="player_id")).astype({"confirmed": "int64"})


def held_out(players: pd.Index) -> np.ndarray:
    """The quarter of the players of whom no supervised fraud model learns: by a hash of the id, the same for ever; shape (players,).

    The figures of a training and the comparison of two versions are theirs. Isolation alone, without outcomes, learns from all players.
    """
    mixed = players.to_numpy(dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    answer: np.ndarray = (mixed >> np.uint64(32)) % np.uint64(_HELD_OUT) == 0
    return answer


def place(cases: pd.DataFrame, moments: Sequence[datetime]) -> pd.Series:
    """Position in `moments` (ascending) of the last one at or before each case was opened; index player_id.

    Whatever a review changes comes after it, so nothing of it is in features as of that moment. Cases that were opened before the first
    moment, or more than 90 days after the last one before them, are left out: of those nothing was known, or nothing recent.
    """
    opened = cases["opened_at"].to_numpy("datetime64[us]") if len(cases) else np.empty(0, "datetime64[us]")
    instants = pd.DatetimeIndex(list(moments)).tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[us]")
    position = np.searchsorted(instants, opened, side="right") - 1
    known = position >= 0
    known[known] = opened[known] - instants[position[known]] <= np.timedelta64(CASE_DAYS, "D")
    return pd.Series(position[known], index=cases.index[known], dtype="int64")
