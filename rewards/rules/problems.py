"""What is wrong with a rule: one `Problem` each, and the error that carries them."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from enum import StrEnum
from typing import Any

Path = tuple[str | int, ...]


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Problem:
    """One finding about a rule.

    where: the part of the rule ("conditions", "reward_config", "formula", ...); path: keys and positions inside it;
    line, column: from 1, in the text of the formula (where is "formula" or the path ends in one) or in the JSON text that was checked;
    None when there was no text to point into.
    """

    code: str
    message: str
    remedy: str
    where: str
    path: Path = ()
    line: int | None = None
    column: int | None = None
    severity: Severity = Severity.ERROR

    @property
    def place(self) -> str:
        """Where to look, in words: `conditions.any[1].net_loss_mn, line 3 column 5`."""
        text = self.where + path_text(self.path)
        if self.line is not None:
            text += f", line {self.line} column {self.column}" if self.line > 1 else f", column {self.column}"
        return text

    def __str__(self) -> str:
        return f"{self.place}: {self.message} {self.remedy}".rstrip()

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "path": list(self.path), "severity": self.severity.value, "place": self.place}

    def at(self, **changes: Any) -> "Problem":
        return replace(self, **changes)


class RuleError(ValueError):
    """A rule that cannot be used. `problems` holds every error found, in reading order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def path_text(path: Path) -> str:
    """`("any", 1, "tier")` as `.any[1].tier`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, if any is like it at all. Letter case does not count."""
    by_folded = {one.casefold(): one for one in sorted(known)}
    found = get_close_matches(name.casefold(), list(by_folded), n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Both from 1."""
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1
