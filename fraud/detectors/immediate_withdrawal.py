"""Immediate withdrawal: money goes out soon after it came in, hardly played."""

import numpy as np
import pandas as pd

from .finding import Finding, by_player, noisy_or, ramp
from .parameters import DetectorParameters

KIND = "IMMEDIATE_WITHDRAWAL"
_LISTED = 5


def detect_immediate_withdrawal(withdrawals: pd.DataFrame, parameters: DetectorParameters) -> list[Finding]:
    """One row a withdrawal with the last deposit or bonus before it: player_id, withdrawal_id, withdrawn_at (aware), amount, source
    ("deposit" or "bonus"), credited_at, credited, staked (between the two), rounds.

    Each event weighs (1 - hours / window) x (1 - turnover), turnover = staked / credited up to 1. Whether it was won or not
    plays no part: a lucky player who played the money through once is not suspected. Events of a player add up as evidence.
    """
    hours = (withdrawals["withdrawn_at"] - withdrawals["credited_at"]).dt.total_seconds().to_numpy(float) / 3600
    credited = withdrawals["credited"].to_numpy(float)
    turnover = np.divide(withdrawals["staked"].to_numpy(float), credited, out=np.ones(len(withdrawals)), where=credited > 0)
    whole = withdrawals["amount"].to_numpy(float) >= parameters.withdrawal_least_part * credited
    weight = (1 - ramp(hours, 0.0, parameters.withdrawal_within_hours)) * (1 - np.minimum(turnover, 1)) * whole
    events = withdrawals.assign(hours=hours, turnover=turnover, weight=weight)
    findings = []
    for player, mine in by_player(events[events["weight"] > 0]):
        strength = noisy_or(parameters.withdrawal_event_strength * mine["weight"])
        if strength < parameters.least_strength:
            continue
        strongest = mine.sort_values("weight", ascending=False).head(_LISTED)
        findings.append(
            Finding(
                player_id=player,
                kind=KIND,
                key="",
                strength=strength,
                seen_at=mine["withdrawn_at"].max().to_pydatetime(),
                evidence={
                    "events": len(mine),
                    "window_days": parameters.window_days,
                    "strongest": [
                        {
                            "withdrawal_id": int(row["withdrawal_id"]),
                            "after": row["source"],
                            "hours": round(row["hours"], 2),
                            "turnover": round(row["turnover"], 4),
                            "credited": f"{row['credited']:.2f}",
                            "withdrawn": f"{row['amount']:.2f}",
                            "rounds": int(row["rounds"]),
                        }
                        for row in strongest.to_dict("records")
                    ],
                },
            )
        )
    return findings
