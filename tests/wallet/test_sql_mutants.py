"""Does the oracle see a broken statement? Each mutant of the wallet's SQL must be caught by the story below; the original must pass."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError

from tests.factories import NOW, PlayerFactory
from tests.wallet.factories import a_source, a_template, assert_books_balance, balance_of, bet, bonus, line, offer, points, post_lines
from wallet import credit_stage, ledger, services
from wallet.grants import bulk, closing, queue
from wallet.models import FINAL_STATUSES, Account, BonusGrant, Entry, GrantEvent, PayoutInstruction
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
    spent = {"wagering_required": Decimal(0), "unit": "BONUS"}
    lines += [line(5, two, 900, ref="l4", **spent), line(6, two, 2000, unit="BONUS", ref="l5"), line(7, two, 3000, unit="BONUS", ref="l6")]
    lines += [line(8, two, 400, unit="BONUS", ref="l7", template_code=a_template("bets", products=["sports"]).code)]
    first, second = post_lines(lines), post_lines([*lines, line(9, two, 1, ref="l8")])
    assert (first.posted, first.duplicates, second.posted, second.duplicates) == (7, 1, 1, 8)
    # the first is completed at once, the second is open, the third waits behind it, the fourth is of another product
    assert (balance_of(one), balance_of(two), balance_of(two, "BONUS", "EUR")) == (1250, 701, 2400)
    assert_books_balance()

    bet(two, "100")  # completes the open one, and the next begins
    assert balance_of(two, "BONUS", "EUR") == 3400
    bet(two, "100")
    assert balance_of(two, "BONUS", "EUR") == 400
    assert_books_balance()

    products = {product: a_template(product, products=[product]) for product in ("sports", "lotto", "poker")}
    due = bonus(one, "3", expires_at=NOW + timedelta(hours=1))
    offer(one, products["sports"], amount=Decimal(4), at=NOW - timedelta(days=7))
    kept = offer(one, products["lotto"], amount=Decimal(5))
    offer(one, products["poker"], amount=Decimal(6), at=NOW - timedelta(days=7, hours=1))
    bonus(one, "7")  # waits for the end of the first
    bonus(one, "8")  # and this one behind it
    for _ in range(2):
        services.expire_bonuses(at=NOW + timedelta(hours=3), lower_id=0, upper_id=2**60)
    closing.close_grants([due.pk, kept.pk], closing.EXPIRED, at=NOW + timedelta(hours=3), only_due=True)
    assert balance_of(one, "BONUS", "EUR") == 1200
    services.reverse_entry(
        Entry.objects.get(source_ref=kept.source_ref, source_type="test").pk, source=a_source(), at=NOW, reason="x", actor=None
    )
    assert list(BonusGrant.objects.order_by("id").values_list("status", "released")) == [
        ("COMPLETED", 900), ("COMPLETED", 2000), ("COMPLETED", 3000), ("ACTIVE", 0),
        ("EXPIRED", 0), ("EXPIRED", 0), ("REVERSED", 0), ("EXPIRED", 0), ("ACTIVE", 0), ("QUEUED", 0),
    ]  # fmt: skip
    assert sorted(PayoutInstruction.objects.values_list("amount", flat=True)) == [900, 2000, 3000]
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
    (closing, "_CLOSE_SQL", "account.balance - parts.running", "account.balance - parts.amount"),
    (closing, "_CLOSE_SQL", "account.version + parts.position", "account.version + 1"),
    (closing, "_CLOSE_SQL", "account.balance - sums.amount", "account.balance"),
    (closing, "_CLOSE_SQL", "account.version + sums.entries", "account.version + 1"),
    (closing, "_CLOSE_SQL", "balance = 0, locked = 0, closed_at", "closed_at"),
    (closing, "_CLOSE_SQL", "AND status = ANY(%(sources)s::text[])", "AND %(sources)s::text[] IS NOT NULL"),
    (closing, "_CLOSE_SQL", "expires_at <= %(at)s::timestamptz AND (", "("),
    (closing, "_CLOSE_SQL", "(VALUES ('balance', amount - of_locked)", "(VALUES ('balance', of_locked - amount)"),
    (closing, "_CLOSE_SQL", "released = g.released + ending.released", "released = g.released"),
    (closing, "_CLOSE_SQL", "WHERE %(releases)s::boolean AND taken.number = 1", "WHERE false"),
    (queue, "_START_SQL", "balance = starting.principal", "balance = 0"),
    (queue, "_START_SQL", "account.balance + fresh.running", "account.balance"),
    (queue, "_START_SQL", "account.balance + sums.amount", "account.balance"),
    (queue, "_START_SQL", "account.earned_total + sums.earned", "account.earned_total"),
    (queue, "_HEADS", "waiting.queue_order, waiting.expires_at, waiting.id", "waiting.id DESC"),
    (queue, "_HEADS", "open.product = waiting.product", "false"),
    (bulk, "_NUMBER_BONUS_LINES", "posted.id IS NULL AND made.id IS NULL AND row_number()", "posted.id IS NULL AND row_number()"),
    (bulk, "_NUMBER_BONUS_LINES", "sum(principal) FILTER (WHERE posts) OVER in_order", "principal"),
    (bulk, "_NUMBER_BONUS_LINES", "count(*) FILTER (WHERE posts) OVER in_order", "count(*) OVER in_order"),
    (bulk, "_NUMBER_BONUS_LINES", "bool_or(stays AND fresh AND NOT offered) OVER earlier", "false"),
    (bulk, "_NUMBER_BONUS_LINES", "NOT (required = 0 AND principal > 0)", "true"),
    (bulk, "_NUMBER_BONUS_LINES", "coalesce(template.terms->'products'->>0, 'casino')", "'casino'"),
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
