"""The table in the documentation is the catalogue."""

from pathlib import Path

from predictions.ml.features import FEATURES

DOCS = Path(__file__).resolve().parents[3] / "docs" / "predictions-features.md"


def table() -> str:
    rows = [f"| {one.name} | {one.label} | {one.group} | {one.unit} | {one.definition} |" for one in FEATURES]
    return "\n".join(["| feature | in words | group | unit | definition |", "|---|---|---|---|---|", *rows])


def test_docs__table_of_features__is_the_catalogue() -> None:
    assert table() in DOCS.read_text(), "put the table of table() into docs/predictions-features.md"
