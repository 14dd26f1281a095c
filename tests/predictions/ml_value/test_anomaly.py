import io
import json

import joblib
import numpy as np
import pandas as pd
import pytest

from predictions.ml import anomaly
from predictions.ml.anomaly_paths import Forest, contributions, correction
from predictions.ml.explain import reasons
from predictions.ml.kinds import History, NotEnoughData

from .worlds import behaviour, behaviour_history, sampled_beside

STRANGE = 40


@pytest.fixture(scope="module")
def history():
    return behaviour_history(strange=STRANGE)


@pytest.fixture(scope="module")
def trained(history):
    return anomaly.train(history, seed=5)


def test_predict__of_planted_strangers__puts_them_into_the_most_unusual_twentieth(history, trained):
    answer = trained.model.predict(history.evaluation.features)["anomaly"]
    assert (answer[answer.index <= STRANGE] > 0.95).mean() > 0.9
    assert answer[answer.index > STRANGE].mean() == pytest.approx(0.5, abs=0.03)


def test_predict__of_the_training_players__is_their_rank(history, trained):
    answer = trained.model.predict(history.development[-1].features)["anomaly"].to_numpy()
    assert np.sort(answer) == pytest.approx(np.linspace(0, 1, len(answer)), abs=2e-3)


def test_predict__of_nobody__is_empty(history, trained):
    assert trained.model.predict(history.evaluation.features.iloc[:0])["anomaly"].tolist() == []


def test_predict__with_unknown_values__takes_the_median_of_the_training(history, trained):
    features = history.evaluation.features.head(5)
    unknown = features.assign(win_ratio_90d=np.nan)
    medians = features.assign(win_ratio_90d=history.development[-1].features["win_ratio_90d"].median())
    assert trained.model.predict(unknown)["anomaly"].tolist() == pytest.approx(trained.model.predict(medians)["anomaly"].tolist(), abs=1e-3)


def test_predict__without_a_column__names_it(history, trained):
    with pytest.raises(ValueError, match="the frame lacks devices"):
        trained.model.predict(history.evaluation.features.drop(columns="devices"))


def test_explain__of_every_player__adds_up_to_the_path_length_of_scikit_learn(history, trained):
    features = history.evaluation.features
    explanation = trained.model.explain(features)
    raw = explanation.base + explanation.contributions.sum(axis=1)
    # scikit-learn: score = -2 ** (-mean path length / c(rows of a tree))
    score = trained.model.forest.score_samples(trained.model.inputs(features))
    length = -np.log2(-score) * correction(np.array([trained.model.forest.max_samples_]))[0]
    assert raw == pytest.approx(-length, rel=1e-6)
    assert explanation.scale == "splits saved"


def test_explain__of_a_stranger__names_what_is_strange(history, trained):
    explanation = trained.model.explain(history.evaluation.features.loc[[1, 2, 3]])
    mean = dict(zip(explanation.features, explanation.contributions.mean(axis=0), strict=True))
    assert set(sorted(mean, key=mean.get)[-4:]) <= {"rapid_deposits", "devices", "ips", "rounds_90d", "sessions_90d", "payment_methods"}


def test_explain__of_whom_isolation_does_not_count__no_feature_moved_the_score(history, trained):
    features = history.evaluation.features
    unusual = trained.model.predict(features)["anomaly"].to_numpy()
    moved = (trained.model.explain(features).contributions != 0).any(axis=1)
    assert moved.tolist() == (unusual > anomaly.TAIL_FROM).tolist()
    assert 0.05 < moved.mean() < 0.2
    ordinary = features[unusual <= anomaly.TAIL_FROM].head(3)
    assert reasons(trained.model.explain(ordinary), ordinary) == [[], [], []]


def test_published__either_kind_of_model__together_with_the_detectors():
    detectors = np.array([0.0, 0.6])
    unsupervised = anomaly.published(pd.DataFrame({"anomaly": [0.95, 1.0]}, index=[7, 8]), detectors)
    assert unsupervised.to_dict("list") == {"score": pytest.approx([0.25, 0.8]), "interval_low": [0.0] * 2, "interval_high": [1.0] * 2}
    answer = pd.DataFrame({"anomaly": 1.0, "score": [0.1, 0.5], "interval_low": [0.0, 0.4], "interval_high": [0.2, 0.9]}, index=[7, 8])
    supervised = anomaly.published(answer, detectors)
    assert supervised.index.tolist() == [7, 8]
    assert supervised.to_dict("list") == {
        "score": pytest.approx([0.1, 0.8]),
        "interval_low": pytest.approx([0.0, 0.76]),
        "interval_high": pytest.approx([0.2, 0.96]),
    }


