"""Budgets: found and locked for a batch, reserved when a reward is proposed, freed when it is not given, spent when it is issued.

Every change is a conditional update under the row's lock; locks are taken in id order, after the players' and the decisions' own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from django.db import connection
from django.db.models import Q

from loyalty_site.common.money import to_minor
from loyalty_site.common.sql import id_array
from rewards.granting.rows import Rows
from rewards.models import BudgetAccount

# Ends every read of budgets that is followed by a reservation. The control test of the race takes it away.
LOCK = "FOR UPDATE"

_RESERVE = """
UPDATE rewards_budgetaccount SET reserved_minor = reserved_minor + %(amount)s, updated_at = %(at)s
WHERE id = %(id)s AND reserved_minor + spent_minor + %(amount)s <= limit_minor
"""


class BudgetExceeded(RuntimeError):
    """A reservation that does not fit, although it was checked under the lock: a fault, never an answer to a person."""


@dataclass
class Budgets:
    """Accounts of a batch. `of_rule[(rule, unit, currency)]`, `of_all[(unit, currency)]`: account ids; `left[id]`: minor units."""

    of_rule: dict[tuple[int, str, str], list[int]] = field(default_factory=dict)
    of_all: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    left: dict[int, int] = field(default_factory=dict)
    reserved: dict[int, int] = field(default_factory=dict)

    def accounts_for(self, rule: int, unit: str, currency: str) -> list[int]:
        return self.of_rule.get((rule, unit, currency), []) + self.of_all.get((unit, currency), [])

    def take(self, accounts: Sequence[int], amount: int) -> None:
        for account in accounts:
            self.left[account] -= amount
            self.reserved[account] = self.reserved.get(account, 0) + amount


def load_budgets(rows: Rows, at: datetime, *, lock: bool) -> Budgets:
    """The budgets that apply to the rows. With `lock` the accounts of rules are created and set to their limits, and all are locked;
    without (a dry run) nothing is written, and a rule whose account does not exist yet has its whole budget left."""
    limits = _rule_limits(rows)
    if lock:
        _create_missing(limits, at)
    wanted = Q(pk__in=[])
    for rule, unit, currency in limits:
        wanted |= Q(rule_id=rule, unit=unit, currency=currency, period=BudgetAccount.ALL_TIME)
    month = at.astimezone(UTC).strftime("%Y-%m")
    for unit, currency in {(str(unit), str(currency)) for unit, currency in zip(rows.unit, rows.currency, strict=True)}:
        wanted |= Q(rule=None, unit=unit, currency=currency, period__in=[BudgetAccount.ALL_TIME, month])
    budgets = Budgets()
    ids = list(BudgetAccount.objects.filter(wanted).order_by("pk").values_list("pk", flat=True))
    for account, of_rule, unit, currency, limit, used in _read(ids, lock=lock):
        if of_rule is None:
            budgets.of_all.setdefault((unit, currency), []).append(account)
        else:
            budgets.of_rule.setdefault((of_rule, unit, currency), []).append(account)
            wanted_limit = max(limits[of_rule, unit, currency], used)  # never below what is used already
            if lock and wanted_limit != limit:
                BudgetAccount.objects.filter(pk=account).update(limit_minor=wanted_limit, updated_at=at)
            limit = wanted_limit
        budgets.left[account] = limit - used
    if not lock:
        for position, (key, limit) in enumerate(limits.items(), start=1):
            if key not in budgets.of_rule:
                budgets.of_rule[key], budgets.left[-position] = [-position], limit
    return budgets


def _read(ids: list[int], *, lock: bool) -> list[tuple[int, int | None, str, str, int, int]]:
    if not ids:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, rule_id, unit, currency, limit_minor, reserved_minor + spent_minor FROM rewards_budgetaccount "
            f"WHERE id = ANY(%s) ORDER BY id {LOCK if lock else ''}",
            [ids],
        )
        return cursor.fetchall()


def _rule_limits(rows: Rows) -> dict[tuple[int, str, str], int]:
    limits = {}
    currencies: dict[int, set[str]] = {}
    for origin, currency in zip(rows.origin.tolist(), rows.currency, strict=True):
        currencies.setdefault(origin, set()).add(str(currency))
    for index, names in currencies.items():
        origin = rows.origins[index]
        version, unit = origin.proposals.version, origin.proposals.terms.unit
        if version is None or version.total_budget is None:
            continue
        for currency in names:
            limits[origin.rule_key, unit, currency] = to_minor(Decimal(version.total_budget), currency or unit, "DOWN")
    return dict(sorted(limits.items()))


def _create_missing(limits: dict[tuple[int, str, str], int], at: datetime) -> None:
    rules = {rule for rule, _, _ in limits}
    known = set(BudgetAccount.objects.filter(rule_id__in=rules, period=BudgetAccount.ALL_TIME).values_list("rule_id", "unit", "currency"))
    BudgetAccount.objects.bulk_create(
        [
            BudgetAccount(rule_id=rule, unit=unit, currency=currency, limit_minor=limit, created_at=at, updated_at=at)
            for (rule, unit, currency), limit in limits.items()
            if (rule, unit, currency) not in known
        ],
        ignore_conflicts=True,
    )


def reserve(budgets: Budgets, at: datetime) -> None:
    """Write the reservations that a batch took. Raises BudgetExceeded (and so undoes the batch) if one does not fit."""
    with connection.cursor() as cursor:
        for account, amount in sorted(budgets.reserved.items()):
            cursor.execute(_RESERVE, {"id": account, "amount": amount, "at": at})
            if cursor.rowcount != 1:
                raise BudgetExceeded(f"budget {account} has no room for {amount} minor units")


# What decisions hold of budgets: one row an account, in id order.
_HELD = """
SELECT account, sum(d.amount_minor) AS amount FROM rewards_rewarddecision d, unnest(d.budget_ids) AS account
WHERE d.id = ANY(%(decisions)s::bigint[]) GROUP BY account ORDER BY account
"""


def _move(decisions: Sequence[int], at: datetime, change: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_HELD, {"decisions": id_array(decisions)})
        held = cursor.fetchall()
        if not held:
            return
        cursor.execute("SELECT id FROM rewards_budgetaccount WHERE id = ANY(%s) ORDER BY id FOR UPDATE", [[account for account, _ in held]])
        cursor.execute(
            f"UPDATE rewards_budgetaccount b SET {change}, updated_at = %s "
            "FROM unnest(%s::bigint[], %s::bigint[]) AS held(account, amount) WHERE b.id = held.account",
            [at, [account for account, _ in held], [int(amount) for _, amount in held]],
        )


def free(decisions: Sequence[int], at: datetime) -> None:
    """Give back what the decisions have reserved. Call it before their amounts change."""
    _move(decisions, at, "reserved_minor = reserved_minor - held.amount")


def spend(decisions: Sequence[int], at: datetime) -> None:
    """Turn the decisions' reservations into spending."""
    _move(decisions, at, "reserved_minor = reserved_minor - held.amount, spent_minor = spent_minor + held.amount")


def unspend(decisions: Sequence[int], at: datetime) -> None:
    """Give back what issued decisions spent, because they were revoked."""
    _move(decisions, at, "spent_minor = spent_minor - held.amount")
