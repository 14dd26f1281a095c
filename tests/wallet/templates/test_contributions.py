"""Contribution rules: what has begun stays as it was."""

from copy import copy
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.factories import NOW, GameFactory
from wallet.errors import InvalidPosting
from wallet.grants.contributions import check_edge_reference, check_rules, smallest_weight, table_of, weigh_game
from wallet.models import ContributionRule, ContributionTable

pytestmark = pytest.mark.django_db
D = Decimal
DAY = timedelta(days=1)


@pytest.fixture
def table() -> ContributionTable:
    return ContributionTable.objects.create(name="Casino")


def rule(table: ContributionTable, key: str = "slots", start: datetime = NOW - DAY, **fields: Any) -> ContributionRule:
    return ContributionRule(table=table, key=key, valid_from=start, **{"scope": "category", "weight": D(1), **fields})


def stored(table: ContributionTable, *args: Any, **fields: Any) -> ContributionRule:
    made = rule(table, *args, **fields)
    made.save()
    return made


def changed(old: ContributionRule, **fields: Any) -> ContributionRule:
    new = copy(old)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def faults(after: list[ContributionRule], *before: ContributionRule) -> list[tuple[int, str]]:
    return [(fault.position, fault.field) for fault in check_rules(after, before, NOW)]


def test_check_rules__new_rule_from_now_on__accepted(table: ContributionTable) -> None:
    assert faults([rule(table, start=NOW), rule(table, "live", NOW + DAY, valid_to=NOW + 2 * DAY)]) == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"start": NOW - timedelta(seconds=1)}, "valid_from"),
        ({"key": " "}, "key"),
        ({"scope": "default"}, "key"),
        ({"weight": D("1.01")}, "weight"),
        ({"valid_to": NOW}, "valid_to"),
    ],
)
def test_check_rules__new_rule_that_cannot_be__names_the_field(table: ContributionTable, fields: dict[str, Any], field: str) -> None:
    assert faults([rule(table, **{"start": NOW, **fields})]) == [(0, field)]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"weight": D("0.5")}, "weight"),
        ({"key": "live"}, "key"),
        ({"method": "excluded"}, "method"),
        ({"valid_from": NOW}, "valid_from"),
        ({"valid_to": NOW - timedelta(seconds=1)}, "valid_to"),
    ],
)
def test_check_rules__begun_rule__never_changes(table: ContributionTable, change: dict[str, Any], field: str) -> None:
    old = stored(table)
    assert faults([changed(old, **change)], old) == [(0, field)]


def test_check_rules__begun_rule__may_be_ended_from_now_on(table: ContributionTable) -> None:
    old = stored(table)
    assert faults([changed(old, valid_to=NOW)], old) == []
    assert faults([changed(old, valid_to=NOW + DAY)], old) == []


def test_check_rules__ended_rule__stays_ended(table: ContributionTable) -> None:
    old = stored(table, valid_to=NOW - timedelta(hours=1))
    assert faults([changed(old, valid_to=NOW + DAY)], old) == [(0, "valid_to")]
    assert faults([old], old) == []


def test_check_rules__deleting__only_what_has_not_begun(table: ContributionTable) -> None:
    assert faults([], stored(table)) == [(-1, "")]
    assert faults([], stored(table, "live", NOW + DAY)) == []


def test_check_rules__future_rule__may_change_but_not_into_the_past(table: ContributionTable) -> None:
    old = stored(table, start=NOW + DAY)
    assert faults([changed(old, weight=D("0.2"), valid_from=NOW + 2 * DAY)], old) == []
    assert faults([changed(old, valid_from=NOW - DAY)], old) == [(0, "valid_from")]


def test_check_rules__overlap_of_one_key__refused_whatever_its_case(table: ContributionTable) -> None:
    old = stored(table)
    assert faults([old, rule(table, "SLOTS", NOW + DAY)], old) == [(1, "valid_from")]
    ended = changed(old, valid_to=NOW + DAY)
    assert faults([ended, rule(table, "SLOTS", NOW + DAY)], old) == []
    assert faults([old, rule(table, "slots", NOW, scope="provider")], old) == []


def test_check_edge_reference__rules_by_edge_have_begun__refused(table: ContributionTable) -> None:
    table.edge_reference = D("0.05")
    check_edge_reference(table, D("0.04"), NOW)
    stored(table, method="edge")
    with pytest.raises(InvalidPosting, match="Make a new table for it"):
        check_edge_reference(table, D("0.04"), NOW)
    table.edge_reference = D("0.04")
    check_edge_reference(table, D("0.04"), NOW)


def test_weigh_game__known_game__its_provider_category_and_edge_are_used(table: ContributionTable) -> None:
    GameFactory(code="amber", provider="Northlight", category="slots", house_edge=D("0.01"))
    stored(table, "northlight", scope="provider", method="edge")
    stored(table, "slots", weight=D("0.3"))
    weight, game = weigh_game(table, game_code="AMBER", provider="", category="", at=NOW)
    assert (weight.weight, game and game.code) == (D("0.25"), "amber")
    weight, game = weigh_game(table, game_code="unheard-of", provider="", category="slots", at=NOW)
    assert (weight.weight, weight.rule, game) == (D("0.3"), "category slots: weight 0.3", None)


def test_smallest_weight__by_edge__is_that_of_the_game_which_counts_least(table: ContributionTable) -> None:
    GameFactory(code="half", house_edge=D("0.02"))
    GameFactory(code="none", house_edge=D(0))
    stored(table, "", scope="default", method="edge")
    assert smallest_weight(table_of(table), NOW) == D("0.5")
    assert smallest_weight(table_of(table), NOW - 2 * DAY) == 1
    assert smallest_weight(None, NOW) == 1
