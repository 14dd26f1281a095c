import io
import json

import joblib
import numpy as np
import pandas as pd
import pytest

from predictions.ml import ltv, ltv_growth, ltv_measure
from predictions.ml.kinds import Cutoff, History, NotEnoughData

from .value_world import MARGIN, world

KNOWN = 400


@pytest.fixture(scope="module")
def whole():
    return world(6000, days=KNOWN + 365, seed=2)


@pytest.fixture(scope="module")
def history(whole):
    return whole.until(KNOWN).history(count=5)


@pytest.fixture(scope="module")
def trained(history):
    return ltv.train(history, seed=5)


def test_train__on_a_known_law__beats_both_naive_forecasts(trained):
    record = trained.record
    assert record.metrics["scaled_error"] < 0.85 * record.baseline["scaled_error"]
    assert record.metrics["mae"] < 0.85 * record.baseline["mae"]
    assert record.metrics["mae_p50"] < 0.75 * record.baseline["mae_p50"]
    assert record.metrics["gini"] > record.baseline["gini"] + 0.05
    assert record.metrics["scaled_error"] < 0.8 * record.curves["mean_baseline"]["scaled_error"]
    assert all(verdict.passed for verdict in record.gate)


def test_interval__on_the_evaluation_cutoff__holds_four_fifths_of_those_who_are_uncertain(trained):
    metrics = trained.record.metrics
    uncertain = sum(row["n"] for row in trained.record.curves["coverage"][1:])
    # two per cent as promised, and two standard errors of so few players
    assert metrics["coverage"] == pytest.approx(0.8, abs=0.02 + 2 * np.sqrt(0.16 / uncertain))
    assert metrics["coverage_nothing"] > 0.9


def test_year__against_what_really_came__is_right_in_total_and_covered(whole, trained):
    today = whole.cutoff(KNOWN)
    answer = trained.model.predict(today.features)
    truth = today.labels["ngr_365d"].to_numpy()
    assert answer["value"].sum() == pytest.approx(truth.sum(), rel=0.2)
    # carrying 90 days forward is far off: most of these players leave within the year
    assert today.features["ngr_90d"].sum() * 365 / 90 > 1.4 * truth.sum()
    uncertain = (answer["p10"] != answer["p90"]).to_numpy()
    inside = ((truth >= answer["p10"]) & (truth <= answer["p90"])).to_numpy()
    assert inside[uncertain].mean() == pytest.approx(0.8, abs=0.06)


def test_growth__with_a_short_history__says_how_far_it_was_measured(trained):
    extension = trained.record.curves["extension"]
    assert extension["days_measured"] == 180
    assert extension["validated"] is False
    assert "The days from 180 to 365 follow the fitted course of deposits and were not measured" in extension["reason"]
    verdict = next(verdict for verdict in trained.record.gate if verdict.name == "days measured")
    assert (verdict.value, verdict.limit) == (180, 90)


def test_growth__with_a_year_behind_the_first_cutoffs__is_measured_in_full(whole):
    cutoffs = [whole.cutoff(day) for day in (270, 300)]
    known = ltv_growth.known([ltv.usable(cutoff) for cutoff in cutoffs])
    assert known.days == 365
    assert len(known.rows) == sum(len(cutoff.features) for cutoff in cutoffs)
    assert known.far.tolist() == [value for cutoff in cutoffs for value in cutoff.labels["ngr_365d"]]


def test_known__from_chained_windows__is_what_really_came(whole):
    cutoffs = [whole.until(390).cutoff(day) for day in (120, 210, 300)]
    known = ltv_growth.known(cutoffs)
    assert known.days == 270
    truth = whole.total(whole.ngr, 120, 390)[known.rows.index - 1]
    assert known.far == pytest.approx(truth)


def test_known__without_cutoffs_90_days_apart__is_none(whole):
    past = whole.until(390)
    assert ltv_growth.known([past.cutoff(day) for day in (240, 270, 300)]) is None


def test_train__when_nothing_beyond_90_days_is_known__says_so(whole):
    record = ltv.train(whole.until(KNOWN).history(count=3), seed=5).record
    verdict = next(verdict for verdict in record.gate if verdict.name == "days measured")
    assert verdict.value == 90
    assert record.curves["extension"]["validated"] is False
    assert "by BG/NBD alone and were not measured" in verdict.reason
    assert record.parameters["margin"] == pytest.approx(MARGIN, rel=0.1)


def test_predict__of_everybody__has_the_promised_columns_in_order_and_finite(history, trained):
    answer = trained.model.predict(history.evaluation.features)
    promised = ["value", "p10", "p50", "p90", "value_90", "probabilistic", "boosted", "alive", "purchases", "confidence"]
    assert list(answer.columns[:10]) == promised
    assert answer.index.equals(history.evaluation.features.index)
    assert ((answer["p10"] <= answer["p50"]) & (answer["p50"] <= answer["p90"])).all()
    assert ((answer["p10_90"] <= answer["p50_90"]) & (answer["p50_90"] <= answer["p90_90"])).all()
    depositors = history.evaluation.features["bg_age"].notna()
    assert np.isfinite(answer[depositors].to_numpy()).all()
    unknown = ["probabilistic", "alive", "purchases"]
    assert answer.loc[~depositors, unknown].isna().all().all()
    assert np.isfinite(answer.drop(columns=unknown).to_numpy()).all()
    chosen = "boosted" if trained.model.algorithm == "gradient boosting" else "probabilistic"
    assert (answer.loc[depositors, "value"] == answer.loc[depositors, chosen]).all()


