"""When players come: sessions from a rate per player and day (weekday, season, lifetime, streaks, offers, exclusions)."""

from dataclasses import dataclass

import numpy as np

from .config import SimulationConfig
from .population import Population

MAX_GAMES = 5
OFFER_DAYS = 7
OFFER_CHANCE_PER_WEEK = 0.10
OFFER_CHANCE_OF_ABUSERS = 0.40  # they ask for offers, and know where to find codes
STREAK_DAYS = 7
MILD_SHAPE = 6.0  # of a week's Gamma factor with mean 1
WILD_SHARE, WILD_HIGH, WILD_LOW = 0.4, 2.0, 0.05  # of the weeks of streaky players
_FADE_DAYS = 30.0
_WEEKDAY = np.array([0.88, 0.86, 0.90, 0.95, 1.15, 1.22, 1.04])  # Monday first
_HOURS = np.array([3, 2, 1.5, 1, 0.8, 0.8, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4, 4, 4.2, 4.8, 5.5, 6.5, 7.5, 8, 7.5, 6, 4.5])


@dataclass
class Visits:
    """Columns over sessions, sorted by player and start. Seconds since 1970. `first`/`count` index them per player."""

    player: np.ndarray
    start: np.ndarray
    end: np.ndarray
    games: np.ndarray
    offer: np.ndarray  # True where a bonus offer of the week is taken up in this session
    offer_weeks: np.ndarray  # per player: weeks with an offer
    first: np.ndarray
    count: np.ndarray


def draw_visits(rng: np.random.Generator, config: SimulationConfig, people: Population, away: np.ndarray) -> Visits:
    """`away` is (n, 2): days from which and until which a player is excluded (nan: never)."""
    size, days = len(people), config.days + 1
    day = np.arange(days)
    rate = np.broadcast_to(people.sessions_per_day[:, None], (size, days)).astype(np.float32).copy()
    rate *= season(config.first_day + day)[None, :]
    rate *= presence(people.arrival, people.leaves, day)
    rate *= _streaks(rng, people, days)
    chance = np.where(people.abuser != "", OFFER_CHANCE_OF_ABUSERS, OFFER_CHANCE_PER_WEEK)
    offers = rng.random((size, days // OFFER_DAYS + 1)) < chance[:, None]
    in_offer = np.repeat(offers, OFFER_DAYS, axis=1)[:, :days]
    rate *= np.where(in_offer, 1 + people.uplift[:, None], 1.0)
    excluded = (day[None, :] >= np.floor(away[:, :1])) & (day[None, :] <= np.ceil(away[:, 1:]))
    rate[excluded] = 0
    player, session_day = np.nonzero(visits := rng.poisson(rate))
    repeats = visits[player, session_day]
    player, session_day = np.repeat(player, repeats), np.repeat(session_day, repeats)

    clock = rng.choice(24, size=len(player), p=_HOURS / _HOURS.sum()) * 3600 + rng.integers(0, 3600, len(player))
    start = (config.first_day + session_day) * 86400 + clock
    begins = ((config.first_day + people.arrival) * 86400).astype(np.int64)
    seconds = np.maximum(people.minutes[player] * 60 * np.exp(0.6 * rng.standard_normal(len(player))), 60).astype(np.int64)
    games = np.minimum(1 + rng.poisson(np.maximum(people.games[player] - 1, 0)), MAX_GAMES)
    taken = rng.random(len(player)) < people.takes_bonus[player]
    keep = (start > begins[player] + 300) & (start + seconds < config.end_second)
    order = np.lexsort((start[keep], player[keep]))
    player, start, seconds, games, taken, session_day = (
        column[keep][order] for column in (player, start, seconds, games, taken, session_day)
    )
    same = np.r_[player[1:] == player[:-1], False]
    following = np.r_[start[1:], [np.iinfo(np.int64).max]]
    end = np.where(same, np.minimum(start + seconds, following - 1), start + seconds)
    apart = end - start >= 60  # two visits within a minute are one
    player, start, end, games, taken, session_day = (column[apart] for column in (player, start, end, games, taken, session_day))
    count = np.bincount(player, minlength=size)
    return Visits(
        player=player,
        start=start,
        end=end,
        games=games,
        offer=offers[player, session_day // OFFER_DAYS] & taken,
        offer_weeks=offers.sum(axis=1),
        first=np.r_[0, np.cumsum(count)[:-1]],
        count=count,
    )


def season(epoch_day: np.ndarray) -> np.ndarray:
    """Factor of the visits of a day (days since 1970-01-01): weekday, time of the year, pay day."""
    weekday = (epoch_day + 3) % 7  # 1970-01-01 was a Thursday
    yearly = 1 + 0.12 * np.cos(2 * np.pi * (epoch_day % 365.25 - 10) / 365.25)  # winter evenings
    pay_days = np.where(epoch_day % 30 < 4, 1.08, 1.0)
    return (_WEEKDAY[weekday] * yearly * pay_days).astype(np.float32)


def presence(arrival: np.ndarray, leaves: np.ndarray, day: np.ndarray) -> np.ndarray:
    """(players, days): 1 from arrival on, fading to 0.25 over the last weeks before leaving, then 0."""
    left = leaves[:, None] - day[None, :]
    fade = np.clip(0.25 + 0.75 * left / _FADE_DAYS, 0.25, 1.0)
    here = (day[None, :] >= np.floor(arrival)[:, None]) & (left > 0)
    return (fade * here).astype(np.float32)


def _streaks(rng: np.random.Generator, people: Population, days: int) -> np.ndarray:
    """Streaky players play in some weeks a lot and in others not at all; the rest vary mildly from week to week."""
    weeks = days // STREAK_DAYS + 1
    mild = rng.gamma(MILD_SHAPE, 1 / MILD_SHAPE, (len(people), weeks))
    wild = np.where(rng.random((len(people), weeks)) < WILD_SHARE, WILD_HIGH, WILD_LOW)
    weekly = np.where(people.trait("streaky").astype(bool)[:, None], wild, mild)
    return np.repeat(weekly, STREAK_DAYS, axis=1)[:, :days].astype(np.float32)
