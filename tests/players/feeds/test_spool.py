"""Rows on their way into a file: limits are noticed at the page that breaks them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from players.feeds.client import WindowTooLarge
from players.feeds.spool import spooled
from players.imports.readers import Limits


def test_spooled__more_bytes_than_an_import_takes__stops_at_that_page(tmp_path: Path) -> None:
    fetched: list[int] = []

    def pages() -> Iterator[list[dict[str, Any]]]:
        for number in range(100):
            fetched.append(number)
            yield [{"id": number, "note": "x" * 400_000}]

    with pytest.raises(WindowTooLarge, match="IMPORT_MAX_MEGABYTES"), spooled(pages(), tmp_path / "a.csv", Limits(megabytes=1, rows=1000)):
        pass
    assert fetched == [0, 1, 2]
    assert list(tmp_path.iterdir()) == []


def test_spooled__rows_with_different_keys__are_written_once_with_all_columns_and_the_empty_ones(tmp_path: Path) -> None:
    target = tmp_path / "a.csv"
    with spooled([[{"a": 1}, {"b": 2}], [{"a": 1}]], target, Limits(megabytes=1, rows=2)) as spool:
        assert (spool.rows, spool.headers) == (2, ["a", "b"])
        spool.write_csv(["c"])
    assert target.read_text().splitlines() == ["a,b,c", "1,,", ",2,"]
