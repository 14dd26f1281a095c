"""Conditions: who gets the reward. One tree, read from the flat keys or the nested form, evaluated over columns or for one player.

    {"segment": "LOSING", "net_loss_min": 100, "session_count_min": 3}       every line must hold
    {"any": [{"tier": ["Gold", "Platinum"]}, {"not": {"country": "MT"}}]}    nested
    {"fact": "days_since_last_play", "op": ">=", "value": 14}                spelled out
    {"formula": "net_loss_7d > 0.5 * deposited_7d"}                          facts compared with each other

A player who has no value for a fact does not fulfil a comparison with it, whatever the operator.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np

from . import columns, scalar
from .facts import CATALOGUE, FactSpec, Kind, all_names, canonical
from .formula import Expression, fact_names, parse_test
from .problems import Path, Problem, RuleError, nearest, path_text
from .table import BoolArray, Column, FactTable
from .tokens import MAX_DIGITS

MAX_TESTS = 200
MAX_DEPTH = 20
MAX_VALUES = 1000
WHERE = "conditions"

GROUPS = ("all", "any", "not")
OPERATORS = {
    "==": "==", "=": "==", "eq": "==", "is": "==",
    "!=": "!=", "ne": "!=", "is not": "!=",
    ">=": ">=", "gte": ">=", "min": ">=", "at least": ">=",
    "<=": "<=", "lte": "<=", "max": "<=", "at most": "<=",
    ">": ">", "gt": ">", "<": "<", "lt": "<",
    "in": "in", "not in": "not in", "between": "between",
    "present": "present", "missing": "missing",
}  # fmt: skip
_SUFFIXES = {"_min": ">=", "_max": "<=", "_not": "!="}
_ORDER = ("<", "<=", ">", ">=")
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class FactTest:
    """One comparison. value: Decimal, str, bool or date; a tuple of them for `in` and `not in`; None for `present` and `missing`."""

    fact: str
    operator: str
    value: Any
    path: Path


@dataclass(frozen=True)
class FormulaTest:
    text: str
    expression: Expression
    path: Path


@dataclass(frozen=True)
class Group:
    """operator: all (every part holds; none given: holds), any (at least one), not (its one part does not hold)."""

    operator: str
    parts: tuple["Condition", ...]
    path: Path


Condition = FactTest | FormulaTest | Group


def parse_conditions(source: Any) -> Group:
    """The tree of a conditions object. Raises RuleError with all problems found."""
    reader = _Reader()
    tree = reader.block(source, (), 1)
    if reader.problems:
        raise RuleError(reader.problems)
    return tree


def names_in(condition: Condition) -> frozenset[str]:
    match condition:
        case FactTest():
            return frozenset({condition.fact})
        case FormulaTest():
            return fact_names(condition.expression)
    return frozenset().union(*(names_in(part) for part in condition.parts))


class _Reader:
    """Collects every problem instead of stopping at the first."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.tests = 0

    def problem(self, code: str, message: str, remedy: str, path: Path) -> None:
        self.problems.append(Problem(code, message, remedy, WHERE, path))

    def block(self, source: Any, path: Path, depth: int) -> Group:
        """An object: all of its members must hold."""
        nothing = Group("all", (), path)
        if depth > MAX_DEPTH:
            self.problem("conditions_deep", "The conditions are nested too deeply.", f"Use at most {MAX_DEPTH} levels.", path)
            return nothing
        if not isinstance(source, dict):
            remedy = 'Write {"fact": value, ...}.'
            self.problem("conditions_type", f"Conditions are an object, not {_json_type(source)}.", remedy, path)
            return nothing
        if "fact" in source or "op" in source:
            return Group("all", self.spelled_out(source, path), path)
        parts: list[Condition] = []
        for key, value in source.items():
            here = (*path, str(key))
            if key in GROUPS:
                parts.append(self.group(str(key), value, here, depth))
            elif key == "formula":
                parts.extend(self.formula(value, here))
            else:
                parts.extend(self.flat(str(key), value, here))
        return Group("all", tuple(parts), path)

    def group(self, operator: str, value: Any, path: Path, depth: int) -> Group:
        if operator == "not":
            return Group("not", (self.block(value, path, depth + 1),), path)
        if not isinstance(value, list) or not value:
            self.problem("conditions_group", f'"{operator}" takes a list of conditions.', f'Write "{operator}": [{{...}}, {{...}}].', path)
            return Group("all", (), path)
        return Group(operator, tuple(self.block(one, (*path, i), depth + 1) for i, one in enumerate(value)), path)

    def formula(self, text: Any, path: Path) -> list[Condition]:
        self.count(path)
        try:
            return [FormulaTest(text, parse_test(text), path)]
        except RuleError as error:
            self.problems.extend(problem.at(where=WHERE, path=path) for problem in error.problems)
            return []

    def spelled_out(self, source: dict[str, Any], path: Path) -> tuple[Condition, ...]:
        for key in source:
            if key not in ("fact", "op", "value"):
                self.problem("conditions_key", f"{key} does not belong beside fact, op and value.", "Put it in an object of its own.", path)
                return ()
        name = self.fact_name(str(source.get("fact", "")), (*path, "fact"), suffix="")
        operator = OPERATORS.get(str(source.get("op", "")).strip().lower())
        if operator is None:
            known = ", ".join(dict.fromkeys(OPERATORS.values()))
            self.problem("conditions_operator", f"{source.get('op')!r} is not an operator.", f"The operators are {known}.", (*path, "op"))
        if name is None or operator is None:
            return ()
        if operator not in ("present", "missing") and "value" not in source:
            self.problem("conditions_value", "The value to compare with is missing.", 'Add "value": ...', path)
            return ()
        return tuple(self.tests_of(CATALOGUE[name], operator, source.get("value"), (*path, "value")))

    def flat(self, key: str, value: Any, path: Path) -> list[Condition]:
        name, operator = canonical(key), ""
        if name is not None:
            operator = "in" if isinstance(value, list) else "=="
        else:
            for suffix, meaning in _SUFFIXES.items():
                if key.endswith(suffix) and (name := self.fact_name(key.removesuffix(suffix), path, suffix)) is not None:
                    operator = "not in" if meaning == "!=" and isinstance(value, list) else meaning
                    break
                if key.endswith(suffix):
                    return []
        if name is None:
            self.fact_name(key, path, suffix="")
            return []
        return self.tests_of(CATALOGUE[name], operator, value, path)

    def fact_name(self, written: str, path: Path, suffix: str) -> str | None:
        name = canonical(written)
        if name is None:
            guess = nearest(written, all_names())
            remedy = f"Did you mean {guess}{suffix}?" if guess else "Pick one from the list of facts."
            self.problem("unknown_fact", f"There is no fact named {written or '(empty)'}.", remedy, path)
        return name

    def count(self, path: Path) -> None:
        self.tests += 1
        if self.tests == MAX_TESTS + 1:
            self.problem("conditions_many", f"There are more than {MAX_TESTS} conditions.", "Split the rule.", path)

    def tests_of(self, spec: FactSpec, operator: str, value: Any, path: Path) -> list[Condition]:
        self.count(path)
        if operator in ("present", "missing"):
            return [FactTest(spec.name, operator, None, path)]
        if operator == "between":
            if not isinstance(value, list) or len(value) != 2:
                self.problem("conditions_value", "between takes two values.", "Write [lowest, highest].", path)
                return []
            return self.tests_of(spec, ">=", value[0], (*path, 0)) + self.tests_of(spec, "<=", value[1], (*path, 1))
        if operator in ("in", "not in"):
            if not isinstance(value, list) or not 0 < len(value) <= MAX_VALUES:
                remedy = f'Write ["one", "two"]; at most {MAX_VALUES}.'
                self.problem("conditions_value", f"{operator} takes a list of values that is not empty.", remedy, path)
                return []
            values = tuple(self.value_of(spec, one, (*path, i)) for i, one in enumerate(value))
            return [] if None in values else [FactTest(spec.name, operator, values, path)]
        if operator in _ORDER and spec.kind in (Kind.CATEGORY, Kind.BOOL):
            remedy = f'Write "{spec.name}": ' + ("true." if spec.kind is Kind.BOOL else '"..." or a list.')
            if spec.name == "tier":
                remedy = 'Compare the rank: "tier_rank_min": 2.'
            self.problem("conditions_operator", f"{spec.name} has no order; {operator} does not apply.", remedy, path)
            return []
        checked = self.value_of(spec, value, path)
        return [] if checked is None else [FactTest(spec.name, operator, checked, path)]

    def value_of(self, spec: FactSpec, value: Any, path: Path) -> Any:
        """The value in the fact's type, or None after noting the problem."""
        wanted = {Kind.NUMBER: "a number", Kind.CATEGORY: "a text", Kind.BOOL: "true or false", Kind.DATE: "a day (YYYY-MM-DD)"}[spec.kind]
        result: Any = None
        match spec.kind:
            case Kind.NUMBER:
                result = exact_number(value)
            case Kind.BOOL if isinstance(value, bool):
                result = value
            case Kind.CATEGORY if isinstance(value, str) and value.strip():
                result = value.strip()
                folded = {one.casefold() for one in spec.values}
                if folded and result.casefold() not in folded:
                    guess = nearest(result, spec.values)
                    remedy = f"Did you mean {guess}?" if guess else f"Known: {', '.join(spec.values)}."
                    self.problem("unknown_value", f"{result!r} is not a {spec.name}.", remedy, path)
                    return None
            case Kind.DATE if isinstance(value, str):
                try:
                    result = date.fromisoformat(value)
                except ValueError:
                    result = None
        if result is None:
            remedy = f"Write {wanted}."
            if value is None:
                remedy = f'To ask for players without a value: {{"fact": "{spec.name}", "op": "missing"}}.'
            elif spec.kind is Kind.NUMBER:
                remedy = f"Write a finite number with at most {MAX_DIGITS} digits."
            self.problem(
                "conditions_value", f"{spec.name} needs {wanted}, not {f'{_json_type(value)} {_short(value)}'.strip()}.", remedy, path
            )
        return result


