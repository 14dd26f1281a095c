"""What if of somebody described, in a real browser: rows come and go without a round trip, and what is wrong stands at its field."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import reverse

from predictions import services
from predictions.ml import profile_schema
from predictions.services import InvalidProfile, ProfileScore, Reason
from tests.cache import forget_cached
from tests.predictions.admin import rows

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many products each scored description had; each is worth a hundred."""
    forget_cached()
    rows.player("P-1")
    calls: list[int] = []

    def score(kind: str, profile: Any) -> ProfileScore:
        try:
            profile_schema.read(profile)
        except profile_schema.InvalidProfile as error:
            raise InvalidProfile(error.errors) from error
        count = len(profile["products"])
        calls.append(count)
        answer = {"value": 100.0 * count, "low": 0.0, "high": 900.0, "confidence": 0.8, "level": 0.8, "base": 50.0, "outside": []}
        reason = Reason("active_products", "products in use", "products", count, 100.0, f"products in use: {count}")
        return ProfileScore(kind, answer, [reason], [], 1, True)

    monkeypatch.setattr(services, "score_profile", score)
    yield calls
    forget_cached()


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (1440, True), (390, False)])
def test_described_pages__both_themes_desk_and_phone__fit(width: int, dark: bool, live_admin: Any, asked: list[int]) -> None:
    page = live_admin.page(live_admin.user(), width=width, dark=dark)
    for name in ("predictions_what_if_customer", "predictions_what_if_deposits"):
        assert page.goto(live_admin.url + reverse(f"admin:{name}")).status == 200
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_customer__rows_added_and_taken_away__are_scored_at_once(live_admin: Any, asked: list[int]) -> None:
    page = live_admin.page(live_admin.user())
    page.goto(live_admin.url + reverse("admin:predictions_what_if_customer"))
    page.evaluate("window.isSamePage = true")
    figure = page.locator("#described-answer .pred-figure")
    assert figure.inner_text() == "200.00 EUR"
    page.get_by_role("button", name="Add a product").click()
    page.wait_for_function("document.querySelector('#described-answer .pred-figure').innerText === '300.00 EUR'")
    assert page.get_by_role("group", name="Product 3").get_by_label("Balance").get_attribute("name") == "products-2-balance"
    page.get_by_role("group", name="Product 1").get_by_role("button").click()
    page.wait_for_function("document.querySelector('#described-answer .pred-figure').innerText === '200.00 EUR'")
    assert page.get_by_role("group", name="Product 3").count() == 0
    assert page.get_by_role("group", name="Product 1").get_by_label("Balance").input_value() == "1800"  # the second moved up
    assert page.evaluate("window.isSamePage") is True
    assert asked == [2, 3, 2]


def test_customer__wrong_number__is_named_at_its_field_until_it_is_right(live_admin: Any, asked: list[int]) -> None:
    page = live_admin.page(live_admin.user())
    page.goto(live_admin.url + reverse("admin:predictions_what_if_customer"))
    balance = page.get_by_role("group", name="Product 2").get_by_label("Balance")
    balance.fill("-5")
    page.locator("#described-answer").get_by_text("Product 2, balance").wait_for()
    message = page.get_by_role("group", name="Product 2").get_by_text("must be between 0 and 1,000,000,000,000.")
    assert message.is_visible()
    assert balance.get_attribute("aria-invalid") == "true"
    balance.fill("5")
    message.wait_for(state="hidden")
    assert balance.get_attribute("aria-invalid") is None
