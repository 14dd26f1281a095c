"""The formula language: what it takes, what it refuses and where, and that both back ends agree on every value."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.rules import columns, scalar
from rewards.rules.formula import MAX_LENGTH, fact_names, parse_amount, parse_test
from rewards.rules.problems import RuleError
from rewards.rules.tokens import MAX_DEPTH
from tests.rewards.rules.tables import table


def refused(text: str, parse=parse_amount):
    with pytest.raises(RuleError) as caught:
        parse(text)
    return caught.value.problems[0]


def value(text: str, **facts):
    return scalar.number(parse_amount(text), facts)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("-2 - -3", "1"),
        ("7 / 2", "3.5"),
        ("0.1 + 0.2", "0.3"),
        ("min(3, 1, 2)", "1"),
        ("max(3, 1, 2)", "3"),
        ("abs(1 - 3)", "2"),
        ("round(2.5)", "3"),
        ("round(-2.5)", "-3"),
        ("round(1.005, 2)", "1.01"),
        ("1 if 2 > 1 else 5", "1"),
        ("1 if not 2 > 1 else 5", "5"),
        ("1 if 1 < 2 < 3 else 5", "1"),
        ("1 if 1 < 2 < 2 else 5", "5"),
        ("1 if 1 > 2 or 3 != 4 and 2 == 2.0 else 5", "1"),
        ("(\n 1\n + 2 )", "3"),
        (".5 + 5.", "5.5"),
    ],
)
def test_formula__arithmetic__has_the_exact_value(text, expected):
    assert scalar.number(parse_amount(text), {}) == Fraction(expected)


def test_formula__thirds_of_an_amount__are_exact():
    assert value("net_loss / 3 * 3", net_loss=Decimal("10")) == 10


def test_formula__alias__becomes_the_catalogue_name():
    assert fact_names(parse_amount("session_count * 2 + abuse_score")) == {"sessions", "bonus_abuse_score"}


def test_formula__category_comparison__ignores_letter_case():
    assert value('5 if segment == "vip" else 1', segment="VIP") == 5
    assert value("5 if 'VIP' != segment else 1", segment="VIP") == 1


def test_formula__text_beyond_ascii__keeps_numbers_and_positions():
    text = '10.5 if tier == "\u00c9lite \u2728" else 2.25'
    assert value(text, tier="\u00e9LITE \u2728") == Fraction("10.5")
    assert value(text, tier="Gold") == Fraction("2.25")
    assert refused('1 if tier == "\u00c9lite" else segment').column == 27


def test_formula__branch_not_taken__is_not_evaluated():
    assert value("net_loss / sessions if sessions > 0 else 0", net_loss=Decimal(9), sessions=Decimal(0)) == 0


@pytest.mark.parametrize(
    ("text", "code", "line", "column"),
    [
        ("", "formula_empty", 1, 1),
        ("net_loss * ", "formula_syntax", 1, 11),
        ("net_loss * 2 3", "formula_syntax", 1, 14),
        ("net_loss if", "formula_syntax", 1, 12),
        ("* 2", "formula_syntax", 1, 1),
        ("min(1, )", "formula_syntax", 1, 8),
        ("min()", "formula_syntax", 1, 5),
        ("5 if 1 > 2", "formula_syntax", 1, 1),
        ("net_loss ** 2", "formula_symbol", 1, 10),
        ("9**9**9", "formula_symbol", 1, 2),
        ("9 * * 9", "formula_syntax", 1, 5),
        ("net_loss // 2", "formula_symbol", 1, 10),
        ("net_loss % 2", "formula_symbol", 1, 10),
        ("10% * net_loss", "formula_symbol", 1, 3),
        ("__import__('os')", "formula_function", 1, 1),
        ("open('x')", "formula_function", 1, 1),
        ("net_loss.__class__", "formula_symbol", 1, 9),
        ("().__class__", "formula_syntax", 1, 2),
        ("net_loss[0]", "formula_symbol", 1, 9),
        ("[1 for x in y]", "formula_symbol", 1, 1),
        ("{1}", "formula_symbol", 1, 1),
        ("lambda: 1", "unknown_fact", 1, 1),
        ("net_loss if True else 1", "unknown_fact", 1, 13),
        ("(x := 5)", "unknown_fact", 1, 2),
        ("net_los * 0.1", "unknown_fact", 1, 1),
        ("1 +\n  net_los", "unknown_fact", 2, 3),
        ("1e9999999", "formula_number", 1, 1),
        ("0x10", "formula_number", 1, 1),
        ("1_000", "formula_number", 1, 1),
        ("5j", "formula_number", 1, 1),
        ("1.2.3", "formula_number", 1, 1),
        ("007", "formula_number", 1, 1),
        ("12345678901234567890", "formula_number", 1, 1),
        ("net_loss = 5", "formula_symbol", 1, 10),
        ("net_loss & 5", "formula_symbol", 1, 10),
        ("1; 2", "formula_symbol", 1, 2),
        ("1, 2", "formula_syntax", 1, 2),
        ("'a'", "formula_text", 1, 1),
        ('net_loss == "a"', "formula_text", 1, 13),
        ('5 if segment < "VIP" else 1', "formula_text", 1, 6),
        ("segment + 1", "formula_type", 1, 1),
        ("(net_loss > 5) * 10", "formula_type", 1, 2),
        ("5 if net_loss else 1", "formula_type", 1, 6),
        ("5 if sessions and net_loss > 1 else 1", "formula_type", 1, 6),
        ("net_loss > 5", "formula_type", 1, 1),
        ("last_play_on - 3", "formula_type", 1, 1),
        ("net_loss / 0", "formula_zero", 1, 12),
        ("min(1)", "formula_function", 1, 1),
        ("min", "formula_function", 1, 1),
        ("min(*sessions)", "formula_syntax", 1, 5),
        ("round(1, sessions)", "formula_function", 1, 10),
        ("round(1, 99)", "formula_function", 1, 10),
        ("max(1, default=2)", "unknown_fact", 1, 8),
        ("(1", "formula_bracket", 1, 3),
        ("1)", "formula_bracket", 1, 2),
        ("'open", "formula_symbol", 1, 1),
        ("net_loss*0,10", "formula_syntax", 1, 11),
        ("f'{1}'", "unknown_fact", 1, 1),
        ("5 (3)", "formula_syntax", 1, 3),
        ("#", "formula_symbol", 1, 1),
        ("1 \\\n + 2", "formula_symbol", 1, 3),
        ("n\u0435t_loss", "unknown_fact", 1, 1),  # a Cyrillic letter
        ("\uff11 + 2", "formula_symbol", 1, 1),  # a full-width digit, which Python would read as 1
        ("net_loss \u00d7 2", "formula_symbol", 1, 10),
        ("\u202e1 + 2", "formula_symbol", 1, 1),  # text direction override
        ("1\u00a0+ 2", "formula_symbol", 1, 2),
        ("\x00", "formula_symbol", 1, 1),
    ],
)
def test_formula__outside_the_language__is_refused_with_its_position(text, code, line, column):
    problem = refused(text)
    assert (problem.code, problem.line, problem.column) == (code, line, column)
    assert problem.message
    assert problem.remedy


def test_formula__misspelt_fact__names_the_nearest():
    assert refused("net_los * 0.1").remedy == "Did you mean net_loss?"


@pytest.mark.parametrize(
    "text",
    [
        "(" * 400 + "1" + ")" * 90,
        "(" * 30 + "1" + ")" * 30,
        "-" * 450 + "1",
        "not " * 100 + "sessions > 1",
        "abs(" * 60 + "1" + ")" * 60,
        "+".join(["1"] * 250),
        "1 if 1 > 2 else " * 30 + "1",
        "1" + " < 1" * 120,
        "1" + " " * 500,
    ],
)
def test_formula__huge_or_deep__is_refused_at_once(text):
    with pytest.raises(RuleError):
        parse_amount(text)


def test_formula__at_the_limits__is_taken():
    depth = MAX_DEPTH
    assert scalar.number(parse_amount("(" * depth + "1" + ")" * depth), {}) == 1
    text = "1" + " " * (MAX_LENGTH - 1)
    assert len(text) == MAX_LENGTH
    assert scalar.number(parse_amount(text), {}) == 1


def test_formula__test_wanted_but_number_given__is_refused():
    assert refused("net_loss", parse_test).code == "formula_type"


# the two back ends

FACTS = ("net_loss", "total_wagered", "sessions", "days_since_last_play", "win_loss_ratio")
_small = st.sampled_from(["0", "1", "2", "3", "0.1", "0.29", "10", "99.99", "0.005", "1000000"])


def _numbers(inner):
    pairs = st.tuples(inner, inner)
    return st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda text: f"(-{text})"),
        inner.map(lambda text: f"abs({text})"),
        st.tuples(inner, st.integers(0, 3)).map(lambda t: f"round({t[0]}, {t[1]})"),
        st.tuples(st.sampled_from(["min", "max"]), inner, inner).map(lambda t: f"{t[0]}({t[1]}, {t[2]})"),
        st.tuples(pairs, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), pairs).map(
            lambda t: f"({t[0][0]} if {t[0][1]} {t[1]} {t[2][0]} else {t[2][1]})"
        ),
        st.tuples(inner, inner, st.sampled_from(["and", "or"]), inner, inner).map(
            lambda t: f"({t[0]} if ({t[0]} > {t[1]} {t[2]} not {t[3]} / {t[1]} <= {t[4]}) else {t[3]})"
        ),
        st.tuples(inner, inner).map(lambda t: f'({t[0]} if segment == "vip" else {t[1]})'),
    )


formulas = st.recursive(st.one_of(st.sampled_from(FACTS), _small), _numbers, max_leaves=6).filter(lambda text: len(text) <= 400)
_money = st.one_of(
    st.none(),
    st.just(Decimal(0)),
    st.decimals(min_value=0, max_value=10**6, places=4),
    st.decimals(min_value=0, max_value=9 * 10**14, places=4),
)
rows = st.lists(
    st.tuples(_money, _money, st.integers(0, 10**6), st.one_of(st.none(), st.integers(0, 400)),
              st.decimals(min_value=0, max_value=100, places=6), st.sampled_from(["VIP", "NEW", None])),
    min_size=1, max_size=8,
)  # fmt: skip


def _facts(values):
    names = (*FACTS, "segment")
    return {name: [row[i] for row in values] for i, name in enumerate(names)}


def _scalar(node, facts, row):
    values = {name: (column[row] if name == "segment" or column[row] is None else Decimal(column[row])) for name, column in facts.items()}
    try:
        return scalar.number(node, values)
    except scalar.NoValue as reason:
        return str(reason)


@settings(max_examples=400, deadline=None)
@given(formulas, rows)
def test_back_ends__any_formula_and_facts__give_the_same_value_or_reason(text, values):
    try:
        node = parse_amount(text)
    except RuleError:
        return  # a literal division by zero, or too deep
    facts = _facts(values)
    result = columns.number(node, table(**facts))
    for row in range(len(values)):
        status = 0 if result.status is None else int(result.status[row])
        by_column = columns.REASONS[status] if status else columns.to_fraction(result, row)
        assert by_column == _scalar(node, facts, row)


@settings(max_examples=200, deadline=None)
@given(formulas, rows, st.sampled_from(["DOWN", "HALF_UP", "HALF_EVEN"]))
def test_back_ends__rounding_to_the_minor_unit__is_the_same(text, values, mode):
    try:
        node = parse_amount(text)
    except RuleError:
        return
    facts = _facts(values)
    result = columns.number(node, table(**facts))
    places = np.array([(0, 2, 3)[i % 3] for i in range(len(values))], dtype=np.int8)
    rounded = columns.round_to_minor(result, places, mode)
    for row in range(len(values)):
        exact = _scalar(node, facts, row)
        if isinstance(exact, Fraction) and exact > 0:
            assert int(rounded[row]) == scalar.round_to_minor(exact, int(places[row]), mode)


@pytest.mark.parametrize(
    ("amount", "mode", "minor"),
    [("0.125", "DOWN", 12), ("0.125", "HALF_UP", 13), ("0.125", "HALF_EVEN", 12), ("0.135", "HALF_EVEN", 14), ("0.1251", "HALF_EVEN", 13),
     ("0.999", "DOWN", 99), ("0.29", "DOWN", 29)],
)  # fmt: skip
def test_rounding__each_mode__gives_the_hand_computed_cents(amount, mode, minor):
    assert scalar.round_to_minor(Fraction(amount), 2, mode) == minor
    node = columns.number(parse_amount(amount), table(sessions=[1]))
    assert int(columns.round_to_minor(node, np.array([2], dtype=np.int8), mode)[0]) == minor
