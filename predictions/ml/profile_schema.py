"""A described customer of a bank: which fields there are, what they may hold, and the features made of them.

The same `features` serves the simulated bank that the model learns from and a single described customer, so they cannot disagree.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

PRODUCTS = ("Savings", "Checking", "Credit Card", "Loan", "Mortgage", "Investment")
STATUSES = ("Active", "Dormant", "Closed")
TYPES = ("Deposit", "Withdrawal", "Purchase", "Payment", "Transfer", "Fee")
WAYS = ("Online", "Mobile", "Branch", "ATM")
REGIONS = ("North", "South", "East", "West", "Central")
CHANNELS = ("Online", "Branch", "Referral", "Mobile", "Partner")
_SAME = {
    "personal loan": "Loan",
    "current": "Checking",
    "current account": "Checking",
    "checking account": "Checking",
    "savings account": "Savings",
    "creditcard": "Credit Card",
    "investments": "Investment",
    "inactive": "Dormant",
    "mobile app": "Mobile",
    "app": "Mobile",
    "web": "Online",
}

CLOCKS_APART = timedelta(days=1)  # what was sent by a clock ahead of ours
DAYS_IN_MONTH = 30.4375
WINDOW_DAYS = 365
_NUMBERS = {"age": (18, 110), "income": (0, 1e12), "credit_score": (300, 850), "tenure_months": (0, 1200)}
_FIELDS = (*_NUMBERS, "region", "acquisition_channel", "products", "transactions", "customer_id", "as_of")
_PRODUCT_FIELDS = ("product_type", "start_date", "balance", "status")
_TRANSACTION_FIELDS = ("transaction_date", "transaction_type", "amount", "channel")

# name: (what staff read, unit)
LABELS = {
    "age": ("age", "years"),
    "income": ("income a year", "money"),
    "credit_score": ("credit score", "points"),
    "tenure_months": ("months as a customer", "months"),
    "region": ("region", ""),
    "acquisition_channel": ("came by", ""),
    "active_products": ("products in use", "products"),
    "closed_products": ("products closed or dormant", "products"),
    "deposits_balance": ("balance of savings and checking", "money"),
    "credit_balance": ("balance of cards and loans", "money"),
    "mortgage_balance": ("balance of mortgages", "money"),
    "investment_balance": ("balance of investments", "money"),
    "oldest_product_months": ("months since the first product", "months"),
    "transactions_365d": ("transactions in 12 months", "transactions"),
    "transactions_90d": ("transactions in 90 days", "transactions"),
    "paid_in_365d": ("paid in within 12 months", "money"),
    "purchases_365d": ("purchases within 12 months", "money"),
    "paid_out_365d": ("paid out within 12 months", "money"),
    "days_since_last_transaction": ("days since the last transaction", "days"),
    "digital_share": ("share of transactions online or by phone", "share"),
}
FEATURES = tuple(LABELS)
CATEGORIES = {"region": REGIONS, "acquisition_channel": CHANNELS}


class InvalidProfile(ValueError):
    """The described customer contradicts the schema. `errors`: one message for each field, as in {"products[0].balance": "..."}."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{field}: {message}" for field, message in errors.items()))
        self.errors = dict(errors)


@dataclass(frozen=True)
class People:
    """Customers as columns. Codes are places in the tuples above; NaN is unknown. `whose`: the customer a product or transaction is of."""

    facts: np.ndarray  # (customers, 6): the first six features
    product_whose: np.ndarray
    product_type: np.ndarray
    product_months: np.ndarray  # held
    product_balance: np.ndarray
    product_active: np.ndarray
    whose: np.ndarray
    days_ago: np.ndarray  # before the instant of scoring; where `dated` is False, before the customer's last transaction
    type: np.ndarray
    amount: np.ndarray
    digital: np.ndarray
    knows_products: np.ndarray  # (customers,) False: not told, which is not the same as none
    knows_transactions: np.ndarray
    dated: np.ndarray  # (customers,) False: the instant of scoring is not known


