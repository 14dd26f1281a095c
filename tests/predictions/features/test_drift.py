"""Distances between distributions: by hand, against scipy, and what chance alone reaches."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import entropy, ks_2samp

from predictions.ml.drift import DriftError, compare, ks_limit, psi_limit, reference_bins


def frame(**columns: object) -> pd.DataFrame:
    return pd.DataFrame(columns, dtype=float)


def test_compare__two_bins__is_the_formula() -> None:
    kept = {"rows": 200, "features": {"a": {"edges": [0.5], "counts": [100, 100], "missing": 0}}}
    (found,) = compare(kept, frame(a=[0.0] * 25 + [1.0] * 75))
    p, q = np.array([100.5, 100.5]) / 201, np.array([25.5, 75.5]) / 101
    assert found.psi == pytest.approx(sum((q - p) * np.log(q / p)))
    assert found.kl == pytest.approx(entropy(q, p))
    assert found.ks == 0.25
    assert found.level == "major"
    assert (found.missing_before, found.missing_now, found.rows) == (0, 0, 100)


def test_compare__same_values__is_zero() -> None:
    values = frame(a=np.arange(500.0), b=[0.0] * 400 + list(range(1, 101)), c=[math.nan] * 500)
    found = compare(reference_bins(values, ["a", "b", "c"]), values)
    assert [(one.feature, one.psi, one.kl, one.ks, one.level) for one in found] == [(name, 0, 0, 0, "none") for name in "abc"]


def test_reference_bins__common_value__begins_a_bin_and_missing_is_kept() -> None:
    kept = reference_bins(frame(a=[0.0] * 60 + list(np.linspace(1, 40, 40)) + [math.nan] * 20), ["a"])
    assert json.loads(json.dumps(kept)) == kept
    assert kept["rows"] == 120
    assert kept["features"]["a"]["missing"] == 20
    assert kept["features"]["a"]["counts"][0] == 60  # zeros
    assert sum(kept["features"]["a"]["counts"]) == 100


def test_compare__amounts_that_most_have_none_of__rise_is_seen() -> None:
    amounts = np.arange(1.0, 251.0)
    kept = reference_bins(frame(a=[0.0] * 750 + list(amounts)), ["a"])
    assert kept["features"]["a"]["counts"][0] == 750
    assert kept["features"]["a"]["counts"][1:] == [28, 28, 28, 27, 28, 28, 27, 28, 28]
    (found,) = compare(kept, frame(a=[0.0] * 750 + list(20 * amounts)))
    assert (found.level, found.limit) == ("major", 0.1)


def test_reference_bins__zeros_between_losses_and_gains__have_a_bin_of_their_own() -> None:
    kept = reference_bins(frame(a=list(np.arange(-100.0, 0.0)) + [0.0] * 800 + list(np.arange(1.0, 101.0))), ["a"])["features"]["a"]
    edges, counts = kept["edges"], kept["counts"]
    assert counts[edges.index(-0.5) + 1] == 800
    assert edges[edges.index(-0.5) + 1] == 0.5
    assert sum(counts) == 1000
    assert min(counts) >= 20


def test_reference_bins__few_beside_the_shared_value__are_not_cut_to_pieces() -> None:
    kept = reference_bins(frame(a=[0.0] * 950 + list(range(1, 51))), ["a"])["features"]["a"]
    assert kept["counts"] == [950, 25, 25]


@pytest.mark.parametrize("unit", [0.96, 1.04])
def test_compare__round_amounts_in_another_unit__have_not_moved(unit: float) -> None:
    """Most stakes are round, and the currency's unit is a little larger or smaller than at training."""
    rng = np.random.default_rng(7)
    stakes = np.concatenate([np.zeros(1200), rng.choice([0.2, 0.5, 1, 2, 5, 10], 900, p=[0.3, 0.25, 0.2, 0.15, 0.07, 0.03])])
    (found,) = compare(reference_bins(frame(a=stakes), ["a"]), frame(a=stakes * unit))
    assert found.level == "none"
    assert found.psi < 0.03


