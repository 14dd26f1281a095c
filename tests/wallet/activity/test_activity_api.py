"""Events, quotes and explanations over HTTP."""

import csv
import io
from datetime import timedelta
from decimal import Decimal

import pytest

from loyalty_site.common.clock import utc_now
from tests.api_client import KeyedClient
from tests.factories import PlayerFactory
from tests.wallet.activity.scenes import grant
from tests.wallet.factories import assert_books_balance
from wallet import services
from wallet.activity.contract import grant_event_view
from wallet.models import BonusGrant, GrantEvent, PayoutInstruction, WagerCount, WagerEvent
from wallet.reconciliation import verify

pytestmark = pytest.mark.django_db


@pytest.fixture
def api():
    return KeyedClient()


@pytest.fixture
def player():
    return PlayerFactory(external_id="P1", currency="EUR")


def a_grant(player, amount="20", **terms):
    now = utc_now()
    return grant(player.pk, amount, at=now - timedelta(hours=1), expires_at=now + timedelta(days=3), **terms)


def event(kind, amount, activity_id, **fields):
    return {
        "source": "p1", "activity_id": activity_id, "kind": kind, "player_id": "P1", "currency": "EUR", "round_id": "r1", "amount": amount,
        "occurred_at": utc_now().isoformat(), **fields,
    }  # fmt: skip


def casino(**fields):
    return {
        "activity_id": "c1", "amount": "10.00", "balance_after": "0.00", "balance_before": "6.00", "bonus_wager_amount": "4.00",
        "currency": "EUR", "exchange_rate": "1", "game_id": "suns", "game_name": "Suns", "game_type": "slots", "is_round_end": False,
        "locked_wager_amount": "0.00", "origin": "p1", "round_id": "r1", "status": "Approved", "timestamp": utc_now().isoformat(),
        "type": "Bet", "user_id": "P1", "vendor_id": "7", "vendor_name": "Sun Studios", "wager_amount": "6.00", "meta": {"a": 1}, **fields,
    }  # fmt: skip


def platform_bonus(**fields):
    return {
        "amount": "20.00", "bonus_code": "R20", "bonus_id": "17", "bonus_turned_real": "0.00", "currency": "EUR", "exchange_rate": "1",
        "locked_amount": "0.00", "origin": "p1", "product": "Casino", "required_wagering_amount": "200.00", "status": "Created",
        "timestamp": utc_now().isoformat(), "type": "ReloadBonus", "user_bonus_id": "ub-1", "user_id": "P1", **fields,
    }  # fmt: skip


def test_events__bet_win_and_rollback__are_split_by_the_fund_order(api, player):
    bonus = a_grant(player)
    body = api.post(
        "/wallet/events",
        {
            "items": [
                event("BET", "10", "a", cash_before="6"),
                event("WIN", "25", "b", ends_round=True),
                event("ROLLBACK", "0", "c", takes_back_id="b", takes_back_kind="WIN"),
                event("BET", "1", "d", player_id="ghost"),
                event("BET", "100", "e", cash_before="0"),
                event("BET", "0.001", "f"),
                event("BET", "10", "a", cash_before="6"),
                event("BET", "11", "a"),
            ]
        },
    ).json()
    parts = [(one["activity_id"], one["real"], one["bonus"], one["cash_change"], one["repeated"]) for one in body["accepted"]]
    assert parts == [
        ("a", "6.0000", "4.0000", "-6.0000", False),
        ("b", "15.0000", "10.0000", "15.0000", False),
        ("c", "15.0000", "10.0000", "-15.0000", False),
        ("a", "6.0000", "4.0000", "-6.0000", True),
    ]
    assert [(one["activity_id"], one["type"].rpartition(":")[2]) for one in body["refused"]] == [
        ("d", "unknown-player"),
        ("e", "insufficient-funds"),
        ("f", "invalid-posting"),
        ("a", "idempotency-conflict"),
    ]
    bonus.refresh_from_db()
    assert (bonus.balance, bonus.wagered) == (1600, Decimal(10))
    assert_books_balance()


def test_casino_events__parts_rollback_and_a_wrong_sum(api, player):
    bonus = a_grant(player)
    items = [
        casino(),
        casino(activity_id="c2", type="Win", amount="25", wager_amount="15", bonus_wager_amount="10", is_round_end=True),
        casino(
            activity_id="c2", type="Win", amount="25", wager_amount="15", bonus_wager_amount="10", status="Rollback", balance_before="40"
        ),
        casino(activity_id="c3", amount="11"),
    ]
    body = api.post("/wallet/events/casino", {"items": items}).json()
    assert [(one["activity_id"], one["kind"], one["bonus"]) for one in body["accepted"]] == [
        ("c1", "BET", "4.0000"),
        ("c2", "WIN", "10.0000"),
        ("c2#win", "ROLLBACK", "10.0000"),
    ]
    (refused,) = body["refused"]
    assert refused["detail"].startswith("amount: 11.00 is not the sum of wager_amount 6.00, bonus_wager_amount 4.00 and")
    bonus.refresh_from_db()
    assert (bonus.balance, bonus.wagered) == (1600, Decimal(10))
    assert_books_balance()