def test_contributions__of_a_feature_nobody_splits_on__are_zero():
    frame = behaviour(600, np.random.default_rng(1)).assign(devices=1.0)
    model = anomaly.fit(frame, seed=1, trees=20)
    parts, _ = contributions(Forest.of(model.forest), model.inputs(frame))
    assert (parts[:, model.features.index("devices")] == 0).all()


def test_correction__of_small_numbers__is_that_of_the_paper():
    # c(2) = 1; c(n) = 2 H(n-1) - 2 (n-1) / n with H(i) = ln i + 0.5772...
    assert correction(np.array([1, 2, 3])).tolist() == pytest.approx([0, 1, 2 * (np.log(2) + 0.5772156649) - 4 / 3])


@pytest.mark.parametrize(
    ("unusual", "detectors", "score"),
    [(0.5, 0.0, 0.0), (0.9, 0.3, 0.3), (1.0, 0.0, 0.5), (1.0, 0.6, 0.8), (0.95, 0.0, 0.25), (0.0, 1.0, 1.0), (1.0, 1.0, 1.0)],
)
def test_combine__of_two_grounds__is_noisy_or_over_the_tail(unusual, detectors, score):
    assert anomaly.combine(np.array([unusual]), np.array([detectors]))[0] == pytest.approx(score)


def test_combine__over_a_grid__rises_with_both_and_never_falls_below_the_detectors():
    unusual, detectors = np.meshgrid(np.linspace(0, 1, 41), np.linspace(0, 1, 41))
    score = anomaly.combine(unusual, detectors)
    assert (np.diff(score, axis=0) >= 0).all()
    assert (np.diff(score, axis=1) >= 0).all()
    assert (score >= detectors - 1e-12).all()
    assert score[0].max() <= 0.5


@pytest.mark.parametrize("wrong", [np.nan, -0.1, 1.1])
def test_combine__of_something_that_is_no_share__is_refused(wrong):
    with pytest.raises(ValueError, match="detectors must lie between 0 and 1"):
        anomaly.combine(np.array([0.5]), np.array([wrong]))


def test_record__of_a_training__is_plain_json_and_passes_its_gate(trained):
    json.dumps({**trained.record.__dict__, "gate": [verdict.__dict__ for verdict in trained.record.gate]}, allow_nan=False)
    assert all(verdict.passed for verdict in trained.record.gate)
    assert sum(trained.record.importance.values()) == pytest.approx(1)
    assert trained.record.metrics["share_above_95"] == pytest.approx(0.05, abs=0.02)


def test_model__after_storage__answers_the_same(history, trained):
    file = io.BytesIO()
    joblib.dump(trained.model, file)
    file.seek(0)
    features = history.evaluation.features
    pd.testing.assert_frame_equal(joblib.load(file).predict(features), trained.model.predict(features))


def test_train__twice_with_one_seed__gives_the_same(history, trained):
    assert anomaly.train(history, seed=5).record == trained.record


def test_train__with_few_players__says_how_many_are_needed():
    with pytest.raises(NotEnoughData, match="400 players are too few to tell who is unusual, 500 are needed"):
        anomaly.train(behaviour_history(400, strange=0), seed=1)


def test_train__unusual_players_added_to_a_sample__everybody_else_stays_as_unusual_as_before():
    """Of 20,000 players 2 % are unusual and were reviewed; beside a tenth of all they would be a sixth of those learned from."""
    whole = behaviour_history(20_000, strange=400)
    thin = sampled_beside(whole, 2000, range(1, 401))
    assert [len(cutoff.features) > 2300 for cutoff in thin.cutoffs] == [True] * 3
    trained = anomaly.train(thin, seed=5)
    unusual = trained.model.predict(whole.evaluation.features)["anomaly"] > anomaly.TAIL_FROM
    assert unusual.mean() == pytest.approx(0.1, abs=0.02)  # three standard errors of a share of 2,000
    assert trained.record.rows == 2000
    assert trained.record.metrics["share_above_95"] == pytest.approx(0.05, abs=0.02)
    assert trained.record == anomaly.train(sampled_beside(whole, 2000, ()), seed=5).record


def test_train__without_development__says_so(history):
    with pytest.raises(NotEnoughData, match="no development cut-off"):
        anomaly.train(History(history.cutoffs[-1:], 30), seed=1)
