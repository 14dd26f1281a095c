"""Contribution tables: the narrowest valid line decides."""

from datetime import timedelta
from decimal import Decimal

import pytest

from tests.wallet.bonus.play import LONG_AGO, NOW, table
from wallet.bonus.weights import Rule, Table, smallest

LINES = table(("game", "Sun", "0.25"), ("provider", "acme", "0.5"), ("category", "slots", "1"), ("default", "", "0.1"))


@pytest.mark.parametrize(
    ("game", "provider", "category", "weight"),
    [("sun", "acme", "slots", "0.25"), ("moon", "ACME", "slots", "0.5"), ("moon", "other", "Slots", "1"), ("", "", "", "0.1")],
)
def test_weigh__narrowest_scope(game: str, provider: str, category: str, weight: str) -> None:
    assert LINES.weigh(game, provider, category, None, NOW).weight == Decimal(weight)


@pytest.mark.parametrize(("edge", "weight"), [("0.01", "0.25"), ("0.04", "1"), ("0.10", "1"), ("-0.01", "0"), (None, "1")])
def test_weigh__by_house_edge(edge: str | None, weight: str) -> None:
    by_edge = table(("default", "", "edge"))
    assert by_edge.weigh("g", "", "", None if edge is None else Decimal(edge), NOW).weight == Decimal(weight)


def test_weigh__no_line__counts_in_full() -> None:
    assert table(("game", "sun", "0.5")).weigh("moon", "", "", None, NOW).weight == 1


def test_weigh__dates_are_half_open() -> None:
    old = Rule(1, "default", "", "fixed", Decimal("0.5"), LONG_AGO, NOW)
    new = Rule(2, "default", "", "fixed", Decimal("0.2"), NOW)
    dated = Table(1, Decimal("0.04"), [old, new])
    assert dated.weigh("", "", "", None, NOW - timedelta(microseconds=1)).weight == Decimal("0.5")
    assert dated.weigh("", "", "", None, NOW).weight == Decimal("0.2")
    assert smallest(dated, NOW) == Decimal("0.2")


def test_smallest__passes_over_what_does_not_count() -> None:
    assert smallest(table(("game", "x", "excluded"), ("category", "roulette", "0.1"), ("category", "y", "0")), NOW) == Decimal("0.1")
