"""The formula language: a small, typed part of Python's expression syntax.

Allowed: numbers, facts, + - * /, unary + -, min max round abs, comparisons (also chained), and/or/not, `a if test else b`, and
category facts compared with == or != to a text in quotes. Everything else is refused with its position, before and while parsing.

Numbers keep the exact value that is written. All arithmetic is exact (fractions, never binary floats); an amount is rounded once,
at the end, by the rule's rounding mode. `round(x)` and `round(x, places)` inside a formula round halves away from zero.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import NoReturn

from .facts import ALIASES, CATALOGUE, Kind
from .problems import Problem, RuleError, line_and_column
from .tokens import FUNCTIONS, MAX_DEPTH, check_tokens

MAX_LENGTH = 500
MAX_NODES = 200
MAX_ROUND_PLACES = 6


@dataclass(frozen=True)
class Number:
    value: Fraction
    at: int


@dataclass(frozen=True)
class Fact:
    name: str
    at: int


@dataclass(frozen=True)
class CategoryTest:
    """`fact == "TEXT"`, or != when `negated`. Letter case does not count."""

    name: str
    text: str
    negated: bool
    at: int


@dataclass(frozen=True)
class Negative:
    operand: "Expression"
    at: int


@dataclass(frozen=True)
class Arithmetic:
    operator: str  # + - * /
    left: "Expression"
    right: "Expression"
    at: int  # of the operator's left side


@dataclass(frozen=True)
class Call:
    function: str  # min max abs round
    arguments: tuple["Expression", ...]
    places: int  # of round
    at: int


@dataclass(frozen=True)
class Comparison:
    operator: str  # == != < <= > >=
    left: "Expression"
    right: "Expression"
    at: int


@dataclass(frozen=True)
class Logic:
    operator: str  # and, or
    operands: tuple["Expression", ...]
    at: int


@dataclass(frozen=True)
class Negation:
    operand: "Expression"
    at: int


@dataclass(frozen=True)
class Choice:
    test: "Expression"
    then: "Expression"
    otherwise: "Expression"
    at: int


Expression = Number | Fact | CategoryTest | Negative | Arithmetic | Call | Comparison | Logic | Negation | Choice


def children(node: Expression) -> tuple[Expression, ...]:
    match node:
        case Negative() | Negation():
            return (node.operand,)
        case Arithmetic() | Comparison():
            return (node.left, node.right)
        case Call():
            return node.arguments
        case Logic():
            return node.operands
        case Choice():
            return (node.test, node.then, node.otherwise)
    return ()


def walk(node: Expression) -> Iterator[Expression]:
    yield node
    for child in children(node):
        yield from walk(child)


def fact_names(node: Expression) -> frozenset[str]:
    return frozenset(one.name for one in walk(node) if isinstance(one, (Fact, CategoryTest)))


def parse_amount(text: str, where: str = "formula") -> Expression:
    """The expression of an amount. Raises RuleError with the position of the first error."""
    parser = _Parser(text, where)
    node = parser.parse()
    parser.need_number(node)
    return node


def parse_test(text: str, where: str = "formula") -> Expression:
    """An expression that is true or false. Raises RuleError with the position of the first error."""
    parser = _Parser(text, where)
    node = parser.parse()
    parser.need_test(node)
    return node


class _Parser:
    def __init__(self, text: str, where: str) -> None:
        self.text = text
        self.where = where
        self.nodes = 0

    def fail(self, offset: int, code: str, message: str, remedy: str) -> NoReturn:
        line, column = line_and_column(self.text, offset)
        raise RuleError([Problem(code, message, remedy, self.where, line=line, column=column)])

    # before parsing

    def parse(self) -> Expression:
        if not isinstance(self.text, str):
            raise RuleError([Problem("formula_type", "The formula is not a text.", 'Write it in quotes: "net_loss * 0.10".', self.where)])
        if not self.text.strip():
            self.fail(0, "formula_empty", "The formula is empty.", "Write an amount, for example: net_loss_7d * 0.10.")
        if len(self.text) > MAX_LENGTH:
            self.fail(MAX_LENGTH, "formula_long", f"The formula has {len(self.text)} characters; {MAX_LENGTH} are allowed.", "Shorten it.")
        check_tokens(self.text, self.fail)
        one_line = re.sub(r"[\t\r\n]", " ", self.text)  # same length, so positions stay
        lead = len(one_line) - len(one_line.lstrip())
        try:
            tree = ast.parse(one_line[lead:], mode="eval")
        except SyntaxError as error:
            offset = lead + min(max((error.offset or 1) - 1, 0), len(one_line) - lead)
            self.fail(offset, "formula_syntax", f"The formula cannot be read here ({error.msg}).", "Check operators, commas and brackets.")
        except (RecursionError, MemoryError, ValueError):
            self.fail(0, "formula_deep", "The formula is nested too deeply.", f"Use at most {MAX_DEPTH} levels.")
        self.lead = lead
        self.parsed = one_line[lead:].encode()
        return self.convert(tree.body, 1)

    # while parsing

    def offset(self, node: ast.AST, edge: str = "col_offset") -> int:
        """Where the node begins (or ends) in the text; the parser counts bytes of UTF-8."""
        return self.lead + len(self.parsed[: getattr(node, edge, 0)].decode())

    def convert(self, node: ast.AST, depth: int) -> Expression:
        at = self.offset(node)
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self.fail(at, "formula_nodes", f"The formula has more than {MAX_NODES} parts.", "Split it into several rules.")
        if depth > MAX_DEPTH:
            self.fail(at, "formula_deep", "The formula is nested too deeply.", f"Use at most {MAX_DEPTH} levels.")
        match node:
            case ast.Constant():
                return self.constant(node, at)
            case ast.Name():
                return self.name(node.id, at)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                operand = self.need_number(self.convert(node.operand, depth + 1))
                return Negative(operand, at) if isinstance(node.op, ast.USub) else operand
            case ast.UnaryOp(op=ast.Not()):
                return Negation(self.need_test(self.convert(node.operand, depth + 1)), at)
            case ast.BinOp():
                return self.arithmetic(node, at, depth)
            case ast.BoolOp():
                word = "and" if isinstance(node.op, ast.And) else "or"
                return Logic(word, tuple(self.need_test(self.convert(value, depth + 1)) for value in node.values), at)
            case ast.Compare():
                return self.comparison(node, at, depth)
            case ast.IfExp():
                test = self.need_test(self.convert(node.test, depth + 1))
                then = self.convert(node.body, depth + 1)
                need = self.need_test if is_test(then) else self.need_number
                then, otherwise = need(then), need(self.convert(node.orelse, depth + 1))
                return Choice(test, then, otherwise, at)
            case ast.Call():
                return self.call(node, at, depth)
        self.fail(at, "formula_syntax", "This is not part of the language.", "Use arithmetic, comparisons and if-else over facts.")

    def constant(self, node: ast.Constant, at: int) -> Expression:
        if isinstance(node.value, str):
            self.fail(at, "formula_text", "A text stands here on its own.", 'Compare a category with it: segment == "VIP".')
        source = self.text[at : self.offset(node, "end_col_offset")]
        return Number(Fraction(source), at)

    def name(self, written: str, at: int) -> Expression:
        spec = CATALOGUE[ALIASES.get(written, written)]
        if spec.kind is Kind.DATE:
            self.fail(at, "formula_type", f"{spec.name} is a date; formulas know numbers only.", "Use a days_since_... fact.")
        return Fact(spec.name, at)

    def arithmetic(self, node: ast.BinOp, at: int, depth: int) -> Expression:
        symbols: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
        symbol = symbols.get(type(node.op))
        if symbol is None:
            self.fail(at, "formula_symbol", "This operator is not available.", "Use + - * /.")
        left = self.need_number(self.convert(node.left, depth + 1))
        right = self.need_number(self.convert(node.right, depth + 1))
        if symbol == "/" and isinstance(right, Number) and right.value == 0:
            self.fail(right.at, "formula_zero", "This divides by zero.", "Divide by another number.")
        return Arithmetic(symbol, left, right, at)

    def comparison(self, node: ast.Compare, at: int, depth: int) -> Expression:
        symbols: dict[type[ast.cmpop], str] = {
            ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
        }  # fmt: skip
        sides = [node.left, *node.comparators]
        parts: list[Expression] = []
        for position, operator in enumerate(node.ops):
            symbol = symbols.get(type(operator))
            if symbol is None:
                self.fail(at, "formula_symbol", "This comparison is not available.", "Use == != < <= > >=.")
            parts.append(self.compare_two(sides[position], symbol, sides[position + 1], depth))
        return parts[0] if len(parts) == 1 else Logic("and", tuple(parts), at)

    def compare_two(self, left: ast.expr, symbol: str, right: ast.expr, depth: int) -> Expression:
        at = self.offset(left)
        texts = [side for side in (left, right) if isinstance(side, ast.Constant) and isinstance(side.value, str)]
        if texts:
            other = right if texts[0] is left else left
            text_at = self.offset(texts[0])
            fact_node = self.convert(other, depth + 1) if isinstance(other, ast.Name) else None
            if not isinstance(fact_node, Fact) or CATALOGUE[fact_node.name].kind is not Kind.CATEGORY:
                self.fail(text_at, "formula_text", "A text can only be compared with a category fact.", 'For example: segment == "VIP".')
            if symbol not in ("==", "!="):
                self.fail(at, "formula_text", "Texts have no order here.", "Use == or !=.")
            text = texts[0].value
            return CategoryTest(fact_node.name, str(text), symbol == "!=", at)
        first = self.need_number(self.convert(left, depth + 1))
        second = self.need_number(self.convert(right, depth + 1))
        return Comparison(symbol, first, second, at)

    def call(self, node: ast.Call, at: int, depth: int) -> Expression:
        if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
            self.fail(at, "formula_function", "Only functions of the language can be called.", f"They are {', '.join(FUNCTIONS)}.")
        name = node.func.id
        if node.keywords or any(isinstance(one, ast.Starred) for one in node.args):
            self.fail(at, "formula_function", f"{name} takes plain values only.", f"Write {name}(a, b).")
        counts = {"abs": (1, 1), "round": (1, 2), "min": (2, MAX_NODES), "max": (2, MAX_NODES)}[name]
        if not counts[0] <= len(node.args) <= counts[1]:
            wanted = {"abs": "one value", "round": "a value and, if wanted, decimal places"}.get(name, "two values or more")
            self.fail(at, "formula_function", f"{name} takes {wanted}.", f"Here it has {len(node.args)}.")
        places = 0
        arguments = node.args
        if name == "round" and len(arguments) == 2:
            last = self.convert(arguments[1], depth + 1)
            if not isinstance(last, Number) or last.value.denominator != 1 or last.value > MAX_ROUND_PLACES:
                place = self.offset(arguments[1])
                self.fail(place, "formula_function", "The decimal places of round are a whole number.", f"0 to {MAX_ROUND_PLACES}.")
            places = int(last.value)
            arguments = arguments[:1]
        return Call(name, tuple(self.need_number(self.convert(one, depth + 1)) for one in arguments), places, at)

    def need_number(self, node: Expression) -> Expression:
        if isinstance(node, Fact) and CATALOGUE[node.name].kind is Kind.CATEGORY:
            self.fail(node.at, "formula_type", f"{node.name} is a category, not a number.", f'Compare it: {node.name} == "...".')
        if is_test(node):
            self.fail(node.at, "formula_type", "A number is needed here; this is true or false.", "Write: 1 if test else 0.")
        return node

    def need_test(self, node: Expression) -> Expression:
        if isinstance(node, Fact) and CATALOGUE[node.name].kind is Kind.CATEGORY:
            self.fail(node.at, "formula_type", f"{node.name} is a category, not true or false.", f'Compare it: {node.name} == "...".')
        if not is_test(node):
            self.fail(node.at, "formula_type", "True or false is needed here; this is a number.", "Compare it, for example: ... > 0.")
        return node


def is_test(node: Expression) -> bool:
    """Whether the expression is true/false (and not a number)."""
    if isinstance(node, Fact):
        return CATALOGUE[node.name].kind is Kind.BOOL
    if isinstance(node, Choice):
        return is_test(node.then)
    return isinstance(node, (CategoryTest, Comparison, Logic, Negation))
