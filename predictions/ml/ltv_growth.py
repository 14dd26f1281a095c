"""From 90 days to 365, by what is known.

The value of a year is measured for cut-offs that lie a year back; once the history is long enough the training adds such cut-offs for this
purpose alone. Before, part of the year is: the NGR of the 90 days after a cut-off, plus that of the 90 days after the cut-off 90 days
later, and so on, as far as the development cut-offs reach. So the growth of a player from 90 days to h days is

    growth(h) = 1 + correction * (expected deposit days in h days / expected deposit days in 90 days - 1)

The ratio is BG/NBD's for that player: it knows that new players leave sooner than old ones. The correction is fitted to the NGR that
really followed, over the longest h that is known (365 where possible), so that the sum over all players is right there:

    correction = sum(NGR in h days - NGR in 90 days) / sum(NGR in 90 days * (ratio - 1))

Who closes the account or is excluded after the first 90 days stays in with what they brought in until then and nothing after it. That is
one of the ways in which players stop, nobody can foresee it at the cut-off, and a growth of those who stayed would be too high for
everybody. (Of the first 90 days the usual rule holds: `is_eligible`.)

What lies beyond h follows BG/NBD's shape with the same correction and is not measured; `Growth.days` says where measurement ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .kinds import Cutoff
from .ltv_deposits import Deposits

YEAR = 365
WINDOW = 90
# values other than 0 that must be known over a longer time; below, a shorter one that more players have says more
MINIMUM = 100
_RESAMPLES = 200


@dataclass(frozen=True)
class Known:
    """Players of development cut-offs whose NGR over `days` is known: `rows` of features (index player_id), `near` (90 days), `far`."""

    days: int
    cutoff: np.ndarray
    rows: pd.DataFrame
    near: np.ndarray
    far: np.ndarray

    def of(self, rows: np.ndarray) -> "Known":
        """The same of some rows (a mask)."""
        return Known(self.days, self.cutoff[rows], self.rows[rows], self.near[rows], self.far[rows])


@dataclass(frozen=True)
class Growth:
    """`error`: standard error of the correction (bootstrap over players). `days`: over how many it was fitted, 90 when it was not."""

    correction: float
    error: float
    days: int
    players: int

    def of(self, deposits: Deposits, frame: pd.DataFrame, days: int) -> np.ndarray:
        """NGR over `days` per NGR over 90 days, shape (rows,)."""
        answer: np.ndarray = 1 + self.correction * (deposits.stretch(frame, days) - 1)
        return answer


def known(cutoffs: Sequence[Cutoff]) -> Known | None:
    """The rows with the longest known time after them, of at least 100 values other than 0; None when it is 90 days everywhere.

    `cutoffs` with all their players: those who are no longer eligible at a later one still count for the earlier one.
    """
    found: dict[int, list[tuple[np.ndarray, pd.DataFrame, np.ndarray, np.ndarray]]] = {}
    for number, cutoff in enumerate(cutoffs):
        days, far = _far(cutoffs, number)
        near = cutoff.labels["ngr_90d"]
        usable = (far.notna() & near.notna() & cutoff.labels["is_eligible"].astype(bool)).to_numpy()
        rows = (np.full(int(usable.sum()), number), cutoff.features[usable], near[usable].to_numpy(float), far[usable].to_numpy(float))
        found.setdefault(days, []).append(rows)
    for days in sorted(found, reverse=True):
        place, features, near_values, far_values = zip(*found[days], strict=True)
        total = np.concatenate(far_values)
        if days > WINDOW and (total != 0).sum() >= MINIMUM:
            return Known(days, np.concatenate(place), pd.concat(features), np.concatenate(near_values), total)
    return None


def fit(deposits: Deposits, known_rows: Known | None, *, seed: int) -> Growth:
    """The correction that makes the total right. Without anything known, or when the 90-day values sum to nothing: BG/NBD as it is."""
    uncorrected = Growth(1.0, 0.0, WINDOW, 0)
    if known_rows is None:
        return uncorrected
    gained = known_rows.far - known_rows.near
    expected = known_rows.near * (deposits.stretch(known_rows.rows, known_rows.days) - 1)
    # the same player appears at several cut-offs: players, not rows, are drawn
    players, place = np.unique(known_rows.rows.index.to_numpy(), return_inverse=True)
    by_player = np.column_stack([np.bincount(place, weights=values) for values in (gained, expected)])
    total = by_player.sum(axis=0)
    if total[1] <= 0 or total[0] <= 0:
        return uncorrected
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(_RESAMPLES):
        again = by_player[rng.integers(0, len(players), len(players))].sum(axis=0)
        if again[1] > 0:
            drawn.append(again[0] / again[1])
    return Growth(float(total[0] / total[1]), float(np.std(drawn)), known_rows.days, len(players))


def _far(cutoffs: Sequence[Cutoff], number: int) -> tuple[int, pd.Series]:
    """How many days after cut-off `number` are known, and the NGR over them per player.

    A player whom a later cut-off's sample no longer holds (newcomers take places in it, by a hash of the id) is unknown: that is chance,
    not choice, so leaving them out does not bias.
    """
    start = cutoffs[number]
    year = start.labels["ngr_365d"]
    if year.notna().any():
        return YEAR, year
    days, total = WINDOW, start.labels["ngr_90d"].astype(float)
    while days + WINDOW <= YEAR:
        following = [other for other in cutoffs if abs((other.as_of - start.as_of).total_seconds() / 86400 - days) <= 1]
        if not following:
            break
        total = total + following[0].labels["ngr_90d"].reindex(total.index)
        days += WINDOW
    return days, total
