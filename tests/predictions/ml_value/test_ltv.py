import io
import json

import joblib
import numpy as np
import pandas as pd
import pytest

from predictions.ml import explain, ltv, ltv_boosted, ltv_extension, ltv_growth, ltv_measure
from predictions.ml.kinds import Cutoff, History, NotEnoughData

from .value_world import MARGIN, world

KNOWN = 400
LONG = 700


@pytest.fixture(scope="module")
def whole():
    return world(6000, days=KNOWN + 365, seed=2)


@pytest.fixture(scope="module")
def history(whole):
    return whole.until(KNOWN).history(count=5)


@pytest.fixture(scope="module")
def trained(history):
    return ltv.train(history, seed=5)


@pytest.fixture(scope="module")
def long(whole):
    """Two cut-offs whose 365 days are over before five of which 90 days are known."""
    past = whole.until(LONG)
    return History([past.cutoff(LONG - 395), past.cutoff(LONG - 365), *past.history(count=5).cutoffs], 90)


@pytest.fixture(scope="module")
def measured(long):
    return ltv.train(long, seed=5)


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
    for name, level in (("below_p10", 0.1), ("below_p50", 0.5), ("below_p90", 0.9)):
        assert metrics[name] == pytest.approx(level, abs=0.02 + 2 * np.sqrt(level * (1 - level) / uncertain)), name
    assert metrics["coverage_nothing"] > 0.9


def test_year__against_what_really_came__is_right_in_total_and_covered(whole, trained):
    today = whole.cutoff(KNOWN)
    answer = trained.model.predict(today.features)
    truth = today.labels["ngr_365d"].to_numpy()
    assert answer["value"].sum() == pytest.approx(truth.sum(), rel=0.2)
    # carrying 90 days forward is far off: most of these players leave within the year
    assert today.features["ngr_90d"].sum() * 365 / 90 > 1.4 * truth.sum()
    distribution = trained.model.boosted.distribution(today.features)
    growth = trained.model.growth.of(trained.model.deposits, today.features, 365)
    found = ltv_measure.coverage(truth, trained.model.extended.of(distribution, growth))
    assert found["coverage"] == pytest.approx(0.8, abs=0.06)


def test_train__with_cutoffs_a_year_back__measures_the_year_on_players_held_out(long, measured):
    extension, parameters = measured.record.curves["extension"], measured.record.parameters
    assert (extension["days_measured"], extension["validated"]) == (365, True)
    assert extension["reason"] == (
        f"The value of 365 days was measured. Of players held out, P10 to P90 over 365 days held {extension['metrics']['coverage']:.1%}."
    )
    assert (parameters["growth_days"], parameters["confidence_days"]) == (365, 365)
    found = extension["metrics"]
    assert found["coverage"] == pytest.approx(0.8, abs=0.02)
    assert [found[f"below_p{level}"] for level in (10, 50, 90)] == pytest.approx([0.1, 0.5, 0.9], abs=0.02)
    assert found["scaled_error"] < 0.8 * extension["baseline"]["scaled_error"]
    assert abs(found["bias"]) < 0.15
    rows = sum(row["n"] for row in measured.record.curves["coverage_extended"])
    assert rows == sum(len(cutoff.features) for cutoff in long.cutoffs[:2])


def test_train__with_cutoffs_a_year_back__is_the_same_for_90_days(long, measured):
    """They serve the year only."""
    without = ltv.train(History(long.cutoffs[2:], 90), seed=5)
    assert without.model.boosted.mean.text == measured.model.boosted.mean.text
    assert without.model.interval.shift == measured.model.interval.shift
    assert without.record.metrics == measured.record.metrics
    assert without.record.rows == measured.record.rows
    assert without.record.parameters["confidence_days"] == 180


def test_confidence__beside_the_year__is_the_share_of_held_out_years_inside(long, measured):
    """Not that of the 90 days, which is another share."""
    coverage = {row["group"]: row["coverage"] for row in measured.record.curves["coverage_extended"]}
    assert list(measured.model.confidence) == list(coverage.values())
    near = [row["coverage"] for row in measured.record.curves["coverage"]]
    assert list(measured.model.confidence) != near
    answer = measured.model.predict(long.evaluation.features)
    assert set(answer["confidence"]) <= set(coverage.values())


