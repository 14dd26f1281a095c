"""Pulling the operator's API into the database: the window, the cursor, the cleaning, faults, and the age of what is known."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from loyalty_site.common.jobs import JobOverlap, overlap_lock
from players.feeds.freshness import stale_since
from players.feeds.pull import pull_all
from players.models import FeedRefusal, FeedState, ImportJob, ImportMapping, Payment, Player, PlayerDay, PlaySession, QuarantinedRow
from wallet.models import BonusGrant

from .conftest import AT, PATHS, serving
from .source import Asked, Reply

pytestmark = pytest.mark.django_db(transaction=True)

PLAYERS = [
    {
        "user_id": "P-1",
        "country": "FI",
        "currency": "EUR",
        "registration_date": "2026-01-02T10:00:00Z",
        "language": "fi",
        "updated_at": "2026-03-02T09:00:00Z",
    },
    {
        "user_id": "Игрок-2",
        "country": "MT",
        "currency": "EUR",
        "registration_date": "2026-02-02T10:00:00Z",
        "updated_at": "2026-03-02T09:30:00Z",
    },
]
DEPOSITS = [
    {
        "id": 1,
        "user_id": "P-1",
        "amount": "200.00200.00",
        "status": "success",
        "payment_method": "card",
        "created_at": "2026-03-02T10:00:00Z",
    },
    {"id": 2, "user": {"id": "P-1"}, "amount": "50.0050.0050.00", "status": "success", "created_at": "2026-03-03T10:00:00Z"},
    {"id": 3, "user_id": "P-1", "amount": "1,200.50", "status": "declined", "created_at": "2026-03-03T11:00:00Z"},
    {"id": 4, "user_id": "P-1", "amount": "abc", "status": "success", "created_at": "2026-03-04T10:00:00Z"},
    {"id": 5, "user_id": "P-1", "amount": "200.0.0", "status": "success", "created_at": "2026-03-04T10:00:00Z"},
    {"id": 6, "user_id": "P-1", "amount": "NaN", "status": "success", "created_at": "2026-03-04T10:00:00Z"},
]
LOGS = [
    {"id": "S-1", "user_id": "P-1", "login_time": "2026-03-02T09:50:00Z", "logout_time": "2026-03-02T10:50:00Z", "ip_address": "10.0.0.1"},
]
BONUSES = [
    {
        "user_bonus_id": "B-1",
        "user_id": "P-1",
        "amount": "10.0010.00",
        "required_wagering_amount": "200",
        "status": "Created",
        "type": "ReloadBonus",
        "product": "Casino",
        "timestamp": "2026-03-05T10:00:00Z",
    },
    {"user_bonus_id": "B-2", "user_id": "nobody", "amount": "1", "status": "Created", "timestamp": "2026-03-05T10:00:00Z"},
    {"user_bonus_id": "B-3", "user_id": "P-1", "amount": "-", "status": "Created", "timestamp": "2026-03-05T10:00:00Z"},
]
DATA: dict[str, list[dict[str, Any]]] = {
    "/api/players_details": PLAYERS,
    "/api/players_deposit_details": DEPOSITS,
    "/api/players_log_details": LOGS,
    "/api/players_bonus_details": BONUSES,
}


all_well = serving({resource: DATA[path] for resource, path in PATHS.items()})


def careless(asked: Asked, number: int) -> Reply:
    """Gives everything whatever the window: all of it comes in every slice."""
    page, size = int(asked.query["page"]), int(asked.query["per_page"])
    return Reply({"data": DATA[asked.path][(page - 1) * size : page * size]})


def _errors(done: list[Any]) -> dict[str, str]:
    return {one.resource: one.error for one in done if one.error}


def test_pull__first_time__takes_seven_days_cleans_and_moves_the_cursor(start: Any) -> None:
    operator, client = start(all_well)
    done = pull_all(AT, client)
    assert _errors(done) == {}
    assert [(one.resource, one.rows, one.rejected) for one in done] == [
        ("players", 2, 0),
        ("deposits", 6, 3),
        ("logs", 1, 0),
        ("bonuses", 3, 2),
    ]
    slices = list(dict.fromkeys((asked.query["from"], asked.query["to"]) for asked in operator.asked))
    # seven days and the overlap of an hour, a day at a time
    assert slices == [
        *((f"2026-03-{day:02d}T11:00:00Z", f"2026-03-{day + 1:02d}T11:00:00Z") for day in range(1, 8)),
        ("2026-03-08T11:00:00Z", "2026-03-08T12:00:00Z"),
    ]
    assert set(Player.objects.values_list("external_id", "country", "language")) == {("P-1", "FI", "fi"), ("Игрок-2", "MT", "")}
    assert list(Payment.objects.order_by("external_id").values_list("external_id", "amount", "status", "kind")) == [
        ("1", Decimal("400.0000"), "COMPLETED", "DEPOSIT"),
        ("2", Decimal("150.0000"), "COMPLETED", "DEPOSIT"),
        ("3", Decimal("1200.5000"), "FAILED", "DEPOSIT"),
    ]
    day = PlayerDay.objects.get(player__external_id="P-1", day="2026-03-03")
    assert (day.deposits, day.deposit_count, day.failed_deposit_count) == (Decimal("150.0000"), 1, 1)
    assert PlaySession.objects.get().ip == "10.0.0.1"
    assert sorted(QuarantinedRow.objects.values_list("value", flat=True)) == ["200.0.0", "NaN", "abc"]
    assert list(BonusGrant.objects.values_list("principal", "currency")) == [(2000, "EUR")]
    assert list(FeedRefusal.objects.values_list("resource", "field", "status")) == [
        ("bonuses", "user_id", "OPEN"),
        ("bonuses", "amount", "OPEN"),
    ]
    assert set(FeedState.objects.values_list("cursor_at", "failing_since", "failures")) == {(AT, None, 0)}
    assert stale_since(AT) is None


def test_pull__again__asks_from_the_cursor_and_changes_nothing(start: Any) -> None:
    operator, client = start(careless)
    pull_all(AT, client)
    before = list(Payment.objects.order_by("id").values()), list(BonusGrant.objects.values("id", "status", "principal", "balance"))
    operator.asked.clear()
    assert _errors(pull_all(AT + timedelta(hours=2), client)) == {}
    assert {asked.query["from"] for asked in operator.asked} == {"2026-03-08T11:00:00Z"}
    after = list(Payment.objects.order_by("id").values()), list(BonusGrant.objects.values("id", "status", "principal", "balance"))
    assert before == after
    assert QuarantinedRow.objects.count() == 3  # what was set aside before is not set aside again
    assert ImportJob.objects.order_by("-id").filter(kind="PAYMENTS").first().created_count == 0  # type: ignore[union-attr]


def test_pull__rows_repeated_over_pages__count_once(start: Any) -> None:
    def doubled(asked: Asked, number: int) -> Reply:
        if asked.path != "/api/players_deposit_details":
            return Reply([])
        if asked.query["from"] != "2026-03-02T11:00:00Z":
            return Reply([])
        pages = [DEPOSITS[0:2], DEPOSITS[1:3], DEPOSITS[2:3]]
        return Reply(pages[int(asked.query["page"]) - 1])

    _, client = start(doubled)
    deposits = next(one for one in pull_all(AT, client) if one.resource == "deposits")
    assert (deposits.rows, deposits.error) == (3, "")
    assert Payment.objects.count() == 3


def test_pull__source_down__keeps_the_last_good_data_and_says_since_when(start: Any) -> None:
    state = {"down": False}

    def answer(asked: Asked, number: int) -> Reply:
        if state["down"] and asked.path == "/api/players_deposit_details":
            return Reply({}, status=500)
        return all_well(asked, number)

    _, client = start(answer)
    pull_all(AT, client)
    kept = list(Payment.objects.order_by("id").values())
    state["down"] = True
    first, second = AT + timedelta(hours=1), AT + timedelta(hours=2)
    assert list(_errors(pull_all(first, client))) == ["deposits"]
    assert "HTTP 500" in _errors(pull_all(second, client))["deposits"]
    assert list(Payment.objects.order_by("id").values()) == kept
    deposits = FeedState.objects.get(resource="deposits")
    assert (deposits.cursor_at, deposits.failing_since, deposits.failures) == (AT, first, 2)
    assert FeedState.objects.get(resource="logs").cursor_at == second
    assert stale_since(second) == AT  # the last success: since then nothing is complete
    state["down"] = False
    pull_all(AT + timedelta(hours=3), client)
    deposits.refresh_from_db()
    assert (deposits.failing_since, deposits.failures, deposits.last_error) == (None, 0, "")
    assert stale_since(AT + timedelta(hours=3)) is None


def test_pull__page_that_stays_unreadable__takes_nothing_of_its_slice(start: Any) -> None:
    def broken(asked: Asked, number: int) -> Reply:
        if asked.path == "/api/players_deposit_details" and asked.query["page"] == "2":
            return Reply(raw=b'{"data": [')
        return all_well(asked, number)

    _, client = start(broken)
    assert "is no JSON" in _errors(pull_all(AT, client))["deposits"]
    # the day from 2026-03-03T11 on holds four deposits, so it has a second page; the days before it are in
    assert sorted(Payment.objects.values_list("external_id", flat=True)) == ["1", "2"]
    assert FeedState.objects.get(resource="deposits").cursor_at == datetime(2026, 3, 3, 11, tzinfo=UTC)


def test_pull__columns_nobody_knows__names_the_mapping_to_save_and_takes_it(start: Any) -> None:
    rows = [{"wer": "P-1", "nummer": "9", "betrag": "12.50", "wann": "2026-03-02T10:00:00Z"}]
    _, client = start(lambda asked, number: Reply(rows if asked.path == "/api/players_deposit_details" else []))
    error = _errors(pull_all(AT, client))["deposits"]
    assert "no column holds" in error
    assert "'api deposits'" in error
    ImportMapping.objects.create(
        name="api deposits",
        kind="PAYMENTS",
        columns={
            "player_external_id": "wer",
            "external_id": "nummer",
            "amount": "betrag",
            "occurred_at": "wann",
            "kind": {"constant": "DEPOSIT"},
        },
        created_at=AT,
    )
    assert _errors(pull_all(AT, client)) == {}
    assert Payment.objects.get().amount == Decimal("12.5000")


def test_pull__while_another_is_under_way__is_left_to_it(start: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from django.db import connection

    def attempt() -> str:
        try:
            pull_all(AT, client)
        except JobOverlap as error:
            return str(error)
        finally:
            connection.close()
        return "pulled"

    _, client = start(all_well)
    with overlap_lock("players.feeds"), ThreadPoolExecutor(1) as pool:
        assert "another run" in pool.submit(attempt).result()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(attempt).result() == "pulled"  # the control: it was the lock


def test_command__without_an_address__says_what_to_set(settings: Any) -> None:
    settings.FEED_URL = ""
    with pytest.raises(CommandError, match="LOYALTY_FEED_URL"):
        call_command("pull_feeds")
    assert pull_all(AT) == []
