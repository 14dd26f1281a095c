"""Exact reading of amounts and counts as people and exports write them. Pure; never guesses, never rounds unless told to.

An amount is finite, not negative, below 10^16, with at most four decimal places (trailing zeros do not count). Accepted:
plain numbers, thousands separators in groups of three (comma, or point when the comma is the decimal sign; space, thin space
and apostrophe in both), and amounts that an export glued together, each with exactly two places: '200.00200.00' is 400.00.
Two fixed places make that split unique. Everything else is a Problem.
"""

import re
from decimal import ROUND_HALF_EVEN, Decimal

from players.imports.problems import Problem

MAX_INTEGER_DIGITS = 16
MAX_PLACES = 4
MAX_COUNT = 2_147_483_647

_GROUPED = r"[0-9]{{1,3}}(?:{sep}[0-9]{{3}})+"
_NOT_NUMBERS = {"nan", "inf", "+inf", "-inf", "infinity", "-infinity", "+infinity", "-nan"}
_MISSING_WORDS = {"-", "--", "n/a", "na", "#n/a", "null", "none", "#value!", "#ref!", "#div/0!"}


class AmountFormat:
    """How a file writes amounts: the decimal sign, and the number of places to round to (None: never round)."""

    def __init__(self, decimal_comma: bool = False, decimals: int | None = None, digits: int = MAX_INTEGER_DIGITS) -> None:
        self.digits = digits
        self.decimal_comma = decimal_comma
        self.decimals = decimals
        point, group = (",", r"\.") if decimal_comma else (r"\.", ",")
        self._point = "," if decimal_comma else "."
        self._group = "." if decimal_comma else ","
        whole = f"(?:{_GROUPED.format(sep=group)}|[0-9]+)"
        self._number = re.compile(rf"\+?(?:(?:{whole})(?:{point}[0-9]+)?|{point}[0-9]+)")
        self._glued = re.compile(rf"(?:{whole}{point}[0-9]{{2}}){{2,}}")
        self._token = re.compile(rf"{whole}{point}[0-9]{{2}}")
        # Postgres reads these as they stand: no parsing needed.
        whole_digits = f"[0-9]{{1,{digits}}}"
        self.plain = re.compile(whole_digits if decimal_comma else whole_digits + r"(?:\.[0-9]{1,4})?").fullmatch

    def parse(self, text: str) -> Decimal | Problem:
        """The amount in `text` (already stripped), or the Problem with it. Never raises."""
        compact = _without_spaces(text)
        if self._number.fullmatch(compact):
            return self._bounded(Decimal(self._normal(compact)))
        if self._glued.fullmatch(compact):
            return self._bounded(sum((Decimal(self._normal(token)) for token in self._token.findall(compact)), Decimal(0)))
        return _explain(text, compact, self.decimal_comma)

    def _normal(self, number: str) -> str:
        return number.replace(self._group, "").replace(self._point, ".")

    def _bounded(self, amount: Decimal) -> Decimal | Problem:
        if amount >= Decimal(10) ** self.digits:
            return Problem(
                "too_large", f"The amount has more than {self.digits} digits before the decimal sign.", "Check for glued cells; split them."
            )
        if self.decimals is not None:
            return amount.quantize(Decimal(1).scaleb(-self.decimals), rounding=ROUND_HALF_EVEN)
        exponent = amount.normalize().as_tuple().exponent
        if isinstance(exponent, int) and -exponent > MAX_PLACES:
            return Problem(
                "too_many_places",
                "The amount has more than four decimal places and would have to be rounded.",
                "Round it in the file, or set the import's number of decimals.",
            )
        return amount


_SPACE_GROUPS = re.compile(r"\+?[0-9]{1,3}(?:[ \u00a0\u202f\u2009'\u2019][0-9]{3})+(?![0-9])")


def _without_spaces(text: str) -> str:
    """Drop spaces and apostrophes that group thousands; leave any other use of them to be refused."""
    match = _SPACE_GROUPS.match(text)
    if match is None:
        return text
    return re.sub(r"[ \u00a0\u202f\u2009'\u2019]", "", match.group()) + text[match.end() :]


def _explain(text: str, compact: str, decimal_comma: bool) -> Problem:
    lowered = text.casefold()
    if lowered in _NOT_NUMBERS:
        return Problem("not_finite", f"{text!r} is not a finite number.", "Enter the amount, or 0 if there was none.")
    if lowered in _MISSING_WORDS:
        return Problem("missing", f"{text!r} stands for no value.", "Enter the amount, or 0 if there was none.")
    if re.fullmatch(r"[-\u2212][0-9.,]+|\([0-9.,]+\)|[0-9.,]+-", compact):
        return Problem("negative", "The amount is negative.", "Amounts are never negative: send a refund or withdrawal as its own payment.")
    if re.fullmatch(r"[+-]?[0-9.,]+[eE][+-]?[0-9]+", compact):
        return Problem("scientific", "The amount is in scientific notation and may have lost digits.", "Format the column as a number.")
    if re.fullmatch(r"(?:[^\d\s.,+-]{1,3}\s?[0-9.,]+|[0-9.,]+\s?[^\d\s.,+-]{1,3})", text):
        return Problem("currency_sign", "The amount carries a currency sign or unit.", "Remove the sign; the player's currency applies.")
    wrong_sign = r"[0-9]{1,3}(?:\.[0-9]{3})*,[0-9]{1,2}" if not decimal_comma else r"[0-9]{1,3}(?:,[0-9]{3})*\.[0-9]{1,2}"
    if re.fullmatch(wrong_sign, compact):
        sign, setting = ("comma", "on") if not decimal_comma else ("point", "off")
        return Problem(
            "decimal_sign",
            f"{text!r} looks like a number with a decimal {sign}, but the import was not told so.",
            f"Import the file with 'decimal comma' {setting}, or correct the cell.",
        )
    if re.fullmatch(r"[0-9.,]+", compact):
        return Problem("ambiguous", f"{text!r} can not be read as one number.", "Enter one number, for example 1200.50.")
    return Problem("not_a_number", f"{text!r} is not a number.", "Enter a number, for example 1200.50.")


_WHOLE = re.compile(r"\+?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.0+)?")
_WHOLE_COMMA = re.compile(r"\+?(?:[0-9]{1,3}(?:\.[0-9]{3})+|[0-9]+)(?:,0+)?")
_CUT_COMMA = re.compile(r",0+$")
_CUT_POINT = re.compile(r"\.0+$")
plain_count = re.compile(r"[0-9]{1,9}").fullmatch


def parse_count(text: str, decimal_comma: bool = False, maximum: int = MAX_COUNT) -> int | Problem:
    """A whole, not negative number ('12', '1,200', '12.0'), or the Problem with it. Never raises."""
    compact = _without_spaces(text)
    if (_WHOLE_COMMA if decimal_comma else _WHOLE).fullmatch(compact):
        digits = (_CUT_COMMA if decimal_comma else _CUT_POINT).sub("", compact).replace("," if not decimal_comma else ".", "")
        if len(digits.lstrip("+0")) > 19 or int(digits) > maximum:
            return Problem("too_large", f"{text!r} is larger than {maximum}.", "Enter the true count.")
        return int(digits)
    number = AmountFormat(decimal_comma, decimals=MAX_PLACES).parse(text)
    if isinstance(number, Decimal):
        return Problem("not_whole", f"{text!r} is not a whole number.", "Counts are whole: enter one without decimals.")
    if number.code == "negative":
        return Problem("negative", f"{text!r} is negative.", "A count is 0 or more: enter the true one.")
    return number
