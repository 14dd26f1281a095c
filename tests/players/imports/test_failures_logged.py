"""An import that stops leaves in the log what and where, and nobody's cells."""

import traceback
from typing import Any

import pytest

from players.imports import lifecycle, services, tasks

from .conftest import HEAD

pytestmark = pytest.mark.django_db(transaction=True)
CELL = "anna@player.example"
ROW = HEAD + f"{CELL},1,2,3,4,5\n"


def _stop(*_: Any, **__: Any) -> None:
    raise ValueError(f"could not read {CELL!r}")


@pytest.mark.parametrize(
    ("step", "event"),
    [("check", "players.import_check_failed"), ("apply", "players.import_failed")],
)
def test_import__code_that_stops_over_a_cell__logs_kind_and_place_only(
    step: str, event: str, upload: Any, now: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    job = upload(ROW)
    monkeypatch.setattr(lifecycle, "read_into_stage" if step == "check" else "write", _stop)
    with pytest.raises(ValueError, match="anna"):
        services.apply_import(services.check_import(job.pk, at=now).pk, at=now)
    assert f"{event} job={job.pk} error=ValueError\n" in caplog.text
    assert "in _stop" in caplog.text
    assert CELL not in caplog.text


def test_import_task__code_that_stops_over_a_cell__raises_what_celery_may_write(upload: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    job = upload(ROW)
    monkeypatch.setattr(lifecycle, "read_into_stage", _stop)
    with pytest.raises(tasks.ImportFailed) as caught:
        tasks.check_import_file(job.pk)
    written = "".join(traceback.format_exception(caught.value))
    assert written.endswith(f"import {job.pk}: ValueError\n")
    assert CELL not in written
