"""JSON with positions: where in a text each value stands, so that an error inside a rule can be pointed at.

Stricter than the standard reader where silence would cost money: a key given twice is an error, and numbers keep their exact value.
"""

import json
import re
from decimal import Decimal
from typing import Any, NoReturn

from .problems import Path, Problem, RuleError, line_and_column

MAX_CHARACTERS = 100_000
MAX_DEPTH = 60

_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "null": None}


def parse(text: str, where: str) -> tuple[Any, dict[Path, int]]:
    """The value of a JSON text, and the offset of every value by its path (of a member: the offset of its key).

    Fractions become Decimals. Raises RuleError with line and column.
    """
    reader = _Reader(text, where)
    if len(text) > MAX_CHARACTERS:
        reader.fail(0, "json_long", f"The text has {len(text)} characters; {MAX_CHARACTERS} are allowed.", "Shorten it.")
    end = reader.value(reader.skip(0), (), 0)
    offset = reader.skip(end[1])
    if offset != len(text):
        reader.fail(offset, "json_syntax", "The value ends before this.", "Remove what follows, or join it with a comma inside.")
    return end[0], reader.positions


def locate(problem: Problem, text: str, positions: dict[Path, int]) -> Problem:
    """The problem with the line and column of its path in `text`. A position inside a formula stays as it is."""
    if problem.line is not None:
        return problem
    path = problem.path
    while path and path not in positions:
        path = path[:-1]
    line, column = line_and_column(text, positions.get(path, 0))
    return problem.at(line=line, column=column)


class _Reader:
    def __init__(self, text: str, where: str) -> None:
        self.text = text
        self.where = where
        self.positions: dict[Path, int] = {}

    def fail(self, offset: int, code: str, message: str, remedy: str) -> NoReturn:
        line, column = line_and_column(self.text, offset)
        raise RuleError([Problem(code, message, remedy, self.where, line=line, column=column)])

    def skip(self, offset: int) -> int:
        found = _SPACE.match(self.text, offset)
        assert found is not None  # the pattern matches the empty text
        return found.end()

    def value(self, offset: int, path: Path, depth: int) -> tuple[Any, int]:
        self.positions.setdefault(path, offset)
        if depth > MAX_DEPTH:
            self.fail(offset, "json_deep", "The text is nested too deeply.", f"Use at most {MAX_DEPTH} levels.")
        start = self.text[offset : offset + 1]
        if start == "{":
            return self.members(offset, path, depth)
        if start == "[":
            return self.elements(offset, path, depth)
        if start == '"':
            return self.string(offset)
        for word, meaning in _WORDS.items():
            if self.text.startswith(word, offset):
                return meaning, offset + len(word)
        found = _NUMBER.match(self.text, offset)
        if found is None:
            what = f"{start!r} cannot begin a value." if start else "A value is missing at the end."
            self.fail(offset, "json_syntax", what, 'Values are "texts", numbers, true, false, [lists] and {objects}.')
        if found.group(2):
            self.fail(offset, "json_number", "Numbers with an exponent are not read.", "Write the digits out.")
        if len(found.group()) > 40:
            self.fail(offset, "json_number", "This number has too many digits.", "Write a shorter one.")
        return (Decimal(found.group()) if found.group(1) else int(found.group())), found.end()

    def string(self, offset: int) -> tuple[str, int]:
        try:
            return json.decoder.scanstring(self.text, offset + 1, True)  # type: ignore[attr-defined, no-any-return]
        except json.JSONDecodeError as error:
            self.fail(error.pos, "json_syntax", f"This text in quotes cannot be read ({error.msg}).", 'Close it with ".')

    def members(self, offset: int, path: Path, depth: int) -> tuple[dict[str, Any], int]:
        result: dict[str, Any] = {}
        offset = self.skip(offset + 1)
        if self.text.startswith("}", offset):
            return result, offset + 1
        while True:
            if not self.text.startswith('"', offset):
                self.fail(offset, "json_syntax", "A name in double quotes is needed here.", 'For example: "segment": "LOSING".')
            key, after = self.string(offset)
            if key in result:
                self.fail(offset, "json_twice", f"{key} is given twice; only one of them would count.", "Remove one.")
            self.positions[(*path, key)] = offset
            after = self.skip(after)
            if not self.text.startswith(":", after):
                self.fail(after, "json_syntax", "A colon is needed here.", 'For example: "segment": "LOSING".')
            result[key], offset = self.value(self.skip(after + 1), (*path, key), depth + 1)
            offset = self.skip(offset)
            if self.text.startswith("}", offset):
                return result, offset + 1
            if not self.text.startswith(",", offset):
                self.fail(offset, "json_syntax", "A comma or a closing brace is needed here.", "Add , or }.")
            offset = self.skip(offset + 1)

    def elements(self, offset: int, path: Path, depth: int) -> tuple[list[Any], int]:
        result: list[Any] = []
        offset = self.skip(offset + 1)
        if self.text.startswith("]", offset):
            return result, offset + 1
        while True:
            element, offset = self.value(offset, (*path, len(result)), depth + 1)
            result.append(element)
            offset = self.skip(offset)
            if self.text.startswith("]", offset):
                return result, offset + 1
            if not self.text.startswith(",", offset):
                self.fail(offset, "json_syntax", "A comma or a closing bracket is needed here.", "Add , or ].")
            offset = self.skip(offset + 1)
