"""The column back end: one pass over all players, and still exact.

A number column is a rational: an integer numerator and denominator per row, or one denominator for all. Numerators are int64 as
long as a bound on their size proves that nothing can overflow; beyond that the same code runs on Python integers (object arrays).
So the results equal `rewards.rules.scalar` for every input, which a property test checks.

Every row also has a status: OK, or why it has no value. The first reason in reading order wins, and a branch that a row does not
take never gives it one, as in the scalar back end.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm
from typing import Any

import numpy as np
import numpy.typing as npt

from .formula import (
    Arithmetic,
    Call,
    CategoryTest,
    Choice,
    Comparison,
    Expression,
    Fact,
    Logic,
    Negation,
    Negative,
    Number,
)
from .scalar import DIVISION_BY_ZERO, MISSING_FACT
from .table import BoolArray, Column, FactTable

OK, ZERO_DIVISION, MISSING = 0, 1, 2
REASONS = {ZERO_DIVISION: DIVISION_BY_ZERO, MISSING: MISSING_FACT}

_LIMIT = 2**62
Integers = npt.NDArray[Any]  # int64, or object holding Python integers
Status = npt.NDArray[np.int8] | None  # None: every row has a value


@dataclass(frozen=True)
class Rational:
    """numerator/denominator per row; the denominator is positive and an int when it is the same for all rows.
    `top` and `bottom` bound the sizes of both."""

    numerator: Integers
    denominator: Integers | int
    top: int
    bottom: int
    status: Status = None


@dataclass(frozen=True)
class Truth:
    holds: BoolArray
    status: Status = None


def number(node: Expression, table: FactTable) -> Rational:
    """The number expression for every row of the table."""
    match node:
        case Number():
            value = node.value
            numerator = _filled(len(table), value.numerator)
            return Rational(numerator, value.denominator, abs(value.numerator), value.denominator)
        case Fact():
            return _fact(table.columns[node.name])
        case Negative():
            inner = number(node.operand, table)
            return Rational(-inner.numerator, inner.denominator, inner.top, inner.bottom, inner.status)
        case Arithmetic():
            left, right = number(node.left, table), number(node.right, table)
            operation = {"+": _add, "-": _subtract, "*": _multiply, "/": _divide}[node.operator]
            return operation(left, right)
        case Call():
            return _call(node, [number(one, table) for one in node.arguments])
        case Choice():
            condition = truth(node.test, table)
            return _choose(condition, number(node.then, table), number(node.otherwise, table))
    raise TypeError(f"{type(node).__name__} is not a number")


def truth(node: Expression, table: FactTable) -> Truth:
    """The test expression for every row of the table; rows with a status do not hold."""
    match node:
        case Fact():
            column = table.columns[node.name]
            return Truth(column.values != 0, _missing_status(column))
        case CategoryTest():
            column = table.columns[node.name]
            return Truth(category_mask(column, {node.text.casefold()}) != node.negated, _missing_status(column))
        case Comparison():
            left, right = number(node.left, table), number(node.right, table)
            return _compare(node.operator, left, right)
        case Logic():
            return _logic(node, table)
        case Negation():
            inner = truth(node.operand, table)
            return Truth(~inner.holds, inner.status)
        case Choice():
            condition, then, otherwise = truth(node.test, table), truth(node.then, table), truth(node.otherwise, table)
            holds = np.where(condition.holds, then.holds, otherwise.holds)
            return Truth(holds, _branch_status(condition, then.status, otherwise.status))
    raise TypeError(f"{type(node).__name__} is not a test")


def holding(truth: Truth) -> BoolArray:
    """Rows where the test has a value and it is true."""
    return truth.holds if truth.status is None else truth.holds & (truth.status == OK)


def category_mask(column: Column, folded_names: set[str]) -> BoolArray:
    """Rows whose category is one of the (case-folded) names; rows without a value are False."""
    wanted = np.array([name.casefold() in folded_names for name in column.categories] or [False])
    codes = column.values
    if column.missing is not None:
        mask: BoolArray = wanted[np.where(column.missing, 0, codes)] & ~column.missing
        return mask
    return wanted[codes] if len(codes) else np.zeros(0, dtype=bool)


def round_to_minor(amount: Rational, places: npt.NDArray[np.int8], mode: str) -> Integers:
    """Amounts above zero in minor units with the row's decimal places (rows with a status or below zero have no meaning)."""
    highest = 10 ** int(places.max(initial=0))
    scale: Integers | int
    if places.size and (places == places[0]).all():
        scale = 10 ** int(places[0])
    else:
        scale = 10 ** places.astype(np.int64)
    factor = 2 if mode != "DOWN" else 1
    wide = amount.top * highest * factor + amount.bottom >= _LIMIT or amount.bottom * 2 >= _LIMIT
    numerator, denominator = _widen(wide, amount.numerator), _widen(wide, amount.denominator)
    numerator = numerator * scale
    if mode == "HALF_UP":
        half_up: Integers = (2 * numerator + denominator) // (2 * denominator)
        return half_up
    whole: Integers = numerator // denominator
    if mode == "HALF_EVEN":
        twice_rest = 2 * (numerator - whole * denominator)
        up = (twice_rest > denominator) | ((twice_rest == denominator) & (whole % 2 == 1))
        whole = whole + np.where(up.astype(bool), 1, 0)
    return whole


