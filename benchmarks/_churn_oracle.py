"""The best that any churn model could do on simulated players.

The oracle computes P(no real-money bet and no deposit in the horizon | hidden type, observed past) by the law of the simulator
(`players.simulation.visits`). It knows

- the hidden type of each player (with its trait values, and the abuser kind), the instant of arrival, and the parameters of the law;
- with `knows="rate"` also the player's own rate of visits and response to offers; with `knows="law"` not even the type: it weighs every
  type by its share and by how well it explains the player's visits. No model can know more of the law, and none needs to be told the type;
- the past: sessions of every day before the cut-off, and exclusions begun before it.

It does not know the future: not when the player leaves, not the luck of a week, not the offers, no later session. These are integrated
out: the end of the lifetime over a grid of half-open days, weighed by the lifetime's prior and the likelihood of the observed sessions;
the rate (unless known) over quantiles of its prior; the luck of a week (Gamma, or high and low weeks of streaky players) and its offer
exactly, the week of the cut-off jointly for its days before and after. The one approximation: visits with a real-money bet or a deposit
are a thinning of all visits, at the share that players of the type had in a simulation with another seed.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.special import gammaln

from players.simulation import SimulationConfig, simulate
from players.simulation.config import ABUSER_SHARES, PLAYER_TYPES, PlayerType
from players.simulation.population import ABUSER_LIFETIME, LIFETIME_SHAPE, RATE_SHAPE
from players.simulation.visits import (
    MILD_SHAPE,
    OFFER_CHANCE_OF_ABUSERS,
    OFFER_CHANCE_PER_WEEK,
    STREAK_DAYS,
    WILD_HIGH,
    WILD_LOW,
    WILD_SHARE,
    presence,
    season,
)

HORIZON_DAYS = 30
FADE_DAYS = 30
RATE_NODES = 24
_TYPES = {one.name: one for one in PLAYER_TYPES}
# what abusers are drawn as, whatever their kind
_ABUSER_TYPE = "bonus_hunter"
Knows = Literal["law", "type", "rate"]


@dataclass(frozen=True)
class Grid:
    """What all players share: days before `cut` are past, `cut` to `end` the horizon; leaving days at the middle of each day."""

    cut: int
    end: int
    season: np.ndarray  # (end,)
    leaves: np.ndarray  # (n,)
    presence: np.ndarray  # (n, end): of a player who was there from the first day
    log_presence: np.ndarray

    @property
    def begins(self) -> np.ndarray:
        """First days of the weeks, in which the week of the cut-off appears twice: before it and after it."""
        return np.unique(np.append(np.arange(0, self.end, STREAK_DAYS), self.cut))


def make_grid(config: SimulationConfig, as_of: datetime, horizon_days: int = HORIZON_DAYS) -> Grid:
    cut = int(as_of.astimezone(UTC).timestamp()) // 86400 - config.first_day
    end = cut + horizon_days
    day = np.arange(end)
    # one more day than makes a difference: who leaves later fades later
    leaves = np.arange(end + FADE_DAYS + 1) + 0.5
    there = presence(np.full(len(leaves), -1.0), leaves, day).astype(float)
    with np.errstate(divide="ignore"):
        return Grid(cut, end, season(config.first_day + day).astype(float), leaves, there, np.log(there))


def churn_oracle(
    config: SimulationConfig,
    truth: pd.DataFrame,
    sessions: pd.DataFrame,
    exclusions: pd.DataFrame,
    as_of: datetime,
    real_share: pd.Series,
    *,
    horizon_days: int = HORIZON_DAYS,
    knows: Knows = "type",
) -> pd.Series:
    """Oracle probability of churn, index player_external_id: the players of `truth` who arrived before the day of `as_of`.

    `truth` is the simulator's (truth.csv); `sessions` has player_external_id and started_at; `exclusions` has player_external_id,
    starts_at and ends_at; later rows are ignored. `real_share`: what `real_shares` gives.
    """
    grid = make_grid(config, as_of, horizon_days)
    arrived = truth[truth["arrival_days"] < grid.cut]
    counts = _sessions_per_day(sessions, config, grid)
    away = _days_away(exclusions, config, grid)
    never = np.zeros(grid.cut)
    nothing = np.zeros(grid.end, dtype=bool)
    found = [
        _probability(
            grid,
            float(player.arrival_days),
            counts.get(player.player_external_id, never),
            away.get(player.player_external_id, nothing),
            _every_guess(real_share) if knows == "law" else [_known_guess(player, real_share, knows)],
        )
        for player in arrived.itertuples()
    ]
    return pd.Series(found, index=pd.Index(arrived["player_external_id"], name="player_external_id"), name=f"oracle_{knows}")


@dataclass(frozen=True)
class Guess:
    """Who a player may be. `weight` is its chance before anything was seen; `rates` (n) of visits a day with their chances."""

    weight: float
    kind: PlayerType
    is_abuser: bool
    uplift: float
    rates: np.ndarray
    rate_weights: np.ndarray
    real: float


def _known_guess(player: Any, real_share: pd.Series, knows: Knows) -> Guess:
    kind = _TYPES[player.player_type]
    real = float(real_share[(player.player_type, player.abuser_kind)])
    if knows == "rate":
        own = np.array([player.sessions_per_week / 7])
        return Guess(1.0, kind, player.abuser_kind != "", player.bonus_uplift, own, np.ones(1), real)
    return Guess(1.0, kind, player.abuser_kind != "", kind.uplift, *_rates(kind), real)


def _every_guess(real_share: pd.Series) -> list[Guess]:
    """All types and kinds of abusers by their shares."""
    shares = np.array([one.share for one in PLAYER_TYPES])
    honest = (1 - sum(ABUSER_SHARES.values())) * shares / shares.sum()
    found = [
        Guess(weight, kind, False, kind.uplift, *_rates(kind), float(real_share.get((kind.name, ""), 1.0)))
        for weight, kind in zip(honest, PLAYER_TYPES, strict=True)
    ]
    drawn_as = _TYPES[_ABUSER_TYPE]
    return found + [
        Guess(share, drawn_as, True, drawn_as.uplift, *_rates(drawn_as), float(real_share.get((_ABUSER_TYPE, name), 1.0)))
        for name, share in ABUSER_SHARES.items()
    ]


def real_shares(config: SimulationConfig, players: int = 8_000, seed: int = 990_017) -> pd.Series:
    """Share of the visits with a real-money bet or a deposit, by (player_type, abuser_kind), in a simulation of its own."""
    operator = simulate(replace(config, players=players, seed=seed))
    visits = operator.sessions[["player_external_id", "external_id"]].assign(real=False).set_index(["player_external_id", "external_id"])
    plays = operator.plays[operator.plays["stake"] > operator.plays["bonus_stake"]]
    paid = operator.payments[(operator.payments["kind"] == "DEPOSIT") & (operator.payments["status"] == "COMPLETED")]
    visit_of_payment = paid["external_id"].str.extract(r"^(s\d+)d", expand=False)
    for owners, refs in ((plays["player_external_id"], plays["session_ref"]), (paid["player_external_id"], visit_of_payment)):
        keys = pd.MultiIndex.from_arrays([owners, refs]).unique()
        visits.loc[visits.index.intersection(keys), "real"] = True
    joined = visits.reset_index().merge(operator.truth[["player_external_id", "player_type", "abuser_kind"]], on="player_external_id")
    found = joined.groupby(["player_type", "abuser_kind"])["real"].mean()
    every = pd.MultiIndex.from_frame(operator.truth[["player_type", "abuser_kind"]]).unique()
    return found.reindex(found.index.union(every), fill_value=1.0)  # dormant players never come


def _sessions_per_day(sessions: pd.DataFrame, config: SimulationConfig, grid: Grid) -> dict[str, np.ndarray]:
    seconds = sessions["started_at"].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[s]").astype(np.int64)
    day = seconds // 86400 - config.first_day
    past = day < grid.cut
    table = pd.DataFrame({"player": sessions["player_external_id"].to_numpy()[past], "day": day[past]})
    return {str(player): np.bincount(days, minlength=grid.cut).astype(float) for player, days in table.groupby("player")["day"]}


def _days_away(exclusions: pd.DataFrame, config: SimulationConfig, grid: Grid) -> dict[str, np.ndarray]:
    day = np.arange(grid.end)
    found: dict[str, np.ndarray] = {}
    for one in exclusions.itertuples():
        since = one.starts_at.timestamp() / 86400 - config.first_day
        until = np.inf if pd.isna(one.ends_at) else one.ends_at.timestamp() / 86400 - config.first_day
        if since < grid.cut:
            held = (day >= np.floor(since)) & (day <= np.ceil(until))
            found[one.player_external_id] = found.get(one.player_external_id, np.zeros(grid.end, dtype=bool)) | held
    return found


def _probability(grid: Grid, arrival: float, counts: np.ndarray, away: np.ndarray, guesses: list[Guess]) -> float:
    parts = [(np.log(guess.weight), *_log_chances(grid, arrival, counts, away, guess)) for guess in guesses]
    # what was seen, and what was seen with nothing after it; the largest is taken off, which keeps the powers in range
    seen = np.array([weight + past for weight, past, _ in parts])
    gone = np.array([weight + past_and_nothing for weight, _, past_and_nothing in parts])
    top = seen.max()
    return min(float(np.exp(gone - top).sum() / np.exp(seen - top).sum()), 1.0)


def _log_chances(grid: Grid, arrival: float, counts: np.ndarray, away: np.ndarray, guess: Guess) -> tuple[float, float]:
    """ln P(past | guess) and ln P(past, nothing in the horizon | guess), less what is the same for every guess."""
    rates = guess.rates
    if not rates.any():
        return (-np.inf, -np.inf) if counts.any() else (0.0, 0.0)
    last = np.flatnonzero(counts)
    lowest = int(np.floor(max(arrival, last[-1] if len(last) else 0)))
    prior = _lifetime_prior(arrival, guess, grid)[lowest:]
    there = _weights(grid, arrival, away) * grid.presence[lowest:]
    begins = grid.begins
    exposure = np.add.reduceat(there, begins, axis=1)  # (leaves, weeks)
    visits = np.add.reduceat(np.append(counts, np.zeros(grid.end - grid.cut)), begins)
    likelihood = grid.log_presence[lowest:, : grid.cut][:, counts > 0] @ counts[counts > 0]

    first_future = int(np.searchsorted(begins, grid.cut))
    law = _Law(guess)
    past = np.zeros((len(prior), len(rates)))
    # a week that is cut in two is one draw of luck: what follows the cut-off is added to what came before it
    joint = first_future if grid.cut % STREAK_DAYS and first_future < len(begins) else None
    whole = first_future - (joint is not None)
    for week in range(whole):
        past += law.log(visits[week], exposure[:, week, None] * rates)
    no_more = np.zeros_like(past)
    for week in range(first_future + (joint is not None), len(begins)):
        no_more += law.log(0, guess.real * exposure[:, week, None] * rates)
    if joint is not None:
        before, after = exposure[:, joint - 1, None] * rates, exposure[:, joint, None] * rates
        no_more += law.log(visits[joint - 1], before + guess.real * after)
        past_cross = law.log(visits[joint - 1], before)
    else:
        past_cross = np.zeros_like(past)
    with np.errstate(divide="ignore"):
        weight = np.log(prior)[:, None] + likelihood[:, None] + counts.sum() * np.log(rates) + np.log(guess.rate_weights) + past
    return float(np.logaddexp.reduce(weight + past_cross, axis=None)), float(np.logaddexp.reduce(weight + no_more, axis=None))


class _Law:
    """ln E[(luck x offer)^visits exp(-luck x offer x exposure)] of one week."""

    def __init__(self, guess: Guess) -> None:
        self.streaky = guess.kind.streaky
        chance = OFFER_CHANCE_OF_ABUSERS if guess.is_abuser else OFFER_CHANCE_PER_WEEK
        self.factors = ((1 - chance, 1.0), (chance, 1 + guess.uplift))

    def log(self, visits: float, exposure: np.ndarray) -> np.ndarray:
        found = np.zeros_like(exposure)
        if self.streaky:
            for chance, factor in self.factors:
                for share, luck in ((WILD_SHARE, WILD_HIGH), (1 - WILD_SHARE, WILD_LOW)):
                    found += chance * share * (luck * factor) ** visits * np.exp(-luck * factor * exposure)
            return np.log(np.maximum(found, 1e-300))
        # scaled by the law without an offer, which keeps the powers in range
        base = gammaln(MILD_SHAPE + visits) - gammaln(MILD_SHAPE) - visits * np.log(MILD_SHAPE)
        base = base - (MILD_SHAPE + visits) * np.log1p(exposure / MILD_SHAPE)
        for chance, factor in self.factors:
            ratio = np.log1p(factor * exposure / MILD_SHAPE) - np.log1p(exposure / MILD_SHAPE)
            found += chance * np.exp(visits * np.log(factor) - (MILD_SHAPE + visits) * ratio)
        return base + np.log(found)


def _rates(kind: PlayerType) -> tuple[np.ndarray, np.ndarray]:
    """Visits a day and their weights: the middles of equal shares of the type's Gamma."""
    from scipy.stats import gamma

    middles = (np.arange(RATE_NODES) + 0.5) / RATE_NODES
    return kind.sessions_per_week / 7 * gamma.ppf(middles, RATE_SHAPE) / RATE_SHAPE, np.full(RATE_NODES, 1 / RATE_NODES)


def _lifetime_prior(arrival: float, guess: Guess, grid: Grid) -> np.ndarray:
    """Chance of each leaving day, the last one standing for all later ones."""
    age = np.maximum(np.append(grid.leaves - 0.5, np.inf) - arrival, 0)
    if guess.is_abuser:
        shortest, spread = ABUSER_LIFETIME
        survival = 1 - np.clip((age - shortest) / spread, 0, 1)
    else:
        survival = np.exp(-((age / guess.kind.lifetime_days) ** LIFETIME_SHAPE))
    return survival[:-1] - survival[1:]


def _weights(grid: Grid, arrival: float, away: np.ndarray) -> np.ndarray:
    """Season of each day, 0 before the arrival and under an exclusion, a part of it on the day of arrival."""
    day = np.arange(grid.end)
    here = np.clip(day + 1 - arrival, 0, 1)
    return grid.season * here * ~away