def test_extension__of_a_player__does_not_depend_on_what_came_of_that_player(long, measured):
    model = measured.model
    development = [ltv.usable(cutoff) for cutoff in long.development[2:]]
    trees = ltv._learn(development, model.features, 5)
    known = ltv_growth.known(long.development)
    first = ltv_extension.held_out(model, trees, known, seed=5)
    mine = ltv.part_of(known.rows.index) == 1
    other = ltv_growth.Known(known.days, known.cutoff, known.rows, known.near, np.where(mine, known.far * 3 - 7, known.far))
    again = ltv_extension.held_out(model, trees, other, seed=5)
    ends = ["p10", "p50", "p90"]
    pd.testing.assert_frame_equal(first.bounds.loc[mine, ends], again.bounds.loc[mine, ends], check_exact=True)
    assert first.value[mine].tolist() == again.value[mine].tolist()
    assert not first.bounds.loc[~mine, ends].equals(again.bounds.loc[~mine, ends])


def test_train__with_only_cutoffs_a_year_back__says_so(long):
    with pytest.raises(NotEnoughData, match="every cut-off lies a year back"):
        ltv.train(History(long.cutoffs[:2], 90), seed=5)


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


def test_known__of_players_who_are_excluded_later__counts_them_with_what_they_brought(whole):
    """A growth of those who stayed would be too high for everybody at the first cut-off."""
    past = whole.until(390)
    first, later = past.cutoff(210), past.cutoff(300)
    gone = later.features.index % 2 == 0
    nothing = later.labels["ngr_90d"].where(~gone, 0.0)
    later = Cutoff(later.as_of, later.features, later.labels.assign(ngr_90d=nothing, is_eligible=~gone))
    known = ltv_growth.known([first, later])
    assert (known.days, known.rows.index.tolist()) == (180, first.features.index.tolist())
    near = first.labels["ngr_90d"].to_numpy()
    assert known.far.tolist() == (near + nothing.reindex(first.features.index).to_numpy()).tolist()


def test_known__of_players_who_were_not_eligible_at_the_cutoff__leaves_them_out(whole):
    past = whole.until(390)
    first, later = past.cutoff(210), past.cutoff(300)
    first.labels["is_eligible"] = first.features.index % 2 == 0
    assert (ltv_growth.known([first, later]).rows.index % 2 == 0).all()


def test_known__of_too_few_who_brought_in_anything__takes_a_shorter_time(whole):
    early = whole.until(LONG).cutoff(LONG - 365)
    few = Cutoff(early.as_of, early.features.head(40), early.labels.head(40))
    assert ltv_growth.known([few, whole.until(390).cutoff(210), whole.until(390).cutoff(300)]).days == 180


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
    certain = (answer[["p10", "p90"]] == 0).all(axis=1)
    assert (answer["value"] == np.where(depositors & ~certain, answer[chosen], answer["boosted"])).all()


def test_predict__one_by_one__is_that_of_the_whole_frame(history, trained):
    features = history.evaluation.features.head(20)
    single = pd.concat([trained.model.predict(features.iloc[[row]]) for row in range(20)])
    pd.testing.assert_frame_equal(single, trained.model.predict(features), check_exact=True)


def test_predict__of_nobody__is_empty(history, trained):
    assert len(trained.model.predict(history.evaluation.features.iloc[:0])) == 0


def test_predict__by_deposits__has_the_interval_that_knows_of_losses(history, trained):
    from dataclasses import replace

    features = history.evaluation.features
    ends = ["p10", "p50", "p90", "p10_90", "p50_90", "p90_90", "confidence"]
    boosted, by_deposits = (
        replace(trained.model, algorithm=name).predict(features) for name in ("gradient boosting", "BG/NBD and Gamma-Gamma")
    )
    pd.testing.assert_frame_equal(boosted[ends], by_deposits[ends], check_exact=True)
    assert not boosted["value"].equals(by_deposits["value"])
    assert (by_deposits.loc[features["bg_age"].notna(), "p10_90"] < 0).any()


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


def test_contributions__of_the_scale__have_the_sign_of_each_columns_distance_from_its_mean():
    """Two rows by hand; the ratio is 0.5 for everybody, without contributions of its own."""

    class Half:
        def predict(self, inputs):
            return np.full(len(inputs), 0.5)

        def contributions(self, inputs):
            return np.zeros(inputs.shape), 0.5

    scale = ltv_boosted.Scale(floor=2.0, means=(4.0, 1.0, 10.0, 3.0))
    boosted = ltv_boosted.Boosted(tuple(ltv_boosted.SCALE), scale, Half(), Half(), Half(), (Half(), Half(), Half()))
    # the second column counts a quarter; a loss counts by its size, what is unknown adds nothing
    frame = pd.DataFrame({"ngr_90d": [8.0, -6.0], "ngr_365d": [0.0, 40.0], "deposits_90d": [2.0, 10.0], "theo_90d": [3.0, np.nan]})
    parts, base = boosted.contributions(frame)
    assert parts.tolist() == [[2.0, -0.5, -4.0, 0.0], [1.0, 4.5, 0.0, -1.5]]
    assert base.tolist() == [10.0, 10.0]
    # half of 2 + 8 + 0 + 2 + 3, and of 2 + 6 + 10 + 10 + 0
    assert (base + parts.sum(axis=1)).tolist() == boosted.value(frame).tolist() == [7.5, 14.0]