def _filled(rows: int, value: int) -> Integers:
    return np.full(rows, value, dtype=np.int64 if abs(value) < _LIMIT else object)


def _widen(wide: bool, values: Any) -> Any:
    return values.astype(object) if wide and isinstance(values, np.ndarray) and values.dtype != object else values


def _bound(values: Integers) -> int:
    if not len(values):
        return 0
    return max(abs(int(values.max())), abs(int(values.min())))


def _fact(column: Column) -> Rational:
    values = column.values
    if column.missing is not None:
        values = np.where(column.missing, 0, values)
    top = _bound(values)
    return Rational(_widen(top >= _LIMIT, values), 10**column.scale, top, 10**column.scale, _missing_status(column))


def _missing_status(column: Column) -> Status:
    if column.missing is None or not column.missing.any():
        return None
    return np.where(column.missing, np.int8(MISSING), np.int8(OK))


def _first_status(left: Status, right: Status) -> Status:
    if left is None or right is None:
        return right if left is None else left
    return np.where(left != OK, left, right)


def _aligned(left: Rational, right: Rational) -> tuple[Integers, Integers, Integers | int, int, int]:
    """Both numerators over one denominator: (left, right, denominator, bound of the numerators, bound of the denominator)."""
    if isinstance(left.denominator, int) and isinstance(right.denominator, int):
        common = lcm(left.denominator, right.denominator)
        by_left: Any = common // left.denominator
        by_right: Any = common // right.denominator
        denominator: Any = common
        bottom = common
        top = max(left.top * by_left, right.top * by_right)
        wide = top >= _LIMIT or common >= _LIMIT
    else:
        bottom = left.bottom * right.bottom
        top = max(left.top * right.bottom, right.top * left.bottom)
        wide = top >= _LIMIT or bottom >= _LIMIT
        by_left, by_right = _widen(wide, right.denominator), _widen(wide, left.denominator)
        denominator = by_left * by_right
    return _widen(wide, left.numerator) * by_left, _widen(wide, right.numerator) * by_right, denominator, top, bottom


def _add(left: Rational, right: Rational, sign: int = 1) -> Rational:
    first, second, denominator, top, bottom = _aligned(left, right)
    wide = 2 * top >= _LIMIT
    first, second = _widen(wide, first), _widen(wide, second)
    numerator = first + second if sign > 0 else first - second
    return Rational(numerator, denominator, 2 * top, bottom, _first_status(left.status, right.status))


def _subtract(left: Rational, right: Rational) -> Rational:
    return _add(left, right, -1)


def _multiply(left: Rational, right: Rational) -> Rational:
    return _product(
        (left.numerator, left.top), (right.numerator, right.top), (left.denominator, left.bottom), (right.denominator, right.bottom),
        _first_status(left.status, right.status),
    )  # fmt: skip


def _divide(left: Rational, right: Rational) -> Rational:
    zero = np.asarray(right.numerator == 0, dtype=bool)
    status = _first_status(left.status, right.status)
    if zero.any():
        status = _first_status(status, np.where(zero, np.int8(ZERO_DIVISION), np.int8(OK)))
    divisor = np.where(zero, 1, right.numerator)
    sign = np.where(divisor < 0, -1, 1)
    return _product(
        (left.numerator * sign, left.top), (right.denominator, right.bottom),
        (left.denominator, left.bottom), (divisor * sign, max(right.top, 1)), status,
    )  # fmt: skip


