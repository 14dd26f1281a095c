"""How much of a stake counts: contribution tables by game, provider, category and date."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal

SIX_PLACES = Decimal("0.000001")
FULL = Decimal(1)
NOTHING = Decimal(0)

# the narrowest scope first
SCOPES = ("game", "provider", "category", "default")


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a table: `method` is fixed, edge or excluded; valid in `valid_from <= placed_at < valid_to`."""

    rule_id: int
    scope: str
    key: str
    method: str
    weight: Decimal
    valid_from: datetime
    valid_to: datetime | None = None

    def holds_at(self, at: datetime) -> bool:
        return self.valid_from <= at and (self.valid_to is None or at < self.valid_to)

    def __str__(self) -> str:
        return "everything else" if self.scope == "default" else f"{self.scope} {self.key}"


@dataclass(frozen=True, slots=True)
class Weight:
    """What a stake is multiplied by, and the line that says so."""

    weight: Decimal
    excluded: bool
    rule: str


IN_FULL = Weight(FULL, False, "no table: every game counts in full")


class Table:
    """The lines of one contribution table. Keys are compared without regard to case."""

    def __init__(self, table_id: int, edge_reference: Decimal, rules: Iterable[Rule]) -> None:
        self.table_id = table_id
        self.edge_reference = edge_reference
        self._by_key: dict[tuple[str, str], list[Rule]] = {}
        for rule in rules:
            self._by_key.setdefault((rule.scope, rule.key.casefold()), []).append(rule)
        for lines in self._by_key.values():
            lines.sort(key=lambda line: line.valid_from, reverse=True)

    def weigh(self, game_code: str, provider: str, category: str, house_edge: Decimal | None, placed_at: datetime) -> Weight:
        """The weight of a bet placed at `placed_at`. `house_edge` of the game is a share, None when unknown.

        The narrowest scope that has a valid line decides; of two valid lines of one key, the one that began later. Without any line
        the stake counts in full.
        """
        keys = {"game": game_code, "provider": provider, "category": category, "default": ""}
        for scope in SCOPES:
            key = keys[scope].casefold()
            if not key and scope != "default":
                continue
            for line in self._by_key.get((scope, key), ()):
                if line.holds_at(placed_at):
                    return self._weight(line, house_edge)
        return Weight(FULL, False, "no line of the table: counts in full")

    def _weight(self, line: Rule, house_edge: Decimal | None) -> Weight:
        if line.method == "excluded":
            return Weight(NOTHING, True, f"{line}: does not count")
        if line.method == "edge" and house_edge is not None:
            by_edge = max(NOTHING, min(FULL, house_edge / self.edge_reference)).quantize(SIX_PLACES, ROUND_HALF_EVEN)
            return Weight(by_edge, False, f"{line}: by house edge {house_edge.normalize():f} of {self.edge_reference.normalize():f}")
        unknown = ", edge unknown" if line.method == "edge" else ""
        return Weight(line.weight, False, f"{line}: weight {line.weight.normalize():f}{unknown}")

    def lines_at(self, at: datetime) -> list[Rule]:
        """The lines that hold at `at`, narrowest scope first."""
        valid = [line for lines in self._by_key.values() for line in lines if line.holds_at(at)]
        return sorted(valid, key=lambda line: (SCOPES.index(line.scope), line.key.casefold()))


def smallest(table: Table, at: datetime) -> Decimal:
    """The smallest weight above zero that a bet may have at `at`: what the effective multiple is reckoned with.

    A line by house edge stands with its weight for unknown edges, as the edges of future games are not known.
    """
    weights = [line.weight for line in table.lines_at(at) if line.method != "excluded" and line.weight > 0]
    return min(weights, default=FULL)
