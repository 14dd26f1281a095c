"""What the rules of a market say to the terms of a bonus. The rules are data; this module only compares."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

_TWO_PLACES = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class MarketRules:
    """What one market allows on a day. None: no limit. `market` names it in messages."""

    market: str
    bonuses_allowed: bool = True
    max_wagering_multiple: Decimal | None = None
    max_bonus_amount: Decimal | None = None
    min_wagering_hours: int | None = None
    one_product_per_bonus: bool = False


@dataclass(frozen=True, slots=True)
class PromisedTerms:
    """The terms that rules of markets speak about.

    `largest_amount` is the most that one grant can be worth, in the player's currency; None: the terms set no bound.
    `smallest_weight` is the smallest share above zero at which a bet may count.
    """

    products: tuple[str, ...]
    multiple: Decimal
    smallest_weight: Decimal
    largest_amount: Decimal | None
    wagering_hours: int
    acknowledged_multiple: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Objection:
    """Why the terms cannot be saved: the field to change, and what to do about it."""

    field: str
    text: str


def effective_multiple(multiple: Decimal, smallest_weight: Decimal) -> Decimal:
    """How often the base is really turned over by somebody who plays what counts least: multiple / weight, two places."""
    if smallest_weight <= 0:
        raise ValueError(f"the smallest weight is {smallest_weight}; it must be above 0")
    return (multiple / smallest_weight).quantize(_TWO_PLACES, ROUND_HALF_EVEN)


def times(multiple: Decimal) -> str:
    """A multiple as staff read it: "100x", "12.5x"."""
    return f"{multiple.normalize():f}x"


def needs_acknowledgement(terms: PromisedTerms, rules: Iterable[MarketRules]) -> bool:
    """Whether the effective multiple is above what a market allows while the multiple itself is not."""
    effective = effective_multiple(terms.multiple, terms.smallest_weight)
    return any(one.max_wagering_multiple is not None and effective > one.max_wagering_multiple for one in rules)


def objections(terms: PromisedTerms, rules: Iterable[MarketRules]) -> list[Objection]:
    """What the markets object to; empty when the terms may be saved. Every market is heard, in the order given."""
    found: list[Objection] = []
    unacknowledged: list[str] = []
    effective = effective_multiple(terms.multiple, terms.smallest_weight)
    for one in rules:
        found += _hard(terms, one)
        limit = one.max_wagering_multiple
        if limit is not None and terms.multiple <= limit < effective:
            unacknowledged.append(f"{one.market} allows {times(limit)}")
    if unacknowledged and terms.acknowledged_multiple != effective:
        found.append(
            Objection(
                "acknowledged_multiple",
                f"effective {times(effective)}: games that count {(100 * terms.smallest_weight).normalize():f} % of the stake make the "
                f"player wager {times(effective)}, while {', '.join(unacknowledged)}. Enter {effective.normalize():f} here to accept it, "
                "or lower the multiple, raise the weights or exclude the games.",
            )
        )
    return found


def _hard(terms: PromisedTerms, rules: MarketRules) -> Iterable[Objection]:
    if not rules.bonuses_allowed:
        yield Objection("markets", f"{rules.market} allows no bonuses; name the markets in which this one is offered, without it")
        return
    if rules.max_wagering_multiple is not None and terms.multiple > rules.max_wagering_multiple:
        yield Objection(
            "multiple",
            f"{rules.market} allows wagering of at most {times(rules.max_wagering_multiple)}; {times(terms.multiple)} is above it",
        )
    if rules.one_product_per_bonus and len(terms.products) > 1:
        yield Objection("products", f"{rules.market} allows one product per bonus; {' and '.join(terms.products)} need a template each")
    if rules.max_bonus_amount is not None and (terms.largest_amount is None or terms.largest_amount > rules.max_bonus_amount):
        given = "these terms set no bound" if terms.largest_amount is None else f"this one can reach {terms.largest_amount.normalize():f}"
        yield Objection("max_amount", f"{rules.market} allows bonuses of at most {rules.max_bonus_amount.normalize():f}; {given}")
    if rules.min_wagering_hours is not None and terms.wagering_hours < rules.min_wagering_hours:
        yield Objection(
            "wagering_hours",
            f"{rules.market} asks for at least {rules.min_wagering_hours} hours ({rules.min_wagering_hours / 24:g} days) to meet the terms",
        )
