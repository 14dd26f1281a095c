import json
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

import players.imports
from loyalty_site import sample_bonuses, sample_data
from loyalty_site.common.clock import utc_now
from players.models import Jurisdiction, JurisdictionPack, Tier
from rewards import rule_services
from rewards.models import RewardRule, RuleVersion
from tests.factories import PlayerFactory
from wallet.models import Account

pytestmark = pytest.mark.django_db

SAMPLE = Path(players.imports.__file__).parent / "samples" / "sample_players.csv"
PASSWORD = "open-sesame-42"


@pytest.fixture(autouse=True)
def _demo(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOYALTY_DEMO_PASSWORD", PASSWORD)
    # the strong hash takes long on purpose
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def _setup() -> str:
    out = StringIO()
    call_command("setup_demo", stdout=out)
    return out.getvalue().strip()


def test_setup_demo__empty_database__makes_everything() -> None:
    assert _setup() == (
        f"created: 4 tiers, {len(sample_data.MARKETS)} markets, 7 staff, {len(sample_data.RULES)} rules, 2 contribution tables, "
        f"{len(sample_bonuses.BONUS_TEMPLATES)} bonus templates, {len(sample_bonuses.CATALOGUE)} catalogue items"
    )
    assert list(Tier.objects.values_list("name", "entry_points")) == [
        ("Bronze", Decimal(0)), ("Silver", Decimal(1000)), ("Gold", Decimal(10000)), ("Platinum", Decimal(50000)),
    ]  # fmt: skip
    assert RewardRule.objects.filter(is_active=True).count() == len(sample_data.RULES)
    for username, group in sample_data.DEMO_STAFF.items():
        user = get_user_model().objects.get(username=username)
        assert [one.name for one in user.groups.all()] == [group]
        assert (user.is_staff, user.is_superuser) == (True, False)
        assert user.check_password(PASSWORD)
    assert get_user_model().objects.get(username="admin").is_superuser


def test_setup_demo__again__changes_nothing_that_staff_changed() -> None:
    _setup()
    Tier.objects.filter(name="Gold").update(entry_points=Decimal(12000))
    Jurisdiction.objects.filter(code="GB").update(name="United Kingdom")
    RewardRule.objects.filter(rule_id="win-back-eur").update(is_active=False)
    assert _setup() == ("created: 0 tiers, 0 markets, 0 staff, 0 rules, 0 contribution tables, 0 bonus templates, 0 catalogue items")
    assert Tier.objects.get(name="Gold").entry_points == 12000
    assert Jurisdiction.objects.get(code="GB").name == "United Kingdom"
    assert not RewardRule.objects.get(rule_id="win-back-eur").is_active
    assert RuleVersion.objects.count() == len(sample_data.RULES)


def test_setup_demo__production__is_refused_and_nothing_is_made(settings: Any) -> None:
    settings.IS_PRODUCTION = True
    with pytest.raises(CommandError, match="refused in production"):
        _setup()
    assert not get_user_model().objects.exists()
    assert not Tier.objects.exists()


def test_setup_demo__no_password__is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOYALTY_DEMO_PASSWORD", "short")
    with pytest.raises(CommandError, match="LOYALTY_DEMO_PASSWORD"):
        _setup()
    assert not get_user_model().objects.exists()


def test_setup_demo__other_password__holds_for_our_accounts_only(monkeypatch: pytest.MonkeyPatch) -> None:
    own = get_user_model().objects.create_user("admin", password="their-own-password")
    _setup()
    monkeypatch.setenv("LOYALTY_DEMO_PASSWORD", "another-password")
    _setup()
    own.refresh_from_db()
    assert own.check_password("their-own-password")
    assert get_user_model().objects.get(username="finance").check_password("another-password")


def test_sample_markets__britain__caps_wagering_at_ten_times_from_january_2026() -> None:
    _setup()
    packs = JurisdictionPack.objects.filter(jurisdiction__code="GB").order_by("valid_from")
    assert [(str(pack.valid_from), pack.max_wagering_multiple) for pack in packs] == [("2024-01-01", None), ("2026-01-19", Decimal(10))]


def test_sample_markets__every_pack__says_where_it_comes_from() -> None:
    _setup()
    assert {"GB", "MT", "SE", "CA-ON", "DE"} <= set(Jurisdiction.objects.values_list("code", flat=True))
    assert not JurisdictionPack.objects.filter(source="").exists()
    countries = [country for codes in Jurisdiction.objects.values_list("countries", flat=True) for country in codes]
    assert len(countries) == len(set(countries))


@pytest.mark.parametrize("rule", sample_data.RULES, ids=[rule["rule_id"] for rule in sample_data.RULES])
def test_sample_rule__check__finds_neither_error_nor_warning(rule: dict[str, Any]) -> None:
    content = {name: value for name, value in rule.items() if name not in {"rule_id", "name", "description", "priority"}}
    assert [str(problem) for problem in rule_services.check_content(rule_services.RuleContent(**content)).problems] == []


def test_demo_summary__players_without_ledger__is_one_json_line() -> None:
    PlayerFactory(segment="VIP")
    PlayerFactory(segment="NEW")
    out = StringIO()
    call_command("demo_summary", stdout=out)
    summary = json.loads(out.getvalue())
    assert summary["players"] == 2
    assert summary["segments"] == {"NEW": 1, "VIP": 1}
    assert summary["rewards"] == {}
    assert summary["ledger"] == {}
    assert summary["ledger_balanced"] is True


def test_demo_summary__posted_points__sums_both_sides() -> None:
    from wallet.services import Source, add_points

    player = PlayerFactory()
    at = utc_now()
    add_points(player_id=player.pk, unit="LP", amount=Decimal("12.50"), source=Source("test", "1"), at=at)
    add_points(player_id=player.pk, unit="LP", amount=Decimal("0.25"), source=Source("test", "2"), at=at)
    out = StringIO()
    call_command("demo_summary", stdout=out)
    summary = json.loads(out.getvalue())
    assert summary["ledger"] == {"LP": {"entries": "12.75", "balances": "12.75", "count": "2"}}
    assert summary["ledger_balanced"] is True


def test_sample_file__imported_with_rewards__issues_them_at_once() -> None:
    _setup()
    out = StringIO()
    call_command("import_file", str(SAMPLE), "--rewards", "--json", stdout=out)
    figures = json.loads(out.getvalue())
    assert (figures["players_created"], figures["rewards_issued"], figures["rewards"]) == (30, 30, "30 proposed · 30 issued")
    # 0.5 % of 6081.03 and of 74860.83 wagered, rounded down to hundredths of a point
    balances = dict(Account.objects.filter(unit="LP").values_list("player__external_id", "balance"))
    assert (balances["P0001"], balances["P0002"]) == (3040, 37430)
    again = StringIO()
    call_command("import_file", str(SAMPLE), "--rewards", stdout=again)
    assert "Rewards: the file changed nothing for any player, so nobody was evaluated." in again.getvalue()
