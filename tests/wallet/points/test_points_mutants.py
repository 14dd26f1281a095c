"""Does the oracle see a broken statement of points? Each mutant must be caught by the story below; the original must pass."""

from datetime import timedelta

import pytest
from django.db import IntegrityError

from players.models import PlaySession
from tests.factories import PlayerFactory
from tests.wallet.factories import assert_books_balance, balance_of, line, post_lines
from tests.wallet.points.factories import earn, lots, on, policy, spend, take_back
from wallet import ledger, services
from wallet.models import Account, Lot
from wallet.points import activation, bulk, expiry, inactivity, movements
from wallet.services import InsufficientFunds, WalletError

pytestmark = pytest.mark.django_db
EVERYBODY = {"lower_id": 0, "upper_id": 2**62}


def story() -> None:
    """Some weeks of three players, with the exact figures that must come out."""
    one, two, three = (PlayerFactory().pk for _ in range(3))
    policy(expiry="days", period=10)
    first = earn(one, "10", on(1, 1))
    earn(one, "20", on(1, 2))
    earn(one, "5", on(1, 3))
    assert Lot.objects.earliest("id").expires_at == on(1, 12, 0)
    spend(one, "12", on(1, 4))
    assert lots(one) == [(10, 0, "SPENT"), (20, 18, "ACTIVE"), (5, 5, "ACTIVE")]
    assert_books_balance()
    take_back(first, on(1, 5))  # 10 of the next lots
    assert lots(one) == [(10, 0, "CANCELLED"), (20, 8, "ACTIVE"), (5, 5, "ACTIVE")]
    assert services.expire_lots(at=on(1, 13, 0), **EVERYBODY) == 1
    assert services.expire_lots(at=on(1, 13, 0), **EVERYBODY) == 0
    assert lots(one) == [(10, 0, "CANCELLED"), (20, 0, "EXPIRED"), (5, 5, "ACTIVE")]
    assert (balance_of(one, "RP"), Account.objects.get(player_id=one).earned_total) == (500, 2500)
    assert_books_balance()

    owing = earn(two, "30", on(1, 1))
    spend(two, "30", on(1, 2))
    take_back(owing, on(1, 3))
    earn(two, "1", on(1, 3))
    assert lots(two) == [(30, 0, "CANCELLED"), (1, 0, "SPENT")]
    for ref, hour in (("w1", 6), ("w2", 7)):
        earn(two, "8", on(1, 3), ref=ref, pending_until=on(1, 4, hour))
    assert services.activate_lots(at=on(1, 4, 6), **EVERYBODY) == 1
    assert services.activate_lots(at=on(1, 4, 8), **EVERYBODY) == 1
    assert services.activate_lots(at=on(1, 4, 8), **EVERYBODY) == 0
    account = Account.objects.get(player_id=two)
    assert (account.balance, account.owed, account.earned_total) == (0, 1300, 1700)
    rows = [line(1, two, 900, unit="RP"), line(2, two, 600, unit="RP"), line(3, two, 700, unit="RP"), line(4, three, 300, unit="RP")]
    assert post_lines(rows, at=on(1, 5)).posted == 4
    assert post_lines(rows, at=on(1, 5)).posted == 0
    account.refresh_from_db()
    assert (account.balance, account.owed) == (900, 0)
    assert lots(two)[-3:] == [(9, 0, "SPENT"), (6, 2, "ACTIVE"), (7, 7, "ACTIVE")]
    assert set(Lot.objects.filter(player_id=three).values_list("expires_at", flat=True)) == {on(1, 16, 0)}
    assert_books_balance()

    policy(pending_hours=24)
    rows = [line(1, three, 100, unit="RP", ref="p1"), line(2, three, 100, unit="RP", ref="p1"), line(3, three, 200, unit="LP", ref="p2")]
    result = post_lines(rows, at=on(1, 6))
    assert (result.posted, result.waiting, result.duplicates) == (1, 1, 1)
    policy(pending_hours=0)
    assert post_lines(rows, at=on(1, 6)).duplicates == 3
    assert_books_balance()

    policy("LP", expiry="inactivity", period=5, qualifying=["session"])
    for day in (1, 2):
        earn(one, "10", on(2, day), unit="LP")
    earn(two, "10", on(2, 1), unit="LP")
    earn(three, "10", on(2, 1), unit="LP")
    PlaySession.objects.create(player_id=three, external_id="s", started_at=on(2, 4))
    spend(three, "5", on(2, 7, 0), unit="LP")  # its stored end is now, but a visit has moved it on
    PlaySession.objects.create(player_id=one, external_id="s", started_at=on(2, 4))
    PlaySession.objects.create(player_id=two, external_id="s", started_at=on(2, 20))  # later than the sweep looks
    assert services.expire_lots(at=on(2, 7, 0), **EVERYBODY) == 5  # the RP of all three, and two's LP
    assert set(Lot.objects.filter(player_id=one, account__unit="LP").values_list("expires_at", flat=True)) == {on(2, 10, 0)}
    with pytest.raises(InsufficientFunds):
        spend(one, "1", on(2, 10, 0), unit="LP")
    spend(one, "20", on(2, 10, 0) - timedelta(seconds=1), unit="LP")
    assert_books_balance()


