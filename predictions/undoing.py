"""What goes when an import is undone. Apart from the rest, because every process registers it and none needs models for it."""

from collections.abc import Iterable
from typing import Any

_SCORES = (
    "predictions_churnscore",
    "predictions_valuescore",
    "predictions_fraudscore",
    "predictions_segmentscore",
    "predictions_engagementscore",
)
_CASES = "predictions_pastcase"


def forget_undone_players(cursor: Any) -> None:
    """Delete what was predicted of players whose import is undone (temp table `undone_player`), and count the runs anew that had them.

    Runs are held until the transaction ends, so that none is described or shown in between with players who are going.
    """
    described = _hold_runs(cursor)
    changed: set[int] = set()
    for table in (*_SCORES, _CASES):
        cursor.execute(
            f"""WITH gone AS (DELETE FROM {table} WHERE player_id IN (SELECT player_id FROM undone_player) RETURNING run_id)
            SELECT DISTINCT run_id FROM gone"""
        )
        changed.update(row[0] for row in cursor.fetchall())
    cursor.execute("DELETE FROM predictions_scorepoint WHERE player_id IN (SELECT player_id FROM undone_player)")
    _count_anew(changed.intersection(described))


def _hold_runs(cursor: Any) -> list[int]:
    """Lock the runs that can still be shown, the latest first, as publishing does. Returns those whose sums may be there.

    Before any score is deleted: who explains a run holds it while writing to its scores. A run that is still being scored is held
    against its end alone; ranges are worked on beside it.
    """
    cursor.execute("SELECT id FROM predictions_scoringrun WHERE status = 'BUILDING' ORDER BY as_of DESC FOR KEY SHARE")
    cursor.execute("SELECT id FROM predictions_scoringrun WHERE status IN ('COMPLETE', 'PUBLISHED') ORDER BY as_of DESC FOR NO KEY UPDATE")
    return [row[0] for row in cursor.fetchall()]


def _count_anew(runs: Iterable[int]) -> None:
    from predictions.models import ScoringRun
    from predictions.summaries import count_anew

    for run in ScoringRun.objects.filter(pk__in=list(runs)):
        count_anew(run)