def exact_number(value: Any) -> Decimal | None:
    """The number that was written (a JSON float stands for its shortest decimal form); None when it is none, or too long to be exact."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal, str)):
        return None
    try:
        number = Decimal(repr(value) if isinstance(value, float) else str(value).strip())
    except InvalidOperation:
        return None
    if not number.is_finite() or len(number.normalize().as_tuple().digits) > MAX_DIGITS or abs(number.adjusted()) > MAX_DIGITS:
        return None
    return number


def _json_type(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "the text", bool: "the value", type(None): "an empty value"}
    return names.get(type(value), "the number")


def _short(value: Any) -> str:
    if isinstance(value, (dict, list, type(None))):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."


# over columns


def mask(condition: Condition, table: FactTable) -> BoolArray:
    """Which rows of the table fulfil the condition."""
    match condition:
        case FactTest():
            return _test_mask(condition, table.columns[condition.fact])
        case FormulaTest():
            return columns.holding(columns.truth(condition.expression, table))
    parts = (mask(part, table) for part in condition.parts)
    if condition.operator == "not":
        return ~next(parts)
    if condition.operator == "any":
        either: BoolArray = np.logical_or.reduce(list(parts))
        return either
    result = np.ones(len(table), dtype=bool)
    for part in parts:
        result &= part
    return result


def _test_mask(check: FactTest, column: Column) -> BoolArray:
    missing = np.zeros(len(column.values), dtype=bool) if column.missing is None else column.missing
    if check.operator in ("present", "missing"):
        return missing.copy() if check.operator == "missing" else ~missing
    kind = CATALOGUE[check.fact].kind
    several = check.value if isinstance(check.value, tuple) else (check.value,)
    negated = check.operator in ("!=", "not in")
    if kind is Kind.CATEGORY:
        found = columns.category_mask(column, {text.casefold() for text in several})
    elif check.operator in _ORDER:
        found = _ordered(column, check.operator, _scaled(kind, check.value, column.scale))
    else:
        bounds = [_scaled(kind, one, column.scale) for one in several]
        whole = [low for low, high in bounds if low == high and abs(low) < 2**63]
        found = np.isin(column.values, np.array(whole, dtype=np.int64)) if len(whole) > 1 else (
            column.values == whole[0] if whole else np.zeros(len(column.values), dtype=bool)
        )  # fmt: skip
    if negated:
        found = ~found
    return found if column.missing is None else found & ~missing


def _scaled(kind: Kind, value: Any, scale: int) -> tuple[int, int]:
    """The value in the column's integers, rounded down and up (equal when the column can hold it)."""
    if kind is Kind.DATE:
        days = (value - _EPOCH).days
        return days, days
    if kind is Kind.BOOL:
        return int(value), int(value)
    numerator, denominator = Decimal(value).as_integer_ratio()
    numerator *= 10**scale
    return numerator // denominator, -(-numerator // denominator)


