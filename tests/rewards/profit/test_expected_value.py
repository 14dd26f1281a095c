"""The reference figures and the caps, against sums done by hand."""

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.profit import CapUse, cap_excess, expected_value, monthly_base_wager, roi_above


def test_expected_value__reference_vector__breaks_even() -> None:
    """Reward 100, wager 2,000, edge 5 %: revenue 100, profit 0, ROI 0, which is not above 0."""
    figures = expected_value([D(2000)], [D(1)], [D("0.05")], [D(100)])
    assert (figures.expected_wager, figures.expected_revenue) == ([D(2000)], [D("100.00")])
    assert (figures.expected_profit, figures.roi_percent) == ([D(0)], [D("0.0000")])
    assert roi_above(figures, D(0)) == [False]


def test_expected_value__columns__are_reckoned_row_by_row() -> None:
    figures = expected_value([D(1000), D(500), D(0)], [D("1.3"), D("1.5"), D(1)], [D("0.04"), D("0.05"), D("0.05")], [D(30), D(0), D(10)])
    assert list(figures.expected_wager) == [D("1300.0"), D("750.0"), D(0)]
    assert list(figures.expected_revenue) == [D(52), D("37.5"), D(0)]
    assert list(figures.expected_profit) == [D(22), D("37.5"), D(-10)]
    assert list(figures.roi_percent) == [D("73.3333"), None, D("-100.0000")]
    assert roi_above(figures, D(0)) == [True, True, False]


@pytest.mark.parametrize(("threshold", "above"), [("73.3333", True), ("73.33333333", True), ("73.3334", False)])
def test_roi_above__compares_exactly_not_the_rounded_figure(threshold: str, above: bool) -> None:
    figures = expected_value([D(1000)], [D("1.3")], [D("0.04")], [D(30)])
    assert roi_above(figures, D(threshold)) == [above]


def test_expected_value__bad_columns__are_refused() -> None:
    with pytest.raises(ValueError, match="different lengths"):
        expected_value([D(1)], [], [D(1)], [D(1)])
    with pytest.raises(ValueError, match="negative"):
        expected_value([D(1)], [D(1)], [D(1)], [D(-1)])


@pytest.mark.parametrize(("days", "expected"), [(None, "9000"), (0, "9000"), (30, "9000"), (60, "4500"), (90, "3000"), (365, "739.7260")])
def test_monthly_base_wager__is_the_average_of_thirty_days(days: int | None, expected: str) -> None:
    assert monthly_base_wager(D(9000), days) == D(expected)


def test_cap_excess__reaching_a_cap_is_allowed_passing_it_is_not() -> None:
    caps = CapUse(100, 300, 500)
    assert cap_excess(CapUse(), 100, caps) is None
    assert cap_excess(CapUse(1, 1, 1), 100, caps) == "day"
    assert cap_excess(CapUse(0, 250, 250), 51, caps) == "week"
    assert cap_excess(CapUse(0, 0, 450), 51, caps) == "month"


@given(st.lists(st.integers(1, 60), max_size=30), st.integers(1, 100))
def test_cap_excess__serving_whatever_fits__never_passes_a_cap(amounts: list[int], cap: int) -> None:
    caps, used = CapUse(cap, 2 * cap, 3 * cap), CapUse()
    for amount in amounts:
        if cap_excess(used, amount, caps) is None:
            used = used.plus(amount)
    assert used.day <= cap
