import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import betaln

from predictions.ml import bgnbd
from predictions.ml.bgnbd import BgNbd
from predictions.ml.kinds import NotEnoughData

from . import cdnow

LAW = BgNbd(0.243, 4.414, 0.793, 2.426, 0.0, 0)  # CDNOW, as published


def customers(law, n, seed, horizon=0.0):
    rng = np.random.default_rng(seed)
    T = rng.integers(70, 365, n) / 7
    return *law.generate(T, rng, horizon), T


def integral(law, t, x, T):
    """Expected purchases of somebody alive, by quadrature over p: E[(1 - E exp(-lambda p t)) / p]. No hypergeometric function."""
    a, b = law.a, law.b + x

    def density(s):  # s = log-odds of p
        p = 1 / (1 + np.exp(-s))
        weight = np.exp(-a * np.logaddexp(0, -s) - b * np.logaddexp(0, s) - betaln(a, b))
        return weight * -np.expm1(-(law.r + x) * np.log1p(p * t / (law.alpha + T))) / p

    edges = np.linspace(np.log(a / b) - 40 / a - 10, np.log(a / b) + 40 / b + 10, 300)
    return sum(quad(density, low, high, epsabs=0, epsrel=1e-10)[0] for low, high in zip(edges, edges[1:], strict=False))


def test_fit__cdnow__published_parameters():
    data = cdnow.summary()
    model = bgnbd.fit(data.x, data.t_x, data["T"])
    assert [round(v, 3) for v in (model.r, model.alpha, model.a, model.b)] == [0.243, 4.414, 0.793, 2.426]
    assert round(model.log_likelihood, 1) == -9582.4
    assert (model.n, model.at_limit) == (2357, ())


def test_expected_purchases__cdnow_held_out__published_errors():
    data = cdnow.summary()
    actual, _ = cdnow.held_out(data)
    model = bgnbd.fit(data.x, data.t_x, data["T"])
    predicted = model.expected_purchases(39, data.x, data.t_x, data["T"])
    assert predicted.sum() == pytest.approx(1654, abs=1)
    assert actual.sum() == 1882
    assert round(np.corrcoef(predicted, actual)[0, 1], 3) == 0.626
    # a new customer's expectation (nothing seen yet), added up from each one's first purchase to week 78
    cumulative = model.expected_purchases(data["T"] + 39, 0, 0, 0).sum()
    assert round(cumulative / (data.x.sum() + actual.sum()) - 1, 3) == -0.041


def test_fit__donations_as_weights__equals_repeated_rows():
    grid = cdnow.read("donations.csv.xz")
    merged = bgnbd.fit(grid.frequency, grid.recency, grid.periods, grid.weights)
    rows = grid.loc[grid.index.repeat(grid.weights)]
    repeated = bgnbd.fit(rows.frequency, rows.recency, rows.periods)
    assert merged.n == 11_104
    assert merged.log_likelihood == pytest.approx(repeated.log_likelihood, abs=1e-4)
    # one gift a year at most, and many give every year: nobody seems to leave, which the model says by a and b at their limits
    assert merged.at_limit == repeated.at_limit == ("a", "b")
    assert merged.r / merged.alpha == pytest.approx(1.3865 / 3.7528, rel=1e-3)


def test_fit__customers_of_known_law__finds_it():
    x, t_x, _, T = customers(LAW, 200_000, seed=3)
    model = bgnbd.fit(x, t_x, T)
    assert (model.r, model.alpha) == (pytest.approx(LAW.r, rel=0.03), pytest.approx(LAW.alpha, rel=0.03))
    assert (model.a, model.b) == (pytest.approx(LAW.a, rel=0.06), pytest.approx(LAW.b, rel=0.08))
    assert model.log_likelihood > likelihood(LAW, x, t_x, T)


def test_fit__other_unit_of_time__same_customers():
    x, t_x, _, T = customers(LAW, 5000, seed=4)
    weeks, days = bgnbd.fit(x, t_x, T), bgnbd.fit(x, t_x * 7, T * 7)
    assert (days.r, days.alpha / 7, days.a, days.b) == pytest.approx((weeks.r, weeks.alpha, weeks.a, weeks.b), rel=1e-3)
    assert days.log_likelihood == pytest.approx(weeks.log_likelihood - x.sum() * np.log(7), abs=1e-3)


def likelihood(law, x, t_x, T):
    columns = (np.asarray(v, dtype=float) for v in (x, t_x, T))
    return bgnbd.Customers.merged(*columns, np.ones(len(T))).log_likelihood(np.log([law.r, law.alpha, law.a, law.b]))[0]


