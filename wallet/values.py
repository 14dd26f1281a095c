"""Small values that go in and out of the wallet."""

from dataclasses import dataclass, field
from decimal import Decimal

from loyalty_site.common.money import MoneyError, from_minor, to_minor

from .errors import InvalidPosting
from .models import MONEY_UNITS, Unit

# far above any real amount, far below what a bigint sum could overflow on
MAX_AMOUNT_MINOR = 10**15

PLATFORM_SOURCE = "platform"  # grants of the operator's own bonus engine, which pays them out itself
GRANT_SOURCE = "wallet.grant"  # postings that the wallet itself causes when it closes a grant
ADJUSTMENT_SOURCE = "wallet.adjustment"


@dataclass(frozen=True, slots=True)
class Source:
    """The cause of a posting: a permanent unique key. The same source never has a second effect.

    `type` says what kind of thing the cause is, `ref` is its id in its own system, `sub` tells several postings of one cause apart.
    """

    type: str
    ref: str
    sub: str = ""

    def __post_init__(self) -> None:
        for name, value, longest in (("type", self.type, 40), ("ref", self.ref, 128), ("sub", self.sub, 64)):
            if not isinstance(value, str):
                raise InvalidPosting(f"source {name} must be a text, not {type(value).__name__}")
            if len(value) > longest:
                raise InvalidPosting(f"source {name} has {len(value)} characters; at most {longest} are allowed")
            if not value and name != "sub":
                raise InvalidPosting(f"source {name} is empty; every posting needs a cause")

    def __str__(self) -> str:
        return ":".join(part for part in (self.type, self.ref, self.sub) if part)


@dataclass(frozen=True, slots=True)
class Balance:
    """What a player owns of one unit; `owed`: paid first by the next credits; `pending`: in lots that wait, no part of the amount."""

    unit: str
    currency: str
    amount: Decimal
    earned_total: Decimal
    owed: Decimal
    pending: Decimal


@dataclass(frozen=True, slots=True)
class PostResult:
    """Outcome of a bulk credit. `by_unit` holds the posted amounts: "LP", "RP", "TICKET", and "BONUS EUR" per currency. `waiting` lines
    of points became pending lots, which are posted when their time comes."""

    posted: int
    duplicates: int
    by_unit: dict[str, Decimal] = field(default_factory=dict)
    waiting: int = 0


def money_unit(unit: str, currency: str) -> str:
    """The code whose exponent an account's amounts have: the currency of money, else the point unit."""
    return currency if unit in MONEY_UNITS else unit


def account_label(unit: str, currency: str) -> str:
    return f"{unit} {currency}" if currency else unit


def check_account_kind(unit: str, currency: str) -> None:
    """Raise InvalidPosting unless (unit, currency) names a kind of account."""
    if unit not in Unit.values:
        raise InvalidPosting(f"unit {unit!r} is unknown; use one of {', '.join(Unit.values)}")
    if unit == Unit.BONUS:
        if len(currency) != 3 or not (currency.isascii() and currency.isalpha() and currency.isupper()):
            raise InvalidPosting(f"bonus money needs an ISO 4217 currency such as EUR, not {currency!r}")
    elif currency:
        raise InvalidPosting(f"{unit} has no currency; leave it empty instead of {currency!r}")


def positive_minor(amount: Decimal, unit: str, currency: str) -> int:
    """`amount` in minor units. Raises InvalidPosting unless it is exact, positive and below 10^15 minor units."""
    minor = exact_minor(amount, unit, currency)
    if minor <= 0:
        raise InvalidPosting(f"amount must be positive, not {amount} {account_label(unit, currency)}")
    return minor


def exact_minor(amount: Decimal, unit: str, currency: str) -> int:
    """`amount` (of either sign) in minor units. Raises InvalidPosting when the unit cannot express it."""
    check_account_kind(unit, currency)
    try:
        minor = to_minor(amount, money_unit(unit, currency))
    except MoneyError as error:
        raise InvalidPosting(str(error)) from error
    if abs(minor) > MAX_AMOUNT_MINOR:
        raise InvalidPosting(f"amount {amount} {account_label(unit, currency)} is larger than any posting may be")
    return minor


def shown(minor: int, unit: str, currency: str) -> str:
    """Minor units as a text with its unit, for messages."""
    return f"{from_minor(minor, money_unit(unit, currency))} {account_label(unit, currency)}"
