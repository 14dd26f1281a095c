"""Small worlds whose law is known: players with a hidden type, and frames as the feature code delivers them."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from predictions.features.history import sampled
from predictions.ml.kinds import Cutoff, History

START = datetime(2025, 1, 1, tzinfo=UTC)


def types(players: int, seed: int) -> np.ndarray:
    """0 inactive, 1 high value, 2 regular, 3 new; a fixed mix."""
    return np.random.default_rng(seed).choice(4, players, p=[0.4, 0.1, 0.3, 0.2])


def rfm_cutoff(kind: np.ndarray, month: int, rng: np.random.Generator) -> Cutoff:
    """Four well separated clouds on the log scale."""
    recency = np.array([120.0, 2.0, 8.0, 3.0])[kind]
    count = np.array([2.0, 80.0, 15.0, 0.9])[kind]
    mean = np.array([1.0, 3.0, 1.5, 1.0])[kind]
    noise = rng.normal(0, 0.2, (3, len(kind)))
    count = np.maximum(np.rint(count * np.exp(noise[1])), 1)
    index = pd.Index(np.arange(1, len(kind) + 1), dtype=np.int64, name="player_id")
    features = pd.DataFrame(
        {
            "days_since_last_activity": recency * np.exp(noise[0]),
            "deposit_count_total": count,
            "deposits_total": count * mean * np.exp(noise[2]),
            "tenure_days": np.where(kind == 3, 10.0, 300.0),
            "sessions_90d": np.array([0.0, 60.0, 20.0, 5.0])[kind],
            "ngr_365d": np.array([0.5, 100.0, 10.0, 0.2])[kind],
        },
        index=index,
    )
    labels = pd.DataFrame({"is_eligible": True, "ngr_365d": np.nan}, index=index)
    return Cutoff(START + timedelta(days=30 * month), features, labels)


def rfm_history(matrix: np.ndarray, *, players: int = 3000, months: int = 4, seed: int = 3) -> History:
    """Players who change their type every month by `matrix`."""
    rng = np.random.default_rng(seed)
    kind = types(players, seed)
    cutoffs = []
    for month in range(months):
        cutoffs.append(rfm_cutoff(kind, month, rng))
        kind = np.array([rng.choice(4, p=matrix[each]) for each in kind])
    return History(cutoffs, horizon_days=30)


def behaviour(players: int, rng: np.random.Generator, *, strange: int = 0) -> pd.DataFrame:
    """Frame of the anomaly features; the first `strange` players use many devices and addresses, deposit in bursts and hardly play."""
    volume = rng.lognormal(2, 1, players)
    sessions = rng.poisson(20, players) + 1.0
    frame = pd.DataFrame(
        {
            "rapid_deposits": rng.exponential(0.3, players),
            "deposit_failure_rate": rng.beta(1, 15, players),
            "deposit_count_90d": rng.poisson(6, players) * 1.0,
            "deposits_90d": volume,
            "deposit_mean": rng.lognormal(0, 0.5, players),
            "withdrawal_count_90d": rng.poisson(1, players) * 1.0,
            "withdrawals_90d": volume * rng.beta(1, 4, players),
            "payment_methods": 1.0 + rng.poisson(0.3, players),
            "devices": 1.0 + rng.poisson(0.5, players),
            "ips": 1.0 + rng.poisson(1, players),
            "bonus_share_90d": rng.beta(1, 6, players),
            "win_ratio_90d": rng.normal(0.95, 0.1, players),
            "volatility_90d": rng.lognormal(0, 0.4, players),
            "max_stake_90d": rng.lognormal(-1, 0.8, players),
            "stake_90d": volume * rng.lognormal(1, 0.3, players),
            "rounds_90d": rng.poisson(500, players) * 1.0,
            "sessions_90d": sessions,
            "session_minutes_mean": rng.lognormal(3, 0.4, players),
            "top_game_share_90d": rng.beta(4, 4, players),
            "tenure_days": rng.uniform(5, 700, players),
        },
        index=pd.Index(np.arange(1, players + 1), dtype=np.int64, name="player_id"),
    )
    frame.loc[: strange or -1, ["rapid_deposits", "devices", "ips", "payment_methods"]] *= [20, 5, 6, 4]
    frame.loc[: strange or -1, ["rounds_90d", "sessions_90d"]] *= 0.05
    return frame


def sampled_beside(history: History, size: int, always: Collection[int]) -> History:
    """The history with a sample of its players and those of `always` beside it, as `predictions.features.history` reads it."""
    cutoffs = []
    for cutoff in history.cutoffs:
        ids = cutoff.features.index
        drawn = sampled(ids.to_numpy(), size, seed=0)
        kept = ids.isin([*drawn, *always])
        added = frozenset(always) - set(drawn.tolist())
        cutoffs.append(Cutoff(cutoff.as_of, cutoff.features[kept], cutoff.labels[kept], added))
    return History(cutoffs, history.horizon_days)


def behaviour_history(players: int = 2000, *, strange: int = 40, seed: int = 4, months: int = 3) -> History:
    rng = np.random.default_rng(seed)
    cutoffs = []
    for month in range(months):
        features = behaviour(players, rng, strange=strange)
        labels = pd.DataFrame({"is_eligible": True}, index=features.index)
        cutoffs.append(Cutoff(START + timedelta(days=30 * month), features, labels))
    return History(cutoffs, horizon_days=30)
