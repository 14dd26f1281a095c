"""Runs of background jobs: progress, duration, rows, errors, and what staff may do about them."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from kombu.exceptions import OperationalError as BrokerError
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminSelectWidget

from loyalty_site import job_tasks
from loyalty_site.common import audit, jobs
from loyalty_site.common.admin.actions import ReasonForm, acting_user, back_to, reason_dialog, run_call
from loyalty_site.common.admin.base import ViewOnlyAdmin
from loyalty_site.common.admin.display import DASH, badge, duration, progress_bar
from loyalty_site.common.admin.filters import UtcDateRangeFilter
from loyalty_site.common.clock import utc_now
from loyalty_site.common.models import JobChunk, JobRun
from predictions import training_jobs

STATUS_TONES = {
    JobRun.Status.QUEUED: "",
    JobRun.Status.RUNNING: "info",
    JobRun.Status.SUCCEEDED: "good",
    JobRun.Status.FAILED: "bad",
    JobRun.Status.CANCELLED: "warn",
}
_ENDED = (JobRun.Status.SUCCEEDED, JobRun.Status.FAILED, JobRun.Status.CANCELLED)
_CHUNKS_SHOWN = 50


def job_choices() -> list[tuple[str, str]]:
    """Registered jobs and pipelines, pipelines first."""
    known = jobs.registered_jobs().values()
    ordered = sorted(known, key=lambda job: (not isinstance(job, jobs.Pipeline), job.title))
    return [(job.name, f"{job.title} (all stages)" if isinstance(job, jobs.Pipeline) else job.title) for job in ordered]


def startable_choices() -> list[tuple[str, str]]:
    """Those that staff may run by their name alone."""
    known = jobs.registered_jobs()
    return [(name, title) for name, title in job_choices() if not getattr(known[name], "start_on", "")]


class RunJobForm(ReasonForm):
    job = forms.ChoiceField(choices=startable_choices, widget=UnfoldAdminSelectWidget)


class JobNameFilter(DropdownFilter):
    title = "job"
    parameter_name = "job"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return job_choices()

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(name=self.value()) if self.value() else queryset


def start_run(name: str, *, actor: User, reason: str) -> JobRun:
    """Record a run for this instant; who calls wakes the workers. Raises LookupError for an unknown job, JobRefused for one that is
    started elsewhere or may not be started now."""
    jobs.require_startable_by_name(name)
    with transaction.atomic():
        run = jobs.create_run(name, as_of=utc_now(), requested_by=actor)
        audit.record("common.job_started", run, at=utc_now(), actor=actor, after={"job": name}, reason=reason)
    return run


def rerun(run: JobRun, *, actor: User, reason: str) -> int:
    """Open what failed in an ended run again; returns the number of chunks.

    Raises ValueError when the run has not ended badly, or its job takes no run up again.
    """
    if run.status not in (JobRun.Status.FAILED, JobRun.Status.CANCELLED):
        raise ValueError(f"This run is {run.get_status_display().lower()}: only a failed or cancelled run can be taken up again.")
    with transaction.atomic():
        chunks = jobs.reopen_failed(run)
        audit.record("common.job_rerun", run, at=utc_now(), actor=actor, after={"chunks_reopened": chunks}, reason=reason)
    return chunks


def cancel(run: JobRun, *, actor: User, reason: str) -> None:
    """Ask a run to stop. Raises ValueError when it has ended."""
    if run.status in _ENDED:
        raise ValueError(f"This run has ended ({run.get_status_display().lower()}); there is nothing to cancel.")
    with transaction.atomic():
        jobs.request_cancel(run)
        audit.record("common.job_cancelled", run, at=utc_now(), actor=actor, reason=reason)


@admin.register(JobRun)
class JobRunAdmin(ViewOnlyAdmin):
    list_display = ("what", "status_badge", "progress", "took", "rows", "started", "asked_by", "error_line")
    list_filter = (JobNameFilter, ("status", ChoicesDropdownFilter), ("created_at", UtcDateRangeFilter))
    list_select_related = ("requested_by",)
    ordering = ("-id",)
    fields = ()
    change_form_template = "admin/common/jobrun/change_form.html"
    actions_list = ("run_job",)
    actions_detail = ("rerun_failed", "cancel_run")

    def get_queryset(self, request: HttpRequest) -> QuerySet[JobRun]:
        queryset = super().get_queryset(request)
        match = request.resolver_match
        if match and match.url_name and match.url_name.endswith("_changelist"):
            return queryset.filter(parent__isnull=True)  # stages stand on the page of their run
        return queryset

    @display(description="Run")
    def what(self, run: JobRun) -> str:
        return str(run)

    @display(description="Status", ordering="status")
    def status_badge(self, run: JobRun) -> SafeString:
        return _badge(run)

    @display(description="Progress")
    def progress(self, run: JobRun) -> SafeString:
        return run_progress(run)

    @display(description="Duration")
    def took(self, run: JobRun) -> str:
        return run_duration(run)

    @display(description="Rows", ordering="rows_done")
    def rows(self, run: JobRun) -> str:
        return f"{run.rows_done:,}"

    @display(description="Started (UTC)", ordering="started_at")
    def started(self, run: JobRun) -> str:
        return f"{run.started_at:%Y-%m-%d %H:%M:%S}" if run.started_at else "not yet"

    @display(description="Asked by")
    def asked_by(self, run: JobRun) -> str:
        return str(run.requested_by) if run.requested_by else "schedule or command"

    @display(description="Error")
    def error_line(self, run: JobRun) -> str:
        return run.error if len(run.error) <= 80 else f"{run.error[:79]}…"

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        run = self.get_object(request, object_id) if object_id else None
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **(run_page(run) if run else {})})

    @action(
        description="Run a job",
        permissions=["common.rerun_jobrun"],
        icon="play_arrow",
        variant=ActionVariant.PRIMARY,
        dialog=reason_dialog(
            "Run a job now",
            "It computes for this instant. If the same job is running already, this one waits its turn.",
            submit="Run",
            form_class=RunJobForm,
        ),
    )
    def run_job(self, request: HttpRequest, form: RunJobForm) -> HttpResponse:
        data = form.cleaned_data
        ok, run = run_call(
            request,
            lambda: start_run(data["job"], actor=acting_user(request), reason=data["reason"]),
            success=lambda run: f"{run.title} is queued as run {run.pk}.",
        )
        if not ok:
            return back_to(request, reverse("admin:common_jobrun_changelist"))
        wake(request, run.pk)
        return back_to(request, reverse("admin:common_jobrun_change", args=[run.pk]))

    @action(
        description="Rerun what failed",
        permissions=["common.rerun_jobrun"],
        icon="replay",
        dialog=reason_dialog("Rerun what failed", "Chunks that are done stay done; only failed and open ones are worked.", submit="Rerun"),
    )
    def rerun_failed(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        run = JobRun.objects.get(pk=object_id)
        reason = form.cleaned_data["reason"]
        return self._change(
            request,
            run,
            lambda: rerun(run, actor=acting_user(request), reason=reason),
            success=lambda chunks: f"{chunks} failed chunks are open again.",
            then_wake=True,
        )

    @action(
        description="Cancel",
        permissions=["common.rerun_jobrun"],
        icon="stop_circle",
        variant=ActionVariant.DANGER,
        dialog=reason_dialog("Cancel the run", "Chunks being worked finish first; what is done stays done.", submit="Cancel the run"),
    )
    def cancel_run(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        run = JobRun.objects.get(pk=object_id)
        reason = form.cleaned_data["reason"]
        return self._change(
            request,
            run,
            lambda: cancel(run, actor=acting_user(request), reason=reason),
            success="The run stops after the chunks that are being worked.",
        )

    def _change(
        self, request: HttpRequest, run: JobRun, call: Callable[[], Any], *, success: str | Callable[[Any], str], then_wake: bool = False
    ) -> HttpResponse:
        ok, _ = run_call(request, call, success=success)
        if ok and then_wake:
            wake(request, run.parent_id or run.pk)
        return back_to(request, reverse("admin:common_jobrun_change", args=[run.pk]))

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list:
        """Only the button that fits the state of the run."""
        run = JobRun.objects.filter(pk=object_id).first()
        fitting = {
            "rerun_failed": run is not None and run.status in (JobRun.Status.FAILED, JobRun.Status.CANCELLED) and _may_be_rerun(run),
            "cancel_run": run is not None and run.status not in _ENDED and not run.cancel_requested,
        }
        return [entry for entry in super().get_actions_detail(request, object_id) if fitting[entry.path]]


def wake(request: HttpRequest, run_id: int) -> None:
    """Send the message that starts the run; without a broker the run stays queued and is taken up when one is back."""
    try:
        job_tasks.execute_run.delay(run_id=run_id)
    except BrokerError:
        messages.warning(request, "The message broker does not answer. The run is recorded and starts when workers are back.")


def run_progress(run: JobRun) -> SafeString:
    if training_jobs.trained_nothing(run):
        return progress_bar(0, run.chunks_total, tone="warn", label="nothing trained")
    tone = {JobRun.Status.SUCCEEDED: "good", JobRun.Status.FAILED: "bad", JobRun.Status.CANCELLED: "warn"}.get(
        JobRun.Status(run.status), ""
    )
    if not run.chunks_total:
        return progress_bar(1, 1, tone=tone, label="no rows") if run.status == JobRun.Status.SUCCEEDED else progress_bar(0, 1, label="0")
    return progress_bar(run.chunks_done, run.chunks_total, tone=tone, label=f"{run.chunks_done:,} of {run.chunks_total:,}")


def run_duration(run: JobRun) -> str:
    if run.started_at is None:
        return DASH
    return duration((run.finished_at or utc_now()) - run.started_at)


def run_page(run: JobRun) -> dict[str, Any]:
    """What the page of one run shows."""
    stages = [
        {"run": stage, "progress": run_progress(stage), "took": run_duration(stage), "badge": _badge(stage)} for stage in _stages(run)
    ]
    failed = run.chunks.filter(status=JobChunk.Status.FAILED).order_by("number")
    slowest = (
        run.chunks.filter(status=JobChunk.Status.DONE, started_at__isnull=False)
        .annotate(took=F("finished_at") - F("started_at"))
        .order_by("-took")[:5]
    )
    return {
        "run": run,
        "run_badge": _badge(run),
        "run_progress": run_progress(run),
        "run_took": run_duration(run),
        "is_live": run.status not in _ENDED,
        "stages": stages,
        "failed_chunks": failed[:_CHUNKS_SHOWN],
        "failed_count": failed.count(),
        "open_count": run.chunks.filter(status=JobChunk.Status.PENDING).count(),
        "slowest": [{"chunk": chunk, "took": duration(chunk.took)} for chunk in slowest],
        "results": sorted(
            (name.replace("_", " ").capitalize(), value) for name, value in run.result.items() if isinstance(value, (int, float))
        ),
        "parameters": sorted(run.parameters.items()),
        "title": run.title or run.name,
    }


def _may_be_rerun(run: JobRun) -> bool:
    try:
        return not jobs.rerun_refusal(run.name)
    except LookupError:  # a job of another release
        return True


def _stages(run: JobRun) -> QuerySet[JobRun]:
    return run.stages.order_by("id")


def _badge(run: JobRun) -> SafeString:
    if training_jobs.trained_nothing(run):
        return badge("Nothing trained", "warn", title="The page Models says what was missing.")
    text = "Stopping" if run.cancel_requested and run.status not in _ENDED else run.get_status_display()
    return badge(text, STATUS_TONES[JobRun.Status(run.status)])
