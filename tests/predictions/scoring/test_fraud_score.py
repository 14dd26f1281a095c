"""The stored fraud score counts the detectors beside the model, whichever model it is."""

import pandas as pd
import pytest

from predictions.assess import Known, assess
from predictions.models import Kind
from predictions.thresholds import thresholds

pytestmark = pytest.mark.django_db


class Fraud:
    algorithm, features = "told", ()

    def __init__(self, answer: dict[str, float]) -> None:
        self.answer = answer

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame(self.answer, index=frame.index)


@pytest.mark.parametrize(
    ("answer", "score", "low", "high"),
    [
        ({"anomaly": 1.0}, 0.8, 0.0, 1.0),
        ({"anomaly": 0.5}, 0.6, 0.0, 1.0),
        ({"anomaly": 1.0, "score": 0.25, "interval_low": 0.0, "interval_high": 0.5}, 0.7, 0.6, 0.8),
    ],
)
def test_assess__fraud__model_and_detectors_are_two_grounds(answer: dict[str, float], score: float, low: float, high: float) -> None:
    frame = pd.DataFrame({"days_since_last_activity": 1.0, "tenure_days": 9.0}, index=pd.Index([7], name="player_id"))
    facts = pd.DataFrame(
        {"detectors": 0.6, "deposited": 0, "is_free": True, "has_consented": True, "fraud_type": "RING", "severity": 0.6}, index=frame.index
    )
    row = assess(frame, {Kind.FRAUD: Fraud(answer)}, Known(facts), thresholds())[Kind.FRAUD].row(0)
    assert (row["score"], row["interval_low"], row["interval_high"]) == (pytest.approx(score), pytest.approx(low), pytest.approx(high))
    assert (row["anomaly"], row["detectors"]) == (answer["anomaly"], 0.6)