_Sized = tuple[Any, int]  # integers (array or one for all rows) and the bound of their size


def _product(top_left: _Sized, top_right: _Sized, bottom_left: _Sized, bottom_right: _Sized, status: Status) -> Rational:
    """(a * b) / (c * d), after cancelling what the one-for-all factors have in common."""
    tops, bottoms = [top_left, top_right], [bottom_left, bottom_right]
    for i, (upper, _) in enumerate(tops):
        for j, (lower, _) in enumerate(bottoms):
            if isinstance(upper, int) and isinstance(lower, int):
                shared = gcd(upper, lower)
                upper, lower = upper // shared, lower // shared
                tops[i], bottoms[j] = (upper, abs(upper)), (lower, lower)
    top = max(tops[0][1], 1) * max(tops[1][1], 1)
    bottom = bottoms[0][1] * bottoms[1][1]
    wide = top >= _LIMIT or bottom >= _LIMIT
    numerator = _widen(wide, tops[0][0]) * _widen(wide, tops[1][0])
    denominator = _widen(wide, bottoms[0][0]) * _widen(wide, bottoms[1][0])
    return Rational(numerator, denominator, top, bottom, status)


def _compare(operator: str, left: Rational, right: Rational) -> Truth:
    first, second, _, _, _ = _aligned(left, right)
    compared: Any = {
        "==": np.equal, "!=": np.not_equal, "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal,
    }[operator](first, second)  # fmt: skip
    return Truth(np.asarray(compared, dtype=bool), _first_status(left.status, right.status))


def _logic(node: Logic, table: FactTable) -> Truth:
    """and/or from left to right: once a row is decided, later operands neither change it nor give it a status."""
    decided_by = node.operator == "or"
    holds: BoolArray | None = None
    status: Status = None
    for operand in node.operands:
        part = truth(operand, table)
        if holds is None:
            holds, status = part.holds, part.status
            continue
        still_open = holds != decided_by
        if status is not None:
            still_open = still_open & (status == OK)
        if part.status is not None:
            added = np.where(still_open, part.status, np.int8(OK))
            status = _first_status(status, added)
        holds = np.where(still_open, part.holds, holds)
    assert holds is not None  # the parser gives at least two operands
    return Truth(holds, status)


def _branch_status(condition: Truth, then: Status, otherwise: Status) -> Status:
    if then is None and otherwise is None:
        return condition.status
    none = np.int8(OK)
    taken = np.where(condition.holds, none if then is None else then, none if otherwise is None else otherwise)
    return _first_status(condition.status, taken)


def _choose(condition: Truth, then: Rational, otherwise: Rational) -> Rational:
    first, second, denominator, top, bottom = _aligned(then, otherwise)
    numerator = np.where(condition.holds, first, second)
    return Rational(numerator, denominator, top, bottom, _branch_status(condition, then.status, otherwise.status))


def _call(node: Call, arguments: list[Rational]) -> Rational:
    if node.function == "abs":
        one = arguments[0]
        return Rational(abs(one.numerator), one.denominator, one.top, one.bottom, one.status)
    if node.function == "round":
        return _round(arguments[0], node.places)
    result = arguments[0]
    for one in arguments[1:]:
        first, second, denominator, top, bottom = _aligned(result, one)
        chosen = np.minimum(first, second) if node.function == "min" else np.maximum(first, second)
        result = Rational(chosen, denominator, top, bottom, _first_status(result.status, one.status))
    return result


def _round(value: Rational, places: int) -> Rational:
    """Halves away from zero."""
    scale = 10**places
    wide = 2 * value.top * scale + value.bottom >= _LIMIT or 2 * value.bottom >= _LIMIT
    numerator, denominator = _widen(wide, value.numerator), _widen(wide, value.denominator)
    size = (2 * abs(numerator) * scale + denominator) // (2 * denominator)
    signed = np.where(numerator < 0, -size, size)
    return Rational(signed, scale, value.top * scale + 1, scale, value.status)


def to_fraction(value: Rational, row: int) -> Fraction:
    """The value of one row; for tests and traces."""
    denominator = value.denominator if isinstance(value.denominator, int) else int(value.denominator[row])
    return Fraction(int(value.numerator[row]), denominator)
