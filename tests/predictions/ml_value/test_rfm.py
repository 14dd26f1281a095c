import numpy as np
import pandas as pd
import pytest

from predictions.ml import rfm
from predictions.ml.kinds import NotEnoughData


def frame_of(recency, count, deposited, tenure=None):
    return pd.DataFrame(
        {
            "days_since_last_activity": np.asarray(recency, float),
            "deposit_count_total": np.asarray(count, float),
            "deposits_total": np.asarray(deposited, float),
            "tenure_days": np.full(len(recency), 400.0) if tenure is None else np.asarray(tenure, float),
        }
    )


@pytest.mark.parametrize(
    ("scores", "name"),
    [
        ((5, 5, 5), "Champions"),
        ((5, 4, 3), "Champions"),  # mean 3.5 is rounded up
        ((5, 3, 3), "Potential Loyalists"),
        ((5, 1, 1), "New"),
        ((4, 1, 1), "Promising"),
        ((4, 1, 2), "Potential Loyalists"),
        ((4, 5, 5), "Loyal"),
        ((3, 4, 4), "Loyal"),
        ((3, 3, 3), "Need Attention"),
        ((3, 2, 2), "About to Sleep"),
        ((2, 5, 5), "Can't Lose Them"),
        ((1, 5, 4), "Can't Lose Them"),
        ((1, 4, 4), "At Risk"),
        ((2, 3, 3), "At Risk"),
        ((2, 1, 1), "Hibernating"),
        ((1, 2, 2), "Lost"),
    ],
)
def test_segment__of_three_scores__is_the_cell_of_the_table(scores, name):
    assert rfm.segment(*scores) == name


def test_segment__over_all_scores__uses_exactly_the_eleven_names():
    every = {rfm.segment(r, f, m) for r in range(1, 6) for f in range(1, 6) for m in range(1, 6)}
    assert every == set(rfm.SEGMENTS)
    assert len(rfm.SEGMENTS) == 11


@pytest.mark.parametrize("scores", [(0, 1, 1), (1, 6, 1), (1, 1, 2.5)])
def test_segment__of_no_score__is_refused(scores):
    with pytest.raises(ValueError, match="whole numbers from 1 to 5"):
        rfm.segment(*scores)


def test_scores__of_a_hundred_different_players__are_fifths():
    players = frame_of(range(100), range(1, 101), range(100, 0, -1))
    scores = rfm.fit(players).scores(players)
    for column in ("recency_score", "frequency_score", "monetary_score"):
        assert scores[column].value_counts().to_dict() == {1: 20, 2: 20, 3: 20, 4: 20, 5: 20}
    assert scores.loc[0, ["recency_score", "frequency_score", "monetary_score"]].tolist() == [5, 1, 5]
    assert scores.loc[99, ["recency_score", "frequency_score", "monetary_score"]].tolist() == [1, 5, 1]


def test_scores__with_many_equal_values__are_equal_for_equal_values():
    players = frame_of(range(100), [0] * 70 + list(range(1, 31)), [0] * 70 + list(range(1, 31)))
    scores = rfm.fit(players).scores(players)
    assert set(scores["frequency_score"][:70]) == {1}
    assert scores["frequency_score"].iloc[70] == 4
    assert scores["frequency_score"].iloc[99] == 5


def test_scores__of_somebody_never_active_and_without_deposit__take_the_age_of_the_account():
    quintiles = rfm.fit(frame_of(range(100), range(100), range(100)))
    fresh, old = frame_of([np.nan, np.nan], [np.nan, 0], [np.nan, 0], [1, 300]).pipe(quintiles.scores).to_dict("records")
    assert fresh == {"recency_score": 5, "frequency_score": 1, "monetary_score": 1, "rfm_segment": "New"}
    assert old == {"recency_score": 1, "frequency_score": 1, "monetary_score": 1, "rfm_segment": "Lost"}


def test_scores__one_by_one__are_those_of_the_whole_frame():
    rng = np.random.default_rng(1)
    players = frame_of(rng.exponential(30, 300), rng.poisson(4, 300), rng.exponential(9, 300))
    quintiles = rfm.fit(players)
    whole = quintiles.scores(players)
    pd.testing.assert_frame_equal(pd.concat([quintiles.scores(players.iloc[[row]]) for row in range(300)]), whole)


def test_fit__of_too_few_players__says_how_many_are_needed():
    with pytest.raises(NotEnoughData, match="99 players are too few for quintiles, 100 are needed"):
        rfm.fit(frame_of(range(99), range(99), range(99)))


def test_values__without_a_column__names_it():
    with pytest.raises(ValueError, match="the frame lacks deposits_total"):
        rfm.values(frame_of([1], [1], [1]).drop(columns="deposits_total"))


def test_values__with_neither_activity_nor_age__is_refused():
    with pytest.raises(ValueError, match="both unknown"):
        rfm.values(frame_of([np.nan], [1], [1], [np.nan]))
