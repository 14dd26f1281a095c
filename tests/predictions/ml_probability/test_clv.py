import numpy as np
import pandas as pd
import pytest

from predictions.ml import bgnbd, clv, gamma_gamma
from predictions.ml.bgnbd import BgNbd
from predictions.ml.gamma_gamma import GammaGamma

from . import cdnow

BG, GG = BgNbd(0.8, 4.0, 0.9, 4.0, 0.0, 0), GammaGamma(4.0, 4.0, 15.0, 0.0, 0)
HORIZON = 90


def frame(x, t_x, T, m):
    return pd.DataFrame(dict(zip(clv.COLUMNS, (x, t_x, T, m), strict=True)))


def population(n, seed):
    """Customers of the known law, with what they spend in the HORIZON after."""
    rng = np.random.default_rng(seed)
    T = rng.integers(28, 365, n) / 7
    x, t_x, future = BG.generate(T, rng, HORIZON / 7)
    rate = rng.gamma(GG.q, 1 / GG.v, n)
    m = np.where(x > 0, rng.gamma(GG.p * np.maximum(x, 1)) / rate / np.maximum(x, 1), np.nan)
    spent = np.where(future > 0, rng.gamma(GG.p * np.maximum(future, 1)) / rate, 0.0)
    return frame(x, t_x, T, m), spent


def pit(drawn, actual, rng):
    """Randomised probability integral transform: uniform when the draws have the law of `actual`, its mass at zero included."""
    below, equal = (drawn < actual[:, None]).mean(axis=1), (drawn == actual[:, None]).mean(axis=1)
    return below + rng.random(actual.size) * equal


def share_inside(levels):
    return ((levels > 0.1) & (levels < 0.9)).mean()


def test_simulate__known_law__eighty_percent_interval_covers_eighty_percent():
    customers, spent = population(20_000, seed=1)
    rng = np.random.default_rng(2)
    levels = pit(clv.simulate(BG, GG, customers, HORIZON, draws=400, rng=rng), spent, rng)
    assert 0.78 <= share_inside(levels) <= 0.82
    assert np.histogram(levels, 10, (0, 1))[0] / levels.size == pytest.approx(np.full(10, 0.1), abs=0.01)
    for active in (customers.bg_frequency == 0, customers.bg_frequency > 5):
        assert 0.78 <= share_inside(levels[active]) <= 0.82


def test_simulate__fitted_parameters__covers_too():
    customers, spent = population(20_000, seed=3)
    bg = bgnbd.fit(customers.bg_frequency, customers.bg_recency, customers.bg_age)
    gg = gamma_gamma.fit(customers.bg_frequency, customers.bg_spend)
    rng = np.random.default_rng(4)
    assert 0.78 <= share_inside(pit(clv.simulate(bg, gg, customers, HORIZON, draws=400, rng=rng), spent, rng)) <= 0.82


def test_simulate__cdnow_held_out_weeks__covers():
    data = cdnow.summary()
    _, spent = cdnow.held_out(data)
    bg, gg = bgnbd.fit(data.x, data.t_x, data["T"]), gamma_gamma.fit(data.x, data.zbar)
    rng = np.random.default_rng(5)
    drawn = clv.simulate(bg, gg, frame(data.x, data.t_x, data["T"], data.zbar), 39 * 7, draws=1000, rng=rng)
    assert 0.78 <= share_inside(pit(drawn, spent, rng)) <= 0.82


def test_value__known_law__unbiased_in_every_quarter():
    customers, spent = population(60_000, seed=6)
    value = clv.value(BG, GG, customers, HORIZON, seed=1, draws=20).value.to_numpy()
    for quarter in np.array_split(np.argsort(value), 4):
        assert value[quarter].mean() == pytest.approx(spent[quarter].mean(), rel=0.05)


def test_value__mean_of_the_draws__is_the_value():
    customers, _ = population(5, seed=7)
    answer = clv.value(BG, GG, customers, HORIZON, seed=1)
    drawn = clv.simulate(BG, GG, customers, HORIZON, draws=200_000, rng=np.random.default_rng(8))
    assert drawn.mean(axis=1) == pytest.approx(answer.value, rel=0.03)
    assert answer.value.to_numpy() == pytest.approx(answer.purchases * GG.expected_spend(customers.bg_frequency, customers.bg_spend))
    assert (answer.p10 <= answer.p50).all()
    assert (answer.p50 <= answer.p90).all()


