"""Amounts are in the player's currency: it stays once there is activity, and rows that name another one are set aside."""

from datetime import date
from decimal import Decimal
from io import BytesIO
from typing import Any

import pytest

from players.imports import services
from players.models import ActivityTotals, ImportJob, Payment, Player, PlayerDay
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


PAYMENTS = "player_id,id,type,amount,date,ccy\n"
TOTALS = "player_id,total_deposited,total_wagered,total_won,sessions,playtime_hours,currency\n"


def uploaded(text: str, **arguments: Any) -> ImportJob:
    return services.create_import(file=BytesIO(text.encode()), file_name="file.csv", at=NOW, **arguments)


@pytest.mark.django_db(transaction=True)
def test_currency__of_amounts_is_not_the_players__row_is_set_aside_and_can_be_corrected() -> None:
    PlayerFactory(external_id="P1", currency="SEK")
    job = uploaded(PAYMENTS + "P1,1,deposit,10,2026-03-01,EUR\nP1,2,deposit,10,2026-03-01,sek\nP1,3,deposit,10,2026-03-01,\n")
    job = services.check_import(job.pk, at=NOW)
    assert (job.created_count, job.quarantined_count) == (2, 1)
    row = job.quarantine.get()
    assert (row.row_number, row.column, row.value, row.code) == (2, "ccy", "EUR", "other_currency")
    assert row.reason.startswith("EUR, but the player's currency is SEK: nothing is converted")
    services.apply_import(job.pk, at=NOW)
    assert sorted(Payment.objects.values_list("external_id", flat=True)) == ["2", "3"]
    services.replay_quarantine([row.pk], {row.pk: {"ccy": "SEK", "amount": "112.50"}}, actor=None, at=NOW)
    assert Payment.objects.get(external_id="1").amount == Decimal("112.5")
    # told again, nothing changes: the currency is no part of what is stored
    again = services.check_import(uploaded(PAYMENTS + "P1,2,deposit,10,2026-03-01,SEK\n").pk, at=NOW)
    assert (again.created_count, again.updated_count, again.unchanged_count) == (0, 0, 1)


@pytest.mark.django_db(transaction=True)
def test_currency__of_totals__is_checked_even_where_the_saved_mapping_does_not_read_it() -> None:
    PlayerFactory(external_id="P1", currency="SEK")
    job = uploaded(TOTALS + "P1,10,10,5,1,1,EUR\nP2,10,10,5,1,1,NOK\n", mapping="reference totals")
    job = services.check_import(job.pk, at=NOW)
    assert [row.code for row in job.quarantine.all()] == ["other_currency"]
    services.apply_import(job.pk, at=NOW)
    assert list(ActivityTotals.objects.values_list("player__external_id", "player__currency")) == [("P2", "NOK")]


@pytest.mark.django_db(transaction=True)
def test_currency__no_column_chosen_on_the_mapping_page__is_not_read_now_nor_by_the_saved_mapping() -> None:
    PlayerFactory(external_id="P1", currency="SEK")
    text = PAYMENTS + "P1,1,deposit,10,2026-03-01,EUR\n"
    job = uploaded(text)
    assert job.mapping["currency"] == "ccy"
    columns = {name: spec for name, spec in job.mapping.items() if name != "currency"}
    services.set_mapping(job.pk, kind="PAYMENTS", columns=columns, at=NOW, save_as="ours")
    assert services.check_import(job.pk, at=NOW).created_count == 1
    assert services.check_import(uploaded(text, mapping="ours").pk, at=NOW).created_count == 1


@pytest.mark.django_db(transaction=True)
def test_currency__of_a_player_changes_between_check_and_write__nothing_is_written() -> None:
    player = PlayerFactory(external_id="P1", currency="SEK")
    job = services.check_import(uploaded(PAYMENTS + "P1,1,deposit,10,2026-03-01,SEK\nP2,1,deposit,10,2026-03-01,SEK\n").pk, at=NOW)
    assert job.created_count == 2
    Player.objects.filter(pk=player.pk).update(currency="EUR")
    job = services.apply_import(job.pk, at=NOW)
    assert (job.status, job.result["error"]["code"]) == ("FAILED", "currency_changed")
    assert "Nothing was written. Import the file again." in job.error
    assert not Payment.objects.exists()
    assert not Player.objects.filter(external_id="P2").exists()


@pytest.mark.django_db(transaction=True)
def test_currency__named_by_activity__outlasts_a_profile_until_that_activity_is_undone() -> None:
    # known before, from a file that names no currency: assumed to be EUR, which the second file confirms
    for text in ("player_id,id,type,amount,date\nP1,1,deposit,10,2026-03-01\n", PAYMENTS + "P1,2,deposit,10,2026-03-02,EUR\n"):
        job = services.check_import(uploaded(text).pk, at=NOW)
        services.apply_import(job.pk, at=NOW)
    refused = checked(HEADER + "P1,SEK,SE\n")
    assert [row.code for row in refused.quarantine.all()] == ["currency_fixed"]
    services.undo_import(job.pk, actor=None, at=NOW, reason="wrong file")
    taken = checked(HEADER + "P1,SEK,SE\n")
    assert (taken.updated_count, taken.quarantined_count) == (1, 0)
