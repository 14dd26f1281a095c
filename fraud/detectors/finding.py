from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd


@dataclass(frozen=True)
class Finding:
    """One player's evidence of one kind. `key` tells several findings of a kind apart; `evidence` is plain JSON without personal data."""

    player_id: int
    kind: str
    key: str
    strength: float
    seen_at: datetime
    evidence: dict[str, Any]


def noisy_or(strengths: Iterable[float]) -> float:
    """Independent pieces of evidence together: 1 - prod(1 - s)."""
    doubt = 1.0
    for strength in strengths:
        doubt *= 1 - strength
    return 1 - doubt


def ramp(values: npt.NDArray[np.float64], low: float, high: float) -> npt.NDArray[np.float64]:
    """0 up to `low`, 1 from `high` on, linear between."""
    return np.clip((values - low) / (high - low), 0.0, 1.0)


def by_player(frame: pd.DataFrame) -> Iterator[tuple[int, pd.DataFrame]]:
    """The rows of each player, ascending by id."""
    for player_id, rows in frame.groupby("player_id"):
        yield int(str(player_id)), rows
