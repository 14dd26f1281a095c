"""Compile a rule, evaluate it over a table of players, and explain it for one player.

Order of an amount: the exact value of the formula; rounded once to the minor unit of the reward by the rule's rounding mode; cut to
max_amount; nothing is given when that is zero or less, or below min_amount.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt

from . import columns, scalar
from .conditions import Condition, FactTest, Finding, Group, explain, mask, names_in, parse_conditions
from .formula import Expression, fact_names
from .problems import Problem, RuleError
from .reward import RewardSpec, parse_reward
from .table import FactTable, IntArray

NOT_POSITIVE = "amount is zero or less"
BELOW_MINIMUM = "amount is below the minimum"
TOO_LARGE = "amount is too large to be paid"
_MAX_MINOR = 10**15

__all__ = [
    "CompiledRule",
    "FormulaTrace",
    "Proposals",
    "RewardSpec",
    "RuleError",
    "RuleTrace",
    "compile_rule",
    "evaluate",
    "trace",
]


@dataclass(frozen=True)
class CompiledRule:
    """A checked rule. fact_names: what a table must hold for it (always with the currency, which decides the minor unit)."""

    conditions: Group
    amount: Expression
    reward: RewardSpec
    fact_names: frozenset[str]


@dataclass(frozen=True)
class Proposals:
    """Who gets how much from one rule, in the order of the table.

    minor: amounts in integer minor units of the reward's unit (see loyalty_site.common.money.exponent); places: decimal places of
    each amount; matched: how many players fulfilled the conditions; without_amount: of those, how many got nothing, by reason.
    """

    player_ids: IntArray
    minor: IntArray
    places: npt.NDArray[np.int8]
    matched: int
    without_amount: Mapping[str, int]

    @cached_property
    def amounts(self) -> list[Decimal]:
        return [Decimal(minor).scaleb(-places) for minor, places in zip(self.minor.tolist(), self.places.tolist(), strict=True)]


@dataclass(frozen=True)
class FormulaTrace:
    """The formula with the values that went in, the exact result, and what was done to it (cap, rounding, minimum).

    result: the value before cap and rounding, shown to 12 places; verdict: "given" or the reason why nothing is.
    """

    text: str
    inputs: Mapping[str, Any]
    result: Decimal | None
    amount: Decimal | None
    unit: str
    verdict: str
    steps: tuple[str, ...] = ()


@dataclass(frozen=True)
class RuleTrace:
    """Everything about one rule and one player. Without a match there is no formula."""

    player_id: int
    matched: bool
    conditions: tuple[Finding, ...]
    formula: FormulaTrace | None
    amount: Decimal | None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; numbers as texts, so that they stay exact."""
        return {
            "player_id": self.player_id,
            "matched": self.matched,
            "conditions": [{name: _plain(value) for name, value in vars(one).items()} for one in self.conditions],
            "formula": None if self.formula is None else {name: _plain(value) for name, value in vars(self.formula).items()},
            "amount": _plain(self.amount),
        }


def compile_rule(conditions: Any, reward_config: Any) -> CompiledRule:
    """Check and translate a rule. Raises RuleError, whose `problems` carry the position and the remedy of every error found."""
    problems: list[Problem] = []
    tree: Group | None = None
    reward: RewardSpec | None = None
    try:
        tree = parse_conditions(conditions)
    except RuleError as error:
        problems.extend(error.problems)
    try:
        reward, amount = parse_reward(reward_config)
    except RuleError as error:
        problems.extend(error.problems)
    if problems or tree is None or reward is None:
        raise RuleError(problems)
    if reward.currency:
        only: Condition = FactTest("currency", "==", reward.currency, ())
        tree = Group("all", (*tree.parts, only), ())
    return CompiledRule(tree, amount, reward, names_in(tree) | fact_names(amount) | {"currency"})


def evaluate(rule: CompiledRule, facts: FactTable) -> Proposals:
    """Players of the table that fulfil the rule, with their amounts. Raises KeyError when a needed fact is not in the table."""
    _require(rule, facts)
    rows = np.flatnonzero(mask(rule.conditions, facts))
    matched = facts.take(rows, fact_names(rule.amount) | {"currency"})
    places = _places(rule.reward, matched)
    value = columns.number(rule.amount, matched)
    status = np.zeros(len(matched), dtype=np.int8) if value.status is None else value.status
    rounded = columns.round_to_minor(value, places, rule.reward.rounding)
    positive = np.asarray(value.numerator > 0, dtype=bool)
    rounded = np.where(positive & (status == columns.OK), rounded, 0)
    if rule.reward.max_amount is not None:
        rounded = np.minimum(rounded, _cap(rule.reward.max_amount, places))
    reasons: dict[str, npt.NDArray[np.bool_]] = {text: status == code for code, text in columns.REASONS.items()}
    has_value = status == columns.OK
    reasons[NOT_POSITIVE] = has_value & np.asarray(rounded <= 0, dtype=bool)
    reasons[TOO_LARGE] = has_value & np.asarray(rounded > _MAX_MINOR, dtype=bool)
    if rule.reward.min_amount is not None:
        least = _floor(rule.reward.min_amount, places)
        reasons[BELOW_MINIMUM] = has_value & np.asarray((rounded > 0) & (rounded < least), dtype=bool)
    refused = np.logical_or.reduce(list(reasons.values()))
    keep = ~refused
    return Proposals(
        player_ids=matched.player_ids[keep],
        minor=rounded[keep].astype(np.int64),
        places=places[keep],
        matched=len(rows),
        without_amount={text: count for text, hit in reasons.items() if (count := int(np.count_nonzero(hit)))},
    )


