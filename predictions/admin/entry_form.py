"""A form of single fields and of lists whose rows are added and taken away, without JavaScript too: each button sends the form.

What was typed stays text until the pure package reads it, so a field is judged in one place and its message stands beside it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_NUMBER = re.compile(r"^(?P<rows>[a-z]+)\[(?P<place>\d+)\](?:\.(?P<field>\w+))?$")
_THOUSANDS = re.compile(r"^[+-]?\d{1,3}(,\d{3})+(\.\d*)?$")
_DIGITS = re.compile(r"^[+-]?[\d.,]+$")
_LONGEST = 40
_STRAY_COMMA = "must be a number such as 1,250.50: a comma parts thousands, a point the decimals."
ADD, REMOVE = "add", "remove"


@dataclass(frozen=True)
class Entry:
    """One field. `kind`: number, date or choice (with `options`); `initial`: what a new form or row begins with."""

    name: str
    label: str
    kind: str = "number"
    initial: str = ""
    unit: str = ""
    options: tuple[str, ...] = ()
    low: str = ""
    high: str = ""
    is_needed: bool = False


@dataclass(frozen=True)
class Rows:
    """A list of rows of the same fields. `initial`: the rows a new form begins with, each what differs from the fields' own initials."""

    name: str
    label: str
    one: str
    fields: tuple[Entry, ...]
    initial: tuple[Mapping[str, str], ...] = ()
    most: int = 40


@dataclass(frozen=True)
class Entered:
    """What stands in the form: texts by field, and the rows of each list in order."""

    values: Mapping[str, str]
    rows: Mapping[str, Sequence[Mapping[str, str]]]


@dataclass(frozen=True)
class EntryForm:
    fields: tuple[Entry, ...]
    lists: tuple[Rows, ...]

    def initial(self) -> Entered:
        return Entered(
            {field.name: field.initial for field in self.fields},
            {one.name: [{**_initial(one), **row} for row in one.initial] for one in self.lists},
        )

    def read(self, posted: Mapping[str, str]) -> Entered:
        """What was sent, with the row that a button asks for added or taken away."""
        values = {field.name: posted.get(field.name, "").strip()[:_LONGEST] for field in self.fields}
        rows: dict[str, Sequence[Mapping[str, str]]] = {}
        for one in self.lists:
            found = [
                {field.name: posted.get(f"{one.name}-{number}-{field.name}", "").strip()[:_LONGEST] for field in one.fields}
                for number in _numbers(posted, one.name)[: one.most]
                if posted.get(REMOVE) != f"{one.name}-{number}"
            ]
            is_asked = posted.get(ADD) == one.name and len(found) < one.most
            rows[one.name] = [*found, _initial(one)] if is_asked else found
        return Entered(values, rows)

    def drawn(self, entered: Entered, errors: Mapping[str, str]) -> dict[str, Any]:
        """For the template: fields and lists with what was entered and, beside each, what is wrong with it."""
        return {
            "fields": [_drawn(field, field.name, entered.values[field.name], errors.get(field.name, "")) for field in self.fields],
            "lists": [self._list(one, entered.rows[one.name], errors) for one in self.lists],
        }

    def _list(self, one: Rows, rows: Sequence[Mapping[str, str]], errors: Mapping[str, str]) -> dict[str, Any]:
        return {
            "name": one.name,
            "label": one.label,
            "one": one.one,
            "most": one.most,
            "is_full": len(rows) >= one.most,
            "error": errors.get(one.name, ""),
            "rows": [_row(one, place, row, errors) for place, row in enumerate(rows)],
            "blank": _row(one, "0000", _initial(one), {}),
        }

    def named(self, errors: Mapping[str, str]) -> list[dict[str, str]]:
        """Each error with the words of its field and the name of its input; a row is counted from 1, as people do."""
        labels = {field.name: field.label for field in self.fields} | {one.name: one.label for one in self.lists}
        found = []
        for path, message in errors.items():
            label, name = labels.get(path, path.replace("_", " ").capitalize()), path
            if match := _NUMBER.match(path):
                one = next(rows for rows in self.lists if rows.name == match["rows"])
                inner = {field.name: field.label.lower() for field in one.fields}.get(match["field"] or "", "")
                label = f"{one.one} {int(match['place']) + 1}{', ' if inner else ''}{inner}"
                name = f"{one.name}-{match['place']}-{match['field']}"
            found.append({"path": path, "label": label, "message": message, "name": name})
        return found

    def stray_commas(self, entered: Entered) -> dict[str, str]:
        """What is wrong with numbers whose comma parts no thousands: path to message, paths as the errors of a description have them."""
        wrong = [field.name for field in self.fields if _has_stray_comma(field, entered.values)]
        for one in self.lists:
            for place, row in enumerate(entered.rows[one.name]):
                wrong += [f"{one.name}[{place}].{field.name}" for field in one.fields if _has_stray_comma(field, row)]
        return dict.fromkeys(wrong, _STRAY_COMMA)


def _has_stray_comma(field: Entry, values: Mapping[str, str]) -> bool:
    text = values[field.name]
    return field.kind == "number" and "," in text and bool(_DIGITS.match(text)) and not _THOUSANDS.match(text)


def as_number(text: str) -> Any:
    """The number a text means, in which commas may part thousands and a point the decimals; None for no text.

    The text itself when it is no number, which is then refused by name: of "1,5" nobody knows whether it means 1.5 or 15.
    """
    try:
        return float(text.replace(",", "") if _THOUSANDS.match(text) else text) if text else None
    except ValueError:
        return text


def told_of(form: EntryForm, entered: Entered) -> dict[str, Any]:
    """What was entered as a description: fields, and lists of rows. Texts mean what the fields hold; an empty one is unknown (None)."""
    told: dict[str, Any] = _typed(form.fields, entered.values)
    return told | {one.name: [_typed(one.fields, row) for row in entered.rows[one.name]] for one in form.lists}


def _typed(fields: Sequence[Entry], values: Mapping[str, str]) -> dict[str, Any]:
    return {field.name: as_number(values[field.name]) if field.kind == "number" else values[field.name] or None for field in fields}


def _initial(one: Rows) -> dict[str, str]:
    return {field.name: field.initial for field in one.fields}


def _numbers(posted: Mapping[str, str], name: str) -> list[int]:
    """Numbers of the rows that were sent; they may have gaps, where rows were taken away."""
    pattern = re.compile(rf"^{name}-(\d{{1,4}})-\w+$")
    return sorted({int(match[1]) for key in posted if (match := pattern.match(key))})


def _row(one: Rows, place: int | str, row: Mapping[str, str], errors: Mapping[str, str]) -> dict[str, Any]:
    name, path = f"{one.name}-{place}", f"{one.name}[{place}]"
    fields = [_drawn(field, f"{name}-{field.name}", row[field.name], errors.get(f"{path}.{field.name}", "")) for field in one.fields]
    return {"name": name, "error": errors.get(path, ""), "fields": fields}


def _drawn(field: Entry, name: str, value: str, error: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": field.label,
        "unit": field.unit,
        "kind": field.kind,
        "value": value,
        "options": field.options,
        "low": field.low,
        "high": field.high,
        "is_needed": field.is_needed,
        "error": error,
    }