def test_log_likelihood__merged_rows__the_textbook_formula():
    x, t_x, _, T = customers(LAW, 3000, seed=5)
    from scipy.special import beta, gamma

    r, alpha, a, b = LAW.r, LAW.alpha, LAW.a, LAW.b
    with np.errstate(over="ignore", invalid="ignore"):
        still = beta(a, b + x) / beta(a, b) * gamma(r + x) * alpha**r / (gamma(r) * (alpha + T) ** (r + x))
        left = beta(a + 1, b + x - 1) / beta(a, b) * gamma(r + x) * alpha**r / (gamma(r) * (alpha + t_x) ** (r + x))
        each = np.log(still + np.where(x > 0, left, 0))
    plain = np.isfinite(each)
    assert plain.mean() > 0.99
    assert likelihood(LAW, x[plain], t_x[plain], T[plain]) == pytest.approx(each[plain].sum(), rel=1e-12)


@pytest.mark.parametrize("theta", [(-1.4, 1.5, -0.2, 0.9), (0.0, 0.0, 0.0, 0.0), (2.0, -3.0, 3.0, -4.0), (-4.0, 4.0, -5.0, 6.0)])
def test_log_likelihood__anywhere__gradient_equals_finite_differences(theta):
    x, t_x, _, T = customers(LAW, 2000, seed=6)
    rows = bgnbd.Customers.merged(x.astype(float), t_x, T, np.random.default_rng(0).uniform(0.5, 3, 2000))
    theta, step = np.array(theta), 1e-5
    numeric = [(rows.log_likelihood(theta + e)[0] - rows.log_likelihood(theta - e)[0]) / (2 * step) for e in np.eye(4) * step]
    assert rows.log_likelihood(theta)[1] == pytest.approx(numeric, rel=1e-5, abs=1e-3)


def test_fit__penalty__shrinks_the_parameters():
    x, t_x, _, T = customers(LAW, 2000, seed=7)
    free, held = bgnbd.fit(x, t_x, T), bgnbd.fit(x, t_x, T, penalizer=0.1)
    assert held.b < free.b
    assert held.log_likelihood < free.log_likelihood


def test_fit__too_few_customers__says_how_many_are_needed():
    x, t_x, _, T = customers(LAW, 299, seed=8)
    with pytest.raises(NotEnoughData, match=r"^299 customers with a purchase, 300 are needed"):
        bgnbd.fit(x, t_x, T)
    with pytest.raises(NotEnoughData, match="None of 400 customers bought a second time"):
        bgnbd.fit(np.zeros(400), np.zeros(400), np.full(400, 9.0))


def test_fit__300_customers__settles_every_time():
    for seed in range(20):
        x, t_x, _, T = customers(LAW, 300, seed)
        model = bgnbd.fit(x, t_x, T)
        assert np.isfinite(model.expected_purchases(52, x, t_x, T)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frequency": [-1.0]}, "frequency must be whole and not negative: row 0"),
        ({"frequency": [1.5]}, "frequency must be whole"),
        ({"frequency": [np.nan]}, "frequency must be whole"),
        ({"recency": [11.0]}, "recency must lie between 0 and T"),
        ({"recency": [np.nan]}, "recency must lie between 0 and T"),
        ({"frequency": [0.0]}, "recency must be 0 without a repeat purchase"),
        ({"T": [np.inf]}, "T must be finite"),
        ({"weights": [-1.0]}, "weights must be finite"),
        ({"T": [10.0, 10.0]}, "must have one length"),
    ],
)
def test_fit__contradicting_figures__refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        bgnbd.fit(**{"frequency": [1.0], "recency": [5.0], "T": [10.0], "weights": [1000.0], **change})


@pytest.mark.parametrize("x", [0, 1, 7, 300, 10_000])
@pytest.mark.parametrize(
    "law", [LAW, BgNbd(0.243, 4.414, 1.0, 2.426, 0, 0), BgNbd(0.5, 3.0, 0.4, 0.6, 0, 0), BgNbd(2.0, 0.1, 40.0, 5000.0, 0, 0)]
)
def test_expected_purchases__any_law__equals_the_integral(law, x):
    expected = integral(law, 52.0, x, 40.0) * law.probability_alive(x, 39.0 if x else 0.0, 40.0)
    assert law.expected_purchases(52.0, x, 39.0 if x else 0.0, 40.0) == pytest.approx(expected, rel=2e-5)