def test_reference_bins__median_and_quartiles__are_those_of_the_known_values() -> None:
    kept = reference_bins(
        frame(a=[0.0] * 49 + [7.5] * 51 + [math.nan] * 20, b=[1.0] * 60 + [4.0] * 60, c=[math.nan] * 120), ["a", "b", "c"]
    )
    assert {name: one["median"] for name, one in kept["features"].items()} == {"a": 7.5, "b": 2.5, "c": None}
    assert {name: one["quartiles"] for name, one in kept["features"].items()} == {"a": [0.0, 7.5, 7.5], "b": [1.0, 2.5, 4.0], "c": None}


def test_compare__rise_of_missing_values__is_drift() -> None:
    kept = reference_bins(frame(a=np.arange(1000.0)), ["a"])
    (found,) = compare(kept, frame(a=[math.nan] * 300 + list(np.arange(700.0) / 0.7)))
    assert (found.level, found.missing_now) == ("major", 0.3)


def test_compare__ks__is_the_exact_one_at_the_edges() -> None:
    rng = np.random.default_rng(3)
    before, now = rng.normal(size=20_000), rng.normal(0.3, 1, size=20_000)
    (found,) = compare(reference_bins(frame(a=before), ["a"], bins=50), frame(a=now))
    exact = ks_2samp(before, now).statistic
    assert exact - 0.01 < found.ks <= exact
    assert found.ks > found.ks_limit
    assert found.level == "none"  # a shift by 0.3 deviations: real, and below what is called moderate


@pytest.mark.parametrize("rows", [200, 500, 5000])
def test_compare__no_drift__stays_below_the_limit_of_its_number_of_rows(rows: int) -> None:
    """Chance alone: 400 comparisons of samples of one distribution. The fixed limit 0.1 would cry wolf at 200 rows."""
    rng = np.random.default_rng(rows)
    kept = reference_bins(pd.DataFrame(rng.normal(size=(rows, 400)), columns=[str(n) for n in range(400)]), [str(n) for n in range(400)])
    found = compare(kept, pd.DataFrame(rng.normal(size=(rows, 400)), columns=[str(n) for n in range(400)]))
    assert all(one.level == "none" for one in found)
    reached = np.quantile([one.psi for one in found], [0.5, 0.99])
    assert reached[0] == pytest.approx(psi_limit(rows, rows, 10, 0.5), rel=0.1)
    assert reached[1] == pytest.approx(psi_limit(rows, rows, 10, 0.01), rel=0.25)
    assert np.mean([one.ks > ks_limit(rows, rows, 0.05) for one in found]) <= 0.05
    if rows == 200:
        assert np.mean([one.psi > 0.1 for one in found]) > 0.2


def test_compare__unlike_values__most_moved_first() -> None:
    rng = np.random.default_rng(1)
    before = frame(a=rng.normal(size=3000), b=rng.normal(size=3000), c=rng.normal(size=3000))
    after = frame(a=rng.normal(0.4, 1, size=3000), b=rng.normal(2, 1, size=3000), c=rng.normal(size=3000))
    found = compare(reference_bins(before, ["a", "b", "c"]), after)
    assert [(one.feature, one.level) for one in found] == [("b", "major"), ("a", "moderate"), ("c", "none")]
    assert all(one.limit == 0.1 for one in found)


def test_compare__infinite_values__count_as_missing() -> None:
    kept = reference_bins(frame(a=np.arange(200.0)), ["a"])
    (found,) = compare(kept, frame(a=[math.inf] * 100 + list(np.arange(100.0))))
    assert found.missing_now == 0.5
    assert math.isfinite(found.psi)


def test_drift__too_little__is_refused() -> None:
    kept = reference_bins(frame(a=np.arange(100.0)), ["a"])
    with pytest.raises(DriftError, match="99 rows"):
        compare(kept, frame(a=np.arange(99.0)))
    with pytest.raises(DriftError, match="99 rows"):
        reference_bins(frame(a=np.arange(99.0)), ["a"])
    with pytest.raises(DriftError, match="lack a"):
        compare(kept, frame(b=np.arange(100.0)))
    with pytest.raises(DriftError, match="1 bins"):
        reference_bins(frame(a=np.arange(100.0)), ["a"], bins=1)