def test_story__original_statements__passes() -> None:
    story()


MUTANTS = [
    (ledger, "POST_SQL", "FROM posted WHERE %(lot)s::boolean", "FROM posted WHERE false"),
    (ledger, "POST_SQL", "owed = owed + %(lent)s::bigint", "owed = owed + 0 * %(lent)s::bigint"),
    (ledger, "POST_SQL", "(owed = 0 OR %(may_owe)s::boolean)", "(true OR %(may_owe)s::boolean)"),
    (movements, "_USE", "lot.remaining + part.amount,", "lot.remaining - part.amount,"),
    (movements, "_USE", "THEN 'ACTIVE' ELSE %(emptied)s END", "THEN 'ACTIVE' ELSE 'SPENT' || left(%(emptied)s, 0) END"),
    (movements, "_PAY_DEBTS", "WHERE before < owed", ""),
    (movements, "_PAY_DEBTS", "least(amount, owed - before) AS amount", "amount AS amount"),
    (movements, "_PAY_DEBTS", "version + row_number() OVER in_order AS seq", "version + 1 AS seq"),
    (movements, "_PAY_DEBTS", "owed = account.owed - sums.amount", "owed = account.owed"),
    (movements, "_PAY_DEBTS", "lot.remaining - paid.amount", "lot.remaining"),
    (expiry, "_EXPIRE", "status = 'ACTIVE' AND expires_at <= %(at)s\n", "status = 'ACTIVE'\n OR %(at)s IS NULL"),
    (expiry, "_EXPIRE", "account.balance - sums.amount", "account.balance"),
    (expiry, "_EXPIRE", "status = 'EXPIRED', remaining = 0", "status = 'SPENT', remaining = 0"),
    (expiry, "_EXPIRE", "entry_id, -amount FROM taken", "entry_id, amount FROM taken"),
    (expiry, "_DUE", "expires_at <= %(at)s", "expires_at < %(at)s"),
    (activation, "_ACTIVATE", "account.earned_total + sums.earned", "account.earned_total"),
    (activation, "_ACTIVATE", "account.balance + sums.amount", "account.balance"),
    (activation, "_ACTIVATE", "SET status = 'ACTIVE', entry_id", "SET status = lot.status, entry_id"),
    (activation, "_DUE", "available_at <= %(at)s", "available_at < %(at)s"),
    (bulk, "_MAKE_LOTS", "WHERE line.fresh", "WHERE line.fresh AND line.unit <> 'RP'"),
    (bulk, "_OF_OWING", "account.owed > 0", "account.owed < 0"),
    (bulk, "_FIND_WAITING", "row_number() OVER same_source = 1", "true"),
    (bulk, "_FIND_WAITING", "AND entry_id IS NULL LIMIT 1", "AND false LIMIT 1"),
    (bulk, "_KEEP_WAITING", "'PENDING'", "'CANCELLED'"),
    (inactivity, "_MOVE", "ends.at > lot.expires_at", "ends.at < lot.expires_at"),
    (inactivity, "ACTIVITIES", "started_at <= %(at)s ORDER BY", "true ORDER BY"),
]


@pytest.mark.parametrize(("module", "name", "original", "mutant"), MUTANTS)
def test_story__mutated_statement__is_caught(monkeypatch: pytest.MonkeyPatch, module, name, original, mutant) -> None:
    sql = getattr(module, name)
    if isinstance(sql, dict):
        assert original in sql["session"], "the statement has changed: write the mutant anew"
        changed = sql | {"session": sql["session"].replace(original, mutant)}
    else:
        assert original in sql, "the statement has changed: write the mutant anew"
        changed = sql.replace(original, mutant)
    monkeypatch.setattr(module, name, changed)
    with pytest.raises((AssertionError, IntegrityError, WalletError, Lot.DoesNotExist, pytest.fail.Exception)):
        story()
