"""What people decide about waiting rewards: approve, reject, recheck; and what happens when nobody decides.

Locks go players, decisions, budgets, always in id order. A person's answer is checked against the decision as it is under the lock,
never as it was on the screen.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import connection, transaction

from loyalty_site.common.models import AuditEvent
from players.models import PlayerMetrics
from players.services import refresh_metrics_for
from rewards.granting import budgets
from rewards.granting.batch import GrantBatch, Proposals, Terms, bonus_terms, terms_of
from rewards.granting.budgets import load_budgets
from rewards.granting.columns import load_players, lock_players
from rewards.granting.gates import Work
from rewards.granting.history import load_history
from rewards.granting.pipeline import APPROVE_PERMISSION, Checked, approver_ids, run_gates, wagering_required
from rewards.granting.rows import lay_out
from rewards.granting.settings import Thresholds, read_thresholds
from rewards.granting.states import check_path
from rewards.models import DecisionEvent, RewardDecision

# Inputs of verdicts whose change sends a reward back to the person who decides; figures that move every day are not among them.
_HARD_INPUTS = {
    "protection": ("exclusion", "harm_flag", "marketing_consent"),
    "jurisdiction": ("market", "rules_from", "wagering_limit"),
    "abuse": ("band",),
}


@dataclass(frozen=True)
class Answer:
    """What became of one decision: APPROVED, FIRST_APPROVAL, CHANGED (back to waiting, with what changed), UNCHANGED, REFUSED (a gate
    says no now), REJECTED, or NOT_ALLOWED (nothing was done; `message` says why)."""

    decision_id: int
    outcome: str
    message: str = ""


@dataclass
class _Finding:
    """One decision after its recheck."""

    decision: RewardDecision
    diff: list[dict[str, Any]] = field(default_factory=list)
    refused_by: str = ""
    reason: str = ""
    stale: bool = False


def approve(
    decision_ids: Sequence[int], actor: User, at: datetime, note: str = "", *, thresholds: Thresholds | None = None
) -> list[Answer]:
    """Approve waiting rewards, after running all gates again on current data.

    A reward whose terms or hard inputs changed, or whose checks were too old, stays waiting with the diff; one that a gate refuses
    now is refused. The maker never approves, superuser included; above the second limit two different people must.
    Raises PermissionDenied without the permission. One transaction for all.
    """
    require_permission(actor, APPROVE_PERMISSION)
    thresholds = thresholds or read_thresholds()
    with transaction.atomic():
        decisions = _lock(decision_ids)
        answers, mine = _sort_out(decision_ids, decisions, actor)
        findings = _recheck(mine, at, thresholds)
        journal = _Journal(at, actor)
        for finding in findings:
            answers.append(_settle(finding, actor, at, note, journal))
        _write(findings, journal)
    return sorted(answers, key=lambda answer: answer.decision_id)


def recheck(decision_ids: Sequence[int], at: datetime, *, actor: User | None = None, thresholds: Thresholds | None = None) -> list[Answer]:
    """Run all gates again for waiting rewards, without deciding. Terms follow current data; a refusal is final for now."""
    if actor is not None:
        require_permission(actor, APPROVE_PERMISSION)
    with transaction.atomic():
        decisions = [one for one in _lock(decision_ids) if one.status == "PENDING"]
        findings = _recheck(decisions, at, thresholds or read_thresholds())
        journal = _Journal(at, actor)
        answers = [_refuse(finding, at, journal) if finding.refused_by else _keep(finding, at, journal) for finding in findings]
        _write(findings, journal)
    return answers


def reject(decision_ids: Sequence[int], actor: User, at: datetime, reason: str) -> list[Answer]:
    """Reject waiting (or failed) rewards for a reason; what they reserved is free again. The maker decides neither way.

    Raises PermissionDenied without the permission, ValueError without a reason.
    """
    require_permission(actor, APPROVE_PERMISSION)
    if not reason.strip():
        raise ValueError("give a reason: it is kept with the rejection")
    with transaction.atomic():
        decisions = _lock(decision_ids)
        answers, mine = _sort_out(decision_ids, decisions, actor, statuses=("PENDING", "ISSUE_FAILED"), twice=True)
        budgets.free([one.pk for one in mine], at)
        journal = _Journal(at, actor)
        for decision in mine:
            check_path(decision.status, "REJECTED")
            journal.add(decision, "REJECTED", "rejection", "rewards.decision_rejected", reason)
            decision.status, decision.decided_at, decision.budget_ids = "REJECTED", at, []
            answers.append(Answer(decision.pk, "REJECTED"))
        RewardDecision.objects.bulk_update(mine, ["status", "decided_at", "budget_ids"], batch_size=500)
        journal.save()
    return sorted(answers, key=lambda answer: answer.decision_id)


def lapse(at: datetime, *, lower_id: int = 0, upper_id: int = 2**62, thresholds: Thresholds | None = None) -> int:
    """End the wait of rewards nobody decided on in time; returns how many. What they reserved is free again."""
    hours = (thresholds or read_thresholds()).lapses_after_hours
    check_path("PENDING", "LAPSED")
    note = f"nobody decided within {hours} hours"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM rewards_rewarddecision WHERE status = 'PENDING' AND proposed_at <= %s AND id >= %s AND id < %s "
            "ORDER BY id FOR UPDATE SKIP LOCKED",
            [at - timedelta(hours=hours), lower_id, upper_id],
        )
        ids = [row[0] for row in cursor.fetchall()]
        if not ids:
            return 0
        budgets.free(ids, at)
        cursor.execute(
            "INSERT INTO rewards_decisionevent (decision_id, occurred_at, from_status, to_status, cause, note, detail) "
            "SELECT one, %s, 'PENDING', 'LAPSED', 'lapse', %s, '{}' FROM unnest(%s::bigint[]) AS one",
            [at, note, ids],
        )
        cursor.execute(
            "UPDATE rewards_rewarddecision SET status = 'LAPSED', decided_at = %s, budget_ids = '{}' WHERE id = ANY(%s)", [at, ids]
        )
    return len(ids)


def require_permission(actor: Any, permission: str) -> None:
    """Raise PermissionDenied unless the person is active and holds the permission."""
    if not actor.is_active or not actor.has_perm(permission):
        raise PermissionDenied(f"{actor} does not hold the permission {permission}")


def _lock(decision_ids: Sequence[int]) -> list[RewardDecision]:
    """The decisions under their locks, as they are now. Their players are locked first."""
    ids = sorted(set(decision_ids))
    lock_players(list(RewardDecision.objects.filter(pk__in=ids).values_list("player_id", flat=True).distinct()))
    query = RewardDecision.objects.select_for_update(of=("self",)).select_related("rule_version__rule", "player")
    return list(query.filter(pk__in=ids).order_by("pk"))


def _sort_out(
    asked: Iterable[int],
    decisions: Sequence[RewardDecision],
    actor: User,
    *,
    statuses: Sequence[str] = ("PENDING",),
    twice: bool = False,
) -> tuple[list[Answer], list[RewardDecision]]:
    """Answers for what this person cannot decide, and the decisions that are left. `twice`: a first approver may also answer."""
    answers = [Answer(one, "NOT_ALLOWED", "there is no such reward") for one in set(asked) - {one.pk for one in decisions}]
    mine = []
    for decision in decisions:
        if decision.status not in statuses:
            message = f"it is {decision.get_status_display().lower()} already"
        elif decision.maker_id == actor.pk:
            message = "you proposed it; another person must decide"
        elif decision.first_approver_id == actor.pk and not twice:
            message = "you gave the first approval; another person must give the second"
        else:
            mine.append(decision)
            continue
        answers.append(Answer(decision.pk, "NOT_ALLOWED", message))
    return answers, mine


def _settle(finding: _Finding, actor: User, at: datetime, note: str, journal: "_Journal") -> Answer:
    decision = finding.decision
    if finding.refused_by:
        return _refuse(finding, at, journal)
    if finding.diff or finding.stale:
        return _keep(finding, at, journal)
    if decision.approvals_needed > 1 and decision.first_approver_id is None:
        journal.add(decision, "PENDING", "first_approval", "rewards.decision_first_approved", note)
        decision.first_approver_id = actor.pk
        return Answer(decision.pk, "FIRST_APPROVAL", "a second person must approve too")
    check_path("PENDING", "APPROVED")
    journal.add(decision, "APPROVED", "approval", "rewards.decision_approved", note)
    if decision.first_approver_id is None:
        decision.first_approver_id = actor.pk
    else:
        decision.second_approver_id = actor.pk
    decision.status, decision.decided_at = "APPROVED", at
    return Answer(decision.pk, "APPROVED")


def _refuse(finding: _Finding, at: datetime, journal: "_Journal") -> Answer:
    decision = finding.decision
    check_path("PENDING", "CHECKED", "REFUSED")
    journal.add(decision, "REFUSED", "recheck", "rewards.decision_refused", f"{finding.refused_by}: {finding.reason}")
    decision.status, decision.decided_at, decision.refused_by = "REFUSED", at, finding.refused_by
    return Answer(decision.pk, "REFUSED", finding.reason)


def _keep(finding: _Finding, at: datetime, journal: "_Journal") -> Answer:
    decision = finding.decision
    check_path("PENDING", "CHECKED", "PENDING")
    if not finding.diff and not finding.stale:
        return Answer(decision.pk, "UNCHANGED")
    what = ", ".join(change["field"] for change in finding.diff) or "nothing; the checks were too old"
    journal.add(decision, "PENDING", "recheck", "", f"changed since it was checked: {what}", {"diff": finding.diff})
    if finding.diff:
        decision.first_approver_id = None
    return Answer(decision.pk, "CHANGED", f"checked again, look once more: {what}")


class _Journal:
    """Events and audit rows of one call, written together."""

    def __init__(self, at: datetime, actor: User | None) -> None:
        self.at, self.actor = at, actor
        self.events: list[DecisionEvent] = []
        self.audit: list[AuditEvent] = []

    def add(
        self, decision: RewardDecision, to_status: str, cause: str, action: str, note: str, detail: dict[str, Any] | None = None
    ) -> None:
        actor_id = self.actor.pk if self.actor else None
        self.events.append(
            DecisionEvent(
                decision=decision,
                occurred_at=self.at,
                from_status=decision.status,
                to_status=to_status,
                cause=cause,
                actor_id=actor_id,
                note=note,
                detail=detail or {},
            )
        )
        if action:
            self.audit.append(
                AuditEvent(
                    occurred_at=self.at,
                    action=action,
                    actor_id=actor_id,
                    subject_type=RewardDecision._meta.label_lower,
                    subject_id=str(decision.pk),
                    before={"status": str(decision.status)},
                    after={"status": to_status, "amount": str(decision.amount), "unit": decision.money_unit},
                    reason=note,
                )
            )

    def save(self) -> None:
        DecisionEvent.objects.bulk_create(self.events, batch_size=1000)
        AuditEvent.objects.bulk_create(self.audit, batch_size=1000)


def _write(findings: Sequence[_Finding], journal: _Journal) -> None:
    fields = ["status", "verdicts", "refused_by", "diff", "amount_minor", "wagering_required", "approvals_needed", "expected_cost"]
    fields += ["budget_ids", "checked_at", "decided_at", "first_approver", "second_approver"]
    RewardDecision.objects.bulk_update([finding.decision for finding in findings], fields, batch_size=500)
    journal.save()


def _recheck(decisions: Sequence[RewardDecision], at: datetime, thresholds: Thresholds) -> list[_Finding]:
    """Run the gates on current data, with the decisions' reservations freed and taken anew. Changes the instances, writes budgets."""
    if not decisions:
        return []
    _refresh_old_figures([one.player_id for one in decisions], at, thresholds)
    budgets.free([one.pk for one in decisions], at)
    findings: list[_Finding] = []
    ordered = sorted(decisions, key=lambda one: (one.source, one.maker_id or 0, one.pk))
    for (source, _), group in groupby(ordered, key=lambda one: (one.source, one.maker_id or 0)):
        findings += _recheck_alike(list(group), source, at, thresholds, without=[one.pk for one in decisions])
    return sorted(findings, key=lambda finding: finding.decision.pk)


