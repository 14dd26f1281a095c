"""Bet manipulation: minimal bets while a bonus is wagered, then a large jump."""

import numpy as np
import pandas as pd

from .finding import Finding, by_player, noisy_or, ramp
from .parameters import DetectorParameters

KIND = "BET_MANIPULATION"
_LISTED = 5


def detect_bet_manipulation(plays: pd.DataFrame, parameters: DetectorParameters) -> list[Finding]:
    """Plays of players who used a bonus: player_id, play_id, played_at (aware), stake, bonus_stake, rounds.

    An episode is a run of play with bonus money and what follows within hours. The jump of a play is its bet (stake a round) over
    the average bet of the bonus play before it in the episode, once that has enough rounds; an episode counts its largest jump,
    on a log scale. Jumps of one game to another (a slot spin to a blackjack hand) stay below the lower edge.
    """
    if plays.empty:
        return []
    rows = plays.sort_values(["player_id", "played_at", "play_id"], kind="stable", ignore_index=True)
    rows["bet"] = rows["stake"].to_numpy(float) / rows["rounds"].to_numpy(float)
    bonus = rows["bonus_stake"].to_numpy(float) > 0
    ids = rows["player_id"].to_numpy()
    new_player = np.r_[True, ids[1:] != ids[:-1]]
    rows["episode"] = np.cumsum(bonus & (new_player | np.r_[True, ~bonus[:-1]]))
    grouped = rows.groupby(["player_id", "episode"], sort=False)
    last_bonus = rows["played_at"].where(bonus).groupby([rows["player_id"], rows["episode"]]).ffill()
    soon = (rows["played_at"] - last_bonus).dt.total_seconds() <= parameters.jump_within_hours * 3600
    bonus_stake_before = _before(rows["stake"].astype(float).where(bonus, 0.0), rows)
    bonus_rounds_before = _before(rows["rounds"].astype(float).where(bonus, 0.0), rows)
    enough = soon & (bonus_rounds_before >= parameters.jump_after_rounds) & (bonus_stake_before > 0)
    base = bonus_stake_before / bonus_rounds_before.where(bonus_rounds_before > 0, 1.0)
    rows["base"] = base
    rows["jump"] = (rows["bet"] / base.where(base > 0, 1.0)).where(enough, 0.0)
    rows["bonus_rounds"] = bonus_rounds_before
    highest = rows.loc[grouped["jump"].idxmax()]
    with np.errstate(divide="ignore"):
        logs = np.log(highest["jump"].to_numpy(float))
    highest = highest.assign(weight=ramp(logs, np.log(parameters.jump_from), np.log(parameters.jump_full)))
    findings = []
    for player, mine in by_player(highest[highest["weight"] > 0]):
        strength = noisy_or(parameters.jump_event_strength * mine["weight"])
        if strength < parameters.least_strength:
            continue
        findings.append(
            Finding(
                player_id=player,
                kind=KIND,
                key="",
                strength=strength,
                seen_at=mine["played_at"].max().to_pydatetime(),
                evidence={
                    "episodes": len(mine),
                    "window_days": parameters.window_days,
                    "strongest": [
                        {
                            "play_id": int(row["play_id"]),
                            "jump": round(row["jump"], 1),
                            "bet": f"{row['bet']:.2f}",
                            "bet_while_wagering": f"{row['base']:.2f}",
                            "rounds_while_wagering": int(row["bonus_rounds"]),
                            "still_wagering": bool(row["bonus_stake"] > 0),
                        }
                        for row in mine.sort_values("weight", ascending=False).head(_LISTED).to_dict("records")
                    ],
                },
            )
        )
    return findings


def _before(values: pd.Series, rows: pd.DataFrame) -> pd.Series:
    """Running sum within the episode, without the row itself."""
    return values.groupby([rows["player_id"], rows["episode"]]).cumsum() - values
