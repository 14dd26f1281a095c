import io
import json

import joblib
import numpy as np
import pandas as pd
import pytest

from predictions.ml import anomaly, anomaly_supervised
from predictions.ml.anomaly_supervised import BOOSTED, LOGISTIC
from predictions.ml.cases import held_out, none, place
from predictions.ml.kinds import Cutoff, History, NotEnoughData

from .worlds import behaviour_history, sampled_beside

NO_DETECTORS = pd.Series(dtype=float)


def reviews(confirmed, cleared, opened):
    """Cases of these ids, all opened at one instant, without any detector."""
    ids = pd.Index([*confirmed, *cleared], dtype="int64", name="player_id")
    found = [1] * len(confirmed) + [0] * len(cleared)
    opened = pd.Series(pd.Timestamp(opened), index=ids)
    return pd.DataFrame({"confirmed": found, "opened_at": opened, "decided_at": opened, "detectors": 0.0}, index=ids)


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
    return History(cutoffs, 30), reviews(ids[fraud], cleared, history.evaluation.as_of), pd.Series(chance, ids)


def train(history, cases, *, players=None, detectors=NO_DETECTORS, seed=5):
    return anomaly.train_supervised(history, cases, detectors, players=players or len(history.evaluation.features), seed=seed)


@pytest.fixture(scope="module")
def known():
    return with_fraud(behaviour_history(6000, strange=0))


@pytest.fixture(scope="module")
def trained(known):
    return train(*known[:2])


def test_train__on_a_known_law__is_nearly_as_good_as_knowing_it(known, trained):
    from predictions.ml import metrics

    history, cases, chance = known
    frame = history.evaluation.features
    unseen = held_out(frame.index)
    truth = cases["confirmed"].reindex(frame.index).fillna(0)[unseen]
    oracle = metrics.auc(truth, chance[unseen])
    assert trained.record.metrics["auc"] > oracle - 0.03
    assert trained.record.metrics["auc"] > trained.record.baseline["auc"] + 0.1
    assert trained.record.metrics["ece"] < 0.02
    assert all(verdict.passed for verdict in trained.record.gate)


def test_predict__of_everybody__lies_in_its_interval_and_follows_the_law(known, trained):
    history, _, chance = known
    answer = trained.model.predict(history.evaluation.features)
    assert list(answer.columns) == ["anomaly", "score", "interval_low", "interval_high"]
    assert ((answer["interval_low"] <= answer["score"]) & (answer["score"] <= answer["interval_high"])).all()
    assert ((answer["interval_low"] >= 0) & (answer["interval_high"] <= 1)).all()
    assert answer["score"].corr(chance) > 0.9
    assert answer["score"].mean() == pytest.approx(chance.mean(), rel=0.1)


def test_explain__of_somebody_likely__points_at_the_cause_and_adds_up(known, trained):
    history, _, _ = known
    features = history.evaluation.features
    likely = features.loc[trained.model.predict(features)["score"].nlargest(20).index]
    explanation = trained.model.explain(likely)
    raw = explanation.base + explanation.contributions.sum(axis=1)
    assert trained.model.calibrator.probability(raw) == pytest.approx(trained.model.predict(likely)["score"].to_numpy())
    assert {explanation.features[column] for column in explanation.contributions.argmax(axis=1)} == {"bonus_share_90d"}


def test_train__without_using_evaluation__gives_the_same_model_whatever_it_holds(known, trained):
    history, cases, _ = known
    evaluation = history.evaluation
    other = History([*history.development, Cutoff(evaluation.as_of, evaluation.features * 2, evaluation.labels)], 30)
    again = train(other, cases)
    features = evaluation.features
    pd.testing.assert_frame_equal(again.model.predict(features), trained.model.predict(features), check_exact=True)


def test_train__held_out_players__are_at_no_cut_off_learned_from(known, trained):
    """Neither as cases nor as innocent ones: whatever they did and were found to be, the model is the same."""
    history, cases, _ = known
    changed = cases.copy()
    ours = held_out(changed.index)
    changed.loc[ours, "confirmed"] = 1 - changed.loc[ours, "confirmed"]
    extra = history.evaluation.features.index[held_out(history.evaluation.features.index)]
    changed = pd.concat([changed, reviews(extra.difference(changed.index)[:50], [], history.evaluation.as_of)])
    development = []
    for cutoff in history.development:
        features = cutoff.features.copy()
        features.loc[held_out(features.index)] *= 7
        development.append(Cutoff(cutoff.as_of, features, cutoff.labels))
    again = train(History([*development, history.evaluation], 30), changed)
    # columns lie otherwise in memory, so sums differ in the last digit
    features = history.evaluation.features
    pd.testing.assert_frame_equal(again.model.predict(features), trained.model.predict(features), rtol=1e-9)


