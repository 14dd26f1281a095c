"""An undone import takes along what the risk app derived from its players."""

from io import BytesIO

import pytest

from fraud.models import AbuseProfile, AccountLink
from fraud.services import scan_players
from players.imports import services
from players.models import Player
from tests.factories import NOW, UserFactory

SESSIONS = "player_external_id,external_id,started_at,device_id\n" + "".join(
    f"P{number},s{number},2026-03-14T10:00:00Z,one-device\n" for number in range(4)
)


@pytest.mark.django_db(transaction=True)
def test_undo__players_with_scores_and_links__go_with_them() -> None:
    job = services.create_import(file=BytesIO(SESSIONS.encode()), file_name="sessions.csv", kind="SESSIONS", at=NOW)
    services.check_import(job.pk, at=NOW)
    services.apply_import(job.pk, at=NOW)
    assert scan_players(Player.objects.values_list("pk", flat=True), NOW) > 0
    assert AccountLink.objects.exists()
    assert AbuseProfile.objects.exists()
    undone = services.undo_import(job.pk, actor=UserFactory(), at=NOW, reason="wrong file")
    assert undone.result["undo"]["players_kept"] == 0
    assert not Player.objects.exists()
    assert not AccountLink.objects.exists()
    assert not AbuseProfile.objects.exists()
