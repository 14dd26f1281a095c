"""The first look at a formula: its characters, words, numbers and brackets, left to right, before any parser sees it.

Everything that is not of the language is refused here with an exact position, and nesting is bounded, so that what reaches the
parser is short, plain and shallow.
"""

import re
from collections.abc import Callable
from typing import NoReturn

from .facts import all_names, canonical
from .problems import nearest

MAX_DEPTH = 25
MAX_DIGITS = 15

FUNCTIONS = ("min", "max", "round", "abs")
_JOINING_WORDS = {"if", "else", "and", "or"}

Fail = Callable[[int, str, str, str], NoReturn]  # offset, code, message, remedy

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      | (?P<number>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)
      | (?P<name>[A-Za-z_][A-Za-z_0-9]*)
      | (?P<text>"[^"'\\\n]*"|'[^"'\\\n]*')
      | (?P<operator><=|>=|==|!=|[-+*/()<>,])""",
    re.VERBOSE,
)
_REFUSED = (
    ("**", "Powers are not available.", "Multiply instead: x * x."),
    ("//", "Whole-number division is not available.", "Use / and round()."),
    ("&&", "&& is not an operator here.", "Write: and."),
    ("||", "|| is not an operator here.", "Write: or."),
    ("<>", "<> is not an operator here.", "Write: !=."),
    ("=>", "=> is not an operator here.", "Write: >=."),
    ("=<", "=< is not an operator here.", "Write: <=."),
    ("=", "A single = does not compare.", "Write: ==."),
    ("!", "! is not an operator here.", "Write: not."),
    ("%", "The percent sign is not available.", "Write the share as a number: 10 % is 0.10."),
    ("^", "Powers are not available.", "Multiply instead: x * x."),
    (".", "Looking inside a value with a dot is not available.", "Use the fact by its name alone."),
    ("[", "Square brackets are not available.", "Compare with == and join with or."),
    ("{", "Braces are not available.", "Use the fact by its name alone."),
    (":", "A colon is not available.", "Write a choice as: a if test else b."),
    ("?", "A question mark is not available.", "Write a choice as: a if test else b."),
    ('"', "This text has no closing quote.", "Close it on the same line; quotes and backslashes cannot be part of it."),
    ("'", "This text has no closing quote.", "Close it on the same line; quotes and backslashes cannot be part of it."),
)


def check_tokens(text: str, fail: Fail) -> None:
    """Calls `fail` at the first thing that cannot stand where it stands."""
    _Tokens(text, fail).check()


class _Tokens:
    def __init__(self, text: str, fail: Fail) -> None:
        self.text = text
        self.fail = fail
        self.brackets: list[bool] = []  # of each open bracket: whether it holds the values of a function
        self.value_next = True  # a value must come next, rather than something that joins values

    def check(self) -> None:
        offset = 0
        while offset < len(self.text):
            found = _TOKEN.match(self.text, offset)
            refused = next((one for one in _REFUSED if self.text.startswith(one[0], offset)), None)
            if refused and not (found and len(found.group()) >= len(refused[0])):
                self.fail(offset, "formula_symbol", refused[1], refused[2])
            if found is None:
                character = self.text[offset]
                message = f"The character {character!r} (U+{ord(character):04X}) is not part of the language."
                self.fail(offset, "formula_symbol", message, "Use plain letters, digits, + - * / ( ) , < > = ! and spaces.")
            if found.lastgroup != "space":
                self.token(found.lastgroup or "", found.group(), offset, found.end())
            offset = found.end()
        if self.value_next:
            self.fail(len(self.text.rstrip()), "formula_syntax", "The formula ends where a value is needed.", "Add a number or a fact.")
        if self.brackets:
            self.fail(len(self.text), "formula_bracket", "A bracket is not closed.", "Add ) where it ends.")

    def token(self, kind: str, token: str, offset: int, end: int) -> None:
        if kind == "operator":
            self.operator(token, offset)
            return
        if kind == "name" and token in _JOINING_WORDS:
            self.need_join(token, offset)
            self.value_next = True
            return
        if kind == "number":
            self.check_number(token, offset, end)
        elif kind == "name" and token != "not":
            self.check_name(token, offset, end)
        self.need_value(token, offset)
        self.value_next = kind == "name" and (token == "not" or token in FUNCTIONS)

    def operator(self, token: str, offset: int) -> None:
        if token == "(":
            self.need_value("(", offset)
            before = self.text[:offset].rstrip()
            self.brackets.append(before.endswith(FUNCTIONS) and re.split(r"\W", before)[-1] in FUNCTIONS)
            if len(self.brackets) > MAX_DEPTH:
                self.fail(offset, "formula_deep", "The formula is nested too deeply.", f"Use at most {MAX_DEPTH} levels.")
            return
        if token == ")":
            if not self.brackets:
                self.fail(offset, "formula_bracket", "This bracket closes nothing.", "Remove it, or open one before it.")
            self.need_join(")", offset)
            self.brackets.pop()
            return
        if token == ",":
            if not (self.brackets and self.brackets[-1]):
                self.fail(offset, "formula_syntax", "A comma cannot stand here.", "A decimal number has a point: 0.10.")
            self.need_join(",", offset)
        elif token not in "+-":
            self.need_join(token, offset)
        self.value_next = True

    def need_value(self, token: str, offset: int) -> None:
        if not self.value_next:
            self.fail(offset, "formula_syntax", f"An operator is missing before {token}.", "Join values with + - * / or a comparison.")

    def need_join(self, token: str, offset: int) -> None:
        if self.value_next:
            self.fail(offset, "formula_syntax", f"A value is missing before {token}.", "Add a number or a fact.")

    def check_number(self, token: str, offset: int, end: int) -> None:
        if end < len(self.text) and (self.text[end].isascii() and self.text[end].isalnum() or self.text[end] in "_."):
            self.fail(
                offset,
                "formula_number",
                "This number cannot be read.",
                "Write digits with one point at most: 0.25, 1000. No thousands separators, exponents or letters.",
            )
        if len(token.replace(".", "").lstrip("0")) > MAX_DIGITS:
            self.fail(offset, "formula_number", f"This number has more than {MAX_DIGITS} digits.", "Use a shorter one.")
        if len(token) > 1 and token[0] == "0" and "." not in token:
            self.fail(offset, "formula_number", "A whole number does not begin with 0.", f"Write {token.lstrip('0') or '0'}.")

    def check_name(self, token: str, offset: int, end: int) -> None:
        called = self.text[end:].lstrip().startswith("(")
        if called:
            if token not in FUNCTIONS:
                self.fail(
                    offset,
                    "formula_function",
                    f"{token} is not a function of the language.",
                    f"The functions are {', '.join(FUNCTIONS)}.",
                )
            return
        if token in FUNCTIONS:
            self.fail(offset, "formula_function", f"{token} needs its values in brackets.", f"Write {token}(...).")
        if canonical(token) is None:
            guess = nearest(token, all_names())
            remedy = f"Did you mean {guess}?" if guess else "Pick one from the list of facts."
            self.fail(offset, "unknown_fact", f"There is no fact named {token}.", remedy)
