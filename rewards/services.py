"""The door of the rewards app. Every reward, whoever asks for it, goes through `grant`; `docs/granting.md` describes the rules."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User

from rewards.granting.approval import Answer, approve, lapse, recheck, reject, require_permission
from rewards.granting.batch import GrantBatch, GrantResult, Proposals, Terms
from rewards.granting.by_hand import grant_by_hand
from rewards.granting.evaluate import BrokenRule, evaluate_range, figures
from rewards.granting.issue import IssueResult, issue_decisions, issue_range
from rewards.granting.pipeline import APPROVE_PERMISSION, KeyConflict, grant
from rewards.granting.preview import Preview, preview_gates
from rewards.granting.revocation import revoke
from rewards.granting.states import TransitionRefused

__all__ = [
    "Answer",
    "BrokenRule",
    "GrantBatch",
    "GrantResult",
    "IssueResult",
    "KeyConflict",
    "Preview",
    "Proposals",
    "Terms",
    "TransitionRefused",
    "approve",
    "evaluate_for",
    "evaluate_players",
    "grant",
    "grant_by_hand",
    "issue",
    "issue_range",
    "lapse",
    "preview_gates",
    "recheck",
    "reject",
    "retry_issue",
    "revoke",
]


def evaluate_players(lower_id: int, upper_id: int, as_of: datetime, run_id: int | None = None) -> dict[str, Any]:
    """Evaluate all rules in force for players with `lower_id <= id < upper_id`; decisions are written, nothing is paid yet.

    Returns the figures of the run: rows, proposed, duplicates, refused (and by gate), auto_approved, pending, issued.
    """
    return figures(evaluate_range(as_of, lower_id=lower_id, upper_id=upper_id, run_id=run_id))


def evaluate_for(
    player_ids: Sequence[int],
    as_of: datetime,
    *,
    run_id: int | None = None,
    import_job_id: int | None = None,
    issue_now: bool = False,
) -> GrantResult:
    """The same for named players; gives each the same rewards as a run for all. `issue_now` pays what needs no approval."""
    return evaluate_range(as_of, player_ids=player_ids, run_id=run_id, import_job_id=import_job_id, issue_now=issue_now)


def issue(decision_ids: Sequence[int], at: datetime) -> IssueResult:
    """Pay approved decisions now; the job does it anyway."""
    return issue_decisions(decision_ids, at=at)


def retry_issue(decision_ids: Sequence[int], actor: User, at: datetime) -> IssueResult:
    """Try again to pay rewards whose issue failed. Raises PermissionDenied without the permission to approve."""
    require_permission(actor, APPROVE_PERMISSION)
    return issue_decisions(decision_ids, at=at, statuses=("ISSUE_FAILED",))
