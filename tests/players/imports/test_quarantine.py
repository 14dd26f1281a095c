"""Rows set aside: replayed, dismissed, downloaded."""

import csv
import io

import pytest
from openpyxl import load_workbook

from players.imports import services
from players.imports.problems import ImportRefused
from players.models import ActivityTotals, ImportJob, QuarantinedRow
from tests.factories import UserFactory

from .conftest import HEAD


@pytest.fixture
def job(run):
    return run(HEAD + "P1,1,2,3,4,5\nP2,abc,2,3,4,5\n=P3,1,-2,3,4,5\n")


def row(number):
    return QuarantinedRow.objects.get(row_number=number)


def test_replay__corrected_and_still_faulty__one_is_taken_the_other_stays_open(job, now):
    actor = UserFactory()
    good, bad = row(3), row(4)
    replay = services.replay_quarantine(
        [good.pk, bad.pk], {good.pk: {"total_deposited": "7.50"}, bad.pk: {"total_wagered": "x"}}, actor=actor, at=now
    )
    assert (replay.status, replay.created_count, replay.quarantined_count) == ("DONE", 1, 1)
    good.refresh_from_db()
    bad.refresh_from_db()
    assert (good.status, good.resolved_by, good.replayed_in) == ("REPLAYED", actor, replay)
    assert good.raw["total_deposited"] == "abc"
    assert (bad.status, bad.code, bad.value, bad.correction) == ("OPEN", "not_a_number", "x", {"total_wagered": "x"})
    stored = ActivityTotals.objects.get(player__external_id="P2")
    assert (stored.total_deposited, stored.as_of) == (7.5, job.created_at)
    assert QuarantinedRow.objects.count() == 2


def test_replay__undone__takes_only_the_replayed_rows_back(job, now):
    replay = services.replay_quarantine([row(3).pk], {row(3).pk: {"total_deposited": "7.50"}}, actor=None, at=now)
    services.undo_import(replay.pk, actor=None, at=now, reason="typed wrongly")
    assert list(ActivityTotals.objects.values_list("player__external_id", flat=True)) == ["P1"]


def test_replay__twice__is_refused(job, now):
    services.replay_quarantine([row(3).pk], {row(3).pk: {"total_deposited": "7.50"}}, actor=None, at=now)
    with pytest.raises(ImportRefused) as caught:
        services.replay_quarantine([row(3).pk], {}, actor=None, at=now)
    assert caught.value.code == "rows_gone"
    assert ActivityTotals.objects.count() == 2


@pytest.mark.parametrize(("corrections", "code"), [({"colour": "red"}, "unknown_column")])
def test_replay__unknown_column__is_refused(job, now, corrections, code):
    with pytest.raises(ImportRefused) as caught:
        services.replay_quarantine([row(3).pk], {row(3).pk: corrections}, actor=None, at=now)
    assert caught.value.code == code
    assert row(3).correction == {}


def test_replay__before_the_import_is_written__is_refused(upload, now):
    job = services.check_import(upload(HEAD + "P1,1,2,3,4,5\nP2,abc,2,3,4,5\n").pk, at=now)
    with pytest.raises(ImportRefused, match="ready to confirm"):
        services.replay_quarantine([job.quarantine.get().pk], {}, actor=None, at=now)
    assert ImportJob.objects.count() == 1


def test_dismiss__with_reason__closes_and_keeps_the_row(job, now):
    assert services.dismiss_quarantine([row(3).pk, row(4).pk], actor=None, at=now, reason="test accounts") == 2
    assert {one.status for one in QuarantinedRow.objects.all()} == {"DISMISSED"}
    assert row(3).note == "test accounts"
    with pytest.raises(ImportRefused):
        services.dismiss_quarantine([row(3).pk], actor=None, at=now, reason="again")


def test_dismiss__without_reason__is_refused(job, now):
    with pytest.raises(ImportRefused, match="reason"):
        services.dismiss_quarantine([row(3).pk], actor=None, at=now, reason=" ")
    assert row(3).status == "OPEN"


def test_error_file__csv_and_excel__hold_the_rows_neutralised(job):
    _name, _type, content = services.error_file(job, file_format="csv")
    lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
    assert lines[0][:6] == ["row", "column", "value", "reason", "remedy", "player_id"]
    assert lines[2][:3] == ["4", "total_wagered", "-2"]
    assert lines[2][5] == "'=P3"
    _name, _type, content = services.error_file(job, file_format="xlsx")
    sheet = load_workbook(io.BytesIO(content)).active
    assert [cell.value for cell in sheet[3]][5] == "'=P3"


def test_error_file__hidden_columns__are_left_out(job):
    _name, _type, content = services.error_file(job, hidden={"total_deposited"})
    lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
    assert "total_deposited" not in lines[0][5:]
    assert lines[1][2] == ""
