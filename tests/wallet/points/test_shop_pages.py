"""Pages and API of the catalogue, of redemptions and of the liability: who sees what, what they can do, what a file holds."""

import io
from datetime import timedelta
from decimal import Decimal
from typing import Any

import openpyxl
import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from loyalty_site.common.clock import utc_now
from loyalty_site.common.models import AuditEvent
from tests.api_client import KeyedClient
from tests.cache import forget_cached
from tests.factories import PlayerFactory
from tests.wallet.factories import a_template, balance_of, points, staff
from wallet.models import CatalogueItem, PointsPolicy, Redemption
from wallet.points import policies

from .shop import a_buyer, bonus, buy, goods, tickets

pytestmark = pytest.mark.django_db
MANAGER = ("view_catalogueitem", "add_catalogueitem", "change_catalogueitem", "view_redemption", "fulfil_redemption")
FORM = {"code": "mug", "name": "Mug", "kind": "goods", "price_points": "120.50", "stock": "5", "is_active": "on"}
LIABILITY = "admin:wallet_liability"


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    forget_cached()
    policies.forget()


def logged_in(*permissions: str) -> tuple[Client, User]:
    user, client = staff(*permissions), Client()
    client.force_login(user)
    return client, user


def text(answer: Any) -> str:
    return str(answer.content.decode())


# the catalogue


def test_catalogue_form__goods__stores_the_price_in_hundredths() -> None:
    client, _ = logged_in(*MANAGER)
    assert client.post(reverse("admin:wallet_catalogueitem_add"), FORM).status_code == 302
    item = CatalogueItem.objects.get()
    assert (item.code, item.price, item.stock, item.bonus_template, item.tickets) == ("mug", 12_050, 5, None, None)
    assert item.history.count() == 1


def test_catalogue_form__fields_of_another_kind__are_dropped() -> None:
    client, _ = logged_in(*MANAGER)
    template = a_template()
    values = FORM | {"kind": "tickets", "tickets": "5", "bonus_template": template.pk, "bonus_amount": "5", "bonus_currency": "eur"}
    assert client.post(reverse("admin:wallet_catalogueitem_add"), values).status_code == 302
    item = CatalogueItem.objects.get()
    assert (item.tickets, item.bonus_template, item.bonus_amount, item.bonus_currency) == (5, None, None, "")


def test_catalogue_form__bonus__needs_its_template_amount_and_currency() -> None:
    client, _ = logged_in(*MANAGER)
    template = a_template()
    url, values = reverse("admin:wallet_catalogueitem_add"), FORM | {"kind": "bonus"}
    for more, message in (
        ({}, "Choose the template whose terms the bonus has"),
        ({"bonus_template": template.pk, "bonus_currency": "E1"}, "needs an ISO 4217 currency"),
        ({"bonus_template": template.pk, "bonus_currency": "eur"}, "Say how much bonus money"),
        ({"bonus_template": template.pk, "bonus_currency": "eur", "bonus_amount": "1.001"}, "more than 2 decimal places"),
        ({"bonus_template": a_template(match_percent=Decimal(50)).pk, "bonus_currency": "eur", "bonus_amount": "1"}, "needs no deposit"),
        ({"bonus_template": a_template(max_amount=Decimal(4)).pk, "bonus_currency": "eur", "bonus_amount": "5"}, "gives 4 at most"),
    ):
        answer = client.post(url, values | more)
        assert answer.status_code == 200, more
        assert message in text(answer)
    assert not CatalogueItem.objects.exists()
    client.post(url, values | {"bonus_template": template.pk, "bonus_currency": "eur", "bonus_amount": "5"})
    assert CatalogueItem.objects.get().bonus_currency == "EUR"


