"""What a player would have to do for the prediction to cross a target: few plain actions, found on a grid and verified by rescoring.

Actions are deposits, days of play and new games in the next 14 days. Each moves every feature that it would really move: a deposit needs
a visit, so it adds to sessions and active days, ends the wait since the last deposit and the last activity, enters sums, means, trends and
the deposit history. The player is taken as of now with the actions done, evenly spread over the 14 days; time does not age the rest, and
usual breaks, weekdays, luck and the mix of games stay as they are. A deposit is of the player's usual size and a day of play of the
player's usual stake; who has none yet is given one currency unit (the median deposit of the currency).

Search: first a coarse grid. If it has a solution, all finer combinations that ask for less are scored as well and the least one is
answered; if not, the whole fine grid is, so that None means that no combination on it reaches the target.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from predictions.ml.kinds import Model

DAYS = 14
# name, words for one and many, what one of it asks of the player, most of it on the grid, coarse steps
ACTIONS: Mapping[str, tuple[str, str, float, int, tuple[int, ...]]] = {
    "deposits": ("deposit", "deposits", 2.0, 8, (0, 1, 2, 4, 8)),
    "play_days": ("day of play", "days of play", 1.0, 14, (0, 1, 3, 7, 14)),
    "new_games": ("new game", "new games", 0.5, 3, (0, 3)),
}
WINDOWS = (7, 14, 30, 90)


@dataclass(frozen=True)
class Change:
    """`amount` of an action in the next 14 days, in words."""

    action: str
    amount: int
    text: str


@dataclass(frozen=True)
class Suggestion:
    """The least changes that move the prediction from `before` to `after`, which is on the wanted side of `target`.

    `features`: name to (now, then) of all that moves; None is unknown.
    """

    changes: tuple[Change, ...]
    days: int
    before: float
    after: float
    target: float
    text: str
    features: Mapping[str, tuple[float | None, float | None]]


def suggest(
    model: Model,
    row: pd.Series | pd.DataFrame,
    target: float,
    actionable: Sequence[str] = tuple(ACTIONS),
    *,
    column: str = "probability",
    below: bool = True,
) -> Suggestion | None:
    """The least `actionable` changes to the features `row` of one player (or a frame of one row) that bring `column` below `target`
    (above it when not `below`).

    None when no combination on the grid does, or when it is there already. Raises ValueError for an unknown action or several rows.
    """
    unknown = set(actionable) - set(ACTIONS)
    if unknown:
        raise ValueError(f"no such action: {', '.join(sorted(unknown))}; there are {', '.join(ACTIONS)}")
    if isinstance(row, pd.DataFrame):
        if len(row) != 1:
            raise ValueError(f"one player's features are needed, not {len(row)} rows")
        row = row.iloc[0]
    before = float(model.predict(row.to_frame().T)[column].iloc[0])
    if _reached(np.array([before]), target, below)[0]:
        return None
    search = _Search(model, row, target, column, below, tuple(actionable))
    found = search.least(search.grid(coarse=True))
    if found:
        found = search.least([steps for steps in search.grid(coarse=False) if asks(steps) < asks(found)]) or found
    else:
        found = search.least(search.grid(coarse=False))
    return search.suggestion(found, before) if found else None


def asks(amounts: Mapping[str, int]) -> float:
    """What amounts of actions ask of a player, to compare them; of a similar whole, few kinds of action ask for less than several."""
    done = [name for name, amount in amounts.items() if amount]
    return sum(ACTIONS[name][2] * amounts[name] for name in done) + 0.25 * len(done)


@dataclass(frozen=True)
class _Search:
    model: Model
    row: pd.Series
    target: float
    column: str
    below: bool
    actionable: tuple[str, ...]

    def grid(self, coarse: bool) -> list[dict[str, int]]:
        steps = [ACTIONS[name][4] if coarse else range(ACTIONS[name][3] + 1) for name in self.actionable]
        every = [dict(zip(self.actionable, numbers, strict=True)) for numbers in product(*steps) if any(numbers)]
        # a new game needs a day on which it is played
        return [amounts for amounts in every if not amounts.get("new_games") or amounts.get("play_days")]

    def least(self, grid: Sequence[dict[str, int]]) -> dict[str, int] | None:
        """Of the combinations that reach the target, the one that asks for least; of equal ones the one that goes furthest."""
        if not grid:
            return None
        scores = self.model.predict(apply(self.row, grid))[self.column].to_numpy(dtype=np.float64)
        hits = np.flatnonzero(_reached(scores, self.target, self.below)).tolist()
        if not hits:
            return None
        further = scores if self.below else -scores
        return grid[min(hits, key=lambda index: (asks(grid[index]), float(further[index])))]

    def suggestion(self, amounts: dict[str, int], before: float) -> Suggestion:
        then = apply(self.row, [amounts])
        after = float(self.model.predict(then)[self.column].iloc[0])
        changes = tuple(Change(name, amount, _words(name, amount)) for name, amount in amounts.items() if amount)
        text = (
            f"{' and '.join(change.text for change in changes)} in the next {DAYS} days would bring it from {before:.2f} to {after:.2f}, "
            f"{_side(self.below)} {self.target:.2f}"
        )
        moved = {
            str(name): (_plain(now), _plain(new))
            for name, now, new in zip(then.columns, self.row.reindex(then.columns), then.iloc[0], strict=True)
            if not (now == new or (pd.isna(now) and pd.isna(new)))
        }
        return Suggestion(changes, DAYS, before, after, self.target, text, moved)


def apply(row: pd.Series, grid: Sequence[Mapping[str, int]]) -> pd.DataFrame:
    """The features `row` of one player after each of the combinations of `grid`: a frame with one row for each.

    Only features that the row has are changed; a figure that needs one which the row lacks, or which is unknown, stays.
    """
    now = {
        str(name): float(value) for name, value in row.items() if isinstance(value, int | float | np.number) and not isinstance(value, bool)
    }
    deposits, plays, games = (np.array([amounts.get(name, 0) for amounts in grid], dtype=np.float64) for name in ACTIONS)
    size, spread = len(grid), {name: np.full(len(grid), value) for name, value in now.items()}
    after = _Features(now, spread, size)
    # a deposit is made on a day of play where there is one, else on a day of its own
    visits = np.maximum(deposits, plays)
    after.recent("days_since_last_deposit", deposits)
    after.recent("days_since_last_play", plays)
    after.recent("days_since_last_activity", visits)
    _visit(after, visits)
    _deposit(after, deposits)
    _play(after, plays, games)
    _overdue(after)
    return pd.DataFrame(after.then)


class _Features:
    """The figures of one player now (`now`), and after each combination (`then`, columns of `size` values)."""

    def __init__(self, now: dict[str, float], then: dict[str, np.ndarray], size: int) -> None:
        self.now, self.then, self.size = now, then, size

    def known(self, name: str, default: float = np.nan) -> float:
        value = self.now.get(name, np.nan)
        return default if np.isnan(value) else value

    def put(self, name: str, values: np.ndarray, where: np.ndarray) -> None:
        if name in self.then:
            self.then[name] = np.where(where & ~np.isnan(values), values, self.then[name])

    def add(self, name: str, values: np.ndarray, most: float = np.inf) -> None:
        """Adds to a count or sum, unknown counting as none; `most` caps what is added, never what is there."""
        current = self.known(name, 0.0)
        self.put(name, np.maximum(np.minimum(current + values, most), current), values > 0)

    def recent(self, name: str, times: np.ndarray) -> None:
        """`times` even steps through the 14 days: the last lies half a step before their end."""
        since = np.floor(DAYS / (2 * np.maximum(times, 1)))
        self.put(name, np.fmin(self.then.get(name, since), since), times > 0)

    def windows(self, stem: str, per_14_days: np.ndarray, most_daily: float = np.inf) -> None:
        """Adds to `stem`_7d, _14d, _30d and _90d: a window of 7 days holds half of what is done in 14."""
        for days in WINDOWS:
            self.add(f"{stem}_{days}d", per_14_days * min(days / DAYS, 1), most_daily * days)

    def trend(self, name: str, stem: str, short: int, long: int, added: np.ndarray) -> None:
        """A daily rate over `short` days / over `long`. The short sum is a feature, or follows from the ratio as it was."""
        covered = self.known("tenure_days", float(long))
        days, whole = max(min(short, covered), 1.0), max(min(long, covered), 1.0)
        total = self.known(f"{stem}_{long}d", 0.0)
        recent = self.known(f"{stem}_{short}d", self.known(name, 0.0) * total / whole * days)
        share = min(short / DAYS, 1)
        self.put(name, ((recent + added * share) / days) / np.maximum((total + added) / whole, 1e-12), added > 0)


def _visit(after: _Features, visits: np.ndarray) -> None:
    before = after.known("sessions_90d", 0.0)
    after.trend("sessions_trend", "sessions", 30, 90, visits)
    after.trend("sessions_week_trend", "sessions", 7, 30, visits)
    after.windows("sessions", visits)
    after.windows("active_days", visits, most_daily=1.0)
    after.add("active_weeks_90d", np.minimum(visits, 2), most=13)
    count = after.then.get("deposit_count_90d", np.zeros(after.size))
    after.put("rapid_deposits", count / (before + visits + 1), visits > 0)


def _deposit(after: _Features, deposits: np.ndarray) -> None:
    size = after.known("deposit_mean", 1.0)
    money, some = deposits * size, deposits > 0
    after.trend("deposits_trend", "deposits", 30, 90, money)
    after.windows("deposit_count", deposits)
    after.windows("deposits", money)
    after.add("deposit_count_total", deposits)
    after.add("deposits_total", money)
    # of the usual size, so that the mean stays; the first deposit makes it
    after.put("deposit_mean", np.full(after.size, size), some)
    sessions = after.then.get("sessions_90d", np.zeros(after.size))
    after.put("rapid_deposits", after.then.get("deposit_count_90d", np.full(after.size, np.nan)) / (sessions + 1), some)
    cost, paid = after.known("bonus_cost_90d"), after.then.get("deposits_90d", np.full(after.size, np.nan))
    after.put("bonus_cost_share_90d", cost / np.where(paid > 0, paid, np.nan), some)
    _repeat_deposits(after, deposits, size)


def _repeat_deposits(after: _Features, deposits: np.ndarray, size: float) -> None:
    """Days with a deposit after the first such day, and what is deposited on them: one deposit a day."""
    some, frequency = deposits > 0, after.known("bg_frequency")
    # the first of somebody who never deposited is no repeat
    repeats = deposits - 1 if np.isnan(frequency) else deposits
    held = 0.0 if np.isnan(frequency) else frequency
    last = np.floor(DAYS / (2 * np.maximum(deposits, 1))) / 7
    age = DAYS / 7 - last if np.isnan(frequency) else np.full(after.size, after.known("bg_age"))
    after.put("bg_frequency", held + repeats, some)
    after.put("bg_age", age, some)
    after.put("bg_recency", np.maximum(age - last, after.known("bg_recency", 0.0)), some)
    spent = after.known("bg_spend", 0.0) * held + size * repeats
    after.put("bg_spend", spent / np.where(held + repeats > 0, held + repeats, np.nan), some)


def _play(after: _Features, plays: np.ndarray, games: np.ndarray) -> None:
    """A day of play like the player's own: staked, played and brought in what an active day of the last 90 did."""
    days, some = max(after.known("active_days_90d", 0.0), 1.0), plays > 0
    staked = after.known("stake_90d", 0.0)
    daily = staked / days if staked > 0 else 1.0
    stake = plays * daily
    after.trend("stake_trend", "stake", 30, 90, stake)
    after.trend("stake_week_trend", "stake", 7, 30, stake)
    after.windows("stake", stake)
    after.add("stake_total", stake)
    rounds = after.known("rounds_90d", 0.0)
    usual = after.known("stake_mean_90d", daily)
    after.add("rounds_90d", plays * (rounds / days if rounds > 0 else daily / max(usual, 1e-9)))
    after.put("stake_mean_90d", np.full(after.size, usual), some)
    after.add("max_stake_90d", np.maximum(usual - after.known("max_stake_90d", 0.0), 0) * some)
    # what a day of play brings in is its theoretical win: luck is not planned
    theo = after.known("theo_90d", 0.0) / days * plays
    after.add("theo_90d", theo)
    for name in ("ngr_30d", "ngr_90d", "ngr_365d"):
        after.put(name, after.known(name, 0.0) + theo, theo > 0)
    variety = after.known("game_variety_90d", 0.0)
    after.put("game_variety_90d", np.maximum(variety, np.minimum(plays, 1)) + games, some)
    # stakes on a new game are one day's part of the play, the rest is spread as before
    novel = np.minimum(games / np.maximum(plays, 1), 1) * stake
    total = np.maximum(staked + stake, 1e-12)
    bonus = after.known("bonus_share_90d")
    after.put("bonus_share_90d", bonus * staked / total, some)
    share = after.known("top_game_share_90d", 1.0)
    after.put("top_game_share_90d", np.minimum(share * (total - novel) / total, 1), some)


def _overdue(after: _Features) -> None:
    """Days away in usual breaks, with the break as it was."""
    gap = after.known("usual_gap_days")
    idle = after.then.get("days_since_last_activity")
    if idle is not None and gap > 0:
        after.put("gap_overdue", idle / gap, ~np.isnan(idle))


def _reached(scores: np.ndarray, target: float, below: bool) -> np.ndarray:
    return scores < target if below else scores > target


def _side(below: bool) -> str:
    return "below" if below else "above"


def _words(name: str, amount: int) -> str:
    one, many = ACTIONS[name][:2]
    return f"{amount} {one if amount == 1 else many}"


def _plain(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
