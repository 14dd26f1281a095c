"""Two sessions take activity in at once. Each race has its control: the same run with the lock off shows the harm."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from players import metrics
from players.activity import ActivityKind, MergeCounts, days, merge
from players.models import GamePlay, Payment, Player, PlayerDay, PlayerMetrics
from players.services import ingest
from tests.factories import PlayerFactory

from .factories import moment, payment, play, profile

pytestmark = pytest.mark.django_db(transaction=True)
D = Decimal


@contextmanager
def beside(work: Callable[[], Any]) -> Iterator[None]:
    """Run `work` in a second session: it must come to wait for this session's open transaction, which ends inside the block."""
    failed: list[BaseException] = []
    pid: list[int] = []

    def run() -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                pid.append(cursor.fetchone()[0])
                cursor.execute("SET lock_timeout = '20s'")
            work()
        except BaseException as error:  # noqa: BLE001 - handed to the test below
            failed.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE pid = ANY(%s) AND NOT granted", [pid])
            if cursor.fetchone()[0]:
                break
        assert not failed, failed
        time.sleep(0.01)
    else:
        raise AssertionError("the second session never came to wait")
    try:
        yield
    finally:
        thread.join(20)
    assert not thread.is_alive()
    if failed:
        raise failed[0]


def two_payments_of_one_day(now: datetime) -> Decimal:
    PlayerFactory(external_id="P1")
    with transaction.atomic():
        ingest(ActivityKind.PAYMENTS, [payment("P1", "a", moment(1), amount=D(10))], at=now)
        waiting = beside(lambda: ingest(ActivityKind.PAYMENTS, [payment("P1", "b", moment(1), amount=D(7))], at=now))
        waiting.__enter__()
    waiting.__exit__(None, None, None)
    assert Payment.objects.count() == 2
    return PlayerDay.objects.get(day=date(2026, 3, 1)).deposits


def test_two_sessions__same_player_and_day__the_roll_up_holds_both(now: datetime) -> None:
    assert two_payments_of_one_day(now) == D(17)


def test_two_sessions__lock_off__the_roll_up_loses_one(now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (days, merge):
        monkeypatch.setattr(module, "lock_players", lambda cursor, relation: None)
    assert two_payments_of_one_day(now) == D(7)


def test_two_sessions__one_moves_the_event_of_the_other__no_day_keeps_a_ghost(now: datetime) -> None:
    PlayerFactory(external_id="P1")
    with transaction.atomic():
        ingest(ActivityKind.PLAYS, [play("P1", "r", moment(1), stake=D(5))], at=now)
        waiting = beside(lambda: ingest(ActivityKind.PLAYS, [play("P1", "r", moment(2), stake=D(6))], at=now))
        waiting.__enter__()
    waiting.__exit__(None, None, None)
    assert list(PlayerDay.objects.values_list("day", "stake")) == [(date(2026, 3, 2), D(6))]


def test_many_sessions__same_new_rows_in_any_order__have_one_effect_and_no_deadlock(now: datetime) -> None:
    players = [f"P{n:03d}" for n in range(40)]
    rows = [play(player, f"r{n}", moment(1 + n), stake=D(n + 1)) for player in players for n in range(5)]
    profiles = [profile(player, country="MT", marketing_consent=True) for player in players]
    start = threading.Barrier(4)

    def one(turn: int) -> MergeCounts:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '30s'")
            start.wait(10)
            step = 1 if turn % 2 else -1
            ingest(ActivityKind.PLAYERS, profiles[::step], at=now)
            return ingest(ActivityKind.PLAYS, rows[::step], at=now)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(one, range(4)))
    assert sum(count.created for count in counts) == 200
    assert sum(count.unchanged for count in counts) == 600
    assert sum(count.players_created for count in counts) == 0
    assert (Player.objects.count(), GamePlay.objects.count(), PlayerDay.objects.count()) == (40, 200, 200)
    assert sum(PlayerDay.objects.values_list("stake", flat=True)) == D(40 * 15)


def test_measuring_some_players__their_rows_are_held_by_a_job__takes_no_metrics_before_them(now: datetime) -> None:
    """A job that writes scores holds players and then wants their metrics; the reverse order here would be a deadlock."""
    player = PlayerFactory()
    metrics.refresh_metrics_for([player.pk], now)

    def measure_and_decide() -> None:
        with transaction.atomic():
            metrics.refresh_metrics_for([player.pk], now)
            Player.objects.select_for_update(no_key=True).get(pk=player.pk)

    with transaction.atomic():
        Player.objects.select_for_update(no_key=True).get(pk=player.pk)
        waiting = beside(measure_and_decide)
        waiting.__enter__()
        try:
            with transaction.atomic():
                PlayerMetrics.objects.select_for_update(nowait=True).get(pk=player.pk)
            free = True
        except OperationalError:
            free = False
    waiting.__exit__(None, None, None)
    assert free
