"""The best that any churn model could do on simulated players: `./loyalty bench predictions_oracle [players] [seed]`.

The oracle computes P(no real-money bet and no deposit in the horizon | hidden type, observed past) by the law of the simulator
(`players.simulation.visits`). It knows

- the hidden type of each player (with its trait values, and the abuser kind), the instant of arrival, and the parameters of the law;
- with `knows="rate"` also the player's own rate of visits and response to offers;
- the past: sessions of every day before the cut-off, and exclusions begun before it.

It does not know the future: not when the player leaves, not the luck of a week, not the offers, no later session. These are integrated
out: the end of the lifetime over a grid of half-open days, weighed by the lifetime's prior and the likelihood of the observed sessions;
the rate (unless known) over quantiles of its prior; the luck of a week (Gamma, or high and low weeks of streaky players) and its offer
exactly, the week of the cut-off jointly for its days before and after. The one approximation: visits with a real-money bet or a deposit
are a thinning of all visits, at the share that players of the type had in a simulation with another seed.

Prints AUC, Brier score and expected calibration error of the oracle and of "days since last activity" alone, for all eligible players
and for those active in the last 90 days.
"""

import json
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from players.simulation import SimulationConfig, simulate  # noqa: E402
from players.simulation.config import PLAYER_TYPES  # noqa: E402
from players.simulation.population import ABUSER_LIFETIME, LIFETIME_SHAPE, RATE_SHAPE  # noqa: E402
from players.simulation.visits import (  # noqa: E402
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
Knows = Literal["type", "rate"]


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
            player,
            counts.get(player.player_external_id, never),
            away.get(player.player_external_id, nothing),
            float(real_share[(player.player_type, player.abuser_kind)]),
            knows,
        )
        for player in arrived.itertuples()
    ]
    return pd.Series(found, index=pd.Index(arrived["player_external_id"], name="player_external_id"), name=f"oracle_{knows}")


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


def _probability(grid: Grid, player: object, counts: np.ndarray, away: np.ndarray, real: float, knows: Knows) -> float:
    kind = _TYPES[player.player_type]  # type: ignore[attr-defined]
    rates, rate_weights = _rates(player, kind, knows)
    if not rates.any():
        return 1.0
    last = np.flatnonzero(counts)
    lowest = int(np.floor(max(player.arrival_days, last[-1] if len(last) else 0)))  # type: ignore[attr-defined]
    prior = _lifetime_prior(player, kind, grid)[lowest:]
    there = _weights(grid, player, away) * grid.presence[lowest:]
    begins = grid.begins
    exposure = np.add.reduceat(there, begins, axis=1)  # (leaves, weeks)
    visits = np.add.reduceat(np.append(counts, np.zeros(grid.end - grid.cut)), begins)
    likelihood = grid.log_presence[lowest:, : grid.cut][:, counts > 0] @ counts[counts > 0]

    first_future = int(np.searchsorted(begins, grid.cut))
    law = _Law(kind.streaky, player, kind, knows)
    past = np.zeros((len(prior), len(rates)))
    # a week that is cut in two is one draw of luck: what follows the cut-off is added to what came before it
    joint = first_future if grid.cut % STREAK_DAYS and first_future < len(begins) else None
    whole = first_future - (joint is not None)
    for week in range(whole):
        past += law.log(visits[week], exposure[:, week, None] * rates)
    no_more = np.zeros_like(past)
    for week in range(first_future + (joint is not None), len(begins)):
        no_more += law.log(0, real * exposure[:, week, None] * rates)
    if joint is not None:
        before, after = exposure[:, joint - 1, None] * rates, exposure[:, joint, None] * rates
        no_more += law.log(visits[joint - 1], before + real * after)
        past_cross = law.log(visits[joint - 1], before)
    else:
        past_cross = np.zeros_like(past)
    with np.errstate(divide="ignore"):
        weight = np.log(prior)[:, None] + likelihood[:, None] + counts.sum() * np.log(rates) + np.log(rate_weights) + past
    top = (weight + past_cross).max()
    return min(float(np.exp(weight + no_more - top).sum() / np.exp(weight + past_cross - top).sum()), 1.0)


class _Law:
    """ln E[(luck x offer)^visits exp(-luck x offer x exposure)] of one week, less what depends on the visits alone."""

    def __init__(self, streaky: bool, player: object, kind: object, knows: Knows) -> None:
        self.streaky = streaky
        abuser = player.abuser_kind != ""  # type: ignore[attr-defined]
        chance = OFFER_CHANCE_OF_ABUSERS if abuser else OFFER_CHANCE_PER_WEEK
        uplift = player.bonus_uplift if knows == "rate" else kind.uplift  # type: ignore[attr-defined]
        self.factors = ((1 - chance, 1.0), (chance, 1 + uplift))

    def log(self, visits: float, exposure: np.ndarray) -> np.ndarray:
        found = np.zeros_like(exposure)
        if self.streaky:
            for chance, factor in self.factors:
                for share, luck in ((WILD_SHARE, WILD_HIGH), (1 - WILD_SHARE, WILD_LOW)):
                    found += chance * share * (luck * factor) ** visits * np.exp(-luck * factor * exposure)
            return np.log(np.maximum(found, 1e-300))
        # scaled by the law without an offer, which keeps the powers in range
        base = -(MILD_SHAPE + visits) * np.log1p(exposure / MILD_SHAPE)
        for chance, factor in self.factors:
            ratio = np.log1p(factor * exposure / MILD_SHAPE) - np.log1p(exposure / MILD_SHAPE)
            found += chance * np.exp(visits * np.log(factor) - (MILD_SHAPE + visits) * ratio)
        return base + np.log(found)


