"""Races on the real database. Each has its control: the same race without the lock goes wrong, so the test can see it."""

import threading
from decimal import Decimal

import pytest
from django.db import transaction

from tests.factories import NOW, PlayerFactory
from tests.wallet.activity.scenes import activity, grant, receive, send
from tests.wallet.factories import assert_books_balance
from tests.wallet.test_races import at_once, kinds
from wallet import services
from wallet.activity import load
from wallet.activity import receive as receiving
from wallet.models import BonusGrant, Entry, WagerEvent

pytestmark = pytest.mark.django_db(transaction=True)

UNLOCKED = load.LOCK_SQL.replace(" FOR UPDATE", "")


@pytest.fixture
def player():
    return PlayerFactory(currency="EUR")


def all_loaded_before_any_writes(monkeypatch, workers):
    """Take the lock away and let everybody read before anybody writes."""
    barrier, real = threading.Barrier(workers), load.load

    def slow(*args, **kwargs):
        chunk = real(*args, **kwargs)
        barrier.wait(10)
        return chunk

    monkeypatch.setattr(load, "LOCK_SQL", UNLOCKED)
    monkeypatch.setattr(receiving, "load", slow)


def test_hot_player__eight_bets_at_once__every_stake_is_taken_once(player):
    bonus = grant(player.pk, "100", multiple=Decimal(100))
    results = at_once([lambda n=n: send(player.pk, "BET", "5", activity_id=f"b{n}", cash_before="0", ends_round=True) for n in range(8)])
    assert kinds(results) == {"Received": 8}
    bonus.refresh_from_db()
    assert (bonus.balance, bonus.wagered, bonus.open_bets) == (6000, Decimal(40), 0)
    assert list(Entry.objects.order_by("seq").values_list("seq", flat=True)) == list(range(1, 10))
    assert_books_balance()


def test_hot_player__control_without_the_lock__one_of_two_bets_fails(player, monkeypatch):
    bonus = grant(player.pk, "100", multiple=Decimal(100))
    all_loaded_before_any_writes(monkeypatch, 2)
    results = at_once([lambda n=n: send(player.pk, "BET", "5", activity_id=f"b{n}", cash_before="0", ends_round=True) for n in range(2)])
    assert kinds(results) == {"Received": 1, "IntegrityError": 1}  # the unique seq catches the lost update
    bonus.refresh_from_db()
    assert bonus.wagered == Decimal(5)


def test_bet__from_cash__control_without_the_lock__progress_is_lost(player, monkeypatch):
    """A bet that makes no entry has no seq to collide on: here only the lock helps."""
    bonus = grant(player.pk, "100", multiple=Decimal(100))
    all_loaded_before_any_writes(monkeypatch, 2)
    results = at_once([lambda n=n: send(player.pk, "BET", "5", activity_id=f"b{n}", ends_round=True) for n in range(2)])
    assert kinds(results) == {"Received": 2}
    bonus.refresh_from_db()
    assert bonus.wagered == Decimal(5)


def test_same_event__eight_times_at_once__one_effect_and_one_answer(player):
    bonus = grant(player.pk, "100")
    results = at_once([lambda: send(player.pk, "BET", "5", activity_id="b", round_id="r", cash_before="0", ends_round=True)] * 8)
    assert sorted(result.repeated for result in results) == [False] + [True] * 7
    assert len({(result.bonus, result.cash_change, result.counts) for result in results}) == 1
    bonus.refresh_from_db()
    assert (bonus.balance, bonus.wagered, WagerEvent.objects.count()) == (9500, Decimal(5), 1)
    assert_books_balance()


def test_same_event__of_players_without_an_account__one_effect(player):
    results = at_once([lambda: send(player.pk, "BET", "5", activity_id="b", round_id="r")] * 8)
    assert kinds(results) == {"Received": 8}
    assert WagerEvent.objects.count() == 1


def test_same_id__of_eight_players_at_once__one_is_taken_and_the_rest_are_refused():
    players = [PlayerFactory().pk for _ in range(8)]
    results = at_once([lambda one=one: send(one, "BET", "5", activity_id="b") for one in players])
    assert kinds(results) == {"Received": 1, "IdempotencyConflict": 7}


def test_bet_against_withdrawal__either_the_bet_or_the_forfeit_comes_first(player):
    for number in range(6):
        bonus = grant(player.pk, "20", multiple=Decimal(100))
        outcomes = at_once(
            [
                lambda n=number: send(player.pk, "BET", "5", activity_id=f"b{n}", cash_before="0"),
                lambda n=number: services.withdraw(player_id=player.pk, currency="EUR", amount=Decimal(1), withdrawal_ref=f"w{n}", at=NOW),
            ]
        )
        bonus.refresh_from_db()
        assert bonus.status == "FORFEITED"
        taken = -sum(Entry.objects.filter(house="forfeit", source_ref=str(bonus.pk)).values_list("amount", flat=True))
        refused = kinds(outcomes).get("InsufficientFunds", 0)
        assert taken == (2000 if refused else 1500)
        assert_books_balance()


def test_bet_against_withdrawal__control_without_the_lock__money_is_lost(player, monkeypatch):
    bonus = grant(player.pk, "20", multiple=Decimal(100))
    has_read, has_withdrawn, real = threading.Event(), threading.Event(), load.load

    def slow(*args, **kwargs):
        chunk = real(*args, **kwargs)
        has_read.set()
        has_withdrawn.wait(10)
        return chunk

    monkeypatch.setattr(load, "LOCK_SQL", UNLOCKED)
    monkeypatch.setattr(receiving, "load", slow)

    def withdraw():
        has_read.wait(10)
        services.withdraw(player_id=player.pk, currency="EUR", amount=Decimal(1), withdrawal_ref="w", at=NOW)
        has_withdrawn.set()

    results = at_once([lambda: send(player.pk, "BET", "5", cash_before="0"), withdraw])
    assert kinds(results) == {"IntegrityError": 1, "NoneType": 1}  # without the unique seq the closed grant would be open again
    assert BonusGrant.objects.get(pk=bonus.pk).status == "FORFEITED"


def test_batches__crossing_players__no_deadlock():
    players = [PlayerFactory().pk for _ in range(20)]
    for one in players:
        grant(one, "20", multiple=Decimal(100))

    def batch(number):
        order = players if number % 2 else players[::-1]
        return lambda: receive([activity(one, "BET", "1", activity_id=f"b{number}-{one}", cash_before="0") for one in order])

    results = at_once([batch(number) for number in range(6)])
    assert kinds(results) == {"list": 6}
    assert {grant.balance for grant in BonusGrant.objects.all()} == {1400}
    assert_books_balance()


def test_receive__inside_a_transaction_that_rolls_back__leaves_nothing(player):
    grant(player.pk, "20")
    with transaction.atomic():
        send(player.pk, "BET", "5", cash_before="0")
        transaction.set_rollback(True)
    assert not WagerEvent.objects.exists()
