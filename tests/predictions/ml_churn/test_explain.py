"""Explanations: checked sums, shares that sum to 1, reasons in order."""

import lightgbm
import numpy as np
import pandas as pd
import pytest

from predictions.ml import explain
from predictions.ml.kinds import Explanation


def test_linear_contributions__by_hand__coefficient_times_distance():
    found = explain.linear_contributions(["a", "b"], np.array([[3.0, 1.0]]), np.array([2.0, -1.0]), 0.5, np.array([1.0, 4.0]))
    assert found.contributions.tolist() == [[4.0, 3.0]]
    assert found.base.tolist() == [-1.5]
    assert found.scale == "log-odds"


def test_tree_contributions__two_independent_halves__exact_shapley_values():
    # y = 4a + 2b on the four corners: each contribution is the distance from the mean
    values = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 50, dtype=float)
    parameters = {
        "objective": "regression",
        "min_data_in_leaf": 1,
        "learning_rate": 1.0,
        "verbosity": -1,
        "num_leaves": 4,
        "lambda_l2": 0.0,
        "min_data_in_bin": 1,
    }
    booster = lightgbm.train(parameters, lightgbm.Dataset(values, values @ [4.0, 2.0]), 5)
    found = explain.tree_contributions(["a", "b"], values[:4], booster, "currency units")
    assert np.allclose(found.contributions, [[-2, -1], [-2, 1], [2, -1], [2, 1]], atol=1e-5)
    assert np.allclose(found.base, 3)


@pytest.mark.parametrize("off", [0.01, np.nan])
def test_additive__sum_that_misses__is_refused(off):
    with pytest.raises(explain.NotAdditive):
        explain.additive(["a"], np.array([[1.0]]), np.array([0.0]), np.array([1.0 + off]), "log-odds")


def test_importance__shares__sum_to_one_in_falling_order():
    found = explain.importance(Explanation(("a", "b", "c"), np.array([[1.0, -3.0, 0.0], [-1.0, 3.0, 0.0]]), np.zeros(2), "log-odds"))
    assert found == {"b": 0.75, "a": 0.25, "c": 0.0}
    assert list(found) == ["b", "a", "c"]
    assert explain.importance(Explanation(("a", "b"), np.zeros((3, 2)), np.zeros(3), "log-odds")) == {"a": 0.5, "b": 0.5}


def test_reasons__rows__largest_first_without_what_gives_nothing():
    explanation = Explanation(("a", "b", "c"), np.array([[0.5, -2.0, 0.0], [1.0, 0.1, -0.4]]), np.zeros(2), "log-odds")
    frame = pd.DataFrame({"c": [7.0, 8.0], "a": [1.0, 2.0], "b": [np.nan, 4.0], "currency": "EUR"}, index=[10, 11])
    found = explain.reasons(explanation, frame, top=2)
    assert found[0] == [{"feature": "b", "value": None, "contribution": -2.0}, {"feature": "a", "value": 1.0, "contribution": 0.5}]
    assert [reason["feature"] for reason in found[1]] == ["a", "c"]
    with pytest.raises(ValueError, match="rows"):
        explain.reasons(explanation, frame.head(1))


def test_leading_reasons__rows__first_what_speaks_for_the_label_then_what_speaks_against_it():
    parts = np.array([[0.5, -2.0, 0.0, 1.0, -1.0], [0.5, -2.0, 0.0, 1.0, -1.0], [0.2, 0.0, 0.0, 0.1, 0.3]])
    explanation = Explanation(("a", "b", "c", "d", "e"), parts, np.zeros(3), "log-odds")
    frame = pd.DataFrame({name: [1.0, 1.0, 1.0] for name in "abcde"})
    found = explain.leading_reasons(explanation, frame, np.array([True, False, False]), top=3, against=1)
    assert [[(one["feature"], one["contribution"]) for one in row] for row in found] == [
        [("d", 1.0), ("a", 0.5), ("b", -2.0)],
        [("b", -2.0), ("e", -1.0), ("d", 1.0)],
        [("e", 0.3)],
    ]
