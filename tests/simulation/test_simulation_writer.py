"""The simulator's edges: database and files. The truth reaches neither table nor import file."""

import csv
import json
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import Sum
from openpyxl import load_workbook

from loyalty_site.common.models import AuditEvent
from players import origin
from players.activity import COLUMNS, ActivityKind, MergeCounts
from players.models import DepositLimit, Exclusion, Game, GamePlay, Payment, Player, PlayerDay, PlaySession, Protection
from players.services import ingest
from players.simulation import SimulationConfig, SimulationError, simulate
from players.simulation_writer import write_database, write_files
from tests.factories import PlayerFactory

AS_OF = datetime(2026, 3, 15, 12, tzinfo=UTC)
CONFIG = SimulationConfig(players=120, as_of=AS_OF, months=4, seed=5)


def _quiet(text: str) -> None:
    pass


@pytest.mark.django_db
def test_write_database__empty__holds_what_was_simulated(tmp_path: Path, now: datetime) -> None:
    operator = simulate(CONFIG)
    counts = write_database(CONFIG, truth_path=tmp_path / "truth.csv", at=now, append=False, progress=_quiet)
    assert counts["players"] == Player.objects.count() == 120
    assert counts["plays"] == GamePlay.objects.count() == len(operator.plays) > 1000
    assert Payment.objects.count() == len(operator.payments)
    assert PlaySession.objects.count() == len(operator.sessions)
    sums = GamePlay.objects.aggregate(stake=Sum("stake"), payout=Sum("payout"), rounds=Sum("rounds"))
    assert sums["stake"] == Decimal(int(operator.plays["stake"].sum())) / 100
    assert sums["payout"] == Decimal(int(operator.plays["payout"].sum())) / 100
    assert PlayerDay.objects.aggregate(stake=Sum("stake"))["stake"] == sums["stake"]
    assert Exclusion.objects.count() == len(operator.exclusions)
    assert DepositLimit.objects.count() == len(operator.deposit_limits)
    assert Protection.objects.filter(harm_flag=True).count() == operator.protections["harm_flag"].sum()
    assert Protection.objects.filter(marketing_consent=True).count() == operator.protections["marketing_consent"].sum()
    assert Game.objects.filter(house_edge__isnull=True).count() == 0


@pytest.mark.django_db
def test_write_database__players__are_known_to_be_simulated(tmp_path: Path, now: datetime) -> None:
    assert not origin.is_simulated()
    write_database(CONFIG, truth_path=tmp_path / "truth.csv", at=now, append=False, progress=_quiet)
    event = AuditEvent.objects.get(action=origin.SIMULATED)
    assert (event.occurred_at, event.after) == (now, {"players": 120, "months": 4, "seed": 5, "first_number": 1})
    assert origin.is_simulated()
    first = Player.objects.get(external_id="P0000001")
    assert first.email.endswith("@example.com")  # how an operator that came as files is told


@pytest.mark.django_db
def test_write_database__truth__is_in_the_file_and_in_no_table(tmp_path: Path, now: datetime) -> None:
    write_database(CONFIG, truth_path=tmp_path / "truth.csv", at=now, append=False, progress=_quiet)
    with (tmp_path / "truth.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 120
    assert {row["player_type"] for row in rows} > {"casual", "regular"}
    hidden = ["player_type", "abuser_kind", "bonus_uplift", "ring", "left_on"]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' AND column_name = ANY(%s)",
            [hidden],
        )
        assert cursor.fetchall() == []
        cursor.execute("SELECT count(*) FROM players_player p WHERE to_jsonb(p)::text ~ 'bonus_hunter|bet_manipulator|bonus_only|uplift'")
        assert cursor.fetchone() == (0,)


@pytest.mark.django_db
def test_write_database__players_there__is_refused_and_writes_nothing(tmp_path: Path, now: datetime) -> None:
    PlayerFactory()
    with pytest.raises(SimulationError, match="already has players; use --append"):
        write_database(CONFIG, truth_path=tmp_path / "truth.csv", at=now, append=False, progress=_quiet)
    assert Player.objects.count() == 1
    assert Game.objects.count() == 0
    assert not (tmp_path / "truth.csv").exists()


@pytest.mark.django_db
def test_write_database__append__numbers_go_on(tmp_path: Path, now: datetime) -> None:
    small = SimulationConfig(players=10, as_of=AS_OF, months=2, seed=5)
    write_database(small, truth_path=tmp_path / "truth.csv", at=now, append=False, progress=_quiet)
    write_database(small, truth_path=tmp_path / "truth.csv", at=now, append=True, progress=_quiet)
    assert list(Player.objects.order_by("external_id").values_list("external_id", flat=True)) == [f"P{n:07d}" for n in range(1, 21)]
    assert len((tmp_path / "truth.csv").read_text().splitlines()) == 21


