"""Recency, frequency, monetary: scores from 1 to 5 by quintiles and the eleven named segments.

Recency is days since the last activity, frequency the deposits ever made, monetary what was ever deposited (currency units). Totals rather
than windows: in a 90-day window whoever has been away for 91 days would count as worthless, and nobody could be "Can't Lose Them".

Scores: the quintile limits (20, 40, 60, 80 %) are taken once, at training. A score is 1 plus the number of limits below the value, for
recency 5 minus it, so that equal values always get equal scores, whatever their number. Who never deposited scores 1 on frequency and
monetary; who was never active is as old as the account.

Segments, by R and FM, where FM is the mean of F and M rounded half up (the usual 5 x 5 grid, e.g. Putler's and Omniconvert's tables; those
overlap, so where two names claim a cell the narrower one wins):

    R \\ FM  1              2                    3                    4         5
    5       New            Potential Loyalists  Potential Loyalists  Champions Champions
    4       Promising      Potential Loyalists  Potential Loyalists  Loyal     Loyal
    3       About to Sleep About to Sleep       Need Attention       Loyal     Loyal
    2       Hibernating    Hibernating          At Risk              At Risk   Can't Lose Them
    1       Lost           Lost                 At Risk              At Risk   Can't Lose Them
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .kinds import NotEnoughData

FEATURES = ("days_since_last_activity", "deposit_count_total", "deposits_total", "tenure_days")
MINIMUM = 100

_GRID = {
    5: ("New", "Potential Loyalists", "Potential Loyalists", "Champions", "Champions"),
    4: ("Promising", "Potential Loyalists", "Potential Loyalists", "Loyal", "Loyal"),
    3: ("About to Sleep", "About to Sleep", "Need Attention", "Loyal", "Loyal"),
    2: ("Hibernating", "Hibernating", "At Risk", "At Risk", "Can't Lose Them"),
    1: ("Lost", "Lost", "At Risk", "At Risk", "Can't Lose Them"),
}
SEGMENTS = (
    "Champions",
    "Loyal",
    "Potential Loyalists",
    "New",
    "Promising",
    "Need Attention",
    "About to Sleep",
    "At Risk",
    "Can't Lose Them",
    "Hibernating",
    "Lost",
)


def dated(frame: pd.DataFrame) -> np.ndarray:
    """Of which rows the recency can be told, shape (rows,). A statement of totals alone does not say when a player came or played."""
    answer: np.ndarray = (frame["days_since_last_activity"].notna() | frame["tenure_days"].notna()).to_numpy()
    return answer


_QUINTILES = (0.2, 0.4, 0.6, 0.8)


def segment(recency: int, frequency: int, monetary: int) -> str:
    """The named segment of three scores. ValueError when one is not a whole number from 1 to 5."""
    if any(score not in range(1, 6) for score in (recency, frequency, monetary)):
        raise ValueError(f"scores are whole numbers from 1 to 5, got {recency}, {frequency}, {monetary}")
    return _GRID[recency][(frequency + monetary + 1) // 2 - 1]


_NAMES = np.array([[[segment(r, f, m) for m in range(1, 6)] for f in range(1, 6)] for r in range(1, 6)])


def values(frame: pd.DataFrame) -> np.ndarray:
    """Recency in days, frequency, monetary: shape (rows, 3), nothing unknown, nothing below 0. ValueError names missing columns."""
    missing = [name for name in FEATURES if name not in frame.columns]
    if missing:
        raise ValueError(f"the frame lacks {', '.join(missing)}")
    recency = frame["days_since_last_activity"].fillna(frame["tenure_days"]).to_numpy(float)
    if np.isnan(recency).any():
        raise ValueError("days_since_last_activity and tenure_days are both unknown for some players")
    deposits = frame[["deposit_count_total", "deposits_total"]].fillna(0.0).to_numpy(float)
    answer: np.ndarray = np.maximum(np.column_stack([recency, deposits]), 0.0)
    return answer


@dataclass(frozen=True)
class Quintiles:
    """Limits of the three scores, each four ascending numbers in the units of `values`."""

    recency: tuple[float, ...]
    frequency: tuple[float, ...]
    monetary: tuple[float, ...]

    def scores(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Columns recency_score, frequency_score, monetary_score (1 to 5) and rfm_segment, same index."""
        known = values(frame)
        above = [
            np.searchsorted(np.asarray(limits), known[:, column], side="left")
            for column, limits in enumerate((self.recency, self.frequency, self.monetary))
        ]
        recency, frequency, monetary = 5 - above[0], 1 + above[1], 1 + above[2]
        return pd.DataFrame(
            {
                "recency_score": recency,
                "frequency_score": frequency,
                "monetary_score": monetary,
                "rfm_segment": _NAMES[recency - 1, frequency - 1, monetary - 1],
            },
            index=frame.index,
        )


def fit(frame: pd.DataFrame) -> Quintiles:
    """Quintile limits of the players of `frame`. NotEnoughData under 100 players."""
    if len(frame) < MINIMUM:
        raise NotEnoughData(f"{len(frame)} players are too few for quintiles, {MINIMUM} are needed: import more players.")
    known = values(frame)
    limits = [tuple(float(limit) for limit in np.quantile(known[:, column], _QUINTILES)) for column in range(3)]
    return Quintiles(*limits)
