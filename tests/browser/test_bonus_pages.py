"""The pages of bonuses in a real browser: both themes, desk and phone, dialogs, and a void by two people."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.urls import reverse

from loyalty_site.common.clock import utc_now
from tests.cache import forget_cached
from tests.factories import PlayerFactory
from tests.wallet.grant_rows import bet_count, grant_row, template, void_request
from wallet import services
from wallet.bonus.terms import Terms
from wallet.models import BonusGrant, VoidRequest

pytestmark = pytest.mark.django_db(transaction=True)

ACT = ("wallet.view_bonusgrant", "wallet.view_entry", "players.view_player", "wallet.act_for_player")


@dataclass
class Bonuses:
    """A player with a bonus in every kind of state."""

    wagering: BonusGrant
    offer: BonusGrant
    void: VoidRequest | None = None


@pytest.fixture
def bonuses() -> Iterator[Bonuses]:
    forget_cached()
    now = utc_now()
    player = PlayerFactory(external_id="P-77", segment="VIP")
    version = template("welcome-bonus")
    terms = Terms(multiple=Decimal(10), max_bet=1000, over_max_bet="penalty", penalty_factor=Decimal(2), sticky=True)
    open_one = grant_row(
        player, "WAGERING", terms=terms, required="1300", penalties="300", wagered="325", locked="40", at=now - timedelta(days=2),
        template_version=version,
    )  # fmt: skip
    for number in range(55):
        bet_count(open_one, "25", "PENALTY", counted="0", penalty="30", ref=f"big-{number}", at=now - timedelta(hours=1))
    bet_count(open_one, game="a-game-with-a-rather-long-code-of-forty-two", weight="0.333333", ref="edge", at=now)
    grant_row(player, "QUEUED", "25", at=now - timedelta(days=1), template_version=version)
    grant_row(player, "COMPLETED", "50", at=now - timedelta(days=20), template_version=version)
    for status in ("EXPIRED", "LOST", "FORFEITED", "VOIDED", "REVERSED", "EXPIRED_UNCLAIMED"):
        grant_row(PlayerFactory(segment="NEW"), status, at=now - timedelta(days=5))
    template("gift", needs_claim=True, products=["sports"])
    offer = services.offer_bonus(
        player_id=player.pk, template="gift", currency="EUR", amount=Decimal(20), source=services.Source("test", "offer"),
        at=now - timedelta(minutes=5),
    )  # fmt: skip
    yield Bonuses(open_one, offer)
    forget_cached()


def no_overflow(page: Any) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def grant_path(grant: BonusGrant) -> str:
    return reverse("admin:wallet_bonusgrant_change", args=[grant.pk])


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (1440, True), (390, False), (390, True)])
def test_bonus_pages__both_themes_desk_and_phone__fit_without_errors(width: int, dark: bool, live_admin: Any, bonuses: Bonuses) -> None:
    boss = live_admin.user()
    asked = void_request(bonuses.wagering, boss)
    page = live_admin.page(boss, width=width, dark=dark)
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    for path in [
        reverse("admin:wallet_bonusgrant_changelist"),
        grant_path(bonuses.wagering),
        grant_path(bonuses.offer),
        reverse("admin:wallet_voidrequest_changelist"),
        reverse("admin:wallet_voidrequest_change", args=[asked.pk]),
        reverse("admin:wallet_bonus_funnel"),
        reverse("admin:wallet_bonus_funnel") + "?group=period",
        reverse("admin:wallet_bonus_funnel") + "?first=2020-01-01&last=2020-01-31",
        reverse("admin:players_player_change", args=[bonuses.wagering.player_id]) + "#wallet",
    ]:
        assert page.goto(live_admin.url + path).status == 200
        assert no_overflow(page), path
        assert page.locator("html").evaluate("node => node.classList.contains('dark')") is dark
    assert errors == []


def test_grant_page__bar_verdicts_and_paging__are_where_people_look(live_admin: Any, bonuses: Bonuses) -> None:
    page = live_admin.page(live_admin.user())
    page.goto(live_admin.url + grant_path(bonuses.wagering))
    bar = page.get_by_role("progressbar", name="325.00 EUR of 1,300.00 EUR wagered")
    assert bar.get_attribute("aria-valuenow") == "25"
    widths = bar.evaluate("node => [...node.children].map(one => one.getBoundingClientRect().width / node.getBoundingClientRect().width)")
    assert [round(width, 2) for width in widths] == [0.23, 0.25]  # penalties at the end, what was wagered from the start
    assert page.get_by_text("Above 10.00 EUR: 30.00 EUR more to wager.").first.is_visible()
    page.get_by_role("navigation", name="Verdict").get_by_text("Counted", exact=True).click()
    page.wait_for_url("**verdict=COUNTED**")
    assert page.locator(".wallet-bets tbody tr").count() == 1
    page.get_by_role("navigation", name="Verdict").get_by_text("All", exact=True).click()
    page.get_by_role("link", name="Older bets").click()
    page.wait_for_url("**bets_before=**")
    assert page.get_by_text("big-0", exact=True).is_visible()
    page.get_by_text("All terms as a table").click()
    assert page.get_by_text("Penalty factor").is_visible()


def test_grant_page__explanation__downloads(live_admin: Any, bonuses: Bonuses) -> None:
    page = live_admin.page(live_admin.user())
    page.goto(live_admin.url + grant_path(bonuses.wagering))
    for kind, name in (("CSV", "csv"), ("Excel", "xlsx")):
        with page.expect_download() as download:
            page.locator("#bets").get_by_role("link", name=kind).click()
        assert download.value.suggested_filename == f"bonus-{bonuses.wagering.pk}-explanation.{name}"


def test_player_page__quick_action__claims_the_offer_in_a_dialog(live_admin: Any, bonuses: Bonuses) -> None:
    page = live_admin.page(live_admin.user("kim", permissions=ACT))
    page.goto(live_admin.url + reverse("admin:players_player_change", args=[bonuses.offer.player_id]) + "#wallet")
    panel = page.get_by_role("region", name="Bonuses")
    assert panel.locator("h3").all_inner_texts() == ["Open", "Queued", "Offered", "Last closed"]
    panel.get_by_role("link", name="Claim").click()
    dialog = page.locator("#dialog")
    dialog.get_by_role("button", name="Claim").click()
    page.wait_for_selector("text=Give a reason: it is kept with the change.")
    dialog.locator("textarea[name=reason]").fill("Asked in the chat")
    dialog.get_by_role("button", name="Claim").click()
    page.wait_for_url(f"**{grant_path(bonuses.offer)}")
    assert page.get_by_text("The bonus is claimed.").is_visible()
    bonuses.offer.refresh_from_db()
    assert (bonuses.offer.status, bonuses.offer.balance) == ("ACTIVE", 2000)


def test_player_page__without_the_permission__no_quick_actions(live_admin: Any, bonuses: Bonuses) -> None:
    page = live_admin.page(live_admin.user("ro", groups=("Read-only",)))
    page.goto(live_admin.url + reverse("admin:players_player_change", args=[bonuses.offer.player_id]) + "#wallet")
    panel = page.get_by_role("region", name="Bonuses")
    assert panel.get_by_text("Gift").is_visible()
    assert panel.get_by_role("link", name="Claim").count() == 0


def test_void__risk_asks_and_compliance_approves__on_their_own_pages(live_admin: Any, bonuses: Bonuses) -> None:
    compliance = live_admin.user("cora", groups=("Compliance",))
    risk = live_admin.page(live_admin.user("rick", groups=("Risk analyst",)))
    risk.goto(live_admin.url + grant_path(bonuses.wagering))
    risk.locator("#header-inner a[hx-get]", has_text="Ask to void").click()
    dialog = risk.locator("#dialog")
    dialog.locator("input[name=case_id]").fill("C-17")
    dialog.locator("textarea[name=reason]").fill("Same device as P-12")
    dialog.get_by_role("button", name="Ask").click()
    risk.wait_for_selector("text=Another person has to approve it now.")
    assert risk.locator("a[hx-get]", has_text="Approve void").count() == 0
    desk = live_admin.page(compliance)
    forget_cached()
    desk.goto(f"{live_admin.url}/admin/")
    desk.get_by_text("Bonuses wait to be voided or kept").click()
    desk.locator("#result_list").get_by_role("link", name="#", exact=False).first.click()
    desk.locator("#header-inner a[hx-get]", has_text="Approve").click()
    desk.locator("#dialog textarea[name=reason]").fill("Evidence looked at")
    desk.locator("#dialog").get_by_role("button", name="Void it").click()
    desk.wait_for_selector("text=The bonus is voided.")
    bonuses.wagering.refresh_from_db()
    assert (bonuses.wagering.status, bonuses.wagering.balance, bonuses.wagering.locked) == ("VOIDED", 0, 0)


def test_funnel__picker_grouping_and_export__lead_where_they_say(live_admin: Any, bonuses: Bonuses) -> None:
    page = live_admin.page(live_admin.user())
    page.goto(f"{live_admin.url}/admin/")
    page.locator("#nav-sidebar-apps").get_by_text("Bonus funnel").click()
    page.locator(".wallet-funnel li").first.wait_for()
    assert page.locator(".wallet-funnel li").count() == 4
    page.get_by_role("navigation", name="Grouping").get_by_text("Segment").click()
    page.wait_for_url("**group=segment**")
    page.get_by_role("img", name="VIP: Completed 1").wait_for()
    page.get_by_label("Segment").select_option("NEW")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**segment=NEW**")
    page.locator(".wallet-funnel li", has_text="600.00 EUR").first.wait_for()  # six of 100 for the new player segment
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert download.value.suggested_filename.startswith("bonus-funnel-EUR-")
    page.get_by_text("7 days", exact=True).click()
    page.wait_for_url("**first=**")
    assert page.get_by_text("7 days", exact=True).get_attribute("aria-current") == "true"