def test_catalogue_form__tickets_without_number__wrong_time__are_refused() -> None:
    client, _ = logged_in(*MANAGER)
    url = reverse("admin:wallet_catalogueitem_add")
    assert "Say how many tickets" in text(client.post(url, FORM | {"kind": "tickets"}))
    times = {"valid_from_0": "2026-03-02", "valid_from_1": "00:00", "valid_to_0": "2026-03-01", "valid_to_1": "00:00"}
    assert "The end must lie after the start" in text(client.post(url, FORM | times))
    assert not CatalogueItem.objects.exists()


def test_catalogue_form__saved_beside_a_purchase__keeps_the_stock_that_the_purchase_left() -> None:
    client, _ = logged_in(*MANAGER)
    item = goods(stock=5)
    page = reverse("admin:wallet_catalogueitem_change", args=[item.pk])
    assert client.get(page).status_code == 200
    buy(a_buyer(), item, 2)
    client.post(page, {"name": "Better mug", "price_points": "130", "is_active": "on", "stock": "5", "code": "other"})
    item.refresh_from_db()
    assert (item.name, item.price, item.stock, item.code) == ("Better mug", 13_000, 3, "mug")


def test_catalogue_list__shows_price_content_and_state() -> None:
    PointsPolicy.objects.filter(unit="RP").update(cost_per_point=Decimal("0.01"))
    client, _ = logged_in("view_catalogueitem")
    bonus(price=50_000, amount="5"), tickets(stock=0), goods(is_active=False)
    page = text(client.get(reverse("admin:wallet_catalogueitem_changelist")))
    for part in ("500.00 RP", "5.00 EUR of", "5 tickets", "sold out", ">off<", "on offer"):
        assert part in page, part


def test_stock_dialog__changes_the_stock_and_needs_the_permission() -> None:
    item = goods(stock=5)
    url = reverse("admin:wallet_catalogueitem_change_stock", args=[item.pk])
    values = {"_form_submitted": "True", "change": "-2", "reason": "two broken"}
    assert logged_in("view_catalogueitem")[0].post(url, values).status_code == 403
    logged_in(*MANAGER)[0].post(url, values)
    item.refresh_from_db()
    assert item.stock == 3


def test_stock_limit__is_lifted_on_the_page_by_those_who_may_and_offered_only_where_there_is_one() -> None:
    item = goods(stock=5)
    page, url = (reverse(f"admin:wallet_catalogueitem_{name}", args=[item.pk]) for name in ("change", "lift_limit"))
    values = {"_form_submitted": "True", "reason": "made to order"}
    assert logged_in("view_catalogueitem")[0].post(url, values).status_code == 403
    client, _ = logged_in(*MANAGER)
    assert "Lift the limit" in text(client.get(page))
    client.post(url, values)
    item.refresh_from_db()
    assert item.stock is None
    assert "Lift the limit" not in text(client.get(page))


def test_catalogue__nobody__deletes_an_item() -> None:
    item = goods()
    client, _ = logged_in(*MANAGER)
    assert client.get(reverse("admin:wallet_catalogueitem_delete", args=[item.pk])).status_code == 403


# redemptions


def test_redemption_page__shows_the_lots_that_paid_and_offers_what_is_possible() -> None:
    player = a_buyer("150")
    made = buy(player, goods())
    client, _ = logged_in(*MANAGER)
    page = text(client.get(reverse("admin:wallet_redemption_change", args=[made.pk])))
    for part in (player.external_id, "100.00 RP", "Lots that paid", "Hand over", "wait to be handed over"):
        assert part in page, part
    listed = client.get(reverse("admin:wallet_redemption_changelist") + f"?q={player.external_id}")
    assert f"#{made.pk}" in text(listed)


