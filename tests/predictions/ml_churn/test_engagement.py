"""Engagement: calibrated, broken down into three parts that add up, with a decay that recovers a written one."""

import pickle

import numpy as np
import pandas as pd
import pytest

from predictions.ml import decay, engagement
from predictions.ml.engagement import PARTS
from predictions.ml.kinds import NotEnoughData

from .synthetic import casino


def test_train__record__better_than_recency_and_calibrated(engaged):
    assert engaged.record.metrics["auc"] > engaged.record.baseline["auc"] + 0.01
    assert engaged.record.metrics["ece"] < 0.02
    assert all(verdict.passed for verdict in engaged.record.gate)
    assert sum(engaged.record.importance.values()) == pytest.approx(1)
    assert sum(engaged.record.parameters["usual_shares"].values()) == pytest.approx(1)


def test_predict__parts__sum_to_the_probability_and_none_is_negative(engaged, world):
    found = engaged.model.predict(world[0].evaluation.features)
    assert list(found.columns) == ["probability", "lower", "upper", *PARTS, "decay"]
    assert np.allclose(found[list(PARTS)].sum(axis=1), found["probability"], rtol=0, atol=1e-12)
    assert (found[list(PARTS)] >= 0).all(axis=None)
    assert ((found["decay"] >= 0) & (found["decay"] < 1)).all()
    assert np.isfinite(found.to_numpy()).all()


def test_predict__player_with_hardly_anything__the_usual_shares(engaged):
    frame = pd.DataFrame(0.0, index=[1], columns=list(engaged.model.features))
    frame[[name for name in frame if name.startswith("days_since")]] = 300.0
    assert engaged.model.gains(frame.to_numpy()).tolist() == [[0.0, 0.0, 0.0]]
    found = engaged.model.predict(frame).iloc[0]
    assert found["probability"] < 0.05
    usual = engaged.record.parameters["usual_shares"]
    assert found[list(PARTS)].tolist() == pytest.approx([usual[part] * found["probability"] for part in PARTS])
    assert len({round(usual[part], 3) for part in PARTS}) == 3  # a third each would be no shares of anybody


def test_train__active_within__a_whole_number_of_days_on_pages(engaged):
    record = engaged.record
    assert [str(days) for days in (record.curves["active"]["within_days"], record.parameters["active_within_days"])] == ["30", "30"]


def test_gains__shapley__efficient_and_by_orders(engaged, world):
    """Against the definition: the mean over all six orders of the gain when a part is switched on."""
    model = engaged.model
    values = world[0].evaluation.features[list(model.features)].to_numpy()[:25]
    explanation = model.core.learner.explain(model.features, values)
    grouped = explanation.contributions @ model.members.T
    lifts = np.maximum(grouped - model.floors, 0)
    ground = explanation.base + explanation.contributions.sum(axis=1) - grouped.sum(axis=1) + model.floors.sum()

    def worth(parts):
        return model.core.calibrator.probability(ground + lifts[:, sorted(parts)].sum(axis=1))

    orders = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    expected = np.zeros_like(lifts)
    for order in orders:
        for place, part in enumerate(order):
            expected[:, part] += (worth(order[: place + 1]) - worth(order[:place])) / len(orders)
    gains = model.gains(values)
    assert np.allclose(gains, expected, atol=1e-12)
    assert np.allclose(gains.sum(axis=1), worth((0, 1, 2)) - worth(()), atol=1e-12)


@pytest.mark.parametrize("part", range(len(PARTS)))
def test_shapley__more_of_one_part__a_larger_share_of_it_alone(engaged, part):
    rng = np.random.default_rng(6)
    ground, lifts = rng.normal(-2, 1, 200), rng.gamma(1, 1, (200, len(PARTS)))
    more = lifts.copy()
    more[:, part] += 0.5
    before, after = (engagement._shapley(engaged.model.core, ground, each) for each in (lifts, more))
    share_before, share_after = (gains[:, part] / gains.sum(axis=1) for gains in (before, after))
    assert (after[:, part] > before[:, part]).all()
    assert (share_after > share_before).all()


