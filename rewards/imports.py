"""What rewards hang on an import: evaluation of the touched players, and a veto on undoing what was paid on."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection

from fraud.services import scan_players
from players.imports.stage import TARGETS
from players.models import ImportJob
from rewards import services

_PLAYER_COLUMN = {"PLAYERS": "id"}

_STANDS_IN_THE_WAY = {
    "ISSUED": "issued",
    "ISSUING": "being issued",
    "APPROVED": "approved and about to be issued",
    "AUTO_APPROVED": "approved and about to be issued",
    "ISSUE_FAILED": "approved, with a failed issue",
    "PENDING": "waiting for approval",
}


def reward_after_import(job: ImportJob, player_ids: Sequence[int], at: datetime) -> dict[str, Any]:
    """Look for abuse among the players that an import touched, evaluate all rules for them, and pay what needs no approval."""
    signals = scan_players(player_ids, at)  # the gates read the scores
    result = services.evaluate_for(player_ids, at, import_job_id=job.pk, issue_now=True)
    return {
        "signals": signals,
        "rewards_proposed": result.proposed,
        "rewards_issued": result.issued,
        "rewards_pending": result.pending,
        "rewards_refused": result.refused,
        "rewards_known": result.duplicates,
        **{f"rewards_refused_by_{gate}": count for gate, count in sorted(result.refused_by.items())},
    }


def refuse_undo(job: ImportJob) -> list[str]:
    """Why an import must stay: rewards for the players it touched that were issued, or may still be, since it was written."""
    since = job.applied_at or job.created_at
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT d.status, count(*) FROM rewards_rewarddecision d
            WHERE d.proposed_at >= %(since)s AND d.status = ANY(%(statuses)s) AND d.player_id IN (
                SELECT {_PLAYER_COLUMN.get(job.kind, "player_id")} FROM {TARGETS[job.kind].table} WHERE import_job_id = %(job)s
                UNION SELECT p.id FROM players_importchange c JOIN players_player p ON p.external_id = c.player_external_id
                WHERE c.job_id = %(job)s)
            GROUP BY d.status
            """,
            {"since": since, "statuses": list(_STANDS_IN_THE_WAY), "job": job.pk},
        )
        counts: dict[str, int] = {}
        for status, count in cursor.fetchall():
            words = _STANDS_IN_THE_WAY[status]
            counts[words] = counts.get(words, 0) + count
    return [
        f"{count} rewards proposed for its players since then are {words}; revoke or reject them first."
        for words, count in sorted(counts.items())
    ]
