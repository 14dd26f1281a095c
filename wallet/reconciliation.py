"""Proof of the books: what the wallet caches against what its entries say. Reads only.

Every check is one statement, so it sees one state of the database while postings go on.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db import connection

from loyalty_site.common.money import from_minor

from .errors import WalletError
from .values import account_label, money_unit, shown

MAX_REPORTED = 20  # differences listed per check; the count is always exact


class ReconcileError(WalletError):
    """The books do not balance; the message names the accounts."""

    slug = "books-do-not-balance"


@dataclass(frozen=True, slots=True)
class Difference:
    """One row that is not as it must be."""

    check: str
    account_id: int
    player_id: int
    text: str

    def __str__(self) -> str:
        return f"account {self.account_id} (player {self.player_id}): {self.text}"


@dataclass(frozen=True, slots=True)
class SideSum:
    """Both sides of the books of one unit: what players hold, and what the house gave for it."""

    unit: str
    currency: str
    accounts: int
    players: Decimal
    house: Decimal

    @property
    def balanced(self) -> bool:
        return self.players + self.house == 0


@dataclass(slots=True)
class ReconcileReport:
    """What was checked (rows per check) and what was found."""

    accounts: int = 0
    entries: int = 0
    grants: int = 0
    checks: list[str] = field(default_factory=list)
    sides: list[SideSum] = field(default_factory=list)
    difference_count: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.difference_count == 0 and all(side.balanced for side in self.sides)


@dataclass(frozen=True, slots=True)
class _Check:
    """`sql` yields account id, player id, unit, currency, expected, actual of every row that is wrong."""

    name: str
    text: str
    sql: str
    is_amount: bool = True


_IN_RANGE = "account.player_id >= %(lower)s AND account.player_id < %(upper)s"
_EARNING = "('rewards', 'game', 'opening')"
_OPEN = "('ACTIVE', 'WAGERING', 'PAUSED')"
_SUMS = f"""
    SELECT account.id, account.player_id, account.unit, account.currency, account.balance, account.version, account.earned_total,
           coalesce(sums.amount, 0) AS amount, coalesce(sums.entries, 0) AS entries, coalesce(sums.last_seq, 0) AS last_seq,
           coalesce(sums.earned, 0) AS earned
    FROM wallet_account AS account
    LEFT JOIN LATERAL (
        SELECT sum(amount) AS amount, count(*) AS entries, max(seq) AS last_seq,
               sum(amount) FILTER (WHERE house IN {_EARNING}) AS earned
        FROM wallet_entry WHERE account_id = account.id
    ) AS sums ON true
    WHERE {_IN_RANGE}
