"""Contribution tables: read for the engine, checked when staff change them.

What a past bet counted must stay explainable, and a late settlement must weigh a bet by the rule of its placement. So a rule whose
validity has begun is never changed or taken away; it may only be given an end that is still to come.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from players.models import Game
from wallet.bonus import weights
from wallet.bonus.weights import Rule, Table, Weight
from wallet.errors import InvalidPosting
from wallet.models import ContributionRule, ContributionTable

_FROZEN = ("scope", "key", "method", "weight", "valid_from")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one line: its position in the list that was checked, the field, and the remedy."""

    position: int
    field: str
    text: str


def table_of(table: ContributionTable) -> Table:
    """A table with its rules of all times, as the engine weighs with it."""
    rules = ContributionRule.objects.filter(table=table).order_by("id")
    return Table(table.pk, Decimal(table.edge_reference), [as_rule(rule) for rule in rules])


def as_rule(rule: ContributionRule) -> Rule:
    return Rule(rule.pk, rule.scope, rule.key, rule.method, rule.weight, rule.valid_from, rule.valid_to)


def weigh_game(table: ContributionTable, *, game_code: str, provider: str, category: str, at: datetime) -> tuple[Weight, Game | None]:
    """What a bet placed at `at` would count, and the game when the catalogue knows its code.

    Of a known game the catalogue's provider, category and edge are used where nothing else is given.
    """
    game = Game.objects.filter(code__iexact=game_code).first() if game_code else None
    provider = provider or (game.provider if game else "")
    category = category or (game.category if game else "")
    return table_of(table).weigh(game_code, provider, category, game.house_edge if game else None, at), game


def smallest_weight(table: Table | None, at: datetime) -> Decimal:
    """The smallest share above zero at which a bet may count at `at`: of the table's lines, and of the known games where a line goes
    by house edge (its games count less than any weight that stands in it). 1 without a table."""
    if table is None:
        return Decimal(1)
    found = weights.smallest(table, at)
    if any(line.method == "edge" for line in table.lines_at(at)):
        games = Game.objects.filter(house_edge__gt=0).values_list("code", "provider", "category", "house_edge")
        by_game = (table.weigh(code, provider, category, edge, at).weight for code, provider, category, edge in games)
        found = min([found, *(one for one in by_game if one > 0)])
    return found


def check_edge_reference(table: ContributionTable, before: Decimal, at: datetime) -> None:
    """Raise InvalidPosting when the reference edge would change under rules by house edge that have begun."""
    begun = ContributionRule.objects.filter(table=table, method=ContributionRule.Method.EDGE, valid_from__lte=at).exists()
    if begun and table.edge_reference != before:
        raise InvalidPosting(
            f"rules of {table.name!r} weigh by house edge since before now, with the reference {before.normalize():f}; another reference "
            "would change what past bets counted. Make a new table for it"
        )


def check_rules(after: Sequence[ContributionRule], before: Iterable[ContributionRule], at: datetime) -> list[Fault]:
    """Faults of the rules that a table is to have, against those it has in the database. `at` is now; ends are half-open.

    `after` holds every rule that is to stay, new ones without a number. A new rule begins at `at` or later.
    """
    stored = {rule.pk: rule for rule in before}
    faults: list[Fault] = []
    for position, rule in enumerate(after):
        faults += _own_faults(position, rule)
        old = stored.pop(rule.pk, None) if rule.pk else None
        if old is None:
            if rule.valid_from < at:
                text = f"a new rule begins now or later, not {rule.valid_from:%Y-%m-%d %H:%M}: past bets keep what they counted"
                faults.append(Fault(position, "valid_from", f"{text}. Leave it empty to begin now"))
        else:
            faults += _changes_of_begun(position, old, rule, at)
    for gone in stored.values():
        if gone.valid_from <= at:
            faults.append(Fault(-1, "", f"the rule for {gone} holds since {gone.valid_from:%Y-%m-%d %H:%M}: end it instead of deleting it"))
    return [*faults, *_overlaps(after)]


def _own_faults(position: int, rule: ContributionRule) -> Iterable[Fault]:
    is_default = rule.scope == ContributionRule.Scope.DEFAULT
    if is_default and rule.key:
        yield Fault(position, "key", "a rule for everything else has no key; leave it empty")
    if not is_default and not rule.key.strip():
        yield Fault(position, "key", f"name the {rule.get_scope_display().lower()} that this rule is for")
    if not 0 <= rule.weight <= 1:
        yield Fault(position, "weight", f"a weight lies between 0 and 1 (1 counts in full); {rule.weight.normalize():f} does not")
    if rule.valid_to is not None and rule.valid_to <= rule.valid_from:
        yield Fault(position, "valid_to", "the end is the first instant at which the rule no longer holds; it must be after the beginning")


def _changes_of_begun(position: int, old: ContributionRule, new: ContributionRule, at: datetime) -> Iterable[Fault]:
    if old.valid_from > at:
        if new.valid_from < at:
            yield Fault(position, "valid_from", "a rule that has not begun cannot be moved into the past")
        return
    for name in _FROZEN:
        if getattr(old, name) != getattr(new, name):
            text = f"holds since {old.valid_from:%Y-%m-%d %H:%M} and never changes: end it, and add the new one from then on"
            yield Fault(position, name, f"the rule for {old} {text}")
            return
    if old.valid_to == new.valid_to:
        return
    if old.valid_to is not None and old.valid_to <= at:
        yield Fault(position, "valid_to", f"the rule for {old} ended at {old.valid_to:%Y-%m-%d %H:%M}; add a new rule instead")
    elif new.valid_to is not None and new.valid_to < at:
        yield Fault(position, "valid_to", "an end in the past would change what bets counted; give an end that is still to come")


def _overlaps(rules: Sequence[ContributionRule]) -> Iterable[Fault]:
    """Two rules of one scope and key that hold at the same time. Keys are compared without regard to case."""
    by_key: dict[tuple[str, str], list[tuple[int, ContributionRule]]] = {}
    for position, rule in enumerate(rules):
        by_key.setdefault((rule.scope, rule.key.strip().casefold()), []).append((position, rule))
    for lines in by_key.values():
        lines.sort(key=lambda line: line[1].valid_from)
        for (_, earlier), (position, later) in zip(lines, lines[1:], strict=False):
            if earlier.valid_to is None or earlier.valid_to > later.valid_from:
                end = "has no end" if earlier.valid_to is None else f"holds until {earlier.valid_to:%Y-%m-%d %H:%M}"
                yield Fault(position, "valid_from", f"overlaps: another rule for {later} {end}; end that one first")
