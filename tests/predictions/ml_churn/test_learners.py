"""Every learner: its explanation adds up exactly, it survives storage, and the forest is the forest that it says it is."""

import pickle

import numpy as np
import pytest
from scipy.special import expit
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from predictions.ml import metrics
from predictions.ml.learners import Ensemble, Network, fit_boosting, fit_forest, fit_logistic, fit_network, fit_weights

FEATURES = [f"f{number}" for number in range(8)]
FITS = [fit_logistic, fit_boosting, fit_forest, fit_network]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(2)
    values = rng.gamma(1, 10, (6000, 8))
    truth = expit(-0.5 + np.log1p(values[:, 0]) - np.log1p(values[:, 1]) + 0.3 * np.log1p(values[:, 2]) * (values[:, 3] > 7))
    values[rng.random(values.shape) < 0.05] = np.nan
    return values, (rng.random(6000) < truth).astype(float)


@pytest.mark.parametrize("fit", FITS)
def test_explain__every_learner__contributions_add_up_to_the_score(data, fit):
    values, y = data
    learner = fit(values[:4000], y[:4000], 1)
    found = learner.explain(FEATURES, values[4000:4300])
    assert found.contributions.shape == (300, 8)
    assert np.allclose(found.base + found.contributions.sum(axis=1), learner.raw(values[4000:4300]), atol=1e-6)
    assert np.ptp(found.base) == 0


@pytest.mark.parametrize("fit", FITS)
def test_pickle__every_learner__same_scores_bit_for_bit(data, fit):
    values, y = data
    learner = fit(values[:2000], y[:2000], 1)
    assert np.array_equal(pickle.loads(pickle.dumps(learner)).raw(values), learner.raw(values))
    assert np.array_equal(fit(values[:2000], y[:2000], 1).raw(values), learner.raw(values))


def test_explain__ensemble__adds_up_over_its_members(data):
    values, y = data
    members = tuple(fit(values[:3000], y[:3000], 1) for fit in (fit_boosting, fit_forest, fit_network))
    weights = fit_weights(np.column_stack([member.raw(values[3000:]) for member in members]), y[3000:])
    learner = Ensemble(members, weights)
    found = learner.explain(FEATURES, values[:200])
    assert (weights >= 0).all()
    assert np.allclose(found.base + found.contributions.sum(axis=1), learner.raw(values[:200]), atol=1e-6)


def test_fit_forest__against_scikit_learn__ranks_as_well_and_leaves_hold_their_share(data):
    values, y = data
    reference = RandomForestClassifier(100, min_samples_leaf=100, max_features=0.33, random_state=1).fit(values[:4000], y[:4000])
    theirs = metrics.auc(y[4000:], reference.predict_proba(values[4000:])[:, 1])
    forest = fit_forest(values[:4000], y[:4000], 1)
    assert abs(metrics.auc(y[4000:], forest.raw(values[4000:])) - theirs) < 0.015
    # the raw output is a mean of shares of positives, and its score that number's log-odds to first order
    shares = forest.booster.predict(values, num_threads=1)
    assert 0 <= shares.min() < shares.max() <= 1
    assert forest.booster.num_trees() == 100
    mean = y[:4000].mean()
    assert np.allclose(forest.raw(values), np.log(mean / (1 - mean)) + (shares - mean) / (mean * (1 - mean)))


def test_fit_logistic__against_scikit_learn__same_optimum(data):
    values, y = data
    learner = fit_logistic(values, y, 1, ridge=5.0)
    reference = LogisticRegression(C=0.2, tol=1e-8, max_iter=1000).fit(learner.preparation.apply(values), y)
    assert np.allclose(learner.coefficients, reference.coef_[0], atol=2e-3)
    assert learner.intercept == pytest.approx(reference.intercept_[0], abs=2e-3)


def test_network_explain__closed_form__equals_the_integral_along_the_way(data):
    values, y = data
    network = fit_network(values, y, 1)
    assert isinstance(network, Network)
    columns = network.preparation.apply(values[:20])
    steps = (np.arange(20_000) + 0.5) / 20_000
    for row in range(3):
        way = steps[:, None] * columns[row]
        gradient = ((way @ network.hidden + network.hidden_bias > 0) * network.out) @ network.hidden.T
        integral = network.preparation.by_feature((gradient.mean(axis=0) * columns[row])[None])[0]
        assert np.allclose(network.explain(FEATURES, values[:20]).contributions[row], integral, atol=1e-3)


def test_preparation__column_never_known__gives_nothing(data):
    values, y = data
    empty = values.copy()
    empty[:, 4] = np.nan
    learner = fit_logistic(empty, y, 1)
    assert np.isfinite(learner.coefficients).all()
    assert (learner.explain(FEATURES, values[:50]).contributions[:, 4] == 0).all()
