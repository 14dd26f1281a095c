"""What goes when an import is undone. Apart from the rest, because every process registers it and none needs models for it."""

from typing import Any

_TABLES = (
    "predictions_churnscore",
    "predictions_valuescore",
    "predictions_fraudscore",
    "predictions_segmentscore",
    "predictions_engagementscore",
    "predictions_scorepoint",
    "predictions_pastcase",
)


def forget_undone_players(cursor: Any) -> None:
    """Delete what was predicted of players whose import is undone (temp table `undone_player`)."""
    for table in _TABLES:
        cursor.execute(f"DELETE FROM {table} WHERE player_id IN (SELECT player_id FROM undone_player)")
