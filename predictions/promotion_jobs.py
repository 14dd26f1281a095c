"""The job "predictions.promote": an approval measures both versions first, which takes longer than a page may.

Who decides is recorded when they decide; the job measures and puts the version into use in their name, or leaves the request waiting with
the verdicts that speak against it. Parameters: {"request": id, "note": text}; the decider is `requested_by`.

An approval is theirs alone: a run that was cancelled, or whose measuring failed, is never taken up again, since whoever did that would
decide in their name, were it the person who asked.

Measuring runs in the chunk's transaction, as training does: see docs/models.md for why that holds up nobody.
"""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from celery import shared_task
from django.contrib.auth.models import User
from django.db import transaction

from loyalty_site.common import audit, jobs
from loyalty_site.common.clock import require_utc, utc_now
from loyalty_site.common.jobs import Job, Scope, register
from loyalty_site.common.models import AuditEvent, JobRun
from predictions import enqueueing, promotion, registry
from predictions.models import PromotionRequest

NAME = "predictions.promote"
_OPEN = (JobRun.Status.QUEUED, JobRun.Status.RUNNING)
_ONCE = (0, 1)
APPROVE_AGAIN = "an approval is one person's decision and is not taken up again; approve again on the request's page"
# what the page of jobs writes about a run that was stopped or taken up again
_TOUCHED = ("common.job_cancelled", "common.job_rerun")


def approve(request: PromotionRequest, by: User, note: str, at: datetime) -> JobRun:
    """Record that `by` approves; the run measures and, where the gate passes, puts the version into use in their name.

    Who calls has it executed (`enqueue`). Raises PromotionRefused at once for everything that needs no measuring, and while an approval
    of the request is being measured.
    """
    at = require_utc(at)
    with transaction.atomic():
        request = PromotionRequest.objects.select_for_update(of=("self",)).select_related("version").get(pk=request.pk)
        promotion.require_decider(request, by)
        promotion.require_promotable(request.version)
        if (running := latest_run(request)) is not None and running.status in _OPEN:
            raise promotion.PromotionRefused(f"the {request} is being measured already (run {running.pk}); wait for its end")
        parameters = {"request": request.pk, "note": note.strip()}
        run = jobs.create_run(NAME, as_of=at, parameters=parameters, requested_by=by, title=f"Approval of the {request}")
        audit.record("predictions.promotion_approval_started", request, at=at, actor=by, after={"run": run.pk}, reason=note.strip())
    return run


def latest_run(request: PromotionRequest) -> JobRun | None:
    """The last approval of a request that was measured or is being measured."""
    return JobRun.objects.filter(name=NAME, parameters__request=request.pk).select_related("requested_by").order_by("-id").first()


def is_open(run: JobRun | None) -> bool:
    return run is not None and run.status in _OPEN


def enqueue(run: JobRun) -> bool:
    """Ask a worker to execute a recorded approval; False when the broker does not answer."""
    return enqueueing.enqueue(execute_promotion, run)


def promote_ranges(parameters: dict[str, Any]) -> Iterator[tuple[int, int]]:
    """Nothing without a request: the job is started by a decision, not from the page of jobs."""
    if parameters.get("request") and not parameters.get("ids"):
        yield _ONCE


def promote(scope: Scope) -> dict[str, Any]:
    """Measure and decide. Returns {"rows": 0 or 1 versions put into use, "refused": reason or "", "verdicts": [...]}.

    A refusal by the gate is an outcome, not a failure of the job; it is kept in the audit log. Raises JobCancelled when the run is
    cancelled before the version is in use.
    """
    run = JobRun.objects.select_related("requested_by").get(pk=scope.run_id)
    request = PromotionRequest.objects.select_related("version").get(pk=scope.parameters["request"])
    by, now = run.requested_by, utc_now()
    if by is None:
        return {"rows": 0, "refused": "the person who approved is not known any more; somebody else must decide", "verdicts": []}
    try:
        _require_standing(run.pk)
        note = str(scope.parameters.get("note", ""))
        _, verdicts = promotion.measure_and_approve(request, by, note, now, confirm=lambda: _require_standing(run.pk, hold=True))
    except promotion.PromotionRefused as refusal:
        found = [registry.plain(asdict(one)) for one in refusal.verdicts]
        audit.record("predictions.promotion_withheld", request, at=now, actor=by, after={"verdicts": found}, reason=str(refusal))
        return {"rows": 0, "refused": str(refusal), "verdicts": found}
    return {"rows": 1, "refused": "", "verdicts": [registry.plain(asdict(one)) for one in verdicts]}


def _require_standing(run_id: int, *, hold: bool = False) -> None:
    """The approval is the decider's still. `hold`: keep the run's row, so that a cancel comes before this, or after the transaction.

    Raises JobCancelled; PromotionRefused for a run that was stopped before and is open again, whoever opened it and how.
    """
    runs = JobRun.objects.select_for_update() if hold else JobRun.objects.all()
    if runs.get(pk=run_id).cancel_requested:
        raise jobs.JobCancelled
    if AuditEvent.objects.filter(subject_type=JobRun._meta.label_lower, subject_id=str(run_id), action__in=_TOUCHED).exists():
        raise promotion.PromotionRefused(APPROVE_AGAIN)


@shared_task(name="predictions.execute_promotion", acks_late=False)
def execute_promotion(*, run_id: int) -> None:
    """Measure an approval, after one that is being measured."""
    enqueueing.execute(run_id)


register(
    Job(
        NAME,
        "Approval of a promotion",
        promote,
        promote_ranges,
        start_on="by a decision on the request's page",
        rerun_refusal=APPROVE_AGAIN[0].upper() + APPROVE_AGAIN[1:] + ".",
    )
)
