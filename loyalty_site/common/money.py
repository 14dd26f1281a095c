"""Money and points: Decimal at the edges, integer minor units in the ledger.

The exponent of a currency is the number of decimal places of its minor unit (ISO 4217). Conversions are exact:
an amount with more places than its currency has is refused, unless the caller names a rounding mode.
"""

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

# ISO 4217 currencies (and point units) whose minor unit is not a hundredth.
OTHER_EXPONENTS = {
    "BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0, "PYG": 0,
    "RWF": 0, "UGX": 0, "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
    "BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3,
    "TICKET": 0,
}  # fmt: skip

ROUNDING_MODES = {"DOWN": ROUND_DOWN, "HALF_UP": ROUND_HALF_UP, "HALF_EVEN": ROUND_HALF_EVEN}


class MoneyError(ValueError):
    """An amount that its currency cannot express."""


def exponent(unit: str) -> int:
    """Decimal places of `unit`: an ISO currency code, or a point unit (LP, RP: 2; TICKET: 0)."""
    return OTHER_EXPONENTS.get(unit.upper(), 2)


def to_minor(amount: Decimal, unit: str, rounding: str | None = None) -> int:
    """`amount` in integer minor units of `unit`.

    Without `rounding` the amount must be exact; with one of ROUNDING_MODES it is rounded first.
    Raises MoneyError for floats, non-finite amounts and amounts finer than the minor unit.
    """
    if not isinstance(amount, (Decimal, int)) or isinstance(amount, bool):
        raise MoneyError(f"amount must be a Decimal, not {type(amount).__name__}")
    amount = Decimal(amount)
    if not amount.is_finite():
        raise MoneyError(f"amount {amount} is not a finite number")
    scaled = amount.scaleb(exponent(unit))
    if rounding is not None:
        return int(scaled.quantize(Decimal(1), rounding=ROUNDING_MODES[rounding]))
    if scaled != scaled.to_integral_value():
        raise MoneyError(f"{amount} {unit} has more than {exponent(unit)} decimal places")
    return int(scaled)


def from_minor(minor: int, unit: str) -> Decimal:
    """Integer minor units of `unit` as a Decimal with the currency's places."""
    places = exponent(unit)
    return Decimal(minor).scaleb(-places).quantize(Decimal(1).scaleb(-places))
