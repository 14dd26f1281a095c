"""What goes after a run is published: scores of runs that ended, with the points of those that were never shown, and points of history
that are too close to be told apart later.

Both work on a range of players, in the transaction of the range's chunk, and find what is left by themselves: a night that is killed
leaves the rest to the next.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from loyalty_site.common.clock import require_utc
from loyalty_site.common.models import JobRun
from predictions.eligibility import CONSENTED_SQL, WITHOUT_CONSENT
from predictions.models import ScoringRun
from predictions.points import delete_abandoned
from predictions.selectors import SCORES
from predictions.thresholds import thresholds

JOB = "predictions.prune"
_DAYS_OF_A_YEAR = 365.25


def prune(lower_id: int, upper_id: int, as_of: datetime) -> dict[str, Any]:
    """Work the players in the range.

    Returns {"rows": 0, "pruned": scores and past cases deleted, "points_abandoned": points of abandoned runs deleted, "points_thinned": n}.
    """
    as_of = require_utc(as_of, "as_of")
    abandoned = delete_abandoned(lower_id, upper_id)  # before the scores, by which they are found
    pruned = _delete_ended(lower_id, upper_id)
    thinned = _forget_unconsented(lower_id, upper_id, as_of) + _thin(lower_id, upper_id, as_of)
    return {"rows": 0, "pruned": pruned, "points_abandoned": abandoned, "points_thinned": thinned}


def _delete_ended(lower_id: int, upper_id: int) -> int:
    """Scores of runs that nobody sees any more. The runs stay, as records: they say which version a point of history is from."""
    ended = [ScoringRun.Status.PRUNED, ScoringRun.Status.ABANDONED]
    runs = list(ScoringRun.objects.filter(status__in=ended).values_list("pk", flat=True))
    deleted = 0
    with connection.cursor() as cursor:
        for table in (*(model._meta.db_table for model in SCORES.values()), "predictions_pastcase"):
            cursor.execute(f"DELETE FROM {table} WHERE run_id = ANY(%s) AND player_id >= %s AND player_id < %s", [runs, lower_id, upper_id])
            deleted += cursor.rowcount
    return deleted


def _forget_unconsented(lower_id: int, upper_id: int, as_of: datetime) -> int:
    """History of players who took back the consent that their market asks for. Fraud needs none."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            DELETE FROM predictions_scorepoint s USING players_player p
            WHERE p.id >= %(lower)s AND p.id < %(upper)s AND NOT {CONSENTED_SQL} AND s.player_id = p.id AND s.kind <> ALL(%(kinds)s)
            """,
            {"lower": lower_id, "upper": upper_id, "at": as_of, "kinds": sorted(map(str, WITHOUT_CONSENT))},
        )
        return int(cursor.rowcount)


def _thin(lower_id: int, upper_id: int, as_of: datetime) -> int:
    """Keep the last point of each month that lies wholly more than PREDICTION_HISTORY_DAYS back, and none that is older than
    PREDICTION_HISTORY_YEARS. Points of runs that nobody sees yet do not count. Worked once a month: reading all points to find nothing new
    each night would be waste."""
    limits = thresholds()
    kept_days = timedelta(days=max(limits.history_days, 0))
    month = (as_of.astimezone(UTC) - kept_days).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    done = JobRun.objects.filter(name=JOB, status=JobRun.Status.SUCCEEDED, as_of__gte=month + kept_days, as_of__lt=as_of)
    if any(not one.parameters.get("ids") for one in done):
        return 0
    unseen = list(ScoringRun.never_shown().values_list("as_of", flat=True))
    oldest = as_of - timedelta(days=int(max(limits.history_years, 1) * _DAYS_OF_A_YEAR))
    with connection.cursor() as cursor:
        cursor.execute(
            """
            DELETE FROM predictions_scorepoint p USING (
                SELECT player_id, kind, as_of, lead(as_of) OVER (PARTITION BY player_id, kind ORDER BY as_of) AS next_as_of
                FROM predictions_scorepoint
                WHERE player_id >= %(lower)s AND player_id < %(upper)s AND NOT (as_of = ANY(%(unseen)s::timestamptz[]))
            ) n
            WHERE p.player_id = n.player_id AND p.kind = n.kind AND p.as_of = n.as_of AND (n.as_of < %(oldest)s
                OR n.as_of < %(month)s AND date_trunc('month', n.next_as_of, 'UTC') = date_trunc('month', n.as_of, 'UTC'))
            """,
            {"lower": lower_id, "upper": upper_id, "oldest": oldest, "month": month, "unseen": unseen},
        )
        return int(cursor.rowcount)