def _ordered(column: Column, operator: str, threshold: tuple[int, int]) -> BoolArray:
    """Exact: x >= 2.5 is x >= 3 for integers, x > 2.5 is x > 2."""
    low, high = threshold
    bound = high if operator in (">=", "<") else low
    if not -(2**63) <= bound < 2**63:  # beyond every value of the column
        return np.full(len(column.values), (bound > 0) == (operator in ("<", "<=")))
    values = column.values
    result: BoolArray = {">=": values >= bound, ">": values > bound, "<=": values <= bound, "<": values < bound}[operator]
    return result


# for one player


@dataclass(frozen=True)
class Finding:
    """What one condition says about one player; groups carry an empty fact."""

    path: str
    fact: str
    operator: str
    expected: Any
    actual: Any
    verdict: bool
    note: str
    depth: int


def explain(condition: Condition, values: dict[str, Any], depth: int = 0) -> tuple[bool, list[Finding]]:
    """The verdict, and a finding for each condition in reading order. `values`: fact -> Decimal, str, bool, date or None."""
    path = WHERE + path_text(condition.path)
    match condition:
        case FactTest():
            actual = values[condition.fact]
            verdict = _test_value(condition, actual)
            note = ""
            if actual is None and condition.operator not in ("present", "missing"):
                note = f"the player has no {condition.fact}, so the comparison does not hold"
            finding = Finding(path, condition.fact, condition.operator, condition.value, actual, verdict, note, depth)
            return verdict, [finding]
        case FormulaTest():
            inputs = {name: values[name] for name in sorted(fact_names(condition.expression))}
            try:
                verdict, note = scalar.truth(condition.expression, values), ""
            except scalar.NoValue as reason:
                verdict, note = False, f"{reason}, so the comparison does not hold"
            return verdict, [Finding(path, "", "formula", condition.text, inputs, verdict, note, depth)]
    return _explain_group(condition, values, depth, path)


