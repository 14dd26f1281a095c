"""The terms of a grant, frozen at activation."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

# what the terms that name a rule may say
CHOICES: dict[str, tuple[str, ...]] = {
    "kind": ("money", "free_spins"),
    "base": ("bonus", "bonus_deposit", "spin_winnings"),
    "count_mode": ("bonus_funds_only", "all_funds"),
    "fund_order": ("real_first", "bonus_first", "proportional"),
    "winnings": ("bonus", "locked"),
    "over_max_bet": ("ignore", "cap", "penalty", "flag"),
}


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
        """As stored with the grant; `from_json` reads it back to an equal value. Decimals are texts, as JSON numbers are not exact."""
        return {one.name: _stored(getattr(self, one.name)) for one in fields(self)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Terms":
        """Terms as stored with a grant. A key that is not there has the default: it was not a term yet when the grant was made.

        Raises ValueError for unknown keys and for values that a term cannot have: terms that cannot be read must not be guessed.
        """
        if not isinstance(stored, Mapping):
            raise ValueError(f"terms must be an object of keys and values, not {type(stored).__name__}")
        if unknown := sorted(set(stored) - _KINDS.keys()):
            raise ValueError(f"terms have unknown keys: {', '.join(unknown)}; known are {', '.join(_KINDS)}")
        return cls(**{name: _read(name, value) for name, value in stored.items()})


def _stored(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    return list(value) if isinstance(value, tuple) else value


def _read(name: str, value: Any) -> Any:
    kind, optional = _KINDS[name]
    if value is None and optional:
        return None
    if kind is Decimal and isinstance(value, str):
        return _decimal(name, value)
    if kind is tuple and isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return tuple(value)
    if kind is str and isinstance(value, str):
        return _choice(name, value)
    if kind in (int, bool) and type(value) is kind:
        return value
    raise ValueError(f"term {name} cannot be {value!r}")


def _decimal(name: str, value: str) -> Decimal:
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise ValueError(f"term {name} must be a number, not {value!r}") from None
    if not number.is_finite():
        raise ValueError(f"term {name} must be a finite number, not {value!r}")
    return number


def _choice(name: str, value: str) -> str:
    known = CHOICES.get(name)
    if known is not None and value not in known:
        raise ValueError(f"term {name} cannot be {value!r}; use one of {', '.join(known)}")
    return value


def _kind(hint: Any) -> tuple[type, bool]:
    """The class of a field's values and whether it may be None: `int | None` is (int, True), `tuple[str, ...]` is (tuple, False)."""
    if isinstance(hint, UnionType):
        (given,) = (one for one in get_args(hint) if one is not NoneType)
        return given, True
    return get_origin(hint) or hint, False


_KINDS = {name: _kind(hint) for name, hint in get_type_hints(Terms).items()}
