"""Templates, contribution tables and pay-outs in the back-office: what staff see, write, and are refused."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from loyalty_site.common.clock import utc_now
from loyalty_site.common.models import AuditEvent
from players.models import Jurisdiction, JurisdictionPack
from tests.cache import forget_cached
from tests.factories import GameFactory, PlayerFactory
from tests.wallet.test_payouts import instruction
from wallet.grants.template_versions import save_version
from wallet.models import BonusTemplate, BonusTemplateVersion, ContributionRule, ContributionTable, PayoutInstruction

pytestmark = pytest.mark.django_db
D = Decimal
TEMPLATES, TABLES, PAYOUTS = (f"/admin/wallet/{name}/" for name in ("bonustemplate", "contributiontable", "payoutinstruction"))
TERMS: dict[str, Any] = {
    "code": "welcome", "name": "Welcome", "is_active": "on", "kind": "money", "products": ["casino"], "match_percent": "100",
    "max_amount": "100", "base": "bonus", "multiple": "10", "count_mode": "bonus_funds_only", "fund_order": "real_first",
    "winnings": "bonus", "over_max_bet": "ignore", "penalty_factor": "1", "min_bet": "0.10", "claim_hours": "168",
    "wagering_hours": "168", "settle_grace_hours": "24", "forfeit_on_withdrawal": "on", "eligible_games": "slots, book-of-suns",
    "reason": "spring campaign",
}  # fmt: skip


@pytest.fixture
def client_of(db: None) -> Callable[..., Client]:
    forget_cached()

    def make(role: str) -> Client:
        user = User.objects.create_user(role.lower().replace(" ", "_"), is_staff=True)
        user.groups.set(Group.objects.filter(name=role))
        client = Client()
        client.force_login(user)
        return client

    return make


@pytest.fixture
def manager(client_of: Callable[..., Client]) -> Client:
    return client_of("CRM manager")


@pytest.fixture
def uk() -> Jurisdiction:
    market = Jurisdiction.objects.create(code="GB", name="Great Britain")
    JurisdictionPack.objects.create(
        jurisdiction=market, valid_from=date(2026, 1, 19), max_wagering_multiple=D(10), one_product_per_bonus=True
    )
    return market


@pytest.fixture
def table() -> ContributionTable:
    made = ContributionTable.objects.create(name="Casino", edge_reference=D("0.04"))
    for key, weight in (("slots", "1"), ("roulette", "0.10")):
        ContributionRule.objects.create(
            table=made, scope="category", key=key, weight=D(weight), valid_from=utc_now() - timedelta(days=1, microseconds=77)
        )
    return made


def errors_of(answer: Any) -> dict[str, list[str]]:
    return {name: list(texts) for name, texts in answer.context["adminform"].form.errors.items()}


def test_add__terms__make_the_template_with_its_first_version(manager: Client) -> None:
    assert manager.post(f"{TEMPLATES}add/", TERMS).status_code == 302
    version = BonusTemplate.objects.get(code="welcome").current
    assert (version.number, version.author.username, version.multiple, version.eligible_games, version.products) == (
        1, "crm_manager", D(10), ["slots", "book-of-suns"], ["casino"],
    )  # fmt: skip
    actions = AuditEvent.objects.filter(reason="spring campaign").values_list("action", flat=True)
    assert sorted(actions) == ["wallet.template_made", "wallet.template_version_saved"]


def test_change__one_term__makes_the_next_version_and_shows_what_changed(manager: Client) -> None:
    manager.post(f"{TEMPLATES}add/", TERMS)
    template = BonusTemplate.objects.get()
    answer = manager.post(f"{TEMPLATES}{template.pk}/change/", TERMS | {"multiple": "20", "code": "ignored"}, follow=True)
    assert answer.status_code == 200
    template.refresh_from_db()
    assert (template.code, template.current.number, template.current.multiple) == ("welcome", 2, D(20))
    page = manager.get(f"{TEMPLATES}{template.pk}/change/").content.decode()
    assert "<del>10</del>" in page
    assert "<ins>20</ins>" in page
    assert "Wager 20 times the bonus within 7 days of activation." in page


def test_change__nothing_but_the_name__makes_no_version(manager: Client) -> None:
    manager.post(f"{TEMPLATES}add/", TERMS)
    template = BonusTemplate.objects.get()
    manager.post(f"{TEMPLATES}{template.pk}/change/", TERMS | {"name": "Hello"})
    template.refresh_from_db()
    assert (template.name, BonusTemplateVersion.objects.count()) == ("Hello", 1)
    assert template.history.count() >= 2


def test_add__above_the_market__stands_at_the_field_and_saves_nothing(manager: Client, uk: Jurisdiction) -> None:
    answer = manager.post(f"{TEMPLATES}add/", TERMS | {"multiple": "12", "markets": [uk.pk], "products": ["casino", "sports"]})
    assert errors_of(answer) == {
        "multiple": ["GB Great Britain allows wagering of at most 10x; 12x is above it"],
        "products": ["GB Great Britain allows one product per bonus; casino and sports need a template each"],
    }
    assert BonusTemplate.objects.count() == 0


def test_add__effective_multiple__is_saved_once_it_is_typed(manager: Client, uk: Jurisdiction, table: ContributionTable) -> None:
    terms = TERMS | {"markets": [uk.pk], "contribution": table.pk}
    answer = manager.post(f"{TEMPLATES}add/", terms)
    assert errors_of(answer)["acknowledged_multiple"][0].startswith("Effective 100x: ")
    assert "effective 100x</strong>" in manager.post(f"{TEMPLATES}summary/", terms).content.decode()
    assert manager.post(f"{TEMPLATES}add/", terms | {"acknowledged_multiple": "100"}).status_code == 302
    assert "effective 100x" in manager.get(TEMPLATES).content.decode()


def test_change__rules_of_the_market_became_stricter__the_page_says_so(manager: Client, uk: Jurisdiction) -> None:
    template = BonusTemplate.objects.create(code="welcome", name="Welcome")
    save_version(template, {"products": ["casino"], "multiple": D(10), "markets": [uk]}, None, utc_now())
    JurisdictionPack.objects.update(max_wagering_multiple=D(5))
    page = manager.get(f"{TEMPLATES}{template.pk}/change/").content.decode()
    assert "The rules of today would refuse these terms:" in page
    assert "GB Great Britain allows wagering of at most 5x; 10x is above it" in page


def test_summary__half_written_terms__never_fails(manager: Client) -> None:
    for terms in ({}, {"kind": "free_spins"}, TERMS | {"multiple": "x"}, TERMS | {"wagering_hours": ""}, TERMS | {"base": "nonsense"}):
        assert manager.post(f"{TEMPLATES}summary/", terms).status_code == 200


def test_templates__other_roles__look_but_do_not_write(client_of: Callable[..., Client]) -> None:
    template = BonusTemplate.objects.create(code="welcome", name="Welcome")
    save_version(template, {"products": ["casino"], "multiple": D(10)}, None, utc_now())
    agent = client_of("CRM agent")
    page = agent.get(f"{TEMPLATES}{template.pk}/change/")
    assert "Wager 10 times the bonus" in page.content.decode()
    assert agent.get(f"{TEMPLATES}add/").status_code == 403
    assert agent.post(f"{TEMPLATES}{template.pk}/change/", TERMS).status_code == 403
    assert BonusTemplateVersion.objects.count() == 1


def rules_form(table: ContributionTable, **changes: str) -> dict[str, str]:
    """The table's form as a browser sends it back; `changes` by "position-field"."""
    rules = list(table.rules.all())
    posted = {
        "name": table.name, "edge_reference": "0.04", "rules-TOTAL_FORMS": str(len(rules)), "rules-INITIAL_FORMS": str(len(rules)),
    }  # fmt: skip
    for number, rule in enumerate(rules):
        weight = f"{rule.weight.normalize():f}"
        posted |= {
            f"rules-{number}-id": str(rule.pk), f"rules-{number}-table": str(table.pk), f"rules-{number}-scope": rule.scope,
            f"rules-{number}-key": rule.key, f"rules-{number}-method": rule.method, f"rules-{number}-weight": weight,
            f"rules-{number}-valid_from": f"{rule.valid_from:%Y-%m-%dT%H:%M:%S}",
        }  # fmt: skip
    return posted | {f"rules-{name}": value for name, value in changes.items()}