def test_importance__is_that_of_players_drawn_from_everybody(history, trained):
    features = history.evaluation.features
    drawn = np.sort(np.random.default_rng(5).permutation(len(features))[:500])
    assert trained.record.importance == explain.importance(trained.model.explain(features.iloc[drawn]))
    assert trained.record.importance != explain.importance(trained.model.explain(features.iloc[:500]))


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
    assert again.model.interval.shift == trained.model.interval.shift
    assert again.model.extended.shift == trained.model.extended.shift
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


def test_model__stored_by_a_release_without_the_interval_of_the_year__does_not_open(trained):
    state = {name: value for name, value in trained.model.__dict__.items() if name != "extended"}
    with pytest.raises(ValueError, match="trained by a release that had no extended"):
        ltv.LtvModel.__new__(ltv.LtvModel).__setstate__(state)


def test_choose__where_both_could_tell__takes_the_lower_error():
    truth = np.array([1.0, 5.0, 0.0, 0.0])
    by_trees, scale = np.array([1.0, 4.0, 0.0, 0.0]), np.ones(4)
    bounds = pd.DataFrame({"group": [2, 1, 1, 0]})
    # the third never deposited, and of the fourth almost certainly nothing comes: what deposits say of that one does not count
    assert ltv.choose(np.array([1.0, 4.9, np.nan, 700.0]), by_trees, bounds, scale, truth) == "BG/NBD and Gamma-Gamma"
    assert ltv.choose(np.array([1.0, 3.0, np.nan, 0.0]), by_trees, bounds, scale, truth) == "gradient boosting"
    assert ltv.choose(np.full(4, np.nan), by_trees, bounds, scale, truth) == "gradient boosting"


def certain_players(values, truth, count=50):
    """Players of group 0 (`values` expected, `truth` came, in turn, scale 1 and 4), and one of another group."""
    value = np.append(np.tile(values, count), 100.0)
    distribution = pd.DataFrame({"value": value, "scale": np.append(np.tile([1.0, 4.0], count), 1.0)})
    bounds = pd.DataFrame({"group": [0] * (2 * count) + [1]})
    return distribution, bounds, np.append(np.tile(truth, count), 50.0)


def test_certain_slope__of_players_of_whom_almost_nothing_comes__is_by_hand():
    # (1 * 2 / 1 + 2 * 8 / 4) / (2 * 2 / 1 + 8 * 8 / 4) = 6 / 20; the player of another group does not count
    distribution, bounds, truth = certain_players([2.0, 8.0], [1.0, 2.0])
    assert ltv.certain_slope(distribution, bounds, truth) == pytest.approx(0.3)
    assert ltv.certain_slope(distribution, bounds, -truth) == 0.0
    assert ltv.certain_slope(distribution, bounds, 9 * truth) == 1.0
    assert ltv.expected(distribution, bounds, 0.3)[[0, 1, -1]].tolist() == pytest.approx([0.6, 2.4, 100.0])


@pytest.mark.parametrize(("values", "count"), [([0.0, 0.0], 50), ([2.0, 8.0], 49)])
def test_certain_slope__of_nothing_expected_or_too_few__changes_nothing(values, count):
    assert ltv.certain_slope(*certain_players(values, [1.0, 2.0], count)) == 1.0


@pytest.mark.parametrize("algorithm", ["gradient boosting", "BG/NBD and Gamma-Gamma"])
def test_predict__of_players_of_whom_almost_certainly_nothing_comes__is_told_by_trees_less_by_the_slope(history, trained, algorithm):
    from dataclasses import replace

    features = history.evaluation.features
    whole = replace(trained.model, algorithm="gradient boosting", certain_slope=1.0).predict(features)
    half = replace(trained.model, algorithm=algorithm, certain_slope=0.5).predict(features)
    for value, ends in (("value", ["p10", "p90"]), ("value_90", ["p10_90", "p90_90"])):
        certain = (whole[ends] == 0).all(axis=1)
        assert 0 < certain.sum() < len(features)
        assert (certain & whole["probabilistic"].notna()).any()
        np.testing.assert_allclose(half.loc[certain, value], whole.loc[certain, value] / 2)
    others = (whole[["p10", "p90"]] != 0).any(axis=1) & whole["probabilistic"].notna()
    told = "probabilistic" if algorithm == "BG/NBD and Gamma-Gamma" else "boosted"
    np.testing.assert_array_equal(half.loc[others, "value"], half.loc[others, told])
    assert 0 <= trained.model.certain_slope < 1
    assert trained.record.parameters["certain_slope"] == trained.model.certain_slope


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
