"""The rows that a classifier learns from and is judged on, and the splits that keep the two apart in time and by player."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd

from predictions.ml.features import CONTEXT
from predictions.ml.kinds import Cutoff, History, NotEnoughData


@dataclass(frozen=True)
class Sample:
    """`values` (rows, features), `outcomes` (rows, 0 or 1), `players` (rows) and `cutoff` (rows), the position in time of each row."""

    values: np.ndarray
    outcomes: np.ndarray
    players: np.ndarray
    cutoff: np.ndarray

    def __len__(self) -> int:
        return len(self.outcomes)

    @property
    def positives(self) -> int:
        return int(self.outcomes.sum())

    def take(self, rows: np.ndarray) -> "Sample":
        """The rows of a mask or of positions."""
        return Sample(self.values[rows], self.outcomes[rows], self.players[rows], self.cutoff[rows])


@dataclass(frozen=True)
class Split:
    """`fit` and `validation` hold different players or, where there are enough cut-offs, earlier and later instants; `both` is all."""

    both: Sample
    fit: Sample
    validation: Sample
    left_out: int


def values_of(frame: pd.DataFrame, features: Sequence[str]) -> np.ndarray:
    """Values (rows, features) of a frame, NaN for unknown. Raises ValueError for a missing column or an infinite value."""
    missing = [name for name in features if name not in frame.columns]
    if missing:
        raise ValueError(f"the frame lacks features of this model: {', '.join(missing[:5])}{' …' if len(missing) > 5 else ''}")
    values = np.ascontiguousarray(frame.loc[:, list(features)].to_numpy(dtype=np.float64, na_value=np.nan))
    if np.isinf(values).any():
        column = features[int(np.flatnonzero(np.isinf(values).any(axis=0))[0])]
        raise ValueError(f"feature {column} is infinite for a player")
    return values


def feature_names(history: History) -> tuple[str, ...]:
    """The numeric columns of the history's frames, without those that describe the currency."""
    frame = history.evaluation.features
    return tuple(name for name in frame.columns if name not in CONTEXT and pd.api.types.is_numeric_dtype(frame[name]))


def sample(cutoff: Cutoff, features: Sequence[str], label: str, position: int) -> Sample:
    """The players of a cut-off who can be judged: eligible, and with a known outcome."""
    labels = cutoff.labels.reindex(cutoff.features.index)
    outcome = labels[label].astype("float64")
    usable = (labels["is_eligible"].astype("float64").to_numpy() == 1) & outcome.notna().to_numpy()
    kept = cutoff.features.loc[usable]
    return Sample(
        values=values_of(kept, features),
        outcomes=outcome.to_numpy()[usable],
        players=kept.index.to_numpy(dtype=np.int64),
        cutoff=np.full(len(kept), position),
    )


def split(history: History, features: Sequence[str], label: str, label_days: int, seed: int) -> Split:
    """Development rows of `history` whose outcome was known at the evaluation cut-off, parted for choosing between candidates.

    An outcome of cut-off t is known at t + label_days; what was not known then is left out, or the future would leak in. Validation is the
    last development cut-off and `fit` the earlier ones whose outcomes were known at it; with one cut-off alone, three tenths of the
    players validate. Raises NotEnoughData when no cut-off is left.
    """
    known = timedelta(days=label_days)
    usable = [cutoff for cutoff in history.development if cutoff.as_of + known <= history.evaluation.as_of]
    if not usable:
        raise NotEnoughData(
            f"no cut-off lies {label_days} days or more before the evaluation cut-off {history.evaluation.as_of:%Y-%m-%d}; "
            "a longer history is needed"
        )
    samples = [sample(cutoff, features, label, position) for position, cutoff in enumerate(usable)]
    both = join(samples)
    earlier = [part for cutoff, part in zip(usable, samples, strict=True) if cutoff.as_of + known <= usable[-1].as_of]
    if earlier:
        fit, validation = join(earlier), samples[-1]
    else:
        held_out = shares_of(both.players, seed) < 0.3
        fit, validation = both.take(~held_out), both.take(held_out)
    return Split(both, fit, validation, left_out=len(history.development) - len(usable))


def join(samples: Sequence[Sample]) -> Sample:
    return Sample(
        np.concatenate([part.values for part in samples]),
        np.concatenate([part.outcomes for part in samples]),
        np.concatenate([part.players for part in samples]),
        np.concatenate([part.cutoff for part in samples]),
    )


def shares_of(players: np.ndarray, seed: int) -> np.ndarray:
    """A number in [0, 1) for each player id (rows), even and the same for every row of a player (splitmix64 of the id and the seed)."""
    start = (seed + 1) * 0x9E3779B97F4A7C15 % 2**64
    mixed = players.astype(np.uint64) + np.array([start], np.uint64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found: np.ndarray = (mixed ^ (mixed >> np.uint64(31))) / np.float64(2**64)
    return found


def folds_of(players: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Fold number 0 .. count - 1 of each row; all rows of a player lie in one fold."""
    found: np.ndarray = np.minimum((shares_of(players, seed + 1) * count).astype(int), count - 1)
    return found


def require_both(outcomes: np.ndarray, what_for: str, least: int = 1) -> None:
    """Raises NotEnoughData when fewer than `least` rows have the outcome, or have it not: nothing can be learned from one side alone."""
    positives = int(outcomes.sum())
    if min(positives, len(outcomes) - positives) < least:
        raise NotEnoughData(
            f"{positives} of the {len(outcomes)} cases {what_for} have the outcome, at least {least} must have it and {least} must not; "
            "wait for a longer history"
        )


def check_enough(both: Sample, evaluation: Sample, minimum_players: int, minimum_positives: int, what: str) -> None:
    """Raises NotEnoughData below the least number of players, or of players with and without the outcome."""
    players = len(np.unique(both.players))
    if players < minimum_players:
        raise NotEnoughData(
            f"{players} players with a known outcome, {minimum_players} are needed; wait for more, or lower the limit in the settings"
        )
    for part, name in ((both, "learn from"), (evaluation, "measure on")):
        rarer = min(part.positives, len(part) - part.positives)
        if rarer < minimum_positives:
            raise NotEnoughData(
                f"{part.positives} of {len(part)} cases to {name} are {what}, at least {minimum_positives} are needed of either outcome; "
                "wait for a longer history"
            )
