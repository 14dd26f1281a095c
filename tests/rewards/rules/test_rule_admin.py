"""The rule pages: who may do what, saving with a reason, live findings, trying, comparing, going back."""

import json
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from rewards.models import RewardRule
from rewards.rule_services import Caller, RuleContent, RuleHeader, save_rule
from tests.factories import PlayerFactory, PlayerMetricsFactory, UserFactory

pytestmark = pytest.mark.django_db

FIELDS = {
    "rule_id": "CASHBACK", "name": "Cashback", "priority": "10", "conditions": '{"segment": "LOSING", "net_loss_7d_min": 100}',
    "type": "BONUS_BALANCE", "formula": "net_loss_7d * 0.10", "max_amount": "500", "min_amount": "", "rounding": "DOWN", "currency": "eur",
    "wagering_requirement": "10", "expiry_hours": "48", "max_bet": "", "eligible_games": "slots, roulette", "period": "WEEK",
    "cooldown_hours": "168", "stacking_group": "", "player_budget": "", "total_budget": "1000", "valid_from": "2026-01-01T10:00",
    "valid_to": "", "description": "", "reason": "Spring programme",
}  # fmt: skip
ADD = reverse("admin:rewards_rewardrule_add")


def staff(client, *permissions):
    user = UserFactory()
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="rewards", codename__in=permissions))
    client.force_login(user)
    return user


@pytest.fixture
def rule(now):
    content = RuleContent(json.loads(FIELDS["conditions"]), {"type": "LP", "formula": "net_loss_7d * 0.1", "max_amount": 50}, "WEEK", 168)
    return save_rule("POINTS", RuleHeader("Points"), content, at=now, caller=Caller(reason="First")).rule


def page(rule, name="rewardrule_change"):
    return reverse(f"admin:rewards_{name}", args=[rule.pk])


def test_rule_page__new_rule_by_a_manager__is_saved_as_filled_in(client):
    user = staff(client, "view_rewardrule", "add_rewardrule", "change_rewardrule")
    assert client.get(ADD).status_code == 200
    answer = client.post(ADD, FIELDS)
    rule = RewardRule.objects.get()
    assert answer.url == page(rule)
    version = rule.current_version
    assert version.conditions == {"segment": "LOSING", "net_loss_7d_min": 100}
    assert version.reward_config == {
        "type": "BONUS_BALANCE", "formula": "net_loss_7d * 0.10", "max_amount": 500, "currency": "EUR", "wagering_requirement": 10,
        "expiry_hours": 48, "eligible_games": ["slots", "roulette"],
    }  # fmt: skip
    assert (version.created_by, version.note, version.total_budget, rule.priority) == (user, "Spring programme", Decimal(1000), 10)
    assert rule.valid_from.isoformat() == "2026-01-01T10:00:00+00:00"


def test_rule_page__unchanged_and_saved_again__makes_no_version(client, rule):
    staff(client, "view_rewardrule", "change_rewardrule")
    form = client.get(page(rule)).context["form"]
    filled = {name: "" if form[name].value() is None else form[name].value() for name in form.fields} | {"reason": "Same"}
    assert client.post(page(rule), filled).status_code == 302
    assert rule.versions.count() == 1


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"reason": ""}, "This field is required."),
        ({"formula": "net_los * 0.1"}, "Did you mean net_loss?"),
        ({"conditions": '{"segment" "LOSING"}'}, "A colon is needed here."),
        ({"max_amount": "many"}, "Enter a number."),
        ({"valid_to": "2025-01-01T00:00"}, "This is not after the beginning."),
    ],
)
def test_rule_page__wrong_input__is_shown_with_its_remedy_and_nothing_is_saved(client, changes, text):
    staff(client, "view_rewardrule", "add_rewardrule")
    answer = client.post(ADD, FIELDS | changes)
    assert answer.status_code == 200
    assert text in answer.content.decode()
    assert not RewardRule.objects.exists()


def test_rule_page__id_that_exists__is_refused(client, rule):
    staff(client, "view_rewardrule", "add_rewardrule")
    answer = client.post(ADD, FIELDS | {"rule_id": "POINTS"})
    assert "Another rule has this id." in answer.content.decode()
    rule.refresh_from_db()
    assert rule.name == "Points"


def test_rule_page__person_who_may_only_look__sees_it_and_can_change_nothing(client, rule):
    staff(client, "view_rewardrule")
    answer = client.get(page(rule))
    assert answer.status_code == 200
    text = answer.content.decode()
    assert "Save the rule" not in text
    assert "Try on player" not in text
    assert client.post(page(rule), FIELDS).status_code == 403
    assert client.get(ADD).status_code == 403
    assert client.post(page(rule, "rule_switch"), {"active": "1", "reason": "why not"}).status_code == 403
    assert client.post(page(rule, "rule_roll_back"), {"number": "1", "reason": "why not"}).status_code == 403
    assert client.post(reverse("admin:rewards_rule_try"), FIELDS).status_code == 403
    assert client.get(reverse("admin:rewards_rule_players"), {"q": "P"}).status_code == 403
    rule.refresh_from_db()
    assert not rule.is_active


def test_rule_page__person_who_may_look_and_try__has_fields_that_the_browser_sends(client, rule):
    staff(client, "view_rewardrule", "test_rule")
    text = client.get(page(rule)).content.decode()
    assert "Try on player" in text
    assert "readonly" in text
    assert " disabled" not in text.split('id="rule-form"')[1].split("</form>")[0]
    assert "Save the rule" not in text


