"""Abnormal win rate, by sample size: how improbable is what the player won, given what the games pay and how much they scatter?

A return above 120 % says nothing by itself: at 200 spins of a 4 % edge slot with deviation 5 a quarter of all honest players has it.
Here the surplus over the games' own return is weighed by its variance, and one lucky record never decides: the record with the
largest surplus is left out.
"""

import numpy as np
import pandas as pd
from scipy.special import gammaincc

from .finding import Finding
from .parameters import DetectorParameters

KIND = "WIN_RATE"
_TINY = 1e-300


def tail_probability(payout: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """P(at least this payout) for a Gamma of the given mean and variance; returns of games are positive and skewed, as it is."""
    usable = (mean > 0) & (variance > 0)
    safe_mean, safe_variance = np.where(usable, mean, 1.0), np.where(usable, variance, 1.0)
    p = gammaincc(safe_mean**2 / safe_variance, np.maximum(payout, 0) * safe_mean / safe_variance)
    return np.where(usable, p, 1.0)


def detect_win_rate(players: pd.DataFrame, parameters: DetectorParameters) -> list[Finding]:
    """One row a player, over plays of games whose edge and deviation are known, the record with the largest surplus left out:
    player_id, records, rounds, stake, payout, expected (sum of stake x (1 - edge)), variance (sum of stake^2 / rounds x sd^2),
    best_surplus (of the record left out), last_played_at (aware).

    z = (payout - expected) / sqrt(variance). A finding needs p below alpha in the Gamma tail; strength grows with -log10 p.
    """
    enough = (players["rounds"] >= parameters.win_rate_least_rounds) & (players["records"] >= parameters.win_rate_least_records)
    players = players[enough & (players["stake"] > 0) & (players["variance"] > 0)]
    payout, expected = players["payout"].to_numpy(float), players["expected"].to_numpy(float)
    variance = players["variance"].to_numpy(float)
    p = np.maximum(tail_probability(payout, expected, variance), _TINY)
    z = (payout - expected) / np.sqrt(variance)
    alpha, full = parameters.win_rate_alpha, parameters.win_rate_full_p
    strength = np.clip(0.3 + 0.7 * (np.log10(alpha) - np.log10(p)) / (np.log10(alpha) - np.log10(full)), 0.0, 1.0)
    findings = []
    for position in np.flatnonzero(p < alpha):
        row = players.iloc[position]
        findings.append(
            Finding(
                player_id=int(row["player_id"]),
                kind=KIND,
                key="",
                strength=float(strength[position]),
                seen_at=row["last_played_at"].to_pydatetime(),
                evidence={
                    "z": round(float(z[position]), 2),
                    "p": float(f"{p[position]:.3g}"),
                    "observed_return": round(float(payout[position] / float(row["stake"])), 4),
                    "expected_return": round(float(expected[position] / float(row["stake"])), 4),
                    "rounds": int(row["rounds"]),
                    "records": int(row["records"]),
                    "stake": f"{row['stake']:.2f}",
                    "payout": f"{row['payout']:.2f}",
                    "largest_surplus_left_out": f"{row['best_surplus']:.2f}",
                    "window_days": parameters.win_rate_window_days,
                },
            )
        )
    return findings
