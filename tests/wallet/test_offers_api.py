"""Offering bonuses of a template over HTTP."""

from decimal import Decimal

import pytest

from players.models import Player, Protection
from tests.api_client import KeyedClient
from tests.factories import PlayerFactory
from tests.wallet.factories import a_template, assert_books_balance
from wallet.models import BonusGrant

pytestmark = pytest.mark.django_db


@pytest.fixture
def api() -> KeyedClient:
    PlayerFactory(external_id="P001")
    return KeyedClient(["wallet:read", "wallet:write"])


def _offer(api: KeyedClient, template: str, reference: str = "offer-1", **fields: object):
    return api.post("/wallet/grants", {"player_id": "P001", "template": template, "reference": reference, **fields})


def test_offer__that_needs_a_claim__waits_for_it_and_can_be_claimed(api: KeyedClient) -> None:
    a_template("welcome", needs_claim=True, match_percent=Decimal(100), max_amount=Decimal(30), min_deposit=Decimal(10))
    offered = _offer(api, "welcome")
    assert offered.status_code == 201, offered.json()
    assert (offered.json()["status"], offered.json()["principal"]) == ("OFFERED", "0.00")
    claimed = api.post(f"/wallet/grants/{offered.json()['id']}/claim", {"deposit": "50.00", "deposit_ref": "D-1"})
    assert (claimed.json()["status"], claimed.json()["balance"], claimed.json()["wagering_required"]) == ("ACTIVE", "30.00", "300.000000")
    assert_books_balance()


def test_offer__on_a_deposit_without_a_claim__is_active_and_a_second_one_queues(api: KeyedClient) -> None:
    a_template("reload", match_percent=Decimal(50))
    first = _offer(api, "reload", deposit="40.00", deposit_ref="D-1")
    second = _offer(api, "reload", "offer-2", deposit="10.00", deposit_ref="D-2")
    assert [(one.json()["status"], one.json()["principal"]) for one in (first, second)] == [("ACTIVE", "20.00"), ("QUEUED", "5.00")]


def test_offer__same_reference_again__has_no_further_effect(api: KeyedClient) -> None:
    a_template("gift", amount=Decimal(5))
    assert _offer(api, "gift").json()["id"] == _offer(api, "gift").json()["id"]
    assert BonusGrant.objects.count() == 1
    a_template("other", amount=Decimal(5))
    assert _offer(api, "other").status_code == 409


def test_offer__of_free_spins__has_them(api: KeyedClient) -> None:
    a_template("spins", kind="free_spins", spins=20, spin_value=Decimal("0.10"), base="spin_winnings")
    assert (_offer(api, "spins").json()["status"], _offer(api, "spins").json()["spins_left"]) == ("ACTIVE", 20)


@pytest.mark.parametrize(
    ("template", "fields", "status", "says"),
    [
        ("missing", {}, 422, "there is no bonus template 'missing'"),
        ("reload", {}, 422, "needs a deposit"),
        ("named", {}, 422, "has no fixed amount"),
        ("reload", {"deposit": "5.00"}, 422, "deposit"),
        ("reload", {"player_id": "nobody"}, 400, "nobody"),
    ],
)
def test_offer__that_cannot_be__is_refused_with_its_reason(
    api: KeyedClient, template: str, fields: dict[str, object], status: int, says: str
) -> None:
    a_template("reload", match_percent=Decimal(50))
    a_template("named")
    answer = _offer(api, template, **fields)
    assert (answer.status_code, says in str(answer.json())) == (status, True), answer.json()
    assert not BonusGrant.objects.exists()


def test_offer__player_flagged_for_harm__is_refused(api: KeyedClient) -> None:
    a_template("gift", amount=Decimal(5))
    Protection.objects.create(player=Player.objects.get(external_id="P001"), harm_flag=True)
    answer = _offer(api, "gift")
    assert (answer.status_code, "may be given nothing now" in answer.json()["detail"]) == (422, True)


def test_offer__key_that_may_only_read__is_forbidden() -> None:
    PlayerFactory(external_id="P001")
    a_template("gift", amount=Decimal(5))
    assert _offer(KeyedClient(["wallet:read"]), "gift").status_code == 403
