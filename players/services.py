"""The door of the players app: everything that writes.

Locks are taken in one order everywhere: players by id, then their metrics by player id.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from psycopg.types.json import Jsonb

from players.activity import COLUMNS, MergeCounts, create_stage, merge_stage
from players.markets import assign_market
from players.metrics import refresh_metrics, refresh_metrics_for
from players.protection import (
    ProtectionRefused,
    exclude_player,
    lift_exclusion,
    set_consent,
    set_deposit_limit,
    set_harm_flag,
)
from players.segments import classify_segments, classify_segments_for
from players.standing import apply_abuse_scores, move_tiers

__all__ = [
    "MergeCounts",
    "ProtectionRefused",
    "apply_abuse_scores",
    "assign_market",
    "classify_segments",
    "classify_segments_for",
    "exclude_player",
    "ingest",
    "lift_exclusion",
    "move_tiers",
    "refresh_metrics",
    "refresh_metrics_for",
    "set_consent",
    "set_deposit_limit",
    "set_harm_flag",
]


def ingest(kind: str, rows: Iterable[Sequence[Any]], *, at: datetime, import_job_id: int | None = None) -> MergeCounts:
    """Take validated activity rows (columns of `COLUMNS[kind]`, in that order) in one transaction: COPY into a stage, merge, roll up.

    Safe to repeat and to run beside itself: the same rows again are `unchanged`. Raises the database's error when a value does
    not fit its column; then nothing is written.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        stage = create_stage(cursor, kind)
        with cursor.copy(f"COPY {stage} ({', '.join(COLUMNS[kind])}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row([Jsonb(value) if isinstance(value, (dict, list)) else value for value in row])
        return merge_stage(cursor, kind, at=at, import_job_id=import_job_id)
