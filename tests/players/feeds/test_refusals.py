"""Bonus rows that cannot be taken: kept beyond their window, tried again at every pull, taken once, or dismissed for good."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from loyalty_site.common.models import AuditEvent
from players.feeds import refusals, runs
from players.feeds.pull import pull_all
from players.feeds.sinks import Refused
from players.models import FeedRefusal, FeedState, ImportJob, QuarantinedRow
from tests.factories import PlayerFactory
from wallet.models import BonusGrant

from .conftest import AT, bonus, deposit, player, serving

pytestmark = pytest.mark.django_db(transaction=True)
MONTH = timedelta(days=30)


def _pulled(client: Any, at: Any) -> tuple[int, int]:
    done = next(one for one in pull_all(at, client) if one.resource == "bonuses")
    assert done.error == ""
    return done.rows, done.rejected


def test_refused_row__player_comes_a_month_later__is_taken_then_and_once(start: Any) -> None:
    data = {"players": [player("P-1")], "bonuses": [bonus("B-1", "P-9")]}
    operator, client = start(serving(data))
    assert _pulled(client, AT) == (1, 1)
    (row,) = FeedRefusal.objects.all()
    assert (row.status, row.field, row.raw["user_bonus_id"], row.attempts) == ("OPEN", "user_id", "B-1", 1)
    assert _pulled(client, AT + MONTH) == (0, 0)  # the source does not send it any more
    row.refresh_from_db()
    assert (row.status, row.attempts, row.first_refused_at, row.last_tried_at) == ("OPEN", 2, AT, AT + MONTH)

    data["players"].append(player("P-9", "2026-04-08T09:00:00Z"))
    at = AT + MONTH + timedelta(days=1)
    assert _pulled(client, at) == (0, 0)
    assert list(BonusGrant.objects.values_list("player__external_id", "principal")) == [("P-9", 1000)]
    row.refresh_from_db()
    assert (row.status, row.resolved_at, row.attempts, row.field) == ("ACCEPTED", at, 3, "user_id")
    assert (row.raw, row.reason, row.remedy) == ({}, "", "")

    assert refusals.open_count("bonuses") == 0
    assert _pulled(client, at + MONTH) == (0, 0)
    assert BonusGrant.objects.count() == 1


def test_refused_row__source_sends_it_again__is_kept_once_and_taken_from_the_page(start: Any) -> None:
    data = {"players": [player("P-1")], "bonuses": [bonus("B-1", status="Completed"), bonus("B-1", status="Completed")]}
    operator, client = start(serving(data))
    assert _pulled(client, AT) == (2, 2)
    assert FeedRefusal.objects.count() == 1
    assert "was never reported" in FeedRefusal.objects.get().reason
    data["bonuses"] = [bonus("B-1", at="2026-03-08T11:30:00Z")]
    assert _pulled(client, AT + timedelta(minutes=15)) == (1, 0)
    assert refusals.open_count("bonuses") == 1  # its turn was before the page that it waits for
    assert _pulled(client, AT + timedelta(minutes=30)) == (1, 0)
    assert refusals.open_count("bonuses") == 1  # refused twice, it waits half an hour
    assert _pulled(client, AT + timedelta(minutes=45)) == (1, 0)
    assert FeedRefusal.objects.get().status == "ACCEPTED"
    assert BonusGrant.objects.get().status == "COMPLETED"


def test_refused_rows__in_one_page__the_last_answer_to_the_same_row_counts(start: Any) -> None:
    rows = [bonus("B-1", status="Completed"), bonus("B-1"), bonus("B-1", status="Completed")]
    from players.feeds.sinks import sink_of

    operator, client = start(serving({"players": [player("P-1")]}))
    pull_all(AT, client)
    sink = sink_of("bonuses")
    assert sink is not None
    assert refusals.take_page("bonuses", sink, rows, AT) == 1
    assert FeedRefusal.objects.count() == 0
    assert BonusGrant.objects.get().status == "COMPLETED"


def test_refused_rows__more_than_a_page_shows__are_all_counted_and_kept(start: Any) -> None:
    data = {"players": [player("P-1")], "bonuses": [bonus(f"B-{number}", f"nobody-{number}") for number in range(1_203)]}
    operator, client = start(serving(data))
    client.source = replace(client.source, page_size=500)
    assert _pulled(client, AT) == (1_203, 1_203)
    assert FeedState.objects.get(resource="bonuses").last_rejected == 1_203
    assert refusals.open_count("bonuses") == 1_203
    data["bonuses"] = []
    assert _pulled(client, AT + timedelta(minutes=15)) == (0, 0)
    assert set(FeedRefusal.objects.values_list("attempts", flat=True)) == {2}


def test_refused_row__source_down__is_tried_all_the_same(start: Any) -> None:

    from .source import Reply

    data = {"players": [player("P-1")], "bonuses": [bonus("B-1", "P-9")]}
    state = {"down": False}
    whole = serving(data)
    operator, client = start(lambda asked, number: Reply({}, status=500) if state["down"] else whole(asked, number))
    pull_all(AT, client)
    state["down"] = True
    PlayerFactory(external_id="P-9", currency="EUR")
    pull_all(AT + timedelta(hours=1), client)
    assert BonusGrant.objects.get().player.external_id == "P-9"


def test_dismissed_row__sent_again_after_it_could_be_taken__stays_out(start: Any) -> None:
    data = {"players": [player("P-1")], "bonuses": [bonus("B-1", "P-9", at="2026-03-08T11:30:00Z"), bonus("B-2", "P-8")]}
    operator, client = start(serving(data))
    pull_all(AT, client)
    row = FeedRefusal.objects.get(raw__user_bonus_id="B-1")
    boss = User.objects.create_user("boss", is_staff=True)
    with pytest.raises(ValueError, match="needs a reason"):
        refusals.dismiss([row.pk], actor=boss, at=AT, reason=" ")
    assert refusals.dismiss([row.pk], actor=boss, at=AT, reason="test player of the operator") == 1
    with pytest.raises(ValueError, match="None of these rows is open"):
        refusals.dismiss([row.pk], actor=boss, at=AT, reason="again")
    data["players"].append(player("P-9", "2026-03-08T11:45:00Z"))
    assert _pulled(client, AT + timedelta(minutes=15)) == (1, 0)
    row.refresh_from_db()
    assert (row.raw, row.reason, row.remedy, row.field) == ({}, "", "", "user_id")
    assert (row.status, row.note, row.resolved_by, row.attempts) == ("DISMISSED", "test player of the operator", boss, 1)
    assert BonusGrant.objects.count() == 0
    assert refusals.open_count("bonuses") == 1
    event = AuditEvent.objects.get(action="players.feed_rows_dismissed")
    assert (event.actor, event.reason, event.after) == (boss, "test player of the operator", {"count": 1, "rows": [row.pk]})


def test_faulty_deposit__import_that_failed_had_set_it_aside__is_set_aside_again(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from players.imports import lifecycle

    faulty = {**deposit(4, "2026-03-08T11:30:00Z"), "amount": "abc"}
    operator, client = start(serving({"players": [player("P-1")], "deposits": [deposit(1, "2026-03-08T11:20:00Z"), faulty]}))
    written = lifecycle.write

    def stop(job: ImportJob, at: Any) -> Any:
        if job.kind == "PAYMENTS":
            raise RuntimeError
        return written(job, at)

    monkeypatch.setattr(lifecycle, "write", stop)
    assert next(one for one in pull_all(AT, client) if one.resource == "deposits").error.startswith("stopped by RuntimeError")
    assert set(QuarantinedRow.objects.values_list("status", flat=True)) == {"DISMISSED"}
    monkeypatch.undo()
    done = next(one for one in pull_all(AT + timedelta(minutes=15), client) if one.resource == "deposits")
    assert (done.rows, done.rejected, done.error) == (2, 1, "")
    assert QuarantinedRow.objects.filter(status="OPEN", job__status="DONE").count() == 1
    done = next(one for one in pull_all(AT + timedelta(minutes=30), client) if one.resource == "deposits")
    assert (done.rejected, QuarantinedRow.objects.filter(status="OPEN").count()) == (0, 1)


def _refuse(reason: str = "there is no such player") -> Any:
    return lambda rows, at: [Refused(position, "user_id", reason, "Wait.") for position, _ in enumerate(rows)]


def test_pause_after__doubles_from_a_quarter_of_an_hour_to_a_day() -> None:
    hours = [refusals.pause_after(attempts) / timedelta(hours=1) for attempts in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10**6)]
    assert hours == [0.25, 0.5, 1, 2, 4, 8, 16, 24, 24, 24]


def test_refused_row__tried_every_quarter_of_an_hour_for_three_days__has_its_turn_ever_more_rarely() -> None:
    refusals.take_page("bonuses", _refuse(), [bonus("B-1")], AT)
    turns: list[float] = []

    def sink(rows: list[Any], at: Any) -> list[Refused]:
        turns.append((at - AT) / timedelta(hours=1))
        return [Refused(0, "user_id", "there is no such player", "Wait.")]

    for quarter in range(1, 3 * 96):
        # the schedule is seconds early or late
        refusals.try_again("bonuses", sink, AT + timedelta(minutes=15 * quarter, seconds=20 * (-1) ** quarter))
    assert [round(turn * 4) / 4 for turn in turns] == [0.25, 0.75, 1.75, 3.75, 7.75, 15.75, 31.75, 55.75]
    assert FeedRefusal.objects.get().attempts == 9


def test_refused_row__sent_again_with_the_same_reason__is_not_written() -> None:
    refusals.take_page("bonuses", _refuse(), [bonus("B-1")], AT)
    before = FeedRefusal.objects.values().get()
    later = AT + timedelta(minutes=5)
    with CaptureQueriesContext(connection) as caught:
        refusals.take_page("bonuses", _refuse(), [bonus("B-1")], later)
    written = [one["sql"] for one in caught if one["sql"].startswith(("INSERT", "UPDATE"))]
    assert [sql for sql in written if "ACCEPTED" not in sql] == []
    assert FeedRefusal.objects.values().get() == before
    refusals.take_page("bonuses", _refuse("the account is closed"), [bonus("B-1")], later)
    assert FeedRefusal.objects.values().get() == {**before, "reason": "the account is closed"}


def test_refused_rows__many_tried_again__the_run_shows_that_it_lives(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "_BATCH", 2)
    beats: list[None] = []
    monkeypatch.setattr(runs.Progress, "alive", lambda progress: beats.append(None))
    _, client = start(serving({"bonuses": [bonus(f"B-{number}", "P-9") for number in range(5)]}))
    pull_all(AT, client)
    assert beats == []
    pull_all(AT + timedelta(hours=1), client)
    assert len(beats) == 3


def test_forget__closed_rows_after_90_days__taken_ones_go_and_dismissed_ones_stay_out(start: Any) -> None:
    _, client = start(serving({}))
    boss = User.objects.create_user("boss", is_staff=True)
    refusals.take_page("bonuses", _refuse(), [bonus("B-1"), bonus("B-2"), bonus("B-3")], AT)
    first = FeedRefusal.objects.get(raw__user_bonus_id="B-1")
    refusals.dismiss([first.pk], actor=boss, at=AT, reason="test player")
    refusals.take_page("bonuses", lambda rows, at: [], [bonus("B-2")], AT)

    pull_all(AT + timedelta(days=90), client)
    assert list(FeedRefusal.objects.order_by("id").values_list("status", "note")) == [
        ("DISMISSED", "test player"), ("ACCEPTED", ""), ("OPEN", ""),
    ]  # fmt: skip
    pull_all(AT + timedelta(days=90, seconds=1), client)
    assert list(FeedRefusal.objects.order_by("id").values_list("status", "note")) == [("DISMISSED", ""), ("OPEN", "")]
    told: list[str] = []
    refusals.take_page(
        "bonuses", lambda rows, at: told.extend(row["user_bonus_id"] for row in rows) or [], [bonus("B-1"), bonus("B-4")], AT
    )
    assert told == ["B-4"]


@pytest.mark.parametrize("locked", [True, False], ids=["as it is", "control: without the lock"])
def test_dismiss__while_the_row_is_being_taken__one_of_both_happens(locked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not locked:
        monkeypatch.setattr(refusals, "_one_at_a_time", nullcontext)
    refusals.take_page("bonuses", _refuse(), [bonus("B-1")], AT)
    row = FeedRefusal.objects.get()
    boss = User.objects.create_user("boss", is_staff=True)

    def dismiss() -> str:
        try:
            refusals.dismiss([row.pk], actor=boss, at=AT, reason="test player")
        except ValueError as error:
            return str(error)
        finally:
            connection.close()
        return "dismissed"

    def waits() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            return bool(cursor.fetchone()[0])

    with ThreadPoolExecutor(1) as pool:
        clicks: list[Future[str]] = []

        def sink(rows: list[Any], at: Any) -> list[Refused]:
            clicks.append(pool.submit(dismiss))
            end = time.monotonic() + 2
            while not clicks[0].done() and not waits() and time.monotonic() < end:
                time.sleep(0.01)
            return []  # taken

        refusals.take_page("bonuses", sink, [bonus("B-1")], AT)
        said = clicks[0].result()
    row.refresh_from_db()
    if locked:
        assert (row.status, said) == ("ACCEPTED", "None of these rows is open. Reload the page and choose again.")
    else:
        assert (row.status, said) == ("DISMISSED", "dismissed")  # taken and dismissed
