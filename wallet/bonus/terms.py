"""The terms of a grant, frozen at activation."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True)
class Terms:
    """What was promised, in a form that can be stored with the grant. Money is in minor units of the grant's currency.

    The defaults are those of a bonus without a template: every stake counts in full, cash is staked first, nothing is capped.
    `contribution_table` is the id of the table whose dated rules weigh the bets; None: every game counts in full.
    `requirement` is a fixed amount to wager that takes the place of `multiple` times the base; `wagering_seconds` is the time to meet
    the terms, from activation.
    """

    products: tuple[str, ...] = ("casino",)
    kind: str = "money"
    base: str = "bonus"
    multiple: Decimal = Decimal(0)
    requirement: Decimal | None = None
    count_mode: str = "all_funds"
    contribution_table: int | None = None
    fund_order: str = "real_first"
    winnings: str = "bonus"
    sticky: bool = False
    cash_out_cap: Decimal | None = None
    max_bet: int | None = None
    over_max_bet: str = "ignore"
    penalty_factor: Decimal = Decimal(1)
    coverage_limit: Decimal | None = None
    min_bet: int = 1
    eligible_games: tuple[str, ...] = ()
    spins: int = 0
    spin_value: int = 0
    spin_game: str = ""
    wagering_seconds: int | None = None
    settle_grace_hours: int = 24
    forfeit_on_withdrawal: bool = True

    def as_json(self) -> dict[str, Any]:
        """As stored with the grant; `from_json` reads it back to an equal value."""
        raise NotImplementedError

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Terms":
        """Raises ValueError for unknown keys: terms that cannot be read must not be guessed."""
        raise NotImplementedError
