"""Publishing a scoring run: reasons for the top, summary, thin history, the switch, and what is pruned. One transaction.

Readers see the old run until the commit and the new one from then on. Killed before, nothing has happened, and the job runs again.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from django.db import connection, transaction

from loyalty_site.common.clock import require_utc, utc_now
from loyalty_site.common.models import JobRun
from loyalty_site.common.sql import id_array
from predictions import features, scoring, similar, summaries, wording
from predictions.ml import explain
from predictions.ml.kinds import Model
from predictions.models import Kind, ModelVersion, ScoringRun
from predictions.selectors import LEADING, SCORES
from predictions.thresholds import Thresholds, thresholds

logger = logging.getLogger(__name__)

STORED_REASONS = 3  # a player
POINT_AFTER = timedelta(days=7)
POINT_CHANGE = 0.1
_LEAST_RUNS = 2  # who reads the run that was current a moment ago still finds its rows
_BLOCK = 2_000
# The order in which players are "at the top" of a kind; each has an index.
_TOP = {
    Kind.CHURN: "priority DESC",
    Kind.LTV: "value DESC",
    Kind.FRAUD: "score DESC",
    Kind.SEGMENTATION: "stability DESC",
    Kind.ENGAGEMENT: "probability DESC",
}


class NotComplete(RuntimeError):
    """The run may not be shown: not all its players are scored."""


def publish(as_of: datetime) -> dict[str, Any]:
    """Show the run of `as_of`. Returns {"rows": players with a score, "reasons": n, "points": n, "pruned": rows deleted}.

    A run that is published stays as it is; one that a later run has overtaken is abandoned. Raises NotComplete, naming the remedy,
    unless the job that scores it has succeeded.
    """
    as_of = require_utc(as_of, "as_of")
    with transaction.atomic():
        run = ScoringRun.objects.select_for_update().filter(as_of=as_of).first()
        if run is None or not _is_complete(as_of):
            raise NotComplete(
                f"The scores as of {as_of:%Y-%m-%d %H:%M:%S} UTC are not complete. Run the job predictions, which scores and publishes."
            )
        if run.status != ScoringRun.Status.BUILDING:
            return {"rows": 0}
        if ScoringRun.objects.filter(is_current=True, as_of__gt=as_of).exists():
            return {"rows": 0, "pruned": _end([run], ScoringRun.Status.ABANDONED)}
        return _publish(run, thresholds())


def _is_complete(as_of: datetime) -> bool:
    done = JobRun.objects.filter(name="predictions.score", as_of=as_of, status=JobRun.Status.SUCCEEDED)
    return any(not one.parameters.get("ids") for one in done)


def _publish(run: ScoringRun, limits: Thresholds) -> dict[str, Any]:
    with connection.cursor() as cursor:
        for kind in run.versions:  # loaded a minute ago; without figures the planner takes them for empty
            cursor.execute(f"ANALYZE {SCORES[kind]._meta.db_table}")
    reasons = store_reasons(run, scoring.models_of(run), limits.reasons_for)
    run.summary = {**run.summary, **{kind: summaries.summarise(kind, run) for kind in run.versions}}
    if Kind.CHURN in run.versions:
        similar.store(run)
    points = sum(_add_points(kind, run) for kind in run.versions)
    pruned = prune(run, limits.runs_kept)
    ScoringRun.objects.filter(is_current=True).update(is_current=False)
    run.is_current, run.status, run.published_at = True, ScoringRun.Status.PUBLISHED, utc_now()
    run.save(update_fields=["summary", "is_current", "status", "published_at"])
    rows = max((run.summary[kind]["players"] for kind in run.versions), default=0)
    logger.info("predictions.run_published run=%s players=%s reasons=%s pruned=%s", run.pk, rows, reasons, pruned)
    return {"rows": rows, "reasons": reasons, "points": points, "pruned": pruned}


def store_reasons(run: ScoringRun, models: Mapping[str, Model], count: int) -> int:
    """Explain the `count` players at the top of each kind and keep the largest reasons. Returns how many rows have them.

    Features of a player at the top of several kinds are computed once. Memory does not grow with `count`.
    """
    versions = ModelVersion.objects.in_bulk(run.versions.values())
    top = {kind: _top(kind, run, count) for kind in models}
    players = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *top.values()]))
    stored = 0
    for block in _blocks(players):
        frame = features.frame_for(block.tolist(), run.as_of, units=run.summary["units"])
        for kind, model in models.items():
            rows = frame[frame.index.isin(top[kind])]
            if len(rows):
                found = explain.reasons(model.explain(rows), rows, top=STORED_REASONS)
                worded = [with_typical(one, versions[run.versions[kind]]) for one in found]
                stored += _store(kind, run, worded, rows)
    return stored


def with_typical(reasons: Sequence[Mapping[str, Any]], version: ModelVersion) -> list[dict[str, Any]]:
    """Each reason with "typical", the feature's median at training, where the version keeps it: what is high, what is low."""
    known = wording.medians(version.reference)
    return [{**one, "typical": known[one["feature"]]} if one["feature"] in known else dict(one) for one in reasons]