def test_bonus_events__offer_begin_and_end__each_once_and_never_paid_twice(api, player):
    def report(**fields):
        body = api.post("/wallet/events/bonus", {"items": [platform_bonus(**fields)]}).json()
        assert body["refused"] == []
        return body["accepted"][0]["status"], body["accepted"][0]["changed"]

    assert report(status="Pending") == ("OFFERED", True)
    assert report(status="Pending") == ("OFFERED", False)
    assert report() == ("ACTIVE", True)
    assert report() == ("ACTIVE", False)
    assert report(status="Ongoing") == ("ACTIVE", False)
    bonus = BonusGrant.objects.get()
    assert (bonus.balance, bonus.wagering_required, bonus.source_type, bonus.source_ref) == (2000, Decimal(200), "platform", "ub-1")
    assert report(status="Completed") == ("COMPLETED", True)
    assert report(status="AutoCompleted") == ("COMPLETED", False)
    paid = PayoutInstruction.objects.get()
    assert (paid.status, paid.amount, paid.platform_ref) == ("DELIVERED", 2000, "user bonus ub-1")
    body = api.post(
        "/wallet/events/bonus", {"items": [platform_bonus(status="Lost"), platform_bonus(status="Lost", user_bonus_id="x")]}
    ).json()
    assert [one["type"].rpartition(":")[2] for one in body["refused"]] == ["grant-refused", "grant-refused"]
    assert_books_balance()


@pytest.mark.parametrize(
    ("status", "after"), [("Forfeited", "FORFEITED"), ("Expired", "EXPIRED"), ("Lost", "LOST"), ("Reversed", "REVERSED")]
)
def test_bonus_events__other_ends__close_the_grant(api, player, status, after):
    api.post("/wallet/events/bonus", {"items": [platform_bonus()]})
    api.post("/wallet/events/bonus", {"items": [platform_bonus(status=status)]})
    assert (BonusGrant.objects.get().status, PayoutInstruction.objects.count()) == (after, 0)
    assert_books_balance()
    report = verify(player.pk)
    assert report.ok, report.differences


def test_platform_bonus__completed_with_another_sum_than_the_books_have__waits_for_its_play(api, player):
    def completed(turned_real):
        body = {"items": [platform_bonus(status="Completed", bonus_turned_real=turned_real)]}
        return api.post("/wallet/events/bonus", body).json()["refused"]

    api.post("/wallet/events/bonus", {"items": [platform_bonus()]})
    (refused,) = completed("15.00")
    assert "bonus_turned_real: 15.00 EUR, but the books have 20.00" in refused["detail"]
    assert (BonusGrant.objects.get().status, PayoutInstruction.objects.count()) == ("ACTIVE", 0)
    assert api.post("/wallet/events", {"items": [event("BET", "5", "a", cash_before="0", ends_round=True)]}).json()["refused"] == []
    assert completed("15.00") == []
    assert (BonusGrant.objects.get().released, PayoutInstruction.objects.get().amount) == (1500, 1500)
    assert completed("15.00") == []
    assert "the books have 15.00" in completed("16.00")[0]["detail"]
    assert_books_balance()


def test_platform_bonus__wagered_here__is_not_sent_for_payment(api, player):
    api.post("/wallet/events/bonus", {"items": [platform_bonus(required_wagering_amount="5")]})
    api.post("/wallet/events", {"items": [event("BET", "5", "a", ends_round=True)]})
    assert (BonusGrant.objects.get().status, PayoutInstruction.objects.get().status) == ("COMPLETED", "DELIVERED")


def test_platform_bonus__queued_and_begun_by_another_service__is_not_sent_for_payment(api, player):
    """Nothing to wager: it ends in the moment it begins, by the statements that close, without a BONUS event of its own."""
    api.post("/wallet/events/bonus", {"items": [platform_bonus()]})
    api.post("/wallet/events/bonus", {"items": [platform_bonus(user_bonus_id="ub-2", required_wagering_amount="0")]})
    first, queued = BonusGrant.objects.order_by("id")
    assert (queued.status, PayoutInstruction.objects.count()) == ("QUEUED", 0)
    services.surrender_grant(first.pk, at=utc_now(), reason="no thanks")
    queued.refresh_from_db()
    paid = PayoutInstruction.objects.get()
    assert (queued.status, paid.grant_id, paid.status, paid.platform_ref) == ("COMPLETED", queued.pk, "DELIVERED", "user bonus ub-2")
    assert paid.delivered_at is not None
    assert_books_balance()


