"""The product's churn model against the best that could be said, on the same players of one cut-off.

    ./loyalty bench predictions_oracle [players] [seed]

Fills an empty database with a simulated operator, trains the churn model on it as the job does (`predictions.training`), and scores the
players of its evaluation cut-off, of which it has learned nothing, with

- the model, opened from its file, and "days since the last activity" alone;
- three oracles (`benchmarks/_churn_oracle.py`): one that is told the hidden type of each player, one that is told the own rate of visits as
  well, and (active players alone) one that is told neither but knows the law of the simulator and weighs the types by what was seen.

Prints AUC, Brier score and expected calibration error (ten bands), and the AUC of each oracle less that of the model with its standard
error (DeLong, paired), for all eligible players and for those active within the horizon before the cut-off. Nothing is tuned on it.
"""

import json
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "loyalty_site.settings")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import django  # noqa: E402

django.setup()

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

from benchmarks._auc_difference import auc_difference  # noqa: E402
from benchmarks._churn_oracle import Knows, churn_oracle, real_shares  # noqa: E402
from players.models import Player  # noqa: E402
from players.simulation import SimulationConfig, simulate_blocks  # noqa: E402
from players.simulation_writer import write_database  # noqa: E402
from predictions import measure, registry, training  # noqa: E402
from predictions.ml import metrics  # noqa: E402
from predictions.ml.churn import RECENCY  # noqa: E402
from predictions.models import Kind  # noqa: E402

AS_OF = datetime(2026, 3, 15, tzinfo=UTC)
NEVER = 10_000.0  # days since the last activity of players who have none


def fill(config: SimulationConfig) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_database(config, truth_path=Path(folder) / "truth.csv", at=config.as_of, append=False, progress=lambda _text: None)


def oracles(config: SimulationConfig, cut: datetime, horizon_days: int, active: set[str]) -> pd.DataFrame:
    """One column an oracle, index player_external_id. The operator is simulated again: the truth is in no database.

    The one that weighs the types takes ten times as long; it looks at the `active` players alone, the others are NaN.
    """
    sessions, exclusions, truth = [], [], []
    for block in simulate_blocks(config):
        sessions.append(block.sessions[["player_external_id", "started_at"]])
        exclusions.append(block.exclusions)
        truth.append(block.truth)
    people, visits, away = (pd.concat(parts, ignore_index=True) for parts in (truth, sessions, exclusions))
    shares = real_shares(config)
    looked_at: dict[Knows, pd.DataFrame] = {"type": people, "rate": people, "law": people[people["player_external_id"].isin(active)]}
    return pd.DataFrame(
        {
            knows: churn_oracle(config, chosen, visits, away, cut, shares, horizon_days=horizon_days, knows=knows)
            for knows, chosen in looked_at.items()
        }
    )


def main(players: int, seed: int) -> None:
    config = SimulationConfig(players=players, seed=seed, as_of=AS_OF)
    fill(config)
    version = training.train(Kind.CHURN, as_of=AS_OF, seed=seed, is_synthetic=True)
    horizon = version.horizon_days
    cutoff = measure.evaluation_cutoff(version.as_of, horizon, seed=seed)
    usable = cutoff.labels["is_eligible"].astype(bool) & cutoff.labels["churned"].notna()
    frame = cutoff.features[usable]
    happened = cutoff.labels.loc[usable, "churned"].to_numpy(float)
    names = frame.index.map(dict(Player.objects.filter(pk__in=frame.index.tolist()).values_list("pk", "external_id")))
    idle = frame[RECENCY].fillna(NEVER).to_numpy()
    active = idle <= horizon
    known = oracles(config, cutoff.as_of, horizon, set(names[active])).reindex(names)
    scores = {"model": registry.load(version).predict(frame)["probability"].to_numpy(), **{k: known[k].to_numpy() for k in known}}
    about = {"algorithm": version.algorithm, "cut-off": f"{cutoff.as_of:%Y-%m-%d}", "status": version.status, "rows": version.rows}
    print(json.dumps(about))
    report("all", happened, {name: score for name, score in scores.items() if name != "law"}, idle)
    report(f"active within {horizon} days", happened[active], {name: score[active] for name, score in scores.items()}, idle[active])


def report(label: str, happened: np.ndarray, scores: dict[str, np.ndarray], idle: np.ndarray) -> None:
    print(json.dumps({"players": label, "n": len(happened), "churned": round(float(happened.mean()), 4)}))
    for name, score in scores.items():
        found = metrics.binary_metrics(happened, score)
        line = {"by": name if name == "model" else f"oracle: {name}", **{one: round(found[one], 4) for one in ("auc", "brier", "ece")}}
        if name != "model":
            difference, error = auc_difference(happened, score, scores["model"])
            line |= {"auc less that of the model": round(difference, 4), "standard error": round(error, 4)}
        print(json.dumps(line))
    print(json.dumps({"by": "days since the last activity", "auc": round(metrics.auc(happened, idle), 4)}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