def test_table__sent_back_untouched__changes_nothing_below_the_second(manager: Client, table: ContributionTable) -> None:
    before = list(table.rules.values_list("valid_from", "weight"))
    assert manager.post(f"{TABLES}{table.pk}/change/", rules_form(table)).status_code == 302
    assert list(table.rules.values_list("valid_from", "weight")) == before


def test_table__begun_rule__may_be_ended_but_not_changed_or_deleted(manager: Client, table: ContributionTable) -> None:
    url = f"{TABLES}{table.pk}/change/"
    for changes in ({"0-weight": "0.5"}, {"0-DELETE": "on"}):
        assert manager.post(url, rules_form(table, **changes)).status_code == 200
    assert sorted(table.rules.values_list("weight", flat=True)) == [D("0.1"), D(1)]
    end = utc_now() + timedelta(days=2)
    assert manager.post(url, rules_form(table, **{"0-valid_to": f"{end:%Y-%m-%dT%H:%M}"})).status_code == 302
    assert table.rules.get(key="roulette").valid_to == end.replace(second=0, microsecond=0)
    event = AuditEvent.objects.get(action="wallet.contribution_table_changed")
    assert len(event.after["rules"]) == 2


def test_table__new_rule_without_a_beginning__begins_with_the_next_minute(manager: Client, table: ContributionTable) -> None:
    new = {"TOTAL_FORMS": "3", "2-table": str(table.pk), "2-scope": "category", "2-key": "live", "2-method": "excluded", "2-weight": "0"}
    assert manager.post(f"{TABLES}{table.pk}/change/", rules_form(table, **new)).status_code == 302
    rule = table.rules.get(key="live")
    assert timedelta(0) <= rule.valid_from - utc_now() + timedelta(seconds=60) <= timedelta(seconds=120)
    assert (rule.valid_from.second, rule.valid_from.microsecond) == (0, 0)


