"""Points of history: written before a run is shown, range by range of players, and deleted with a run that never is.

All players' points are due in the same night, the first and every seventh after it; written with the switch they would hold it up. Until
the switch nobody sees them: readers leave out the points of runs that are not shown (`ScoringRun.never_shown`).
"""

from datetime import datetime, timedelta

from django.db import connection

from predictions.models import Kind, ScoringRun
from predictions.selectors import LEADING, SCORES

POINT_AFTER = timedelta(days=7)
POINT_CHANGE = 0.1


def add_points(run: ScoringRun, lower_id: int, upper_id: int) -> int:
    """Write the points of `run` of the players with `lower_id <= id < upper_id`. Returns how many are new; run again, none is."""
    unseen = list(ScoringRun.never_shown().values_list("as_of", flat=True))
    return sum(_add(kind, run, lower_id, upper_id, unseen) for kind in run.versions)


def _add(kind: str, run: ScoringRun, lower_id: int, upper_id: int, unseen: list[datetime]) -> int:
    """A point for each player whose last one that was shown is a week old, or whose figure moved by a tenth since.

    Of clusters: when it changed at all, or was said by another version, whose clusters are others even where the numbers are the same.
    """
    leading = LEADING[kind]
    limit = "%(change)s * abs(last.value)" if kind == Kind.LTV else "0" if kind == Kind.SEGMENTATION else "%(change)s"
    other_words = "OR NOT (last.as_of = ANY(%(same)s))" if kind == Kind.SEGMENTATION else ""
    same = ScoringRun.objects.filter(**{f"versions__{kind}": run.versions[kind]}).values_list("as_of", flat=True)
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO predictions_scorepoint (player_id, kind, as_of, value)
            SELECT s.player_id, %(kind)s, %(as_of)s, s.{leading} FROM {SCORES[kind]._meta.db_table} s
            LEFT JOIN LATERAL (
                SELECT p.as_of, p.value FROM predictions_scorepoint p
                WHERE p.player_id = s.player_id AND p.kind = %(kind)s AND p.as_of <= %(as_of)s
                    AND NOT (p.as_of = ANY(%(unseen)s::timestamptz[]))
                ORDER BY p.as_of DESC LIMIT 1
            ) last ON true
            WHERE s.run_id = %(run)s AND s.player_id >= %(lower)s AND s.player_id < %(upper)s
                AND (last.as_of IS NULL OR last.as_of <= %(due)s OR abs(s.{leading} - last.value) > {limit} {other_words})
            ON CONFLICT DO NOTHING
            """,
            {
                "kind": kind,
                "as_of": run.as_of,
                "run": run.pk,
                "lower": lower_id,
                "upper": upper_id,
                "due": run.as_of - POINT_AFTER,
                "change": POINT_CHANGE,
                "same": list(same),
                "unseen": unseen,
            },
        )
        return int(cursor.rowcount)


def delete_abandoned(lower_id: int, upper_id: int) -> int:
    """Delete the points of abandoned runs in the range. Returns how many.

    Found by the run's scores, which must still be there: whoever has a point of a run has a score of it, and reading all points for those
    of a few runs each night would be waste.
    """
    deleted = 0
    with connection.cursor() as cursor:
        for kind, model in SCORES.items():
            cursor.execute(
                f"""
                DELETE FROM predictions_scorepoint p USING predictions_scoringrun r JOIN {model._meta.db_table} s ON s.run_id = r.id
                WHERE r.status = %(abandoned)s AND s.player_id >= %(lower)s AND s.player_id < %(upper)s
                    AND p.player_id = s.player_id AND p.kind = %(kind)s AND p.as_of = r.as_of
                """,
                {"abandoned": ScoringRun.Status.ABANDONED, "kind": kind, "lower": lower_id, "upper": upper_id},
            )
            deleted += cursor.rowcount
    return deleted