def test_explain__every_row__adds_up(engaged, world):
    frame = world[0].evaluation.features.head(200)
    found = engaged.model.explain(frame)
    raw = engaged.model.core.learner.raw(frame[list(found.features)].to_numpy())
    assert np.allclose(found.base + found.contributions.sum(axis=1), raw, atol=1e-9)


def test_train__round_trip_and_seed__same_answers(engaged, world):
    frame = world[0].evaluation.features.head(300)
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(engaged.model)).predict(frame), engaged.model.predict(frame), check_exact=True)


def test_train__other_groups_and_missing_ones__named_or_refused():
    history, _ = casino(800, seed=4, cutoffs=2, noise=0)
    groups = dict.fromkeys(history.evaluation.features.columns, "logins")
    with pytest.raises(ValueError, match="needs a feature"):
        engagement.train(history, seed=1, groups=groups)
    groups |= {"deposit_count_90d": "deposits", "rounds_90d": "gameplay"}
    found = engagement.train(history, seed=1, groups=groups)
    assert found.model.members.sum(axis=1).tolist() == [len(found.model.features) - 2, 1, 1]


def test_train__active_ones_all_unseen_for_a_quarter__says_what_is_missing():
    history, _ = casino(1500, seed=4, cutoffs=3, noise=0)
    for cutoff in history.cutoffs:
        cutoff.features.loc[cutoff.labels["active_7d"] == 1, "days_since_last_activity"] = 200.0
    with pytest.raises(NotEnoughData, match="of players seen within 13 weeks, who tell how activity fades, have the outcome"):
        engagement.train(history, seed=1)


@pytest.mark.parametrize(("rate", "by_habit"), [(0.3, 0.0), (0.5, -0.15), (0.1, 0.1)])
def test_decay_fit__written_law__recovered(rate, by_habit):
    rng = np.random.default_rng(8)
    weeks, habit = rng.uniform(0, 8, 40_000), np.log1p(rng.uniform(0, 7, 40_000))
    expected = np.exp(-1.2 + 0.3 * habit - (rate + by_habit * habit) * weeks)
    active = (rng.random(40_000) < expected).astype(float)
    found = decay.fit(weeks, habit, active)
    truth = 1 - np.exp(-(rate + by_habit * habit))
    assert np.abs(found.loss(habit) - truth).max() < 0.03
    table = decay.curve(found, weeks, habit, active)
    assert sum(row["n"] for row in table) == 40_000
    assert all(abs(row["observed"] - row["fitted"]) < 0.02 for row in table)


def test_decay_fit__no_fading__no_loss():
    rng = np.random.default_rng(9)
    weeks = rng.uniform(0, 8, 20_000)
    found = decay.fit(weeks, np.zeros(20_000), (rng.random(20_000) < 0.3).astype(float))
    assert found.loss(np.zeros(1))[0] < 0.01
    with pytest.raises(ValueError, match="nobody"):
        decay.fit(weeks, weeks, np.zeros(20_000))


def test_habits__by_hand__days_a_week_before_the_last_visit():
    features = ["days_since_last_activity", "active_days_90d", "tenure_days"]
    values = np.array([[20.0, 30.0, 400.0], [np.nan, 0.0, 50.0], [1.0, 5.0, 11.0], [200.0, 0.0, 400.0]])
    weeks, habit = decay.habits(values, features)
    assert weeks == pytest.approx([20 / 7, 13, 1 / 7, 13])
    assert np.expm1(habit) == pytest.approx([7 * 30 / 70, 0, 7 * 5 / 10, 0])
    with pytest.raises(ValueError, match="active_days_90d"):
        decay.habits(values[:, :1], features[:1])
