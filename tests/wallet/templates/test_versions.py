"""Saving templates: every edit is a version, every field is checked, every market is heard."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied

from loyalty_site.common.models import AuditEvent
from players.models import Jurisdiction, JurisdictionPack
from tests.factories import NOW, GameFactory
from tests.wallet.factories import staff
from wallet.bonus.terms import Terms
from wallet.errors import InvalidPosting
from wallet.grants.template_versions import TermsRefused, draft_version, save_version
from wallet.grants.templates import current_version, terms_of
from wallet.models import BonusTemplate, BonusTemplateVersion, ContributionRule, ContributionTable

pytestmark = pytest.mark.django_db
D = Decimal
WELCOME: dict[str, Any] = {"products": ["casino"], "match_percent": D(100), "max_amount": D(100), "multiple": D(10), "min_bet": D("0.10")}


@pytest.fixture
def template() -> BonusTemplate:
    return BonusTemplate.objects.create(code="welcome", name="Welcome bonus")


@pytest.fixture
def uk() -> Jurisdiction:
    market = Jurisdiction.objects.create(code="GB", name="Great Britain", countries=["GB"])
    JurisdictionPack.objects.create(
        jurisdiction=market, valid_from=date(2026, 1, 19), max_wagering_multiple=D(10), one_product_per_bonus=True
    )
    return market


@pytest.fixture
def table() -> ContributionTable:
    made = ContributionTable.objects.create(name="Casino")
    line(made, "category", "slots", "1")
    line(made, "category", "roulette", "0.10")
    return made


def line(table: ContributionTable, scope: str, key: str, weight: str, **fields: Any) -> ContributionRule:
    return ContributionRule.objects.create(
        table=table, scope=scope, key=key, weight=D(weight), **{"valid_from": NOW - timedelta(days=1), **fields}
    )


def refusal(template: BonusTemplate, **terms: Any) -> dict[str, str]:
    with pytest.raises(TermsRefused) as refused:
        save_version(template, WELCOME | terms, None, NOW)
    assert BonusTemplateVersion.objects.count() == 0
    return refused.value.problems


def test_save_version__first_terms__are_version_1_and_current(template: BonusTemplate) -> None:
    author = staff("change_bonustemplate")
    version = save_version(template, WELCOME, author, NOW, reason="spring campaign")
    template.refresh_from_db()
    assert (version.number, version.author, version.created_at, template.current) == (1, author, NOW, version)
    event = AuditEvent.objects.get(action="wallet.template_version_saved")
    assert (event.actor, event.reason, event.before, event.after["version"], event.after["multiple"]) == (
        author,
        "spring campaign",
        {},
        1,
        "10",
    )


def test_save_version__edit__makes_the_next_and_leaves_the_first_alone(template: BonusTemplate) -> None:
    first = save_version(template, WELCOME, None, NOW)
    second = save_version(template, WELCOME | {"multiple": D(20)}, None, NOW + timedelta(days=1))
    assert (second.number, BonusTemplate.objects.get().current_id) == (2, second.pk)
    assert BonusTemplateVersion.objects.get(pk=first.pk).multiple == D(10)


def test_save_version__same_terms_again__makes_none(template: BonusTemplate, uk: Jurisdiction) -> None:
    first = save_version(template, WELCOME | {"markets": [uk]}, None, NOW)
    assert save_version(template, WELCOME | {"markets": [uk]}, None, NOW + timedelta(days=1)) == first
    assert BonusTemplateVersion.objects.count() == 1
    assert save_version(template, WELCOME, None, NOW).number == 2


def test_save_version__person_without_the_permission__refused(template: BonusTemplate) -> None:
    with pytest.raises(PermissionDenied):
        save_version(template, WELCOME, staff(), NOW)
    assert BonusTemplateVersion.objects.count() == 0


def test_save_version__field_that_no_terms_have__refused(template: BonusTemplate) -> None:
    with pytest.raises(ValueError, match="bonus terms have no maximum_bet; known are kind, products"):
        save_version(template, WELCOME | {"maximum_bet": 5}, None, NOW)


def test_vector_12__uk_pack_and_m_12__save_refused(template: BonusTemplate, uk: Jurisdiction) -> None:
    assert refusal(template, multiple=D(12), markets=[uk]) == {
        "multiple": "GB Great Britain allows wagering of at most 10x; 12x is above it"
    }


def test_vector_12__uk_pack_and_m_10_with_roulette_at_a_tenth__saved_only_after_acknowledging_100x(
    template: BonusTemplate, uk: Jurisdiction, table: ContributionTable
) -> None:
    terms = {"contribution": table, "markets": [uk]}
    problems = refusal(template, **terms)
    assert list(problems) == ["acknowledged_multiple"]
    assert problems["acknowledged_multiple"].startswith("effective 100x: ")
    assert list(refusal(template, **terms, acknowledged_multiple=D(10))) == ["acknowledged_multiple"]
    saved = save_version(template, WELCOME | terms | {"acknowledged_multiple": D(100)}, None, NOW)
    assert saved.acknowledged_multiple == D(100)


def test_vector_13__casino_and_sports_under_the_uk_pack__refused(template: BonusTemplate, uk: Jurisdiction) -> None:
    problems = refusal(template, products=["casino", "sports"], markets=[uk])
    assert problems == {"products": "GB Great Britain allows one product per bonus; casino and sports need a template each"}


def test_save_version__no_markets_named__every_market_with_rules_is_heard(template: BonusTemplate, uk: Jurisdiction) -> None:
    assert list(refusal(template, multiple=D(12))) == ["multiple"]


def test_save_version__rules_that_are_over__are_not_heard(template: BonusTemplate, uk: Jurisdiction) -> None:
    JurisdictionPack.objects.update(valid_to=NOW.date())
    assert save_version(template, WELCOME | {"multiple": D(12)}, None, NOW).number == 1


def test_save_version__named_market_without_rules__refused(template: BonusTemplate) -> None:
    market = Jurisdiction.objects.create(code="SE", name="Sweden")
    assert refusal(template, markets=[market]) == {"markets": "SE Sweden has no rules in force on 2026-03-15; add them to the market first"}


def test_save_version__default_table__weighs_when_the_terms_name_none(
    template: BonusTemplate, uk: Jurisdiction, table: ContributionTable
) -> None:
    ContributionTable.objects.update(is_default=True)
    assert list(refusal(template)) == ["acknowledged_multiple"]


def test_save_version__weight_by_edge__counts_the_game_with_the_smallest_edge(template: BonusTemplate, uk: Jurisdiction) -> None:
    table = ContributionTable.objects.create(name="By edge", edge_reference=D("0.04"))
    line(table, "default", "", "1", method="edge")
    GameFactory(house_edge=D("0.01"))
    GameFactory(house_edge=D("0.04"))
    problems = refusal(template, contribution=table)
    assert problems["acknowledged_multiple"].startswith("effective 40x: games that count 25 % of the stake")


def test_save_version__acknowledgement_that_nobody_asked_for__is_not_kept(template: BonusTemplate, uk: Jurisdiction) -> None:
    assert save_version(template, WELCOME | {"acknowledged_multiple": D(10)}, None, NOW).acknowledged_multiple is None


SPINS: dict[str, Any] = {
    "kind": "free_spins", "spins": 20, "spin_value": D("0.20"), "spin_game": "amber", "base": "spin_winnings", "match_percent": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("terms", "field", "text"),
    [
        ({"products": []}, "products", "choose what may be played"),
        ({"products": ["casino", "casino"]}, "products", "stands here twice"),
        ({"products": ["bingo"]}, "products", "not a valid choice"),
        ({"amount": D(10)}, "match_percent", "either a fixed amount or a share"),
        ({"amount": D(101), "match_percent": None}, "amount", "above the largest amount, 100"),
        ({"match_percent": D(0)}, "match_percent", "must be above 0"),
        ({"multiple": D(-1)}, "multiple", "0 (nothing to wager) or more"),
        ({"multiple": "ten"}, "multiple", "must be a decimal number"),
        ({"spins": 5}, "spins", "bonus money has no spins"),
        ({"base": "spin_winnings"}, "base", "bonus money has no winnings of spins"),
        ({"base": "bonus_deposit", "match_percent": None}, "base", "without a deposit there is none to wager"),
        ({"over_max_bet": "penalty"}, "max_bet", "without a largest bet nothing can be above it"),
        ({"max_bet": D("0.05")}, "max_bet", "below the smallest one, 0.1"),
        ({"min_bet": D(0)}, "min_bet", "must be above 0"),
        ({"cash_out_cap": D(0)}, "cash_out_cap", "must be above 0"),
        ({"coverage_limit": D("1.5")}, "coverage_limit", "share of the outcomes"),
        ({"eligible_games": ["slots", ""]}, "eligible_games", "game codes, providers or categories"),
        ({"wagering_hours": 0}, "wagering_hours", "must be above 0"),
        (SPINS | {"spins": None}, "spins", "free spins need this: how many spins"),
        (SPINS | {"spin_game": ""}, "spin_game", "free spins need this"),
        (SPINS | {"amount": D(5)}, "amount", "no money of their own"),
        (SPINS | {"products": ["sports"]}, "products", "played in the casino"),
        (SPINS | {"base": "bonus"}, "base", "what free spins have won"),
    ],
)
def test_save_version__bad_field__refused_by_its_name(template: BonusTemplate, terms: dict[str, Any], field: str, text: str) -> None:
    assert text in refusal(template, **terms)[field]


def test_save_version__free_spins__saved(template: BonusTemplate) -> None:
    assert save_version(template, WELCOME | SPINS, None, NOW).spins == 20


def test_draft_version__anything__writes_nothing(template: BonusTemplate, uk: Jurisdiction) -> None:
    draft = draft_version(template, WELCOME | {"multiple": D(12)}, NOW)
    assert (draft.effective, list(draft.problems)) == (D(12), ["multiple"])
    assert BonusTemplateVersion.objects.count() == 0


def test_current_version__unknown_code__names_the_nearest(template: BonusTemplate) -> None:
    save_version(template, WELCOME, None, NOW)
    with pytest.raises(InvalidPosting, match=r"there is no bonus template 'wellcome'; did you mean 'welcome'\?"):
        current_version("wellcome")


def test_current_version__switched_off_or_empty__refused(template: BonusTemplate) -> None:
    with pytest.raises(InvalidPosting, match="'welcome' has no terms yet"):
        current_version("welcome")
    version = save_version(template, WELCOME, None, NOW)
    assert current_version("welcome") == version
    BonusTemplate.objects.update(is_active=False)
    with pytest.raises(InvalidPosting, match="'welcome' is not active"):
        current_version("welcome")


def test_terms_of__version__has_its_money_in_minor_units(template: BonusTemplate, table: ContributionTable) -> None:
    version = save_version(
        template, WELCOME | {"max_bet": D(5), "contribution": table, "wagering_hours": 48, "cash_out_cap": D(10)}, None, NOW
    )
    terms = terms_of(version, "EUR")
    assert terms == Terms(
        products=("casino",),
        multiple=D(10),
        count_mode="bonus_funds_only",
        contribution_table=table.pk,
        cash_out_cap=D(10),
        max_bet=500,
        min_bet=10,
        wagering_seconds=48 * 3600,
    )
    assert Terms.from_json(terms.as_json()) == terms


def test_terms_of__no_table_of_its_own__default_table_or_none(template: BonusTemplate, table: ContributionTable) -> None:
    version = save_version(template, WELCOME, None, NOW)
    assert terms_of(version, "EUR").contribution_table is None
    ContributionTable.objects.update(is_default=True)
    assert terms_of(version, "EUR").contribution_table == table.pk


def test_terms_of__amount_that_the_currency_cannot_express__refused(template: BonusTemplate) -> None:
    version = save_version(template, WELCOME, None, NOW)
    with pytest.raises(InvalidPosting, match="the smallest bet of bonus template 'welcome' is 0.1, which JPY cannot express"):
        terms_of(version, "JPY")
