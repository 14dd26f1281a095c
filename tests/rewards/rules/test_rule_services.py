"""Saving, versions, roll back, switching, and trying a rule; a refused change leaves everything as it was."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from loyalty_site.common.models import AuditEvent
from players.models import Jurisdiction, JurisdictionPack
from rewards.models import RewardRule, RuleVersion
from rewards.rule_services import (
    Caller,
    Change,
    RuleContent,
    RuleHeader,
    RuleRefused,
    check_content,
    compile_version,
    diff_versions,
    forget_known_values,
    roll_back,
    save_rule,
    set_active,
)
from rewards.rule_testing import UnknownPlayer, try_on_all, try_on_player
from rewards.rules.problems import RuleError
from rewards.services import evaluate_for
from tests.factories import PlayerFactory, PlayerMetricsFactory, UserFactory

pytestmark = pytest.mark.django_db

HEADER = RuleHeader("Cashback", priority=10)
CONTENT = RuleContent(
    conditions='{"segment": "LOSING", "net_loss_7d_min": 99.90}',
    reward_config={"type": "BONUS_BALANCE", "formula": "net_loss_7d * 0.10", "max_amount": 500, "wagering_requirement": 10,
                   "expiry_hours": 48, "currency": "EUR"},
    period="WEEK",
    cooldown_hours=168,
    total_budget=Decimal("1000.00"),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _fresh_known_values():
    forget_known_values()


@pytest.fixture
def caller():
    return Caller(actor=UserFactory(), reason="Spring programme")


@pytest.fixture
def saved(now, caller):
    return save_rule("CASHBACK", HEADER, CONTENT, at=now, caller=caller)


def changed(**changes):
    return replace(CONTENT, reward_config=CONTENT.reward_config | changes)


def test_save__new_rule__is_inactive_with_version_one_history_and_audit(saved, now, caller):
    rule = RewardRule.objects.get(rule_id="CASHBACK")
    assert (saved.created, saved.new_version, saved.warnings) == (True, True, ())
    assert (rule.is_active, rule.priority, rule.current_version, rule.created_at) == (False, 10, saved.version, now)
    assert (saved.version.number, saved.version.created_by, saved.version.note) == (1, caller.actor, "Spring programme")
    assert saved.version.conditions == {"segment": "LOSING", "net_loss_7d_min": 99.9}
    event = AuditEvent.objects.get()
    assert (event.action, event.actor, event.reason, event.subject_id) == (
        "rewards.rule_created", caller.actor, "Spring programme", str(rule.pk),
    )  # fmt: skip
    assert event.after["reward_config"]["max_amount"] == 500
    (entry,) = rule.history.all()
    assert (entry.history_user, entry.history_change_reason, entry.history_date) == (caller.actor, "Spring programme", now)


def test_save__same_again__changes_nothing(saved, now, caller):
    again = save_rule("CASHBACK", HEADER, CONTENT, at=now + timedelta(hours=1), caller=caller)
    assert (again.created, again.new_version, again.version) == (False, False, saved.version)
    assert AuditEvent.objects.count() == 1
    assert RuleVersion.objects.count() == 1


def test_save__other_header__makes_no_version(saved, now, caller):
    again = save_rule("CASHBACK", replace(HEADER, priority=20), CONTENT, at=now, caller=caller)
    assert (again.new_version, again.rule.priority) == (False, 20)
    assert AuditEvent.objects.first().before["priority"] == 10


def test_save__other_content__makes_the_next_version_and_keeps_the_old(saved, now, caller):
    again = save_rule("CASHBACK", HEADER, changed(max_amount=400), at=now, caller=caller)
    assert (again.new_version, again.version.number, again.rule.current_version) == (True, 2, again.version)
    assert RuleVersion.objects.get(number=1).reward_config["max_amount"] == 500
    assert diff_versions(saved.version, again.version) == [Change("reward_config.max_amount", 500, 400)]


def test_save__points_on_terms_of_a_bonus__warns_and_can_be_granted(now, caller):
    market = Jurisdiction.objects.create(code="MT", name="Malta", countries=["MT"])
    JurisdictionPack.objects.create(jurisdiction=market, valid_from="2020-01-01")
    player = PlayerFactory(jurisdiction=market)
    PlayerMetricsFactory(player=player, as_of=now)
    terms = {"wagering_requirement": 10, "expiry_hours": 48, "max_bet": 5, "eligible_games": ["slots"]}
    content = RuleContent(conditions={}, reward_config={"type": "LP", "formula": "25", "max_amount": 25, **terms})
    saved = save_rule("points", HEADER, content, at=now, caller=caller)
    assert [warning.code for warning in saved.warnings if warning.code == "not_for_type"] == ["not_for_type"] * 4
    assert saved.version.reward_config == {"type": "LOYALTY_POINTS", "formula": "25", "max_amount": 25}
    assert not save_rule("points", HEADER, content, at=now, caller=caller).new_version
    set_active(saved.rule, True, at=now, caller=caller)
    result = evaluate_for([player.pk], now)
    assert (result.proposed, result.auto_approved, result.refused_by) == (1, 1, {})


@pytest.mark.parametrize("reason", ["", "  "])
def test_save__without_a_reason__is_refused_and_writes_nothing(now, reason):
    with pytest.raises(RuleRefused, match="reason"):
        save_rule("CASHBACK", HEADER, CONTENT, at=now, caller=Caller(reason=reason))
    assert not RewardRule.objects.exists()


def test_save__content_with_errors__is_refused_with_positions_and_writes_nothing(saved, now, caller):
    with pytest.raises(RuleError) as caught:
        save_rule("CASHBACK", HEADER, replace(CONTENT, conditions='{"segmnt": "LOSING"}'), at=now, caller=caller)
    (problem,) = caught.value.problems
    assert (problem.place, problem.column, problem.remedy) == ("conditions.segmnt, column 2", 2, "Did you mean segment?")
    assert RuleVersion.objects.count() == 1
    assert AuditEvent.objects.count() == 1


@pytest.mark.parametrize(
    ("rule_id", "header", "message"),
    [
        ("has space", HEADER, "not a rule id"),
        ("x" * 81, HEADER, "80 characters"),
        ("A", RuleHeader(" "), "needs a name"),
    ],
)
def test_save__bad_header__is_refused(now, caller, rule_id, header, message):
    with pytest.raises(RuleRefused, match=message):
        save_rule(rule_id, header, CONTENT, at=now, caller=caller)


def test_save__validity_that_ends_before_it_begins__is_refused(now, caller):
    with pytest.raises(RuleRefused, match="valid_to"):
        save_rule("A", replace(HEADER, valid_from=now, valid_to=now), CONTENT, at=now, caller=caller)


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"period": "HOUR"}, "period"), ({"cooldown_hours": -1}, "cooldown"), ({"total_budget": Decimal(0)}, "budget"),
     ({"player_budget": Decimal(2000)}, "budget"), ({"stacking_group": "x" * 41}, "stacking_group")],
)  # fmt: skip
def test_check__settings_out_of_range__are_errors(changes, code):
    found = check_content(replace(CONTENT, **changes))
    assert [problem.code for problem in found.errors] == [code]


@pytest.mark.parametrize("statement", ["update", "delete"])
def test_version__changed_in_the_database__is_refused(saved, statement):
    rows = RuleVersion.objects.filter(pk=saved.version.pk)
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        rows.update(note="other") if statement == "update" else rows._raw_delete(rows.db)
    saved.version.refresh_from_db()
    assert saved.version.note == "Spring programme"


def test_roll_back__older_version__becomes_a_new_version_with_its_content(saved, now, caller):
    save_rule("CASHBACK", HEADER, changed(max_amount=400), at=now, caller=caller)
    version = roll_back(saved.rule, 1, at=now, caller=caller)
    assert (version.number, version.reward_config, version.note) == (3, saved.version.reward_config, "Back to version 1: Spring programme")
    assert RewardRule.objects.get().current_version == version
    assert AuditEvent.objects.first().after == {"version": 3, "same_as": 1}


def test_roll_back__to_what_is_current_or_missing__is_refused(saved, now, caller):
    with pytest.raises(RuleRefused, match="same content"):
        roll_back(saved.rule, 1, at=now, caller=caller)
    with pytest.raises(RuleRefused, match="no version 7"):
        roll_back(saved.rule, 7, at=now, caller=caller)
    assert RuleVersion.objects.count() == 1


def test_switch__on_and_off__is_audited_with_its_reason(saved, now, caller):
    assert set_active(saved.rule, True, at=now, caller=caller).is_active
    with pytest.raises(RuleRefused, match="already active"):
        set_active(saved.rule, True, at=now, caller=caller)
    assert not set_active(saved.rule, False, at=now, caller=caller).is_active
    actions = list(AuditEvent.objects.values_list("action", flat=True))
    assert actions == ["rewards.rule_deactivated", "rewards.rule_activated", "rewards.rule_created"]


def test_switch__rule_that_ended__is_refused(now, caller):
    rule = save_rule("OLD", replace(HEADER, valid_to=now), CONTENT, at=now, caller=caller).rule
    with pytest.raises(RuleRefused, match="ended"):
        set_active(rule, True, at=now, caller=caller)
    assert not RewardRule.objects.get().is_active


def loser(net_loss, **profile):
    player = PlayerFactory(segment="LOSING", **profile)
    PlayerMetricsFactory(player=player, net_loss_7d=Decimal(net_loss))
    return player


def test_trying_on_one_player__shows_conditions_and_amount_and_writes_nothing(saved, now):
    player = loser("123.45")
    found = try_on_player(compile_version(saved.version), player.external_id, as_of=now)
    assert (found.trace.amount, found.metrics_as_of) == (Decimal("12.34"), now)
    assert [one["verdict"] for one in found.to_json()["conditions"]] == [True, True, True]
    assert found.to_json()["player_id"] == player.external_id
    assert AuditEvent.objects.count() == 1
    with pytest.raises(UnknownPlayer, match="nobody"):
        try_on_player(compile_version(saved.version), "nobody", as_of=now)


def test_trying_on_all_players__sums_by_unit_and_segment(now):
    for net_loss, currency in (("100", "EUR"), ("200.55", "EUR"), ("5000", "JPY"), ("99.89", "EUR"), ("9000", "EUR")):
        loser(net_loss, currency=currency)
    PlayerMetricsFactory(player=PlayerFactory(segment="VIP"), net_loss_7d=Decimal(500))
    config = {name: value for name, value in CONTENT.reward_config.items() if name != "currency"}
    found = check_content(replace(CONTENT, reward_config=config | {"min_amount": "10.01"}))
    result = try_on_all(found.rule, as_of=now)
    assert (result.players, result.matched, result.rewards) == (6, 4, 3)
    assert result.without_amount == {"amount is below the minimum": 1}
    assert [(t.unit, t.rewards, t.total, t.smallest, t.median, t.largest) for t in result.totals] == [
        ("EUR", 2, Decimal("520.05"), Decimal("20.05"), Decimal("20.05"), Decimal("500.00")),
        ("JPY", 1, Decimal("500"), Decimal("500"), Decimal("500"), Decimal("500")),
    ]
    assert [(s.segment, s.players, s.matched, s.rewards, s.totals) for s in result.segments] == [
        ("LOSING", 5, 4, 3, {"EUR": Decimal("520.05"), "JPY": Decimal("500")}),
        ("VIP", 1, 0, 0, {}),
    ]


def test_trying_on_all_players__without_players__gives_zeros(saved, now):
    result = try_on_all(compile_version(saved.version), as_of=now)
    assert (result.players, result.matched, result.totals, result.segments) == (0, 0, [], [])
