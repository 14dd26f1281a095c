"""Two fraud versions are compared on reviewed players that neither has learned from, by what would be published of them."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from predictions import features, hooks, measure
from predictions.ml.cases import held_out
from predictions.ml.kinds import Cutoff, NotEnoughData
from tests.predictions.registry.models import AS_OF

DAY = timedelta(days=1)
IDS = pd.Index(range(1, 401), dtype="int64", name="player_id")
APART = IDS[held_out(IDS)]


class Scorer:
    """Says of each player what stands in the column `chance`; unsupervised without `supervised`."""

    algorithm, features = "scorer", ("chance",)

    def __init__(self, supervised: bool = True, sign: float = 1.0) -> None:
        self.supervised, self.sign = supervised, sign

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        chance = frame["chance"].to_numpy() if self.sign > 0 else 1 - frame["chance"].to_numpy()
        answer = pd.DataFrame({"anomaly": chance}, index=frame.index)
        return answer.assign(score=chance, interval_low=0.0, interval_high=1.0) if self.supervised else answer


@pytest.fixture
def cases(monkeypatch) -> pd.DataFrame:
    """All 400 players reviewed 40 days before the cut-off, by turns confirmed and cleared, no detector."""
    opened = pd.Series(pd.Timestamp(AS_OF - 40 * DAY), index=IDS)
    found = pd.DataFrame({"confirmed": IDS % 2, "opened_at": opened, "decided_at": opened, "detectors": 0.0}, index=IDS)
    monkeypatch.setattr(hooks, "fraud_outcomes", lambda: found)
    return found


@pytest.fixture
def asked(monkeypatch) -> list:
    """Features of a player: the chance is 0.9 for odd ids and 0.1 for even ones. Returns who was asked for, as of when."""
    seen = []

    def frame_for(ids, moment):
        seen.append((ids, moment))
        return frame_of(pd.Index(ids, name="player_id"))

    monkeypatch.setattr(features, "frame_for", frame_for)
    return seen


def frame_of(ids: pd.Index) -> pd.DataFrame:
    return pd.DataFrame({"chance": np.where(ids % 2 == 1, 0.9, 0.1)}, index=ids)


def cutoff() -> Cutoff:
    return Cutoff(AS_OF, frame_of(IDS), pd.DataFrame(index=IDS))


def test_losses__reviews__of_held_out_players_as_of_before_the_review(cases, asked):
    right, wrong = (measure.losses("fraud", Scorer(sign=sign), cutoff(), seed=1) for sign in (1.0, -1.0))
    assert asked[0] == (APART.tolist(), AS_OF - 60 * DAY)  # the last of 0, 30, 60 ... days before, 40 days before
    assert right.values.tolist() == [0.0] * int(np.sum(APART % 2))
    assert wrong.mean == 1.0
    assert not measure.judge(wrong, right).passed
    assert measure.judge(right, wrong).passed


def test_losses__detectors_that_know_everything__count_for_both_models(cases, asked):
    cases["detectors"] = cases["confirmed"].astype(float)
    assert measure.losses("fraud", Scorer(sign=-1.0), cutoff(), seed=1).mean == 0.0
    assert measure.losses("fraud", Scorer(supervised=False, sign=-1.0), cutoff(), seed=1).mean == 0.0


def test_losses__too_few_held_out_cases__how_even_isolation_is_of_either_model(cases, asked, monkeypatch):
    monkeypatch.setattr(hooks, "fraud_outcomes", lambda: cases[~held_out(IDS)])
    two = [measure.losses("fraud", Scorer(supervised), cutoff(), seed=1) for supervised in (True, False)]
    assert two[0].values.tolist() == two[1].values.tolist()
    assert two[0].name.startswith("Distance of isolation from the shares that it claims")
    assert asked == []


def test_losses__reviews_of_long_ago__say_nothing(cases, asked):
    cases["opened_at"] = pd.Timestamp(AS_OF - 200 * DAY)
    assert measure.losses("fraud", Scorer(), cutoff(), seed=1).name.startswith("Distance of isolation")


def test_losses__nobody_eligible__is_not_enough_data():
    labels = pd.DataFrame({"is_eligible": False, "churned": 0.0}, index=IDS)
    with pytest.raises(NotEnoughData, match="nobody was eligible"):
        measure.losses("churn", Scorer(), Cutoff(AS_OF, frame_of(IDS), labels), seed=1)