@pytest.mark.django_db
def test_write_files__csv__read_back_is_what_the_database_gets(tmp_path: Path, now: datetime) -> None:
    counts = write_files(CONFIG, tmp_path / "out", "csv", progress=_quiet)
    merged: dict[str, MergeCounts] = {}
    for kind in (ActivityKind.PLAYERS, ActivityKind.PAYMENTS, ActivityKind.SESSIONS, ActivityKind.PLAYS):
        with (tmp_path / "out" / f"{kind.value.lower()}.csv").open(newline="") as file:
            reader = csv.reader(file)
            assert tuple(next(reader)) == COLUMNS[kind]
            rows = list(reader)
        assert len(rows) == counts[kind.value.lower()]
        merged[kind] = ingest(kind, [[value or None for value in row] for row in rows], at=now)
        assert merged[kind].created == len(rows)
    stake = GamePlay.objects.aggregate(stake=Sum("stake"))["stake"]
    assert stake == Decimal(int(simulate(CONFIG).plays["stake"].sum())) / 100
    assert not (set((tmp_path / "out").glob("*truth*.csv")))
    assert (tmp_path / "out" / "truth" / "truth.csv").exists()


def test_write_files__xlsx__has_the_same_rows(tmp_path: Path) -> None:
    small = SimulationConfig(players=30, as_of=AS_OF, months=2, seed=5)
    counts = write_files(small, tmp_path / "out", "xlsx", progress=_quiet)
    operator = simulate(small)
    for name, rows in counts.items():
        sheet = load_workbook(tmp_path / "out" / f"{name}.xlsx", read_only=True).active
        values = list(sheet.iter_rows(values_only=True))
        assert values[0] == COLUMNS[ActivityKind[name.upper()]]
        assert len(values) == rows + 1 == len(getattr(operator, name)) + 1


@pytest.mark.django_db
def test_write_files__through_the_import__new_as_csv_then_unchanged_as_xlsx(tmp_path: Path, settings: object) -> None:
    settings.MEDIA_ROOT = str(tmp_path / "uploads")  # type: ignore[attr-defined]
    small = SimulationConfig(players=30, as_of=AS_OF, months=2, seed=5)
    for file_format, outcome in (("csv", "created"), ("xlsx", "unchanged")):
        counts = write_files(small, tmp_path / file_format, file_format, progress=_quiet)
        for kind in ("players", "payments", "sessions", "plays", "totals"):
            out = StringIO()
            call_command("import_file", str(tmp_path / file_format / f"{kind}.{file_format}"), "--json", stdout=out)
            answer = json.loads(out.getvalue().splitlines()[-1])
            assert (answer["kind"], answer[outcome], answer["quarantined"]) == (kind.upper(), counts[kind], 0)


def test_write_files__sheet_too_small__is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("players.simulation_writer.XLSX_ROWS", 50)
    with pytest.raises(SimulationError, match="payments has more than 50 rows, which no Excel sheet holds; use --format csv"):
        write_files(SimulationConfig(players=40, as_of=AS_OF, months=2, seed=5), tmp_path, "xlsx", progress=_quiet)


def test_write_files__already_there__is_refused(tmp_path: Path) -> None:
    (tmp_path / "plays.csv").write_text("mine")
    with pytest.raises(SimulationError, match="already has plays.csv"):
        write_files(CONFIG, tmp_path, "csv", progress=_quiet)
    assert (tmp_path / "plays.csv").read_text() == "mine"


@pytest.mark.django_db
def test_command__database__prints_counts(tmp_path: Path, settings: object) -> None:
    settings.DATA_DIR = tmp_path  # type: ignore[attr-defined]
    out = StringIO()
    call_command("simulate", "--players", "8", "--months", "2", "--seed", "5", "--as-of", "2026-03-15T12:00Z", stdout=out)
    assert "8 of 8 players" in out.getvalue()
    assert "8 players" in out.getvalue().splitlines()[-1]
    assert (tmp_path / "simulation" / "truth.csv").exists()
    with pytest.raises(CommandError, match="use --append"):
        call_command("simulate", "--players", "8", stdout=out)


def test_command__bad_instant__names_the_format() -> None:
    with pytest.raises(CommandError, match="--as-of 'soon' is not an ISO 8601"):
        call_command("simulate", "--as-of", "soon")
