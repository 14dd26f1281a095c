"""The pages staff live in, opened in a real browser: every role, both themes, desk and phone, keyboard."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.urls import reverse

from loyalty_site.common.clock import utc_now
from loyalty_site.common.models import JobRun
from loyalty_site.roles import ROLES
from players.models import Exclusion, Payment, Player, PlayerDay
from tests.cache import forget_cached
from tests.factories import PlayerFactory, PlayerMetricsFactory, TierFactory

pytestmark = pytest.mark.django_db(transaction=True)

# what the menu of each role leads with, and a page that it must refuse
MENU = {
    "CRM agent": ({"Today", "Players", "Ledger"}, "/admin/common/auditevent/"),
    "CRM manager": ({"Today", "Players", "Imports", "Runs", "Thresholds"}, "/admin/auth/user/"),
    "Risk analyst": ({"Today", "Players", "Audit trail"}, "/admin/players/importjob/"),
    "Compliance": ({"Today", "Players", "Markets", "Exclusions", "Audit trail"}, "/admin/players/quarantinedrow/"),
    "Finance": ({"Today", "Players", "Ledger", "Adjustments"}, "/admin/django_celery_beat/periodictask/"),
    "Read-only": ({"Today", "Players", "Runs"}, "/admin/common/auditevent/"),
}


@pytest.fixture
def player() -> Iterator[Player]:
    """A site with a little of everything, and the player whom it is about."""
    forget_cached()
    now = utc_now()
    made = PlayerFactory(external_id="P-42", username="anna", tier=TierFactory(name="Gold", color="#ca8a04"), segment="VIP", risk_score=40)
    PlayerMetricsFactory(player=made, total_wagered=Decimal("123456.78"), last_play_on=now.date())
    for back in range(40):
        day = now - timedelta(days=back)
        PlayerDay.objects.create(player=made, day=day.date(), deposits=10 * back, deposit_count=1, stake=100, payout=90 + back, rounds=9)
    Payment.objects.create(player=made, external_id="d1", kind="DEPOSIT", amount=50, occurred_at=now)
    Exclusion.objects.create(player=made, kind="COOL_OFF", starts_at=now - timedelta(days=1), recorded_at=now)
    PlayerFactory(currency="SEK")
    JobRun.objects.create(name="nightly", title="Nightly run", status="FAILED", error="one stage failed", as_of=now, created_at=now)
    yield made
    forget_cached()


def no_overflow(page: Any) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("role", ROLES)
def test_role__logs_in__has_its_menu_and_is_refused_elsewhere(role: str, live_admin: Any, player: Player) -> None:
    page = live_admin.page(live_admin.user("kim", groups=(role,)))
    assert page.goto(f"{live_admin.url}/admin/").status == 200
    titles = set(page.locator("#nav-sidebar-apps li a > span:not(.material-symbols-outlined)").all_inner_texts())
    leads, closed = MENU[role]
    assert leads <= titles
    assert "Staff" not in titles
    assert page.goto(live_admin.url + closed).status == 403


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (1440, True), (390, False), (390, True)])
def test_pages__both_themes_desk_and_phone__fit_and_draw(width: int, dark: bool, live_admin: Any, player: Player) -> None:
    page = live_admin.page(live_admin.user(), width=width, dark=dark)
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    for path in [
        "/admin/",
        "/admin/players/player/",
        reverse("admin:players_player_change", args=[player.pk]),
        "/admin/common/jobrun/",
        reverse("admin:common_jobrun_change", args=[JobRun.objects.get().pk]),
        "/admin/common/auditevent/",
        "/admin/constance/config/",
        "/admin/auth/user/",
        "/admin/auth/group/",
        "/admin/django_celery_beat/periodictask/",
    ]:
        assert page.goto(live_admin.url + path).status == 200
        assert no_overflow(page), path
        assert page.locator("html").evaluate("node => node.classList.contains('dark')") is dark
    assert errors == []


def test_start_page__with_activity__draws_charts_and_lists_what_waits(live_admin: Any, player: Player) -> None:
    page = live_admin.page(live_admin.user())
    page.goto(f"{live_admin.url}/admin/")
    assert page.get_by_text("Failed job runs").is_visible()
    drawn = page.locator("canvas.chart").first.evaluate(
        "node => node.getContext('2d').getImageData(0, 0, node.width, node.height).data.some(value => value > 0)"
    )
    assert drawn is True
    page.get_by_label("Currency").get_by_text("SEK").click()
    page.wait_for_url("**currency=SEK")
    assert page.get_by_label("Currency").locator("[aria-current=true]").inner_text() == "SEK"


def test_player_page__tabs_and_banner__show_one_part_at_a_time(live_admin: Any, player: Player) -> None:
    page = live_admin.page(live_admin.user("kim", groups=("Compliance",)))
    page.goto(live_admin.url + reverse("admin:players_player_change", args=[player.pk]))
    assert page.get_by_role("alert").first.inner_text().startswith("block") or page.get_by_text("Cool-off without end").is_visible()
    assert page.get_by_text("123,456.78 EUR").is_visible()
    page.get_by_role("tab", name="Timeline").click()
    assert page.get_by_text("Deposit", exact=True).first.is_visible()
    assert not page.get_by_text("123,456.78 EUR").is_visible()
    page.reload()
    assert page.get_by_role("tab", name="Timeline").get_attribute("aria-selected") == "true"


def test_player_page__compliance_sets_the_harm_flag_in_a_dialog__banner_appears(live_admin: Any, player: Player) -> None:
    page = live_admin.page(live_admin.user("kim", groups=("Compliance",)))
    page.goto(live_admin.url + reverse("admin:players_player_change", args=[player.pk]))
    page.locator("#header-inner").get_by_text("Protection").click()
    page.locator("nav a[hx-get]", has_text="Harm flag").click()
    dialog = page.locator("#dialog")
    dialog.get_by_role("button", name="Save").click()
    page.wait_for_selector("text=Give a reason: it is kept with the change.")
    dialog.locator("textarea[name=reason]").fill("Chases losses")
    dialog.get_by_role("button", name="Save").click()
    page.wait_for_selector("text=The harm flag is set.")
    assert page.locator(".lb-banner", has_text="Chases losses").is_visible()


def test_keyboard__slash_and_palette__reach_search_without_a_mouse(live_admin: Any, player: Player) -> None:
    page = live_admin.page(live_admin.user("kim", groups=("CRM agent",)))
    page.goto(f"{live_admin.url}/admin/players/player/")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "q"
    page.goto(f"{live_admin.url}/admin/")
    page.keyboard.press("Control+k")
    page.wait_for_function("document.activeElement.id === 'search-input-command'")
    page.keyboard.type("P-4")
    page.wait_for_selector("#command-results-list >> text=P-42")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/players/player/*/change/**")
