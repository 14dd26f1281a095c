"""Findings about a whole rule: positions in the typed text, and warnings about rules that cost money or never pay."""

import pytest

from rewards.rules import jsontext
from rewards.rules.lint import RuleDraft, review
from rewards.rules.problems import RuleError

GOOD = """{"type": "BONUS_BALANCE", "formula": "net_loss_7d * 0.10", "max_amount": 500, "expiry_hours": 48,
 "wagering_requirement": 10, "currency": "EUR"}"""
COUNT = "a number of things"


def draft(conditions='{"segment": "LOSING"}', reward=GOOD, **settings):
    return review(RuleDraft(conditions, reward, **({"period": "WEEK", "cooldown_hours": 168} | settings)))


def points(formula, **reward):
    return {"type": "LOYALTY_POINTS", "formula": formula, "max_amount": 500} | reward


def codes(found):
    return [problem.code for problem in found.problems]


def test_review__good_rule__has_nothing_to_say():
    found = draft()
    assert found.problems == ()
    assert found.rule is not None


def test_review__errors_in_json_text__have_line_and_column():
    found = draft('{\n  "segment": "LOSNG",\n  "any": [\n    {"net_los_min": 5}\n  ]\n}')
    assert [(p.code, p.line, p.column) for p in found.problems] == [("unknown_value", 2, 3), ("unknown_fact", 4, 6)]
    assert str(found.problems[1]) == (
        "conditions.any[0].net_los_min, line 4 column 6: There is no fact named net_los. Did you mean net_loss_min?"
    )
    assert found.rule is None


def test_review__error_in_the_formula__has_its_position_in_the_formula():
    found = draft(reward='{"type": "LP",\n "formula": "sessions * net_los"}')
    (problem,) = found.problems
    assert (problem.where, problem.line, problem.column) == ("formula", 1, 12)


@pytest.mark.parametrize(
    ("text", "code", "line", "column"),
    [
        ("", "json_syntax", 1, 1),
        ("{", "json_syntax", 1, 2),
        ('{"a": 1,}', "json_syntax", 1, 9),
        ('{"a": 1\n "b": 2}', "json_syntax", 2, 2),
        ("{'a': 1}", "json_syntax", 1, 2),
        ('{"a": 1, "a": 2}', "json_twice", 1, 10),
        ('{"a": NaN}', "json_syntax", 1, 7),
        ('{"a": 1e99}', "json_number", 1, 7),
        ('{"a": ' + "9" * 5000 + "}", "json_number", 1, 7),
        ('{"a": "x}', "json_syntax", 1, 7),
        ("{} {}", "json_syntax", 1, 4),
        ("[" * 100, "json_deep", 1, 62),
        (" " * 100_001, "json_long", 1, 1),
    ],
)
def test_json__wrong_text__is_refused_with_its_position(text, code, line, column):
    with pytest.raises(RuleError) as caught:
        jsontext.parse(text, "conditions")
    (problem,) = caught.value.problems
    assert (problem.code, problem.line, problem.column) == (code, line, column)


def test_json__fractions__stay_exact():
    value, positions = jsontext.parse('{"a": [0.1, -2, true, null, "\\u00e9"]}', "conditions")
    assert str(value["a"][0]) == "0.1"
    assert value["a"][1:] == [-2, True, None, "é"]
    assert positions[("a", 2)] == 16


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"net_loss_min": 500, "net_loss_max": 100}, "net_loss cannot be at least 500 and at most 100: the least is above the most."),
        ({"all": [{"sessions_min": 5}], "sessions_max": 4}, "sessions cannot be at least 5 and at most 4: the least is above the most."),
        ({"sessions_max": -1}, "sessions is never below 0."),
        ({"sessions": 3, "all": [{"session_count": 4}]}, "sessions cannot have two values at once."),
        ({"segment": "VIP", "all": [{"segment": "NEW"}]}, "No player's segment can be all of these at once."),
        ({"segment": "VIP", "segment_not": ["vip", "NEW"]}, "No player's segment can be all of these at once."),
        ({"last_play_on_min": "2026-02-01", "last_play_on_max": "2026-01-01"},
         "last_play_on cannot be at least 2026-02-01 and at most 2026-01-01: the least is above the most."),
        ({"any": [{"sessions_min": 5, "sessions_max": 4}]}, "sessions cannot be at least 5 and at most 4: the least is above the most."),
        ({"all": [{"fact": "tier", "op": "missing"}, {"tier": "Gold"}]}, "tier cannot be missing and have a value."),
    ],
)  # fmt: skip
def test_review__conditions_nobody_can_fulfil__are_reported(conditions, message):
    found = draft(conditions)
    assert codes(found) == ["never_true"]
    assert found.problems[0].message == f"{message} No player can match."
    assert found.rule is not None


@pytest.mark.parametrize("conditions", [{"net_loss_min": 5, "net_loss_max": 5}, {"any": [{"sessions_max": 2}, {"sessions_min": 5}]}])
def test_review__conditions_somebody_can_fulfil__are_not_reported(conditions):
    assert codes(draft(conditions)) == []


def test_review__no_conditions__warns_that_everybody_matches():
    assert codes(draft({})) == ["no_conditions"]


def test_review__threshold_that_always_holds__warns():
    assert codes(draft({"segment": "VIP", "sessions_min": 0})) == ["always_true"]


