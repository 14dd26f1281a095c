import numpy as np
import pandas as pd
import pytest

from predictions.ml import ltv_interval, ltv_measure


def distribution(players, rng, *, low=-1.0, high=1.0, nonzero=0.999, gain=0.5):
    scale = rng.lognormal(0, 1, players)
    columns = {"value": 0.0, "low": low * scale, "middle": 0.0, "high": high * scale, "nonzero": nonzero, "gain": gain, "scale": scale}
    return pd.DataFrame(columns)


def shares(interval, table, truth):
    """Below P10, P50 and P90."""
    return ltv_measure.below(np.asarray(truth), interval.of(table)).mean(axis=0)


@pytest.mark.parametrize("first", [0.2, 1.0, 5.0])
def test_fit__from_ends_far_too_near_or_far__puts_a_tenth_beyond_each(first):
    rng = np.random.default_rng(1)
    learned, fresh = (distribution(20_000, rng, low=-first, high=first) for _ in range(2))
    interval = ltv_interval.fit(learned, rng.standard_t(4, 20_000) * learned["scale"].to_numpy())
    found = shares(interval, fresh, rng.standard_t(4, 20_000) * fresh["scale"].to_numpy())
    assert found == pytest.approx([0.1, 0.5, 0.9], abs=0.015)


def test_fit__on_skewed_values__moves_each_end_on_its_own():
    """One shift for both ends holds 80 % of them as well, with 3 % below and 17 % above."""
    rng = np.random.default_rng(7)
    learned, fresh = (distribution(20_000, rng, low=0.0, high=1.5, nonzero=1.0, gain=1.0) for _ in range(2))
    interval = ltv_interval.fit(learned, rng.exponential(1, 20_000) * learned["scale"].to_numpy())
    assert shares(interval, fresh, rng.exponential(1, 20_000) * fresh["scale"].to_numpy()) == pytest.approx([0.1, 0.5, 0.9], abs=0.01)
    bounds = interval.of(fresh)
    # the quantiles of the exponential distribution, -log(1 - level)
    ends = bounds[["p10", "p50", "p90"]].div(fresh["scale"], axis=0).iloc[0]
    assert ends.tolist() == pytest.approx([0.105, 0.693, 2.303], rel=0.1)


def test_fit__over_repeated_small_samples__is_right_on_average():
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        learned, fresh = distribution(300, rng), distribution(2000, rng)
        interval = ltv_interval.fit(learned, rng.normal(0, 2, 300) * learned["scale"].to_numpy())
        found.append(shares(interval, fresh, rng.normal(0, 2, 2000) * fresh["scale"].to_numpy()))
    assert np.mean(found, axis=0) == pytest.approx([0.1, 0.5, 0.9], abs=0.01)


def test_fit__with_groups_of_different_spread__is_right_in_each():
    rng = np.random.default_rng(2)
    learned, fresh = distribution(30_000, rng), distribution(30_000, rng)
    # the large vary relatively less: one shift for all would hold too many of them and too few of the small
    spread = lambda table: np.where(table["scale"] > 1, 0.5, 3.0) * table["scale"]  # noqa: E731
    interval = ltv_interval.fit(learned, (rng.normal(0, 1, 30_000) * spread(learned)).to_numpy())
    truth = rng.normal(0, 1, 30_000) * spread(fresh)
    bounds = interval.of(fresh)
    below = pd.DataFrame(ltv_measure.below(truth.to_numpy(), bounds)).groupby(bounds["group"].to_numpy()).mean()
    assert below.index.tolist() == [2, 3, 4]
    for _, row in below.iterrows():
        assert row.tolist() == pytest.approx([0.1, 0.5, 0.9], abs=0.015)


def test_of__somebody_almost_certain_to_bring_nothing__is_a_point_at_0():
    rng = np.random.default_rng(3)
    idle, others = distribution(2000, rng, nonzero=0.05), distribution(2000, rng)
    truth = np.where(np.append(rng.random(2000) < 0.05, np.ones(2000, dtype=bool)), rng.normal(0, 1, 4000), 0.0)
    bounds = ltv_interval.fit(pd.concat([idle, others]), truth).of(idle)
    assert (bounds[["p10", "p50", "p90"]] == 0).all().all()
    assert (bounds["group"] == 0).all()


def test_of__somebody_said_to_bring_nothing_by_trees_that_are_wrong__is_none():
    """Those to whom the trees give 5 % bring in something half of the time: the calibrated probability decides."""
    rng = np.random.default_rng(8)
    table = pd.concat([distribution(2000, rng, nonzero=0.05), distribution(2000, rng)], ignore_index=True)
    some = np.append(rng.random(2000) < 0.5, np.ones(2000, dtype=bool))
    interval = ltv_interval.fit(table, np.where(some, rng.normal(0, 1, 4000) * table["scale"].to_numpy(), 0.0))
    bounds = interval.of(table.iloc[:2000])
    assert (bounds["group"] > 0).all()
    assert (bounds["p10"] < 0).all()
    assert (bounds["p50"] == 0).all()
    assert (bounds["p90"] > 0).all()


