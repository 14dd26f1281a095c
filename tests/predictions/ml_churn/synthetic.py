"""Players whose probability of leaving is known: a small casino with a written law, for tests that need the truth."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
from scipy.special import expit

from predictions.ml.kinds import Cutoff, History

FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def casino(
    players: int, seed: int, cutoffs: int = 5, horizon: int = 30, noise: int = 10, flat: bool = False
) -> tuple[History, list[np.ndarray]]:
    """A history and, per cut-off, the true probabilities of `churned` (rows). With `flat` the law is linear in the logarithms."""
    rng = np.random.default_rng(seed)
    zeal, wealth = rng.normal(size=players), rng.normal(size=players)
    parts, truth = [], []
    for position in range(cutoffs):
        at = FIRST + timedelta(days=horizon * position)
        frame = _features(players, zeal + 0.5 * rng.normal(size=players), wealth, rng, noise)
        log_odds = law(frame, flat)
        probability = expit(log_odds)
        churned = rng.random(players) < probability
        active = (~churned) & (rng.random(players) < expit(1.5 - 0.35 * log_odds - 0.1 * frame["days_since_last_activity"].fillna(300)))
        labels = pd.DataFrame(
            {"churned": churned.astype(float), "active_7d": active.astype(float), "is_eligible": rng.random(players) < 0.97},
            index=frame.index,
        )
        parts.append(Cutoff(at, frame, labels))
        truth.append(probability)
    return History(parts, horizon), truth


def law(frame: pd.DataFrame, flat: bool = False) -> np.ndarray:
    """True log-odds of churn: idle days (unknown: 300), deposits, active days; unless `flat`, sessions count only for depositors."""
    idle = np.log1p(frame["days_since_last_activity"].fillna(300))
    deposits = np.log1p(frame["deposit_count_90d"])
    days = np.log1p(frame["active_days_30d"])
    line = -1.2 + 1.1 * idle - 0.7 * deposits - 0.4 * days
    if not flat:
        line += np.where(frame["deposit_count_90d"] >= 3, -0.5 * np.log1p(frame["sessions_7d"]), 0.4)
    return line.to_numpy()


def _features(players: int, zeal: np.ndarray, wealth: np.ndarray, rng: np.random.Generator, noise: int) -> pd.DataFrame:
    idle = np.floor(rng.exponential(np.exp(2.2 - 0.8 * zeal)))
    active_30 = np.where(idle < 30, np.minimum(1 + rng.poisson(np.exp(1.2 + 0.8 * zeal)), 30), 0)
    active_90 = np.where(idle < 90, np.minimum(active_30 + rng.poisson(2 * np.exp(1.2 + 0.8 * zeal)) + 1, 90), 0)
    active_7 = np.where(idle < 7, np.minimum(1 + rng.binomial(active_30, 7 / 30), 7), 0)
    deposits = np.where(active_90 > 0, rng.poisson(np.exp(0.8 + 0.5 * zeal)), 0)
    mean = np.exp(0.5 * wealth)
    frame = pd.DataFrame(
        {
            "days_since_last_activity": np.where(idle > 300, np.nan, idle),
            "days_since_last_deposit": np.where(deposits > 0, idle + np.floor(rng.exponential(5, players)), np.nan),
            "days_since_last_play": idle + np.floor(rng.exponential(1, players)),
            "active_days_7d": active_7,
            "active_days_30d": active_30,
            "active_days_90d": active_90,
            "sessions_7d": active_7 + rng.poisson(active_7 * 0.5),
            "sessions_30d": active_30 + rng.poisson(active_30 * 0.5),
            "sessions_90d": active_90 + rng.poisson(active_90 * 0.5),
            "deposit_count_90d": deposits,
            "deposits_90d": deposits * mean,
            "deposit_count_total": deposits * 3,
            "deposits_total": deposits * 3 * mean,
            "deposit_mean": np.where(deposits > 0, mean, np.nan),
            "stake_30d": active_30 * mean * 5,
            "stake_90d": active_90 * mean * 5,
            "rounds_90d": active_90 * 40.0,
            "ngr_90d": active_90 * mean * 0.2,
            "tenure_days": rng.uniform(90, 900, players).round(),
        }
        | {f"noise_{number}": rng.normal(size=players) for number in range(noise)},
        index=pd.Index(np.arange(1, players + 1), name="player_id"),
        dtype=np.float64,
    )
    frame["currency"] = "EUR"
    frame["currency_unit"] = 20.0
    return frame
