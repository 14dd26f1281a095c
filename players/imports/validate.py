"""Check mapped rows column by column, a chunk at a time. Pure: text in; text that the database reads without loss, and problems, out.

Plain values (the great majority) pass on a compiled pattern without being parsed; each other distinct value is parsed once a chunk.
"""

import ipaddress
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from players.imports.amounts import AmountFormat, parse_count, plain_count
from players.imports.dates import DateFormat, parse_unix
from players.imports.mapping import Column
from players.imports.problems import Problem
from players.imports.readers import MAX_CELL

Parsed = str | None | Problem
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SHORTENED = re.compile(r"\d(\.\d+)?[eE]\+\d{2,3}")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(?:\.[^@\s.]+)+")
_FLAGS = {
    "1": "true", "true": "true", "yes": "true", "y": "true", "t": "true", "on": "true", "opt-in": "true",
    "0": "false", "false": "false", "no": "false", "n": "false", "f": "false", "off": "false", "opt-out": "false",
}  # fmt: skip


@dataclass
class Checked:
    """`rows` are (row number, *values in the order of the validator's fields); `faults` maps a row number to its problems."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    faults: dict[int, list[Problem]] = field(default_factory=dict)


class Validator:
    """Validates rows of one file: resolved columns, the format of amounts and dates, and the instant `at` the import was made."""

    def __init__(self, kind: str, columns: Sequence[Column], width: int, options: dict[str, Any], at: datetime) -> None:
        self.kind = kind
        self.columns = list(columns)
        self.fields = [column.field.name for column in columns]
        self.width = width
        self.amounts = AmountFormat(bool(options.get("decimal_comma")), options.get("decimals"))
        self.dates = DateFormat(options.get("zone") or "UTC", options.get("day_first"), latest=at)
        self.today = at.date().isoformat()
        self.unix = options.get("unix") or ""
        self.decimal_comma = bool(options.get("decimal_comma"))

    def check(self, rows: Iterable[tuple[int, list[str]]]) -> Checked:
        """Validate one chunk of (row number, cells)."""
        checked = Checked()
        numbers: list[int] = []
        cells: list[list[str]] = []
        for number, row in rows:
            if len(row) != self.width and not self._repair(row):
                checked.faults[number] = [_wrong_width(row, self.width)]
                continue
            numbers.append(number)
            cells.append(row)
        if not numbers:
            return checked
        source = list(zip(*cells, strict=True))
        outputs = [self._column(column, source, len(numbers), numbers, checked.faults) for column in self.columns]
        self._cross_checks(outputs, numbers, checked.faults)
        if checked.faults:
            faulty = checked.faults
            checked.rows = [row for row in zip(numbers, *outputs, strict=True) if row[0] not in faulty]
        else:
            checked.rows = list(zip(numbers, *outputs, strict=True))
        return checked

    def _repair(self, row: list[str]) -> bool:
        """A row with blank cells beyond the last header is whole; anything else of another width may be shifted, so it is not."""
        if len(row) < self.width or any(row[self.width :]):
            return False
        del row[self.width :]
        return True

    def _column(
        self, column: Column, source: list[tuple[str, ...]], count: int, numbers: list[int], faults: dict[int, list[Problem]]
    ) -> list[Any]:
        texts = self._texts(column, source, count)
        outputs: list[Any] = []
        parse = self._parser(column)
        plain = self._plain(column)
        memo: dict[str, Parsed] = {}
        for index, text in enumerate(texts):
            if isinstance(text, Problem):
                faults.setdefault(numbers[index], []).append(text)
                outputs.append(None)
                continue
            if plain is not None and plain(text):
                outputs.append(text)
                continue
            if text in memo:
                value = memo[text]
            else:
                value = memo[text] = parse(text)
            if isinstance(value, Problem):
                faults.setdefault(numbers[index], []).append(value.at(column.label, text[:MAX_CELL]))
                value = None
            outputs.append(value)
        return outputs

    def _texts(self, column: Column, source: list[tuple[str, ...]], count: int) -> Sequence[str | Problem]:
        texts: Sequence[str | Problem]
        if column.constant is not None:
            texts = [column.constant] * count
        elif not column.transform:
            texts = source[column.positions[0]]
        else:
            transform = _TRANSFORMS[column.transform]
            parts = zip(*(source[position] for position in column.positions), strict=True)
            skip = [not cell for cell in source[column.when]] if column.when is not None else [False] * count
            texts = [
                column.otherwise if skipped else transform(part, column, self.amounts) for skipped, part in zip(skip, parts, strict=True)
            ]
            return texts
        if column.values:
            texts = [column.values.get(text.casefold(), text) if isinstance(text, str) else text for text in texts]
        if column.when is not None:
            texts = [text if cell else column.otherwise for text, cell in zip(texts, source[column.when], strict=True)]
        return texts

    def _plain(self, column: Column) -> Callable[[str], object] | None:
        """A quick test for values that need no parsing."""
        if column.field.type == "amount" and self.amounts.decimals is None:
            return self._format(column).plain
        if column.field.type == "count":
            return plain_count
        return None

    def _parser(self, column: Column) -> Callable[[str], Parsed]:
        one = column.field
        parse = {
            "id": lambda text: _identifier(text, one.max_length),
            "text": lambda text: _text(text, one.max_length),
            "amount": self._amount(self._format(column)),
            "count": self._count(one.name),
            "instant": self._instant,
            "day": self._day,
            "choice": lambda text: _choice(text, one.choices),
            "email": _email,
            "country": lambda text: _code(text, 2, "country", "ISO code of two letters, for example MT"),
            "currency": lambda text: _code(text, 3, "currency", "ISO code of three letters, for example EUR"),
            "flag": _flag,
            "ip": _ip,
            "object": lambda text: text,
        }[one.type]

        def checked(text: str) -> Parsed:
            if not text:
                return _missing() if one.required else None
            if len(text) > MAX_CELL:
                return Problem("too_long", f"The cell has {len(text)} characters.", "Shorten it.")
            return parse(text)

        return checked

    def _format(self, column: Column) -> AmountFormat:
        if column.field.digits == self.amounts.digits:
            return self.amounts
        return AmountFormat(self.decimal_comma, self.amounts.decimals, column.field.digits)

    def _amount(self, amounts: AmountFormat) -> Callable[[str], Parsed]:
        def parse(text: str) -> Parsed:
            parsed = amounts.parse(text)
            return parsed if isinstance(parsed, Problem) else format(parsed, "f")

        return parse

    def _count(self, name: str) -> Callable[[str], Parsed]:
        maximum = 9_000_000_000_000_000_000 if name == "bets" else 2_147_483_647

        def parse(text: str) -> Parsed:
            parsed = parse_count(text, self.decimal_comma, maximum)
            return parsed if isinstance(parsed, Problem) else str(parsed)

        return parse

    def _instant(self, text: str) -> Parsed:
        if self.unix:
            return parse_unix(text, self.dates, milliseconds=self.unix == "milliseconds")
        return self.dates.parse_instant(text)

    def _day(self, text: str) -> Parsed:
        day = self.dates.parse_day(text)
        if isinstance(day, str) and not "1900-01-01" <= day <= self.today:
            return Problem(
                "date_out_of_range", f"{text!r} is not a believable date of birth.", "Check the year and the order of day and month."
            )
        return day

    def _cross_checks(self, outputs: list[list[Any]], numbers: list[int], faults: dict[int, list[Problem]]) -> None:
        by_name = dict(zip(self.fields, outputs, strict=True))
        labels = {column.field.name: column.label for column in self.columns}
        if "started_at" in by_name and "ended_at" in by_name:
            for number, start, end in zip(numbers, by_name["started_at"], by_name["ended_at"], strict=True):
                if start and end and end < start:  # both are ISO text in UTC, written by one function, so they order as text
                    faults.setdefault(number, []).append(
                        Problem(
                            "ends_before_start",
                            "The session ends before it starts.",
                            "Correct one of the two times.",
                            labels["ended_at"],
                            end,
                        )
                    )
        if "stake" in by_name and "bonus_stake" in by_name:
            for number, stake, bonus in zip(numbers, by_name["stake"], by_name["bonus_stake"], strict=True):
                if stake and bonus and Decimal(bonus) > Decimal(stake):
                    problem = Problem("bonus_above_stake", "The bonus part is larger than the stake.", "Correct one of the two amounts.")
                    faults.setdefault(number, []).append(problem.at(labels["bonus_stake"], bonus))
        if "rounds" in by_name:
            for number, rounds in zip(numbers, by_name["rounds"], strict=True):
                if rounds is not None and not int(rounds):
                    problem = Problem(
                        "no_rounds", "A play has at least one round.", "Enter the number of rounds, or leave the cell blank for 1."
                    )
                    faults.setdefault(number, []).append(problem.at(labels["rounds"], rounds))


def _wrong_width(row: list[str], expected: int) -> Problem:
    found = len(row)
    if swallowed := next((cell for cell in row if "\n" in cell), None):
        return Problem(
            "unclosed_quote",
            f"A quotation mark opens a cell of {swallowed.count(chr(10)) + 1} lines: the row has {found} cells, the header {expected}.",
            "Close the quotation mark (or write it twice) and import the file again: the lines in the cell are rows that were not read.",
            value=str(found),
        )
    return Problem(
        "wrong_cell_count",
        f"The row has {found} cells, the header has {expected}.",
        "Look for a delimiter inside a value (put the value in quotation marks) or a missing cell.",
        value=str(found),
    )


def _missing() -> Problem:
    return Problem("missing", "The cell is blank, but a value is needed.", "Enter the value; write 0 where there was nothing.")


def _identifier(text: str, longest: int) -> Parsed:
    if _CONTROL.search(text):
        return Problem("control_character", "The id contains a control character.", "Remove it; it cannot be seen in most programs.")
    if len(text) > longest:
        return Problem("too_long", f"The id has {len(text)} characters; at most {longest} are taken.", "Shorten it.")
    if _SHORTENED.fullmatch(text):
        return Problem(
            "scientific",
            f"The id {text!r} is a number in scientific notation and has lost digits.",
            "Format the column as text where the file is made, and export it again.",
        )
    return unicodedata.normalize("NFC", text)


def _text(text: str, longest: int) -> Parsed:
    if "\x00" in text or _CONTROL.search(text):
        return Problem("control_character", "The text contains a control character.", "Remove it; it cannot be seen in most programs.")
    if longest and len(text) > longest:
        return Problem("too_long", f"The text has {len(text)} characters; at most {longest} are taken.", "Shorten it.")
    return text


def _choice(text: str, choices: dict[str, str]) -> Parsed:
    stored = choices.get(text.casefold()) or choices.get(text.casefold().replace(" ", ""))
    if stored:
        return stored
    return Problem("unknown_value", f"{text!r} is not known here.", f"Use one of: {', '.join(sorted(set(choices.values())))}.")


def _email(text: str) -> Parsed:
    if len(text) <= 254 and _EMAIL.fullmatch(text) and not _CONTROL.search(text):
        return text
    return Problem("bad_email", "This is not an e-mail address.", "Enter an address such as name@example.com, or leave the cell blank.")


def _code(text: str, length: int, what: str, remedy: str) -> Parsed:
    code = text.upper()
    if len(code) == length and code.isascii() and code.isalpha():
        return code
    return Problem(f"bad_{what}", f"{text!r} is not a {what} code.", f"Enter the {remedy}.")


def _flag(text: str) -> Parsed:
    return _FLAGS.get(text.casefold()) or Problem(
        "bad_flag", f"{text!r} is neither yes nor no.", "Enter yes or no, or leave the cell blank."
    )


def _ip(text: str) -> Parsed:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return Problem("bad_ip", f"{text!r} is not an IP address.", "Enter an address such as 192.0.2.7, or leave the cell blank.")


# --- transforms -----------------------------------------------------------------------------------------------------


def _arithmetic(parts: tuple[str, ...], column: Column, amounts: AmountFormat) -> str | Problem:
    numbers: list[Decimal] = []
    for header, part in zip(column.headers, parts, strict=True):
        negative = part.startswith("-") and column.transform == "sum"
        parsed = amounts.parse(part[1:] if negative else part) if part else _missing()
        if isinstance(parsed, Problem):
            return parsed.at(header, part)
        numbers.append(-parsed if negative else parsed)
    if column.transform == "sum":
        total = sum(numbers, Decimal(0))
    elif column.transform == "difference":
        total = numbers[0] - sum(numbers[1:], Decimal(0))
    else:
        total = Decimal(1)
        for number in numbers:
            total *= number
    if total < 0:
        return Problem("negative", f"The {column.transform} is negative.", "Amounts are never negative: correct one of them.").at(
            column.label, ", ".join(parts)
        )
    text = format(total, "f")
    return text.replace(".", ",") if amounts.decimal_comma else text


def _first(parts: tuple[str, ...], column: Column, amounts: AmountFormat) -> str | Problem:
    return next((part for part in parts if part), "")


def _join(parts: tuple[str, ...], column: Column, amounts: AmountFormat) -> str | Problem:
    return column.joiner.join(part for part in parts if part)


def _object(parts: tuple[str, ...], column: Column, amounts: AmountFormat) -> str | Problem:
    cells = {header: part for header, part in zip(column.headers, parts, strict=True) if part}
    if any("\x00" in part for part in parts):
        return Problem("control_character", "The text contains a control character.", "Remove it.").at(column.label, "")
    return json.dumps(cells, ensure_ascii=False) if cells else ""


_TRANSFORMS: dict[str, Callable[[tuple[str, ...], Column, AmountFormat], str | Problem]] = {
    "sum": _arithmetic,
    "difference": _arithmetic,
    "product": _arithmetic,
    "first": _first,
    "join": _join,
    "object": _object,
}
