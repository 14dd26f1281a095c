"""Precision and recall of the abuse detectors against a simulated truth: `./loyalty bench abuse_detection [players] [seed]`.

Simulates into an empty database, scans all players at the end of history, prints, and rolls everything back.

An abuser counts as present when the behaviour falls into the detector's window; somebody who left a year ago cannot be found by a
90-day window, and need not be. Rings are looked for by MULTI_ACCOUNT, the other planted kinds by the detector of their name.
"""

import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import django

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "loyalty_site.settings")
django.setup()

import pandas as pd  # noqa: E402
from django.db import transaction  # noqa: E402
from django.db.models import Max, Min  # noqa: E402

from fraud.detectors import DEFAULTS  # noqa: E402
from fraud.models import AbuseProfile, AbuseSignal  # noqa: E402
from fraud.services import refresh_links, scan  # noqa: E402
from players.models import GamePlay, Player  # noqa: E402
from players.simulation import SimulationConfig  # noqa: E402
from players.simulation_writer import write_database  # noqa: E402

DETECTOR_OF = {
    "ring": ("MULTI_ACCOUNT", DEFAULTS.link_window_days),
    "bonus_only": ("BONUS_ONLY", DEFAULTS.window_days),
    "immediate_withdrawer": ("IMMEDIATE_WITHDRAWAL", DEFAULTS.window_days),
    "bet_manipulator": ("BET_MANIPULATION", DEFAULTS.window_days),
}
STRENGTHS = (0.05, 0.3, 0.5)


def main(players: int, seed: int) -> None:
    with transaction.atomic(), TemporaryDirectory() as directory:
        path = Path(directory) / "truth.csv"
        config = SimulationConfig(players=players, seed=seed, as_of=datetime(2026, 3, 15, 12, tzinfo=UTC))
        write_database(config, truth_path=path, at=config.as_of, append=False, progress=print)
        report(pd.read_csv(path, keep_default_na=False).set_index("player_external_id"), config.as_of)
        transaction.set_rollback(True)


def report(truth: pd.DataFrame, as_of: datetime) -> None:
    ids = dict(Player.objects.values_list("id", "external_id"))
    limits = Player.objects.aggregate(lowest=Min("id"), highest=Max("id"))
    refresh_links(limits["lowest"], limits["highest"] + 1, as_of)
    scan(limits["lowest"], limits["highest"] + 1, as_of)
    signals = pd.DataFrame(AbuseSignal.objects.values("player_id", "kind", "strength"))
    profiles = pd.DataFrame(AbuseProfile.objects.values("player_id", "score", "band"))
    last_play = dict(GamePlay.objects.values_list("player_id").annotate(last=Max("played_at")))
    seen = pd.Series({ids[player]: moment for player, moment in last_play.items()})
    for frame in (signals, profiles):
        frame["player"] = frame["player_id"].map(ids)
        frame["abuser"] = frame["player"].map(truth["abuser_kind"])
    print(f"{len(truth):,} players, as of {as_of:%Y-%m-%d}, {(truth['abuser_kind'] != '').sum()} planted abusers\n")
    print(f"{'detector':22} {'strength':>8} {'found':>6} {'its kind':>9} {'others':>7} {'honest':>7} {'precision':>10} {'recall':>7}")
    for kind, (detector, days) in DETECTOR_OF.items():
        present = {
            player
            for player in truth.index[truth["abuser_kind"] == kind]
            if player in seen.index and seen[player] >= as_of - timedelta(days=days)
        }
        for strength in STRENGTHS:
            found = signals[(signals["kind"] == detector) & (signals["strength"].astype(float) >= strength)]
            own = int((found["abuser"] == kind).sum())
            honest = int((found["abuser"] == "").sum())
            hits = len(set(found["player"]) & present)
            precision = f"{(len(found) - honest) / len(found):.2f}" if len(found) else "-"
            recall = f"{hits / len(present):.2f}" if present else "-"
            other = len(found) - own - honest
            print(f"{detector:22} {strength:8.2f} {len(found):6} {own:9} {other:7} {honest:7} {precision:>10} {recall:>7}")
    wins = signals[signals["kind"] == "WIN_RATE"]
    print(f"\nWIN_RATE (nobody cheats the games): {len(wins)} of {len(seen):,} players who played, alpha {DEFAULTS.win_rate_alpha}")
    print("\nBands by what the player really is:")
    profiles["who"] = profiles["abuser"].replace("", "honest")
    print(profiles.groupby(["band", "who"]).size().unstack(fill_value=0).to_string())


main(*(int(argument) for argument in (sys.argv[1:] + ["5000", "1"][len(sys.argv) - 1 :])))
