"""The import pages: what they show, what they do, and who may."""

from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.models import Sum
from django.urls import reverse

from loyalty_site.common.models import AuditEvent
from players.imports import services
from players.models import ActivityTotals, Game, GamePlay, ImportJob, ImportMapping, Player, QuarantinedRow
from tests.factories import PlayerFactory, UserFactory

from .conftest import HEAD
from .test_command import REAL

pytestmark = pytest.mark.django_db
ADD = "admin:players_importjob_add"


@pytest.fixture
def staff(client):
    """staff(*codenames) logs a person with these permissions in and returns the person."""

    def make(*codenames):
        user = UserFactory()
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames, content_type__app_label="players"))
        client.force_login(user)
        return user

    return make


def page(name, job):
    return reverse(f"admin:players_import_{name}", args=[job.pk])


def job_url(job):
    return reverse("admin:players_importjob_change", args=[job.pk])


def post_file(client, text, name="file.csv", **data):
    file = SimpleUploadedFile(name, text if isinstance(text, bytes) else text.encode())
    return client.post(reverse(ADD), {"file": file, "zone": "UTC", "after_metrics": "on", **data})


@pytest.fixture(autouse=True)
def _run_on_commit(monkeypatch):
    monkeypatch.setattr(services, "enqueue", lambda task, job: task(job_id=job.pk))


def test_story__upload_preview_confirm_correct_undo(client, staff):
    user = staff("import_player", "undo_importjob")
    assert client.get(reverse(ADD)).status_code == 200
    answer = post_file(client, HEAD + "P1,1,2,3,4,5\nP2,abc,2,3,4,5\n")
    job = ImportJob.objects.get()
    assert answer.url == job_url(job)
    assert (job.status, job.requested_by) == ("PREVIEW", user)
    text = client.get(job_url(job)).content.decode()
    assert "Confirm: write 1 rows" in text
    assert "&#x27;abc&#x27; is not a number." in text
    assert Player.objects.count() == 0

    client.post(page("confirm", job))
    job.refresh_from_db()
    assert job.status == "DONE"
    assert ActivityTotals.objects.count() == 1
    assert client.get(page("status", job)).json()["status"] == "DONE"

    row = QuarantinedRow.objects.get()
    assert "abc" in client.get(page("rows", job)).content.decode()
    client.post(page("rows", job), {"row": row.pk, f"cell_{row.pk}_total_deposited": "5", "replay": "1"})
    row.refresh_from_db()
    assert row.status == "REPLAYED"
    assert ActivityTotals.objects.count() == 2

    client.post(page("undo", row.replayed_in), {"reason": "typed wrongly"})
    client.post(page("undo", job), {"reason": "wrong file"})
    job.refresh_from_db()
    assert job.status == "UNDONE"
    assert Player.objects.count() == 0
    assert "Undone" in client.get(job_url(job)).content.decode()
    assert AuditEvent.objects.filter(actor=user).count() >= 5


def test_mapping__unknown_headers__are_mapped_saved_and_checked(client, staff):
    staff("import_player")
    post_file(client, "Kunde,Ein,Einsatz,Gewinn\nK1,1,2,3\n")
    job = ImportJob.objects.get()
    text = client.get(page("mapping", job) + "?kind=TOTALS").content.decode()
    assert "The headers fit no kind of file" in text
    assert "Einsatz" in text
    form = {
        "kind": "TOTALS", "zone": "UTC", "header_player_external_id": "Kunde", "header_total_deposited": "Ein",
        "header_total_wagered": "Einsatz",
        "header_total_won": "Gewinn", "header_sessions": "__constant__", "constant_sessions": "0",
    }  # fmt: skip
    answer = client.post(page("mapping", job), form)
    assert answer.status_code == 400
    assert "playtime_hours" in answer.content.decode()
    client.post(page("mapping", job), {**form, "header_playtime_hours": "__constant__", "constant_playtime_hours": "0", "save_as": "Kasse"})
    job.refresh_from_db()
    assert (job.status, job.created_count) == ("PREVIEW", 1)
    assert ImportMapping.objects.filter(name="Kasse").exists()


def test_mapping__rule_that_is_no_json__is_told(client, staff):
    staff("import_player")
    post_file(client, "Kunde,Ein\nK1,1\n")
    job = ImportJob.objects.get()
    answer = client.post(page("mapping", job), {"kind": "TOTALS", "zone": "UTC", "header_total_won": "__rule__", "rule_total_won": "{"})
    assert answer.status_code == 400
    assert "not valid JSON" in answer.content.decode()


def test_upload__refused_file__shows_message_and_remedy(client, staff):
    staff("import_player")
    answer = post_file(client, b"", "empty.csv")
    assert answer.status_code == 400
    answer = post_file(client, b"id,id\n1,2\n")
    assert "Rename or remove one of them" in answer.content.decode()
    assert ImportJob.objects.count() == 0


