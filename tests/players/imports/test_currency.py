"""The currency of a player with activity stays: old amounts would otherwise be read as other money."""

from datetime import date
from io import BytesIO

import pytest

from players.imports import services
from players.models import ImportJob, Player, PlayerDay
from tests.factories import NOW, PlayerFactory

HEADER = "external_id,currency,country\n"


def checked(text: str) -> ImportJob:
    job = services.create_import(file=BytesIO(text.encode()), file_name="players.csv", kind="PLAYERS", at=NOW)
    return services.check_import(job.pk, at=NOW)


@pytest.mark.django_db(transaction=True)
def test_currency__player_with_profile_and_activity__row_is_set_aside_and_nothing_changes() -> None:
    player = PlayerFactory(external_id="P1", currency="EUR", country="MT")
    PlayerDay.objects.create(player=player, day=date(2026, 3, 1))
    job = checked(HEADER + "P1,SEK,SE\nP2,SEK,SE\n")
    assert (job.created_count, job.updated_count, job.quarantined_count) == (1, 0, 1)
    row = job.quarantine.get()
    assert (row.row_number, row.column, row.value, row.code) == (2, "currency", "SEK", "currency_fixed")
    services.apply_import(job.pk, at=NOW)
    player.refresh_from_db()
    assert (player.currency, player.country) == ("EUR", "MT")
    assert Player.objects.get(external_id="P2").currency == "SEK"


@pytest.mark.django_db(transaction=True)
def test_currency__player_known_from_activity_alone__first_profile_corrects_it() -> None:
    player = PlayerFactory(external_id="P1", currency="EUR", country="", registered_at=None)
    PlayerDay.objects.create(player=player, day=date(2026, 3, 1))
    job = checked(HEADER + "P1,SEK,SE\n")
    assert (job.updated_count, job.quarantined_count) == (1, 0)
    services.apply_import(job.pk, at=NOW)
    player.refresh_from_db()
    assert player.currency == "SEK"


@pytest.mark.django_db(transaction=True)
def test_currency__same_or_empty__is_no_change() -> None:
    player = PlayerFactory(external_id="P1", currency="EUR", country="MT")
    PlayerDay.objects.create(player=player, day=date(2026, 3, 1))
    job = checked(HEADER + "P1,EUR,MT\n")
    assert (job.unchanged_count, job.quarantined_count) == (1, 0)
    assert checked(HEADER + "P1,,MT\n").quarantined_count == 0
