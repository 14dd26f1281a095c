"""A file of reported activity as rows: CSV, read line by line, every value checked. Bad rows are named and the good ones go on.

The header names the columns; required are activity_id, kind, player_id, currency and occurred_at. Amounts are decimals of the currency.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from loyalty_site.common.money import MoneyError, exponent, to_minor
from wallet.bonus.values import Kind
from wallet.models import Product
from wallet.values import MAX_AMOUNT_MINOR

# column of the file -> (column of the stage, longest text)
TEXTS = {
    "source": ("source", 40),
    "activity_id": ("activity_id", 80),
    "round_id": ("round_id", 80),
    "takes_back_id": ("takes_back_id", 80),
    "game": ("game_code", 80),
    "category": ("game_category", 40),
    "provider": ("provider", 80),
    "player_id": ("external_id", 64),
}
AMOUNTS = {
    "amount": "amount",
    "real_amount": "real_part",
    "bonus_amount": "bonus_part",
    "locked_amount": "locked_part",
    "cash_before": "cash_before",
}
FLAGS = {"ends_round": "ends_round", "is_free_round": "is_free_round"}
CHOICES = {
    "kind": ("kind", frozenset(str(kind) for kind in Kind)),
    "product": ("product", frozenset(map(str, Product.values))),
    "takes_back_kind": ("takes_back_kind", frozenset({"", "BET", "WIN"})),
}
HEADER = (*TEXTS, *AMOUNTS, *FLAGS, *CHOICES, "currency", "coverage", "occurred_at")
REQUIRED = ("activity_id", "kind", "player_id", "currency", "occurred_at")
_DEFAULTS: dict[str, Any] = {
    "source": "file", "product": "casino", "amount": 0, "real_part": None, "bonus_part": None, "locked_part": None, "cash_before": None,
    "ends_round": False, "is_free_round": False, "takes_back_id": "", "takes_back_kind": "", "game_code": "", "game_category": "",
    "provider": "", "coverage": None, "round_id": "",
}  # fmt: skip
_TRUE = {"1": True, "true": True, "yes": True, "": False, "0": False, "false": False, "no": False}


class UnreadableFile(ValueError):
    """A file of which no row can be read; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class RowFault:
    """Why a row was not taken."""

    line: int
    field: str
    reason: str
    remedy: str


class _Bad(ValueError):
    def __init__(self, field: str, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.field, self.reason, self.remedy = field, reason, remedy


def read_rows(lines: Iterable[str]) -> Iterator[dict[str, Any] | RowFault]:
    """The rows of a CSV file as values of the stage, or their faults. Raises UnreadableFile for a header that cannot be used."""
    reader = csv.reader(lines)
    try:
        names = [name.strip().lower() for name in next(reader)]
    except StopIteration:
        raise UnreadableFile("the file is empty; the first line must name the columns") from None
    except csv.Error as error:
        raise UnreadableFile(f"the header cannot be read: {error}") from error
    if missing := [name for name in REQUIRED if name not in names]:
        raise UnreadableFile(f"the header lacks {', '.join(missing)}; the columns are {', '.join(HEADER)}")
    if unknown := [name for name in names if name not in HEADER]:
        raise UnreadableFile(f"the header names {', '.join(unknown)}, which is unknown; the columns are {', '.join(HEADER)}")
    if len(set(names)) < len(names):
        raise UnreadableFile("the header names a column twice; name each column once")
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield RowFault(reader.line_num, "", str(error), "Quote cells that hold commas, quotes or line breaks.")
            continue
        if not cells:
            continue
        try:
            if len(cells) != len(names):
                raise _Bad("", f"the row has {len(cells)} cells, the header {len(names)}", "Give every row one cell per column.")
            yield {"line_no": reader.line_num, **_row(dict(zip(names, cells, strict=True)))}
        except _Bad as bad:
            yield RowFault(reader.line_num, bad.field, bad.reason, bad.remedy)


def _row(cells: dict[str, str]) -> dict[str, Any]:
    values = dict(_DEFAULTS)
    currency = cells["currency"].strip()
    if len(currency) != 3 or not (currency.isascii() and currency.isalpha() and currency.isupper()):
        raise _Bad("currency", f"{currency!r} is no currency", "Give its ISO 4217 code, such as EUR.")
    values["currency"] = currency
    for name, cell in cells.items():
        if name in TEXTS:
            _put_text(values, name, cell)
        elif name in AMOUNTS:
            if cell.strip():
                values[AMOUNTS[name]] = _minor(name, cell.strip(), currency)
        elif name in FLAGS:
            flag = _TRUE.get(cell.strip().lower())
            if flag is None:
                raise _Bad(name, f"{cell!r} is neither yes nor no", "Use true or false.")
            values[FLAGS[name]] = flag
        elif name in CHOICES:
            column, known = CHOICES[name]
            choice = cell.strip() or _DEFAULTS.get(column, "")
            if choice not in known:
                raise _Bad(name, f"{cell!r} is unknown", f"Use one of {', '.join(sorted(one for one in known if one))}.")
            values[column] = choice
        elif name == "coverage" and cell.strip():
            values["coverage"] = _share(cell.strip())
    values["occurred_at"] = _instant(cells["occurred_at"].strip())
    for name in ("activity_id", "player_id"):
        if not values[TEXTS[name][0]]:
            raise _Bad(name, "it is empty", "Give a value.")
    values["round_id"] = values["round_id"] or values["takes_back_id"] or values["activity_id"]
    return values


def _put_text(values: dict[str, Any], name: str, cell: str) -> None:
    column, longest = TEXTS[name]
    text = cell.strip()
    if len(text) > longest:
        raise _Bad(name, f"it has {len(text)} characters", f"Shorten it to at most {longest}.")
    if not text.isprintable():
        raise _Bad(name, "it holds control characters", "Remove them.")
    if text or column not in _DEFAULTS:
        values[column] = text


def _minor(name: str, cell: str, currency: str) -> int:
    try:
        minor = to_minor(Decimal(cell), currency)
    except (InvalidOperation, MoneyError):
        raise _Bad(name, f"{cell!r} is no amount of {currency}", f"Send a number with at most {exponent(currency)} decimals.") from None
    if minor < 0 and name != "cash_before":
        raise _Bad(name, f"{cell} is negative", "Report a rollback to take something back.")
    if abs(minor) > MAX_AMOUNT_MINOR:
        raise _Bad(name, f"{cell} is larger than any amount may be", "Correct the amount.")
    return minor


def _share(cell: str) -> Decimal:
    try:
        share = Decimal(cell)
    except InvalidOperation:
        share = Decimal("NaN")
    if not (share.is_finite() and 0 <= share <= 1):
        raise _Bad("coverage", f"{cell!r} is no share", "Give a number from 0 to 1.")
    return share


def _instant(cell: str) -> datetime:
    try:
        moment = datetime.fromisoformat(cell)
    except ValueError:
        raise _Bad("occurred_at", f"{cell!r} is no time", "Use RFC 3339, such as 2026-03-15T12:00:00Z.") from None
    if moment.tzinfo is None:
        raise _Bad("occurred_at", f"{cell!r} has no zone", "Add Z or an offset such as +01:00.")
    return moment.astimezone(UTC)