def test_fit__with_a_mass_at_0__puts_the_ends_that_fall_into_it_at_0_and_a_tenth_above_p90():
    rng = np.random.default_rng(4)
    learned, fresh = (distribution(5000, rng, low=0.3, high=9.0, nonzero=0.4, gain=1.0) for _ in range(2))

    def values(table):
        return np.where(rng.random(5000) < 0.4, rng.exponential(1, 5000), 0.0) * table["scale"].to_numpy()

    interval, truth = ltv_interval.fit(learned, values(learned)), values(fresh)
    bounds = interval.of(fresh)
    assert (bounds["p10"] == 0).all()
    assert (bounds["p50"] == 0).all()
    # P(value > P90) = .4 exp(-P90) = .1 where P90 = log 4
    assert (bounds["p90"] / fresh["scale"]).median() == pytest.approx(np.log(4), rel=0.1)
    assert shares(interval, fresh, truth) == pytest.approx([0.1, 0.5, 0.9], abs=0.015)
    # nobody is below 0, so the interval with its ends holds nine tenths
    assert ltv_measure.inside(truth, bounds).mean() == pytest.approx(0.9, abs=0.015)


def test_fit__where_most_of_those_with_an_end_above_0_bring_in_nothing__brings_the_end_down_to_0():
    rng = np.random.default_rng(6)
    table = distribution(400, rng, low=1.0, high=2.0, nonzero=0.99, gain=0.99)
    # 95 % bring in something in the other half, which the probabilities cannot tell apart: sides are those of the mixture
    interval = ltv_interval.fit(table, np.where(np.arange(400) < 380, 0.0, 1.0) * table["scale"].to_numpy())
    bounds = interval.of(table)
    assert (bounds[["p10", "p50", "p90"]] == 0).all().all()


def test_of__over_a_longer_time__grows_with_the_value():
    rng = np.random.default_rng(5)
    table = distribution(2000, rng)
    interval = ltv_interval.fit(table, rng.normal(0, 2, 2000) * table["scale"].to_numpy())
    near, far = interval.of(table), interval.of(table, np.full(2000, 3.0))
    for end in ("p10", "p50", "p90"):
        assert far[end].to_numpy() == pytest.approx(3 * near[end].to_numpy())
    assert far["group"].tolist() == near["group"].tolist()


def test_fit__over_a_longer_time_in_which_values_spread_more_than_they_grow__is_right_there():
    rng = np.random.default_rng(9)
    table, growth = distribution(20_000, rng), np.full(20_000, 2.0)
    truth = rng.normal(0, 6, 20_000) * table["scale"].to_numpy()
    interval = ltv_interval.fit(table, truth, growth)
    assert ltv_measure.below(truth, interval.of(table, growth)).mean(axis=0) == pytest.approx([0.1, 0.5, 0.9], abs=0.001)


def test_below__of_values_at_and_beside_the_ends__is_by_hand():
    # P(< 0) = .1, P(= 0) = .6, P(> 0) = .3: P10 is just 0 or below it, P50 is 0, of whose mass (.5 - .1) / .6 counts as below
    bounds = pd.DataFrame({"p10": -1.0, "p50": 0.0, "p90": 2.0, "group": 1, "below": 0.1, "above": 0.3}, index=range(4))
    found = ltv_measure.below(np.array([-3.0, 0.0, 1.0, 5.0]), bounds)
    assert found.tolist() == [[1, 1, 1], [0, pytest.approx(2 / 3), 1], [0, 0, 1], [0, 0, 0]]


def test_coverage__of_a_point_and_of_an_end_at_0__shares_the_mass_and_counts_it_whole():
    columns = {"p10": 0.0, "p50": 0.0, "p90": [0.0, 4.0, 4.0], "group": [0, 1, 1], "below": 0.0, "above": [0.04, 0.5, 0.5]}
    found = ltv_measure.coverage(np.array([0.0, 0.0, 3.0]), pd.DataFrame(columns))
    # of the second player's 0, with half of everything at 0, .1 / .5 lies below P10 and all of it below P50 and P90
    expected = {"coverage": 0.9, "below_p10": 0.1, "below_p50": 0.5, "below_p90": 1.0, "coverage_closed": 1.0, "coverage_nothing": 1.0}
    assert {name: found[name] for name in expected} == pytest.approx(expected)
