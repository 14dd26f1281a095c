"""`verify_ledger` proves sound books and finds every kind of planted corruption of bonuses, by name."""

import json
from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from tests.factories import NOW, PlayerFactory
from tests.wallet import test_reconcile
from tests.wallet.factories import a_source, points
from tests.wallet.test_bonus_machine import make_templates
from wallet import services
from wallet.bonus.values import Activity, Kind
from wallet.models import BonusGrant, Entry
from wallet.reconciliation import ReconcileReport, verify
from wallet.reconciliation.points_checks import POINTS_CHECKS
from wallet.reconciliation.run import ALL_CHECKS

pytestmark = pytest.mark.django_db


def _report(player_id: int, kind: Kind, name: str, minute: int, **fields: Any) -> None:
    at = NOW + timedelta(minutes=minute)
    values = {"round_id": name, "currency": "EUR", "occurred_at": at, "received_at": at, "game_category": "slots", **fields}
    (answer,) = services.receive([Activity("platform", name, kind, player_id, **values)])
    if isinstance(answer, Exception):
        raise answer


@pytest.fixture
def story() -> Iterable[int]:
    """A player with: a bonus completed under a cap, one that is played with (a bet rolled back, a penalty, an open bet), one in the
    queue, one voided by nobody but surrendered, spending that was taken back, and points."""
    make_templates()
    player_id = PlayerFactory().pk

    def offer(code: str, minute: int, **deposit: Any) -> BonusGrant:
        at = NOW + timedelta(minutes=minute)
        return services.offer_bonus(player_id=player_id, template=code, currency="EUR", source=a_source(), at=at, **deposit)

    offer("locked", 0)
    _report(player_id, Kind.BET, "b1", 1, amount=500, cash_before=0)
    _report(player_id, Kind.WIN, "w1", 2, amount=2000, round_id="b1", ends_round=True)
    offer("sticky", 3, deposit=Decimal(10), deposit_ref="d1")
    offer("spins", 4)
    _report(player_id, Kind.BET, "b2", 5, amount=400, cash_before=0)
    _report(player_id, Kind.WIN, "w2", 6, amount=600, round_id="b2", ends_round=True)
    _report(player_id, Kind.BET, "b3", 7, amount=200, cash_before=0, ends_round=True)
    _report(player_id, Kind.ROLLBACK, "k3", 8, takes_back_id="b3", takes_back_kind="BET", round_id="b3")
    _report(player_id, Kind.BET, "b4", 9, amount=100, cash_before=0)
    spent = services.spend(
        player_id=player_id, unit="BONUS", currency="EUR", amount=Decimal(1), source=a_source(), at=NOW + timedelta(minutes=10), reason="x"
    )
    services.reverse_entry(spent.pk, source=a_source(), at=NOW + timedelta(minutes=11), reason="x", actor=None)
    services.surrender_grant(offer("sports", 12).pk, at=NOW + timedelta(minutes=13), reason="enough")
    points(player_id, "12")
    return player_id


