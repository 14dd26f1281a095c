"""Looks at a whole rule before it is saved: errors that stop it, and warnings about what would cost money or never happen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

from . import jsontext
from .conditions import Condition, FactTest, FormulaTest, Group
from .engine import CompiledRule, compile_rule
from .facts import CATALOGUE, FactSpec, Horizon, Kind
from .formula import Arithmetic, Call, Choice, Comparison, Expression, Fact, Number, children
from .problems import Path, Problem, RuleError, Severity, line_and_column, nearest
from .units import unit_problems

PERIOD_DAYS = {"DAY": 1, "WEEK": 7, "MONTH": 30}


@dataclass(frozen=True)
class RuleDraft:
    """A rule as somebody typed it. conditions, reward_config: JSON text or the value itself.

    known_values: values that exist in the operator's data, by fact name (tiers, currencies) and for "eligible_games"; a value outside
    them is a warning. Nothing given: not checked.
    """

    conditions: Any
    reward_config: Any
    period: str = "DAY"
    cooldown_hours: int = 0
    player_budget: Decimal | None = None
    total_budget: Decimal | None = None
    known_values: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Review:
    """The findings about a draft, errors first, and the compiled rule when there is no error."""

    problems: tuple[Problem, ...]
    rule: CompiledRule | None
    conditions: Any
    reward_config: Any

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.severity is Severity.ERROR]

    @property
    def warnings(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.severity is Severity.WARNING]


def review(draft: RuleDraft) -> Review:
    """Every error and warning of the draft, with line and column where there is a text to point into."""
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    texts: dict[str, tuple[str, dict[Path, int]]] = {}
    for part in ("conditions", "reward_config"):
        source = getattr(draft, part)
        if isinstance(source, str):
            try:
                values[part], positions = jsontext.parse(source, part)
                texts[part] = (source, positions)
            except RuleError as error:
                problems.extend(error.problems)
        else:
            values[part] = source
    if problems:
        return Review(tuple(problems), None, None, None)
    conditions, reward_config = values["conditions"], values["reward_config"]
    rule: CompiledRule | None = None
    try:
        rule = compile_rule(conditions, dict(reward_config) if isinstance(reward_config, dict) else reward_config)
    except RuleError as error:
        problems.extend(error.problems)
    if rule is not None:
        problems.extend(_warnings(rule, draft))
    placed = [jsontext.locate(problem, *texts[problem.where]) if problem.where in texts else problem for problem in problems]
    placed.sort(key=lambda problem: problem.severity is Severity.WARNING)
    return Review(tuple(placed), rule, conditions, reward_config)


def _warnings(rule: CompiledRule, draft: RuleDraft) -> Iterator[Problem]:
    yield from _never(rule.conditions)
    yield from _loose_conditions(rule)
    yield from _unknown_values(rule, draft.known_values)
    for part in _formula_tests(rule.conditions):
        for problem in unit_problems(part.expression, part.text):
            yield problem.at(where="conditions", path=part.path)
    yield from unit_problems(rule.amount, rule.reward.formula)
    yield from _amount_warnings(rule)
    yield from _repeats(rule, draft)
    yield from _reward_warnings(rule, draft)


def _warn(code: str, message: str, remedy: str, where: str, path: Path = (), **position: int) -> Problem:
    return Problem(code, message, remedy, where, path, severity=Severity.WARNING, **position)


# conditions


def _never(group: Condition) -> Iterator[Problem]:
    """Conditions that no player can fulfil together."""
    if not isinstance(group, Group):
        return
    if group.operator == "all":
        yield from _contradictions(_flattened(group))
    for part in group.parts:
        if isinstance(part, Group) and part.operator != "all":
            yield from _never_inside(part)


def _never_inside(group: Group) -> Iterator[Problem]:
    for part in group.parts:
        yield from _never(part)


def _flattened(group: Group) -> list[FactTest]:
    tests: list[FactTest] = []
    for part in group.parts:
        if isinstance(part, FactTest):
            tests.append(part)
        elif isinstance(part, Group) and part.operator == "all":
            tests.extend(_flattened(part))
    return tests


def _contradictions(tests: list[FactTest]) -> Iterator[Problem]:
    by_fact: dict[str, list[FactTest]] = {}
    for one in tests:
        by_fact.setdefault(one.fact, []).append(one)
    for name, group in by_fact.items():
        spec = CATALOGUE[name]
        path = group[-1].path
        operators = {one.operator for one in group}
        if "missing" in operators and len(operators) > 1:
            yield _never_warning(f"{name} cannot be missing and have a value.", path)
        elif spec.kind is Kind.CATEGORY:
            allowed = [{text.casefold() for text in _several(one)} for one in group if one.operator in ("==", "in")]
            denied = set().union(*({text.casefold() for text in _several(one)} for one in group if one.operator in ("!=", "not in")))
            if allowed and not set.intersection(*allowed) - denied:
                yield _never_warning(f"No player's {name} can be all of these at once.", path)
        elif spec.kind in (Kind.NUMBER, Kind.DATE):
            yield from _empty_range(spec, group)


def _empty_range(spec: FactSpec, group: list[FactTest]) -> Iterator[Problem]:
    lowest = max(((one.value, one.operator == ">") for one in group if one.operator in (">", ">=")), default=None)
    highest = min(((one.value, one.operator != "<") for one in group if one.operator in ("<", "<=")), default=None)
    path = group[-1].path
    if lowest and highest and (lowest[0] > highest[0] or (lowest[0] == highest[0] and (lowest[1] or not highest[1]))):
        yield _never_warning(f"{spec.name} cannot be at least {lowest[0]} and at most {highest[0]}: the least is above the most.", path)
    elif spec.kind is Kind.NUMBER and spec.never_negative and highest and (highest[0] < 0 or (highest[0] == 0 and not highest[1])):
        yield _never_warning(f"{spec.name} is never below 0.", path)
    points = [set(_several(one)) for one in group if one.operator in ("==", "in")]
    if len(points) > 1 and not set.intersection(*points):
        yield _never_warning(f"{spec.name} cannot have two values at once.", path)


def _never_warning(message: str, path: Path) -> Problem:
    return _warn("never_true", f"{message} No player can match.", "Change or remove one of the conditions.", "conditions", path)


def _several(check: FactTest) -> tuple[Any, ...]:
    return check.value if isinstance(check.value, tuple) else (check.value,)


def _tests(condition: Condition) -> Iterator[FactTest]:
    if isinstance(condition, FactTest):
        yield condition
    elif isinstance(condition, Group):
        for part in condition.parts:
            yield from _tests(part)


def _formula_tests(condition: Condition) -> Iterator[FormulaTest]:
    if isinstance(condition, FormulaTest):
        yield condition
    elif isinstance(condition, Group):
        for part in condition.parts:
            yield from _formula_tests(part)


def _loose_conditions(rule: CompiledRule) -> Iterator[Problem]:
    if not any(one.path for one in _tests(rule.conditions)) and not any(_formula_tests(rule.conditions)):
        yield _warn("no_conditions", "There are no conditions: every player matches.", "Add one, for example a segment.", "conditions")
    for one in _tests(rule.conditions):
        spec = CATALOGUE[one.fact]
        if spec.never_negative and spec.kind is Kind.NUMBER and one.operator == ">=" and one.value <= 0 and not spec.nullable:
            yield _warn("always_true", f"{one.fact} is never below 0, so this always holds.", "Remove it.", "conditions", one.path)
    yield from _missing_under_not(rule.conditions, inside=False)


def _missing_under_not(condition: Condition, *, inside: bool) -> Iterator[Problem]:
    if isinstance(condition, FactTest):
        if inside and CATALOGUE[condition.fact].nullable and condition.operator not in ("present", "missing"):
            yield _warn(
                "missing_under_not",
                f"Players without any {condition.fact} match too, because the comparison inside `not` does not hold for them.",
                f'If they should not: add {{"fact": "{condition.fact}", "op": "present"}} beside the `not`.',
                "conditions",
                condition.path,
            )
    elif isinstance(condition, Group):
        for part in condition.parts:
            yield from _missing_under_not(part, inside=inside != (condition.operator == "not"))


def _unknown_values(rule: CompiledRule, known: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    for one in _tests(rule.conditions):
        if CATALOGUE[one.fact].kind is not Kind.CATEGORY or one.fact not in known or not one.path:
            continue
        folded = {value.casefold() for value in known[one.fact]}
        for text in _several(one):
            if text is not None and text.casefold() not in folded:
                guess = nearest(text, known[one.fact])
                remedy = f"Did you mean {guess}?" if guess else "Check the spelling."
                yield _warn("unknown_value", f"No player has the {one.fact} {text} at present.", remedy, "conditions", one.path)
    currency, currencies = rule.reward.currency, known.get("currency")
    if currency and currencies and currency not in currencies:
        remedy = f"Players have {', '.join(sorted(currencies)[:6])}."
        yield _warn("unknown_value", f"No player has the currency {currency} at present.", remedy, "reward_config", ("currency",))
    if games := known.get("eligible_games"):
        folded = {value.casefold() for value in games}
        for position, game in enumerate(rule.reward.eligible_games):
            if game.casefold() not in folded:
                guess = nearest(game, games)
                remedy = f"Did you mean {guess}?" if guess else "Check the game list."
                message = f"{game} is neither a category nor the code of a known game."
                yield _warn("unknown_value", message, remedy, "reward_config", ("eligible_games", position))


# amounts


def upper_bound(node: Expression) -> Fraction | None:
    """A number that the expression never exceeds, if its form shows one."""
    match node:
        case Number():
            return node.value
        case Call(function="min"):
            bounds = [bound for one in node.arguments if (bound := upper_bound(one)) is not None]
            return min(bounds) if bounds else None
        case Call(function="max"):
            tops = [upper_bound(one) for one in node.arguments]
            return None if None in tops else max(top for top in tops if top is not None)
        case Choice():
            then, otherwise = upper_bound(node.then), upper_bound(node.otherwise)
            return None if then is None or otherwise is None else max(then, otherwise)
        case Arithmetic(operator="+"):
            left, right = upper_bound(node.left), upper_bound(node.right)
            return None if left is None or right is None else left + right
        case Arithmetic(operator="*"):
            for one, other in ((node.left, node.right), (node.right, node.left)):
                if isinstance(one, Number) and one.value >= 0 and (bound := upper_bound(other)) is not None:
                    return one.value * bound
    return None


def _amount_warnings(rule: CompiledRule) -> Iterator[Problem]:
    top = upper_bound(rule.amount)
    if rule.reward.max_amount is None and top is None:
        yield _warn(
            "unbounded", "Nothing limits the amount of one reward.", 'Add "max_amount", for example 500.', "reward_config", ("max_amount",)
        )
    if top is not None and top <= 0:
        yield _warn("never_positive", "The formula never gives more than zero.", "Check the signs.", "formula", line=1, column=1)
    if top is not None and rule.reward.min_amount is not None and top < rule.reward.min_amount:
        message = "The formula never reaches min_amount: nothing is ever given."
        yield _warn("never_positive", message, "Lower min_amount.", "reward_config", ("min_amount",))


def _paying_facts(node: Expression) -> list[Fact]:
    """Facts whose size goes into the amount; those that only choose between branches do not count."""
    match node:
        case Fact():
            return [node]
        case Choice():
            return _paying_facts(node.then) + _paying_facts(node.otherwise)
        case Comparison():
            return []
        case Arithmetic(operator="/"):
            return _paying_facts(node.left)
    return [fact for child in children(node) for fact in _paying_facts(child)]


def _repeats(rule: CompiledRule, draft: RuleDraft) -> Iterator[Problem]:
    """Would a second reward of the same rule pay again for what the first one paid for?"""
    if draft.period == "ONCE":
        return
    for fact in {one.name: one for one in _paying_facts(rule.amount)}.values():
        spec = CATALOGUE[fact.name]
        line, column = line_and_column(rule.reward.formula, fact.at)
        if spec.horizon is Horizon.LIFETIME:
            options = [name for name in CATALOGUE if name.startswith(fact.name.removeprefix("total_") + "_") and name.endswith("d")]
            remedy = f"Use {' or '.join(options)}, or the period ONCE." if options else "Use a fact of the last days, or the period ONCE."
            what = "loss" if "loss" in fact.name else "activity"
            message = f"{fact.name} counts since registration: each repetition pays again for the same {what}."
            yield _warn("lifetime_repeats", message, remedy, "formula", line=line, column=column)
        elif spec.window_days is not None:
            aligned = spec.window_days == 1 and draft.period in PERIOD_DAYS
            needed = spec.window_days * 24
            if not aligned and draft.cooldown_hours < needed:
                message = (
                    f"{fact.name} looks back {spec.window_days} days, but two rewards can be closer together than that: "
                    "days both see are paid twice."
                )
                yield _warn("window_overlaps", message, f"Set the cooldown to {needed} hours or more.", "formula", line=line, column=column)


def _reward_warnings(rule: CompiledRule, draft: RuleDraft) -> Iterator[Problem]:
    reward = rule.reward
    raw = draft.reward_config if isinstance(draft.reward_config, dict) else {}
    if reward.unit != "BONUS":
        for key in ("wagering_requirement", "expiry_hours", "max_bet", "eligible_games"):
            if getattr(reward, key) or raw.get(key):
                yield _warn(
                    "not_for_type", f"{key} has no effect on {reward.type}.", "Remove it, or give BONUS_BALANCE.", "reward_config", (key,)
                )
        return
    if reward.wagering_requirement == 0 and not reward.bonus_template:
        yield _warn(
            "no_wagering", "The bonus need not be wagered at all.", 'Add "wagering_requirement" if that is not meant.', "reward_config",
            ("wagering_requirement",),
        )  # fmt: skip
    several = len(draft.known_values.get("currency", ("?", "?"))) > 1
    if several and not reward.currency and (reward.max_amount is not None or draft.total_budget or draft.player_budget):
        what = "max_amount" if reward.max_amount is not None else "The budget"
        yield _warn(
            "many_currencies",
            f"{what} is the same number in every currency: 500 JPY as well as 500 EUR.",
            'Add "currency" and make one rule a currency, unless all players have one.',
            "reward_config",
            ("currency",),
        )
