"""Cut-offs in the past, with what was known at each and what happened after it: what models are trained on."""

from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
from django.db import connection

from predictions.ml.kinds import Cutoff, History

from .frames import RANGE_PLAYERS, frame, frame_for, known_ids, ranges
from .labels import labels, labels_for
from .scope import cut_of
from .units import currency_units

_ID_BATCH = 10_000


def data_window() -> tuple[date | None, datetime | None]:
    """The first day with activity, and the latest instant of any; (None, None) for an empty database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT min(day), max(day) FROM players_playerday")
        first, last = cursor.fetchone()
        if first is None:
            return None, None
        # the last day only: an index on the day, then one on the player, instead of all events
        cursor.execute(
            """
            SELECT greatest(max(paid.at), max(visited.at), max(played.at)) FROM players_playerday d
            LEFT JOIN LATERAL (SELECT max(occurred_at) AS at FROM players_payment e WHERE e.player_id = d.player_id
                AND e.occurred_at >= %(from)s AND e.occurred_at < %(to)s) paid ON true
            LEFT JOIN LATERAL (SELECT max(started_at) AS at FROM players_playsession e WHERE e.player_id = d.player_id
                AND e.started_at >= %(from)s AND e.started_at < %(to)s) visited ON true
            LEFT JOIN LATERAL (SELECT max(played_at) AS at FROM players_gameplay e WHERE e.player_id = d.player_id
                AND e.played_at >= %(from)s AND e.played_at < %(to)s) played ON true
            WHERE d.day = %(day)s
            """,
            {"day": last, "from": _start(last), "to": _start(last + timedelta(days=1))},
        )
        latest = cursor.fetchone()[0]
    return first, latest.astimezone(UTC) if latest is not None else _start(last)


def _start(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def cutoffs(as_of: datetime, horizon_days: int, count: int, step_days: int = 30) -> list[datetime]:
    """`count` midnights in order, `step_days` apart. The horizon of the last one ends where the day of `as_of` begins.

    Raises ValueError for fewer than one of any.
    """
    if min(horizon_days, count, step_days) < 1:
        raise ValueError(f"horizon_days, count and step_days must be at least 1, not {horizon_days}, {count} and {step_days}")
    last = cut_of(as_of) - timedelta(days=horizon_days)
    return [last - timedelta(days=step_days * back) for back in reversed(range(count))]


def history(
    as_of: datetime,
    horizon_days: int,
    count: int,
    sample: int | None = None,
    seed: int = 0,
    *,
    step_days: int = 30,
    always: Collection[int] = (),
) -> History:
    """Features and labels at each of `cutoffs(...)`, with nothing later than the day before `as_of`.

    Read range by range, so that memory is that of the result and one range. `sample` bounds the players of each cut-off: those whose id,
    hashed with `seed`, comes first. A player keeps the place at every cut-off, and the same seed always gives the same players. Those of
    `always` are there beyond the sample, at every cut-off at which they were known, and named in its `added`.
    """
    chosen = cutoffs(as_of, horizon_days, count, step_days)
    return History([_cutoff(moment, horizon_days, as_of, sample, seed, always) for moment in chosen], horizon_days)


def with_earlier(history: History, as_of: datetime, days_before: Sequence[int], sample: int | None = None, seed: int = 0) -> History:
    """`history` with further cut-offs before its own, so many days before the day of `as_of`, the end of the data.

    Raises ValueError when one of them is not earlier than all that are there.
    """
    moments = [cut_of(as_of) - timedelta(days=days) for days in sorted(days_before, reverse=True)]
    if moments and moments[-1] >= history.cutoffs[0].as_of:
        raise ValueError(f"the history begins {history.cutoffs[0].as_of:%Y-%m-%d}; {moments[-1]:%Y-%m-%d} is no earlier cut-off")
    earlier = [_cutoff(moment, history.horizon_days, as_of, sample, seed) for moment in moments]
    return History([*earlier, *history.cutoffs], history.horizon_days)


def _cutoff(moment: datetime, horizon_days: int, until: datetime, sample: int | None, seed: int, always: Collection[int] = ()) -> Cutoff:
    units = currency_units(moment)
    added = np.empty(0, dtype=np.int64)
    if sample is None:
        parts = [
            (frame(lower, upper, moment, units=units), labels(lower, upper, moment, horizon_days, until, units=units))
            for lower, upper in ranges(RANGE_PLAYERS)
        ]
    else:
        drawn, added = _chosen(known_ids(moment), sample, seed, always)
        ids = np.union1d(drawn, added)
        batches = [ids[start : start + _ID_BATCH].tolist() for start in range(0, len(ids), _ID_BATCH)]
        parts = [(frame_for(batch, moment, units=units), labels_for(batch, moment, horizon_days, until, units=units)) for batch in batches]
    if not parts:
        parts = [(frame(0, 0, moment, units=units), labels(0, 0, moment, horizon_days, until, units=units))]
    return Cutoff(moment, pd.concat([one for one, _ in parts]), pd.concat([one for _, one in parts]), frozenset(added.tolist()))


def _chosen(known: np.ndarray, sample: int, seed: int, always: Collection[int]) -> tuple[np.ndarray, np.ndarray]:
    """A sample of the `known` ids and, of `always`, those that are known beside it; each ascending."""
    wanted = np.fromiter(always, dtype=np.int64, count=len(always))
    drawn = sampled(known, sample, seed)
    return drawn, np.setdiff1d(np.intersect1d(known, wanted), drawn)


def sampled(ids: np.ndarray, size: int, seed: int) -> np.ndarray:
    """At most `size` of the ids, ascending: the first by a hash of id and seed (splitmix64, the same on every machine)."""
    if size < 1:
        raise ValueError(f"the sample is {size}; use at least 1")
    if len(ids) <= size:
        return ids
    with np.errstate(over="ignore"):
        mixed = ids.astype(np.uint64) + np.uint64((seed * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) % 2**64)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return np.sort(ids[np.lexsort((ids, mixed))[:size]])
