"""Amounts as exports and people write them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from players.imports.amounts import AmountFormat, parse_count
from players.imports.problems import Problem

CENTS = st.integers(min_value=0, max_value=10**11).map(lambda minor: Decimal(minor).scaleb(-2))


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("200.00200.00", "400.00"),
        ("50.0050.0050.00", "150.00"),
        ("1,200.50", "1200.50"),
        ("1,200.501,200.50", "2401.00"),
        ("0", "0"),
        ("12", "12"),
        (".5", "0.5"),
        ("+7.25", "7.25"),
        ("1 200.50", "1200.50"),
        ("1\u00a0200\u00a0000.5", "1200000.5"),
        ("1'200", "1200"),
        ("1,234,567", "1234567"),
        ("1.500000", "1.5"),
        ("9999999999999999.9999", "9999999999999999.9999"),
    ],
)
def test_amount__readable__is_exact(text, amount):
    assert AmountFormat().parse(text) == Decimal(amount)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("abc", "not_a_number"),
        ("200.0.0", "ambiguous"),
        ("-", "missing"),
        ("NaN", "not_finite"),
        ("inf", "not_finite"),
        ("-Infinity", "not_finite"),
        ("N/A", "missing"),
        ("-5", "negative"),
        ("(5.00)", "negative"),
        ("\u22125", "negative"),
        ("1e5", "scientific"),
        ("€5", "currency_sign"),
        ("5 EUR", "currency_sign"),
        ("1.200,50", "decimal_sign"),
        ("1,20", "decimal_sign"),
        ("12,34,56", "ambiguous"),
        ("5.", "ambiguous"),
        ("1..2", "ambiguous"),
        ("1.23456", "too_many_places"),
        ("99999999999999999", "too_large"),
        ("\u0663", "not_a_number"),
        ("1 2", "not_a_number"),
        ("0x10", "not_a_number"),
        ("True", "not_a_number"),
        ("1_000", "not_a_number"),
    ],
)
def test_amount__dirty__is_a_problem_with_reason_and_remedy(text, code):
    problem = AmountFormat().parse(text)
    assert isinstance(problem, Problem)
    assert problem.code == code
    assert problem.reason
    assert problem.remedy


@pytest.mark.parametrize(
    ("text", "amount"), [("1.200,50", "1200.50"), ("200,00200,00", "400.00"), ("1.234.567", "1234567"), ("3,5", "3.5"), ("12", "12")]
)
def test_amount__decimal_comma__swaps_the_signs(text, amount):
    assert AmountFormat(decimal_comma=True).parse(text) == Decimal(amount)


@pytest.mark.parametrize("text", ["1,200.50", "12.5", "1.20"])
def test_amount__point_where_comma_is_decimal__is_a_problem(text):
    assert AmountFormat(decimal_comma=True).parse(text).code == "decimal_sign"


@pytest.mark.parametrize(("text", "amount"), [("1.23456", "1.23"), ("0.125", "0.12"), ("0.135", "0.14"), ("2", "2.00")])
def test_amount__decimals_stated__rounds_half_to_even(text, amount):
    assert str(AmountFormat(decimals=2).parse(text)) == amount


@given(CENTS)
def test_amount__any_two_place_amount__reads_back(amount):
    assert AmountFormat().parse(f"{amount:.2f}") == amount
    assert AmountFormat().parse(f"{amount:,.2f}") == amount
    swapped = f"{amount:,.2f}".translate(str.maketrans(",.", ".,"))
    assert AmountFormat(decimal_comma=True).parse(swapped) == amount


@given(st.lists(CENTS, min_size=2, max_size=6))
def test_amount__glued_amounts__are_their_sum(amounts):
    assert AmountFormat().parse("".join(f"{one:.2f}" for one in amounts)) == sum(amounts)


@given(st.text(max_size=30))
def test_amount__any_text__never_raises_and_is_never_negative_or_infinite(text):
    for fmt in (AmountFormat(), AmountFormat(decimal_comma=True), AmountFormat(decimals=2)):
        parsed = fmt.parse(text)
        assert isinstance(parsed, Problem) or (parsed.is_finite() and parsed >= 0)


@given(st.text(alphabet="0123456789.,- eE+'", max_size=20))
def test_amount__plain_pattern__agrees_with_the_parser(text):
    fmt = AmountFormat()
    if fmt.plain(text):
        assert fmt.parse(text) == Decimal(text)


@pytest.mark.parametrize(("text", "count"), [("12", 12), ("1,200", 1200), ("12.0", 12), ("0", 0), ("2147483647", 2147483647)])
def test_count__whole__is_read(text, count):
    assert parse_count(text) == count


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("4.5", "not_whole"),
        ("-1", "negative"),
        ("x", "not_a_number"),
        ("2147483648", "too_large"),
        ("9" * 400, "too_large"),
        ("NaN", "not_finite"),
    ],
)
def test_count__not_whole_or_out_of_range__is_a_problem(text, code):
    assert parse_count(text).code == code