def _tamper(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(sql)
        assert cursor.rowcount >= 1
        cursor.execute("SET LOCAL session_replication_role = origin")


def _found(report: ReconcileReport) -> set[str]:
    return {difference.check for difference in report.differences}


def test_verify__sound_books__every_check_is_ok(story):
    report = verify()
    assert [str(one) for one in report.differences] == []
    statuses = list(BonusGrant.objects.order_by("id").values_list("status", flat=True))
    assert statuses == ["COMPLETED", "WAGERING", "QUEUED", "FORFEITED"]
    rows = {result.name: result.rows for result in report.results.values()}
    assert rows["replaying the log from nothing rebuilds every grant"] == 4
    assert rows["balance = sum of entries"] == 2
    assert rows["the parts of an event add up to its amount"] == 7
    assert all(result.ok for result in report.results.values())


REPLAY = "replaying the log from nothing rebuilds every grant"
COMPLETED = "(SELECT id FROM wallet_bonusgrant WHERE status = 'COMPLETED')"
PLAYED = "(SELECT id FROM wallet_bonusgrant WHERE status = 'WAGERING')"
# what a constraint of the table would refuse
GUARDED = {
    "progress lies between 0 and the requirement": ("wallet_bonusgrant", "grant_progress_within_requirement"),
    "the parts of an event add up to its amount": ("wallet_wagerevent", "wager_parts_add_up"),
}


CORRUPTIONS = [
    (f"UPDATE wallet_bonusgrant SET wagering_required = wagering_required + 1 WHERE id = {PLAYED}",
     "requirement = what the terms say + penalties"),
    (f"UPDATE wallet_bonusgrant SET wagering_required = wagering_required + 1 WHERE id = {PLAYED}", REPLAY),
    (f"UPDATE wallet_bonusgrant SET penalties = penalties + 1 WHERE id = {PLAYED}", "penalties = sum of the bets' penalties"),
    (f"UPDATE wallet_bonusgrant SET open_bets = 0 WHERE id = {PLAYED}", "open bets = bets on it without settlement"),
    (f"UPDATE wallet_bonusgrant SET locked = 5 WHERE id = {PLAYED}", "grant's locked winnings = sum of its movements"),
    (f"UPDATE wallet_bonusgrant SET status = 'PAUSED' WHERE id = {PLAYED}", "status events lead to the status by legal steps"),
    (f"UPDATE wallet_bonusgrant SET status = 'PAUSED' WHERE id = {PLAYED}", REPLAY),
    (f"UPDATE wallet_bonusgrant SET wagered = wagering_required + 1 WHERE id = {PLAYED}",
     "progress lies between 0 and the requirement"),
    (f"UPDATE wallet_bonusgrant SET released = released + 1 WHERE id = {COMPLETED}",
     "released = pay-out entries = pay-out instructions"),
    (f"UPDATE wallet_bonusgrant SET terms = jsonb_set(terms, '{{cash_out_cap}}', '\"0.1\"') WHERE id = {COMPLETED}",
     "released is at most the cap"),
    ("UPDATE wallet_payoutinstruction SET amount = amount - 1", "every release has one instruction of its amount"),
    ("DELETE FROM wallet_payoutinstruction", "every release has one instruction of its amount"),
    (f"DELETE FROM wallet_grantevent WHERE to_status = 'WAGERING' AND grant_id = {PLAYED}",
     "status events lead to the status by legal steps"),
    (f"UPDATE wallet_grantevent SET from_status = 'LOST' WHERE to_status = 'WAGERING' AND grant_id = {PLAYED}",
     "status events lead to the status by legal steps"),
    (f"UPDATE wallet_grantevent SET log_number = log_number + 1000 WHERE to_status = 'ACTIVE' AND grant_id = {PLAYED}", REPLAY),
    ("UPDATE wallet_wagerevent SET amount = amount + 1 WHERE activity_id = 'b2'", "the parts of an event add up to its amount"),
    ("UPDATE wallet_wagerevent SET amount = amount + 1, bonus_part = bonus_part + 1 WHERE activity_id = 'b2'",
     "the entry of an event moves its bonus and locked part"),
    ("UPDATE wallet_wagerevent SET real_part = real_part + bonus_part, bonus_part = 0, entry_id = NULL WHERE activity_id = 'b2'",
     REPLAY),
    ("UPDATE wallet_wagerevent SET waits = true WHERE activity_id = 'w2'", REPLAY),
    ("UPDATE wallet_wagerevent SET occurred_at = occurred_at - interval '9 days' WHERE activity_id = 'b2'", REPLAY),
    ("UPDATE wallet_wagercount SET counted = counted - 1, progress_after = progress_after - 1 WHERE verdict = 'PENALTY'",
     "wagering progress = sum of counted bets"),
    ("UPDATE wallet_wagercount SET progress_before = progress_before + 1, progress_after = progress_after + 1 "
     "WHERE verdict = 'ROLLED_BACK'", "each count follows the one before it"),
    ("DELETE FROM wallet_wagercount WHERE verdict = 'ROLLED_BACK'", "a rollback takes back what its bet counted"),
    ("UPDATE wallet_wagercount SET verdict = 'COUNTED' WHERE verdict = 'PENALTY'", REPLAY),
    ("UPDATE wallet_entry SET amount = amount + 1 WHERE reversal_of_id IS NOT NULL AND house = 'stake'",
     "a reversal takes back what it reverses"),
    ("UPDATE wallet_entry SET (source_type, source_ref, source_sub) = (SELECT source_type, source_ref, source_sub FROM wallet_bonusgrant "
     "WHERE status = 'QUEUED') WHERE id = (SELECT min(id) FROM wallet_entry WHERE house = 'redemption')",
     "the source of a bonus stands for nothing else"),
    ("UPDATE wallet_account SET owed = 3 WHERE unit = 'BONUS'", "owed = sum of debt entries"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "check"), CORRUPTIONS)
def test_verify__planted_corruption__is_found(story, sql, check):
    if guard := GUARDED.get(check):
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("ALTER TABLE {} DROP CONSTRAINT {}".format(*guard))
    _tamper(sql)
    report = verify()
    assert check in _found(report)
    assert not verify(story).ok


def test_corruptions__every_check_of_the_ledger_and_of_bonuses__has_one():
    planted = {check for _, check in CORRUPTIONS} | {check for _, check in test_reconcile.CORRUPTIONS}
    assert {check.name for check in ALL_CHECKS} - {check.name for check in POINTS_CHECKS} <= planted


def test_verify__two_events_of_one_activity__are_found(story):
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE wallet_wagerevent DROP CONSTRAINT wager_activity_once")
        cursor.execute("ALTER TABLE wallet_wagerevent DISABLE TRIGGER USER")
        cursor.execute("UPDATE wallet_wagerevent SET activity_id = 'b3' WHERE activity_id = 'b2'")
    found = _found(verify())
    assert "one event per source, activity and kind" in found
    assert "all constraints are there and validated" in found
    assert "rows that must not change are guarded by triggers" in found


def test_verify__only_one_player_asked__others_are_not_looked_at(story):
    other = PlayerFactory()
    _tamper(f"UPDATE wallet_bonusgrant SET open_bets = 0 WHERE id = {PLAYED}")
    assert verify(other.pk).ok
    assert not verify(story).ok


def test_command__sound_books__prints_each_check_with_its_rows(story):
    out = StringIO()
    call_command("verify_ledger", stdout=out)
    text = out.getvalue()
    assert f"Checked 2 accounts, {Entry.objects.count()} entries, 4 bonus grants in" in text
    assert f"ok      {REPLAY} (4 grants)" in text
    assert "ok      BONUS EUR: players" in text
    assert "DIFFERS" not in text


def test_command__difference__fails_and_names_it(story):
    _tamper(f"UPDATE wallet_bonusgrant SET wagered = wagered + 1 WHERE id = {PLAYED}")
    out = StringIO()
    with pytest.raises(CommandError, match=r"the books do not balance: \d+ differences"):
        call_command("verify_ledger", stdout=out)
    assert f"DIFFERS {REPLAY} (4 grants)" in out.getvalue()
    assert f"(player {story}): grant {BonusGrant.objects.get(status='WAGERING').pk}: wagered is" in out.getvalue()


def test_command__json__is_one_object(story):
    out = StringIO()
    call_command("verify_ledger", "--json", "--player", str(story), stdout=out)
    result = json.loads(out.getvalue())
    assert (result["ok"], result["grants"], result["differences"], result["named"]) == (True, 4, 0, [])
    assert {"check": REPLAY, "rows": 4, "subject": "grants", "differences": 0, "ok": True} in result["checks"]


def test_command__unknown_player__says_so():
    with pytest.raises(CommandError, match="there is no player with the internal id 987654321"):
        call_command("verify_ledger", "--player", "987654321")
