"""What can be wrong with a file or a cell: a stable code, the reason, and the remedy in words for staff."""

from dataclasses import asdict, dataclass
from typing import Any


class ImportRefused(ValueError):
    """The file (or the request) cannot be taken at all. Nothing was written."""

    def __init__(self, code: str, message: str, remedy: str, **details: Any) -> None:
        super().__init__(f"{message} {remedy}".strip())
        self.code = code
        self.message = message
        self.remedy = remedy
        self.details = details

    def as_dict(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message, "remedy": self.remedy, **self.details}


@dataclass(frozen=True)
class Problem:
    """Why one cell is not taken. `column` is the header in the file (or our field's name when nothing is mapped to it)."""

    code: str
    reason: str
    remedy: str
    column: str = ""
    value: str = ""

    def at(self, column: str, value: str) -> "Problem":
        return Problem(self.code, self.reason, self.remedy, column, value)

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def other_currency(said: str, own: str) -> Problem:
    """Why an amount in the currency `said` is not booked for a player whose money is in `own`. One rule for files, feeds and bonuses."""
    return Problem(
        "other_currency",
        f"{said}, but the player's currency is {own}: nothing is converted, so the amounts of the row are not taken.",
        f"Correct the currency, or enter the amounts in {own}. Where the currency of the player is wrong, correct that first.",
    )
