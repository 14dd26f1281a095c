"""The exact back end for one player: fractions, evaluated the way the formula reads (branches not taken are not evaluated)."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

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

DIVISION_BY_ZERO = "division by zero"
MISSING_FACT = "missing fact"


class NoValue(Exception):
    """The expression has no value for this player; the text says why."""


def number(node: Expression, values: Mapping[str, Any]) -> Fraction:
    """The exact value of a number expression. `values`: fact name -> Decimal, str, bool, date or None. Raises NoValue."""
    match node:
        case Number():
            return node.value
        case Fact():
            value = values[node.name]
            if value is None:
                raise NoValue(MISSING_FACT)
            return Fraction(value)
        case Negative():
            return -number(node.operand, values)
        case Arithmetic():
            left, right = number(node.left, values), number(node.right, values)
            return _arithmetic(node.operator, left, right)
        case Call():
            return _call(node, [number(one, values) for one in node.arguments])
        case Choice():
            return number(node.then if truth(node.test, values) else node.otherwise, values)
    raise TypeError(f"{type(node).__name__} is not a number")


def truth(node: Expression, values: Mapping[str, Any]) -> bool:
    """The truth of a test expression. Raises NoValue."""
    match node:
        case Fact():
            value = values[node.name]
            if value is None:
                raise NoValue(MISSING_FACT)
            return bool(value)
        case CategoryTest():
            value = values[node.name]
            if value is None:
                raise NoValue(MISSING_FACT)
            return bool(value.casefold() == node.text.casefold()) != node.negated
        case Comparison():
            return compare(node.operator, number(node.left, values), number(node.right, values))
        case Logic(operator="and"):
            return all(truth(one, values) for one in node.operands)
        case Logic():
            return any(truth(one, values) for one in node.operands)
        case Negation():
            return not truth(node.operand, values)
        case Choice():
            return truth(node.then if truth(node.test, values) else node.otherwise, values)
    raise TypeError(f"{type(node).__name__} is not a test")


def compare(operator: str, left: Any, right: Any) -> bool:
    match operator:
        case "==":
            return bool(left == right)
        case "!=":
            return bool(left != right)
        case "<":
            return bool(left < right)
        case "<=":
            return bool(left <= right)
        case ">":
            return bool(left > right)
        case ">=":
            return bool(left >= right)
    raise ValueError(operator)


def _arithmetic(operator: str, left: Fraction, right: Fraction) -> Fraction:
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
    if right == 0:
        raise NoValue(DIVISION_BY_ZERO)
    return left / right


def _call(node: Call, arguments: list[Fraction]) -> Fraction:
    match node.function:
        case "min":
            return min(arguments)
        case "max":
            return max(arguments)
        case "abs":
            return abs(arguments[0])
    scale = 10**node.places
    size = abs(arguments[0])
    whole = (2 * size.numerator * scale + size.denominator) // (2 * size.denominator)
    return Fraction(whole if arguments[0] >= 0 else -whole, scale)


def round_to_minor(amount: Fraction, places: int, mode: str) -> int:
    """A positive amount in minor units: DOWN cuts, HALF_UP rounds halves up, HALF_EVEN to the even neighbour."""
    numerator, denominator = amount.numerator * int(10**places), amount.denominator
    if mode == "HALF_UP":
        return (2 * numerator + denominator) // (2 * denominator)
    whole, rest = divmod(numerator, denominator)
    if mode == "HALF_EVEN" and (2 * rest > denominator or (2 * rest == denominator and whole % 2)):
        whole += 1
    return whole