def features(people: People) -> np.ndarray:
    """Shape (customers, FEATURES), float64; NaN is unknown."""
    n = len(people.facts)
    owner, kind, active = people.product_whose, people.product_type, people.product_active

    def products(chosen: np.ndarray, values: np.ndarray | None = None) -> np.ndarray:
        return _sum(n, owner[chosen], None if values is None else values[chosen])

    def balance(*types: str) -> np.ndarray:
        return products(active & np.isin(kind, [PRODUCTS.index(one) for one in types]), people.product_balance)

    oldest = np.full(n, np.nan)
    np.fmax.at(oldest, owner, people.product_months)
    held = np.column_stack(
        [
            products(active),
            products(~active),
            balance("Savings", "Checking"),
            balance("Credit Card", "Loan"),
            balance("Mortgage"),
            balance("Investment"),
            oldest,
        ]
    )
    held[~people.knows_products] = np.nan
    return np.column_stack([people.facts, held, _activity(people)])


def _activity(people: People) -> np.ndarray:
    n = len(people.facts)
    recent = people.days_ago < WINDOW_DAYS
    whose, kind, amount, days = people.whose[recent], people.type[recent], people.amount[recent], people.days_ago[recent]

    def paid(*types: str) -> np.ndarray:
        chosen = np.isin(kind, [TYPES.index(one) for one in types])
        return _sum(n, whose[chosen], amount[chosen])

    count = _sum(n, whose)
    last = np.full(n, np.nan)
    np.fmin.at(last, people.whose, people.days_ago)  # of all there are, older ones too
    last[~people.dated] = np.nan
    digital = np.divide(_sum(n, whose, people.digital[recent].astype(float)), count, out=np.full(n, np.nan), where=count > 0)
    columns = [
        count,
        _sum(n, whose[days < 90]),
        paid("Deposit"),
        paid("Purchase"),
        paid("Withdrawal", "Payment", "Transfer"),
        last,
        digital,
    ]
    found = np.column_stack(columns)
    found[~people.knows_transactions] = np.nan
    return found


def _sum(n: int, whose: np.ndarray, values: np.ndarray | None = None) -> np.ndarray:
    return np.bincount(whose, values, minlength=n).astype(np.float64)


def read(profile: Mapping[str, Any], as_of: datetime | None = None, *, now: datetime | None = None) -> People:
    """One described customer, checked. Raises InvalidProfile with all that is wrong.

    age and tenure_months are needed; everything else may be missing or None, which means unknown ([] means none). Dates are ISO texts,
    dates or datetimes (without a zone: UTC). `as_of` (or the field of that name) is the instant of scoring; without it activity is counted
    back from the last date given, and how long ago that was is unknown. With `now` no date lies more than CLOCKS_APART after it.
    """
    if not isinstance(profile, Mapping):
        raise InvalidProfile({"profile": "must be an object with fields."})
    check = Checker(now)
    check.known(profile, _FIELDS, "")
    numbers = [check.number(profile, name, "", low, high, name in ("age", "tenure_months")) for name, (low, high) in _NUMBERS.items()]
    if numbers[3] > numbers[0] * 12:
        check.errors["tenure_months"] = "is longer than the age."
    codes = [check.choice(profile, name, "", options) for name, options in CATEGORIES.items()]
    told = as_of if as_of is not None else check.moment(profile, "as_of", "", needed=False)
    products = [
        (
            check.choice(one, "product_type", at, PRODUCTS, needed=True),
            check.moment(one, "start_date", at, latest=told),
            check.number(one, "balance", at, 0, 1e12, True),
            check.choice(one, "status", at, STATUSES, needed=True),
        )
        for at, one in check.rows(profile, "products", _PRODUCT_FIELDS)
    ]
    transactions = [
        (
            check.moment(one, "transaction_date", at, latest=told),
            check.choice(one, "transaction_type", at, TYPES, needed=True),
            check.number(one, "amount", at, 0, 1e12, True),
            check.choice(one, "channel", at, WAYS, needed=True),
        )
        for at, one in check.rows(profile, "transactions", _TRANSACTION_FIELDS)
    ]
    if check.errors:
        raise InvalidProfile(check.errors)
    instant = _utc(told) if told is not None else None
    return _columns([*numbers, *codes], products, transactions, instant, profile)