def test_redemption_dialogs__hand_over_and_cancel() -> None:
    player = a_buyer("300")
    first, second = buy(player, goods()), buy(player, goods("cup"))
    client, clerk = logged_in(*MANAGER)
    for made, verb in ((first, "fulfil"), (second, "cancel")):
        url = reverse(f"admin:wallet_redemption_{verb}", args=[made.pk])
        assert logged_in("view_redemption")[0].post(url, {"_form_submitted": "True", "reason": "parcel 17"}).status_code == 403
        client.post(url, {"_form_submitted": "True", "reason": "parcel 17"})
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.status, first.closed_by_id, second.status, balance_of(player.pk, "RP")) == ("FULFILLED", clerk.pk, "CANCELLED", 20_000)
    page = text(client.get(reverse("admin:wallet_redemption_change", args=[first.pk])))
    assert "Hand over" not in page
    assert "parcel 17" in page


# liability


def test_liability_page__only_with_the_permission() -> None:
    assert logged_in("view_entry")[0].get(reverse(LIABILITY)).status_code == 403
    assert logged_in("view_liability")[0].get(reverse(LIABILITY)).status_code == 200


def test_liability_page__without_points__says_so() -> None:
    page = text(logged_in("view_liability")[0].get(reverse(LIABILITY)))
    assert "No reward points on the books yet" in page


def test_liability_page__shows_cohorts_ends_and_the_roll_forward() -> None:
    PointsPolicy.objects.filter(unit="RP").update(cost_per_point=Decimal("0.01"), breakage=Decimal("0.2"))
    player = PlayerFactory()
    now = utc_now()
    points(player.pk, "1000", unit="RP", at=now - timedelta(days=70))
    points(player.pk, "500", unit="RP", at=now - timedelta(minutes=1))
    page = text(logged_in("view_liability")[0].get(reverse(LIABILITY), {"unit": "RP", "since": f"{(now - timedelta(days=60)):%Y-%m-%d}"}))
    for part in ("12.00 EUR", "1,500.00 RP", "20.0 %", "Roll-forward", "+500.00 RP", 'data-type="bar"'):
        assert part in page, part
    assert "download" not in page  # no export without its permission


@pytest.mark.parametrize("query", ["unit=XX", "day=nonsense", "day=2999-01-01", "since=2026-02-30", "day=1999-12-31", "since=2999-01-01"])
def test_liability_page__address_that_makes_no_sense__shows_the_usual_and_says_so(query: str) -> None:
    answer = logged_in("view_liability")[0].get(f"{reverse(LIABILITY)}?{query}")
    assert answer.status_code == 200
    assert "lb-banner-warn" in text(answer)


def test_liability_export__csv_and_xlsx__behind_a_permission_and_audited() -> None:
    points(PlayerFactory().pk, "1000", unit="RP", at=utc_now() - timedelta(minutes=1))
    url = reverse("admin:wallet_liability_export", args=["csv"])
    assert logged_in("view_liability")[0].get(url).status_code == 403
    client, _ = logged_in("view_liability", "export_liability")
    lines = b"".join(client.get(url, {"unit": "RP"}).streaming_content).decode().splitlines()
    assert lines[0].startswith("month,earned,other,spent,expired,taken_back,remaining")
    assert lines[1].split(",")[1:7] == ["1000.00", "0.00", "0.00", "0.00", "0.00", "1000.00"]
    book = openpyxl.load_workbook(
        io.BytesIO(b"".join(client.get(reverse("admin:wallet_liability_export", args=["xlsx"])).streaming_content))
    )
    assert book.sheetnames == ["Cohorts", "Ends", "Bonus money", "Roll-forward"]
    assert client.get(reverse("admin:wallet_liability_export", args=["pdf"])).status_code == 404
    assert AuditEvent.objects.filter(action="wallet.liability_exported").count() == 2


# API


