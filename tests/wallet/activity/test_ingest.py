"""Files: the command, bad rows, repeats, a stop in the middle, ids that cross players."""

import json
import re
from decimal import Decimal

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection

from tests.factories import NOW, PlayerFactory
from tests.wallet.activity.scenes import activity, grant
from tests.wallet.factories import assert_books_balance
from wallet.activity import ingest as ingesting
from wallet.activity import staging
from wallet.activity.ingest import IngestFailed, ingest
from wallet.activity.rows import HEADER as HEADER_OF_FILES
from wallet.models import BonusGrant, WagerEvent

pytestmark = pytest.mark.django_db

HEADER = "activity_id,kind,player_id,currency,amount,cash_before,ends_round,occurred_at,takes_back_id"


def stages():
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relname LIKE 'wallet_wagerstage%%'")
        return [row[0] for row in cursor.fetchall()]


def run(tmp_path, capsys, *lines, header=HEADER):
    path = tmp_path / "bets.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    call_command("ingest_wagers", str(path), "--json")
    return json.loads(capsys.readouterr().out)


def test_command__good_and_bad_rows__good_ones_are_taken_and_bad_ones_named(tmp_path, capsys):
    player, other = PlayerFactory(external_id="A"), PlayerFactory(external_id="B")
    bonus = grant(player.pk, "20")
    at = "2026-03-15T12:00:00Z"
    lines = [
        f"a1,BET,A,EUR,10,6,true,{at},",
        f"b1,BET,B,EUR,10,,true,{at},",
        f"a2,BET,A,EUR,x,,true,{at},",
        f"a3,BET,A,EUR,1.001,,true,{at},",
        f"a4,BET,ghost,EUR,1,,true,{at},",
        f"a5,SPIN,A,EUR,1,,true,{at},",
        "a6,BET,A,EUR,1,,true,2026-03-15 12:00,",
        f"a7,BET,A,EUR,500,1,true,{at},",
        f"b1,BET,B,EUR,10,,true,{at},",
        f"b1,BET,B,EUR,11,,true,{at},",
        f"r1,ROLLBACK,A,EUR,,,,{at},a1",
        "short,BET",
    ]
    report = run(tmp_path, capsys, *lines)
    assert (report["rows"], report["accepted"], report["repeated"], report["refused"]) == (12, 3, 1, 8)
    assert [(fault["line"], fault["field"]) for fault in report["faults"]] == [
        (4, "amount"), (5, "amount"), (6, "player_id"), (7, "kind"), (8, "occurred_at"), (9, ""), (11, "activity_id"), (13, ""),
    ]  # fmt: skip
    assert all(fault["reason"] and fault["remedy"] for fault in report["faults"])
    bonus.refresh_from_db()
    assert (bonus.balance, bonus.wagered) == (2000, Decimal(0))
    assert WagerEvent.objects.filter(player=other).values_list("real_part", "cash_change").get() == (1000, -1000)
    assert stages() == []
    assert_books_balance()
    again = run(tmp_path, capsys, *lines)
    assert (again["accepted"], again["repeated"]) == (0, 4)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("activity_id,kind", "lacks player_id, currency, occurred_at"),
        (HEADER + ",odd", "names odd, which is unknown"),
        (HEADER + ",kind", "twice"),
    ],
)
def test_command__header_that_cannot_be_used__is_refused(tmp_path, capsys, header, message):
    with pytest.raises(CommandError, match=message):
        run(tmp_path, capsys, header=header)


def test_docs__name_every_column_of_a_file():
    text = (settings.BASE_DIR / "docs" / "wallet.md").read_text()
    told = text.partition("### Files of activity")[2].partition("A row that cannot be read")[0]
    named = {name for row in told.splitlines() if row.startswith("| `") for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert named == set(HEADER_OF_FILES)


def test_command__file_that_is_not_there__is_refused(tmp_path):
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("ingest_wagers", str(tmp_path / "none.csv"))


def test_ingest__one_id_of_two_players__the_first_row_of_the_file_has_it():
    later, earlier = PlayerFactory().pk, PlayerFactory().pk
    events = [activity(one, "BET", "5", activity_id="same", round_id="r") for one in (earlier, later)]
    report = ingest(events, at=NOW)
    assert (report.accepted, report.refused) == (1, 1)
    assert WagerEvent.objects.get().player_id == earlier


def test_ingest__a_chunk_that_fails__what_was_done_stays_and_a_rerun_adds_the_rest(monkeypatch):
    players = [PlayerFactory().pk for _ in range(6)]
    for one in players[:3]:
        grant(one, "20")
    events = [activity(one, "BET", "5", cash_before="4", ends_round=True) for one in players for _ in range(2)]
    monkeypatch.setattr(ingesting, "ROWS_A_CHUNK", 4)
    real = ingesting.work_range

    def breaks(stage, lower, upper, at):
        if lower <= players[3] < upper:
            raise RuntimeError("pulled the plug")
        return real(stage, lower, upper, at)

    monkeypatch.setattr(ingesting, "work_range", breaks)
    with pytest.raises(IngestFailed, match="pulled the plug"):
        ingest(events, at=NOW)
    done = WagerEvent.objects.count()
    assert 0 < done < 12
    monkeypatch.setattr(ingesting, "work_range", real)
    report = ingest(events, at=NOW)
    # the players without a bonus cannot cover a stake of 5 with 4 in cash
    assert (report.accepted + report.repeated, report.repeated, report.refused) == (6, done, 6)
    assert set(BonusGrant.objects.values_list("balance", "wagered")) == {(1800, Decimal(10))}
    assert stages() == []
    assert_books_balance()


def test_ingest__rows_that_are_gone__are_not_taken_for_nothing():
    stage = staging.fill([], NOW)
    with pytest.raises(staging.StageLost, match="run the file again"):
        staging.check(stage)
    staging.drop(stage)


def test_sweep__what_a_killed_import_left__goes_after_two_days():
    old = staging.fill([], NOW.replace(day=10))
    recent = staging.fill([], NOW)
    staging.sweep(NOW)
    assert not any(old.token in name for name in stages())
    assert any(recent.token in name for name in stages())
    staging.drop(recent)
