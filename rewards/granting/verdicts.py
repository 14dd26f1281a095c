"""The verdict of a gate over a batch: result and reason a row, with the inputs that led to it, rendered once per distinct verdict."""

import json
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Column = Sequence[Any] | npt.NDArray[Any]

PASS, REFUSE, ADJUST, SKIP = 0, 1, 2, 3
RESULTS = ("PASS", "REFUSE", "ADJUST", "SKIP")
SKIPPED = "not looked at: refused by an earlier gate"


class Outcome:
    """What one gate says about every row of a batch. The first refusal of a row stands; a later one does not overwrite it."""

    def __init__(self, name: str, version: int, rows: int, passed: str) -> None:
        self.name, self.version = name, version
        self.result = np.zeros(rows, dtype=np.int8)
        self._reason = np.zeros(rows, dtype=np.int32)
        self._texts = [passed]
        self._index = {passed: 0}
        self.inputs: dict[str, Column] = {}

    def refuse(self, where: Mask, text: str) -> None:
        self._mark(where & (self.result != REFUSE), REFUSE, text)

    def adjust(self, where: Mask, text: str) -> None:
        self._mark(where & (self.result == PASS), ADJUST, text)

    def note(self, where: Mask, text: str) -> None:
        """Another reason for passing."""
        self._mark(where & (self.result == PASS), PASS, text)

    def set_row(self, row: int, result: int, text: str) -> None:
        self.result[row] = result
        self._reason[row] = self._text(text)

    def skip(self, where: Mask) -> None:
        self._mark(where, SKIP, SKIPPED)

    @property
    def refused(self) -> Mask:
        return self.result == REFUSE

    def reason_of(self, row: int) -> str:
        return self._texts[self._reason[row]]

    def _text(self, text: str) -> int:
        if text not in self._index:
            self._index[text] = len(self._texts)
            self._texts.append(text)
        return self._index[text]

    def _mark(self, where: Mask, result: int, text: str) -> None:
        self.result[where] = result
        self._reason[where] = self._text(text)

    def render(self) -> list[str]:
        """One JSON object a row: {name, version, inputs, result, reason}."""
        names = list(self.inputs)
        seen: dict[tuple[Any, ...], str] = {}
        rendered = []
        values = zip(*self.inputs.values(), strict=True) if names else iter([()] * len(self.result))
        for result, reason, row in zip(self.result.tolist(), self._reason.tolist(), values, strict=True):
            key = (result, reason, row)
            text = seen.get(key)
            if text is None:
                verdict = {
                    "name": self.name,
                    "version": self.version,
                    "inputs": {name: plain(value) for name, value in zip(names, row, strict=True)},
                    "result": RESULTS[result],
                    "reason": self._texts[reason],
                }
                text = seen[key] = json.dumps(verdict)
            rendered.append(text)
        return rendered


def plain(value: Any) -> Any:
    """A value as JSON can hold it: decimals and instants as text, so that nothing is rounded."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, Decimal):
        return format(value.normalize(), "f") if value else "0"
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    raise TypeError(f"a verdict cannot hold a {type(value).__name__}")
