"""The published figures on public data, when the folder with it is named by LOYALTY_PUBLIC_DATA."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[3]
FOLDER = os.environ.get("LOYALTY_PUBLIC_DATA", "")


def load_benchmark():
    """By its file: the folder of benchmarks is no package, and must not shadow one."""
    spec = importlib.util.spec_from_file_location("predictions_churn_benchmark", ROOT / "benchmarks/predictions_churn.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


bench = load_benchmark()
needs_data = pytest.mark.skipif(
    not Path(FOLDER, "telco_churn_ibm.csv.xz").is_file(), reason="LOYALTY_PUBLIC_DATA names no folder with the sets"
)


def measure(name):
    command = [sys.executable, str(ROOT / "benchmarks/predictions_churn.py"), "--data", FOLDER, "--set", name]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=300).stdout


@needs_data
def test_telco__cross_validated__at_the_honest_ceiling_and_not_above():
    line = next(line for line in measure("telco_churn_ibm").splitlines() if line.startswith("  model"))
    figures = dict(zip(line.split()[1::2], map(float, line.split()[2::2]), strict=True))
    assert 0.84 <= figures["auc"] <= 0.86
    assert figures["brier"] <= 0.137
    assert figures["ece"] < 0.02


@needs_data
def test_bustabit__time_split__passes_the_gate():
    text = measure("bustabit")
    assert "FAILED" not in text
    assert text.count("gate ") == 4


def test_bet_features__later_bets__are_refused_and_days_count_back_from_the_cutoff():
    at = pd.Timestamp("2021-11-10", tz="UTC")
    bets = pd.DataFrame(
        {
            "Username": [1, 1, 2],
            "GameID": [5, 6, 7],
            "Bet": [10.0, 30.0, 5.0],
            "Profit": [5.0, np.nan, np.nan],
            "CashedOut": [1.5, np.nan, np.nan],
            "Bonus": [0.0, np.nan, np.nan],
            "at": [at - pd.Timedelta(days=9), at - pd.Timedelta(hours=36), at - pd.Timedelta(days=2)],
        }
    )
    bets["payout"] = (bets["Bet"] + bets["Profit"]).fillna(0.0)
    frame = bench.bet_features(bets, at)
    assert frame.loc[1, "days_since_last_activity"] == 1.5
    assert (frame.loc[1, "rounds_7d"], frame.loc[1, "stake"], frame.loc[1, "loss"], frame.loc[1, "win_share"]) == (1, 40, 25, 0.5)
    assert np.isnan(frame.loc[2, "usual_gap"])
    with pytest.raises(AssertionError):
        bench.bet_features(bets, at - pd.Timedelta(days=2))