def test_upload__two_sheets__asks_and_goes_on(client, staff):
    from .test_readers import workbook

    staff("import_player")
    head = HEAD.strip().split(",")
    content = workbook(("January", [head, ["P1", 1, 2, 3, 4, 5]]), ("February", [head, ["P2", 1, 2, 3, 4, 5]]))
    post_file(client, content, "two.xlsx")
    job = ImportJob.objects.get()
    assert "February" in client.get(page("mapping", job)).content.decode()
    client.post(page("sheet", job), {"sheet": "February"})
    job.refresh_from_db()
    assert (job.status, job.result["samples"][0]["player"]) == ("PREVIEW", "P2")


def test_cancel__preview__nothing_written(client, staff):
    staff("import_player")
    post_file(client, HEAD + "P1,1,2,3,4,5\n")
    job = ImportJob.objects.get()
    client.post(page("cancel", job))
    job.refresh_from_db()
    assert job.status == "CANCELLED"
    client.post(page("confirm", job))
    job.refresh_from_db()
    assert (job.status, Player.objects.count()) == ("CANCELLED", 0)


def test_cancel__preview_with_faults__closes_its_rows(client, staff):
    staff("import_player")
    post_file(client, HEAD + "P1,abc,2,3,4,5\n")
    client.post(page("cancel", ImportJob.objects.get()))
    row = QuarantinedRow.objects.get()
    assert (row.status, row.note) == ("DISMISSED", "The import was cancelled.")


@pytest.mark.parametrize("name", ["mapping", "rows", "confirm", "cancel", "undo", "resume", "sheet"])
def test_pages__without_permission__are_refused_and_nothing_moves(client, staff, run, name):
    job = run(HEAD + "P1,1,2,3,4,5\n")
    staff("view_importjob")
    assert client.post(page(name, job), {"reason": "because"}).status_code == 403
    assert client.get(reverse(ADD)).status_code == 403
    assert client.get(reverse("admin:players_import_errors", args=[job.pk, "csv"])).status_code == 403
    job.refresh_from_db()
    assert job.status == "DONE"
    assert client.get(job_url(job)).status_code == 200


def test_pages__staff_without_any_permission__see_none(client, staff, run):
    job = run(HEAD + "P1,1,2,3,4,5\n")
    staff()
    urls = [
        job_url(job),
        page("status", job),
        reverse("admin:players_importjob_changelist"),
        reverse("admin:players_quarantinedrow_changelist"),
    ]
    assert [client.get(url).status_code for url in urls] == [403, 403, 403, 403]


def test_pages__import_without_undo_permission__can_not_undo(client, staff, run):
    job = run(HEAD + "P1,1,2,3,4,5\n")
    staff("import_player")
    assert "Undo this import" not in client.get(job_url(job)).content.decode()
    assert client.post(page("undo", job), {"reason": "because"}).status_code == 403
    assert Player.objects.count() == 1


def test_personal_data__without_the_permission__is_masked_everywhere(client, staff, run):
    PlayerFactory(external_id="P1", email="old@example.com")
    job = run("player_id,email,country\nP1,zoe@example.com,MT\nP2,secret-mail,MT\n")
    run("player_id,birth_date\nP3,1990-02-31\n")
    urls = [
        job_url(job),
        page("rows", job),
        reverse("admin:players_import_errors", args=[job.pk, "csv"]),
        reverse("admin:players_quarantinedrow_changelist"),
    ]
    staff("import_player")
    for url in urls:
        text = client.get(url).content.decode()
        assert "zoe@example.com" not in text
        assert "secret-mail" not in text
        assert "old@example.com" not in text
        assert "1990-02-31" not in text
    staff("import_player", "view_player_pii")
    assert all("secret-mail" in client.get(url).content.decode() for url in urls)
    assert AuditEvent.objects.filter(action="players.import_errors_exported").count() == 2


def test_lists__filled__render(client, staff, run):
    run(HEAD + "P1,1,2,3,4,5\nP2,abc,1,1,1,1\n")
    staff("import_player")
    for name in ("importjob", "quarantinedrow", "importmapping"):
        assert client.get(reverse(f"admin:players_{name}_changelist")).status_code == 200


def test_mapping_list__built_in__can_not_be_deleted(client, staff, db):
    services.ensure_builtin_mappings()
    staff("import_player", "delete_importmapping")
    saved = ImportMapping.objects.get(name="bustabit")
    assert client.post(reverse("admin:players_importmapping_delete", args=[saved.pk]), {"post": "yes"}).status_code == 403


@pytest.mark.skipif(not REAL.is_file(), reason="the real casino bets are not on this machine")
def test_real_bets__uploaded_by_hand__are_recognised_written_and_taken_back(client, staff):
    staff("import_player", "undo_importjob")
    post_file(client, REAL.read_bytes(), "bustabit_bets.csv.xz")
    job = ImportJob.objects.get()
    assert (job.status, job.mapping_name, job.created_count, job.players_created) == ("PREVIEW", "bustabit", 50_000, 4_147)
    assert "Confirm: write 50,000 rows" in client.get(job_url(job)).content.decode()
    client.post(page("confirm", job))
    assert GamePlay.objects.aggregate(sum=Sum("payout"))["sum"] == Decimal("149049667.27")
    client.post(page("undo", job), {"reason": "only a trial"})
    assert (GamePlay.objects.count(), Player.objects.count(), Game.objects.count()) == (0, 0, 0)
