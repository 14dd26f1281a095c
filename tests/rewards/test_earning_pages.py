"""Earning rules as staff write them, and the explanation of a day for staff and integrators."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from loyalty_site.common.clock import utc_now
from players.models import PlayerDay
from rewards.earning import credit_play_points
from rewards.models import EarningRule
from tests.api_client import KeyedClient
from tests.cache import forget_cached
from tests.factories import NOW, GameFactory, PlayerFactory, UserFactory

pytestmark = pytest.mark.django_db
DAY = date(2026, 3, 14)
ADD = "admin:rewards_earningrule_add"


@pytest.fixture(autouse=True)
def _clean(db: None) -> None:
    forget_cached()
    EarningRule.objects.all().delete()


def logged_in(*permissions: str) -> Client:
    user = UserFactory()
    for name in permissions:
        app, codename = name.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    client = Client()
    client.force_login(User.objects.get(pk=user.pk))
    return client


MANAGER = ("rewards.view_earningrule", "rewards.add_earningrule", "rewards.change_earningrule")


def form(**changes: Any) -> dict[str, Any]:
    today = utc_now().date()
    values = {"name": "Slots", "unit": "LP", "scope": "category", "key": "slots", "rate": "0.02", "weight": "1", "valid_from": str(today)}
    return {name: value for name, value in (values | changes).items() if value is not None}


def test_form__new_rule__holds_from_today_on_and_is_in_the_history() -> None:
    assert logged_in(*MANAGER).post(reverse(ADD), form(uses_tier_multiplier="on")).status_code == 302
    rule = EarningRule.objects.get()
    assert (rule.scope, rule.key, rule.rate, rule.uses_tier_multiplier, rule.counts_bonus_stake) == (
        "category",
        "slots",
        Decimal("0.02"),
        True,
        False,
    )
    assert rule.history.count() == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"valid_from": "2026-01-01"}, "Days before today are reckoned already"),
        ({"key": ""}, "Say for which game, provider or category"),
        ({"key": "chess"}, "There is no such category"),
        ({"scope": "game", "key": "none"}, "There is no game with this code"),
        ({"scope": "provider", "key": "none"}, "No game has this provider"),
        ({"currency": "E1R"}, "ISO 4217"),
        ({"rate": "-1"}, "Give 0 or more"),
        ({"daily_cap": "0"}, "Give a number above 0"),
        ({"valid_to": "2026-01-01"}, "must not lie before the first day"),
    ],
)
def test_form__what_makes_no_sense__is_refused_beside_its_field(changes: dict[str, Any], message: str) -> None:
    answer = logged_in(*MANAGER).post(reverse(ADD), form(**changes))
    assert answer.status_code == 200
    assert message in answer.content.decode()
    assert not EarningRule.objects.exists()


def test_form__game_and_provider__are_found_whatever_their_case() -> None:
    GameFactory(code="Reel", provider="Novo")
    client = logged_in(*MANAGER)
    client.post(reverse(ADD), form(scope="game", key="reel"))
    client.post(reverse(ADD), form(scope="provider", key="NOVO"))
    client.post(reverse(ADD), form(scope="default", key="left over", name="All"))
    assert sorted(EarningRule.objects.values_list("scope", "key")) == [("default", ""), ("game", "reel"), ("provider", "NOVO")]


def test_form__same_rule_from_the_same_day_twice__is_refused() -> None:
    client = logged_in(*MANAGER)
    client.post(reverse(ADD), form())
    assert client.post(reverse(ADD), form(name="again")).status_code == 200
    assert EarningRule.objects.count() == 1


def test_form__rule_that_has_begun__can_only_be_named_and_ended() -> None:
    rule = EarningRule.objects.create(name="old", rate=Decimal("0.01"), valid_from=DAY)
    client, page = logged_in(*MANAGER), reverse("admin:rewards_earningrule_change", args=[rule.pk])
    assert client.get(page).status_code == 200
    end = utc_now().date() + timedelta(days=3)
    client.post(page, {"name": "new name", "rate": "5", "valid_from": "2020-01-01", "valid_to": str(end)})
    rule.refresh_from_db()
    assert (rule.name, rule.rate, rule.valid_from, rule.valid_to) == ("new name", Decimal("0.01"), DAY, end)
    answer = client.post(page, {"name": "new name", "valid_to": str(DAY + timedelta(days=1))})
    assert "the rule can end with" in answer.content.decode()
    assert client.get(reverse("admin:rewards_earningrule_delete", args=[rule.pk])).status_code == 403


def test_list__shows_rate_caps_and_state() -> None:
    today = utc_now().date()
    EarningRule.objects.create(name="all", rate=Decimal("0.01"), daily_cap=Decimal(500), valid_from=DAY)
    EarningRule.objects.create(name="soon", scope="category", key="slots", rate=Decimal("0.02"), valid_from=today + timedelta(days=5))
    EarningRule.objects.create(name="gone", unit="RP", rate=Decimal("0.02"), valid_from=DAY, valid_to=today)
    client = logged_in("rewards.view_earningrule")
    page = client.get(reverse("admin:rewards_earningrule_changelist")).content.decode()
    for part in ("0.01 LP", "500 a day", "begins later", "over", "holds"):
        assert part in page, part
    for state in ("holds", "later", "over"):
        assert client.get(reverse("admin:rewards_earningrule_changelist"), {"state": state}).status_code == 200


def test_explanation__page_and_api__say_how_many_points_from_which_rule() -> None:
    rule = EarningRule.objects.create(name="All play", rate=Decimal("0.01"), daily_cap=Decimal(3), valid_from=date(2026, 1, 1))
    player = PlayerFactory()
    PlayerDay.objects.create(player=player, day=DAY, stake=Decimal(500))
    credit_play_points(0, 2**62, NOW)
    client = logged_in("rewards.view_earningrule", "players.view_playerday")
    page = client.get(reverse("admin:rewards_earnings", args=[player.pk]), {"day": "2026-03-20"}).content.decode()
    for part in ("All play", "500.00 EUR", "5.00 LP", "3.00 LP", "day total"):
        assert part in page, part
    empty = client.get(reverse("admin:rewards_earnings", args=[player.pk])).content.decode()
    assert "No points for play in these days" in empty
    assert "14 Mar 2026" in empty
    for text in ("x", "0001-01-01", "9999-12-31"):
        assert client.get(reverse("admin:rewards_earnings", args=[player.pk]), {"day": text}).status_code == 200
    assert client.get(reverse("admin:rewards_earnings", args=[player.pk + 1])).status_code == 404
    assert logged_in("rewards.view_earningrule").get(reverse("admin:rewards_earnings", args=[player.pk])).status_code == 403

    boss = Client()
    boss.force_login(UserFactory(is_superuser=True))
    assert (
        reverse("admin:rewards_earnings", args=[player.pk])
        in boss.get(reverse("admin:players_player_change", args=[player.pk])).content.decode()
    )

    api = KeyedClient(["wallet:read"])
    answer = api.get(f"/wallet/{player.external_id}/earnings", day="2026-03-14").json()
    assert (Decimal(answer["lp"]), answer["lines"][0]["rule_id"], Decimal(answer["lines"][0]["uncapped"])) == (3, rule.pk, 5)
    nothing = api.get(f"/wallet/{player.external_id}/earnings", day="2026-03-13").json()
    assert (nothing["reckoned_at"], nothing["lines"]) == (None, [])
    for query in ({}, {"day": "2999-01-01"}, {"day": "x"}, {"day": "2026-03-14", "more": "1"}):
        assert api.get(f"/wallet/{player.external_id}/earnings", **query).status_code == 400
    assert api.get("/wallet/nobody/earnings", day="2026-03-14").status_code == 404
