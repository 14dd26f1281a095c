"""`manage.py import_file`: what it prints and when it fails; and a real file, to the last unit."""

import csv
import json
import lzma
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Sum

import players.imports
from players.models import ActivityTotals, Game, GamePlay, ImportJob, Player, PlayerMetrics

from .conftest import HEAD

pytestmark = pytest.mark.django_db
SAMPLES = Path(players.imports.__file__).parent / "samples"
REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "bustabit_bets.csv.xz"


def command(*arguments):
    out = StringIO()
    call_command("import_file", *map(str, arguments), "--json", stdout=out)
    return json.loads(out.getvalue())


def test_command__sample__reports_all_figures():
    figures = command(SAMPLES / "sample_players.csv")
    wanted = ("total_rows", "players_created", "players_updated", "unchanged", "quarantined", "rewards_issued")
    assert [figures[name] for name in wanted] == [35, 30, 0, 0, 5, 0]
    assert [error["row"] for error in figures["errors"]] == [32, 33, 34, 35, 36]
    assert figures["errors"][0] == {
        "row": 32, "column": "total_deposited", "value": "abc", "code": "not_a_number",
        "reason": "'abc' is not a number.", "remedy": "Enter a number, for example 1200.50.",
    }  # fmt: skip
    again = command(SAMPLES / "sample_players.xlsx")
    assert (again["players_created"], again["players_updated"], again["unchanged"]) == (0, 0, 30)


def test_command__dry_run__writes_nothing():
    figures = command(SAMPLES / "sample_players.csv", "--dry-run")
    assert (figures["total_rows"], figures["players_created"], figures["dry_run"]) == (35, 30, True)
    assert Player.objects.count() == 0
    assert ImportJob.objects.get().status == "CANCELLED"


@pytest.mark.parametrize(
    ("name", "content", "arguments", "code"),
    [
        ("a.csv", "colour,shape\n1,2\n", [], "unknown_kind"),
        ("a.csv", "player_id,total_deposited,total_wagered\n1,2,3\n", ["--kind", "TOTALS"], "missing_columns"),
        ("a.csv", "player_id,total_deposited,total_wagered\n1,2,3\n", [], "missing_columns"),
        ("a.csv", "", [], "empty_file"),
        ("a.csv", HEAD + "P,1,1,1,1,1\n", ["--as-of", "garbage"], "bad_option"),
        ("a.csv", HEAD + "P,1,1,1,1,1\n", ["--as-of", "9999-01-01"], "bad_option"),
        ("a.csv", HEAD + "P,1,1,1,1,1\n", ["--mapping", "none"], "unknown_mapping"),
        ("a.csv", HEAD + "P,1,1,1,1,1\n", ["--zone", "Mars"], "bad_zone"),
        ("a.exe", "x", [], "unknown_format"),
    ],
)
def test_command__file_not_taken__fails_with_the_reason(tmp_path, name, content, arguments, code):
    path = tmp_path / name
    path.write_text(content)
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("import_file", str(path), "--json", *arguments, stdout=out)
    figures = json.loads(out.getvalue())
    assert figures["errors"][0]["code"] == code
    assert figures["total_rows"] == 0
    assert Player.objects.count() == 0


def test_command__no_such_file__fails_with_the_path(tmp_path):
    with pytest.raises(CommandError, match=r"gone\.csv"):
        call_command("import_file", str(tmp_path / "gone.csv"), "--json", stdout=StringIO())


@pytest.mark.skipif(not REAL.is_file(), reason="the real casino bets are not on this machine")
def test_command__real_bets__match_an_independent_sum_to_the_last_unit():
    stake: dict[str, Decimal] = {}
    payout: dict[str, Decimal] = {}
    with lzma.open(REAL, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            player = row["Username"]
            stake[player] = stake.get(player, Decimal(0)) + Decimal(row["Bet"])
            won = Decimal(row["Bet"]) + Decimal(row["Profit"]) if row["CashedOut"] else Decimal(0)
            payout[player] = payout.get(player, Decimal(0)) + won
    figures = command(REAL, "--mapping", "bustabit")
    assert (figures["total_rows"], figures["players_created"], figures["quarantined"]) == (50_000, 4_147, 0)
    sums = GamePlay.objects.aggregate(stake=Sum("stake"), payout=Sum("payout"))
    assert (sums["stake"], sums["payout"]) == (Decimal(146_762_549), Decimal("149049667.27"))
    assert (sums["stake"], sums["payout"]) == (sum(stake.values()), sum(payout.values()))
    stored = dict(PlayerMetrics.objects.values_list("player__external_id", "total_wagered"))
    assert stored == stake
    assert dict(PlayerMetrics.objects.values_list("player__external_id", "total_won")) == payout
    assert Game.objects.get().category == "crash"


def test_command__as_of_without_a_zone__holds_in_the_zone_of_the_import(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(HEAD + "P,1,1,1,1,1\n")
    assert command(path, "--as-of", "2026-03-01", "--zone", "Europe/Malta")["players_created"] == 1
    assert ActivityTotals.objects.get().as_of.isoformat() == "2026-02-28T23:00:00+00:00"


def test_command__missing_columns__names_the_nearest_kind_and_what_it_lacks(tmp_path, capsys):
    path = tmp_path / "a.csv"
    path.write_text("player_id,total_deposited,total_wagered\n1,2,3\n")
    with pytest.raises(CommandError, match="closest to TOTALS. Columns are missing: total_won, sessions, playtime_hours."):
        command(path)
