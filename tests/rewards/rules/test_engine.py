"""Amounts to the cent, worked by hand, and traces that say the same as the evaluation."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.rules.engine import BELOW_MINIMUM, NOT_POSITIVE, compile_rule, evaluate, trace
from rewards.rules.problems import RuleError
from tests.rewards.rules.tables import table

CASHBACK = {
    "type": "BONUS_BALANCE",
    "formula": "net_loss * 0.10",
    "max_amount": 500,
    "wagering_requirement": 10,
    "expiry_hours": 48,
    "eligible_games": ["slots", "roulette"],
}
REFERENCE = {"segment": "LOSING", "net_loss_min": 100, "session_count_min": 3}


def reward(formula, **changes):
    return {"type": "BONUS_BALANCE", "formula": formula, "expiry_hours": 24} | changes


def amounts(formula, facts, conditions=None, **changes):
    return evaluate(compile_rule(conditions or {}, reward(formula, **changes)), facts).amounts


def test_reference_rule__losing_players__get_ten_per_cent_up_to_the_maximum():
    facts = table(
        segment=["LOSING", "LOSING", "LOSING", "WINNING", "LOSING"],
        net_loss=["100", "7000", "99.99", "500", "123.45"],
        sessions=[3, 40, 9, 9, 2],
    )
    found = evaluate(compile_rule(REFERENCE, CASHBACK), facts)
    assert found.player_ids.tolist() == [1, 2]
    assert found.amounts == [Decimal("10.00"), Decimal("500.00")]
    assert found.matched == 2
    assert found.without_amount == {}


def test_compiled_rule__facts__include_the_currency_that_decides_the_cents():
    rule = compile_rule(REFERENCE, CASHBACK)
    assert rule.fact_names == {"segment", "net_loss", "sessions", "currency"}
    assert rule.reward.wagering_requirement == 10
    assert rule.reward.eligible_games == ("slots", "roulette")
    assert rule.reward.rounding == "DOWN"


def test_amounts__rate_that_binary_floats_miss__are_exact():
    """0.29 x 100 is 28.999... in binary floats, which cut down gives 28.99."""
    facts = table(net_loss=[str(n) for n in range(100, 2000, 100)])
    assert int(100 * 0.29 * 100) == 2899
    assert amounts("net_loss * 0.29", facts) == [Decimal(29 * n) for n in range(1, 20)]


def test_amounts__every_cent_value_at_rate_029__equal_integer_arithmetic():
    facts = table(net_loss=[f"{cents / 100:.2f}" for cents in range(4, 3000)])
    assert amounts("net_loss * 0.29", facts) == [Decimal(cents * 29 // 100).scaleb(-2) for cents in range(4, 3000)]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("DOWN", ["0.10", "0.12", "0.13"]), ("HALF_UP", ["0.11", "0.13", "0.14"]), ("HALF_EVEN", ["0.10", "0.12", "0.14"])],
)
def test_amounts__halves_of_a_cent__follow_the_rounding_mode(mode, expected):
    facts = table(net_loss=["1.05", "1.25", "1.35"])
    assert amounts("net_loss * 0.1", facts, rounding=mode) == [Decimal(one) for one in expected]


def test_amounts__currencies__are_cut_to_their_own_minor_unit():
    facts = table(net_loss=["1234.5678"] * 3, currency=["EUR", "JPY", "KWD"])
    assert amounts("net_loss * 1", facts) == [Decimal("1234.56"), Decimal("1234"), Decimal("1234.567")]
    assert amounts("net_loss * 1", facts, max_amount="99.99") == [Decimal("99.99"), Decimal("99"), Decimal("99.990")]


@pytest.mark.parametrize(
    ("kind", "expected"), [("LOYALTY_POINTS", "12.34"), ("REWARD_POINTS", "12.34"), ("TICKETS", "12"), ("LP", "12.34")]
)
def test_amounts__points_and_tickets__have_their_own_places(kind, expected):
    facts = table(net_loss=["1234.5678"], currency=["JPY"])
    rule = compile_rule({}, {"type": kind, "formula": "net_loss / 100"})
    assert evaluate(rule, facts).amounts == [Decimal(expected)]


def test_amounts__rounding_up_at_the_maximum__stays_at_the_maximum():
    assert amounts("net_loss * 1", table(net_loss=["9.999"]), rounding="HALF_UP", max_amount="9.99") == [Decimal("9.99")]


def test_amounts__without_one__say_why():
    facts = table(net_loss=["10", "0", "5", "4.99", "1"], sessions=[0, 1, 1, 1, 1], days_since_last_play=[1, 1, None, 1, 1])
    rule = compile_rule({}, reward("net_loss / sessions + 0 * days_since_last_play", min_amount=2))
    found = evaluate(rule, facts)
    assert found.player_ids.tolist() == [4]
    assert found.amounts == [Decimal("4.99")]
    assert found.matched == 5
    assert found.without_amount == {"division by zero": 1, "missing fact": 1, NOT_POSITIVE: 1, BELOW_MINIMUM: 1}
    verdicts = [trace(rule, facts, row).formula.verdict for row in range(5)]
    assert verdicts == ["division by zero", NOT_POSITIVE, "missing fact", "given", BELOW_MINIMUM]


def test_amounts__negative_result__gives_nothing():
    assert amounts("0 - net_loss", table(net_loss=["10"])) == []


def test_amounts__too_large_to_pay__give_nothing():
    facts = table(net_loss=["900000000000000"])
    found = evaluate(compile_rule({}, reward("net_loss * net_loss")), facts)
    assert found.amounts == []
    assert found.without_amount == {"amount is too large to be paid": 1}


def test_amounts__if_else_over_segments__pick_the_rate():
    facts = table(net_loss=["100", "100"], segment=["VIP", "LOSING"])
    assert amounts('net_loss * (0.2 if segment == "VIP" else 0.1)', facts) == [Decimal("20.00"), Decimal("10.00")]


def test_currency_of_a_rule__other_currencies__do_not_match():
    facts = table(net_loss=["100", "100"], currency=["EUR", "GBP"])
    rule = compile_rule({}, reward("net_loss * 0.1", currency="gbp"))
    assert evaluate(rule, facts).player_ids.tolist() == [2]
    (finding,) = trace(rule, facts, 0).conditions
    assert (finding.fact, finding.expected, finding.actual, finding.verdict) == ("currency", "GBP", "EUR", False)


def test_evaluation__empty_table__gives_nothing():
    facts = table(net_loss=["1"]).take(slice(0, 0))
    assert evaluate(compile_rule({}, reward("net_loss / 3", max_amount=5, min_amount=1)), facts).amounts == []


def test_evaluation__fact_not_loaded__is_named():
    with pytest.raises(KeyError, match="sessions"):
        evaluate(compile_rule({}, reward("sessions * 1")), table(net_loss=["1"]))


def test_compiling__does_not_change_what_it_was_given():
    config = reward(5)
    assert compile_rule({}, config).reward.formula == "5"
    assert config["formula"] == 5


@pytest.mark.parametrize(
    ("changes", "code", "place"),
    [
        ({"type": "BONUS_BALNCE"}, "reward_type", "reward_config.type"),
        ({"max_ammount": 5}, "unknown_key", "reward_config.max_ammount"),
        ({"max_amount": -1}, "reward_number", "reward_config.max_amount"),
        ({"max_amount": "1.005"}, "reward_places", "reward_config.max_amount"),
        ({"max_amount": 5, "min_amount": 6}, "reward_bounds", "reward_config.min_amount"),
        ({"expiry_hours": None}, "reward_expiry", "reward_config.expiry_hours"),
        ({"expiry_hours": 1.5}, "reward_expiry", "reward_config.expiry_hours"),
        ({"eligible_games": "slots"}, "reward_games", "reward_config.eligible_games"),
        ({"currency": "EURO"}, "reward_currency", "reward_config.currency"),
        ({"rounding": "UP"}, "reward_rounding", "reward_config.rounding"),
        ({"wagering_requirement": float("inf")}, "reward_number", "reward_config.wagering_requirement"),
        ({"wagering_requirement": 1001}, "reward_wagering", "reward_config.wagering_requirement"),
        ({"wagering_requirement": "2.125"}, "reward_wagering", "reward_config.wagering_requirement"),
        ({"max_bet": "0.001"}, "reward_places", "reward_config.max_bet"),
        ({"max_bet": "0.5", "currency": "JPY"}, "reward_places", "reward_config.max_bet"),
    ],
)
def test_reward__wrong_setting__is_refused_with_its_place(changes, code, place):
    with pytest.raises(RuleError) as caught:
        compile_rule({}, reward("5") | changes)
    (problem,) = caught.value.problems
    assert (problem.code, problem.place) == (code, place)
    assert problem.remedy


# traces


def test_trace__matching_player__shows_inputs_steps_and_amount():
    facts = table(segment=["LOSING"], net_loss=["7000.005"], sessions=[3])
    found = trace(compile_rule(REFERENCE, CASHBACK), facts, 0)
    assert found.matched
    assert [(one.fact, one.actual, one.verdict) for one in found.conditions] == [
        ("segment", "LOSING", True), ("net_loss", Decimal("7000.0050"), True), ("sessions", Decimal(3), True),
    ]  # fmt: skip
    assert found.formula.inputs == {"net_loss": Decimal("7000.005")}
    assert found.formula.result == Decimal("700.0005")
    assert found.formula.steps == ("rounded DOWN to 2 decimal places: 700.00", "cut to the maximum of 500.00")
    assert (found.formula.verdict, found.formula.unit, found.amount) == ("given", "EUR", Decimal("500.00"))
    shown = found.to_json()
    assert shown["amount"] == "500.00"
    assert shown["conditions"][1]["expected"] == "100"


def test_trace__player_that_does_not_match__has_no_formula():
    found = trace(compile_rule(REFERENCE, CASHBACK), table(segment=["VIP"], net_loss=["7000"], sessions=[3]), 0)
    assert (found.matched, found.formula, found.amount) == (False, None, None)
    assert [one.verdict for one in found.conditions] == [False, True, True]


_FORMULAS = ["net_loss * 0.29", "net_loss / sessions", "min(net_loss, 3.005) / 3", "round(net_loss / 7, 1) * 0.5",
             "net_loss * net_loss * net_loss", "0 - net_loss", "days_since_last_play * 0.125"]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(_FORMULAS),
    st.sampled_from(["DOWN", "HALF_UP", "HALF_EVEN"]),
    st.one_of(st.none(), st.sampled_from(["1", "2.50", "100"])),
    st.one_of(st.none(), st.sampled_from(["0.50", "1"])),
    st.lists(
        st.tuples(st.decimals(0, 10**6, places=4), st.integers(0, 9), st.one_of(st.none(), st.integers(0, 99)),
                  st.sampled_from(["EUR", "JPY", "KWD"])),
        min_size=1, max_size=6,
    ),
)  # fmt: skip
def test_trace__any_rule_and_player__gives_the_evaluated_amount(formula, mode, highest, lowest, rows):
    facts = table(
        net_loss=[row[0] for row in rows], sessions=[row[1] for row in rows], days_since_last_play=[row[2] for row in rows],
        currency=[row[3] for row in rows],
    )  # fmt: skip
    rule = compile_rule({"sessions_max": 7}, reward(formula, rounding=mode, max_amount=highest, min_amount=lowest))
    found = evaluate(rule, facts)
    by_player = dict(zip(found.player_ids.tolist(), found.amounts, strict=True))
    explained = [trace(rule, facts, row) for row in range(len(rows))]
    assert {one.player_id: one.amount for one in explained if one.amount is not None} == by_player
    assert sum(one.matched for one in explained) == found.matched
    reasons = [one.formula.verdict for one in explained if one.formula and one.amount is None]
    assert {reason: reasons.count(reason) for reason in set(reasons)} == dict(found.without_amount)
