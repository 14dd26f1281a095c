"""Rows of an API as a CSV file that the import reads. Memory holds a short hash a row, never the rows."""

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from players.feeds.client import WindowTooLarge
from players.imports.readers import Limits

_LONGEST_CELL = 32_000


def flatten(row: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """One level of text cells: {"user": {"id": 7}} becomes {"user_id": "7"}; null is empty, true and false are words, lists are JSON."""
    cells: dict[str, str] = {}
    for key, value in row.items():
        name = f"{prefix}_{key}" if prefix else str(key)
        if isinstance(value, Mapping):
            cells |= flatten(value, name)
        elif value is None:
            cells[name] = ""
        elif isinstance(value, bool):
            cells[name] = "true" if value else "false"
        elif isinstance(value, list):
            cells[name] = json.dumps(value, ensure_ascii=False)[:_LONGEST_CELL]
        else:
            cells[name] = str(value)
    return cells


@dataclass(frozen=True)
class Spool:
    """Distinct rows that wait in a file, and every header that any of them has."""

    rows: int
    headers: list[str]
    _waiting: Path
    _target: Path
    _limits: Limits

    def write_csv(self, empty: Sequence[str] = ()) -> None:
        """Write the rows to the target, with the columns `empty` beside their own. Raises WindowTooLarge, as `spooled` does."""
        with self._waiting.open(encoding="utf-8") as lines, self._target.open("w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, fieldnames=[*self.headers, *empty], restval="")
            writer.writeheader()
            for line in lines:
                writer.writerow(json.loads(line))
        _require_bytes(self._target.stat().st_size, self._limits)


@contextmanager
def spooled(pages: Iterable[list[dict[str, Any]]], target: Path, limits: Limits) -> Iterator[Spool]:
    """Keep the rows of all pages beside `target` until they are written; a row that was there already, cell for cell, is kept once.

    Raises WindowTooLarge after the page with which there are more rows, or more bytes, than an import takes. A row may have cells that
    earlier ones lacked, so rows wait in a file until all headers are known.
    """
    waiting = target.with_suffix(".rows")
    headers: dict[str, None] = {}
    seen: set[bytes] = set()
    size = 0
    try:
        with waiting.open("w", encoding="utf-8") as out:
            for page in pages:
                for row in page:
                    cells = flatten(row)
                    line = json.dumps(cells, ensure_ascii=False, sort_keys=True)
                    digest = hashlib.blake2b(line.encode(), digest_size=12).digest()
                    if digest in seen:
                        continue
                    seen.add(digest)
                    headers |= dict.fromkeys(cells)
                    # the least that the row will take: quotes and cells that only others have come on top
                    size += sum(len(cell.encode()) + 1 for cell in cells.values())
                    out.write(line + "\n")
                if len(seen) > limits.rows:
                    raise WindowTooLarge(f"there are more than the {limits.rows:,} rows that an import takes (IMPORT_MAX_ROWS)")
                _require_bytes(size, limits)
        yield Spool(len(seen), list(headers), waiting, target, limits)
    finally:
        waiting.unlink(missing_ok=True)


def _require_bytes(size: int, limits: Limits) -> None:
    if size > limits.megabytes * 2**20:
        raise WindowTooLarge(f"they are more than the {limits.megabytes:,} MB that an import takes (IMPORT_MAX_MEGABYTES)")
