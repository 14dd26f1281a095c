"""Bonus-only play: somebody who plays with the operator's money and hardly ever with their own."""

import numpy as np
import pandas as pd

from .finding import Finding, ramp
from .parameters import DetectorParameters

KIND = "BONUS_ONLY"


def detect_bonus_only(players: pd.DataFrame, parameters: DetectorParameters) -> list[Finding]:
    """Columns: player_id, stake, bonus_stake, bonus_days, grants, last_bonus_at (aware) in the window; net_deposits (less
    refunds and chargebacks) and deposit_count of the whole history.

    strength = share of stake beyond a half x (1 - deposits / enough deposits) x repetition. One welcome bonus is one day: a quarter.
    """
    played = players[players["bonus_stake"] > 0]
    share = played["bonus_stake"].to_numpy(float) / played["stake"].to_numpy(float)
    paying = np.where(
        played["net_deposits"].to_numpy(float) > 0, played["deposit_count"].to_numpy(float) / parameters.bonus_paying_deposits, 0.0
    )
    repeats = np.maximum(played["bonus_days"].to_numpy(float), played["grants"].to_numpy(float)) / parameters.bonus_repeats
    strength = ramp(share, parameters.bonus_share_from, 1.0) * (1 - np.minimum(paying, 1)) * np.minimum(repeats, 1)
    findings = []
    for position in np.flatnonzero(strength >= parameters.least_strength):
        row = played.iloc[position]
        findings.append(
            Finding(
                player_id=int(row["player_id"]),
                kind=KIND,
                key="",
                strength=float(strength[position]),
                seen_at=row["last_bonus_at"].to_pydatetime(),
                evidence={
                    "bonus_share_of_stake": round(float(share[position]), 4),
                    "stake": f"{row['stake']:.2f}",
                    "bonus_stake": f"{row['bonus_stake']:.2f}",
                    "net_deposits": f"{row['net_deposits']:.2f}",
                    "deposit_count": int(row["deposit_count"]),
                    "bonus_days": int(row["bonus_days"]),
                    "grants": int(row["grants"]),
                    "window_days": parameters.window_days,
                },
            )
        )
    return findings
