"""Metrics against numbers worked out by hand, scikit-learn, and the ties that it breaks by the order of rows."""

import numpy as np
import pytest
from sklearn import metrics as reference

from predictions.ml import metrics


def test_binary_metrics__by_hand__exact_values():
    found = metrics.binary_metrics([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9])
    assert found["auc"] == 0.75  # of four pairs only (0.6, 0.4) is the wrong way round
    assert found["pr_auc"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert found["brier"] == pytest.approx((0.01 + 0.36 + 0.36 + 0.01) / 4)
    assert found["base_rate"] == 0.5
    assert found["log_loss"] == pytest.approx(-(2 * np.log(0.9) + 2 * np.log(0.4)) / 4)
    assert found["ece"] == pytest.approx((0.1 + 0.6 + 0.6 + 0.1) / 4)


@pytest.mark.parametrize("decimals", [1, 2, 15])
def test_binary_metrics__random_scores_with_ties__agree_with_scikit_learn(decimals):
    rng = np.random.default_rng(3)
    p = np.round(rng.uniform(size=800), decimals)
    y = (rng.uniform(size=800) < p).astype(float)
    found = metrics.binary_metrics(y, p)
    assert found["auc"] == pytest.approx(reference.roc_auc_score(y, p), abs=1e-12)
    assert found["pr_auc"] == pytest.approx(reference.average_precision_score(y, p), abs=1e-12)
    assert found["brier"] == pytest.approx(reference.brier_score_loss(y, p), abs=1e-12)
    assert found["log_loss"] == pytest.approx(reference.log_loss(y, p), abs=1e-9)


@pytest.mark.parametrize("figure", ["auc", "pr_auc", "ece"])
def test_binary_metrics__rows_in_another_order__nothing_changes(figure):
    rng = np.random.default_rng(5)
    p = np.round(rng.uniform(size=300), 1)
    y = (rng.uniform(size=300) < p).astype(float)
    order = rng.permutation(300)
    assert metrics.binary_metrics(y, p)[figure] == pytest.approx(metrics.binary_metrics(y[order], p[order])[figure], abs=1e-12)


@pytest.mark.parametrize(
    ("y", "p"), [([0, 1], [0.5, np.nan]), ([0, 1], [0.5, 1.5]), ([0, 2], [0.5, 0.5]), ([1, 1], [0.5, 0.5]), ([], []), ([0, 1], [0.5])]
)
def test_binary_metrics__what_cannot_be_measured__is_refused(y, p):
    with pytest.raises(ValueError, match=r"\w"):
        metrics.binary_metrics(y, p)


def test_reliability__equal_values__stay_in_one_band_and_all_rows_are_counted():
    p = np.array([0.2] * 50 + [0.8] * 30 + [0.9] * 20)
    y = np.array([1] * 10 + [0] * 40 + [1] * 24 + [0] * 6 + [1] * 20)
    table = metrics.reliability(y, p)
    assert [(row["from"], row["to"], row["n"]) for row in table] == [(0.2, 0.2, 50), (0.8, 0.8, 30), (0.9, 0.9, 20)]
    assert [row["observed"] for row in table] == pytest.approx([0.2, 0.8, 1.0])
    assert metrics.expected_calibration_error(y, p) == pytest.approx(0.2 * 0.1)


def test_reliability__distinct_values__ten_bands_of_equal_size():
    table = metrics.reliability(np.tile([0, 1], 500), np.linspace(0.01, 0.99, 1000))
    assert [row["n"] for row in table] == [100] * 10


def test_lift__perfect_and_constant__ten_times_and_one():
    y = np.array([1] * 10 + [0] * 90)
    perfect = metrics.lift(y, y.astype(float))
    assert (perfect[0]["positives"], perfect[0]["lift"], perfect[1]["lift"]) == (10, pytest.approx(10), 0)
    assert [row["lift"] for row in metrics.lift(y, np.full(100, 0.3))] == pytest.approx([1.0] * 10)


def test_threshold_table__by_hand__counts_at_or_above():
    table = {row["threshold"]: row for row in metrics.threshold_table([0, 1, 1, 0], [0.1, 0.5, 0.7, 0.7])}
    assert table[0.5] == {"threshold": 0.5, "share": 0.75, "precision": pytest.approx(2 / 3), "recall": 1.0}
    assert table[0.7] == {"threshold": 0.7, "share": 0.5, "precision": 0.5, "recall": 0.5}
    assert table[1.0] == {"threshold": 1.0, "share": 0.0, "precision": None, "recall": 0.0}


def test_gini__orders__one_minus_one_and_nought():
    actual = np.array([-5.0, 0.0, 1.0, 2.0, 40.0])
    assert metrics.gini(actual, actual) == 1.0
    assert metrics.gini(actual, -actual) == pytest.approx(-1.0)
    assert metrics.gini(actual, np.zeros(5)) == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="equal"):
        metrics.gini(np.ones(5), actual)


def test_gini__positive_values__is_the_ratio_of_lorenz_areas():
    rng = np.random.default_rng(7)
    actual, predicted = rng.gamma(1.0, size=200), rng.uniform(size=200)

    def area(order):
        return np.sum(np.cumsum(actual[order]) / actual.sum()) - 201 / 2

    assert metrics.gini(actual, predicted) == pytest.approx(area(np.argsort(-predicted)) / area(np.argsort(-actual)))


def test_decile_table__ordered_values__means_and_shares():
    table = metrics.decile_table(np.arange(1.0, 21.0), np.arange(1.0, 21.0) * 2)
    assert table[0] == {"decile": 1, "n": 2, "predicted": 39.0, "actual": 19.5, "share": pytest.approx(39 / 210)}
    assert sum(row["share"] for row in table) == pytest.approx(1.0)


def test_coverage__ends_included__share_inside():
    assert metrics.coverage([1, 2, 3, 4], [1, 0, 4, 0], [1, 1, 5, 9]) == 0.5
    with pytest.raises(ValueError, match="below"):
        metrics.coverage([1], [2], [1])