def test_train__what_follows_a_review__is_not_seen(known):
    """After the review opened, a reviewed player's figures turn round: the model learns from before, so it still finds the cause."""
    history, cases, chance = known
    opened = history.development[-1].as_of - pd.Timedelta(days=1)
    early = cases.assign(opened_at=opened)
    cutoffs = []
    for cutoff in history.cutoffs:
        features = cutoff.features.copy()
        if cutoff.as_of > opened:
            features.loc[features.index.isin(cases.index), "bonus_share_90d"] = 0.0
        cutoffs.append(Cutoff(cutoff.as_of, features, cutoff.labels))
    found = train(History(cutoffs, 30), early).model.predict(history.evaluation.features)["score"]
    assert found.corr(chance) > 0.9


@pytest.fixture(scope="module")
def thin(known):
    """The history with a fifth of the players, who stand for all of them, and all the reviewed ones."""
    history, cases, _ = known
    ids = history.evaluation.features.index
    kept = ids.isin(cases.index) | (ids % 5 == 0)
    return History([Cutoff(one.as_of, one.features[kept], one.labels[kept]) for one in history.cutoffs], 30)


def test_train__reviewed_players_beside_a_sample__probabilities_are_those_of_everybody(known, trained, thin):
    history, cases, _ = known
    frame = history.evaluation.features
    whole = trained.model.predict(frame)["score"].mean()
    found = train(thin, cases, players=len(frame))
    assert found.record.parameters["players_a_row_not_reviewed"] == 5
    assert found.model.predict(frame)["score"].mean() == pytest.approx(whole, rel=0.1)
    assert found.record.metrics["base_rate"] == pytest.approx(trained.record.metrics["base_rate"], rel=0.1)
    assert train(thin, cases, players=len(thin.evaluation.features)).model.predict(frame)["score"].mean() > 2 * whole


def test_train__algorithms__are_compared_by_the_players_that_rows_stand_for(known, thin, monkeypatch):
    """Logistic regression ranks 40 cleared players above all fraud, boosting 20 who were never reviewed and stand for 100."""
    history, cases, _ = known
    reviewed = int((~held_out(cases.index)).sum())

    def scores(name, _columns, truth, _folds, _seed):
        found = truth + np.linspace(0, 0.1, len(truth))
        innocent = np.flatnonzero(truth == 0)
        above = innocent[innocent < reviewed][:40] if name == LOGISTIC else innocent[innocent >= reviewed][:20]
        found[above] += 2
        return found

    monkeypatch.setattr(anomaly_supervised, "_cross_validated", scores)
    chosen = {players: train(thin, cases, players=players).record.candidates for players in (len(thin.evaluation.features), 6000)}
    assert [[one["algorithm"] for one in found if one["chosen"]] for found in chosen.values()] == [[BOOSTED], [LOGISTIC]]
    fraud = int(cases["confirmed"][~held_out(cases.index)].sum())
    precision = [sum(one["metrics"]["pr_auc"] for one in found if one["chosen"]) for found in chosen.values()]
    assert precision == pytest.approx([np.mean(np.arange(1, fraud + 1) / (np.arange(1, fraud + 1) + above)) for above in (20, 40)])


def test_train__unusual_reviewed_players_beside_a_sample__isolation_is_that_of_all_players():
    whole = behaviour_history(20_000, strange=400)
    strange = range(1, 401)
    cases = reviews([player for player in strange if player % 2], [player for player in strange if not player % 2], whole.evaluation.as_of)
    found = train(sampled_beside(whole, 2000, strange), cases, players=20_000)
    assert found.record.positives > 100
    unusual = found.model.predict(whole.evaluation.features)["anomaly"] > anomaly.TAIL_FROM
    assert unusual.mean() == pytest.approx(0.1, abs=0.023)  # three standard errors of a share of 1,500, who are not held out


