"""The pages of predictions in a real browser: both themes, desk and phone, the slider, the keyboard, and a promotion by two people."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from django.urls import reverse

from loyalty_site.common.clock import utc_now
from players.models import Player
from predictions import services
from predictions.models import ModelVersion, PromotionRequest, ScoringRun
from predictions.services import Reason, Scored, WhatIf
from tests.cache import forget_cached
from tests.predictions.admin import rows

pytestmark = pytest.mark.django_db(transaction=True)

UP = Reason("days_since_last_deposit", "days since last deposit", "days", 41.0, 1.5, "last deposit longer ago than usual")
DOWN = Reason("sessions_30d", "sessions in 30 days", "count", 9.0, -0.5, "more sessions in 30 days than usual")


@dataclass
class Scores:
    """A published run of a few players, a candidate beside the version in use."""

    run: ScoringRun
    player: Player
    candidate: ModelVersion


@pytest.fixture
def scores() -> Iterator[Scores]:
    forget_cached()
    now = utc_now()
    run = rows.run(as_of=now)
    for number in range(10):
        player = rows.player(f"P-{number}-with-a-rather-long-identifier", segment="VIP")
        rows.score(run, player, churn=(number + 0.5) / 10, value=str(100 * (number + 1)), fraud=number / 10)
    rows.past(player, "churn", [0.2, 0.4, 0.7], until=now)
    rows.publish(run)
    yield Scores(run, player, rows.version("churn", number=2, status="CANDIDATE"))
    forget_cached()


def fits(page: Any) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


def paths(scores: Scores) -> list[str]:
    lists = ("churnscore", "valuescore", "fraudscore", "segmentscore", "engagementscore", "modelversion", "promotionrequest")
    distribution = reverse("admin:predictions_distribution")
    return [
        *(reverse(f"admin:predictions_{model}_changelist") for model in lists),
        *(f"{distribution}?kind={kind}" for kind in ("churn", "ltv", "fraud", "segmentation", "engagement")),
        reverse("admin:predictions_modelversion_change", args=[scores.candidate.pk]),
        reverse("admin:predictions_what_if"),
        reverse("admin:predictions_what_if") + "?described",
        reverse("admin:players_player_change", args=[scores.player.pk]) + "#predictions",
    ]


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (1440, True), (390, False), (390, True)])
def test_prediction_pages__both_themes_desk_and_phone__fit_without_errors(width: int, dark: bool, live_admin: Any, scores: Scores) -> None:
    page = live_admin.page(live_admin.user(), width=width, dark=dark)
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    for path in paths(scores):
        assert page.goto(live_admin.url + path).status == 200
        assert fits(page), path
        assert page.locator("html").evaluate("node => node.classList.contains('dark')") is dark
    assert errors == []


@pytest.mark.parametrize("width", [1440, 390])
def test_prediction_pages__before_the_first_run__say_what_to_do(width: int, live_admin: Any) -> None:
    forget_cached()
    page = live_admin.page(live_admin.user(), width=width)
    for model in ("churnscore", "valuescore", "fraudscore", "segmentscore", "engagementscore"):
        page.goto(live_admin.url + reverse(f"admin:predictions_{model}_changelist"))
        assert page.get_by_text("No predictions yet").is_visible()
        assert not page.locator("#changelist-form").is_visible()
        assert fits(page)
    page.locator(".pred-empty").get_by_role("link", name="Models").click()
    page.get_by_text("No model has been trained yet").wait_for()


def test_distribution__slider_by_keyboard__moves_the_figures_and_the_link(live_admin: Any, scores: Scores) -> None:
    page = live_admin.page(live_admin.user())
    page.goto(live_admin.url + reverse("admin:predictions_distribution"))
    show = page.locator("#threshold [data-show]")
    players = page.locator("[data-show=players]")
    assert players.inner_text() == "5"
    slider = page.get_by_role("slider", name="Threshold of the churn probability")
    slider.focus()
    for _ in range(11):
        page.keyboard.press("ArrowRight")
    assert (slider.get_attribute("aria-valuetext"), players.inner_text()) == ("0.61", "4")
    assert page.locator("[data-show=cost]").inner_text() == "–"
    page.get_by_label("Cost of one contact").fill("2.5")
    assert page.locator("[data-show=cost]").inner_text() == "10.00 EUR"
    assert page.locator("[data-show=value]").inner_text() == "3,400.00 EUR"  # 700 + 800 + 900 + 1000
    assert page.locator("[data-show=pays]").inner_text().endswith(" %")
    page.get_by_label("Cost of one contact").fill("-5")
    assert page.locator("#contact-cost-error").inner_text() == "A cost is a number from 0 on."
    assert page.locator("[data-show=cost]").inner_text() == "–"
    assert slider.evaluate("node => node.style.getPropertyValue('--at')") == "61%"
    assert show.count() > 8
    page.get_by_role("link", name="Show these players").click()
    page.wait_for_url("**probability_from=0.61")
    page.locator("#result_list tr.data-row").first.wait_for()
    assert page.locator("#result_list tr.data-row").count() == 4


def test_lists__export_and_tabs__lead_where_they_say(live_admin: Any, scores: Scores) -> None:
    page = live_admin.page(live_admin.user("cora", groups=("CRM manager",)))
    page.goto(live_admin.url + reverse("admin:predictions_churnscore_changelist") + "?risk=high")
    for kind, name in (("CSV", "csv"), ("Excel", "xlsx")):
        with page.expect_download() as download:
            page.get_by_role("link", name=kind).click()
        assert download.value.suggested_filename == f"churn-{scores.run.as_of:%Y-%m-%d}.{name}"
    page.get_by_role("navigation", name="What is predicted").get_by_text("Lifetime value").click()
    page.wait_for_url("**/valuescore/")
    page.locator("#result_list a", has_text="P-9").first.click()
    page.wait_for_url("**#predictions")
    panel = page.get_by_role("tabpanel", name="Predictions")
    panel.get_by_role("region", name="Churn").get_by_text("95 %", exact=True).wait_for()
    assert panel.get_by_role("img", name="History of 4 scores", exact=False).is_visible()


def test_what_if__typed_number__changes_the_answer_at_once(live_admin: Any, scores: Scores, monkeypatch: pytest.MonkeyPatch) -> None:
    def scored(churn: float) -> Scored:
        amounts = {name: Decimal(100) for name in ("value", "p10", "p50", "p90", "value_90")}
        found = {"churn": {"probability": churn, "lower": churn - 0.05, "upper": churn + 0.05}, "ltv": amounts}
        return Scored(scores.player.pk, scores.run.as_of, "EUR", found, {}, {}, {"sessions_30d": 2.0, "bonus_share_90d": 0.3066})

    def what_if(player: Any, changes: dict[str, Any], as_of: Any, kinds: Any) -> WhatIf:
        before = scored(0.7)
        after = scored(0.4) if changes else before
        return WhatIf(before, after, {}, {"churn": [UP, DOWN]}, {"sessions_30d": (2.0, 9.0)} if changes else {})

    monkeypatch.setattr(services, "score_player", lambda player, at, kinds: scored(0.7))
    monkeypatch.setattr(services, "what_if", what_if)
    page = live_admin.page(live_admin.user())
    page.goto(live_admin.url + reverse("admin:predictions_what_if"))
    page.get_by_label("Player id").fill(scores.player.external_id)
    page.keyboard.press("Enter")
    answer = page.locator("#what-if-answer")
    answer.get_by_text("70 %").first.wait_for()
    page.get_by_label("Sessions in 30 days").fill("9")
    answer.get_by_text("-30.0 points").wait_for()
    assert page.get_by_label("Sessions in 30 days").evaluate("node => node.classList.contains('pred-changed')")
    widths = answer.locator(".pred-axis-bar b").evaluate_all("all => all.map(one => one.style.width)")
    assert widths == ["50%", "16.7%"]
    page.get_by_role("button", name="As it is").click()
    answer.get_by_text("-30.0 points").wait_for(state="detached")


def test_promotion__risk_asks_and_compliance_refuses__on_their_own_pages(live_admin: Any, scores: Scores) -> None:
    compliance = live_admin.user("cleo", groups=("Compliance",))
    risk = live_admin.page(live_admin.user("rick", groups=("Risk analyst",)))
    risk.goto(live_admin.url + reverse("admin:predictions_modelversion_change", args=[scores.candidate.pk]))
    risk.locator("#header-inner a[hx-get]", has_text="Ask for promotion").click()
    risk.locator("#dialog textarea[name=reason]").fill("Better on the same players")
    risk.locator("#dialog").get_by_role("button", name="Ask").click()
    risk.wait_for_selector("text=You asked for this, so another person must decide on it.")
    assert risk.locator("#header-inner a[hx-get]").count() == 0
    forget_cached()
    desk = live_admin.page(compliance)
    desk.goto(live_admin.url + reverse("admin:predictions_promotionrequest_changelist"))
    desk.locator("#result_list").get_by_role("link", name="#", exact=False).first.click()
    desk.locator("#header-inner a[hx-get]", has_text="Refuse").click()
    desk.locator("#dialog textarea[name=reason]").fill("Too few players")
    desk.locator("#dialog").get_by_role("button", name="Refuse").click()
    desk.wait_for_selector("text=The request is refused; nothing changed.")
    asked = PromotionRequest.objects.get()
    assert (asked.status, asked.decided_by) == ("REFUSED", compliance)


def test_train__dialog__asks_for_kinds_and_a_reason(live_admin: Any, scores: Scores) -> None:
    page = live_admin.page(live_admin.user())
    page.goto(live_admin.url + reverse("admin:predictions_modelversion_changelist"))
    page.locator("#header-inner a[hx-get]", has_text="Train").click()
    dialog = page.locator("#dialog")
    dialog.get_by_role("checkbox").first.wait_for()
    assert dialog.get_by_role("checkbox").count() == 6
    assert fits(page)
    dialog.get_by_role("button", name="Train").click()
    page.wait_for_selector("text=Give a reason: it is kept with the change.")
