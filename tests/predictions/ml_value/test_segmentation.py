import io
import json

import joblib
import numpy as np
import pandas as pd
import pytest

from predictions.ml import segmentation
from predictions.ml.kinds import Cutoff, History, NotEnoughData
from predictions.ml.segmentation_fit import choose, kmeans, matched, resampled
from predictions.ml.segmentation_names import names, order

from .worlds import rfm_history, types

MATRIX = np.array([[0.9, 0.0, 0.1, 0.0], [0.05, 0.85, 0.1, 0.0], [0.2, 0.1, 0.7, 0.0], [0.5, 0.0, 0.3, 0.2]])


@pytest.fixture(scope="module")
def history():
    return rfm_history(MATRIX)


@pytest.fixture(scope="module")
def trained(history):
    return segmentation.train(history, seed=5)


def test_train__on_four_clouds__finds_them_under_the_known_numbers(history, trained):
    first = history.cutoffs[0]
    found = trained.model.predict(first.features)["cluster"].to_numpy()
    assert (found == types(len(first.features), 3)).mean() > 0.97
    assert [each["name"] for each in trained.model.characteristics] == ["Inactive", "High value, active", "Regular", "New or trying out"]
    assert [each["recommendation"] for each in trained.model.characteristics] == ["reengage", "vip", "retention", "onboarding"]


def test_train__on_known_transitions__estimates_them(trained):
    assert np.allclose(trained.model.transitions.sum(axis=1), 1)
    # three standard errors of a share of the smallest origin (about 100 moves a month)
    assert np.abs(trained.model.transitions - MATRIX).max() < 0.07
    assert (trained.model.transitions > 0).all()  # smoothing: what was never seen is rare, not impossible
    assert trained.model.transition_days == 30
    answer = trained.record
    assert answer.metrics["transition_log_loss"] < answer.baseline["transition_log_loss"]


def test_predict__of_new_players__says_where_most_of_them_go(history, trained):
    answer = trained.model.predict(history.evaluation.features)
    new = answer[answer["cluster"] == 3]
    assert set(new["next_cluster"]) == {0}
    assert new["transition_probability"].iloc[0] == trained.model.transitions[3, 0]


def test_transitions__with_hand_counted_moves__are_smoothed_by_one_per_cell():
    clouds = rfm_history(np.eye(4), players=1000, months=3)
    trained = segmentation.train(clouds, seed=1)
    counts = np.array(trained.record.curves["transition_counts"])
    assert counts.sum() == 1000  # evaluation is no part of it: one pair of development cut-offs
    expected = (counts + 1) / (counts.sum(axis=1, keepdims=True) + 4)
    assert np.allclose(trained.model.transitions, expected)


def test_train__without_using_evaluation__gives_the_same_model_whatever_it_holds(history, trained):
    evaluation = history.evaluation
    other = Cutoff(evaluation.as_of, evaluation.features * 3.0, evaluation.labels)
    again = segmentation.train(History([*history.development, other], 30), seed=5)
    assert np.array_equal(again.model.centres, trained.model.centres)
    assert np.array_equal(again.model.transitions, trained.model.transitions)
    assert again.model.quintiles == trained.model.quintiles


def test_stability__in_the_middle_of_a_cloud_and_between_two__is_high_and_low(trained):
    scaler, centres = trained.model.scaler, trained.model.centres
    middle = scaler.values(centres)
    between = scaler.values((centres[[0]] + centres[[2]]) / 2)
    points = np.vstack([middle, np.repeat(between, 200, axis=0) * np.random.default_rng(1).normal(1, 0.005, (200, 3))])
    frame = pd.DataFrame(points, columns=["days_since_last_activity", "deposit_count_total", "deposits_total"]).assign(tenure_days=300.0)
    stability = trained.model.predict(frame)["stability"].to_numpy()
    assert (stability[:4] == 1).all()
    assert stability[4:].mean() < 0.9
    assert stability.min() >= 0
    assert stability.max() <= 1


def test_explain__of_every_player__adds_up_to_the_margin(history, trained):
    features = history.evaluation.features
    explanation = trained.model.explain(features)
    distances = segmentation.squared_distances(trained.model.scaler.points(features), trained.model.centres)
    ranked = np.sort(distances, axis=1)
    assert explanation.contributions.shape == (len(features), 3)
    assert np.allclose(explanation.base + explanation.contributions.sum(axis=1), ranked[:, 1] - ranked[:, 0])