def test_predict__one_by_one__is_that_of_the_whole_frame(history, trained):
    features = history.evaluation.features.head(20)
    single = pd.concat([trained.model.predict(features.iloc[[row]]) for row in range(20)])
    pd.testing.assert_frame_equal(single, trained.model.predict(features), check_exact=True)


def test_predict__of_nobody__is_empty(history, trained):
    assert len(trained.model.predict(history.evaluation.features.iloc[:0])) == 0


def test_confidence__of_a_player__is_the_coverage_measured_for_the_group(history, trained):
    measured = {row["coverage"] for row in trained.record.curves["coverage"]}
    assert set(trained.model.predict(history.evaluation.features)["confidence"]) <= measured


@pytest.mark.parametrize("algorithm", ["gradient boosting", "BG/NBD and Gamma-Gamma"])
def test_explain__by_either_method__adds_up_to_the_value(history, trained, algorithm):
    from dataclasses import replace

    model = replace(trained.model, algorithm=algorithm)
    features = history.evaluation.features
    explanation = model.explain(features)
    total = explanation.base + explanation.contributions.sum(axis=1)
    assert total == pytest.approx(model.predict(features)["value"].to_numpy(), rel=1e-6, abs=1e-7)
    assert explanation.features == model.features
    assert explanation.scale == "currency units"


def test_explain__of_a_big_depositor__points_at_money(history, trained):
    features = history.evaluation.features
    biggest = features.nlargest(20, "deposits_90d")
    explanation = trained.model.explain(biggest)
    first = [explanation.features[column] for column in explanation.contributions.argmax(axis=1)]
    assert set(first) <= {"deposits_90d", "deposits_30d", "ngr_90d", "theo_90d", "ngr_365d", "bg_spend", "bg_frequency", "ngr_30d"}


def test_train__without_using_evaluation__gives_the_same_model_whatever_it_holds(history, trained):
    evaluation = history.evaluation
    other = Cutoff(evaluation.as_of, evaluation.features, evaluation.labels.assign(ngr_90d=evaluation.labels["ngr_90d"].to_numpy()[::-1]))
    again = ltv.train(History([*history.development, other], 90), seed=5)
    assert again.model.boosted.mean.text == trained.model.boosted.mean.text
    assert again.model.interval == trained.model.interval
    assert again.model.growth == trained.model.growth
    assert again.model.algorithm == trained.model.algorithm
    assert again.record.metrics != trained.record.metrics


def test_record__of_a_training__is_plain_json(trained):
    json.dumps({**trained.record.__dict__, "gate": [verdict.__dict__ for verdict in trained.record.gate]}, allow_nan=False)
    assert sum(trained.record.importance.values()) == pytest.approx(1)
    names = [each["algorithm"] for each in trained.record.candidates]
    assert names == ["gradient boosting", "BG/NBD and Gamma-Gamma", "last 90 days carried forward", "mean"]
    assert sum(row["share"] for row in trained.record.curves["deciles"]) == pytest.approx(1)


def test_model__after_storage__answers_the_same(history, trained):
    file = io.BytesIO()
    joblib.dump(trained.model, file)
    file.seek(0)
    features = history.evaluation.features
    pd.testing.assert_frame_equal(joblib.load(file).predict(features), trained.model.predict(features), check_exact=True)


def test_choose__between_both__takes_the_lower_error():
    class Deposits:
        def value(self, frame, days):
            return frame["guess"].to_numpy()

    truth = np.array([1.0, 5.0, 0.0])
    distribution = pd.DataFrame({"value": [1.0, 4.0, 0.0], "scale": [1.0, 1.0, 1.0]})
    frame = pd.DataFrame({"bg_age": [1.0, 1.0, np.nan], "guess": [1.0, 4.9, np.nan]})
    assert ltv.choose(Deposits(), frame, distribution, truth) == "BG/NBD and Gamma-Gamma"
    assert ltv.choose(Deposits(), frame.assign(guess=[1.0, 3.0, np.nan]), distribution, truth) == "gradient boosting"


def test_scaled_error__of_two_players__is_by_hand():
    # (1 / 2 + 4 / 8) / 10
    error = ltv_measure.scaled_error(np.array([3.0, 10.0]), np.array([2.0, 8.0]), np.array([2.0, 8.0]))
    assert error == pytest.approx(0.1)


def test_part_of__a_player__is_fixed_and_even():
    players = pd.Index(np.arange(1, 30_001))
    part = ltv.part_of(players)
    assert np.bincount(part).tolist() == pytest.approx([10_000] * 3, rel=0.02)
    assert ltv.part_of(players[5:9]).tolist() == part[5:9].tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda cutoffs: cutoffs[-2:], "1 development cut-offs with 90 days after them, two are needed"),
        (lambda cutoffs: [cut(cutoff, 499) for cutoff in cutoffs], "499 players are too few for values, 500 are needed"),
        (lambda cutoffs: [nothing(cutoff) for cutoff in cutoffs], "0 players brought in anything within 90 days, 50 are needed"),
    ],
)
def test_train__with_too_little__says_what_is_needed(history, change, message):
    with pytest.raises(NotEnoughData, match=message):
        ltv.train(History(change(list(history.cutoffs)), 90), seed=1)


def test_train__without_a_column__names_it(history):
    cutoffs = [Cutoff(cutoff.as_of, cutoff.features.drop(columns="theo_90d"), cutoff.labels) for cutoff in history.cutoffs]
    with pytest.raises(ValueError, match="the frame lacks theo_90d"):
        ltv.train(History(cutoffs, 90), seed=1)


def cut(cutoff, players):
    return Cutoff(cutoff.as_of, cutoff.features.head(players), cutoff.labels.head(players))


def nothing(cutoff):
    return Cutoff(cutoff.as_of, cutoff.features, cutoff.labels.assign(ngr_90d=0.0))
