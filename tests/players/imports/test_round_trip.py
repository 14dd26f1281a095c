"""Upload, check, write, import again, undo: figures by hand, and the database exactly as it was."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection

from loyalty_site.common.models import AuditEvent
from players.imports import hooks, services
from players.imports.problems import ImportRefused
from players.models import (
    ActivityTotals,
    Game,
    GamePlay,
    ImportChange,
    ImportJob,
    ImportMapping,
    Payment,
    Player,
    PlayerDay,
    PlayerMetrics,
    Protection,
    QuarantinedRow,
)
from tests.factories import PlayerFactory, ProtectionFactory, UserFactory

from .conftest import HEAD

PAYMENTS = "player_id,transaction_id,type,status,amount,method,date\n"
PLAYS = "player_id,bet_id,game,category,timestamp,stake,payout\n"
TABLES = (Player, Protection, Payment, GamePlay, ActivityTotals, PlayerDay, PlayerMetrics, Game)
VOLATILE = {"updated_at"}


def snapshot():
    """All rows of the tables an import writes to, as plain values."""
    return {
        model.__name__: sorted([tuple(sorted((k, str(v)) for k, v in row.items() if k not in VOLATILE)) for row in model.objects.values()])
        for model in TABLES
    }


@pytest.fixture(autouse=True)
def no_stage_left_over(db):
    """The flush between tests knows no stage tables: those of an earlier test that ended early go first."""
    with connection.cursor() as cursor:
        for name in stages():
            cursor.execute(f"DROP TABLE {name}")


def stages():
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relname LIKE 'import_stage_%' OR relname LIKE 'import_touched_%'")
        return [row[0] for row in cursor.fetchall()]


def test_check__totals__counts_and_writes_nothing(upload, now):
    PlayerFactory(external_id="P1")
    before = snapshot()
    job = services.check_import(upload(HEAD + "P1,200.00200.00,1000,900,3,1.5\nP2,10,20,5,1,0\nP3,abc,1,1,1,1\n").pk, at=now)
    assert (job.status, job.total_rows, job.created_count, job.quarantined_count) == ("PREVIEW", 3, 2, 1)
    assert (job.players_created, job.players_updated) == (1, 1)
    assert snapshot() == before
    fault = QuarantinedRow.objects.get()
    assert (fault.row_number, fault.column, fault.value, fault.code) == (4, "total_deposited", "abc", "not_a_number")
    assert fault.raw == {
        "player_id": "P3", "total_deposited": "abc", "total_wagered": "1", "total_won": "1", "sessions": "1", "playtime_hours": "1",
    }  # fmt: skip
    assert fault.remedy


def test_apply__totals__writes_exact_amounts_metrics_and_segments(run, now):
    job = run(HEAD + 'P1,200.00200.00,"120,000.50",90000.25,60,1.5\nP2,10,20,5,1,0\n')
    assert (job.status, job.created_count, job.players_created, job.quarantined_count) == ("DONE", 2, 2, 0)
    totals = ActivityTotals.objects.get(player__external_id="P1")
    assert (totals.total_deposited, totals.total_wagered, totals.total_won) == (Decimal("400"), Decimal("120000.5"), Decimal("90000.25"))
    assert totals.as_of == now
    metrics = PlayerMetrics.objects.get(player__external_id="P1")
    assert (metrics.total_wagered, metrics.net_pnl) == (Decimal("120000.5"), Decimal("-30000.25"))
    assert list(Player.objects.order_by("external_id").values_list("segment", flat=True)) == ["VIP", "NEW"]
    assert stages() == []
    assert list(AuditEvent.objects.order_by("pk").values_list("action", flat=True)) == [
        "players.import_uploaded", "players.import_confirmed", "players.import_applied",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        HEAD + "P1,1,2,3,4,5\nP2,1,2,3,4,5\n",
        PAYMENTS + "P1,T1,deposit,,10.50,card,2026-03-01 10:00\nP2,T1,withdrawal,pending,5,,2026-03-02\n",
        PLAYS + "P1,B1,book,slots,2026-03-01 10:00,10,0\nP1,B2,book,,2026-03-01 11:00,10,25.50\n",
        "player_id,email,country,marketing\nP1,a@example.com,MT,yes\nP2,,,no\n",
        "player_id,session_id,start,end,ip\nP1,S1,2026-03-01 10:00,2026-03-01 11:00,192.0.2.1\n",
    ],
    ids=["totals", "payments", "plays", "players", "sessions"],
)
def test_apply__the_same_file_twice__changes_nothing_and_says_so(run, now, content):
    first = run(content)
    before = snapshot()
    again = run(content, at=now + timedelta(hours=1))
    assert snapshot() == before
    assert (again.created_count, again.updated_count) == (0, 0)
    assert again.unchanged_count == first.created_count
    assert again.result["same_file_as"] == first.pk


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (HEAD + "P1,1,2,3,4,5\n", HEAD + "P1,1,9,3,4,5\nP2,1,2,3,4,5\n"),
        (
            PAYMENTS + "P1,T1,deposit,completed,10.50,card,2026-03-01 10:00\n",
            PAYMENTS
            + "P1,T1,deposit,completed,99,card,2026-03-02 10:00\nP1,T2,deposit,completed,1,card,2026-03-01\nP9,T1,refund,,3,,2026-03-03\n",
        ),
        (
            PLAYS + "P1,B1,book,slots,2026-03-01 10:00,10,0\n",
            PLAYS + "P1,B1,ra,slots,2026-03-05 10:00,11,0\nP2,B1,new,live,2026-03-01 10:00,10,1\n",
        ),
        (
            "player_id,email,country,marketing\nP1,a@example.com,MT,yes\nP2,,,\n",
            "player_id,email,country,marketing\nP1,b@example.com,DE,no\nP2,c@example.com,,yes\nP3,,,yes\n",
        ),
        (
            "player_id,session_id,start,end,ip\nP1,S1,2026-03-01 10:00,2026-03-01 11:00,192.0.2.1\n",
            "player_id,session_id,start,end,ip\nP1,S1,2026-03-01 10:00,2026-03-01 12:00,192.0.2.9\nP2,S1,2026-03-01 10:00,,\n",
        ),
    ],
    ids=["totals", "payments", "plays", "players", "sessions"],
)
def test_undo__created_and_changed_rows__restores_exactly(run, now, first, second):
    after = {"metrics": False}
    run(first, after_import=after)
    before = snapshot()
    job = run(second, after_import=after, at=now + timedelta(hours=1))
    assert snapshot() != before
    undone = services.undo_import(job.pk, actor=UserFactory(), at=now, reason="wrong file")
    assert snapshot() == before
    assert undone.status == "UNDONE"
    assert ImportChange.objects.filter(job=job).count() == 0
    assert AuditEvent.objects.filter(action="players.import_undone", reason="wrong file").count() == 1
    redone = run(second, after_import=after, at=now + timedelta(hours=2))
    assert redone.created_count + redone.updated_count == job.created_count + job.updated_count


def test_undo__with_metrics__takes_the_players_and_their_figures_away(run, now):
    PlayerFactory(external_id="P1")
    job = run(HEAD + "P1,1,2000,3,4,5\nP2,1,2,3,4,5\n")
    assert PlayerMetrics.objects.count() == 2
    services.undo_import(job.pk, actor=None, at=now, reason="wrong file")
    assert list(Player.objects.values_list("external_id", flat=True)) == ["P1"]
    assert PlayerMetrics.objects.get().total_wagered == 0


def test_undo__player_with_other_records__stays_and_is_counted(run, now):
    job = run("player_id,email,country\nP1,a@example.com,MT\nP2,,\n")
    run(PAYMENTS + "P1,T1,deposit,completed,10,card,2026-03-01\n")
    undone = services.undo_import(job.pk, actor=None, at=now, reason="wrong file")
    assert undone.result["undo"]["players_removed"] == 1
    assert undone.result["undo"]["players_kept"] == 1
    assert list(Player.objects.values_list("external_id", flat=True)) == ["P1"]
    assert Payment.objects.count() == 1


def test_undo__paid_upon__is_refused_and_nothing_moves(run, now, monkeypatch):
    job = run(HEAD + "P1,1,2,3,4,5\n")
    monkeypatch.setattr(hooks, "_undo_guards", [lambda job: ["3 rewards were paid on it."]])
    before = snapshot()
    with pytest.raises(ImportRefused, match="3 rewards were paid on it") as caught:
        services.undo_import(job.pk, actor=None, at=now, reason="wrong file")
    assert caught.value.code == "undo_refused"
    assert snapshot() == before
    assert ImportJob.objects.get(pk=job.pk).status == "DONE"


def test_undo__later_import_on_the_same_rows__is_refused_until_that_is_undone(run, now):
    first = run(PAYMENTS + "P1,T1,deposit,completed,10,card,2026-03-01\n")
    second = run(PAYMENTS + "P1,T1,deposit,completed,11,card,2026-03-01\n")
    with pytest.raises(ImportRefused, match=f"#{second.pk}"):
        services.undo_import(first.pk, actor=None, at=now, reason="wrong file")
    services.undo_import(second.pk, actor=None, at=now, reason="wrong file")
    services.undo_import(first.pk, actor=None, at=now, reason="wrong file")
    assert (Payment.objects.count(), Player.objects.count(), PlayerDay.objects.count()) == (0, 0, 0)


def test_undo__row_changed_since__is_refused(run, now):
    run(PAYMENTS + "P1,T1,deposit,completed,10,card,2026-03-01\n")
    job = run(PAYMENTS + "P1,T1,deposit,completed,11,card,2026-03-01\n")
    Payment.objects.update(amount=12)
    with pytest.raises(ImportRefused, match="1 rows"):
        services.undo_import(job.pk, actor=None, at=now, reason="wrong file")
    assert Payment.objects.get().amount == 12


@pytest.mark.parametrize("reason", ["", "  "])
def test_undo__without_a_reason__is_refused(run, now, reason):
    job = run(HEAD + "P1,1,2,3,4,5\n")
    with pytest.raises(ImportRefused, match="needs a reason"):
        services.undo_import(job.pk, actor=None, at=now, reason=reason)


def test_preview__changed_row__shows_old_and_new_field_by_field(run, upload, now):
    ProtectionFactory(player=PlayerFactory(external_id="P1", email="a@example.com", country="MT"))
    job = services.check_import(upload("player_id,email,country,marketing\nP1,b@example.com,MT,no\nP2,,SE,\n").pk, at=now)
    assert job.result["samples"] == [
        {"row": 2, "verdict": "changed", "player": "P1",
         "fields": {"email": ["a@example.com", "b@example.com"], "marketing_consent": ["true", "false"]}},
        {"row": 3, "verdict": "created", "player": "P2", "fields": {"country": [None, "SE"], "marketing_consent": [None, "false"]}},
    ]  # fmt: skip


def test_apply__blank_cell__keeps_what_is_stored(run):
    PlayerFactory(external_id="P1", email="a@example.com", country="MT")
    run("player_id,email,country\nP1,,DE\n")
    player = Player.objects.get()
    assert (player.email, player.country) == ("a@example.com", "DE")
    run(PAYMENTS + "P1,T1,deposit,completed,10,card,2026-03-01\n")
    run("player_id,transaction_id,type,amount,date\nP1,T1,deposit,11,2026-03-01\n")
    payment = Payment.objects.get()
    assert (payment.amount, payment.method) == (Decimal(11), "card")


def test_duplicates__identical_repeat__counts_as_unchanged(run):
    job = run(HEAD + "P1,1,2,3,4,5\nP1,1.00,2,3,4,5\n")
    assert (job.total_rows, job.created_count, job.unchanged_count, job.quarantined_count) == (2, 1, 1, 0)
    assert job.result["repeated_rows"] == 1


def test_duplicates__contradiction__is_quarantined_whole(run):
    job = run(HEAD + "P1,1,2,3,4,5\nP2,1,2,3,4,5\nP1,9,2,3,4,5\n")
    assert (job.total_rows, job.created_count, job.quarantined_count) == (3, 1, 2)
    faults = list(QuarantinedRow.objects.order_by("row_number").values_list("row_number", "code", "column", "value"))
    assert faults == [(2, "duplicate_id", "player_id", "P1"), (4, "duplicate_id", "player_id", "P1")]
    assert "see row 4" in QuarantinedRow.objects.get(row_number=2).reason
    assert "see row 2" in QuarantinedRow.objects.get(row_number=4).reason


def test_totals__stated_date__replaces_the_statement_of_that_date(run, now):
    as_of = datetime(2026, 3, 1, tzinfo=UTC).isoformat()
    run(HEAD + "P1,1,2,3,4,5\n", options={"as_of": as_of})
    job = run(HEAD + "P1,1,7,3,4,5\n", options={"as_of": as_of})
    assert (job.created_count, job.updated_count) == (0, 1)
    assert ActivityTotals.objects.get().total_wagered == 7


def test_apply__decimal_comma_and_zone__are_honoured(run):
    run(
        "player_id;transaction_id;type;amount;date\nP1;T1;deposit;1.200,50;01.03.2026 00:30\n",
        options={"decimal_comma": True, "zone": "Europe/Malta", "day_first": True},
    )
    payment = Payment.objects.get()
    assert (payment.amount, payment.occurred_at) == (Decimal("1200.5"), datetime(2026, 2, 28, 23, 30, tzinfo=UTC))


def test_mapping__unrecognised_headers__stay_open_until_settled(upload, now):
    job = upload("Kunde,Einzahlung,Einsatz,Gewinn,Besuche\nK1,1,2,3,4\n")
    assert job.result["open"][0]["code"] == "unknown_kind"
    with pytest.raises(ImportRefused):
        services.check_import(job.pk, at=now)
    columns = {
        "player_external_id": "Kunde",
        "total_deposited": "Einzahlung",
        "total_wagered": "Einsatz",
        "total_won": "Gewinn",
        "sessions": "Besuche",
    }
    with pytest.raises(ImportRefused, match="playtime_hours"):
        services.set_mapping(job.pk, kind="TOTALS", columns=columns, at=now)
    columns["playtime_hours"] = {"constant": "0"}
    services.set_mapping(job.pk, kind="TOTALS", columns=columns, at=now, save_as="unsere Kasse")
    assert services.check_import(job.pk, at=now).created_count == 1
    assert ImportMapping.objects.get(name="unsere Kasse").columns == columns
    assert upload("Kunde,Einzahlung,Einsatz,Gewinn,Besuche\nK2,1,2,3,4\n").mapping_name == "unsere Kasse"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"mapping": "no such"}, "unknown_mapping"),
        ({"mapping": "bustabit"}, "missing_columns"),
        ({"mapping": "bustabit", "kind": "TOTALS"}, "wrong_kind"),
        ({"kind": "WEATHER"}, "unknown_kind"),
        ({"options": {"zone": "Mars"}}, "bad_zone"),
        ({"after_import": {"party": True}}, "bad_option"),
        ({"name": "file.exe"}, "unknown_format"),
    ],
)
def test_create__nonsense__is_refused_and_keeps_no_file(upload, tmp_path, arguments, code):
    with pytest.raises(ImportRefused) as caught:
        upload(HEAD + "P1,1,2,3,4,5\n", **arguments)
    assert caught.value.code == code
    assert ImportJob.objects.count() == 0
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_rewards__asked_for__come_from_the_registered_function(run, monkeypatch):
    seen = []

    def rewards(job, player_ids, at):
        seen.extend(player_ids)
        return {"rewards_issued": len(player_ids)}

    monkeypatch.setattr(hooks, "_after_import", [rewards])
    job = run(HEAD + "P1,1,2,3,4,5\nP2,1,2,3,4,5\n", after_import={"rewards": True})
    assert job.rewards_issued == 2
    assert sorted(seen) == sorted(Player.objects.values_list("pk", flat=True))
    assert set(job.result["after"]) == {"metrics", "segments", "rewards"}
    again = run(HEAD + "P1,1,2,3,4,5\nP2,1,2,3,4,5\n", after_import={"rewards": True})
    assert again.rewards_issued == 0
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("figures", "text"),
    [
        (None, "waiting"),
        ({}, "the file changed nothing for any player, so nobody was evaluated"),
        ({"skipped": "no reward engine is installed"}, "no reward engine is installed"),
        (
            {"rewards_proposed": 1500, "rewards_issued": 1200, "rewards_pending": 1, "rewards_refused": 290, "rewards_known": 9,
             "rewards_refused_by_protection": 288, "rewards_refused_by_abuse": 2},
            "1,500 proposed · 1,200 issued · 1 wait for approval · 290 refused (abuse 2, protection 288) · 9 decided before",
        ),
    ],
)  # fmt: skip
def test_rewards__after_an_import__are_told_in_words(figures, text):
    job = ImportJob(result={"after": {"rewards": figures}} if figures is not None else {}, after_import={"rewards": True})
    assert services.after_text(job, "rewards") == text


def test_rewards__nothing_proposed__says_where_to_look():
    job = ImportJob(result={"after": {"rewards": {"rewards_proposed": 0, "rewards_issued": 0}}}, after_import={"rewards": True})
    assert services.after_text(job, "rewards").startswith("no active rule proposes anything for these players; test a rule")