def test_rule_pages__person_without_any_right__sees_none(client, rule):
    staff(client)
    for url in (page(rule), reverse("admin:rewards_rewardrule_changelist"), page(rule, "rule_versions")):
        assert client.get(url).status_code == 403
    assert client.post(reverse("admin:rewards_rule_check"), FIELDS).status_code == 403


def test_rule_page__deleting__is_not_offered(client, rule, admin_client):
    assert admin_client.post(reverse("admin:rewards_rewardrule_delete", args=[rule.pk]), {"post": "yes"}).status_code == 403


def test_check__unsaved_content__gives_findings_and_words(admin_client):
    url = reverse("admin:rewards_rule_check")
    good = admin_client.post(url, FIELDS).json()
    assert good["words"] == "segment is LOSING and net loss of 7 days at least 100 and currency is EUR"
    assert good["reward"] == (
        "net_loss_7d * 0.10 as bonus money, at most 500, wagered 10 times, for 48 hours, on slots, roulette, EUR players only"
    )
    bad = admin_client.post(url, FIELDS | {"formula": "1 +\n net_los"}).json()
    assert [(p["where"], p["line"], p["column"]) for p in bad["problems"]] == [("formula", 2, 2)]
    field = admin_client.post(url, FIELDS | {"max_amount": "x"}).json()
    assert field["problems"][0]["where"] == "At most"


def test_try__one_player__shows_values_verdicts_amount_and_writes_nothing(client, rule):
    staff(client, "view_rewardrule", "test_rule")
    player = PlayerFactory(segment="LOSING", currency="EUR")
    PlayerMetricsFactory(player=player, net_loss_7d=Decimal("123.45"))
    url = reverse("admin:rewards_rule_try")
    text = client.post(url, FIELDS | {"player": player.external_id}).content.decode()
    assert "12.34 EUR" in text
    assert "123.4500" in text
    assert "Safety gates" not in text
    assert "shown once the rule is saved" in text
    assert "No player has the id" in client.post(url, FIELDS | {"player": "nobody"}).content.decode()
    assert RewardRule.objects.count() == 1


def test_try__saved_rule__shows_the_gates(client, rule):
    staff(client, "view_rewardrule", "test_rule", "change_rewardrule")
    player = PlayerFactory(segment="LOSING")
    PlayerMetricsFactory(player=player, net_loss_7d=Decimal(200))
    form = client.get(page(rule)).context["form"]
    filled = {name: "" if form[name].value() is None else form[name].value() for name in form.fields}
    text = client.post(reverse("admin:rewards_rule_try"), filled | {"rule": rule.pk, "player": player.external_id}).content.decode()
    assert "20.00 LP" in text
    assert "Safety gates" in text
    other = filled | {"rule": rule.pk, "player": player.external_id, "formula": "net_loss_7d * 0.2"}
    assert "differs from what is saved" in client.post(reverse("admin:rewards_rule_try"), other).content.decode()


def test_try__all_players__shows_matches_and_cost(client):
    staff(client, "view_rewardrule", "test_rule")
    PlayerMetricsFactory(player=PlayerFactory(segment="LOSING", currency="EUR"), net_loss_7d=Decimal("12345.60"))
    PlayerFactory(segment="VIP")
    text = client.post(reverse("admin:rewards_rule_try"), FIELDS | {"scope": "all"}).content.decode()
    assert "50.0 % of 2" in text
    assert "500.00" in text


def test_players__typed_beginning__suggests_ids(client):
    staff(client, "test_rule")
    PlayerFactory(external_id="AB1", segment="VIP", country="MT")
    PlayerFactory(external_id="XY1")
    url = reverse("admin:rewards_rule_players")
    assert client.get(url, {"q": "AB"}).json() == {"players": [{"id": "AB1", "hint": "VIP MT"}]}
    assert client.get(url).json() == {"players": []}


def test_versions__two_versions__are_compared_and_rolled_back(client, rule, now):
    user = staff(client, "view_rewardrule", "change_rewardrule")
    content = RuleContent({"segment": "VIP"}, {"type": "LP", "formula": "5"}, "WEEK", 168)
    save_rule("POINTS", RuleHeader("Points"), content, at=now, caller=Caller(reason="Second"))
    text = client.get(page(rule, "rule_versions")).content.decode()
    assert "conditions.segment" in text
    assert "From version 1 to version 2" in text
    client.post(page(rule, "rule_roll_back"), {"number": "1", "reason": "It cost too much"})
    rule.refresh_from_db()
    assert (rule.current_version.number, rule.current_version.created_by) == (3, user)
    assert rule.current_version.conditions["segment"] == "LOSING"


def test_switch__with_and_without_reason__only_the_first_works(client, rule):
    staff(client, "view_rewardrule", "change_rewardrule")
    client.post(page(rule, "rule_switch"), {"active": "1", "reason": ""})
    rule.refresh_from_db()
    assert not rule.is_active
    client.post(page(rule, "rule_switch"), {"active": "1", "reason": "Checked by both of us"})
    rule.refresh_from_db()
    assert rule.is_active


def test_list__rules__are_shown_in_words_with_a_fixed_number_of_queries(client, rule, now, django_assert_max_num_queries):
    staff(client, "view_rewardrule")
    url = reverse("admin:rewards_rewardrule_changelist")
    assert "net loss of 7 days at least 100" in client.get(url).content.decode()
    for number in range(5):
        content = RuleContent({"segment": "VIP"}, {"type": "LP", "formula": "5"}, "WEEK", 168)
        save_rule(f"R{number}", RuleHeader("R"), content, at=now, caller=Caller(reason="More"))
    with django_assert_max_num_queries(20):
        client.get(url)