def test_value__columns_and_index__as_the_frame():
    customers, _ = population(50, seed=9)
    customers.index = pd.Index(range(700, 750), name="player_id")
    customers["other"] = 1
    answer = clv.value(BG, GG, customers, HORIZON, seed=1)
    assert list(answer.columns) == ["value", "p10", "p50", "p90", "alive", "purchases"]
    assert answer.index.equals(customers.index)
    assert clv.value(BG, GG, customers, HORIZON, seed=1).equals(answer)


def test_value__margin__scales_money_alone():
    customers, _ = population(50, seed=10)
    whole, part = (clv.value(BG, GG, customers, HORIZON, seed=1, margin=margin) for margin in (1.0, np.full(50, 0.25)))
    money = ["value", "p10", "p50", "p90"]
    assert part[money].to_numpy() == pytest.approx(whole[money].to_numpy() * 0.25)
    assert part[["alive", "purchases"]].equals(whole[["alive", "purchases"]])


def test_value__without_a_deposit__unknown():
    customers = frame([np.nan, 2.0], [np.nan, 5.0], [np.nan, 9.0], [np.nan, 30.0])
    answer = clv.value(BG, GG, customers, HORIZON, seed=1)
    assert answer.loc[0].isna().all()
    assert np.isfinite(answer.loc[1]).all()
    with pytest.raises(ValueError, match="row 0 has no deposit"):
        clv.simulate(BG, GG, customers, HORIZON, draws=10, rng=np.random.default_rng(1))


def test_value__one_deposit_today__everybodys_mean_spend():
    answer = clv.value(BG, GG, frame([0.0], [0.0], [0.0], [np.nan]), HORIZON, seed=1)
    assert answer.value[0] == pytest.approx(BG.expected_purchases(HORIZON / 7, 0, 0, 0) * 4 * 15 / 3)


def test_value__many_rows__in_chunks(monkeypatch):
    customers, _ = population(1000, seed=11)
    sizes = []
    simulate = BgNbd.simulate
    monkeypatch.setattr(clv, "_CHUNK_CELLS", 3000)
    monkeypatch.setattr(BgNbd, "simulate", lambda self, *args: sizes.append((drawn := simulate(self, *args)).size) or drawn)
    clv.value(BG, GG, customers, HORIZON, seed=1, draws=10)
    assert sizes == [3000, 3000, 3000, 1000]


def test_value__no_rows__no_answers():
    assert clv.value(BG, GG, frame([], [], [], []).astype(float), HORIZON, seed=1).shape == (0, 6)


@pytest.mark.parametrize(
    ("column", "wrong", "message"),
    [
        ("bg_frequency", 1.5, "bg_frequency must be whole, finite and not negative: row 0"),
        ("bg_recency", 10.0, "bg_recency must lie between 0 and bg_age"),
        ("bg_recency", np.nan, "must be known together"),
        ("bg_age", np.inf, "bg_age must be finite"),
        ("bg_spend", np.nan, "bg_spend must be positive"),
        ("bg_spend", 0.0, "bg_spend must be positive"),
    ],
)
def test_value__contradicting_figures__refused_by_name(column, wrong, message):
    customers = frame([2.0], [5.0], [9.0], [30.0])
    customers[column] = wrong
    with pytest.raises(ValueError, match=message):
        clv.value(BG, GG, customers, HORIZON, seed=1)


def test_value__senseless_arguments__refused():
    customers = frame([2.0], [5.0], [9.0], [30.0])
    with pytest.raises(ValueError, match="margin must be finite and not negative"):
        clv.value(BG, GG, customers, HORIZON, seed=1, margin=-1.0)
    with pytest.raises(ValueError, match="horizon_days must be positive"):
        clv.value(BG, GG, customers, 0, seed=1)
    with pytest.raises(ValueError, match="at least 10 draws"):
        clv.value(BG, GG, customers, HORIZON, seed=1, draws=5)
