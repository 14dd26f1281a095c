import numpy as np
import pandas as pd
import pytest

from predictions.ml import ltv_interval


def distribution(players, rng, *, low=-1.0, high=1.0, nonzero=0.95):
    scale = rng.lognormal(0, 1, players)
    return pd.DataFrame({"value": 0.0, "low": low * scale, "middle": 0.0, "high": high * scale, "nonzero": nonzero, "scale": scale})


def coverage(interval, table, truth):
    bounds = interval.of(table)
    return ((truth >= bounds["p10"]) & (truth <= bounds["p90"])).mean()


@pytest.mark.parametrize("first", [0.2, 1.0, 5.0])
def test_fit__from_an_interval_far_too_narrow_or_wide__holds_four_fifths_of_new_values(first):
    rng = np.random.default_rng(1)
    learned, fresh = (distribution(20_000, rng, low=-first, high=first) for _ in range(2))
    interval = ltv_interval.fit(learned, rng.standard_t(4, 20_000) * learned["scale"].to_numpy())
    assert coverage(interval, fresh, rng.standard_t(4, 20_000) * fresh["scale"].to_numpy()) == pytest.approx(0.8, abs=0.01)


def test_fit__over_repeated_small_samples__holds_four_fifths_on_average():
    held = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        learned, fresh = distribution(300, rng), distribution(2000, rng)
        interval = ltv_interval.fit(learned, rng.normal(0, 2, 300) * learned["scale"].to_numpy())
        held.append(coverage(interval, fresh, rng.normal(0, 2, 2000) * fresh["scale"].to_numpy()))
    assert np.mean(held) == pytest.approx(0.8, abs=0.015)


def test_fit__with_groups_of_different_spread__holds_four_fifths_in_each():
    rng = np.random.default_rng(2)
    learned, fresh = distribution(30_000, rng), distribution(30_000, rng)
    # the large vary relatively less: one shift for all would hold too many of them and too few of the small
    spread = lambda table: np.where(table["scale"] > 1, 0.5, 3.0) * table["scale"]  # noqa: E731
    interval = ltv_interval.fit(learned, rng.normal(0, 1, 30_000) * spread(learned))
    truth = rng.normal(0, 1, 30_000) * spread(fresh)
    bounds = interval.of(fresh)
    inside = (truth >= bounds["p10"]) & (truth <= bounds["p90"])
    assert inside.groupby(bounds["group"]).mean().tolist() == pytest.approx([0.8] * 3, abs=0.015)


def test_of__somebody_almost_certain_to_bring_nothing__is_a_point_at_0():
    rng = np.random.default_rng(3)
    table = distribution(2000, rng, nonzero=0.05)
    interval = ltv_interval.fit(pd.concat([table, distribution(2000, rng)]), rng.normal(0, 1, 4000))
    bounds = interval.of(table)
    assert (bounds[["p10", "p50", "p90"]] == 0).all().all()
    assert (bounds["group"] == 0).all()


def test_fit__with_many_zeros__narrows_but_keeps_0_inside():
    rng = np.random.default_rng(4)
    table = distribution(5000, rng, low=0.0, high=9.0, nonzero=0.4)
    truth = np.where(rng.random(5000) < 0.4, rng.exponential(1, 5000), 0.0) * table["scale"]
    interval = ltv_interval.fit(table, truth.to_numpy())
    bounds = interval.of(table)
    assert (bounds["p10"] == 0).all()
    assert (bounds["p90"] < table["high"]).all()
    assert coverage(interval, table, truth) == pytest.approx(0.8, abs=0.005)


def test_fit__with_a_group_of_nearly_nothing_but_zeros__holds_nine_tenths_instead_of_shrinking_to_a_point():
    rng = np.random.default_rng(6)
    table = distribution(5000, rng, low=0.0, high=9.0, nonzero=0.2)
    truth = np.where(rng.random(5000) < 0.15, rng.exponential(1, 5000), 0.0) * table["scale"]
    interval = ltv_interval.fit(table, truth.to_numpy())
    assert (interval.of(table)["p90"] > 0).all()
    assert coverage(interval, table, truth) == pytest.approx(0.9, abs=0.005)


def test_widened__by_growth_and_factor__is_by_hand():
    bounds = pd.DataFrame({"p10": [1.0, -1.0, 0.0], "p50": [2.0, 1.0, 0.0], "p90": [4.0, 2.0, 3.0]})
    wide = ltv_interval.widened(bounds, np.array([3.0, 1.0, 2.0]), 2.0)
    # 6 - 2 x 3 = 0; 1 - 2 x 2 = -3; 0 stays
    assert wide["p10"].tolist() == [0.0, -3.0, 0.0]
    assert wide["p50"].tolist() == [6.0, 1.0, 0.0]
    assert wide["p90"].tolist() == [18.0, 3.0, 12.0]


def test_fit_factor__for_values_twice_as_spread__is_about_two():
    rng = np.random.default_rng(5)
    bounds = pd.DataFrame({"p10": np.full(5000, -1.2816), "p50": 0.0, "p90": 1.2816})
    factor = ltv_interval.fit_factor(bounds, np.ones(5000), rng.normal(0, 2, 5000))
    assert factor == pytest.approx(2, rel=0.05)