def _refresh_old_figures(players: Sequence[int], at: datetime, thresholds: Thresholds) -> None:
    """Measure again who was not measured for as long as makes a check stale: the gates judge on current data."""
    oldest = at - timedelta(hours=thresholds.stale_after_hours)
    old = PlayerMetrics.objects.filter(player_id__in=players, as_of__lt=oldest).values_list("player_id", flat=True)
    if ids := sorted(old):
        refresh_metrics_for(ids, at)


def _recheck_alike(
    decisions: list[RewardDecision], source: str, at: datetime, thresholds: Thresholds, *, without: list[int]
) -> list[_Finding]:
    """Recheck decisions of one source and maker."""
    sets = [list(group) for _, group in groupby(sorted(decisions, key=_alike), key=_alike)]
    batch = GrantBatch(tuple(_as_proposals(one) for one in sets), at, source=source, maker=decisions[0].maker)
    columns = load_players([one.player_id for one in decisions], at)
    rows = lay_out(batch, columns)
    by_row = [sets[origin][item] for origin, item in zip(rows.origin.tolist(), rows.item.tolist(), strict=True)]
    rows.decision[:] = [one.pk for one in by_row]
    work = Work(batch, rows, columns, thresholds, load_history(rows, at, without=without), approver_ids())
    reserved = load_budgets(rows, at, lock=True)
    checked = run_gates(work, reserved)
    budgets.reserve(reserved, at)
    verdicts = [json.loads(text) for text in checked.verdicts()]
    return [_apply(decision, row, checked, verdicts[row], at, thresholds) for row, decision in enumerate(by_row)]


