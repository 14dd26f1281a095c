"""Calibration against known laws: monotone, never certain, unbiased, and intervals that hold what they promise."""

import numpy as np
import pytest
from scipy.special import expit

from predictions.ml import calibration, metrics

SHAPES = {
    "log-odds too bold": lambda raw: expit(0.4 * raw - 0.5),
    "bent": lambda raw: expit(np.where(raw > 0, 0.3 * raw, 1.8 * raw) - 0.2),
    "a rare outcome": lambda raw: expit(raw - 3.5),
    "no slope": lambda raw: np.full_like(raw, 0.3),
}


def draw(shape, n, seed):
    rng = np.random.default_rng(seed)
    raw = rng.normal(0, 1.5, n)
    truth = SHAPES[shape](raw)
    return raw, (rng.random(n) < truth).astype(float), truth


@pytest.mark.parametrize("shape", SHAPES)
def test_fit__known_law__near_the_true_probability(shape):
    raw, y, _ = draw(shape, 8000, 1)
    fresh, outcomes, truth = draw(shape, 20_000, 2)
    found = calibration.fit(raw, y).probability(fresh)
    assert np.mean(np.abs(found - truth)) < 0.012
    assert metrics.expected_calibration_error(outcomes, found) < 0.02


@pytest.mark.parametrize("shape", SHAPES)
def test_probability__rising_scores__rising_and_never_certain(shape):
    raw, y, _ = draw(shape, 500, 3)
    found = calibration.fit(raw, y)
    grid = np.linspace(-30, 30, 500)
    assert (np.diff(found.log_odds(grid)) > 0).all()
    ends = found.probability(np.array([-1e12, -1e3, 1e3, 1e12]))
    assert 0 < ends[0] <= ends[1] < ends[2] <= ends[3] < 1


def test_fit__perfect_separation__stays_within_what_the_rows_can_show():
    raw = np.concatenate([np.linspace(-3, -1, 100), np.linspace(1, 3, 100)])
    found = calibration.fit(raw, (raw > 0).astype(float)).probability(raw)
    assert 1 / 402 < found.min() < 0.05
    assert 0.95 < found.max() < 401 / 402


@pytest.mark.parametrize("shape", SHAPES)
def test_interval__repeated_calibrations__hold_the_truth_nine_times_in_ten(shape):
    held = []
    for seed in range(60):
        raw, y, _ = draw(shape, 2000, 100 + seed)
        fresh, _, truth = draw(shape, 500, 9000 + seed)
        low, high = calibration.fit(raw, y).interval(fresh)
        held.append(metrics.coverage(truth, low, high))
    assert 0.86 <= np.mean(held) <= 0.985


def test_interval__more_outcomes__narrower():
    widths = []
    for n in (500, 20_000):
        raw, y, _ = draw("log-odds too bold", n, 5)
        low, high = calibration.fit(raw, y).interval(np.linspace(-2, 2, 50))
        widths.append(np.mean(high - low))
    assert widths[1] < 0.7 * widths[0]


def test_interval__players_with_two_rows_each__as_wide_as_one_row_each_would_be():
    """Everybody twice over says nothing new: the probability stays and the interval does not shrink."""
    raw, y, _ = draw("log-odds too bold", 3000, 6)
    players = np.arange(3000)
    twice = [np.concatenate([column, column]) for column in (raw, y, players)]
    grid = np.linspace(-2, 2, 50)
    once, counted, taken_for_others = (calibration.fit(*each) for each in ((raw, y, players), twice, twice[:2]))
    assert counted.probability(grid) == pytest.approx(once.probability(grid), abs=0.01)
    width, same, shrunk = (np.mean(np.subtract(*fitted.interval(grid)[::-1])) for fitted in (once, counted, taken_for_others))
    assert same == pytest.approx(width, rel=0.05)
    assert shrunk < 0.8 * width


def test_interval__players_with_two_outcomes__hold_the_truth_nine_times_in_ten():
    """Two rows of a player with one hidden chance between them: counted as two, the interval misses the truth more often."""
    held = {"players": [], "rows": []}
    for seed in range(60):
        rng = np.random.default_rng(300 + seed)
        raw, chance = rng.normal(0, 1.5, 1000), rng.random(1000)
        y = (chance < expit(0.4 * raw - 0.5)).astype(float)
        rows = np.concatenate([raw, raw]), np.concatenate([y, y])
        grid = rng.normal(0, 1.5, 500)
        for name, whose in (("players", np.tile(np.arange(1000), 2)), ("rows", None)):
            low, high = calibration.fit(*rows, whose).interval(grid)
            held[name].append(metrics.coverage(expit(0.4 * grid - 0.5), low, high))
    assert np.mean(held["players"]) >= 0.86
    assert np.mean(held["rows"]) < np.mean(held["players"]) - 0.04


@pytest.mark.parametrize(
    ("raw", "y", "text"),
    [([1.0, np.nan], [0, 1], "finite"), ([1.0, 2.0], [1, 1], "both outcomes"), ([1.0, 2.0], [0, 0.5], "0 or 1"), ([1.0], [0, 1], "equal")],
)
def test_fit__what_cannot_be_calibrated__is_refused(raw, y, text):
    with pytest.raises(ValueError, match=text):
        calibration.fit(np.array(raw), np.array(y))