def _top(kind: str, run: ScoringRun, count: int) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT player_id FROM {SCORES[kind]._meta.db_table} WHERE run_id = %s ORDER BY {_TOP[Kind(kind)]}, player_id LIMIT %s",
            [run.pk, count],
        )
        return np.array([row[0] for row in cursor.fetchall()], dtype=np.int64)


def _blocks(players: Any) -> Iterator[Any]:
    for start in range(0, len(players), _BLOCK):
        yield players[start : start + _BLOCK]


def _store(kind: str, run: ScoringRun, reasons: list[list[dict[str, Any]]], rows: pd.DataFrame) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            UPDATE {SCORES[kind]._meta.db_table} s SET reasons = r.reasons
            FROM unnest(%s::bigint[], %s::jsonb[]) AS r (player_id, reasons) WHERE s.run_id = %s AND s.player_id = r.player_id
            """,
            [id_array(rows.index), [json.dumps(one, allow_nan=False) for one in reasons], run.pk],
        )
        return int(cursor.rowcount)


def _add_points(kind: str, run: ScoringRun) -> int:
    """A point of history for each player whose last one is a week old, or whose figure moved by a tenth (a cluster: at all)."""
    leading = LEADING[kind]
    limit = "%(change)s * abs(last.value)" if kind == Kind.LTV else "0" if kind == Kind.SEGMENTATION else "%(change)s"
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO predictions_scorepoint (player_id, kind, as_of, value)
            SELECT s.player_id, %(kind)s, %(as_of)s, s.{leading} FROM {SCORES[kind]._meta.db_table} s
            LEFT JOIN LATERAL (
                SELECT p.as_of, p.value FROM predictions_scorepoint p
                WHERE p.player_id = s.player_id AND p.kind = %(kind)s AND p.as_of <= %(as_of)s ORDER BY p.as_of DESC LIMIT 1
            ) last ON true
            WHERE s.run_id = %(run)s
                AND (last.as_of IS NULL OR last.as_of <= %(due)s OR abs(s.{leading} - last.value) > {limit})
            ON CONFLICT DO NOTHING
            """,
            {"kind": kind, "as_of": run.as_of, "run": run.pk, "due": run.as_of - POINT_AFTER, "change": POINT_CHANGE},
        )
        return int(cursor.rowcount)


def prune(run: ScoringRun, kept: int) -> int:
    """Delete the scores of all but the last `kept` runs (`run` counts; at least 2 stay), and of runs that were never finished."""
    older = ScoringRun.objects.filter(as_of__lt=run.as_of)
    published = list(older.filter(status=ScoringRun.Status.PUBLISHED).order_by("-as_of"))[max(kept, _LEAST_RUNS) - 1 :]
    unfinished = list(older.filter(status=ScoringRun.Status.BUILDING))
    return _end(published, ScoringRun.Status.PRUNED) + _end(unfinished, ScoringRun.Status.ABANDONED)


def _end(runs: list[ScoringRun], status: ScoringRun.Status) -> int:
    """Delete the scores of runs that nobody sees any more. The runs stay, as records."""
    if not runs:
        return 0
    numbers = [run.pk for run in runs]
    ScoringRun.objects.filter(pk__in=numbers).update(status=status)
    deleted = 0
    with connection.cursor() as cursor:
        for model in SCORES.values():
            cursor.execute(f"DELETE FROM {model._meta.db_table} WHERE run_id = ANY(%s)", [numbers])
            deleted += cursor.rowcount
        cursor.execute("DELETE FROM predictions_pastcase WHERE run_id = ANY(%s)", [numbers])
    return deleted
