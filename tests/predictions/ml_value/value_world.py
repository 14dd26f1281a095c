"""An operator whose players deposit by BG/NBD's law and lose a noisy share of every deposit."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from predictions.ml.kinds import Cutoff, History

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
MARGIN = 0.4


@dataclass(frozen=True)
class World:
    """`joined` (players,) day of registration; events are deposit days: player, day, amount, ngr."""

    joined: np.ndarray
    player: np.ndarray
    day: np.ndarray
    amount: np.ndarray
    ngr: np.ndarray
    days: int

    def total(self, values: np.ndarray, first: float, last: float) -> np.ndarray:
        """Sum per player over first <= day < last."""
        inside = (self.day >= first) & (self.day < last)
        return np.bincount(self.player[inside], weights=values[inside], minlength=len(self.joined))

    def until(self, day: int) -> "World":
        """What is known at the beginning of `day`."""
        seen, here = self.day < day, self.joined < day
        # players are in order of joining, so that those who are left out are the last ones
        return World(self.joined[here], self.player[seen], self.day[seen], self.amount[seen], self.ngr[seen], day)

    def cutoff(self, day: int) -> Cutoff:
        here = np.flatnonzero(self.joined < day)
        index = pd.Index(here + 1, dtype=np.int64, name="player_id")
        ones = np.ones(len(self.day))
        before = self.day < day
        first, last = np.full(len(self.joined), np.inf), np.full(len(self.joined), -np.inf)
        np.minimum.at(first, self.player[before], self.day[before])
        np.maximum.at(last, self.player[before], self.day[before])
        count, deposited = self.total(ones, 0, day), self.total(self.amount, 0, day)
        known = count > 0
        first_amount = np.zeros(len(self.joined))
        opening = before & (self.day == first[self.player])
        np.add.at(first_amount, self.player[opening], self.amount[opening])
        with np.errstate(invalid="ignore", divide="ignore"):
            spend = np.where(count > 1, (deposited - first_amount) / (count - 1), np.nan)
        columns = {
            "days_since_last_deposit": np.where(known, day - last, np.nan),
            "deposit_count_90d": self.total(ones, day - 90, day),
            "deposits_30d": self.total(self.amount, day - 30, day),
            "deposits_90d": self.total(self.amount, day - 90, day),
            "deposit_count_total": count,
            "deposits_total": deposited,
            "ngr_30d": self.total(self.ngr, day - 30, day),
            "ngr_90d": self.total(self.ngr, day - 90, day),
            "ngr_365d": self.total(self.ngr, day - 365, day),
            "theo_90d": MARGIN * self.total(self.amount, day - 90, day),
            "tenure_days": day - self.joined,
            "bg_frequency": np.where(known, count - 1, np.nan),
            "bg_recency": np.where(known, (last - first) / 7, np.nan),
            "bg_age": np.where(known, (day - first) / 7, np.nan),
            "bg_spend": spend,
        }
        features = pd.DataFrame({name: column[here].astype(float) for name, column in columns.items()}, index=index)
        labels = pd.DataFrame({"is_eligible": True}, index=index)
        for days in (90, 365):
            over = day + days <= self.days
            labels[f"ngr_{days}d"] = self.total(self.ngr, day, day + days)[here] if over else np.nan
        return Cutoff(FIRST + timedelta(days=day), features.assign(currency="EUR", currency_unit=20.0), labels)

    def history(self, *, count: int = 5, step: int = 30) -> History:
        last = self.days - 90
        return History([self.cutoff(last - step * back) for back in reversed(range(count))], horizon_days=90)


def world(players: int, *, days: int = 365, seed: int = 1, shape: float = 0.6, leaving: tuple[float, float] = (0.8, 4.0)) -> World:
    """Registered evenly over `days`; deposit rate a day Gamma(shape, 1/8), leaving Beta(*leaving), amounts around a lognormal mean."""
    rng = np.random.default_rng(seed)
    joined = np.sort(rng.integers(0, days, players))
    rate = rng.gamma(shape, 1 / 8, players) + 1e-4
    leave = rng.beta(*leaving, players)
    typical = rng.lognormal(0, 1, players)
    player, day = [], []
    # a fifth never deposits; the others first do soon after joining
    now = joined + rng.exponential(3, players)
    active = (rng.random(players) > 0.2) & (now < days)
    while active.any():
        here = np.flatnonzero(active)
        player.append(here)
        day.append(np.floor(now[here]))
        stays = rng.random(len(here)) > leave[here]
        now[here] += 1 + rng.exponential(1 / rate[here])
        active[here] = stays & (now[here] < days)
    player, day = np.concatenate(player), np.concatenate(day)
    order = np.lexsort((day, player))
    player, day = player[order], day[order]
    amount = typical[player] * rng.lognormal(0, 0.4, len(player))
    ngr = amount * (MARGIN + rng.normal(0, 0.5, len(player)))
    return World(joined, player, day, amount, ngr, days)
