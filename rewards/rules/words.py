"""Conditions and rewards in plain words, for lists and for people who do not read JSON."""

from typing import Any

from .conditions import Condition, FactTest, FormulaTest, Group
from .facts import CATALOGUE, Kind, Unit
from .reward import TYPE_WORDS, RewardSpec

_COMPARE = {
    "==": "is", "!=": "is not", ">=": "at least", "<=": "at most", ">": "above", "<": "below",
    "in": "is one of", "not in": "is none of",
}  # fmt: skip
_UNIT_SUFFIX = {Unit.DAYS: " days", Unit.HOURS: " hours", Unit.MINUTES: " minutes", Unit.POINTS: " points", Unit.YEARS: " years"}


def fact_words(name: str) -> str:
    """`net_loss_7d` as `net loss of 7 days`."""
    words = name.split("_")
    if words[-1].endswith("d") and words[-1][:-1].isdigit():
        days = int(words[-1][:-1])
        return " ".join(words[:-1]) + (" of the last day" if days == 1 else f" of {days} days")
    if words[-1] == "on":
        return "day of " + {"registered": "registration"}.get(words[0], " ".join(words[:-1]))
    return " ".join(words)


def value_words(fact: str, value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(value_words(fact, one) for one in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    spec = CATALOGUE[fact]
    if spec.kind is Kind.NUMBER:
        return f"{value:,f}" + _UNIT_SUFFIX.get(spec.unit, "")
    return str(value)


def condition_words(condition: Condition) -> str:
    """One line: `segment is LOSING and net loss at least 100 and (tier is Gold or sessions at least 3)`."""
    match condition:
        case FactTest(operator="present" | "missing"):
            return f"{fact_words(condition.fact)} {'is known' if condition.operator == 'present' else 'is not known'}"
        case FactTest() if CATALOGUE[condition.fact].kind is Kind.BOOL:
            yes = bool(condition.value) == (condition.operator == "==")
            return f"{'' if yes else 'not '}{fact_words(condition.fact)}"
        case FactTest():
            return f"{fact_words(condition.fact)} {_COMPARE[condition.operator]} {value_words(condition.fact, condition.value)}"
        case FormulaTest():
            return condition.text.strip()
    return _group_words(condition)


def _group_words(group: Group) -> str:
    if not group.parts:
        return "every player"
    if group.operator == "not":
        return f"not ({condition_words(group.parts[0])})"
    joiner = " or " if group.operator == "any" else " and "
    parts = []
    for part in group.parts:
        text = condition_words(part)
        several = isinstance(part, Group) and part.operator != "not" and _size(part) > 1
        parts.append(f"({text})" if several and len(group.parts) > 1 else text)
    return joiner.join(parts)


def _size(group: Group) -> int:
    while len(group.parts) == 1 and isinstance(group.parts[0], Group) and group.parts[0].operator != "not":
        group = group.parts[0]
    return len(group.parts)


def reward_words(reward: RewardSpec) -> str:
    """`net_loss_7d * 0.10 as bonus money, at most 500, wagered 10 times, for 48 hours`."""
    parts = [f"{' '.join(reward.formula.split())} as {TYPE_WORDS[reward.type]}"]
    if reward.max_amount is not None:
        parts.append(f"at most {reward.max_amount:,f}")
    if reward.min_amount is not None:
        parts.append(f"nothing below {reward.min_amount:,f}")
    if reward.bonus_template:
        parts.append(f"under the terms of the bonus template {reward.bonus_template}")
    elif reward.unit == "BONUS":
        if reward.wagering_requirement:
            parts.append(f"wagered {reward.wagering_requirement.normalize():f} times")
        parts.append(f"for {reward.expiry_hours} hours")
        if reward.max_bet is not None:
            parts.append(f"bets up to {reward.max_bet:,f}")
        if reward.eligible_games:
            parts.append("on " + ", ".join(reward.eligible_games))
    if reward.currency:
        parts.append(f"{reward.currency} players only")
    return ", ".join(parts)
