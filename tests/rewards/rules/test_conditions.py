"""Conditions: reading them, evaluating them over columns, and the same verdicts explained for one player."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.rules.conditions import explain, mask, names_in, parse_conditions
from rewards.rules.problems import RuleError
from tests.rewards.rules.tables import table


def matches(conditions, facts):
    return mask(parse_conditions(conditions), facts).tolist()


def problems(conditions):
    with pytest.raises(RuleError) as caught:
        parse_conditions(conditions)
    return caught.value.problems


PLAYERS = table(
    segment=["LOSING", "LOSING", "VIP", "NEW"],
    net_loss=["99.9999", "100", "100.0001", "0"],
    sessions=[2, 3, 4, 0],
    days_since_last_play=[14, 3, None, None],
    tier=["Gold", None, "Platinum", "Bronze"],
    birthday_today=[True, False, None, False],
    last_play_on=["2026-03-01", "2026-03-12", None, None],
)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, [1, 1, 1, 1]),
        ({"segment": "LOSING", "net_loss_min": 100, "session_count_min": 3}, [0, 1, 0, 0]),
        ({"net_loss_min": 100}, [0, 1, 1, 0]),
        ({"net_loss_max": 100}, [1, 1, 0, 1]),
        ({"net_loss_min": "100.00005"}, [0, 0, 1, 0]),
        ({"net_loss_max": 99.99994}, [1, 0, 0, 1]),
        ({"sessions_min": 2.5}, [0, 1, 1, 0]),
        ({"sessions_max": 2.5}, [1, 0, 0, 1]),
        ({"sessions": 3}, [0, 1, 0, 0]),
        ({"sessions": 2.5}, [0, 0, 0, 0]),
        ({"sessions": [2, 4, 7.5]}, [1, 0, 1, 0]),
        ({"sessions_not": [2, 4]}, [0, 1, 0, 1]),
        ({"segment": ["vip", "New"]}, [0, 0, 1, 1]),
        ({"segment_not": "VIP"}, [1, 1, 0, 1]),
        ({"tier": "GOLD"}, [1, 0, 0, 0]),
        ({"tier_not": ["gold", "bronze"]}, [0, 0, 1, 0]),
        ({"days_since_last_play_min": 7}, [1, 0, 0, 0]),
        ({"days_since_last_play_max": 7}, [0, 1, 0, 0]),
        ({"fact": "days_since_last_play", "op": "missing"}, [0, 0, 1, 1]),
        ({"fact": "tier", "op": "present"}, [1, 0, 1, 1]),
        ({"not": {"days_since_last_play_min": 7}}, [0, 1, 1, 1]),
        ({"birthday_today": True}, [1, 0, 0, 0]),
        ({"birthday_today": False}, [0, 1, 0, 1]),
        ({"last_play_on_min": "2026-03-12"}, [0, 1, 0, 0]),
        ({"fact": "last_play_on", "op": "==", "value": "2026-03-01"}, [1, 0, 0, 0]),
        ({"fact": "sessions", "op": "between", "value": [2, 3]}, [1, 1, 0, 0]),
        ({"fact": "net_loss", "op": ">", "value": 100}, [0, 0, 1, 0]),
        ({"fact": "net_loss", "op": "<", "value": "100.00001"}, [1, 1, 0, 1]),
        ({"net_loss_max": 999999999999999}, [1, 1, 1, 1]),
        ({"net_loss_min": -999999999999999}, [1, 1, 1, 1]),
        ({"any": [{"segment": "VIP"}, {"sessions_max": 2, "net_loss_min": 1}]}, [1, 0, 1, 0]),
        ({"all": [{"any": [{"segment": "VIP"}, {"segment": "NEW"}]}, {"not": {"sessions": 0}}]}, [0, 0, 1, 0]),
        ({"formula": "net_loss > 40 * sessions"}, [1, 0, 0, 0]),
        ({"formula": "net_loss / sessions > 25"}, [1, 1, 1, 0]),
    ],
)
def test_conditions__each_form__picks_the_right_players(conditions, expected):
    assert matches(conditions, PLAYERS) == [bool(one) for one in expected]


@pytest.mark.parametrize(
    ("conditions", "code", "place", "remedy"),
    [
        ([], "conditions_type", "conditions", 'Write {"fact": value, ...}.'),
        ({"net_los_min": 3}, "unknown_fact", "conditions.net_los_min", "Did you mean net_loss_min?"),
        ({"sesions": 3}, "unknown_fact", "conditions.sesions", "Did you mean sessions?"),
        ({"segment": "LOSNG"}, "unknown_value", "conditions.segment", "Did you mean LOSING?"),
        ({"segment": []}, "conditions_value", "conditions.segment", 'Write ["one", "two"]; at most 1000.'),
        ({"tier_min": "Gold"}, "conditions_operator", "conditions.tier_min", 'Compare the rank: "tier_rank_min": 2.'),
        ({"sessions_min": "many"}, "conditions_value", "conditions.sessions_min", "Write a finite number with at most 15 digits."),
        ({"sessions_min": float("nan")}, "conditions_value", "conditions.sessions_min", "Write a finite number with at most 15 digits."),
        ({"sessions_min": True}, "conditions_value", "conditions.sessions_min", "Write a finite number with at most 15 digits."),
        ({"sessions_min": None}, "conditions_value", "conditions.sessions_min",
         'To ask for players without a value: {"fact": "sessions", "op": "missing"}.'),
        ({"birthday_today": "yes"}, "conditions_value", "conditions.birthday_today", "Write true or false."),
        ({"last_play_on": "01.03.2026"}, "conditions_value", "conditions.last_play_on", "Write a day (YYYY-MM-DD)."),
        ({"any": []}, "conditions_group", "conditions.any", 'Write "any": [{...}, {...}].'),
        ({"any": [{"tier": "x"}, 5]}, "conditions_type", "conditions.any[1]", 'Write {"fact": value, ...}.'),
        ({"fact": "tier", "op": "~", "value": 1}, "conditions_operator", "conditions.op",
         "The operators are ==, !=, >=, <=, >, <, in, not in, between, present, missing."),
        ({"fact": "tier", "op": "=="}, "conditions_value", "conditions", 'Add "value": ...'),
        ({"fact": "tier", "op": "==", "value": "x", "sessions": 3}, "conditions_key", "conditions", "Put it in an object of its own."),
        ({"formula": "net_loss >"}, "formula_syntax", "conditions.formula, column 11", "Add a number or a fact."),
    ],
)  # fmt: skip
def test_conditions__wrong__say_where_and_what_to_do(conditions, code, place, remedy):
    (problem,) = problems(conditions)
    assert (problem.code, problem.place, problem.remedy) == (code, place, remedy)


def test_conditions__several_errors__are_all_reported():
    assert [one.code for one in problems({"a": 1, "any": [{"segment": "X"}], "formula": "("})] == [
        "unknown_fact", "unknown_value", "formula_syntax",
    ]  # fmt: skip


def test_conditions__nested_without_end__are_refused():
    deep: dict = {"sessions": 1}
    for _ in range(50):
        deep = {"not": deep}
    assert [one.code for one in problems(deep)] == ["conditions_deep"]


def test_conditions__too_many__are_refused():
    assert [one.code for one in problems({"all": [{"sessions": 1}] * 201})] == ["conditions_many"]


def test_conditions__facts_used__are_named():
    tree = parse_conditions({"segment": "VIP", "any": [{"tier": "Gold"}, {"formula": "net_loss > sessions"}]})
    assert names_in(tree) == {"segment", "tier", "net_loss", "sessions"}


def test_explanation__player_that_fails__shows_every_comparison_with_its_value():
    tree = parse_conditions({"segment": "LOSING", "any": [{"sessions_min": 5}, {"days_since_last_play_min": 7}]})
    holds, findings = explain(tree, {"segment": "LOSING", "sessions": Decimal(4), "days_since_last_play": None})
    assert not holds
    assert [(f.fact, f.operator, f.expected, f.actual, f.verdict, f.depth) for f in findings] == [
        ("segment", "==", "LOSING", "LOSING", True, 1),
        ("", "at least one of", None, None, False, 1),
        ("sessions", ">=", Decimal(5), Decimal(4), False, 2),
        ("days_since_last_play", ">=", Decimal(7), None, False, 2),
    ]
    assert findings[3].note == "the player has no days_since_last_play, so the comparison does not hold"
    assert findings[3].path == "conditions.any[1].days_since_last_play_min"


_leaf = st.one_of(
    st.builds(lambda v, k: {k: v}, st.decimals(-2, 5, places=1).map(float), st.sampled_from(["sessions_min", "sessions_max", "sessions"])),
    st.builds(lambda v: {"segment": v}, st.sampled_from(["VIP", "NEW", ["LOSING", "VIP"]])),
    st.builds(lambda v: {"tier_not": v}, st.sampled_from(["Gold", "none"])),
    st.builds(lambda v, k: {k: v}, st.integers(0, 20), st.sampled_from(["days_since_last_play_min", "days_since_last_play_max"])),
    st.just({"fact": "days_since_last_play", "op": "missing"}),
    st.sampled_from([{"formula": "net_loss / sessions > 25"}, {"formula": "days_since_last_play > 3 or sessions > 2"},
                     {"formula": 'sessions > 2 and tier == "Gold"'}]),
)  # fmt: skip
_trees = st.recursive(
    _leaf,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"all": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts}),
        inner.map(lambda part: {"not": part}),
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(_trees)
def test_conditions__any_tree__columns_and_explanation_agree(conditions):
    tree = parse_conditions(conditions)
    by_column = mask(tree, PLAYERS)
    for row in range(len(PLAYERS)):
        values = {name: PLAYERS.value(name, row) for name in PLAYERS.columns}
        assert explain(tree, values)[0] == bool(by_column[row])


def test_conditions__empty_table__gives_an_empty_mask():
    empty = PLAYERS.take(np.zeros(0, dtype=np.int64))
    assert matches({"segment": "VIP", "sessions": [1, 2], "formula": "net_loss / sessions > 1"}, empty) == []


def test_parse__empty_value__is_named_without_a_gap():
    assert problems({"sessions_min": None})[0].message == "sessions needs a number, not an empty value."