"""

CHECKS = (
    _Check(
        "balance = sum of entries",
        "the balance is {actual}, its entries add up to {expected}",
        f"SELECT id, player_id, unit, currency, amount, balance FROM ({_SUMS}) AS s WHERE balance <> amount ORDER BY id",
    ),
    _Check(
        "earned total = sum of earning entries",
        "the earned total is {actual}, its entries add up to {expected}",
        f"SELECT id, player_id, unit, currency, earned, earned_total FROM ({_SUMS}) AS s WHERE earned_total <> earned ORDER BY id",
    ),
    _Check(
        "seq runs from 1 without gaps to the version",
        "the version is {actual}, but there are {expected} entries or their seq has gaps",
        f"SELECT id, player_id, unit, currency, entries, version FROM ({_SUMS}) AS s "
        "WHERE version <> entries OR last_seq <> entries ORDER BY id",
        is_amount=False,
    ),
    _Check(
        "balance after each entry = sum so far",
        "an entry says {actual} after it, the entries up to it add up to {expected}",
        f"""
        SELECT DISTINCT ON (id) id, player_id, unit, currency, running, balance_after FROM (
            SELECT account.id, account.player_id, account.unit, account.currency, entry.seq, entry.balance_after,
                   sum(entry.amount) OVER (PARTITION BY entry.account_id ORDER BY entry.seq ROWS UNBOUNDED PRECEDING) AS running
            FROM wallet_entry AS entry JOIN wallet_account AS account ON account.id = entry.account_id
            WHERE {_IN_RANGE}
        ) AS chain WHERE running <> balance_after ORDER BY id, seq
        """,
    ),
    _Check(
        "bonus account = balances of its open grants",
        "the bonus account holds {actual}, its open grants {expected}",
        f"""
        SELECT account.id, account.player_id, account.unit, account.currency, coalesce(sum(g.balance), 0), account.balance
        FROM wallet_account AS account LEFT JOIN wallet_bonusgrant AS g ON g.account_id = account.id AND g.status IN {_OPEN}
             AND g.player_id = account.player_id
        WHERE account.unit = 'BONUS' AND {_IN_RANGE}
        GROUP BY account.id HAVING coalesce(sum(g.balance), 0) <> account.balance ORDER BY account.id
        """,
    ),
    _Check(
        "grant balance = sum of its movements",
        "a grant holds {actual}, its movements add up to {expected}",
        """
        SELECT account.id, account.player_id, account.unit, account.currency, coalesce(sum(movement.amount), 0), g.balance
        FROM wallet_bonusgrant AS g JOIN wallet_account AS account ON account.id = g.account_id
        LEFT JOIN wallet_grantmovement AS movement ON movement.grant_id = g.id
        WHERE g.player_id >= %(lower)s AND g.player_id < %(upper)s
        GROUP BY account.id, g.id HAVING coalesce(sum(movement.amount), 0) <> g.balance ORDER BY account.id
        """,
    ),
    _Check(
        "bonus entry = sum of its movements",
        "an entry moved {actual}, its grants {expected}",
        f"""
        SELECT account.id, account.player_id, account.unit, account.currency, coalesce(sum(movement.amount), 0), entry.amount
        FROM wallet_entry AS entry JOIN wallet_account AS account ON account.id = entry.account_id
        LEFT JOIN wallet_grantmovement AS movement ON movement.entry_id = entry.id
        WHERE account.unit = 'BONUS' AND {_IN_RANGE}
        GROUP BY account.id, entry.id HAVING coalesce(sum(movement.amount), 0) <> entry.amount ORDER BY account.id
        """,
    ),
    _Check(
        "wagering progress = sum of counted bets",
        "a grant shows {actual} wagered, its bets add up to {expected}",
        """
        SELECT account.id, account.player_id, account.unit, account.currency, coalesce(sum(counts.counted), 0), g.wagered
        FROM wallet_bonusgrant AS g JOIN wallet_account AS account ON account.id = g.account_id
        LEFT JOIN wallet_wagercount AS counts ON counts.grant_id = g.id
        WHERE g.player_id >= %(lower)s AND g.player_id < %(upper)s
        GROUP BY account.id, g.id HAVING coalesce(sum(counts.counted), 0) <> g.wagered ORDER BY account.id
        """,
        is_amount=False,
    ),
)

_SIDES = f"""
SELECT unit, currency, count(*), coalesce(sum(balance), 0)::bigint, coalesce(-sum(amount), 0)::bigint
FROM ({_SUMS}) AS s GROUP BY unit, currency ORDER BY unit, currency
"""
_COUNTS = f"""
SELECT (SELECT count(*) FROM wallet_account AS account WHERE {_IN_RANGE}),
       (SELECT count(*) FROM wallet_entry AS entry JOIN wallet_account AS account ON account.id = entry.account_id WHERE {_IN_RANGE}),
       (SELECT count(*) FROM wallet_bonusgrant WHERE player_id >= %(lower)s AND player_id < %(upper)s)
"""


def reconcile(lower_id: int, upper_id: int) -> ReconcileReport:
    """Check the books of players `lower_id <= id < upper_id`. Writes nothing; the report lists every kind of difference."""
    report = ReconcileReport()
    parameters = {"lower": lower_id, "upper": upper_id}
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS, parameters)
        report.accounts, report.entries, report.grants = cursor.fetchone()
        for check in CHECKS:
            cursor.execute(check.sql, parameters)
            rows = cursor.fetchall()
            report.checks.append(check.name)
            report.difference_count += len(rows)
            report.differences.extend(_difference(check, row) for row in rows[:MAX_REPORTED])
        cursor.execute(_SIDES, parameters)
        for unit, currency, accounts, players, house in cursor.fetchall():
            code = money_unit(unit, currency)
            report.sides.append(SideSum(unit, currency, accounts, from_minor(players, code), from_minor(house, code)))
    report.checks.append("both sides of every unit add up to zero")
    return report


def require_balanced(report: ReconcileReport) -> None:
    """Raise ReconcileError that names the first differences, unless the books balance."""
    if report.ok:
        return
    lines = [str(difference) for difference in report.differences[:5]]
    lines += [
        f"{account_label(side.unit, side.currency)}: players hold {side.players}, the house gave {-side.house}"
        for side in report.sides
        if not side.balanced
    ]
    raise ReconcileError(f"{report.difference_count} differences; " + "; ".join(lines))


def _difference(check: _Check, row: tuple[Any, ...]) -> Difference:
    account_id, player_id, unit, currency, expected, actual = row
    show = (lambda value: shown(int(value), unit, currency)) if check.is_amount else str
    return Difference(check.name, account_id, player_id, check.text.format(expected=show(expected), actual=show(actual)))
