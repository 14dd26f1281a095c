"""Reconciliation finds every kind of planted corruption and names the account; append-only tables refuse changes."""

import json
from datetime import timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from loyalty_site.common import jobs
from loyalty_site.common.models import JobRun
from tests.factories import NOW, PlayerFactory
from tests.wallet.factories import bet, bonus, points
from wallet import selectors, services
from wallet.models import Account

pytestmark = pytest.mark.django_db


@pytest.fixture
def books():
    """Two players with points, a bonus that is being wagered, and one that is completed."""
    one, two = PlayerFactory(), PlayerFactory()
    points(one.pk, "10")
    points(one.pk, "5")
    points(two.pk, "3")
    bonus(one.pk, "20", "100")
    bet(one.pk, "30")
    bonus(two.pk, "7", "5")
    bet(two.pk, "5")
    return one, two


def _tamper(sql):
    """Change rows behind the triggers' and constraints' back, as a person with the database's password could."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(sql)
        assert cursor.rowcount == 1
        cursor.execute("SET LOCAL session_replication_role = origin")


def test_reconcile__sound_books__reports_what_it_checked(books):
    report = services.reconcile(0, 2**62)
    assert report.ok
    assert (report.accounts, report.entries, report.grants) == (4, 6, 2)
    assert len(report.checks) >= 18
    assert [(side.unit, side.currency, side.players, side.house) for side in report.sides] == [
        ("BONUS", "EUR", Decimal("20.00"), Decimal("-20.00")),
        ("LP", "", Decimal("18.00"), Decimal("-18.00")),
    ]


LP_ONE = "account_id = (SELECT min(id) FROM wallet_account WHERE unit = 'LP')"


CORRUPTIONS = [
    ("UPDATE wallet_account SET balance = balance + 1 WHERE id = (SELECT min(id) FROM wallet_account WHERE unit = 'LP')",
     "balance = sum of entries"),
    ("UPDATE wallet_account SET earned_total = 0 WHERE id = (SELECT min(id) FROM wallet_account WHERE unit = 'LP')",
     "earned total = sum of earning entries"),
    ("UPDATE wallet_account SET version = 3 WHERE id = (SELECT min(id) FROM wallet_account WHERE unit = 'LP')",
     "seq runs from 1 without gaps to the version"),
    (f"UPDATE wallet_entry SET amount = amount + 7 WHERE seq = 1 AND {LP_ONE}", "balance = sum of entries"),
    (f"UPDATE wallet_entry SET balance_after = 1 WHERE seq = 1 AND {LP_ONE}", "balance after each entry = sum so far"),
    (f"UPDATE wallet_entry SET seq = 9 WHERE seq = 2 AND {LP_ONE}", "seq runs from 1 without gaps to the version"),
    (f"DELETE FROM wallet_entry WHERE seq = 1 AND {LP_ONE}", "balance = sum of entries"),
    (f"UPDATE wallet_entry SET house = 'manual' WHERE seq = 1 AND {LP_ONE}", "earned total = sum of earning entries"),
    ("UPDATE wallet_bonusgrant SET balance = balance - 1 WHERE status = 'WAGERING'", "bonus account = balances of its open grants"),
    ("UPDATE wallet_bonusgrant SET balance = balance - 1 WHERE status = 'WAGERING'", "grant's bonus = sum of its movements"),
    ("UPDATE wallet_grantmovement SET amount = amount - 1 WHERE id = (SELECT min(id) FROM wallet_grantmovement)",
     "bonus entry = sum of its movements"),
    ("UPDATE wallet_bonusgrant SET wagered = wagered + 1 WHERE status = 'WAGERING'", "wagering progress = sum of counted bets"),
    ("DELETE FROM wallet_wagercount WHERE id = (SELECT min(id) FROM wallet_wagercount)", "wagering progress = sum of counted bets"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "check"), CORRUPTIONS)
def test_reconcile__planted_corruption__is_found_and_named(books, sql, check):
    one, _ = books
    if sql.startswith("DELETE FROM wallet_entry"):  # its lot would have no entry, which the database sees by itself
        _tamper(f"DELETE FROM wallet_lot WHERE entry_id = (SELECT id FROM wallet_entry WHERE seq = 1 AND {LP_ONE})")
    _tamper(sql)
    report = services.reconcile(0, 2**62)

    assert not report.ok
    assert check in {difference.check for difference in report.differences}
    assert {difference.player_id for difference in report.differences} == {one.pk}
    account_ids = set(Account.objects.filter(player=one).values_list("pk", flat=True))
    assert {difference.account_id for difference in report.differences} <= account_ids
    with pytest.raises(services.ReconcileError, match=rf"account \d+ \(player {one.pk}\)"):
        services.require_balanced(report)


def test_reconcile__corruption_of_another_range__is_not_reported(books):
    _, two = books
    _tamper("UPDATE wallet_account SET balance = balance + 1 WHERE id = (SELECT min(id) FROM wallet_account WHERE unit = 'LP')")
    assert services.reconcile(two.pk, two.pk + 1).ok


def test_reconcile_command__sound_books__prints_checks_and_sums(books):
    out = StringIO()
    call_command("reconcile", stdout=out)
    text = out.getvalue()
    assert "Checked 4 accounts, 6 entries, 2 bonus grants:" in text
    assert "ok      LP: players 18.00, house -18.00 (2 accounts)" in text
    assert "DIFFERS" not in text


def test_reconcile_command__difference__fails_and_names_the_account(books):
    one, _ = books
    account = Account.objects.get(player=one, unit="LP")
    _tamper(f"UPDATE wallet_account SET balance = balance + 100 WHERE id = {account.pk}")
    out = StringIO()
    with pytest.raises(CommandError, match=r"the books do not balance: \d differences"):
        call_command("reconcile", stdout=out)
    assert f"account {account.pk} (player {one.pk}): the balance is 16.00 LP, its entries add up to 15.00 LP" in out.getvalue()
    assert "DIFFERS LP: players 19.00, house -18.00" in out.getvalue()


def test_reconcile_command__json__is_one_object(books):
    out = StringIO()
    call_command("reconcile", "--json", "--player", str(books[0].pk), stdout=out)
    result = json.loads(out.getvalue())
    assert (result["ok"], result["accounts"], result["entries"], result["differences"]) == (True, 2, 3, 0)


def test_reconcile_job__difference__fails_the_chunk_with_the_account_named(books):
    sound = jobs.execute(jobs.create_run("wallet.reconcile", as_of=NOW))
    assert (sound.status, sound.result) == (JobRun.Status.SUCCEEDED, {"rows": 6, "accounts": 4, "grants": 2})
    _tamper("UPDATE wallet_account SET balance = balance + 1 WHERE id = (SELECT min(id) FROM wallet_account WHERE unit = 'LP')")
    broken = jobs.execute(jobs.create_run("wallet.reconcile", as_of=NOW))
    assert broken.status == JobRun.Status.FAILED
    assert f"(player {books[0].pk}): the balance is 15.01 LP" in broken.error


def test_expire_job__due_grants__are_expired(books):
    run = jobs.execute(jobs.create_run("wallet.expire_bonuses", as_of=NOW + timedelta(days=8)))
    assert (run.status, run.rows_done) == (JobRun.Status.SUCCEEDED, 1)


@pytest.mark.parametrize("table", ["wallet_entry", "wallet_grantevent", "wallet_grantmovement", "wallet_wagerevent", "wallet_wagercount"])
@pytest.mark.parametrize("change", ["UPDATE {} SET id = id", "DELETE FROM {}"])
def test_append_only_table__update_or_delete__is_refused(books, table, change):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        before = cursor.fetchone()[0]
        assert before > 0
        with pytest.raises(IntegrityError, match=f"{table} is append-only"), transaction.atomic():
            cursor.execute(change.format(table))
        cursor.execute(f"SELECT count(*) FROM {table}")
        assert cursor.fetchone()[0] == before


def test_account__negative_balance__is_refused_by_the_database(books):
    with pytest.raises(IntegrityError, match="account_balance_not_negative"), transaction.atomic():
        Account.objects.filter(player=books[0], unit="LP").update(balance=-1)


def test_ledger_sums_and_liabilities__sound_books__exact(books):
    sums = {(one.house, one.unit): (one.entries, one.given, one.taken, one.net) for one in selectors.ledger_sums()}
    assert sums == {
        ("payout", "BONUS"): (1, Decimal("0.00"), Decimal("7.00"), Decimal("-7.00")),
        ("rewards", "BONUS"): (2, Decimal("27.00"), Decimal("0.00"), Decimal("27.00")),
        ("rewards", "LP"): (3, Decimal("18.00"), Decimal("0.00"), Decimal("18.00")),
    }
    assert selectors.ledger_sums(until=NOW) == []
    held = [(one.unit, one.currency, one.holders, one.amount) for one in selectors.liabilities()]
    assert held == [("BONUS", "EUR", 1, Decimal("20.00")), ("LP", "", 2, Decimal("18.00"))]


def test_wallet_facts__players_of_a_range__one_row_each(books):
    one, two = books
    facts = selectors.wallet_facts(lower_id=one.pk, upper_id=two.pk + 1)
    assert (facts[one.pk].lp_balance, facts[one.pk].bonus_balance, facts[one.pk].open_grants) == (Decimal("15.00"), Decimal("20.00"), 1)
    assert (facts[two.pk].lp_balance, facts[two.pk].bonus_balance, facts[two.pk].open_grants) == (Decimal("3.00"), Decimal("0.00"), 0)
    assert selectors.wallet_facts(player_ids=[two.pk]).keys() == {two.pk}
