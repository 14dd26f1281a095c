"""Rows that lack a key: set aside where the column is known from elsewhere, an error only when no row has ever had it."""

from datetime import timedelta
from typing import Any

import pytest

from players.feeds.pull import Pulled, pull_all
from players.models import FeedState, ImportMapping, Payment, QuarantinedRow

from .conftest import AT, PATHS, deposit, player, serving

pytestmark = pytest.mark.django_db(transaction=True)


def _pull(client: Any, at: Any, resource: str = "deposits") -> Pulled:
    return next(one for one in pull_all(at, client) if one.resource == resource)


def _lacking(number: int, created_at: str, key: str = "amount") -> dict[str, Any]:
    return {name: cell for name, cell in deposit(number, created_at).items() if name != key}


def test_row_alone_in_its_slice_without_a_required_key__goes_to_quarantine_and_the_feed_goes_on(start: Any) -> None:
    data = {"players": [player("P-1")], "deposits": [deposit(1, "2026-03-08T10:00:00Z")]}
    _, client = start(serving(data))
    assert _pull(client, AT).error == ""
    data["deposits"].append(_lacking(2, "2026-03-10T10:00:00Z"))
    later = AT + timedelta(days=2)
    done = _pull(client, later)
    assert (done.rows, done.rejected, done.error) == (1, 1, "")
    row = QuarantinedRow.objects.get()
    assert (row.column, row.code, row.status, row.raw["id"], row.raw["amount"]) == ("amount", "missing", "OPEN", "2", "")
    state = FeedState.objects.get(resource="deposits")
    assert (state.cursor_at, state.failing_since) == (later, None)
    data["deposits"].append(deposit(3, "2026-03-10T12:30:00Z"))
    assert _pull(client, later + timedelta(hours=1)).error == ""
    assert sorted(Payment.objects.values_list("external_id", flat=True)) == ["1", "3"]


def test_session_alone_without_its_start__is_set_aside_as_a_session(start: Any) -> None:
    log = {"id": 1, "user_id": "P-1", "login_time": "2026-03-08T10:00:00Z", "seconds": 60}
    data: dict[str, Any] = {"players": [player("P-1")], "logs": [log]}
    _, client = start(serving(data))
    assert _pull(client, AT, "logs").error == ""
    data["logs"].append({"id": 2, "user_id": "P-1", "seconds": 5, "updated_at": "2026-03-08T13:00:00Z"})
    done = _pull(client, AT + timedelta(hours=2), "logs")
    assert (done.rejected, done.error) == (1, "")
    row = QuarantinedRow.objects.get()
    assert (row.job.kind, row.column, row.code) == ("SESSIONS", "login_time", "missing")


def test_first_contact__first_slice_lacks_a_column_that_a_later_one_has__is_taken(start: Any) -> None:
    rows = [_lacking(1, "2026-03-02T10:00:00Z"), _lacking(2, "2026-03-03T12:00:00Z"), deposit(3, "2026-03-06T10:00:00Z")]
    _, client = start(serving({"players": [player("P-1")], "deposits": rows}))
    done = _pull(client, AT)
    assert (done.rows, done.rejected, done.error) == (3, 2, "")
    assert list(Payment.objects.values_list("external_id", flat=True)) == ["3"]
    assert set(QuarantinedRow.objects.values_list("column", "code")) == {("amount", "missing")}


def test_first_contact__no_row_has_the_column__names_it_and_takes_the_rows_once_one_has(start: Any) -> None:
    rows = [_lacking(1, "2026-03-02T10:00:00Z"), _lacking(2, "2026-03-06T10:00:00Z")]
    _, client = start(serving({"players": [player("P-1")], "deposits": rows}))
    done = _pull(client, AT)
    assert "deposits: no column holds amount. The rows have: id, user_id, status, created_at." in done.error
    assert "Save a column mapping named 'api deposits'" in done.error
    rows.append(deposit(3, "2026-03-08T12:30:00Z"))
    done = _pull(client, AT + timedelta(hours=1))
    assert (done.rejected, done.error) == (2, "")
    assert list(Payment.objects.values_list("external_id", flat=True)) == ["3"]


def test_saved_mapping__row_lacks_headers_that_it_reads__is_set_aside_or_taken_without(start: Any) -> None:
    columns = {
        "player_external_id": "user_id", "external_id": "id", "amount": "betrag", "occurred_at": "created_at", "method": "weg",
        "status": "status", "kind": {"constant": "DEPOSIT"},
    }  # fmt: skip
    ImportMapping.objects.create(name="api deposits", kind="PAYMENTS", columns=columns, created_at=AT)
    whole = {**_lacking(1, "2026-03-08T10:00:00Z"), "betrag": "10.00"}
    data: dict[str, Any] = {"players": [player("P-1")], "deposits": [_lacking(9, "2026-03-08T09:00:00Z")]}
    operator, client = start(serving(data))
    error = _pull(client, AT).error
    assert "no row has betrag, weg, which the column mapping 'api deposits' reads" in error
    assert PATHS["deposits"] in {asked.path for asked in operator.asked}
    data["deposits"] = [whole]
    assert _pull(client, AT).error == ""
    assert list(Payment.objects.values_list("external_id", flat=True)) == ["1"]
    data["deposits"] = [_lacking(2, "2026-03-08T13:00:00Z")]
    done = _pull(client, AT + timedelta(hours=2))
    assert (done.rejected, done.error) == (1, "")
    assert QuarantinedRow.objects.get().column == "betrag"
