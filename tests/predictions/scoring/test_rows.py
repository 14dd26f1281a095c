"""Rows that reach the database by binary COPY are exactly what was meant, whatever lies beside each other."""

from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from predictions.rows import BadScores, Column, Type, copy_rows, to_amounts

QUANTUM = Decimal("0.0001")
units = st.sampled_from([37.5, 12.345, 5000.0, 0.29, 1.0, 25_000.0])
figures = st.one_of(
    st.floats(min_value=-1e9, max_value=1e9),
    st.integers(-(10**9), 10**9).map(lambda whole: whole / 20_000),  # many of them end in a half of the last place
    st.floats(min_value=-1e-6, max_value=1e-6),
)


@given(st.lists(st.tuples(figures, units), min_size=1, max_size=30))
def test_to_amounts__any_figure__is_the_exact_product_rounded_half_even(pairs):
    values, unit = (np.array(column) for column in zip(*pairs, strict=True))
    expected = [
        int((Decimal(repr(float(value))) * Decimal(repr(float(one)))).quantize(QUANTUM, ROUND_HALF_EVEN).scaleb(4)) for value, one in pairs
    ]
    assert to_amounts(values, unit).tolist() == expected


def test_to_amounts__unknown__is_zero():
    assert to_amounts(np.array([np.nan, 1.0]), np.array([2.0, 2.0])).tolist() == [0, 20_000]


@pytest.mark.parametrize("figure", [np.inf, -np.inf, 1e30])
def test_to_amounts__no_amount_at_all__is_refused(figure):
    with pytest.raises(BadScores, match="finite"):
        to_amounts(np.array([1.0, figure]), np.array([1.0, 1.0]))


def test_to_amounts__unit_that_is_unknown__is_refused():
    with pytest.raises(BadScores):
        to_amounts(np.array([1.0]), np.array([np.nan]))


@pytest.mark.django_db
def test_copy_rows__every_type_and_gap__comes_back_as_it_was():
    texts = np.array(["", "EUR", "Champions", "Can't Lose Them", "\u00c4\U0001f3b2", "EUR", ""], dtype=object)
    amounts = np.array([0, 1, -1, 10_000, -123_456_789, 9_223_372_036_854_775_807, 100_000_000_000], dtype=np.int64)
    floats = np.array([0.0, -0.0, 0.1, 1e-300, 1e300, -2.5, 0.29])
    gaps = np.array([True, False, True, False, False, True, False])
    columns = {
        "small": Column(Type.SMALLINT, np.array([-32768, 0, 1, 2, 3, 4, 32767])),
        "whole": Column(Type.INT, np.array([-(2**31), 0, 1, 2, 3, 4, 2**31 - 1])),
        "large": Column(Type.BIGINT, np.array([-(2**63), 0, 1, 2, 3, 4, 2**63 - 1])),
        "share": Column(Type.FLOAT, floats, gaps),
        "amount": Column(Type.AMOUNT, amounts),
        "perhaps": Column(Type.AMOUNT, amounts, ~gaps),
        "name": Column(Type.TEXT, texts),
        "reasons": Column(Type.JSON, "[]"),
    }
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMP TABLE copied (small smallint, whole int, large bigint, share float8, amount numeric(20, 4), "
            "perhaps numeric(20, 4), name varchar(30), reasons jsonb) ON COMMIT DROP"
        )
        assert copy_rows("copied", columns, 7) == 7
        cursor.execute("SELECT small, whole, large, share, amount, perhaps, name, reasons::text FROM copied ORDER BY small")
        found = cursor.fetchall()
    assert found == [tuple(column.value(row) for column in columns.values()) for row in range(7)]
    assert found[5][4] == Decimal("922337203685477.5807")
    assert [row[3] is None for row in found] == gaps.tolist()


@pytest.mark.django_db
def test_copy_rows__no_rows__writes_nothing():
    assert copy_rows("predictions_churnscore", {"probability": Column(Type.FLOAT, np.zeros(0))}, 0) == 0