def _explain_group(group: Group, values: dict[str, Any], depth: int, path: str) -> tuple[bool, list[Finding]]:
    titled = group.operator != "all" or (len(group.parts) > 1 and depth > 0)
    inner_depth = depth + 1 if titled or depth == 0 else depth
    verdicts: list[bool] = []
    findings: list[Finding] = []
    for part in group.parts:
        verdict, below = explain(part, values, inner_depth)
        verdicts.append(verdict)
        findings.extend(below)
    if group.operator == "not":
        holds = not verdicts[0]
    else:
        holds = any(verdicts) if group.operator == "any" else all(verdicts)
    if titled:
        words = {"all": "all of", "any": "at least one of", "not": "not"}[group.operator]
        findings.insert(0, Finding(path, "", words, None, None, holds, "", depth))
    return holds, findings


def _test_value(check: FactTest, actual: Any) -> bool:
    if check.operator == "present":
        return actual is not None
    if check.operator == "missing":
        return actual is None
    if actual is None:
        return False
    several = check.value if isinstance(check.value, tuple) else (check.value,)
    if check.operator in _ORDER:
        return scalar.compare(check.operator, actual, check.value)
    if isinstance(actual, str):
        found = actual.casefold() in {text.casefold() for text in several}
    else:
        found = actual in several
    return found != (check.operator in ("!=", "not in"))
