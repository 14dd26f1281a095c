"""The difference of two areas under the curve against numbers worked out by hand, and its error against many draws."""

import numpy as np
import pytest

from benchmarks._auc_difference import auc_difference


def test_auc_difference__by_hand__placements_of_either_side():
    # shares of negatives below the positives: 1, 1 against 1/2, 1; of positives above the negatives: 1, 1 against 1, 1/2
    difference, error = auc_difference([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4], [0.1, 0.3, 0.2, 0.4])
    assert difference == pytest.approx(0.25)
    assert error == pytest.approx(np.sqrt(2 * np.var([0.0, 0.5], ddof=1) / 2))
    assert auc_difference([0, 0, 1, 1], [1, 2, 3, 4], [10, 20, 30, 40]) == (0.0, 0.0)


def test_auc_difference__many_draws__the_error_is_their_spread():
    rng = np.random.default_rng(11)
    found = []
    for _ in range(300):
        y = (rng.uniform(size=400) < 0.3).astype(float)
        shared = rng.normal(size=400) + y
        found.append(auc_difference(y, shared + rng.normal(0, 0.3, 400), shared + rng.normal(0, 0.8, 400)))
    differences, errors = np.array(found).T
    assert errors.mean() == pytest.approx(differences.std(ddof=1), rel=0.12)
    assert np.mean(np.abs(differences - differences.mean()) < 1.96 * errors) == pytest.approx(0.95, abs=0.03)


def test_auc_difference__one_positive__no_error_can_be_told():
    with pytest.raises(ValueError, match="two rows of each outcome"):
        auc_difference([0, 0, 1], [1, 2, 3], [1, 2, 3])
