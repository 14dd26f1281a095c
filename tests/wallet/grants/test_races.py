"""Races over grants on the real database, each with its control: without the lock the same race goes wrong, so the test can see it."""

from datetime import timedelta
from decimal import Decimal
from functools import partial
from threading import Barrier, Event

import pytest
from django.db import IntegrityError

from tests.factories import NOW, PlayerFactory
from tests.wallet.factories import a_template, assert_books_balance, bet, bonus, offer, staff, statuses
from tests.wallet.test_races import at_once, kinds
from wallet import services
from wallet.activity import load
from wallet.activity import receive as receiving
from wallet.grants import closing, offers, queue
from wallet.models import FINAL_STATUSES, BonusGrant, Entry, GrantEvent, PayoutInstruction, VoidRequest
from wallet.services import GrantRefused

pytestmark = pytest.mark.django_db(transaction=True)
EVERYBODY = {"lower_id": 0, "upper_id": 2**60}


@pytest.fixture
def player():
    return PlayerFactory()


def _one_end_each():
    """No grant has two final events, and none moved on after its end."""
    assert not GrantEvent.objects.filter(from_status__in=FINAL_STATUSES).exists()
    ended = list(GrantEvent.objects.filter(to_status__in=FINAL_STATUSES).values_list("grant_id", flat=True))
    assert len(ended) == len(set(ended))
    assert_books_balance()


def _offers(player, count):
    return [offer(player.pk, a_template(needs_claim=True), amount=Decimal(10)) for _ in range(count)]


def test_claim__two_offers_at_once__second_is_queued(player):
    for _ in range(4):
        offered = _offers(player, 2)
        results = at_once([lambda grant=grant: services.claim_grant(grant.pk, at=NOW).status for grant in offered])
        assert sorted(results) == ["ACTIVE", "QUEUED"]
        for grant in BonusGrant.objects.filter(status__in=["ACTIVE", "QUEUED"]).order_by("status"):
            services.surrender_grant(grant.pk, at=NOW, reason="again")
    _one_end_each()


def test_claim__control_without_the_lock__both_find_the_product_free_and_the_database_refuses_one(player, monkeypatch):
    both_have_looked = Barrier(2)
    look = offers.is_free

    def look_together(player_id, product):
        free = look(player_id, product)
        both_have_looked.wait(timeout=20)
        return free

    monkeypatch.setattr(offers, "is_free", look_together)
    monkeypatch.setattr(offers, "locked_grant", lambda grant_id: BonusGrant.objects.get(pk=grant_id))
    monkeypatch.setattr(queue, "lock_bonus_of_grants", lambda ids: None)
    monkeypatch.setattr(offers, "_ATTEMPTS", 1)
    results = at_once([lambda grant=grant: services.claim_grant(grant.pk, at=NOW).status for grant in _offers(player, 2)])
    assert kinds(results) == {"str": 1, "IntegrityError": 1}
    assert "grant_one_open_per_product" in str(next(one for one in results if isinstance(one, IntegrityError)))


def test_claim__first_bonuses_in_two_currencies_at_once__one_is_queued(player):
    """They have no account in common to wait on: the unique constraint decides, and the loser looks again."""
    for _ in range(4):
        other = PlayerFactory()
        calls = [partial(offer, other.pk, a_template(), amount=Decimal(10), currency=currency) for currency in ("EUR", "SEK")]
        assert sorted(grant.status for grant in at_once(calls)) == ["ACTIVE", "QUEUED"]
    _one_end_each()


def test_expiry__against_the_completing_bet__exactly_one_ends_the_grant(player):
    late = NOW + timedelta(hours=1)
    for _ in range(5):
        grant = bonus(player.pk, "10", "15", expires_at=late)
        at_once([lambda: bet(player.pk, "15"), lambda: services.expire_bonuses(at=late, **EVERYBODY)] * 2)
        grant.refresh_from_db()
        assert grant.status in {"COMPLETED", "EXPIRED"}
        assert Entry.objects.filter(source_type="wallet.grant", source_ref=str(grant.pk)).count() == 1
        assert grant.payouts.count() == (grant.status == "COMPLETED")
    _one_end_each()


