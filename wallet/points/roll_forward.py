"""The roll-forward of points: what the players held, what came and went, what they hold, from the entries by house code.

It closes by construction, because every entry falls in exactly one line; the tests hold its ends against the accounts and the lots.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connection

from loyalty_site.common.clock import require_utc
from loyalty_site.common.money import from_minor
from wallet.errors import InvalidPosting
from wallet.models import EARNING_HOUSES, House

from .liability import UNITS

# the lines in the order of the report
LINES = {
    "earned": "Earned",
    "reversed": "Earnings taken back",
    "bought": "Bought with points",
    "spent": "Spent",
    "returned": "Spending taken back",
    "expired": "Expired",
    "reinstated": "Expired points given back",
    "adjusted": "Adjusted by staff",
    "debt": "Lent, less paid back",
    "kept": "Forfeited or kept by the house",
}

_SUMS = """
SELECT e.occurred_at < %(since)s AS before, e.house, e.reversal_of_id IS NOT NULL AS is_reversal, e.amount > 0 AS is_credit,
    sum(e.amount), count(*)
FROM wallet_entry e JOIN wallet_account a ON a.id = e.account_id
WHERE a.unit = %(unit)s AND e.occurred_at < %(until)s
GROUP BY 1, 2, 3, 4
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One cause of change: signed sum in units, and how many entries it is of."""

    code: str
    label: str
    amount: Decimal
    entries: int


@dataclass(frozen=True, slots=True)
class RollForward:
    """opening + all lines = closing, exactly. Opening: entries before `since`; closing: entries before `until`."""

    unit: str
    since: datetime
    until: datetime
    opening: Decimal
    lines: tuple[Line, ...]
    closing: Decimal


def line_of(house: str, is_reversal: bool, is_credit: bool) -> str:
    """The line into which an entry of points falls."""
    if house in EARNING_HOUSES:
        return "reversed" if is_reversal else "earned"
    if house == House.REDEMPTION:
        # what was bought and its cancelling are one line; what was spent and its return are two
        return ("returned" if is_credit else "bought") if is_reversal else ("bought" if is_credit else "spent")
    named = {House.EXPIRY: "expired", House.REINSTATED: "reinstated", House.MANUAL: "adjusted", House.DEBT: "debt"}
    return named.get(House(house), "kept")


def roll_forward(unit: str, since: datetime, until: datetime) -> RollForward:
    """What happened to LP, RP or TICKET with `since <= occurred_at < until`. Raises InvalidPosting for another unit or an empty time."""
    since, until = require_utc(since, "since"), require_utc(until, "until")
    if unit not in UNITS:
        raise InvalidPosting(f"unit {unit!r} has no points; use one of {', '.join(UNITS)}")
    if until <= since:
        raise InvalidPosting("until must lie after since")
    opening, closing = 0, 0
    sums, counts = dict.fromkeys(LINES, 0), dict.fromkeys(LINES, 0)
    with connection.cursor() as cursor:
        cursor.execute(_SUMS, {"unit": unit, "since": since, "until": until})
        for before, house, is_reversal, is_credit, amount, count in cursor.fetchall():
            closing += int(amount)
            if before:
                opening += int(amount)
                continue
            line = line_of(house, is_reversal, is_credit)
            sums[line] += int(amount)
            counts[line] += int(count)
    return RollForward(
        unit=unit,
        since=since,
        until=until,
        opening=from_minor(opening, unit),
        lines=tuple(Line(code, label, from_minor(sums[code], unit), counts[code]) for code, label in LINES.items()),
        closing=from_minor(closing, unit),
    )
