"""Between scoring and publishing: reasons, points of history, sums and past cases of a run that nobody sees yet.

Every function is one chunk of the job "predictions.prepare", a transaction of its own, and safe to run twice: a job that is killed goes
on where it stopped. All hold the run's row, so that no later run abandons it under their hands. Where a later run is shown already they do
nothing and return {"rows": 0}, as scoring does: the run would never be shown.
"""

from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from loyalty_site.common.models import JobRun
from predictions import drifting, scoring, similar, summaries
from predictions.instants import require_past
from predictions.models import Kind, ScoringRun
from predictions.points import add_points
from predictions.reasons import store_reasons
from predictions.selectors import SCORES
from predictions.thresholds import thresholds

OPEN = (ScoringRun.Status.BUILDING, ScoringRun.Status.COMPLETE)


class NotComplete(RuntimeError):
    """The run may not be shown: not all its players are scored, or what belongs to the scores is missing."""


def close(as_of: datetime) -> dict[str, Any]:
    """End the scoring of a run: whoever comes with a range after this writes nothing. Raises NotComplete and FutureInstant."""
    if ScoringRun.shown_after(as_of) is not None:
        return {"rows": 0}
    run = _scored(as_of, ScoringRun.objects.select_for_update())
    if run.status == ScoringRun.Status.BUILDING:
        run.status = ScoringRun.Status.COMPLETE
        run.save(update_fields=["status"])
        with connection.cursor() as cursor:
            for kind in run.versions:  # loaded a minute ago; without figures the planner takes them for empty
                cursor.execute(f"ANALYZE {SCORES[kind]._meta.db_table}")
    return {"rows": 0}


def explain(lower_id: int, upper_id: int, as_of: datetime) -> dict[str, Any]:
    """Store the reasons of those in the range who are at the top of a kind, and everybody's points of history.

    Returns {"rows": 0, "reasons": rows that have them, "points": points written}.
    Raises NotComplete, FutureInstant and registry.ArtifactError.
    """
    if ScoringRun.shown_after(as_of) is not None:
        return {"rows": 0}
    run = _scored(as_of, ScoringRun.objects.all())
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM predictions_scoringrun WHERE id = %s FOR SHARE", [run.pk])
    run.refresh_from_db()
    if run.status not in OPEN:
        return {"rows": 0}
    reasons = store_reasons(run, scoring.models_of(run), thresholds().reasons_for, lower_id, upper_id)
    return {"rows": 0, "reasons": reasons, "points": add_points(run, lower_id, upper_id)}


def describe(as_of: datetime) -> dict[str, Any]:
    """Write the run's sums, past cases and drift. Returns {"rows": 0, "cases": n}. Raises NotComplete and FutureInstant."""
    if ScoringRun.shown_after(as_of) is not None:
        return {"rows": 0}
    run = _scored(as_of, ScoringRun.objects.select_for_update())
    if run.status not in OPEN:
        return {"rows": 0}
    run.summary = {"units": run.summary["units"], **{kind: summaries.summarise(kind, run) for kind in run.versions}}
    cases = similar.store(run) if Kind.CHURN in run.versions else 0
    run.summary[drifting.SUMMARY] = drifting.of_run(run)
    run.save(update_fields=["summary"])
    return {"rows": 0, "cases": cases}


def has_succeeded(job: str, as_of: datetime) -> bool:
    """Whether a job has done all its work for an instant; a run narrowed to single players has not."""
    done = JobRun.objects.filter(name=job, as_of=as_of, status=JobRun.Status.SUCCEEDED)
    return any(not one.parameters.get("ids") for one in done)


def _scored(as_of: datetime, runs: QuerySet[ScoringRun]) -> ScoringRun:
    as_of = require_past(as_of)
    run = runs.filter(as_of=as_of).first()
    if run is None or not has_succeeded("predictions.score", as_of):
        raise NotComplete(
            f"The scores as of {as_of:%Y-%m-%d %H:%M:%S} UTC are not complete. Run the job predictions, which scores and publishes."
        )
    return run
