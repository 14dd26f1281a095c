"""Which players a kind can say something about, and that one it cannot does not stop the others."""

import numpy as np
import pandas as pd
import pytest

from predictions.assess import Known, assess
from predictions.ml import rfm
from predictions.ml.features import FEATURE_NAMES
from predictions.models import Kind
from predictions.thresholds import thresholds
from tests.predictions.ml_value.test_rfm import frame_of

pytestmark = pytest.mark.django_db


class Groups:
    """Scores by real quintiles; everybody is in cluster 0."""

    algorithm = "quintiles"
    features = tuple(rfm.FEATURES)

    def __init__(self) -> None:
        self.quintiles = rfm.fit(frame_of(range(100), range(100), range(100)))

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        return self.quintiles.scores(frame).assign(cluster=0, stability=1.0, next_cluster=0, transition_probability=0.5)


def test_assess__player_known_by_a_statement_alone__has_no_segment_and_stops_nobody() -> None:
    frame = pd.DataFrame(np.nan, index=pd.Index([1, 2, 3], name="player_id"), columns=list(FEATURE_NAMES))
    frame["deposit_count_total"] = frame["deposits_total"] = 5.0
    frame.loc[[1, 3], "days_since_last_activity"] = 3.0
    frame["currency"] = "EUR"
    frame["currency_unit"] = [20.0, 20.0, np.nan]
    facts = pd.DataFrame(
        {"detectors": 0.0, "deposited": 0, "is_free": True, "has_consented": True, "fraud_type": "", "severity": 0.0}, index=frame.index
    )
    scores = assess(frame, {Kind.SEGMENTATION: Groups()}, Known(facts), thresholds())
    assert scores[Kind.SEGMENTATION].player_ids.tolist() == [1]  # of 2 no day is known, of 3 not what a typical deposit is
    assert scores[Kind.SEGMENTATION].row(0)["recency_score"] == 5