def _columns(
    facts: Sequence[float],
    products: Sequence[tuple[Any, ...]],
    transactions: Sequence[tuple[Any, ...]],
    as_of: datetime | None,
    given: Mapping[str, Any],
) -> People:
    ends = [moment for moment, *_ in transactions] or [start for _, start, *_ in products]
    end = as_of if as_of is not None else max(ends, default=None)

    def days(moments: Sequence[datetime]) -> np.ndarray:
        # a product opened after the last transaction is new, not of the future
        return np.array([max((end - moment).total_seconds() / 86_400, 0.0) for moment in moments if end is not None])

    return People(
        facts=np.array([facts], dtype=np.float64),
        product_whose=np.zeros(len(products), dtype=np.int64),
        product_type=np.array([one[0] for one in products], dtype=np.int64),
        product_months=days([one[1] for one in products]) / DAYS_IN_MONTH,
        product_balance=np.array([one[2] for one in products], dtype=np.float64),
        product_active=np.array([one[3] == STATUSES.index("Active") for one in products], dtype=bool),
        whose=np.zeros(len(transactions), dtype=np.int64),
        days_ago=days([one[0] for one in transactions]),
        type=np.array([one[1] for one in transactions], dtype=np.int64),
        amount=np.array([one[2] for one in transactions], dtype=np.float64),
        digital=np.array([one[3] in (WAYS.index("Online"), WAYS.index("Mobile")) for one in transactions], dtype=bool),
        knows_products=np.array([given.get("products") is not None]),
        knows_transactions=np.array([given.get("transactions") is not None]),
        dated=np.array([as_of is not None]),
    )


class Checker:
    """Reads fields and gathers everything that is wrong under the field's name; what is wrong reads as unknown meanwhile.

    `now`: moments more than CLOCKS_APART after it have not come and are refused; None: no moment is too late.
    """

    def __init__(self, now: datetime | None = None) -> None:
        self.errors: dict[str, str] = {}
        self._now = now

    def known(self, row: Mapping[str, Any], fields: Sequence[str], at: str) -> None:
        for name in row:
            if name not in fields:
                self.errors[f"{at}{name}"] = f"is not known; fields are {', '.join(fields)}."

    def rows(self, profile: Mapping[str, Any], name: str, fields: Sequence[str]) -> list[tuple[str, Mapping[str, Any]]]:
        rows = profile.get(name)
        if rows is None:
            return []
        if not isinstance(rows, Sequence) or isinstance(rows, str):
            self.errors[name] = "must be a list."
            return []
        found = []
        for place, row in enumerate(rows):
            if isinstance(row, Mapping):
                self.known(row, fields, f"{name}[{place}].")
                found.append((f"{name}[{place}].", row))
            else:
                self.errors[f"{name}[{place}]"] = "must be an object with fields."
        return found

    def number(self, row: Mapping[str, Any], name: str, at: str, low: float, high: float, needed: bool = False) -> float:
        value = row.get(name)
        if value is None:
            return self._missing(at + name, needed)
        if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
            self.errors[at + name] = "must be a number."
        elif not (math.isfinite(value) and low <= value <= high):
            self.errors[at + name] = f"must be between {low:,.0f} and {high:,.0f}."
        else:
            return float(value)
        return math.nan

    def choice(self, row: Mapping[str, Any], name: str, at: str, options: Sequence[str], needed: bool = False) -> float:
        value = row.get(name)
        if value is None or value == "":
            return self._missing(at + name, needed)
        if isinstance(value, str):
            text = " ".join(value.replace("_", " ").split())
            text = _SAME.get(text.casefold(), text.title())
            if text in options or (text := text.upper()) in options:  # "ATM"
                return float(options.index(text))
        self.errors[at + name] = f"must be one of {', '.join(options)}."
        return math.nan

    def moment(self, row: Mapping[str, Any], name: str, at: str, needed: bool = True, latest: datetime | None = None) -> datetime | None:
        value = row.get(name)
        if value is None:
            self._missing(at + name, needed)
            return None
        try:
            found = _utc(datetime.fromisoformat(value) if isinstance(value, str) else value)
        except (ValueError, TypeError, OverflowError):
            self.errors[at + name] = "must be a date, such as 2026-01-31T10:00:00."
            return None
        if self._now is not None and found - _utc(self._now) > CLOCKS_APART:
            self.errors[at + name] = "lies in the future."
        elif latest is not None and found > _utc(latest):
            self.errors[at + name] = "lies after the instant of scoring."
        return found

    def _missing(self, field: str, needed: bool) -> float:
        if needed:
            self.errors[field] = "is needed."
        return math.nan


def _utc(value: date | datetime) -> datetime:
    if not isinstance(value, date):
        raise TypeError("not a date")
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