def _rates(player: object, kind: object, knows: Knows) -> tuple[np.ndarray, np.ndarray]:
    """Visits a day and their weights: the player's own, or the middles of equal shares of the type's Gamma."""
    if knows == "rate":
        return np.array([player.sessions_per_week / 7]), np.ones(1)  # type: ignore[attr-defined]
    from scipy.stats import gamma

    middles = (np.arange(RATE_NODES) + 0.5) / RATE_NODES
    return kind.sessions_per_week / 7 * gamma.ppf(middles, RATE_SHAPE) / RATE_SHAPE, np.full(RATE_NODES, 1 / RATE_NODES)  # type: ignore[attr-defined]


def _lifetime_prior(player: object, kind: object, grid: Grid) -> np.ndarray:
    """Chance of each leaving day, the last one standing for all later ones."""
    age = np.maximum(np.append(grid.leaves - 0.5, np.inf) - player.arrival_days, 0)  # type: ignore[attr-defined]
    if player.abuser_kind != "":  # type: ignore[attr-defined]
        shortest, spread = ABUSER_LIFETIME
        survival = 1 - np.clip((age - shortest) / spread, 0, 1)
    else:
        survival = np.exp(-((age / kind.lifetime_days) ** LIFETIME_SHAPE))  # type: ignore[attr-defined]
    return survival[:-1] - survival[1:]


def _weights(grid: Grid, player: object, away: np.ndarray) -> np.ndarray:
    """Season of each day, 0 before the arrival and under an exclusion, a part of it on the day of arrival."""
    day = np.arange(grid.end)
    here = np.clip(day + 1 - player.arrival_days, 0, 1)  # type: ignore[attr-defined]
    return grid.season * here * ~away


def measured(probability: np.ndarray, happened: np.ndarray) -> dict[str, float]:
    from sklearn.metrics import brier_score_loss, roc_auc_score

    order = np.argsort(probability, kind="stable")
    parts = np.array_split(order, 10)
    ece = sum(abs(probability[part].mean() - happened[part].mean()) * len(part) for part in parts) / len(probability)
    return {
        "players": len(happened),
        "base_rate": round(float(happened.mean()), 4),
        "auc": round(float(roc_auc_score(happened, probability)), 4),
        "brier": round(float(brier_score_loss(happened, probability)), 4),
        "ece": round(float(ece), 4),
    }


def outcomes(operator: object, config: SimulationConfig, as_of: datetime, horizon_days: int) -> pd.DataFrame:
    """churned, eligible and idle days of the players who arrived before the cut-off, from the simulated events alone."""
    cut = as_of.replace(hour=0, minute=0, second=0, microsecond=0)
    end = cut + timedelta(days=horizon_days)

    def players(table: pd.DataFrame, column: str, condition: pd.Series | bool = True) -> pd.Index:
        chosen = table[(table[column] >= cut) & (table[column] < end) & condition]
        return pd.Index(chosen["player_external_id"].unique())

    deposits = operator.payments  # type: ignore[attr-defined]
    plays = operator.plays  # type: ignore[attr-defined]
    real = players(deposits, "occurred_at", (deposits["kind"] == "DEPOSIT") & (deposits["status"] == "COMPLETED")).union(
        players(plays, "played_at", plays["stake"] > plays["bonus_stake"])
    )
    sessions = operator.sessions  # type: ignore[attr-defined]
    last = sessions[sessions["started_at"] < cut].groupby("player_external_id")["started_at"].max().dt.floor("D")
    away = operator.exclusions  # type: ignore[attr-defined]
    excluded = away[(away["starts_at"] < end) & (away["ends_at"].isna() | (away["ends_at"] > cut))]["player_external_id"]
    people = operator.players.set_index("external_id")  # type: ignore[attr-defined]
    table = people[people["registered_at"] < cut]
    found = pd.DataFrame({"churned": ~table.index.isin(real), "idle": (cut - last.reindex(table.index)).dt.days}, index=table.index)
    found["eligible"] = ~table.index.isin(excluded) & (table["status"] != "CLOSED").to_numpy()
    return found


def main(players: int, seed: int) -> None:
    config = SimulationConfig(players=players, seed=seed, as_of=datetime(2026, 3, 15, tzinfo=UTC))
    operator = simulate(config)
    as_of = config.as_of - timedelta(days=HORIZON_DAYS)
    truth = outcomes(operator, config, as_of, HORIZON_DAYS)
    shares = real_shares(config)
    scores = {
        f"oracle knowing the {knows}": churn_oracle(
            config, operator.truth, operator.sessions, operator.exclusions, as_of, shares, knows=knows
        )
        for knows in ("type", "rate")
    }
    truth = truth[truth["eligible"]]
    recency = truth["idle"].fillna(10_000)
    for label, chosen in (("all", truth.index), ("active in 90 days", truth.index[recency <= 90])):
        happened = truth.loc[chosen, "churned"].to_numpy().astype(float)
        for name, score in scores.items():
            print(json.dumps({"players of": label, "by": name, **measured(score.reindex(chosen).to_numpy(), happened)}), flush=True)
        ranked = measured(recency.loc[chosen].rank(pct=True).to_numpy(), happened)
        print(json.dumps({"players of": label, "by": "days since last activity", "auc": ranked["auc"]}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
