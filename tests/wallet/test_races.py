"""Races on the real database. Each has its control: the same race without the protection goes wrong, so the test can see it."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models import F

from tests.factories import NOW, PlayerFactory
from tests.wallet.factories import (
    a_source,
    a_template,
    assert_books_balance,
    balance_of,
    bet,
    bonus,
    line,
    offer,
    points,
    post_lines,
    staff,
)
from wallet import services
from wallet.models import Account, AdjustmentRequest, BonusGrant, Entry, WagerEvent
from wallet.services import AdjustmentRefused, CannotReverse, InsufficientFunds, Source

pytestmark = pytest.mark.django_db(transaction=True)

THREADS = 8


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """Run the calls in a thread and connection each, started together. Returns results; an exception counts as a result."""
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '20s'")
            start.wait()
            return call()
        except Exception as error:  # noqa: BLE001 - the outcome of the race
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def kinds(results: list[Any]) -> dict[str, int]:
    names = [type(result).__name__ for result in results]
    return {name: names.count(name) for name in set(names)}


@pytest.fixture
def player():
    return PlayerFactory()


def test_credit__eight_threads_on_one_account__every_credit_counts_once(player):
    def credit_ten() -> int:
        return [points(player.pk, "1").seq for _ in range(10)][-1]

    results = at_once([credit_ten] * THREADS)

    assert kinds(results) == {"int": THREADS}
    account = Account.objects.get()
    assert (account.balance, account.version) == (8000, 80)
    assert list(Entry.objects.order_by("seq").values_list("seq", "balance_after")) == [(n, 100 * n) for n in range(1, 81)]
    assert_books_balance()


def test_credit__control_read_add_save__loses_updates_which_the_unique_seq_catches(player):
    points(player.pk, "1")
    everyone_has_read = threading.Barrier(THREADS)

    def naive() -> str:
        with transaction.atomic():
            account = Account.objects.get(player=player)
            everyone_has_read.wait()
            account.balance += 100
            account.version += 1
            account.save(update_fields=["balance", "version"])
            source = a_source()
            Entry.objects.create(
                account=account, house="rewards", amount=100, seq=account.version, balance_after=account.balance,
                source_type=source.type, source_ref=source.ref, occurred_at=NOW,
            )  # fmt: skip
        return "posted"

    results = at_once([naive] * THREADS)
    assert kinds(results) == {"str": 1, "IntegrityError": THREADS - 1}
    assert all("entry_seq_once_per_account" in str(result) for result in results if isinstance(result, IntegrityError))


def test_credit__one_source_by_eight_threads__one_entry_for_all(player):
    results = at_once([lambda: points(player.pk, "5", ref="same").pk] * THREADS)
    assert len(set(results)) == 1
    assert Entry.objects.count() == 1
    assert balance_of(player.pk) == 500
    assert_books_balance()


def test_credit__control_look_then_post__posts_twice_without_the_unique_source(player):
    points(player.pk, "1")
    everyone_has_looked = threading.Barrier(2)

    def naive() -> int:
        assert not Entry.objects.filter(source_ref="same").exists()
        everyone_has_looked.wait()
        return Account.objects.filter(player=player).update(balance=600)

    assert at_once([naive] * 2) == [1, 1]  # both believed they were the first


def test_credit__first_use_by_eight_threads__one_account(player):
    results = at_once([lambda: points(player.pk, "1", unit="RP").account_id] * THREADS)
    assert len(set(results)) == 1
    assert balance_of(player.pk, "RP") == 800


def test_spend__eight_threads_want_more_than_there_is__exactly_what_fits(player):
    points(player.pk, "10")

    def spend() -> int:
        return services.spend(
            player_id=player.pk, unit="LP", currency="", amount=Decimal(3), source=a_source(), at=NOW, reason="mug"
        ).balance_after

    results = at_once([spend] * THREADS)
    assert kinds(results) == {"int": 3, "InsufficientFunds": 5}
    assert sorted(result for result in results if isinstance(result, int)) == [100, 400, 700]
    assert balance_of(player.pk) == 100
    assert_books_balance()


def test_spend__control_check_then_take__overdraws_unless_the_database_refuses(player):
    points(player.pk, "10")
    everyone_has_checked = threading.Barrier(2)

    def naive() -> int:
        assert Account.objects.get(player=player).balance >= 700
        everyone_has_checked.wait()
        return Account.objects.filter(player=player).update(balance=F("balance") - 700)

    assert kinds(at_once([naive] * 2)) == {"int": 1, "IntegrityError": 1}


def test_bulk_and_single__same_source_at_once__one_entry(player):
    def single() -> str:
        services.add_points(player_id=player.pk, unit="LP", amount=Decimal(5), source=Source("batch", "same"), at=NOW)
        return "single"

    def bulk() -> str:
        post_lines([line(1, player.pk, 500, ref="same")])
        return "bulk"

    results = at_once([single, bulk] * 4)
    assert kinds(results) == {"str": 8}
    assert Entry.objects.count() == 1
    assert balance_of(player.pk) == 500
    assert_books_balance()


def test_bulk__same_batch_by_eight_workers__posted_once():
    players = [PlayerFactory() for _ in range(40)]
    lines = [line(n, one.pk, 100, unit=unit, ref=f"{unit}{n}") for n, one in enumerate(players) for unit in ("RP", "BONUS")]
    results = at_once([lambda: post_lines(lines)] * THREADS)

    assert kinds(results) == {"PostResult": THREADS}
    assert sum(result.posted for result in results) == 80
    assert sum(result.duplicates for result in results) == 80 * (THREADS - 1)
    assert_books_balance()


def test_bulk__overlapping_batches_in_opposite_order__no_deadlock():
    players = [PlayerFactory() for _ in range(30)]

    def batch(number: int) -> Callable[[], Any]:
        order = players if number % 2 else players[::-1]
        return lambda: post_lines([line(n, one.pk, 100, ref=f"w{number}-{one.pk}") for n, one in enumerate(order)])

    results = at_once([batch(number) for number in range(THREADS)])
    assert kinds(results) == {"PostResult": THREADS}
    assert {account.balance for account in Account.objects.all()} == {100 * THREADS}
    assert_books_balance()


def test_bulk__control_single_postings_in_opposite_order__deadlock():
    one, two = PlayerFactory(), PlayerFactory()
    points(one.pk, "1")
    points(two.pk, "1")
    both_hold_one = threading.Barrier(2)

    def crossing(first: int, second: int) -> Callable[[], Any]:
        def run() -> str:
            with transaction.atomic():
                points(first, "1")
                both_hold_one.wait()
                points(second, "1")
            return "posted"

        return run

    results = at_once([crossing(one.pk, two.pk), crossing(two.pk, one.pk)])
    assert kinds(results) == {"str": 1, "OperationalError": 1}
    assert "deadlock" in str(next(result for result in results if isinstance(result, OperationalError)))
    assert_books_balance()


def test_record_wager__one_activity_by_eight_threads__one_effect(player):
    grant = bonus(player.pk, "10", "100")
    results = at_once([lambda: bet(player.pk, "15", ref="a1")] * THREADS)
    assert sorted(result.repeated for result in results) == [False] + [True] * (THREADS - 1)
    grant.refresh_from_db()
    assert (grant.wagered, WagerEvent.objects.count()) == (Decimal(15), 1)
    assert_books_balance()


def test_record_wager__one_activity_without_account_by_eight_threads__one_event(player):
    results = at_once([lambda: bet(player.pk, "15", ref="a1")] * THREADS)
    assert kinds(results) == {"WagerProgress": THREADS}
    assert WagerEvent.objects.count() == 1


def test_record_wager__eight_bets_pass_the_requirement_together__released_once(player):
    grant = bonus(player.pk, "10", "50")
    at_once([lambda: bet(player.pk, "15")] * THREADS)
    grant.refresh_from_db()
    assert (grant.status, grant.wagered, grant.balance) == ("COMPLETED", Decimal(50), 0)
    assert Entry.objects.filter(house="payout").count() == 1
    assert_books_balance()


def test_expiry__against_the_completing_bet__exactly_one_ends_the_grant(player):
    late = NOW + timedelta(hours=1)
    for _ in range(5):
        grant = bonus(player.pk, "10", "15", expires_at=NOW + timedelta(hours=1))
        at_once([lambda: bet(player.pk, "15"), lambda: services.expire_bonuses(at=late, lower_id=0, upper_id=2**60)] * 2)
        grant.refresh_from_db()
        assert grant.status in {"COMPLETED", "EXPIRED"}
        assert Entry.objects.filter(source_type="wallet.grant", source_ref=str(grant.pk)).count() == 1
        assert_books_balance()


def test_reverse_entry__two_persons_at_once__one_reversal(player):
    entry = points(player.pk, "5")
    points(player.pk, "50")
    results = at_once([lambda: services.reverse_entry(entry.pk, source=a_source(), at=NOW, reason="mistake", actor=None)] * 2)
    assert kinds(results) == {"Entry": 1, CannotReverse.__name__: 1}
    assert balance_of(player.pk) == 5000
    assert_books_balance()


def test_adjustment__approved_and_rejected_at_once__one_decision(player):
    maker, one, two = staff("adjust_wallet"), staff("approve_adjustment"), staff("approve_adjustment")
    request = services.request_adjustment(player_id=player.pk, unit="LP", amount=Decimal(500), reason="outage", maker=maker, at=NOW)
    results = at_once(
        [
            lambda: services.approve_adjustment(request.pk, checker=one, at=NOW),
            lambda: services.approve_adjustment(request.pk, checker=two, at=NOW),
            lambda: services.reject_adjustment(request.pk, checker=one, at=NOW, note="no"),
        ]
    )
    assert kinds(results) == {AdjustmentRequest.__name__: 1, AdjustmentRefused.__name__: 2}
    request.refresh_from_db()
    assert balance_of(player.pk) == (50000 if request.status == "POSTED" else 0)
    assert_books_balance()


def test_spend_bonus__eight_threads_over_two_grants__never_below_zero(player):
    bonus(player.pk, "5")
    offer(player.pk, a_template(products=["sports"]), amount=Decimal(5))

    def spend() -> int:
        return services.spend(
            player_id=player.pk, unit="BONUS", currency="EUR", amount=Decimal(3), source=a_source(), at=NOW, reason="stake"
        ).pk

    results = at_once([spend] * THREADS)
    assert kinds(results) == {"int": 3, InsufficientFunds.__name__: 5}
    assert balance_of(player.pk, "BONUS", "EUR") == 100
    assert_books_balance()


def _held_while(work: Callable[[], Any], first: Account, other: Account) -> bool:
    """Whether `work`, in a session of its own and waiting for the row of `first` that this one holds, holds the row of `other`."""
    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        Account.objects.select_for_update().get(pk=first.pk)
        running = pool.submit(lambda: at_once([work]))
        with connection.cursor() as cursor:
            for _ in range(1000):
                cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))")
                if cursor.fetchone()[0]:
                    break
                time.sleep(0.01)
            else:
                raise AssertionError("the other session never came to wait")
        try:
            with transaction.atomic():
                Account.objects.select_for_update(nowait=True).get(pk=other.pk)
            held = False
        except OperationalError:
            held = True
    assert kinds(running.result()) == {"list": 1}
    return held


@pytest.mark.parametrize(
    ("batch", "crosses"),
    [
        (services.record_wagers, False),
        (lambda bets: [services.record_wager(**{name: getattr(one, name) for name in one.__slots__}) for one in bets], True),
    ],
    ids=["batch", "control: one by one"],
)
def test_record_wagers__account_ids_against_player_ids__locks_in_account_order(batch, crosses):
    earlier, later = PlayerFactory(), PlayerFactory()
    bonus(later.pk, "10", "100")  # so the later player has the earlier account, which bulk postings lock first
    bonus(earlier.pk, "10", "100")
    accounts = {account.player_id: account for account in Account.objects.all()}
    assert accounts[later.pk].pk < accounts[earlier.pk].pk
    bets = [services.ReportedBet(one.pk, Decimal(5), "suns", "slots", f"bet-{one.pk}", NOW, "EUR") for one in (earlier, later)]

    def report() -> list[Any]:
        with transaction.atomic():
            return batch(bets)

    assert _held_while(report, accounts[later.pk], accounts[earlier.pk]) is crosses
    assert [grant.wagered for grant in BonusGrant.objects.order_by("pk")] == [Decimal(5), Decimal(5)]
    assert_books_balance()


def test_record_wagers__some_refused__the_others_count_and_places_match(player):
    bonus(player.pk, "10", "100")
    good = services.ReportedBet(player.pk, Decimal(5), "suns", "slots", "a1", NOW, "EUR")
    changed = services.ReportedBet(player.pk, Decimal(6), "suns", "slots", "a1", NOW, "EUR")
    finer = services.ReportedBet(player.pk, Decimal("5.001"), "suns", "slots", "a2", NOW, "EUR")
    answers = services.record_wagers([finer, good, changed])
    assert [type(one).__name__ for one in answers] == ["InvalidPosting", "WagerProgress", "IdempotencyConflict"]
    assert BonusGrant.objects.get().wagered == Decimal(5)
    assert list(WagerEvent.objects.values_list("activity_id", flat=True)) == ["a1"]