def test_table__edge_reference_under_begun_rules__refused(manager: Client, table: ContributionTable) -> None:
    ContributionRule.objects.create(table=table, scope="default", method="edge", valid_from=utc_now() - timedelta(days=1))
    answer = manager.post(f"{TABLES}{table.pk}/change/", rules_form(table) | {"edge_reference": "0.05"})
    assert "Make a new table for it" in errors_of(answer)["edge_reference"][0]


def test_weigh__game__says_the_weight_and_the_rule(client_of: Callable[..., Client], table: ContributionTable) -> None:
    GameFactory(code="wheel", category="roulette")
    reader = client_of("Read-only")
    said = reader.get(f"{TABLES}{table.pk}/weigh/", {"game": "wheel"}).content.decode()
    assert "Counts 10 %" in said
    assert "category roulette: weight 0.1" in said
    long_ago = reader.get(f"{TABLES}{table.pk}/weigh/", {"game": "wheel", "at": "2020-01-01"}).content.decode()
    assert "Counts 100 %" in long_ago


def test_payouts__list_and_page__show_what_happened(client_of: Callable[..., Client]) -> None:
    payout = instruction(PlayerFactory(external_id="P001"), status="FAILED", attempts=12, last_error="HTTP 422: unknown player")
    client = client_of("Finance")
    listed = client.get(f"{PAYOUTS}?status__exact=FAILED").content.decode()
    assert "HTTP 422: unknown player" in listed
    assert "Given up" in listed
    page = client.get(f"{PAYOUTS}{payout.pk}/change/").content.decode()
    assert f"/admin/wallet/bonusgrant/{payout.grant_id}/change/" in page
    assert "Send again" in page


def test_payouts__send_again__needs_the_permission_and_a_reason(client_of: Callable[..., Client]) -> None:
    payout = instruction(PlayerFactory(), status="FAILED", attempts=12, last_error="HTTP 422")
    form = {"action": "send_selected_again", "_selected_action": [payout.pk], "confirm_action": "1", "_form_submitted": "True"}
    client_of("Read-only").post(PAYOUTS, form | {"reason": "platform is back"})
    finance = client_of("Finance")
    finance.post(PAYOUTS, form)
    assert PayoutInstruction.objects.get().status == "FAILED"
    finance.post(PAYOUTS, form | {"reason": "platform is back"})
    assert PayoutInstruction.objects.get().status == "PENDING"
    assert AuditEvent.objects.get(action="wallet.payout_retried").actor.username == "finance"
