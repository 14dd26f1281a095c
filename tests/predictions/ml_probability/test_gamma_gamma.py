import numpy as np
import pytest

from predictions.ml import gamma_gamma
from predictions.ml.gamma_gamma import GammaGamma, Spenders
from predictions.ml.kinds import NotEnoughData

from . import cdnow

LAW = GammaGamma(6.25, 3.74, 15.44, 0.0, 0)


def spenders(law, n, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(1, 12, n).astype(float)
    rate = rng.gamma(law.q, 1 / law.v, n)
    return x, rng.gamma(law.p * x) / rate / x, law.p / rate


def test_fit__cdnow__published_parameters():
    data = cdnow.summary()
    model = gamma_gamma.fit(data.x, data.zbar)
    assert (round(model.p, 2), round(model.q, 2), round(model.v, 2)) == (6.25, 3.74, 15.45)  # printed as 15.44: 15.448 cut short
    assert (round(model.log_likelihood, 1), model.n, model.at_limit) == (-4055.9, 946, ())


def test_fit__spenders_of_known_law__finds_it():
    x, m, _ = spenders(LAW, 50_000, seed=1)
    model = gamma_gamma.fit(x, m)
    assert (model.p, model.q, model.v) == pytest.approx((LAW.p, LAW.q, LAW.v), rel=0.05)


def test_fit__other_currency__same_spenders():
    x, m, _ = spenders(LAW, 2000, seed=2)
    one, hundred = gamma_gamma.fit(x, m), gamma_gamma.fit(x, m * 100)
    assert (hundred.p, hundred.q, hundred.v / 100) == pytest.approx((one.p, one.q, one.v), rel=1e-6)
    assert hundred.log_likelihood == pytest.approx(one.log_likelihood - 2000 * np.log(100), abs=1e-6)


@pytest.mark.parametrize("theta", [(1.8, 1.3, 0.4), (0.0, 0.7, 0.0), (-3.0, 3.0, -4.0)])
def test_log_likelihood__anywhere__gradient_equals_finite_differences(theta):
    x, m, _ = spenders(LAW, 1000, seed=3)
    rows, theta, step = Spenders(x, m / m.mean()), np.array(theta), 1e-5
    numeric = [(rows.log_likelihood(theta + e)[0] - rows.log_likelihood(theta - e)[0]) / (2 * step) for e in np.eye(3) * step]
    assert rows.log_likelihood(theta)[1] == pytest.approx(numeric, rel=1e-6, abs=1e-3)


def test_expected_spend__by_hand():
    model = GammaGamma(2.0, 3.0, 10.0, 0.0, 0)
    # nobody known: 2 * 10 / 2; two purchases of 20 on average: 2 * (10 + 40) / (4 + 2)
    assert model.expected_spend([0, 2], [np.nan, 20.0]) == pytest.approx([10.0, 100 / 6])


def test_expected_spend__simulated_truth__unbiased_at_every_level():
    x, m, truth = spenders(LAW, 100_000, seed=4)
    expected = LAW.expected_spend(x, m)
    for band in np.array_split(np.argsort(expected), 5):
        assert expected[band].mean() == pytest.approx(truth[band].mean(), rel=0.02)


def test_simulate__totals__mean_as_expected_and_nothing_for_no_purchase():
    purchases = np.tile([[0], [3]], (1, 100_000))
    drawn = LAW.simulate(purchases, [4.0, 4.0], [35.0, 35.0], np.random.default_rng(5))
    assert (drawn[0] == 0).all()
    assert drawn[1].mean() == pytest.approx(3 * LAW.expected_spend(4.0, 35.0), rel=0.02)


@pytest.mark.parametrize(
    ("x", "m", "error", "message"),
    [
        ([1.0] * 299 + [0.0] * 500, [5.0] * 299 + [np.nan] * 500, NotEnoughData, "^299 customers with a repeat purchase, 300 are needed"),
        ([1.0, 2.0], [5.0, 0.0], ValueError, "mean_spend must be positive"),
        ([1.0, 2.0], [5.0, np.nan], ValueError, "mean_spend must be positive"),
        ([-1.0], [5.0], ValueError, "frequency must be finite and not negative"),
        ([1.0], [5.0, 6.0], ValueError, "one length"),
    ],
)
def test_fit__figures_that_will_not_do__refused(x, m, error, message):
    with pytest.raises(error, match=message):
        gamma_gamma.fit(x, m)


def test_parameters__infinite_mean__refused():
    with pytest.raises(ValueError, match="q must exceed 1"):
        GammaGamma(1.0, 0.9, 1.0, 0.0, 0)
