"""A file over HTTP: upload, checks, confirm, result, undo."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from players.imports import services
from players.models import ActivityTotals, ImportJob, Player
from tests.api_client import KeyedClient
from tests.cache import forget_cached

CSV = "player_id,total_deposited,total_wagered,total_won,sessions,playtime_hours\nP001,5000,15000,12000,25,48\nP002,abc,1,1,1,1\n"


@pytest.fixture
def api(transactional_db: None) -> KeyedClient:
    forget_cached()
    return KeyedClient()


def upload(api: KeyedClient, text: str, key: str = "up-1", **fields: str) -> dict:
    file = SimpleUploadedFile("players.csv", text.encode(), content_type="text/csv")
    answer = api.http.post("/api/v1/import/excel", {"file": file, **fields}, headers={"Idempotency-Key": key})
    return {"code": answer.status_code, **answer.json()}


def test_import__upload_confirm_undo__players_come_and_go(api: KeyedClient) -> None:
    sent = upload(api, CSV)
    assert sent["code"] == 202
    job = api.get(f"/imports/{sent['job']}").json()
    assert (job["status"], job["total_rows"], job["quarantined"]) == ("PREVIEW", 2, 1)
    assert (job["errors"][0]["row"], job["errors"][0]["value"]) == (3, "abc")
    assert not Player.objects.exists()

    assert api.post(f"/imports/{sent['job']}/confirm").status_code == 202
    done = api.get(f"/imports/{sent['job']}").json()
    assert (done["status"], done["players_created"]) == ("DONE", 1)
    assert ActivityTotals.objects.get().total_wagered == 15000
    assert api.post(f"/imports/{sent['job']}/confirm").status_code == 409

    undone = api.post(f"/imports/{sent['job']}/undo", {"reason": "wrong file"})
    assert (undone.status_code, undone.json()["status"]) == (200, "UNDONE")
    assert not Player.objects.exists()


def test_import__same_upload_twice__one_job(api: KeyedClient) -> None:
    assert upload(api, CSV)["job"] == upload(api, CSV)["job"]
    assert ImportJob.objects.count() == 1
    assert upload(api, CSV.replace("P001", "P009"))["code"] == 409


@pytest.mark.parametrize(("text", "word"), [("", "empty"), ("a,b\n1,2\n", "")])
def test_import__file_that_cannot_be_taken__422_with_remedy_and_nothing_kept(api: KeyedClient, text: str, word: str) -> None:
    sent = upload(api, text)
    assert sent["code"] in {400, 422}
    assert sent["errors"][0]["remedy"]
    assert word in sent["errors"][0]["detail"]
    assert not Player.objects.exists()


def test_import__key_without_scope__403(transactional_db: None) -> None:
    assert upload(KeyedClient(["players:read"]), CSV)["code"] == 403
    assert not ImportJob.objects.exists()


def test_import__cancelled__nothing_is_written(api: KeyedClient) -> None:
    sent = upload(api, CSV)
    assert api.post(f"/imports/{sent['job']}/cancel").json()["status"] == "CANCELLED"
    assert api.post(f"/imports/{sent['job']}/confirm").status_code == 409
    assert not Player.objects.exists()
    assert services.undo_refusals(ImportJob.objects.get()) != []
