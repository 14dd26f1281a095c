"""Promotions: what one person asked for, beside what is in use, for another person to decide."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextareaWidget

from loyalty_site.common.admin.actions import ReasonForm, acting_user, back_to, reason_dialog, run_call
from loyalty_site.common.admin.display import badge, duration
from loyalty_site.common.clock import utc_now
from loyalty_site.common.models import JobRun
from predictions import promotion, promotion_jobs, registry
from predictions.metric_words import in_order, metric
from predictions.models import ModelVersion, PromotionRequest
from wallet.admin.parts import link, page_url

from .kind_access import KindAdmin
from .metric_words import number, verdict_rows
from .parts import DECIDE

_TONES = {"PENDING": "warn", "APPROVED": "good", "REFUSED": "bad"}


class DecisionForm(ReasonForm):
    reason = forms.CharField(
        label="Note",
        min_length=3,
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "autofocus": True}),
        help_text="Kept with the request and in the audit trail.",
        error_messages={"required": "Write what the decision rests on: it is kept with the request."},
    )


@admin.register(PromotionRequest)
class PromotionRequestAdmin(KindAdmin):
    kind_path = "version__kind"
    list_display = ("shown_number", "shown_status", "shown_version", "shown_reason", "requested_by", "shown_asked", "shown_decided")
    list_display_links = ("shown_number",)
    list_filter = (("status", ChoicesDropdownFilter), ("version__kind", ChoicesDropdownFilter))
    list_select_related = ("version", "requested_by", "decided_by")
    ordering = ("-id",)
    fields = ()
    change_form_template = "admin/predictions/promotionrequest/change_form.html"
    actions_detail = ("approve", "refuse")

    class Media:
        css = {"all": ["predictions/admin.css"]}

    @display(description="Request", ordering="id")
    def shown_number(self, asked: PromotionRequest) -> str:
        return f"#{asked.pk}"

    @display(description="Status", ordering="status")
    def shown_status(self, asked: PromotionRequest) -> SafeString:
        return badge(asked.get_status_display(), _TONES[asked.status])

    @display(description="Model")
    def shown_version(self, asked: PromotionRequest) -> SafeString:
        return link(asked.version, page_url(asked.version, asked.version_id))

    @display(description="Why")
    def shown_reason(self, asked: PromotionRequest) -> str:
        return asked.reason if len(asked.reason) <= 80 else f"{asked.reason[:79]}…"

    @display(description="Asked (UTC)", ordering="requested_at")
    def shown_asked(self, asked: PromotionRequest) -> str:
        return f"{asked.requested_at:%Y-%m-%d %H:%M}"

    @display(description="Decided by")
    def shown_decided(self, asked: PromotionRequest) -> str:
        return str(asked.decided_by) if asked.decided_by else "nobody yet"

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        asked = self.get_object(request, object_id) if object_id and self.has_view_permission(request) else None
        page = promotion_page(asked, request) if isinstance(asked, PromotionRequest) else {}
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **page})

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        """Decision buttons only while there is something to decide, and never for the person who asked."""
        asked = PromotionRequest.objects.filter(pk=object_id).first()
        if asked is None or asked.status != PromotionRequest.Status.PENDING or asked.requested_by_id == request.user.pk:
            return []
        is_measured = promotion_jobs.is_open(promotion_jobs.latest_run(asked))
        offered = super().get_actions_detail(request, object_id)
        return [one for one in offered if not (is_measured and one.path.rstrip("/").endswith("approve"))]

    @action(
        description="Approve",
        permissions=[DECIDE],
        icon="check",
        variant=ActionVariant.PRIMARY,
        dialog=reason_dialog(
            "Put this version into use",
            "It is measured once more beside the version in use, in the background; this can take minutes, and the page follows it. "
            "Unless it is worse it is then in use, by your decision, and the next scoring run scores with it.",
            submit="Measure and put into use",
            form_class=DecisionForm,
        ),
    )
    def approve(self, request: HttpRequest, form: DecisionForm, object_id: str) -> HttpResponse:
        asked, note = PromotionRequest.objects.get(pk=object_id), form.cleaned_data["reason"]
        ok, run = run_call(
            request,
            lambda: promotion_jobs.approve(asked, acting_user(request), note, utc_now()),
            success="Both versions are being measured. This page follows it.",
        )
        if ok and not promotion_jobs.enqueue(run):
            messages.warning(
                request, "The message broker does not answer. The decision is recorded; measuring starts when workers are back."
            )
        return back_to(request, reverse("admin:predictions_promotionrequest_change", args=[object_id]))

    @action(
        description="Refuse",
        permissions=[DECIDE],
        icon="close",
        dialog=reason_dialog("Leave the version unused", "What is in use stays in use.", submit="Refuse", form_class=DecisionForm),
    )
    def refuse(self, request: HttpRequest, form: DecisionForm, object_id: str) -> HttpResponse:
        asked, note = PromotionRequest.objects.get(pk=object_id), form.cleaned_data["reason"]
        run_call(
            request,
            lambda: promotion.decide(asked, acting_user(request), False, note, utc_now()),
            success="The request is refused; nothing changed.",
        )
        return back_to(request, reverse("admin:predictions_promotionrequest_change", args=[object_id]))


def promotion_page(asked: PromotionRequest, request: HttpRequest) -> dict[str, Any]:
    """What is asked for, beside what is in use (or was replaced), metric by metric as recorded at training."""
    is_pending = asked.status == PromotionRequest.Status.PENDING
    other = registry.champion(asked.version.kind) if is_pending else asked.replaced
    return {
        "asked": asked,
        "status_badge": badge(asked.get_status_display(), _TONES[asked.status]),
        "version": asked.version,
        "version_url": page_url(asked.version, asked.version_id),
        "other": other,
        "other_url": page_url(other, other.pk) if other else "",
        "rows": compared(asked.version, other),
        "is_pending": is_pending,
        "is_own": is_pending and asked.requested_by_id == request.user.pk,
        "may_decide": is_pending and request.user.has_perm(DECIDE),
        "title": f"Promotion of {asked.version}",
        **approval_panel(asked),
    }


def approval_panel(asked: PromotionRequest) -> dict[str, Any]:
    """The latest approval of a request: how far its measuring is, and what came of it."""
    run = promotion_jobs.latest_run(asked)
    if run is None:
        return {"approval": None}
    chunk = run.chunks.first()
    result = chunk.result if chunk is not None else {}
    verdicts = sorted(result.get("verdicts", []), key=lambda one: bool(one["passed"]))  # what failed comes first
    is_live = promotion_jobs.is_open(run)
    since = run.started_at or run.created_at
    return {
        "approval": run,
        "approval_is_live": is_live,
        "approval_url": page_url("common_jobrun", run.pk),
        "approval_badge": badge(*_state(run, result)),
        "approval_took": duration((run.finished_at or utc_now()) - since),
        "approval_refused": result.get("refused", ""),
        "approval_failed": any(not one["passed"] for one in verdicts),
        "approval_verdicts": verdict_rows(verdicts),
    }


def _state(run: JobRun, result: dict[str, Any]) -> tuple[str, str]:
    """Words and tone of an approval."""
    if run.status == JobRun.Status.SUCCEEDED:
        return ("not put into use", "bad") if result.get("refused") else ("put into use", "good")
    return {
        JobRun.Status.QUEUED: ("waits for a worker", ""),
        JobRun.Status.RUNNING: ("being measured", "info"),
        JobRun.Status.CANCELLED: ("cancelled", "warn"),
    }.get(JobRun.Status(run.status), ("measuring failed", "bad"))


def compared(version: ModelVersion, other: ModelVersion | None) -> list[dict[str, Any]]:
    rows = []
    for name in in_order(version.metrics):
        one, mine, theirs = metric(name), version.metrics[name], other.metrics.get(name) if other else None
        better = one.better(mine, theirs)
        rows.append(
            {
                "label": one.label,
                "mine": number(mine, one.is_share),
                "theirs": number(theirs, one.is_share),
                "naive": number(version.baseline.get(name), one.is_share),
                "tone": "" if better is None else "lb-good" if better else "lb-bad",
            }
        )
    return rows