def test_review__comparison_with_a_missing_fact_under_not__warns():
    assert codes(draft({"not": {"days_since_last_play_max": 7}})) == ["missing_under_not"]


@pytest.mark.parametrize(
    ("formula", "message", "column"),
    [
        ("net_loss_7d + sessions_7d", f"This adds money and {COUNT} (net_loss_7d is money, sessions_7d is {COUNT}).", 1),
        ("5 * (net_loss_7d - days_since_last_play)",
         "This subtracts money and days (net_loss_7d is money, days_since_last_play is days).", 6),
        ("5 if days_since_last_play > net_loss_7d else 1",
         "This compares days and money (days_since_last_play is days, net_loss_7d is money).", 6),
        ("net_loss_7d * wagered_7d", "This multiplies money by money.", 1),
        ("min(net_loss_7d, sessions_7d)", f"This compares money and {COUNT} (net_loss_7d is money, sessions_7d is {COUNT}).", 1),
    ],
)  # fmt: skip
def test_review__units_that_do_not_fit__warn(formula, message, column):
    (problem,) = draft(reward=points(formula)).problems
    assert (problem.code, problem.message, problem.column) == ("units", message, column)


@pytest.mark.parametrize(
    "formula",
    ["net_loss_7d * 0.1 + 5", "min(net_loss_7d, 50)", "sessions_7d * 0.5", "net_loss_7d / wagered_7d * 10",
     "net_loss_7d * win_loss_ratio + 1",
     "avg_bet_size * sessions_7d + net_loss_7d", "net_loss_7d * tier_cashback_multiplier * 0.1 - wagered_7d * 0.001"],
)  # fmt: skip
def test_review__units_that_fit__say_nothing(formula):
    assert codes(draft(reward=points(formula))) == []


def test_review__amount_without_limit__warns():
    reward = {"type": "LOYALTY_POINTS", "formula": "net_loss_7d * 0.1"}
    assert codes(draft(reward=reward)) == ["unbounded"]
    assert codes(draft(reward=reward | {"formula": "min(net_loss_7d * 0.1, 50)"})) == []
    assert codes(draft(reward=reward | {"formula": "25 if sessions_7d > 3 else 2 * 5"})) == []


def test_review__lifetime_fact_in_a_repeating_rule__warns_with_the_window_to_use():
    found = draft(reward=points("min(net_loss * 0.1, 50)"))
    (problem,) = found.problems
    assert problem.message == "net_loss counts since registration: each repetition pays again for the same loss."
    assert problem.remedy == "Use net_loss_1d or net_loss_7d or net_loss_30d, or the period ONCE."
    assert (problem.line, problem.column) == (1, 5)
    assert codes(draft(reward=points("net_loss * 0.1"), period="ONCE")) == []
    assert codes(draft(reward=points("10 if net_loss > 100 else 5"))) == []
    (deposits,) = draft(reward=points("total_deposited * 0.1")).problems
    assert deposits.remedy == "Use deposited_7d or deposited_30d, or the period ONCE."


def test_review__windows_that_overlap__warn_unless_the_cooldown_covers_them():
    reward = points("net_loss_7d * 0.1")
    (problem,) = draft(reward=reward, cooldown_hours=0).problems
    assert (problem.code, problem.remedy) == ("window_overlaps", "Set the cooldown to 168 hours or more.")
    assert codes(draft(reward=reward, cooldown_hours=168)) == []
    assert codes(draft(reward=points("net_loss_1d * 0.1"), period="DAY", cooldown_hours=0)) == []


def test_review__formula_that_never_pays__warns():
    assert codes(draft(reward=points("min(net_loss_7d, 0)"))) == ["never_positive"]
    assert codes(draft(reward=points("min(net_loss_7d, 5)", min_amount=10))) == ["never_positive"]


def test_review__bonus_settings_on_points__warn():
    assert codes(draft(reward=points("5", wagering_requirement=10))) == ["not_for_type"]


def test_review__values_the_operator_does_not_have__warn_with_the_nearest():
    known = {"tier": ["Gold", "Silver"], "eligible_games": ["slots", "roulette"], "currency": ["EUR"]}
    reward = {"type": "BONUS_BALANCE", "formula": "5", "expiry_hours": 24, "wagering_requirement": 5, "eligible_games": ["slotz"]}
    found = draft({"tier": ["gold", "Sliver"]}, reward, known_values=known)
    assert [(p.code, p.place, p.remedy) for p in found.problems] == [
        ("unknown_value", "conditions.tier", "Did you mean Silver?"),
        ("unknown_value", "reward_config.eligible_games[0]", "Did you mean slots?"),
    ]


def test_review__currency_of_no_player__warns():
    reward = {"type": "BONUS_BALANCE", "formula": "5", "expiry_hours": 24, "wagering_requirement": 5, "currency": "XXX"}
    found = draft({"segment": "VIP"}, reward, known_values={"currency": ["EUR", "GBP"]})
    assert [(p.code, p.place, p.remedy) for p in found.problems] == [
        ("unknown_value", "reward_config.currency", "Players have EUR, GBP."),
    ]


def test_review__bonus_without_wagering_or_currency__warns():
    reward = {"type": "BONUS_BALANCE", "formula": "5", "expiry_hours": 24, "max_amount": 5}
    assert codes(draft(reward=reward)) == ["no_wagering", "many_currencies"]
    assert codes(draft(reward=reward, known_values={"currency": ["EUR"]})) == ["no_wagering"]
