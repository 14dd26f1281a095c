"""The win rate signal on honest players: false positives by simulation, beside the naive rule that it replaces."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fraud.detectors import DEFAULTS, detect_win_rate

EDGE, PLAYERS, RECORDS = 0.04, 20_000, 5
# A slot with a pay table of its own (not the detector's Gamma): mean 0.96, deviation 5.0.
PAYS = np.array([0.0, 0.4, 1.0, 3.0, 12.0, 60.0, 250.0])
CHANCES = np.array([0.0, 0.20, 0.16, 0.08, 0.02, 0.0033, 0.000165])
CHANCES[0] = 1 - CHANCES.sum()
AT = pd.Timestamp("2026-03-10T12:00Z")


def _pays() -> tuple[float, float]:
    mean = float((PAYS * CHANCES).sum())
    return mean, float(np.sqrt((PAYS**2 * CHANCES).sum() - mean**2))


def _honest(spins: int, seed: int) -> pd.DataFrame:
    """Sums as the selector makes them: five records a player, that with the largest surplus left out."""
    rng = np.random.default_rng(seed)
    mean, deviation = _pays()
    each = spins // RECORDS
    counts = rng.multinomial(each, CHANCES, size=(PLAYERS, RECORDS))
    payout = counts @ PAYS
    best = (payout - each * mean).max(axis=1)
    kept = each * (RECORDS - 1)
    return pd.DataFrame(
        {
            "player_id": np.arange(PLAYERS),
            "records": RECORDS - 1,
            "rounds": kept,
            "stake": float(kept),
            "payout": payout.sum(axis=1) - payout.max(axis=1),
            "expected": kept * mean,
            "variance": kept * deviation**2,
            "best_surplus": best,
            "last_played_at": AT,
            "observed_return": payout.sum(axis=1) / (each * RECORDS),
        }
    )


def test_pay_table__mean_and_deviation__are_the_stated() -> None:
    assert _pays() == (pytest.approx(0.96, abs=0.01), pytest.approx(5.0, abs=0.05))


@pytest.mark.parametrize(("spins", "naive"), [(200, (0.17, 0.27)), (1000, (0.05, 0.11)), (5000, (0.0, 0.01))])
def test_honest_players__flagged_below_alpha__while_120_percent_rule_flags_many(spins: int, naive: tuple[float, float]) -> None:
    honest = _honest(spins, seed=spins)
    whole = replace(DEFAULTS, win_rate_least_rounds=1)  # by default 200 spins would be too few to say anything
    flagged = len(detect_win_rate(honest, whole)) / PLAYERS
    assert flagged < DEFAULTS.win_rate_alpha
    assert naive[0] <= (honest["observed_return"] > 1.2).mean() <= naive[1]


def test_cheat__three_percent_edge_for_the_player_over_100k_spins__is_found() -> None:
    row = _honest(1000, seed=1).iloc[:1].assign(rounds=90_000, stake=90_000.0, expected=86_400.0, variance=90_000 * 25.0)
    z_of_5 = 86_400 + 5 * np.sqrt(90_000 * 25.0)
    (finding,) = detect_win_rate(row.assign(payout=z_of_5), DEFAULTS)
    assert finding.evidence["z"] == 5.0
    assert finding.strength > 0.5
    assert finding.evidence["observed_return"] == pytest.approx(z_of_5 / 90_000, abs=1e-4)


def test_one_huge_win__decides_nothing() -> None:
    """A jackpot is the record that is left out: what remains is ordinary, so there is no signal."""
    row = _honest(1000, seed=2).iloc[:1].assign(best_surplus=1_000_000.0)
    assert detect_win_rate(row.assign(payout=row["expected"]), DEFAULTS) == []


@pytest.mark.parametrize("change", [{"rounds": 199}, {"records": 3}, {"variance": 0.0}, {"stake": 0.0}])
def test_too_little_to_say__nothing(change: dict) -> None:
    row = _honest(1000, seed=3).iloc[:1].assign(payout=1e9).assign(**change)
    assert detect_win_rate(row, DEFAULTS) == []