def test_record__of_a_training__is_plain_json_and_passes_its_gate(trained):
    json.dumps({**trained.record.__dict__, "gate": [verdict.__dict__ for verdict in trained.record.gate]}, allow_nan=False)
    assert all(verdict.passed for verdict in trained.record.gate)
    assert sum(trained.record.importance.values()) == pytest.approx(1)
    assert sum(each["share"] for each in trained.model.characteristics) == pytest.approx(1)
    high = trained.model.characteristics[1]
    assert high["avg_ltv"] == pytest.approx(100, rel=0.1)
    assert high["ltv_basis"] == "previous_365_days"
    assert [each["chosen"] for each in trained.record.candidates].count(True) == 1


def test_model__after_storage__answers_the_same(history, trained):
    file = io.BytesIO()
    joblib.dump(trained.model, file)
    file.seek(0)
    features = history.evaluation.features
    pd.testing.assert_frame_equal(joblib.load(file).predict(features), trained.model.predict(features))


def test_train__twice_with_one_seed__gives_the_same(history, trained):
    again = segmentation.train(history, seed=5)
    assert again.record == trained.record
    assert np.array_equal(again.model.resamples, trained.model.resamples)


def test_train__with_one_development_cutoff__says_that_two_are_needed(history):
    with pytest.raises(NotEnoughData, match="1 development cut-offs show no transition"):
        segmentation.train(History(history.cutoffs[:2], 30), seed=1)


def test_train__with_few_players__says_how_many_are_needed():
    with pytest.raises(NotEnoughData, match="400 players are too few for segments, 500 are needed"):
        segmentation.train(rfm_history(MATRIX, players=400, months=3), seed=1)


def test_train__with_players_who_are_not_eligible__leaves_them_out(history):
    changed = []
    for cutoff in history.cutoffs:
        labels = cutoff.labels.copy()
        labels.loc[labels.index <= 100, "is_eligible"] = False
        changed.append(Cutoff(cutoff.as_of, cutoff.features, labels))
    assert segmentation.train(History(changed, 30), seed=5).record.rows == 3 * 2900


def test_choose__with_six_equal_clouds__takes_six_and_not_four():
    rng = np.random.default_rng(2)
    centres = np.array([[x, y, 0.0] for x in (0, 10, 20) for y in (0, 10)])
    points = np.vstack([rng.normal(centre, 0.5, (200, 3)) for centre in centres])
    chosen, tried = choose(points, seed=1)
    assert len(chosen.centres) == 6
    assert next(each for each in tried if each["chosen"])["metrics"]["stability"] > 0.95


def test_choose__without_any_clouds__keeps_a_stable_number_or_four():
    points = np.random.default_rng(2).normal(0, 1, (1000, 3))
    chosen, tried = choose(points, seed=1)
    stable = [each for each in tried if each["metrics"]["stability"] >= 0.8]
    assert len(chosen.centres) in {4, *(int(each["algorithm"].split()[1]) for each in stable)} or not stable


def test_matched__with_permuted_labels__finds_the_permutation():
    labels = np.array([0, 0, 1, 1, 2, 2])
    other = np.array([2, 2, 0, 0, 1, 1])
    assert matched(labels, other, 3).tolist() == [2, 0, 1]


def test_resampled__of_clear_clouds__keeps_the_numbers():
    rng = np.random.default_rng(2)
    points = np.vstack([rng.normal(centre, 0.1, (100, 3)) for centre in (0, 5, 9)])
    centres = kmeans(points, 3, seed=1)
    again = resampled(points, centres, resamples=5, seed=1)
    assert np.abs(again - centres).max() < 0.1


def test_order__of_five_clusters__numbers_the_known_four_first():
    #                  recency frequency monetary
    centres = np.array([[0.5, 0.2, 0.1], [-1, 2, 2], [2, -0.5, -0.5], [-0.5, -1, -1], [-0.2, 0.5, 0.8]])
    assert order(centres).tolist() == [2, 1, 4, 3, 0]
    assert names(5) == ["Inactive", "High value, active", "Regular 1", "New or trying out", "Regular 2"]
