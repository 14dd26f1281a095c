"""Fetching pay-out instructions and confirming them over HTTP."""

import pytest

from loyalty_site.common.models import AuditEvent
from tests.api_client import KeyedClient
from tests.factories import PlayerFactory
from tests.wallet.test_payouts import instruction
from wallet.models import PayoutInstruction

pytestmark = pytest.mark.django_db


@pytest.fixture
def api() -> KeyedClient:
    return KeyedClient(["wallet:read", "wallet:write"])


@pytest.fixture
def payout() -> PayoutInstruction:
    return instruction(PlayerFactory(external_id="P001"))


def test_payouts__pending__are_listed_oldest_first_when_asked(api: KeyedClient, payout: PayoutInstruction) -> None:
    second = instruction(payout.player, 2, amount=-500)
    instruction(payout.player, 3, status="FAILED")
    found = api.get("/wallet/payouts", status="PENDING", ordering="id").json()["results"]
    assert [one["key"] for one in found] == [payout.key, second.key]
    assert found[0] == {
        "key": "grant-1-complete",
        "player_id": "P001",
        "grant_id": payout.grant_id,
        "direction": "credit",
        "currency": "EUR",
        "amount": "12.34",
        "status": "PENDING",
        "attempts": 0,
        "created_at": "2026-03-15T12:00:00Z",
        "delivered_at": None,
        "platform_ref": "",
    }
    assert (found[1]["direction"], found[1]["amount"]) == ("debit", "5.00")


def test_payouts__pages__follow_the_key(api: KeyedClient, payout: PayoutInstruction) -> None:
    instruction(payout.player, 2)
    page = api.get("/wallet/payouts", ordering="id", page_size=1).json()
    assert [one["key"] for one in page["results"]] == [payout.key]
    following = api.http.get(page["next"]).json()
    assert [one["key"] for one in following["results"]] == ["grant-2-complete"]
    assert following["next"] is None


def test_confirm__reference__delivers_once(api: KeyedClient, payout: PayoutInstruction) -> None:
    path = f"/wallet/payouts/{payout.key}/confirm"
    answer = api.post(path, {"reference": "pay-1"})
    assert (answer.status_code, answer.json()["status"], answer.json()["platform_ref"]) == (200, "DELIVERED", "pay-1")
    assert api.post(path, {"reference": "pay-1"}).json() == answer.json()
    assert AuditEvent.objects.get(action="wallet.payout_confirmed").api_client == api.client
    other = api.post(path, {"reference": "pay-2"})
    assert (other.status_code, other.json()["type"]) == (409, "urn:loyalty:problem:idempotency-conflict")


def test_confirm__unknown_key_or_no_reference__refused(api: KeyedClient, payout: PayoutInstruction) -> None:
    unknown = api.post("/wallet/payouts/grant-9/confirm", {"reference": "pay-1"})
    assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:loyalty:problem:unknown-payout")
    empty = api.post(f"/wallet/payouts/{payout.key}/confirm", {})
    assert (empty.status_code, empty.json()["errors"][0]["field"]) == (400, "reference")
    payout.refresh_from_db()
    assert payout.status == "PENDING"


def test_confirm__key_without_the_scope__refused(payout: PayoutInstruction) -> None:
    reader = KeyedClient(["wallet:read"])
    assert reader.post(f"/wallet/payouts/{payout.key}/confirm", {"reference": "pay-1"}).status_code == 403
    assert KeyedClient(["tiers:read"]).get("/wallet/payouts").status_code == 403
