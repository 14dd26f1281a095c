"""Units of formulas: sums and comparisons of things that cannot be added or compared."""

from collections.abc import Sequence

from .facts import CATALOGUE, UNIT_WORDS, Unit
from .formula import Arithmetic, Call, Choice, Comparison, Expression, Fact, Negative, children, walk
from .problems import Problem, Severity, line_and_column


def unit_problems(node: Expression, text: str) -> list[Problem]:
    """Sums and comparisons of things that cannot be added or compared, such as money and a count."""
    problems: list[Problem] = []

    def warn(code: str, at: int, message: str, remedy: str) -> None:
        line, column = line_and_column(text, at)
        problems.append(Problem(code, message, remedy, "formula", (), line, column, Severity.WARNING))

    def same(parts: Sequence[Expression], verb: str, at: int) -> Unit | None:
        known = [(part, unit) for part in parts if (unit := of(part)) is not None]
        for part, unit in known[1:]:
            if unit is not known[0][1]:
                first, second = UNIT_WORDS[known[0][1]], UNIT_WORDS[unit]
                names = f"{_name(known[0][0])} is {first}, {_name(part)} is {second}"
                warn("units", at, f"This {verb} {first} and {second} ({names}).", "Use facts of one unit, or a rate: sessions * 0.50.")
                return None
        return known[0][1] if known else None

    def of(part: Expression) -> Unit | None:
        """The unit of the part; None: unknown or a bare number, which fits anywhere."""
        match part:
            case Fact():
                unit = CATALOGUE[part.name].unit
                return None if unit is Unit.NONE else unit
            case Negative():
                return of(part.operand)
            case Arithmetic(operator="+" | "-"):
                return same((part.left, part.right), "adds" if part.operator == "+" else "subtracts", part.at)
            case Arithmetic(operator="*"):
                return product(part)
            case Arithmetic():
                left, right = of(part.left), of(part.right)
                if left is right and left is not None:
                    return Unit.RATIO
                return left if right in (None, Unit.RATIO) else None
            case Call(function="min" | "max"):
                return same(part.arguments, "compares", part.at)
            case Call():
                return of(part.arguments[0])
            case Comparison():
                same((part.left, part.right), "compares", part.at)
                return None
            case Choice():
                of(part.test)
                return same((part.then, part.otherwise), "chooses between", part.at)
        for child in children(part):
            of(child)
        return None

    def product(part: Arithmetic) -> Unit | None:
        left, right = of(part.left), of(part.right)
        if left is Unit.MONEY and right is Unit.MONEY:
            warn("units", part.at, "This multiplies money by money.", "Multiply money by a share such as 0.10.")
            return None
        if Unit.MONEY in (left, right):
            return Unit.MONEY if (right if left is Unit.MONEY else left) in (None, Unit.RATIO, Unit.COUNT) else None
        if left in (None, Unit.RATIO):
            return right
        return left if right in (None, Unit.RATIO) else None

    of(node)
    return problems


def _name(node: Expression) -> str:
    names = [one.name for one in walk(node) if isinstance(one, Fact)]
    return names[0] if names else "the number"