def test_train__a_row_that_stands_for_five__is_the_evidence_of_one(known, trained, thin):
    """Of a fifth of those who were never reviewed less is known than of all: intervals grow by about the root of five."""
    history, cases, _ = known
    frame = history.evaluation.features
    few, all_ = (model.predict(frame) for model in (train(thin, cases, players=len(frame)).model, trained.model))
    wider = (few["interval_high"] - few["interval_low"]) / (all_["interval_high"] - all_["interval_low"])
    assert wider[~frame.index.isin(cases.index)].median() == pytest.approx(5**0.5, rel=0.25)


def test_record__of_the_published_score__with_detectors_on_both_sides(known, trained):
    """Detectors that know every case: with them both scores find all, and the baseline of isolation alone would have been beaten."""
    history, cases, _ = known
    ids = history.evaluation.features.index
    sure = cases.assign(detectors=cases["confirmed"] * 0.9)
    found = train(history, sure, detectors=pd.Series(0.0, ids)).record
    assert found.baseline["auc"] == pytest.approx(1.0, abs=0.005)
    assert found.metrics["auc"] > trained.record.metrics["auc"]
    assert found.baseline["pr_auc"] > trained.record.baseline["pr_auc"] + 0.5


def test_record__of_a_training__is_plain_json(trained):
    json.dumps({**trained.record.__dict__, "gate": [verdict.__dict__ for verdict in trained.record.gate]}, allow_nan=False)
    assert sum(trained.record.importance.values()) == pytest.approx(1)
    assert trained.record.parameters["not_reviewed"] == "counts as not fraud"
    assert trained.record.parameters["players_a_row_not_reviewed"] == 1


def test_model__after_storage__answers_the_same(known, trained):
    file = io.BytesIO()
    joblib.dump(trained.model, file)
    file.seek(0)
    features = known[0].evaluation.features
    pd.testing.assert_frame_equal(joblib.load(file).predict(features), trained.model.predict(features), check_exact=True)


def test_predict__of_nobody__is_empty(known, trained):
    assert len(trained.model.predict(known[0].evaluation.features.iloc[:0])) == 0


def test_train__with_few_outcomes__says_what_is_needed(known):
    history, cases, _ = known
    ours = cases[~held_out(cases.index)]
    cleared = ours[ours["confirmed"] == 0]
    few = pd.concat([ours[ours["confirmed"] == 1].head(49), cleared])
    with pytest.raises(
        NotEnoughData, match=f"49 confirmed and {len(cleared)} cleared cases that were opened within 90 days after a cut-off"
    ):
        train(history, few)


def test_train__reviews_of_long_before__are_no_cases_to_learn_from(known):
    history, cases, _ = known
    before = cases.assign(opened_at=history.cutoffs[0].as_of - pd.Timedelta(days=1))
    with pytest.raises(NotEnoughData, match="0 confirmed and 0 cleared cases"):
        train(history, before)


def test_train__no_confirmed_case_held_out__cannot_be_measured(known):
    history, cases, _ = known
    with pytest.raises(NotEnoughData, match="only 0 confirmed cases are left to measure with, 5 are needed"):
        train(history, cases[~held_out(cases.index)])


def test_train__with_something_else_than_0_and_1__is_refused(known):
    with pytest.raises(ValueError, match=r"1 \(confirmed\) or 0 \(cleared\)"):
        train(known[0], known[1].assign(confirmed=2))


def test_place__of_each_case__the_last_cut_off_before_it_and_no_older_than_90_days():
    first = pd.Timestamp("2026-01-01", tz="UTC")
    moments = [first, first + pd.Timedelta(days=30)]
    days = {1: -0.1, 2: 0, 3: 29.9, 4: 30, 5: 120, 6: 120.1}
    cases = pd.concat([reviews([player], [], first + pd.Timedelta(days=day)) for player, day in days.items()])
    assert place(cases, moments).to_dict() == {2: 0, 3: 0, 4: 1, 5: 1}
    assert place(none(), moments).empty


def test_held_out__a_quarter__the_same_for_ever():
    ids = pd.Index(range(1, 100_001), dtype="int64")
    assert held_out(ids).mean() == pytest.approx(0.25, abs=0.005)
    assert ids[held_out(ids)][:5].tolist() == [3, 6, 11, 14, 19]
