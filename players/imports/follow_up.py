"""What runs for the touched players once an import is written: metrics, segments, rewards, as the operator chose.

Safe to run again: each step is noted when it is done, and each computes from what is stored.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from players import services
from players.imports import hooks, stage
from players.models import ImportJob

SLICE = 5_000


def run_follow_up(job: ImportJob, at: datetime) -> None:
    """Run the steps named in `job.result["after_pending"]`, noting each; drops the list of touched players at the end."""
    for step in list(job.result["after_pending"]):
        figures: dict[str, Any] = {}
        for player_ids in _slices(job):
            for name, value in _run_step(step, job, player_ids, at).items():
                is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
                figures[name] = figures.get(name, 0) + value if is_number else value
        if step == "rewards" and not hooks.has_after_import():
            figures["skipped"] = "no reward engine is installed"
        job.result = {
            **job.result,
            "after_pending": [name for name in job.result["after_pending"] if name != step],
            "after": {**job.result.get("after", {}), step: figures},
        }
        job.rewards_issued += int(figures.get("rewards_issued", 0))
        job.save(update_fields=["result", "rewards_issued"])
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {stage.touched_table_of(job.pk)}")


def _run_step(step: str, job: ImportJob, player_ids: list[int], at: datetime) -> dict[str, Any]:
    if step == "metrics":
        with transaction.atomic():
            return {"players": services.refresh_metrics_for(player_ids, at)}
    if step == "segments":
        with transaction.atomic():
            return {str(key): value for key, value in (services.classify_segments_for(player_ids, at) or {}).items()}
    return hooks.run_after_import(job, player_ids, at)


def _slices(job: ImportJob) -> Iterator[list[int]]:
    last = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT DISTINCT player_id FROM {stage.touched_table_of(job.pk)} WHERE player_id > %s ORDER BY player_id LIMIT %s",
                [last, SLICE],
            )
            ids = [row[0] for row in cursor.fetchall()]
        if not ids:
            return
        yield ids
        last = ids[-1]


def refresh_touched(player_ids: Sequence[int], at: datetime, *, segments: bool) -> None:
    """Metrics (and segments) of players whose activity was taken back."""
    for start in range(0, len(player_ids), SLICE):
        part = list(player_ids[start : start + SLICE])
        services.refresh_metrics_for(part, at)
        if segments:
            services.classify_segments_for(part, at)
