"""Score and bands against numbers worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.detectors import BandEdges, next_band, score_signals
from fraud.detectors.scoring import BANDS, WeighedSignal

WEIGHTS = {"BONUS_ONLY": 0.7, "MULTI_ACCOUNT": 0.85, "WIN_RATE": 0.4}
EDGES = BandEdges()


def _signal(kind: str, strength: float, age: float = 0.0, key: str = "") -> WeighedSignal:
    return WeighedSignal(kind, key, strength, age)


def test_score__no_signal__zero() -> None:
    assert score_signals([], WEIGHTS, 30).value == 0


def test_score__one_fresh_signal__weight_times_strength() -> None:
    assert score_signals([_signal("BONUS_ONLY", 0.5)], WEIGHTS, 30).value == pytest.approx(35.0)


def test_score__half_life_old__half() -> None:
    score = score_signals([_signal("BONUS_ONLY", 1.0, age=30)], WEIGHTS, 30)
    assert score.value == pytest.approx(35.0)
    assert score.contributions[0].decay == pytest.approx(0.5)


def test_score__two_signals__noisy_or() -> None:
    # 1 - (1 - 0.7 x 1) x (1 - 0.85 x 0.8) = 1 - 0.3 x 0.32 = 0.904
    score = score_signals([_signal("BONUS_ONLY", 1.0), _signal("MULTI_ACCOUNT", 0.8)], WEIGHTS, 30)
    assert score.value == pytest.approx(90.4)
    # shares of -ln(0.3) = 1.20397 and -ln(0.32) = 1.13943 in 90.4
    assert [one.kind for one in score.contributions] == ["BONUS_ONLY", "MULTI_ACCOUNT"]
    assert [one.points for one in score.contributions] == pytest.approx([46.4453, 43.9547], abs=1e-3)


def test_score__three_ages__decays_each() -> None:
    # 0.7 x 0.5 x 2^-1 = 0.175; 0.85 x 1 x 2^-2 = 0.2125; 0.4 x 1 x 1 = 0.4: 1 - 0.825 x 0.7875 x 0.6 = 0.6101875
    signals = [_signal("BONUS_ONLY", 0.5, 30), _signal("MULTI_ACCOUNT", 1.0, 60), _signal("WIN_RATE", 1.0, 0)]
    assert score_signals(signals, WEIGHTS, 30).value == pytest.approx(61.01875)


def test_score__signal_from_the_future__counts_as_fresh() -> None:
    assert score_signals([_signal("WIN_RATE", 1.0, -5)], WEIGHTS, 30).value == pytest.approx(40.0)


def test_score__no_half_life__is_refused() -> None:
    with pytest.raises(ValueError, match="half-life of abuse signals is 0 days"):
        score_signals([], WEIGHTS, 0)


@given(st.lists(st.tuples(st.sampled_from(sorted(WEIGHTS)), st.floats(0, 1), st.floats(0, 400)), max_size=12))
def test_score__any_signals__between_0_and_100_and_parts_add_up(drawn: list[tuple[str, float, float]]) -> None:
    signals = [_signal(kind, strength, age, key=str(n)) for n, (kind, strength, age) in enumerate(drawn)]
    score = score_signals(signals, WEIGHTS, 30)
    assert 0 <= score.value <= 100
    assert sum(one.points for one in score.contributions) == pytest.approx(score.value, abs=1e-9)
    assert score_signals([*signals, _signal("WIN_RATE", 0.5, key="more")], WEIGHTS, 30).value >= score.value


@pytest.mark.parametrize(
    ("current", "score", "expected"),
    [
        ("NONE", 30.999, "NONE"),
        ("NONE", 31.0, "REDUCED"),
        ("NONE", 60.999, "REDUCED"),
        ("NONE", 61.0, "WAGERING"),
        ("NONE", 80.999, "WAGERING"),
        ("NONE", 81.0, "BLOCKED"),
        ("NONE", 100.0, "BLOCKED"),
        # held until ten points below the edge
        ("REDUCED", 30.0, "REDUCED"),
        ("REDUCED", 21.001, "REDUCED"),
        ("REDUCED", 21.0, "NONE"),
        ("WAGERING", 51.001, "WAGERING"),
        ("WAGERING", 51.0, "REDUCED"),
        ("WAGERING", 21.0, "NONE"),
        ("BLOCKED", 71.001, "BLOCKED"),
        ("BLOCKED", 71.0, "WAGERING"),
        ("BLOCKED", 55.0, "WAGERING"),
        ("BLOCKED", 51.0, "REDUCED"),
        ("BLOCKED", 0.0, "NONE"),
        # a lower band held does not lift
        ("REDUCED", 55.0, "REDUCED"),
        ("REDUCED", 75.0, "WAGERING"),
    ],
)
def test_next_band__edges_and_hysteresis__exact(current: str, score: float, expected: str) -> None:
    assert next_band(current, score, EDGES) == expected


@given(st.sampled_from(BANDS), st.floats(0, 100))
def test_next_band__applied_twice__stays(current: str, score: float) -> None:
    once = next_band(current, score, EDGES)
    assert next_band(once, score, EDGES) == once


@pytest.mark.parametrize(
    ("edges", "message"), [((61, 31, 81, 10), "must rise"), ((31, 61, 101, 10), "between 0 and 100"), ((5, 61, 81, 10), "hysteresis")]
)
def test_edges__contradictory__are_refused(edges: tuple[float, float, float, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BandEdges(*edges)
