"""Rows of an API as a CSV file that the import reads. Memory holds a short hash a row, never the rows."""

import csv
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

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


def write_csv(pages: Iterable[list[dict[str, Any]]], target: Path) -> tuple[int, list[str]]:
    """Write the rows of all pages to `target`; a row that was there already, cell for cell, is written once. Returns (rows, headers).

    A row may have cells that earlier ones lacked, so rows wait in a file beside the target until all headers are known.
    """
    waiting = target.with_suffix(".rows")
    headers: dict[str, None] = {}
    seen: set[bytes] = set()
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
                    out.write(line + "\n")
        with waiting.open(encoding="utf-8") as lines, target.open("w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, fieldnames=list(headers), restval="")
            writer.writeheader()
            for line in lines:
                writer.writerow(json.loads(line))
    finally:
        waiting.unlink(missing_ok=True)
    return len(seen), list(headers)
