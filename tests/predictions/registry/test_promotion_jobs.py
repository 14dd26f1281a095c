"""An approval measures in the background, in the name of who decided; what the gate refuses keeps waiting, with the verdicts."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from loyalty_site.admin.jobs import cancel, rerun
from loyalty_site.common import jobs
from loyalty_site.common.models import AuditEvent, JobRun
from predictions import gate, measure, promotion, promotion_jobs, registry
from predictions.models import ModelVersion, PromotionRequest
from predictions.promotion import PromotionRefused
from tests.factories import NOW
from tests.predictions.registry.at_once import at_once, both_have_looked, one_after_the_other
from tests.predictions.registry.models import a_cutoff, champion, saved, staff

pytestmark = pytest.mark.django_db

LATER = NOW + timedelta(hours=1)
NOISE_ONLY = (1,)


@pytest.fixture(autouse=True)
def evaluation(monkeypatch) -> None:
    monkeypatch.setattr(measure, "evaluation_cutoff", lambda *_, **__: a_cutoff(seed=77))
    monkeypatch.setattr(gate, "extent", lambda _as_of: gate.Extent(days=300, players=800))


def asked_for(version: ModelVersion) -> tuple[PromotionRequest, Any]:
    """A request that waits, and another person who may decide on it."""
    decider = staff("decide_promotion")
    return promotion.request(version, staff("request_promotion", "decide_promotion"), "newer", NOW), decider


def test_approve__equal_version__is_put_into_use_in_the_name_of_the_decider():
    first = champion(saved())
    request, decider = asked_for(saved(seed=10))
    run = promotion_jobs.approve(request, decider, " looks right ", LATER)

    request.refresh_from_db()
    assert (request.status, request.decided_by) == (PromotionRequest.Status.PENDING, None)  # nothing before it is measured
    assert (run.status, run.requested_by, promotion_jobs.is_open(run)) == (JobRun.Status.QUEUED, decider, True)
    started = AuditEvent.objects.get(action="predictions.promotion_approval_started")
    assert (started.actor, started.reason, started.after) == (decider, "looks right", {"run": run.pk})

    run = jobs.execute(run)
    request.refresh_from_db()
    assert (run.status, run.chunks_done, run.rows_done) == (JobRun.Status.SUCCEEDED, 1, 1)
    assert (request.status, request.decided_by, request.note, request.replaced) == ("APPROVED", decider, "looks right", first)
    assert registry.champion("churn") == request.version
    promoted = AuditEvent.objects.get(action="predictions.model_promoted")
    assert (promoted.actor, promoted.reason) == (decider, "looks right")
    result = run.chunks.get().result
    assert (result["rows"], result["refused"]) == (1, "")
    assert result["verdicts"] == promoted.after["verdicts"]


def test_approve__worse_version__keeps_waiting_with_the_verdicts():
    first = champion(saved())
    request, decider = asked_for(saved(NOISE_ONLY))
    run = jobs.execute(promotion_jobs.approve(request, decider, "try", LATER))

    request.refresh_from_db()
    result = run.chunks.get().result
    assert (run.status, request.status, request.decided_by) == (JobRun.Status.SUCCEEDED, PromotionRequest.Status.PENDING, None)
    assert registry.champion("churn") == first
    assert result["rows"] == 0
    assert "is not put into use. Not worse than the version in use: Brier score" in result["refused"]
    assert [one["name"] for one in result["verdicts"] if not one["passed"]] == [measure.VERDICT]
    withheld = AuditEvent.objects.get(action="predictions.promotion_withheld")
    assert (withheld.actor, withheld.reason, withheld.after) == (decider, result["refused"], {"verdicts": result["verdicts"]})
    assert not AuditEvent.objects.filter(action="predictions.model_promoted").exists()

    assert promotion_jobs.approve(request, decider, "once more", LATER).pk > run.pk  # the outcome is no lock


def test_approve__who_asked__refused_before_anything_is_recorded():
    request, _decider = asked_for(saved())
    with pytest.raises(PromotionRefused, match="another person must decide"):
        promotion_jobs.approve(request, request.requested_by, "mine", LATER)
    with pytest.raises(PromotionRefused, match="may not decide"):
        promotion_jobs.approve(request, staff("train_model"), "mine", LATER)
    assert not JobRun.objects.exists()


def test_approve__while_it_is_measured__refused():
    request, decider = asked_for(saved())
    first = promotion_jobs.approve(request, decider, "yes", LATER)
    with pytest.raises(PromotionRefused, match=rf"is being measured already \(run {first.pk}\)"):
        promotion_jobs.approve(request, staff("decide_promotion"), "yes", LATER)
    assert JobRun.objects.count() == 1


def test_promote__refused_by_another_meanwhile__stays_refused():
    request, decider = asked_for(saved())
    run = promotion_jobs.approve(request, decider, "yes", LATER)
    other = staff("decide_promotion")
    promotion.decide(request, other, False, "not in the holidays", LATER)

    result = jobs.execute(run).chunks.get().result
    request.refresh_from_db()
    assert (request.status, request.decided_by, result["refused"]) == ("REFUSED", other, "the promotion of Churn 1 is refused already")
    assert registry.champion("churn") is None


def test_promote__decider_lost_the_right_meanwhile__nothing_is_put_into_use():
    request, decider = asked_for(saved())
    run = promotion_jobs.approve(request, decider, "yes", LATER)
    decider.is_active = False
    decider.save()
    assert "may not decide" in jobs.execute(run).chunks.get().result["refused"]
    assert registry.champion("churn") is None


def test_promote__who_approved_is_gone__somebody_else_must():
    request, decider = asked_for(saved())
    run = promotion_jobs.approve(request, decider, "yes", LATER)
    JobRun.objects.update(requested_by=None)
    assert "somebody else must decide" in jobs.execute(run).chunks.get().result["refused"]
    assert registry.champion("churn") is None


def test_promote__started_from_the_page_of_jobs__does_nothing():
    run = jobs.execute(jobs.create_run(promotion_jobs.NAME, as_of=NOW))
    assert (run.status, run.chunks_total) == (JobRun.Status.SUCCEEDED, 0)


# -- stopped in the middle --------------------------------------------------------------------------------------------


def while_measured(monkeypatch, call) -> list[Any]:
    """Have somebody else make the call, in a session of their own, while a version is measured. Returns what came of it, later."""
    outcomes: list[Any] = []

    def cutoff(*_, **__):
        outcomes.extend(at_once([call]))
        return a_cutoff(seed=77)

    monkeypatch.setattr(measure, "evaluation_cutoff", cutoff)
    return outcomes


@pytest.mark.django_db(transaction=True)
def test_measuring__holds_nothing_that_others_need(monkeypatch):
    champion(saved())
    request, decider = asked_for(saved(seed=10))
    run = promotion_jobs.approve(request, decider, "yes", LATER)

    def take_everything():
        with transaction.atomic():
            registry.lock_kind("churn")
            return [
                model.objects.select_for_update(nowait=True, of=("self",)).filter(pk__in=ids).count()
                for model, ids in [(PromotionRequest, [request.pk]), (ModelVersion, [request.version_id]), (JobRun, [run.pk])]
            ]

    outcomes = while_measured(monkeypatch, take_everything)
    assert jobs.execute(run).rows_done == 1
    assert outcomes == [[1, 1, 1]]


@pytest.mark.django_db(transaction=True)
def test_cancelled_while_it_is_measured__nothing_is_put_into_use_and_the_request_waits(monkeypatch):
    first = champion(saved())
    request, decider = asked_for(saved(seed=10))
    run = promotion_jobs.approve(request, decider, "yes", LATER)
    outcomes = while_measured(monkeypatch, lambda: cancel(run, actor=decider, reason="too early"))

    run = jobs.execute(run)
    request.refresh_from_db()
    assert outcomes == [None]
    assert (run.status, request.status, request.decided_by) == (JobRun.Status.CANCELLED, PromotionRequest.Status.PENDING, None)
    assert registry.champion("churn") == first
    assert not AuditEvent.objects.filter(action="predictions.model_promoted").exists()


def stopped(request: PromotionRequest, decider: Any, how: str, monkeypatch: pytest.MonkeyPatch) -> JobRun:
    """The run of an approval that was cancelled before it began, or failed."""
    run = promotion_jobs.approve(request, decider, "yes", LATER)
    with monkeypatch.context() as broken:
        if how == "cancelled":
            cancel(run, actor=decider, reason="too early")
        else:
            broken.setattr(measure, "compare", lambda *_, **__: 1 / 0)
        return jobs.execute(run)


@pytest.mark.parametrize("how", ["cancelled", "failed"])
def test_rerun__by_the_one_who_asked__decides_nothing_in_the_name_of_another(how, monkeypatch):
    """Approved by B, stopped or broken; A, who asked, must not get it approved by B all the same."""
    first = champion(saved())
    request, decider = asked_for(saved(seed=10))
    run = stopped(request, decider, how, monkeypatch)
    assert run.status == how.upper()

    with pytest.raises(ValueError, match=r"^An approval is one person's decision .*; approve again on the request's page\.$"):
        rerun(run, actor=request.requested_by, reason="go on")
    with pytest.raises(jobs.JobRefused):
        jobs.reopen_failed(run)
    run.refresh_from_db()
    request.refresh_from_db()
    assert (run.status, request.status, registry.champion("churn")) == (how.upper(), PromotionRequest.Status.PENDING, first)
    assert not AuditEvent.objects.filter(action="common.job_rerun").exists()

    jobs.execute(promotion_jobs.approve(request, decider, "now", LATER))  # the decider again: a run of its own
    assert registry.champion("churn") == request.version


@pytest.mark.parametrize("how", ["cancelled", "failed"])
def test_promote__stopped_run_that_is_open_again__refuses(how, monkeypatch):
    """As the page of jobs of an earlier release left it: the job's own rule, beside that of the framework."""
    champion(saved())
    request, decider = asked_for(saved(seed=10))
    run = stopped(request, decider, how, monkeypatch)
    monkeypatch.setattr(jobs, "rerun_refusal", lambda _name: "")
    rerun(run, actor=request.requested_by, reason="go on")

    result = jobs.execute(run).chunks.get().result
    request.refresh_from_db()
    assert (result["rows"], result["refused"]) == (0, promotion_jobs.APPROVE_AGAIN)
    assert (request.status, request.decided_by) == (PromotionRequest.Status.PENDING, None)


# -- races ------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_two_approvals_at_once__one_is_measured(monkeypatch):
    request, decider = asked_for(saved())
    one, other = (lambda by=by: promotion_jobs.approve(request, by, "yes", LATER) for by in (decider, staff("decide_promotion")))
    results = one_after_the_other(monkeypatch, promotion_jobs, "latest_run", one, other)
    assert [type(one).__name__ for one in results] == ["JobRun", "PromotionRefused"]
    assert JobRun.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_approvals_at_once__control_without_the_lock__two_are_measured(monkeypatch):
    request, decider = asked_for(saved())
    both_have_looked(monkeypatch, promotion_jobs, "latest_run")
    monkeypatch.setattr(type(PromotionRequest.objects.all()), "select_for_update", lambda self, **_: self)
    at_once([lambda: promotion_jobs.approve(request, decider, "yes", LATER)] * 2)
    assert JobRun.objects.count() == 2