def test_api_catalogue__says_what_a_player_can_have_and_why_not() -> None:
    player = a_buyer("100")
    goods(price=10_000), bonus(price=50_000)
    api = KeyedClient(["wallet:read"])
    anyone = api.get("/wallet/catalogue").json()
    assert [(item["code"], item["available"]) for item in anyone["items"]] == [("mug", None), ("five-euro", None)]
    theirs = api.get("/wallet/catalogue", player_id=player.external_id).json()["items"]
    assert [(item["available"], item["cause"]) for item in theirs] == [(True, ""), (False, "not-enough-points")]
    assert (theirs[1]["price"], theirs[1]["bonus_amount"]) == ("500.00", "5.00")
    assert api.get("/wallet/catalogue", player_id="nobody").status_code == 400
    assert api.get("/wallet/catalogue", player="P").status_code == 400


def test_api_redemptions__buy_repeat_list_and_cancel() -> None:
    player = a_buyer("1000")
    bonus(price=50_000)
    api = KeyedClient(["wallet:read", "wallet:write"])
    body = {"player_id": player.external_id, "item": "five-euro", "reference": "order-1"}
    made, again = api.post("/wallet/redemptions", body), api.post("/wallet/redemptions", body)
    assert (made.status_code, made.json()["status"], made.json()["reference"]) == (201, "FULFILLED", "order-1")
    assert made.json() == again.json()
    assert balance_of(player.pk, "RP") == 50_000
    listed = api.get("/wallet/redemptions", player_id=player.external_id, status="FULFILLED").json()["results"]
    assert [one["id"] for one in listed] == [made.json()["id"]]
    conflict = api.post("/wallet/redemptions", body | {"quantity": 2})
    assert conflict.status_code == 409
    cancelled = api.post(f"/wallet/redemptions/{made.json()['id']}/cancel", {"reason": "changed mind"})
    assert (cancelled.status_code, cancelled.json()["status"], balance_of(player.pk, "RP")) == (200, "CANCELLED", 100_000)
    assert AuditEvent.objects.get(action="wallet.redemption_cancelled").api_client_id == api.client.pk


def test_api_redemptions__refusals__name_their_cause() -> None:
    player = a_buyer("10")
    goods(stock=0), goods("cup", price=5_000)
    api = KeyedClient(["wallet:write"])
    body = {"player_id": player.external_id, "item": "mug", "reference": "a"}
    refused = api.post("/wallet/redemptions", body)
    assert (refused.status_code, refused.json()["cause"]) == (422, "out-of-stock")
    assert refused.json()["type"].endswith("redemption-refused")
    poor = api.post("/wallet/redemptions", body | {"item": "cup"})
    assert (poor.status_code, poor.json()["type"].rsplit(":", 1)[-1]) == (422, "insufficient-funds")
    unknown = api.post("/wallet/redemptions", body | {"item": "none"})
    assert (unknown.status_code, unknown.json()["cause"]) == (404, "unknown-item")
    assert api.post("/wallet/redemptions/999999/cancel", {"reason": "x"}).status_code == 404
    assert not Redemption.objects.exists()


def test_api_reports__need_the_scope_of_finance_and_agree_with_the_reports() -> None:
    PointsPolicy.objects.filter(unit="RP").update(cost_per_point=Decimal("0.01"))
    points(PlayerFactory().pk, "1000", unit="RP", at=utc_now() - timedelta(days=1))
    assert KeyedClient(["wallet:read"]).get("/wallet/reports/liability").status_code == 403
    api = KeyedClient(["finance:read"])
    report = api.get("/wallet/reports/liability", unit="RP").json()
    assert (report["remaining"], report["liability"], report["cohorts"][0]["source"]) == ("1000.0000", "10.0000", "prior")
    movement = api.get("/wallet/reports/roll-forward", unit="RP").json()
    assert (movement["opening"], movement["closing"]) == ("0.0000", "1000.0000")
    assert {line["code"]: line["amount"] for line in movement["lines"]}["earned"] == "1000.0000"
    for query in ({"unit": "BONUS"}, {"at": "2026-01-01"}, {"unti": "x"}):
        assert api.get("/wallet/reports/liability", **query).status_code == 400
    late = {"since": "2026-02-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}
    assert api.get("/wallet/reports/roll-forward", **late).status_code == 400
