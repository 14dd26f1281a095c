"""A window larger than an import, or than the patience of the source, or than the life of a worker: nothing is lost, nothing is doubled."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from constance.test import override_config
from django.core.management import CommandError, call_command

from loyalty_site.common.clock import utc_now
from players.feeds import client as feed_client
from players.feeds import refusals
from players.feeds.pull import Pulled, pull_all
from players.models import FeedRun, FeedState, ImportJob, Payment
from tests.child_process import database_url

from .conftest import AT, PATHS, bonus, deposit, player, serving
from .source import Asked, Reply

pytestmark = pytest.mark.django_db(transaction=True)


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _deposits(done: list[Pulled]) -> Pulled:
    return next(one for one in done if one.resource == "deposits")


def _week(moments: list[datetime]) -> dict[str, list[dict[str, Any]]]:
    return {"players": [player("P-1")], "deposits": [deposit(number, _stamp(moment)) for number, moment in enumerate(moments, start=1)]}


def test_pull__more_rows_than_an_import_takes__comes_in_slices(start: Any) -> None:
    busy = datetime(2026, 3, 4, 12, tzinfo=UTC)
    moments = [busy + timedelta(minutes=10 * number) for number in range(20)]
    operator, client = start(serving(_week([AT - timedelta(days=6), *moments, AT - timedelta(hours=1)])))
    with override_config(IMPORT_MAX_ROWS=3):
        done = _deposits(pull_all(AT, client))
    assert (done.rows, done.rejected, done.error) == (22, 0, "")
    assert Payment.objects.count() == 22
    assert set(ImportJob.objects.filter(kind="PAYMENTS").values_list("status", flat=True)) == {"DONE"}
    assert max(ImportJob.objects.filter(kind="PAYMENTS").values_list("total_rows", flat=True)) <= 3
    assert FeedState.objects.get(resource="deposits").cursor_at == AT
    assert FeedRun.objects.get().rows == 23  # with the player: what was asked for again in shorter slices is counted once


def test_pull__more_pages_than_a_slice_may_have__counts_each_bonus_once(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_client, "MOST_PAGES", 2)
    times = [f"2026-03-05T{hour:02}:00:00Z" for hour in range(12, 22, 2)]
    rows = [bonus(f"B-{number}", "P-1" if number else "P-9", at=moment) for number, moment in enumerate(times)]
    _, client = start(serving({"players": [player("P-1")], "bonuses": rows}))
    done = next(one for one in pull_all(AT, client) if one.resource == "bonuses")
    assert (done.rows, done.rejected, done.error) == (5, 1, "")
    assert FeedRun.objects.get().rows == 6


def test_pull__fails_for_another_reason_while_the_source_wants_patience__keeps_to_it(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    until = AT + timedelta(hours=2)
    operator, client = start(serving({}), now=lambda: AT)
    pull_all(AT, client)
    FeedState.objects.filter(resource="bonuses").update(ask_not_before=until)
    operator.asked.clear()

    def stop(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(refusals, "try_again", stop)
    assert all(one.error for one in pull_all(AT, client))
    monkeypatch.undo()
    assert FeedState.objects.get(resource="bonuses").ask_not_before == until
    assert all("asked to be left alone" in one.error for one in pull_all(AT, client))
    assert operator.asked == []


def test_pull__more_rows_in_a_minute_than_an_import_takes__keeps_what_came_before_and_goes_on_when_raised(start: Any) -> None:
    moment = datetime(2026, 3, 4, 12, tzinfo=UTC)
    operator, client = start(serving(_week([AT - timedelta(days=6), *[moment] * 4, AT - timedelta(hours=1)])))
    with override_config(IMPORT_MAX_ROWS=3):
        done = _deposits(pull_all(AT, client))
        assert "there are more than the 3 rows that an import takes (IMPORT_MAX_ROWS)" in done.error
        assert "Raise that limit" in done.error
    state = FeedState.objects.get(resource="deposits")
    assert Payment.objects.count() == 1
    assert state.cursor_at is not None
    assert moment - timedelta(minutes=1) <= state.cursor_at <= moment
    assert (state.failing_since, state.last_success_at) == (AT, None)
    operator.asked.clear()
    done = _deposits(pull_all(AT + timedelta(minutes=15), client))
    assert (done.rows, done.error) == (5, "")
    assert Payment.objects.count() == 6
    first = next(asked for asked in operator.asked if asked.path == PATHS["deposits"])
    assert first.query["from"] == _stamp(state.cursor_at - timedelta(hours=1))  # the overlap, not the week


def test_pull__source_asks_for_patience__is_left_alone_by_all_resources_until_then(start: Any) -> None:
    time_now = [AT]
    whole = serving(_week([AT - timedelta(days=1)]))
    state = {"busy": True}

    def answer(asked: Asked, number: int) -> Reply:
        if state["busy"] and asked.path == PATHS["deposits"] and asked.query["from"] >= "2026-03-04":
            return Reply({}, status=429, headers={"Retry-After": "3600"})
        return whole(asked, number)

    operator, client = start(answer, now=lambda: time_now[0])
    errors = {one.resource: one.error for one in pull_all(AT, client)}
    assert errors["players"] == ""
    assert all("asked to be left alone until 2026-03-08 13:00:00 UTC" in errors[one] for one in ("logs", "bonuses"))
    assert operator.asked[-1].path == PATHS["deposits"]
    assert FeedState.objects.get(resource="deposits").cursor_at == datetime(2026, 3, 4, 11, tzinfo=UTC)  # three days were taken

    operator.asked.clear()
    state["busy"] = False
    time_now[0] = AT + timedelta(minutes=59, seconds=59)
    assert all(one.error for one in pull_all(time_now[0], client))
    assert operator.asked == []

    time_now[0] = AT + timedelta(hours=1)
    assert [one.error for one in pull_all(time_now[0], client)] == ["", "", "", ""]
    assert Payment.objects.count() == 1
    assert set(FeedState.objects.values_list("ask_not_before", "failing_since")) == {(None, None)}


def _start_worker(url: str) -> subprocess.Popen[bytes]:
    """`manage.py pull_feeds` as another process on the database of this test."""
    environment = os.environ | {"DATABASE_URL": database_url(), "LOYALTY_FEED_URL": url}
    return subprocess.Popen(
        [sys.executable, "manage.py", "pull_feeds"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.1)


def test_pull__worker_killed_between_slices__goes_on_at_the_slice_that_it_had_not_taken(start: Any) -> None:
    now = utc_now()
    moments = [now - timedelta(days=days, hours=3) for days in (6, 5, 4, 3, 2, 1, 0)]
    whole = serving(_week(moments))
    reached, let_go = threading.Event(), threading.Event()

    def answer(asked: Asked, number: int) -> Reply:
        if not let_go.is_set() and asked.path == PATHS["deposits"] and asked.query["from"] > _stamp(now - timedelta(days=5)):
            reached.set()
            let_go.wait(60)
        return whole(asked, number)

    operator, _ = start(answer)
    worker = _start_worker(operator.url)
    try:
        _until(lambda: reached.is_set() or worker.poll() is not None, 120)
        assert worker.poll() is None, "the worker ended before the slice it was to hang in"
        # three slices are in; the worker hangs in the fourth
        run = FeedRun.objects.get()
        assert (run.status, run.resource) == ("RUNNING", "deposits")
        worker.send_signal(signal.SIGKILL)
        worker.wait(10)
    finally:
        let_go.set()
        worker.kill()
    assert sorted(Payment.objects.values_list("external_id", flat=True)) == ["1", "2", "3"]
    cursor = FeedState.objects.get(resource="deposits").cursor_at
    assert cursor is not None
    assert timedelta(days=4) < now - cursor <= timedelta(days=4, hours=1)

    operator.asked.clear()

    def pulled() -> bool:
        try:
            call_command("pull_feeds")
        except CommandError as error:
            if "under way" not in str(error):
                raise
            return False  # the server has not noticed yet that the worker is gone
        return True

    _until(pulled)
    assert sorted(Payment.objects.values_list("external_id", flat=True)) == [str(number) for number in range(1, 8)]
    first = next(asked for asked in operator.asked if asked.path == PATHS["deposits"])
    assert datetime.fromisoformat(first.query["from"]) == cursor - timedelta(hours=1)
    assert list(FeedRun.objects.order_by("id").values_list("status", flat=True)) == ["BROKEN_OFF", "DONE"]
    assert not ImportJob.objects.exclude(status__in=["DONE", "CANCELLED"]).exists()
