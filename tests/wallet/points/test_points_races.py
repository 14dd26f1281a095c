"""Races for points in lots on the real database. Each has its control: without the account's lock the same race goes wrong."""

import threading
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from tests.factories import PlayerFactory
from tests.wallet.factories import a_source, assert_books_balance, balance_of
from tests.wallet.points.factories import earn, on, policy, spend, take_back
from tests.wallet.test_races import at_once, kinds
from wallet import ledger, services
from wallet.lots import spend_plan
from wallet.models import Account, Entry, House, Lot
from wallet.points.movements import active_lots, use_lots
from wallet.services import CannotReverse, Source

pytestmark = pytest.mark.django_db(transaction=True)
EVERYBODY = {"lower_id": 0, "upper_id": 2**62}


@pytest.fixture
def player() -> int:
    return PlayerFactory().pk


def test_spend__eight_for_the_last_points__lots_and_balance_agree(player: int) -> None:
    for day in range(1, 4):
        earn(player, "5", on(1, day))
    results = at_once([lambda: spend(player, "4", on(1, 5))] * 8)
    assert kinds(results) == {"Entry": 3, "InsufficientFunds": 5}
    assert sum(Lot.objects.values_list("remaining", flat=True)) == balance_of(player, "RP") == 300
    assert_books_balance()


def test_spend__control_lots_read_before_the_lock__one_lot_would_be_spent_twice(player: int) -> None:
    earn(player, "5", on(1, 1))
    earn(player, "5", on(1, 2))
    everyone_has_read = threading.Barrier(2)

    def naive() -> Any:
        account = Account.objects.get(player_id=player)
        parts = spend_plan(active_lots(account.pk), 400)
        everyone_has_read.wait()
        with transaction.atomic():
            posting = ledger.Posting(player, "RP", "", -400, str(House.REDEMPTION), a_source(), on(1, 3))
            entry, _ = ledger.post(posting)
            use_lots(entry.pk, parts, sign=-1, at=on(1, 3))
        return entry

    results = at_once([naive] * 2)
    assert kinds(results) == {"Entry": 1, "IntegrityError": 1}  # both planned to take from the first lot; its CHECK refuses the second
    assert any("lot_remaining_within_qty" in str(result) for result in results if isinstance(result, IntegrityError))


def test_expiry_against_spend__each_point_goes_one_way(player: int) -> None:
    policy(expiry="days", period=1)
    for _ in range(6):
        earn(player, "5", on(1, 1))
    last_day, after = on(1, 2, 23), on(1, 3, 0)
    results = at_once(
        [lambda: spend(player, "5", last_day), lambda: services.expire_lots(at=after, **EVERYBODY)] * 4,
    )
    assert kinds(results).get("int") == 4
    spent = -sum(Entry.objects.filter(house="redemption").values_list("amount", flat=True))
    ran_out = -sum(Entry.objects.filter(house="expiry").values_list("amount", flat=True))
    assert spent + ran_out == 3000
    assert balance_of(player, "RP") == 0
    assert_books_balance()


def test_expiry__two_sweeps_at_once__every_lot_once(player: int) -> None:
    policy(expiry="days", period=1)
    for _ in range(20):
        earn(player, "1", on(1, 1))
    results = at_once([lambda: services.expire_lots(at=on(1, 5), chunk_size=3, **EVERYBODY)] * 4)
    assert sum(results) == 20
    assert_books_balance()


def test_expiry__control_without_the_lock__is_refused_by_the_unique_source(player: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from wallet.points import expiry

    policy(expiry="days", period=1)
    everyone_is_there = threading.Barrier(2)
    monkeypatch.setattr(expiry, "lock_accounts_of_lots", lambda ids: everyone_is_there.wait(timeout=20))
    for _ in range(20):  # on a busy machine one may be done before the other has read its lots again
        for _ in range(20):
            earn(player, "1", on(1, 1))
        results = at_once([lambda: services.expire_lots(at=on(1, 5), **EVERYBODY)] * 2)
        if kinds(results).get("IntegrityError"):
            break
    assert kinds(results).get("IntegrityError") == 1
    assert_books_balance()


def test_reverse__two_sources_at_once__one_reversal(player: int) -> None:
    entry = earn(player, "5", on(1, 1))
    spend(player, "3", on(1, 2))
    results = at_once([lambda: take_back(entry, on(1, 3))] * 6)
    assert kinds(results) == {"Entry": 1, "CannotReverse": 5}
    assert all("already reversed" in str(result) for result in results if isinstance(result, CannotReverse))
    account = Account.objects.get()
    assert (account.balance, account.owed) == (0, 300)
    assert_books_balance()


def test_reverse_spend__two_at_once_with_a_spend__lots_agree(player: int) -> None:
    earn(player, "10", on(1, 1))
    spent = spend(player, "6", on(1, 2))
    at_once([lambda: take_back(spent, on(1, 3)), lambda: spend(player, "4", on(1, 3)), lambda: take_back(spent, on(1, 3))])
    assert balance_of(player, "RP") == sum(Lot.objects.values_list("remaining", flat=True)) == 600
    assert_books_balance()


def test_debt__eight_credits_at_once__is_paid_once(player: int) -> None:
    entry = earn(player, "5", on(1, 1))
    spend(player, "5", on(1, 2))
    take_back(entry, on(1, 3))
    at_once([lambda: earn(player, "2", on(1, 4))] * 8)
    account = Account.objects.get()
    assert (account.balance, account.owed) == (1100, 0)
    assert_books_balance()


def test_pending__released_and_cancelled_at_once__one_of_both(player: int) -> None:
    earn(player, "5", on(1, 1), ref="race", pending_until="event")
    source = Source("test", "race")
    results = at_once(
        [
            lambda: services.release_pending(source=source, at=on(1, 2)),
            lambda: services.cancel_pending(source=source, at=on(1, 2), reason="void"),
        ]
        * 3
    )
    outcome = kinds(results)
    assert outcome in ({"Entry": 3, "CannotReverse": 3}, {"Lot": 3, "CannotReverse": 3})
    assert balance_of(player, "RP") == (500 if "Entry" in outcome else 0)
    assert_books_balance()


def test_pending__two_activations_at_once__one_entry(player: int) -> None:
    for _ in range(5):
        earn(player, "1", on(1, 1), pending_until=on(1, 2))
    assert sum(at_once([lambda: services.activate_lots(at=on(1, 3), chunk_size=2, **EVERYBODY)] * 4)) == 5
    assert balance_of(player, "RP") == 500
    assert_books_balance()
