import io
import json

import joblib
import numpy as np
import pandas as pd
import pytest

from predictions.ml import anomaly
from predictions.ml.anomaly_supervised import held_out
from predictions.ml.kinds import Cutoff, History, NotEnoughData

from .worlds import behaviour_history


def with_fraud(history, *, seed=8):
    """Fraud has nothing to do with being unusual: it is likelier the more of the stakes are bonus money. All of it is reviewed."""
    rng = np.random.default_rng(seed)
    players = len(history.evaluation.features)
    dependence = rng.beta(1, 6, players)
    chance = 1 / (1 + np.exp(5.5 - 14 * dependence))
    fraud = rng.random(players) < chance
    cutoffs = [Cutoff(cutoff.as_of, cutoff.features.assign(bonus_share_90d=dependence), cutoff.labels) for cutoff in history.cutoffs]
    ids = history.evaluation.features.index
    cleared = rng.choice(ids[~fraud], 300, replace=False)
    outcomes = pd.Series({**dict.fromkeys(ids[fraud], 1), **dict.fromkeys(cleared, 0)})
    return History(cutoffs, 30), outcomes, pd.Series(chance, ids)


@pytest.fixture(scope="module")
def cases():
    return with_fraud(behaviour_history(6000, strange=0))


@pytest.fixture(scope="module")
def trained(cases):
    history, outcomes, _ = cases
    return anomaly.train_supervised(history, outcomes, seed=5)


def test_train__on_a_known_law__is_nearly_as_good_as_knowing_it(cases, trained):
    from predictions.ml import metrics

    history, outcomes, chance = cases
    frame = history.evaluation.features
    unseen = held_out(frame.index)
    truth = outcomes.reindex(frame.index).fillna(0)[unseen]
    oracle = metrics.auc(truth, chance[unseen])
    assert trained.record.metrics["auc"] > oracle - 0.03
    assert trained.record.metrics["auc"] > trained.record.baseline["auc"] + 0.1
    assert trained.record.metrics["ece"] < 0.02
    assert all(verdict.passed for verdict in trained.record.gate)


def test_predict__of_everybody__lies_in_its_interval_and_follows_the_law(cases, trained):
    history, _, chance = cases
    answer = trained.model.predict(history.evaluation.features)
    assert list(answer.columns) == ["anomaly", "score", "interval_low", "interval_high"]
    assert ((answer["interval_low"] <= answer["score"]) & (answer["score"] <= answer["interval_high"])).all()
    assert ((answer["interval_low"] >= 0) & (answer["interval_high"] <= 1)).all()
    assert answer["score"].corr(chance) > 0.9
    assert answer["score"].mean() == pytest.approx(chance.mean(), rel=0.1)


def test_explain__of_somebody_likely__points_at_the_cause_and_adds_up(cases, trained):
    history, _, _ = cases
    features = history.evaluation.features
    likely = features.loc[trained.model.predict(features)["score"].nlargest(20).index]
    explanation = trained.model.explain(likely)
    raw = explanation.base + explanation.contributions.sum(axis=1)
    assert trained.model.calibrator.probability(raw) == pytest.approx(trained.model.predict(likely)["score"].to_numpy())
    assert {explanation.features[column] for column in explanation.contributions.argmax(axis=1)} == {"bonus_share_90d"}


def test_train__without_using_evaluation__gives_the_same_model_whatever_it_holds(cases, trained):
    history, outcomes, _ = cases
    evaluation = history.evaluation
    other = History([*history.development, Cutoff(evaluation.as_of, evaluation.features * 2, evaluation.labels)], 30)
    again = anomaly.train_supervised(other, outcomes, seed=5)
    features = evaluation.features
    pd.testing.assert_frame_equal(again.model.predict(features), trained.model.predict(features), check_exact=True)


def test_train__with_other_outcomes_of_the_held_out__gives_the_same_model(cases, trained):
    history, outcomes, _ = cases
    changed = outcomes.copy()
    changed[held_out(changed.index)] = 0
    flipped = outcomes.index[held_out(outcomes.index)][:40]
    changed[flipped] = 1
    again = anomaly.train_supervised(history, changed, seed=5)
    features = history.evaluation.features
    pd.testing.assert_frame_equal(again.model.predict(features), trained.model.predict(features), check_exact=True)


def test_record__of_a_training__is_plain_json(trained):
    json.dumps({**trained.record.__dict__, "gate": [verdict.__dict__ for verdict in trained.record.gate]}, allow_nan=False)
    assert sum(trained.record.importance.values()) == pytest.approx(1)
    assert trained.record.parameters["not_reviewed"] == "counts as not fraud"


def test_model__after_storage__answers_the_same(cases, trained):
    file = io.BytesIO()
    joblib.dump(trained.model, file)
    file.seek(0)
    features = cases[0].evaluation.features
    pd.testing.assert_frame_equal(joblib.load(file).predict(features), trained.model.predict(features), check_exact=True)


def test_predict__of_nobody__is_empty(cases, trained):
    assert len(trained.model.predict(cases[0].evaluation.features.iloc[:0])) == 0


def test_train__with_few_outcomes__says_what_is_needed(cases):
    history, outcomes, _ = cases
    few = pd.concat([outcomes[outcomes == 1].head(49), outcomes[outcomes == 0]])
    with pytest.raises(NotEnoughData, match="49 confirmed and 300 cleared cases, 50 of each are needed"):
        anomaly.train_supervised(history, few, seed=1)


def test_train__with_something_else_than_0_and_1__is_refused(cases):
    with pytest.raises(ValueError, match=r"1 \(confirmed\) or 0 \(cleared\)"):
        anomaly.train_supervised(cases[0], cases[1].replace(1, 2), seed=1)