def _alike(decision: RewardDecision) -> tuple[int, str, int]:
    return (decision.rule_version_id or 0, decision.period, 0 if decision.rule_version_id else decision.pk)


def _as_proposals(decisions: list[RewardDecision]) -> Proposals:
    """Decisions of one rule version and period (or one grant without a rule) as they were proposed."""
    first = decisions[0]
    version = first.rule_version
    if version is not None:
        terms = terms_of(version)
    elif first.bonus_template:
        terms = bonus_terms(first.bonus_template)
    else:
        terms = Terms(first.unit, first.wagering_multiple, first.expiry_hours, first.max_bet, tuple(first.eligible_games))
    return Proposals(
        terms=terms,
        player_ids=[one.player_id for one in decisions],
        minor=[one.proposed_minor for one in decisions],
        version=version,
        keys=None if version is not None else [one.idempotency_key for one in decisions],
        currency=str(version.reward_config.get("currency") or "") if version is not None else "",
        period_at=first.proposed_at,
    )


def _apply(
    decision: RewardDecision, row: int, checked: Checked, verdicts: list[dict[str, Any]], at: datetime, thresholds: Thresholds
) -> _Finding:
    rows = checked.rows
    new = {
        "amount_minor": int(rows.amount[row]),
        "wagering_required": wagering_required(rows, row),
        "approvals_needed": max(1, int(checked.approvals[row])),
    }
    diff = [
        {"field": name, "before": str(getattr(decision, name)), "after": str(value)}
        for name, value in new.items()
        if getattr(decision, name) != value
    ]
    diff += _verdict_changes(decision.verdicts, verdicts)
    stale = decision.checked_at is None or at - decision.checked_at > timedelta(hours=thresholds.stale_after_hours)
    refused_by = str(checked.refused_by[row])
    reason = next((one["reason"] for one in verdicts if one["name"] == refused_by), "")
    for name, value in new.items():
        setattr(decision, name, value)
    decision.verdicts, decision.checked_at, decision.budget_ids = verdicts, at, checked.accounts[row]
    decision.expected_cost, decision.diff = checked.costs[row], diff
    return _Finding(decision, diff, refused_by, reason, stale)


def _verdict_changes(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[dict[str, Any]]:
    earlier = {one["name"]: one for one in before}
    changes = []
    for verdict in after:
        name = verdict["name"]
        old = earlier.get(name, {"result": "", "reason": "", "inputs": {}})
        if (old["result"], old["reason"]) != (verdict["result"], verdict["reason"]):
            changes.append(
                {"field": name, "before": f"{old['result']}: {old['reason']}", "after": f"{verdict['result']}: {verdict['reason']}"}
            )
        for key in _HARD_INPUTS.get(name, ()):
            if old["inputs"].get(key) != verdict["inputs"].get(key):
                changes.append({"field": f"{name}.{key}", "before": old["inputs"].get(key), "after": verdict["inputs"].get(key)})
    return changes
