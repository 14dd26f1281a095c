"""Does the oracle see a broken statement? Each mutant of the wallet's SQL must be caught by the story below; the original must pass."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError

from tests.factories import NOW, PlayerFactory
from tests.wallet.factories import a_source, assert_books_balance, balance_of, bet, bonus, line, points, post_lines
from wallet import credit_stage, grants, ledger, services
from wallet.models import FINAL_STATUSES, Account, BonusGrant, Entry, GrantEvent
from wallet.services import InsufficientFunds

pytestmark = pytest.mark.django_db


def story() -> None:
    """A few days of two players, with the exact figures that must come out."""
    one, two = PlayerFactory().pk, PlayerFactory().pk
    assert [points(one, "10").seq, points(one, "5", ref="again").seq, points(one, "5", ref="again").seq] == [1, 2, 2]
    services.spend(player_id=one, unit="LP", currency="", amount=Decimal(4), source=a_source(), at=NOW, reason="mug")
    with pytest.raises(InsufficientFunds):
        services.spend(player_id=one, unit="LP", currency="", amount=Decimal("11.01"), source=a_source(), at=NOW, reason="mug")
    lines = [line(1, one, 100, ref="l1"), line(2, one, 100, ref="l1"), line(3, two, 700, ref="l2"), line(4, one, 50, ref="l3")]
    lines += [line(5, two, 2000, unit="BONUS", ref="l4"), line(6, two, 3000, unit="BONUS", ref="l5")]
    first, second = post_lines(lines), post_lines([*lines, line(7, two, 1, ref="l6")])
    assert (first.posted, first.duplicates, second.posted, second.duplicates) == (5, 1, 1, 6)
    assert (balance_of(one), balance_of(two), balance_of(two, "BONUS", "EUR")) == (1250, 701, 5000)
    assert_books_balance()

    bet(two, "200")  # completes both
    assert balance_of(two, "BONUS", "EUR") == 0
    assert_books_balance()

    due = bonus(one, "3", expires_at=NOW + timedelta(hours=1))
    bonus(one, "4", expires_at=NOW + timedelta(hours=2))
    kept = bonus(one, "5", expires_at=NOW + timedelta(hours=9))
    for _ in range(2):
        services.expire_bonuses(at=NOW + timedelta(hours=3), lower_id=0, upper_id=2**60)
    grants.close_grants([due.pk, kept.pk], grants.EXPIRED, at=NOW + timedelta(hours=3), only_due=True)
    assert balance_of(one, "BONUS", "EUR") == 500
    services.reverse_entry(
        Entry.objects.get(source_ref=kept.source_ref, source_type="test").pk, source=a_source(), at=NOW, reason="x", actor=None
    )
    assert list(BonusGrant.objects.order_by("id").values_list("status", flat=True)) == [
        "COMPLETED", "COMPLETED", "EXPIRED", "EXPIRED", "REVERSED",
    ]  # fmt: skip
    assert not GrantEvent.objects.filter(from_status__in=FINAL_STATUSES).exists()
    assert Account.objects.get(player_id=one, unit="LP").earned_total == 1650
    assert_books_balance()


def test_story__original_statements__passes():
    story()


MUTANTS = [
    (ledger, "POST_SQL", "AND balance + %(amount)s::bigint >= 0", ""),
    (ledger, "POST_SQL", "version = version + 1", "version = version + 2"),
    (ledger, "POST_SQL", "earned_total + %(earned)s::bigint", "earned_total + %(amount)s::bigint"),
    (ledger, "POST_SQL", "balance = balance + %(amount)s::bigint", "balance = balance + abs(%(amount)s::bigint)"),
    (ledger, "POST_SQL", "version, balance, %(type)s", "version, balance - %(amount)s::bigint, %(type)s"),
    (grants, "_CLOSE_SQL", "account.balance - grants.running", "account.balance - grants.balance"),
    (grants, "_CLOSE_SQL", "account.version + grants.position", "account.version + 1"),
    (grants, "_CLOSE_SQL", "account.balance - sums.amount", "account.balance"),
    (grants, "_CLOSE_SQL", "account.version + sums.entries", "account.version + 1"),
    (grants, "_CLOSE_SQL", "balance = 0, closed_at", "closed_at"),
    (grants, "_CLOSE_SQL", "AND status IN ('ACTIVE', 'WAGERING', 'PAUSED')", ""),
    (grants, "_CLOSE_SQL", "AND (NOT %(only_due)s::boolean OR expires_at <= %(at)s::timestamptz)", ""),
    (grants, "_CLOSE_SQL", "entry_id, -amount FROM taken", "entry_id, amount FROM taken"),
    (credit_stage, "_NUMBER_LINES", "posted.id IS NULL AND row_number() OVER same_source = 1", "posted.id IS NULL"),
    (credit_stage, "_NUMBER_LINES", "posted.id IS NULL AND row_number() OVER same_source = 1", "row_number() OVER same_source = 1"),
    (credit_stage, "_NUMBER_LINES", "sum(amount_minor) FILTER (WHERE fresh) OVER in_order", "amount_minor"),
    (credit_stage, "_NUMBER_LINES", "count(*) FILTER (WHERE fresh) OVER in_order", "count(*) OVER in_order"),
    (credit_stage, "_RAISE_BALANCES", "WHERE fresh GROUP BY", "GROUP BY"),
    (credit_stage, "_RAISE_BALANCES", "CASE WHEN %(earning)s THEN sums.amount ELSE 0 END", "0"),
    (credit_stage, "_RAISE_BALANCES", "account.version + sums.entries", "account.version"),
]


@pytest.mark.parametrize(("module", "name", "original", "mutant"), MUTANTS)
def test_story__mutated_statement__is_caught(monkeypatch, module, name, original, mutant):
    sql = getattr(module, name)
    assert original in sql, "the statement has changed: write the mutant anew"
    monkeypatch.setattr(module, name, sql.replace(original, mutant))
    with pytest.raises((AssertionError, IntegrityError, InsufficientFunds, pytest.fail.Exception)):
        story()