def test_expected_purchases__simulated_truth__unbiased():
    x, t_x, future, T = customers(LAW, 100_000, seed=9, horizon=26)
    assert LAW.expected_purchases(26, x, t_x, T).sum() == pytest.approx(future.sum(), rel=0.02)


def test_probability_alive__simulated_truth__as_often_as_said():
    rng = np.random.default_rng(10)
    T = np.full(100_000, 30.0)
    x, t_x, future = LAW.generate(T, rng, horizon=1e5)  # in 100,000 weeks whoever is alive buys again
    alive = LAW.probability_alive(x, t_x, T)
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        band = (x > 0) & (alive >= low) & (alive < low + 0.2)
        assert (future[band] > 0).mean() == pytest.approx(alive[band].mean(), abs=0.02)


def test_simulate__posterior_draws__mean_and_zero_as_computed():
    x, t_x, T = np.array([0, 3, 40]), np.array([0.0, 20.0, 29.0]), np.array([30.0, 30.0, 30.0])
    drawn = LAW.simulate(26, x, t_x, T, 200_000, np.random.default_rng(11))
    assert drawn.shape == (3, 200_000)
    assert drawn.mean(axis=1) == pytest.approx(LAW.expected_purchases(26, x, t_x, T), rel=0.02)
    idle = 1 - LAW.probability_alive(x, t_x, T) * (1 - ((LAW.alpha + T) / (LAW.alpha + T + 26)) ** (LAW.r + x))
    assert (drawn == 0).mean(axis=1) == pytest.approx(idle, abs=0.005)


def test_simulate__same_seed__same_draws():
    one, two = (LAW.simulate(26, [2], [5.0], [9.0], 50, np.random.default_rng(1)) for _ in range(2))
    assert (one == two).all()


POSITIVE = st.floats(0.01, 50)
HISTORY = st.tuples(st.integers(0, 10_000), st.floats(0.1, 500), st.floats(0, 1), st.floats(0, 1))


@settings(max_examples=300, deadline=None)
@given(st.tuples(POSITIVE, POSITIVE, POSITIVE, POSITIVE), HISTORY)
def test_probability_alive__any_customer__a_probability_that_rises_with_recency(parameters, history):
    model, (x, T, one, two) = BgNbd(*parameters, 0.0, 0), history
    early, late = model.probability_alive(x, np.sort([one, two]) * T, T)
    assert 0 <= early <= late <= 1
    assert x > 0 or late == 1


@settings(max_examples=300, deadline=None)
@given(st.tuples(POSITIVE, POSITIVE, POSITIVE, POSITIVE), HISTORY, st.lists(st.floats(0, 500), min_size=2, max_size=2))
def test_expected_purchases__any_customer__finite_and_rising_with_the_horizon(parameters, history, horizons):
    model, (x, T, share, _) = BgNbd(*parameters, 0.0, 0), history
    near, far = model.expected_purchases(np.sort(horizons), x, share * T if x else 0.0, T)
    assert np.isfinite(far)
    assert 0 <= near <= far * (1 + 1e-6) + 1e-9


def test_parameters__not_positive__refused():
    with pytest.raises(ValueError, match="a must be positive and finite, not nan"):
        BgNbd(1.0, 1.0, float("nan"), 1.0, 0.0, 0)
    with pytest.raises(ValueError, match="a must not exceed 100"):
        BgNbd(1.0, 1.0, 1000.0, 1.0, 0.0, 0)


def test_fit__pandas_columns__as_arrays():
    x, t_x, _, T = customers(LAW, 400, seed=12)
    frame = pd.DataFrame({"x": x, "t_x": t_x, "T": T}, index=range(1000, 1400))
    assert bgnbd.fit(frame.x, frame.t_x, frame["T"]) == bgnbd.fit(x, t_x, T)


def test_fit__rows_that_stand_for_nobody__left_out():
    x, t_x, _, T = customers(LAW, 600, seed=13)
    weights = np.where(np.arange(600) < 400, 1.0, 0.0)
    assert bgnbd.fit(x, t_x, T, weights) == bgnbd.fit(x[:400], t_x[:400], T[:400])


def test_fit__hardly_anybody_returns__the_rough_start_does_not_bind(monkeypatch):
    x, t_x, _, T = customers(LAW, 30_000, seed=14)
    plain = bgnbd.fit(x, t_x, T)
    monkeypatch.setattr(bgnbd, "_SAMPLE", 40)  # 40 customers seldom settle on anything
    rough = bgnbd.fit(x, t_x, T)
    assert rough.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-3)
