"""The door of the imports: upload, map, check, confirm, cancel, undo, correct. `docs/imports.md` tells the states.

Every function takes the instant `at` and, for what a person does, `actor`; each such act writes an audit event in its own
transaction. Permission is the caller's to check: `players.import_player`, and `players.undo_importjob` to undo.
"""

from collections.abc import Callable, Iterable
from typing import Any

from django.db import transaction

from players.imports.lifecycle import apply_import, cancel_import, check_import, confirm_import, undo_import, undo_refusals
from players.imports.quarantine import dismiss_quarantine, error_file, replay_quarantine
from players.imports.uploads import (
    AFTER_IMPORT,
    choose_sheet,
    create_import,
    ensure_builtin_mappings,
    save_mapping,
    set_mapping,
)
from players.models import ImportJob

__all__ = [
    "AFTER_IMPORT", "apply_import", "cancel_import", "check_import", "choose_sheet", "confirm_import", "create_import",
    "dismiss_quarantine", "enqueue", "ensure_builtin_mappings", "error_file", "quarantine_errors", "replay_quarantine", "save_mapping",
    "set_mapping", "summary", "undo_import", "undo_refusals",
]  # fmt: skip


def summary(job: ImportJob, *, errors: Iterable[dict[str, Any]] | None = None) -> dict[str, Any]:
    """The figures that the command and the API report."""
    return {
        "job": job.pk,
        "status": job.status,
        "kind": job.kind,
        "mapping": job.mapping_name,
        "total_rows": job.total_rows,
        "created": job.created_count,
        "updated": job.updated_count,
        "players_created": job.players_created,
        "players_updated": job.players_updated,
        "unchanged": job.unchanged_count,
        "quarantined": job.quarantined_count,
        "rewards_issued": job.rewards_issued,
        "rewards": after_text(job, "rewards") if job.after_import.get("rewards") else None,
        "same_file_as": job.result.get("same_file_as"),
        "errors": list(errors) if errors is not None else quarantine_errors(job),
    }


def after_text(job: ImportJob, step: str) -> str:
    """What a follow-up did, in words; "waiting" before it ran."""
    figures = job.result.get("after", {}).get(step)
    if figures is None:
        return "waiting"
    if "skipped" in figures:
        return str(figures["skipped"])
    if step == "metrics":
        return f"measured {figures.get('players', 0):,} players"
    if step == "segments":
        sizes = {name: count for name, count in figures.items() if name.isupper() and count}
        moved = f"{figures.get('moved', 0):,} of {figures.get('rows', 0):,} players moved"
        return " · ".join([moved, *(f"{name} {count:,}" for name, count in sorted(sizes.items()))])
    return _rewards_text(figures)


_REFUSED_BY = "rewards_refused_by_"


def _rewards_text(figures: dict[str, Any]) -> str:
    """Why a player of the file got nothing must not be a riddle: nothing proposed, refused by which gate, waiting for approval."""
    if not figures:
        return "the file changed nothing for any player, so nobody was evaluated"
    proposed, known = figures.get("rewards_proposed", 0), figures.get("rewards_known", 0)
    if not proposed:
        return (
            "no active rule proposes anything for these players; test a rule against one of them to see which condition does not hold. "
            "Totals carry no dates, so conditions on the last days find nothing in them"
        )
    parts = [f"{proposed:,} proposed", f"{figures.get('rewards_issued', 0):,} issued"]
    if figures.get("rewards_pending"):
        parts.append(f"{figures['rewards_pending']:,} wait for approval")
    if figures.get("rewards_refused"):
        gates = sorted((name.removeprefix(_REFUSED_BY), count) for name, count in figures.items() if name.startswith(_REFUSED_BY))
        why = ", ".join(f"{gate} {count:,}" for gate, count in gates)
        parts.append(f"{figures['rewards_refused']:,} refused" + (f" ({why})" if why else ""))
    if known:
        parts.append(f"{known:,} decided before")
    return " · ".join(parts)


def quarantine_errors(job: ImportJob, limit: int = 100) -> list[dict[str, Any]]:
    """The first quarantined rows (and the error of a failed job) as plain data."""
    errors: list[dict[str, Any]] = []
    if job.error:
        errors.append({"code": job.result.get("error", {}).get("code", "failed"), "message": job.error})
    for row in job.quarantine.order_by("row_number")[:limit]:
        errors.append(
            {"row": row.row_number, "column": row.column, "value": row.value, "code": row.code, "reason": row.reason, "remedy": row.remedy}
        )
    return errors


def enqueue(task: Callable[..., Any], job: ImportJob) -> None:
    """Hand a job to the workers once the current transaction is committed."""
    transaction.on_commit(lambda: task.delay(job_id=job.pk))  # type: ignore[attr-defined]
