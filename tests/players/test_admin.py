"""The staff's pages of tiers, games, markets and protection."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from loyalty_site.common.models import AuditEvent
from players.admin.game import GameForm
from players.admin.jurisdiction import JurisdictionForm
from players.admin.tier import TierForm
from players.models import DepositLimit, Exclusion, Game, Jurisdiction, JurisdictionPack, Player, Tier
from players.services import assign_market
from tests.factories import GameFactory, PlayerFactory, ProtectionFactory, TierFactory, UserFactory

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(UserFactory(is_superuser=True))
    return client


def tier_errors(**values: Any) -> dict[str, list[str]]:
    content = {"name": "Gilt", "rank": 71, "entry_points": 1000, "keep_points": 800, "earn_multiplier": 1, "cashback_multiplier": 1}
    return TierForm(content | {"color": "#c0c0c0", "benefits": ""} | values).errors


def test_tier_form__benefits__are_one_a_line() -> None:
    Tier.objects.all().delete()
    form = TierForm(
        {
            "name": "Gilt",
            "rank": 1,
            "color": "#c0c0c0",
            "entry_points": 10,
            "keep_points": 10,
            "earn_multiplier": "1.2",
            "cashback_multiplier": 1,
            "benefits": "Own host\r\n\r\n  Faster payouts ",
        }
    )
    assert form.save().benefits == ["Own host", "Faster payouts"]
    assert TierForm(instance=Tier.objects.get())["benefits"].value() == "Own host\nFaster payouts"


def test_tier_form__points_that_break_the_ladder__say_what_to_give() -> None:
    Tier.objects.all().delete()
    TierFactory(rank=70, name="Lower", entry_points=D(500))
    TierFactory(rank=72, name="Upper", entry_points=D(5000))
    assert tier_errors() == {}
    assert tier_errors(entry_points=400, keep_points=400)["entry_points"] == [
        "Lower (rank 70) asks for 500.00 LP: give at least as many.",
    ]
    assert tier_errors(entry_points=6000)["entry_points"] == ["Upper (rank 72) asks for 5000.00 LP: give at most as many."]
    assert tier_errors(keep_points=1001)["keep_points"] == [
        "Give at most the 1000 LP that enter the tier, or players would fall out as they enter.",
    ]
    assert set(tier_errors(keep_points=-1, earn_multiplier=0, cashback_multiplier=-1)) == {
        "keep_points",
        "earn_multiplier",
        "cashback_multiplier",
    }


def test_game_form__percent_instead_of_a_fraction__is_explained() -> None:
    form = GameForm({"code": "reel", "category": "slots", "house_edge": "4", "round_sd": "0"})
    assert form.errors == {
        "house_edge": ["Give a fraction between -1 and 1: 4 per cent is 0.04."],
        "round_sd": ["Give a number above 0, or leave it empty if it is unknown."],
    }


def test_market_form__countries__are_cleaned() -> None:
    form = JurisdictionForm({"code": "uk", "name": "United Kingdom", "countries": "im, gb gb"})
    market = form.save()
    assert (market.code, market.countries) == ("UK", ["GB", "IM"])
    assert "GBR: give two-letter" in JurisdictionForm({"code": "x", "name": "x", "countries": "GBR"}).errors["countries"][0]


def test_assign_market__players_without_one__by_country_and_audited(now: datetime) -> None:
    wide = Jurisdiction.objects.create(code="CA-ON", name="Ontario", countries=["CA"])
    exact = Jurisdiction.objects.create(code="CA", name="Canada", countries=["CA"])
    free, taken, elsewhere = PlayerFactory(country="CA"), PlayerFactory(country="CA", jurisdiction=wide), PlayerFactory(country="MT")
    actor = UserFactory()
    assert assign_market([wide.pk, exact.pk], reason="new market", actor=actor, at=now) == 1
    assert dict(Player.objects.values_list("pk", "jurisdiction__code")) == {free.pk: "CA", taken.pk: "CA-ON", elsewhere.pk: None}
    event = AuditEvent.objects.get()
    assert (event.action, event.subject_id, event.after, event.reason) == (
        "players.market_assigned",
        str(exact.pk),
        {"players": 1},
        "new market",
    )
    with pytest.raises(ValueError, match="needs a reason"):
        assign_market([exact.pk], reason="", actor=actor, at=now)


def test_pages__for_staff_with_permission__open(staff: Client, now: datetime) -> None:
    player = ProtectionFactory(harm_flag=True, harm_note="night play").player
    market = Jurisdiction.objects.create(code="UK", name="United Kingdom", countries=["GB"])
    pack = JurisdictionPack.objects.create(jurisdiction=market, valid_from=date(2026, 1, 1), max_wagering_multiple=D(10))
    Exclusion.objects.create(player=player, kind="COOL_OFF", starts_at=now, recorded_at=now)
    DepositLimit.objects.create(player=player, period="DAY", amount=D(50), starts_at=now)
    tier, game = TierFactory(rank=70), GameFactory()
    for name in ("tier", "game", "jurisdiction", "jurisdictionpack", "protection", "exclusion", "depositlimit"):
        page = staff.get(reverse(f"admin:players_{name}_changelist"))
        assert page.status_code == 200, name
    for name, pk in (("tier", tier.pk), ("game", game.pk), ("jurisdiction", market.pk), ("jurisdictionpack", pack.pk)):
        for page_name in ("change", "history"):
            assert staff.get(reverse(f"admin:players_{name}_{page_name}", args=[pk])).status_code == 200, (name, page_name)
    for force in ("now", "later", "over"):
        assert staff.get(reverse("admin:players_exclusion_changelist"), {"force": force}).status_code == 200
    found = staff.get(reverse("admin:players_depositlimit_changelist"), {"q": player.external_id})
    assert "50.00 EUR" in found.content.decode()


def test_history__of_a_game_edge__shows_who_changed_it(staff: Client) -> None:
    game = GameFactory(house_edge=D("0.04"))
    url = reverse("admin:players_game_change", args=[game.pk])
    answer = staff.post(url, {"name": "", "provider": "", "category": "slots", "house_edge": "0.05", "round_sd": "5"})
    assert answer.status_code == 302, answer.context["errors"]
    assert [str(edge) for edge in game.history.values_list("house_edge", flat=True)] == ["0.05000", "0.04000"]
    assert game.history.first().history_user is not None


@pytest.mark.parametrize("name", ["tier", "game", "jurisdiction", "protection", "exclusion", "depositlimit"])
def test_pages__without_permission__are_refused(client: Client, name: str) -> None:
    client.force_login(UserFactory())
    assert client.get(reverse(f"admin:players_{name}_changelist")).status_code == 403


def test_tier__viewer__cannot_change_it(client: Client) -> None:
    viewer = UserFactory()
    viewer.user_permissions.add(Permission.objects.get(codename="view_tier"))
    client.force_login(viewer)
    tier = TierFactory(rank=70, name="Gilt")
    url = reverse("admin:players_tier_change", args=[tier.pk])
    assert client.get(url).status_code == 200
    assert client.post(url, {"name": "Stolen"}).status_code == 403
    tier.refresh_from_db()
    assert tier.name == "Gilt"


def test_tier_and_game__in_use__cannot_be_deleted(staff: Client) -> None:
    tier = TierFactory(rank=70)
    PlayerFactory(tier=tier)
    assert staff.post(reverse("admin:players_tier_delete", args=[tier.pk]), {"post": "yes"}).status_code == 403
    assert (Tier.objects.filter(pk=tier.pk).exists(), Game.objects.count()) == (True, 0)