@pytest.mark.parametrize("end", ["surrender", "withdraw"])
def test_completion__against_forfeit__exactly_one_gets_the_money(player, end):
    for number in range(5):
        grant, waiting = bonus(player.pk, "10", "15"), bonus(player.pk, "1", "9")
        asked = {"player_id": player.pk, "currency": "EUR", "amount": Decimal(1), "withdrawal_ref": f"W{number}", "at": NOW}
        give_up = {
            "surrender": partial(services.surrender_grant, grant.pk, at=NOW, reason="enough"),
            "withdraw": partial(services.withdraw, **asked),
        }[end]
        at_once([lambda: bet(player.pk, "15"), give_up])
        grant.refresh_from_db()
        assert grant.status in {"COMPLETED", "FORFEITED"}
        houses = list(Entry.objects.filter(source_type="wallet.grant", source_ref=str(grant.pk)).values_list("house", "amount"))
        assert houses == [("payout", -1000)] if grant.status == "COMPLETED" else [("forfeit", -1000)]
        for rest in BonusGrant.objects.filter(player=player).exclude(status__in=FINAL_STATUSES):
            services.surrender_grant(rest.pk, at=NOW, reason="next round")
        waiting.refresh_from_db()
        assert statuses(waiting)[:2] == [("", "QUEUED"), ("QUEUED", "ACTIVE")] or waiting.status == "FORFEITED"
    _one_end_each()


def test_completion__control_forfeit_without_the_lock__both_take_the_money(player, monkeypatch):
    """The bet that completes has read, the surrender ends the grant, then the bet writes what it decided: only the unique seq stops it."""
    grant = bonus(player.pk, "10", "15")
    has_read, has_ended, real = Event(), Event(), load.load

    def slow(*args, **kwargs):
        chunk = real(*args, **kwargs)
        has_read.set()
        assert has_ended.wait(20)
        return chunk

    def surrender():
        assert has_read.wait(20)
        ended = services.surrender_grant(grant.pk, at=NOW, reason="enough")
        has_ended.set()
        return ended

    monkeypatch.setattr(load, "LOCK_SQL", load.LOCK_SQL.replace(" FOR UPDATE", ""))
    monkeypatch.setattr(receiving, "load", slow)
    results = at_once([lambda: bet(player.pk, "15"), surrender])
    assert kinds(results) == {"IntegrityError": 1, "BonusGrant": 1}
    assert "entry_seq" in str(results[0])  # the second taker wrote the same place of the same account
    assert closing.close_grants([grant.pk], closing.COMPLETED, at=NOW).count == 0  # a statement that looks at the status takes nothing
    _one_end_each()


def test_end__eight_threads_end_the_same_grant__one_end_and_one_successor(player):
    grant, waiting = bonus(player.pk, "10"), [bonus(player.pk, "2") for _ in range(3)]
    results = at_once([lambda: services.surrender_grant(grant.pk, at=NOW, reason="enough")] * 8)
    assert kinds(results) == {"BonusGrant": 1, GrantRefused.__name__: 7}
    assert sorted(BonusGrant.objects.filter(pk__in=[one.pk for one in waiting]).values_list("status", flat=True)) == [
        "ACTIVE", "QUEUED", "QUEUED",
    ]  # fmt: skip
    _one_end_each()


def test_queue__hourly_job_against_claims_and_ends__one_open_grant_at_any_time(player):
    offered = _offers(player, 6)
    bonus(player.pk, "5")

    def claim(grant):
        return lambda: services.claim_grant(grant.pk, at=NOW)

    def end():
        open_one = BonusGrant.objects.filter(player=player, status="ACTIVE").first()
        return open_one and services.surrender_grant(open_one.pk, at=NOW, reason="next")

    calls = [claim(grant) for grant in offered[:4]] + [end, end, lambda: services.activate_waiting(at=NOW, **EVERYBODY)]
    results = at_once(calls)
    assert {type(one).__name__ for one in results} <= {"BonusGrant", "int", "NoneType", "GrantRefused"}
    assert BonusGrant.objects.filter(status="ACTIVE").count() == 1
    _one_end_each()


def test_void__approved_and_rejected_at_once__one_decision(player):
    maker, one, two = staff("request_void"), staff("approve_void"), staff("approve_void")
    grant = bonus(player.pk, "10")
    request = services.request_void(grant.pk, case_id="C", reason="abuse", actor=maker, at=NOW)
    results = at_once(
        [
            lambda: services.approve_void(request.pk, actor=one, at=NOW),
            lambda: services.approve_void(request.pk, actor=two, at=NOW),
            lambda: services.reject_void(request.pk, actor=one, at=NOW, note="no"),
        ]
    )
    assert kinds(results) == {VoidRequest.__name__: 1, GrantRefused.__name__: 2}
    _one_end_each()


def test_withdraw__told_twice_at_once__one_effect(player):
    bonus(player.pk, "10"), bonus(player.pk, "20")
    asked = {"player_id": player.pk, "currency": "EUR", "amount": Decimal(1), "withdrawal_ref": "W", "at": NOW}
    results = at_once([lambda: services.withdraw(**asked)] * 4)
    assert len({str(one) for one in results}) == 1
    assert Entry.objects.filter(house="forfeit").count() == 1
    assert PayoutInstruction.objects.count() == 0
    _one_end_each()