def test_platform_bonus__created_again_with_other_money__is_refused(api, player):
    api.post("/wallet/events/bonus", {"items": [platform_bonus()]})
    for other in ({"amount": "21.00"}, {"required_wagering_amount": "199.00"}):
        (refused,) = api.post("/wallet/events/bonus", {"items": [platform_bonus(**other)]}).json()["refused"]
        assert refused["type"].endswith(":idempotency-conflict")
    assert BonusGrant.objects.get().principal == 2000


def test_platform_bonus__completed_while_paused__is_refused_and_not_passed_over(api, player):
    api.post("/wallet/events/bonus", {"items": [platform_bonus()]})
    BonusGrant.objects.update(status="PAUSED")
    (refused,) = api.post("/wallet/events/bonus", {"items": [platform_bonus(status="Completed")]}).json()["refused"]
    assert "is paused; resume it" in refused["detail"]
    assert (BonusGrant.objects.get().status, PayoutInstruction.objects.count()) == ("PAUSED", 0)


def test_platform_bonus__offered_then_created_behind_another__is_rebuilt_from_its_log(api, player):
    api.post("/wallet/events/bonus", {"items": [platform_bonus(user_bonus_id="ub-2", status="Pending", amount="5.00")]})
    api.post("/wallet/events/bonus", {"items": [platform_bonus()]})
    api.post("/wallet/events/bonus", {"items": [platform_bonus(user_bonus_id="ub-2")]})
    queued = BonusGrant.objects.get(source_ref="ub-2")
    assert (queued.status, queued.principal) == ("QUEUED", 2000)
    assert verify(player.pk).ok
    api.post("/wallet/events/bonus", {"items": [platform_bonus(status="Forfeited")]})
    queued.refresh_from_db()
    assert (queued.status, queued.balance) == ("ACTIVE", 2000)
    report = verify(player.pk)
    assert report.ok, report.differences


def test_platform_bonus__completed_by_what_only_the_platform_knows__is_rebuilt_from_its_log(api, player):
    api.post("/wallet/events/bonus", {"items": [platform_bonus()]})
    api.post("/wallet/events/bonus", {"items": [platform_bonus(status="Completed")]})
    assert BonusGrant.objects.get().status == "COMPLETED"
    report = verify(player.pk)
    assert report.ok, report.differences


def test_grant_event_view__has_the_fields_of_the_contract(player):
    bonus = a_grant(player)
    view = grant_event_view(GrantEvent.objects.get(grant=bonus))
    assert set(view) == set(platform_bonus())
    assert (view["status"], view["product"], view["user_id"], view["amount"]) == ("Created", "Casino", "P1", Decimal("20.00"))


def test_quote__says_the_split_and_changes_nothing(api, player):
    bonus = a_grant(player, count_mode="bonus_funds_only")
    body = api.post("/wallet/quote", {"player_id": "P1", "currency": "EUR", "stake": "10", "cash": "6", "win": "25"}).json()
    assert body["stake"] == {"real": "6.0000", "bonus": "4.0000", "locked": "0.0000"}
    assert body["win"] == {"real": "15.0000", "bonus": "10.0000", "locked": "0.0000"}
    assert (body["grant_id"], body["verdict"], Decimal(body["would_count"])) == (bonus.pk, "COUNTED", Decimal(4))
    assert not WagerEvent.objects.exists()
    refused = api.post("/wallet/quote", {"player_id": "P1", "currency": "EUR", "stake": "100", "cash": "6"})
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:loyalty:problem:insufficient-funds")
    assert api.post("/wallet/quote", {"player_id": "ghost", "currency": "EUR", "stake": "1"}).status_code == 400


def test_explanation__pages_and_csv__say_what_counted_and_why(api, player):
    bonus = a_grant(player, "100", max_bet=2000)
    items = [
        event("BET", "10", "a", ends_round=True, round_id="1"),
        event("BET", "50", "=1+1", ends_round=True, round_id="2", game="-2+3"),
        event("ROLLBACK", "0", "c", takes_back_id="a", round_id="1"),
    ]
    api.post("/wallet/events", {"items": items})
    page = api.get(f"/wallet/grants/{bonus.pk}/explanation", page_size=2).json()
    first, second = page["results"]
    assert (first["activity_id"], first["verdict"], first["counted"], first["progress_after"]) == ("a", "COUNTED", "10.000000", "10.000000")
    assert first["explanation"] == (
        "Counted. 10 EUR of the stake at weight 1 counts 10 EUR. Line that decided: no table: every game counts in full. "
        "Progress 0 to 10 of 1000 EUR."
    )
    assert (second["verdict"], second["counted"]) == ("OVER_MAX_BET", "0.000000")
    assert page["next"]
    response = api.get(f"/wallet/grants/{bonus.pk}/explanation.csv")
    rows = list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))
    assert [row["counted"] for row in rows] == ["10.000000", "0.000000", "-10.000000"]
    assert (rows[1]["activity_id"], rows[1]["game"]) == ("'=1+1", "'-2+3")
    assert WagerCount.objects.count() == 3
    assert api.get("/wallet/grants/999999/explanation").status_code == 404