def trace(rule: CompiledRule, facts: FactTable, row: int) -> RuleTrace:
    """The same evaluation for one row of the table, explained. Every condition is shown, also after one that failed."""
    _require(rule, facts)
    values = {name: facts.value(name, row) for name in rule.fact_names}
    holds, findings = explain(rule.conditions, values)
    formula = _trace_formula(rule, values) if holds else None
    return RuleTrace(
        player_id=int(facts.player_ids[row]),
        matched=holds,
        conditions=tuple(findings),
        formula=formula,
        amount=formula.amount if formula else None,
    )


def _require(rule: CompiledRule, facts: FactTable) -> None:
    if absent := rule.fact_names - facts.columns.keys():
        raise KeyError(f"the table lacks {', '.join(sorted(absent))}; load them with load_facts(rule.fact_names, ...)")


def _places(reward: RewardSpec, table: FactTable) -> npt.NDArray[np.int8]:
    column = table.columns["currency"]
    by_code = np.array([reward.places(name) for name in column.categories] or [0], dtype=np.int8)
    return by_code[column.values] if len(table) else np.zeros(0, dtype=np.int8)


def _scaled_per_row(places: npt.NDArray[np.int8], scaled: dict[int, int]) -> IntArray:
    limits = np.array([scaled.get(i, 0) for i in range(max(scaled, default=0) + 1)], dtype=np.int64)
    return limits[places] if len(places) else np.zeros(0, dtype=np.int64)


def _cap(amount: Decimal, places: npt.NDArray[np.int8]) -> IntArray:
    """The largest whole number of minor units that is not above `amount`."""
    return _scaled_per_row(places, {p: int(amount.scaleb(p)) for p in _distinct(places)})


def _floor(amount: Decimal, places: npt.NDArray[np.int8]) -> IntArray:
    """The smallest whole number of minor units that is not below `amount`."""
    return _scaled_per_row(places, {p: ceil(amount.scaleb(p)) for p in _distinct(places)})


def _distinct(places: npt.NDArray[np.int8]) -> list[int]:
    return [int(p) for p in np.unique(places)]


def _trace_formula(rule: CompiledRule, values: Mapping[str, Any]) -> FormulaTrace:
    reward = rule.reward
    unit = reward.money_unit(values["currency"])
    places = reward.places(values["currency"])
    inputs = {name: values[name] for name in sorted(fact_names(rule.amount))}
    try:
        exact = scalar.number(rule.amount, values)
    except scalar.NoValue as reason:
        return FormulaTrace(reward.formula, inputs, None, None, unit, str(reason))
    steps: list[str] = []
    minor = scalar.round_to_minor(exact, places, reward.rounding) if exact > 0 else 0
    if exact > 0 and Fraction(minor, 10**places) != exact:
        steps.append(f"rounded {reward.rounding} to {places} decimal places: {_amount(minor, places)}")
    if reward.max_amount is not None and minor > (cap := int(reward.max_amount.scaleb(places))):
        minor = cap
        steps.append(f"cut to the maximum of {_amount(cap, places)}")
    verdict = "given"
    if minor <= 0:
        verdict = NOT_POSITIVE
    elif minor > _MAX_MINOR:
        verdict = TOO_LARGE
    elif reward.min_amount is not None and _amount(minor, places) < reward.min_amount:
        verdict = BELOW_MINIMUM
        steps.append(f"below the minimum of {reward.min_amount}")
    amount = _amount(minor, places) if verdict == "given" else None
    return FormulaTrace(reward.formula, inputs, _shown(exact), amount, unit, verdict, tuple(steps))


def _amount(minor: int, places: int) -> Decimal:
    return Decimal(minor).scaleb(-places)


def _shown(exact: Fraction) -> Decimal:
    """To 12 places for display; the amount itself comes from the exact value."""
    scaled = round(exact * 10**12)
    text = Decimal(scaled).scaleb(-12).normalize()
    return text.quantize(Decimal(1)) if text == text.to_integral_value() else text


def _plain(value: Any) -> Any:
    match value:
        case Decimal():
            return format(value, "f")
        case date():
            return value.isoformat()
        case Mapping():
            return {str(name): _plain(one) for name, one in value.items()}
        case tuple() | list():
            return [_plain(one) for one in value]
    return value
