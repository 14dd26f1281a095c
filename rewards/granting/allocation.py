"""The gates that need to know what else is given: duplicates, stacking, caps and budgets.

Rows are taken one after another in the order of `Rows` (player, priority, rule, key); a row uses up caps and budgets only when it
passes all four. So within one player the higher priority is served first, and between players the lower id.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from loyalty_site.common.money import to_minor
from rewards.granting.budgets import Budgets
from rewards.granting.gates import Work
from rewards.granting.verdicts import PASS, REFUSE, SKIP, SKIPPED, Outcome
from rewards.profit import CapUse, cap_excess

_WINDOWS = {"day": "today", "week": "in seven days", "month": "in thirty days"}


@dataclass
class Allocation:
    """Outcomes in gate order, and the budget accounts that hold each row that passed."""

    outcomes: list[Outcome]
    accounts: list[list[int]]


@dataclass
class _Running:
    """What the batch gave so far."""

    caps: dict[tuple[int, str], CapUse] = field(default_factory=dict)
    given: dict[tuple[int, int, str], int] = field(default_factory=dict)
    rules: set[tuple[int, int]] = field(default_factory=set)
    groups: dict[tuple[int, str], str] = field(default_factory=dict)


def allocate(work: Work, refused: npt.NDArray[np.bool_], budgets: Budgets) -> Allocation:
    """Serve the rows that no earlier gate refused. `budgets` remembers what they take."""
    return _Allocator(work, budgets).run(refused)


class _Allocator:
    def __init__(self, work: Work, budgets: Budgets) -> None:
        self.work, self.rows, self.budgets = work, work.rows, budgets
        self.running = _Running(caps=dict(work.history.caps), given=dict(work.history.given))
        self.duplicates = work.outcome("duplicates", 1, "first of this rule in the period")
        self.stacking = work.outcome("stacking", 1, "no better reward of its stacking group")
        self.caps = work.outcome("caps", 1, "within the caps per day, week and month")
        self.budget = work.outcome("budget", 1, "fits the budgets, amount reserved")
        self.accounts: list[list[int]] = [[] for _ in range(len(self.rows))]
        thresholds = work.thresholds
        caps = (thresholds.cap_day, thresholds.cap_week, thresholds.cap_month)
        self.limits = {
            str(currency): CapUse(*(to_minor(cap, currency, "DOWN") for cap in caps)) for currency in set(self.rows.currency) - {""}
        }
        size = len(self.rows)
        self.cap_inputs: dict[str, list[Any]] = {
            name: [None] * size for name in ("amount", "day", "day_cap", "week", "week_cap", "month", "month_cap")
        }
        self.budget_inputs: dict[str, list[Any]] = {name: [None] * size for name in ("player_left", "budget_left")}
        self.winners: list[str | None] = [None] * size

    def run(self, refused: npt.NDArray[np.bool_]) -> Allocation:
        gates = (self._duplicate, self._stacked, self._capped, self._budgeted)
        outcomes = [self.duplicates, self.stacking, self.caps, self.budget]
        for outcome in outcomes:
            outcome.skip(refused)
        for row in np.flatnonzero(~refused).tolist():
            for position, (gate, outcome) in enumerate(zip(gates, outcomes, strict=True)):
                refusal = gate(row)
                if refusal:
                    outcome.set_row(row, REFUSE, refusal)
                    for later in outcomes[position + 1 :]:
                        later.set_row(row, SKIP, SKIPPED)
                    break
            else:
                self._serve(row)
        rules = self.rows.each(lambda origin: origin.rule.rule_id if origin.rule else None)
        self.duplicates.inputs = {"rule": rules, "period": self.rows.each(lambda origin: origin.period or None)}
        self.stacking.inputs = {"group": self.rows.each(lambda origin: origin.stacking_group or None), "taken_by": self.winners}
        self.caps.inputs, self.budget.inputs = dict(self.cap_inputs), dict(self.budget_inputs)
        return Allocation(outcomes, self.accounts)

    def _key(self, row: int) -> tuple[int, int, str]:
        return int(self.rows.player_id[row]), self.rows.origins[self.rows.origin[row]].rule_key, str(self.rows.unit[row])

    def _duplicate(self, row: int) -> str:
        player, rule, _ = self._key(row)
        origin = self.rows.origins[self.rows.origin[row]]
        if not rule:
            self.duplicates.set_row(row, PASS, "the idempotency key is new")
            return ""
        other = self.work.history.periods.get((player, rule, origin.period))
        if other is not None:
            return f"the player has this rule's reward for the period from version {other}"
        if (player, rule) in self.running.rules:
            return "another version of the rule is in the same batch"
        return ""

    def _stacked(self, row: int) -> str:
        player, rule, _ = self._key(row)
        origin = self.rows.origins[self.rows.origin[row]]
        if not origin.stacking_group:
            self.stacking.set_row(row, PASS, "the rule stacks with all others")
            return ""
        winner = self.running.groups.get((player, origin.stacking_group))
        for other, name, last_at in self.work.history.groups.get((player, origin.stacking_group), []):
            if other != rule and (origin.period_start is None or last_at >= origin.period_start):
                winner = winner or name
        self.winners[row] = winner
        return f"the player already gets {winner} of this stacking group" if winner else ""

    def _capped(self, row: int) -> str:
        player, _, unit = self._key(row)
        if unit != "BONUS":
            self.caps.set_row(row, PASS, "caps are on money")
            return ""
        currency, amount = str(self.rows.currency[row]), int(self.rows.amount[row])
        used, limits = self.running.caps.get((player, currency), CapUse()), self.limits[currency]
        decimal = self.rows.decimal
        self.cap_inputs["amount"][row] = decimal(row, amount)
        for window in _WINDOWS:
            self.cap_inputs[window][row] = decimal(row, getattr(used, window))
            self.cap_inputs[f"{window}_cap"][row] = decimal(row, getattr(limits, window))
        broken = cap_excess(used, amount, limits)
        return f"above the cap on what a player may get {_WINDOWS[broken]}" if broken else ""

    def _budgeted(self, row: int) -> str:
        player, rule, unit = self._key(row)
        amount, version = int(self.rows.amount[row]), self.rows.origins[self.rows.origin[row]].proposals.version
        if version is not None and version.player_budget is not None:
            limit = to_minor(Decimal(version.player_budget), self.rows.money_unit(row), "DOWN")
            left = limit - self.running.given.get((player, rule, unit), 0)
            self.budget_inputs["player_left"][row] = self.rows.decimal(row, left)
            if amount > left:
                return "above what one player may get from this rule"
        accounts = self.budgets.accounts_for(rule, unit, str(self.rows.currency[row]))
        if not accounts:
            self.budget.set_row(row, PASS, "no budget applies")
            return ""
        smallest = min(self.budgets.left[account] for account in accounts)
        self.budget_inputs["budget_left"][row] = self.rows.decimal(row, smallest)
        if amount > smallest:
            return "the budget is used up"
        self.accounts[row] = accounts
        return ""

    def _serve(self, row: int) -> None:
        player, rule, unit = self._key(row)
        amount, origin = int(self.rows.amount[row]), self.rows.origins[self.rows.origin[row]]
        self.budgets.take(self.accounts[row], amount)
        if unit == "BONUS":
            cap_key = (player, str(self.rows.currency[row]))
            self.running.caps[cap_key] = self.running.caps.get(cap_key, CapUse()).plus(amount)
        if rule and origin.rule:
            self.running.given[player, rule, unit] = self.running.given.get((player, rule, unit), 0) + amount
            self.running.rules.add((player, rule))
            if origin.stacking_group:
                self.running.groups[player, origin.stacking_group] = origin.rule.rule_id


def first_refusals(outcomes: Sequence[Outcome]) -> npt.NDArray[np.object_]:
    """Name of the first gate that refused each row, "" where none did."""
    names = np.full(len(outcomes[0].result), "", dtype=object)
    for outcome in reversed(outcomes):
        names[outcome.refused] = outcome.name
    return names
