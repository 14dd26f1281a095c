"""Segments: exact boundaries, precedence, and properties that hold for any amounts."""

import subprocess
import sys
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from players.segmentation import SEGMENTS, SegmentThresholds, classify

D = Decimal
DEFAULT = SegmentThresholds()


def one(wagered: str, result: str, sessions: int, thresholds: SegmentThresholds = DEFAULT) -> str:
    return str(classify([D(wagered)], [D(result)], [sessions], thresholds)[0])


@pytest.mark.parametrize(
    ("wagered", "result", "sessions", "segment"),
    [
        ("0", "0", 0, "NEW"),
        ("0", "500", 90, "NEW"),  # free rounds only
        ("999.9999", "-999", 10, "NEW"),
        ("1000", "0", 1, "BREAKEVEN"),
        ("1000", "20", 1, "BREAKEVEN"),
        ("1000", "-20", 1, "BREAKEVEN"),
        ("1000", "20.0001", 1, "WINNING"),
        ("1000", "-20.0001", 1, "LOSING"),
        ("99999.9999", "-50000", 500, "LOSING"),
        ("100000", "-50000", 49, "LOSING"),
        ("100000", "-50000", 50, "VIP"),
        ("100000", "50000", 50, "VIP"),
        ("15000", "-3000", 25, "LOSING"),
    ],
)
def test_classify__on_and_beside_every_boundary__is_exact(wagered: str, result: str, sessions: int, segment: str) -> None:
    assert one(wagered, result, sessions) == segment


def test_classify__large_amounts__are_not_rounded() -> None:
    # as binary floats both results would lie on the edge of the band
    assert one("1000000000000000.0001", "20000000000000.0000", 1) == "BREAKEVEN"
    assert one("1000000000000000.0000", "20000000000000.0001", 1) == "WINNING"


def test_classify__no_players__is_an_empty_column() -> None:
    assert classify([], [], [], DEFAULT).tolist() == []


def test_classify__zero_band__calls_only_exact_zero_even() -> None:
    thresholds = SegmentThresholds(breakeven_band=D(0))
    assert [one("1000", result, 1, thresholds) for result in ("0", "0.0001", "-0.0001")] == ["BREAKEVEN", "WINNING", "LOSING"]


def test_classify__floats__are_refused() -> None:
    with pytest.raises(TypeError, match="net_pnl holds floats"):
        classify([D(1)], [0.5], [1], DEFAULT)  # type: ignore[list-item]
    with pytest.raises(TypeError, match="total_wagered holds floats"):
        classify(np.array([1.0]), [D(1)], [1], DEFAULT)


def test_classify__columns_of_unequal_length__are_refused() -> None:
    with pytest.raises(ValueError, match="2 wagered, 1 net_pnl, 1 sessions"):
        classify([D(1), D(2)], [D(1)], [1], DEFAULT)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"new_below_wagered": D(-1)}, "new_below_wagered must be"),
        ({"breakeven_band": D("NaN")}, "breakeven_band must be"),
        ({"vip_from_sessions": -1}, "vip_from_sessions must be"),
        ({"vip_from_wagered": D(999)}, "a player would be new and a VIP at once"),
    ],
)
def test_thresholds__that_cannot_work__are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SegmentThresholds(**change)


amounts = st.decimals(min_value=0, max_value=10**9, places=4)
results = st.decimals(min_value=-(10**9), max_value=10**9, places=4)
players = st.lists(st.tuples(amounts, results, st.integers(0, 200)), min_size=1, max_size=20)


def scalar(wagered: Decimal, result: Decimal, sessions: int, t: SegmentThresholds) -> str:
    if wagered > 0 and wagered >= t.vip_from_wagered and sessions >= t.vip_from_sessions:
        return "VIP"
    if wagered < t.new_below_wagered or wagered == 0:
        return "NEW"
    if abs(result) <= wagered * t.breakeven_band:
        return "BREAKEVEN"
    return "WINNING" if result > 0 else "LOSING"


@given(players, st.decimals(0, 1, places=4))
def test_classify__any_columns__equal_one_player_at_a_time(rows: list, band: Decimal) -> None:
    thresholds = SegmentThresholds(breakeven_band=band)
    found = classify(*([row[n] for row in rows] for n in range(3)), thresholds)
    assert found.tolist() == [scalar(*row, thresholds) for row in rows]
    assert set(found.tolist()) <= set(SEGMENTS)


@given(amounts, results, st.integers(0, 200))
def test_classify__opposite_result__swaps_winning_and_losing(wagered: Decimal, result: Decimal, sessions: int) -> None:
    swapped = {"WINNING": "LOSING", "LOSING": "WINNING"}
    segment = one(str(wagered), str(result), sessions)
    assert one(str(wagered), str(-result), sessions) == swapped.get(segment, segment)


def test_segmentation__imported_alone__brings_no_framework() -> None:
    code = "import sys, players.segmentation; assert not [m for m in sys.modules if m.split('.')[0] in ('django', 'celery')]"
    subprocess.run([sys.executable, "-c", code], check=True)
