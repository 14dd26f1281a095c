"""Versions of models: the list with what trains now, and the page of one version, drawn from its record alone."""

from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from loyalty_site.common.admin.actions import ReasonForm, acting_user, back_to, reason_dialog, run_call
from loyalty_site.common.admin.display import DASH, badge, progress_bar
from loyalty_site.common.clock import utc_now
from loyalty_site.common.models import JobRun
from predictions import drifting, promotion, training, training_jobs
from predictions.models import Kind, ModelVersion, ScoringRun
from wallet.admin.parts import page_url

from .described import CustomerPage, DepositsPage
from .distribution import DistributionPage
from .drift import drift_badge
from .kind_access import KindAdmin
from .metric_words import LEADING_METRIC, metric_text
from .parts import REQUEST, TRAIN, right, two_lines
from .player_panel import PlayerPiece
from .version_page import version_page
from .what_if import WhatIfAnswer, WhatIfPage

TONES = {
    ModelVersion.Status.CANDIDATE: "info",
    ModelVersion.Status.CHAMPION: "good",
    ModelVersion.Status.RETIRED: "",
    ModelVersion.Status.REFUSED: "bad",
}
RUN_TONES = {"SUCCEEDED": "good", "FAILED": "bad", "CANCELLED": "warn", "RUNNING": "info", "QUEUED": ""}
_LABELS = frozenset(str(kind.label) for kind in Kind)
_ENDED = (JobRun.Status.SUCCEEDED, JobRun.Status.FAILED, JobRun.Status.CANCELLED)


class TrainForm(ReasonForm):
    kinds = forms.MultipleChoiceField(
        choices=Kind.choices,
        initial=[str(kind) for kind in Kind],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        label="Train",
        help_text="A new version is measured against the naive baseline. It is not used before somebody asks for it and another decides.",
    )


@admin.register(ModelVersion)
class ModelVersionAdmin(KindAdmin):
    list_display = (
        *("shown_name", "shown_status", "algorithm", "shown_measured", "shown_baseline", "shown_data"),
        *("shown_drift", "shown_trained"),
    )
    list_display_links = ("shown_name",)
    list_filter = (("kind", ChoicesDropdownFilter), ("status", ChoicesDropdownFilter))
    list_select_related = ("trained_by",)
    list_before_template = "predictions/training.html"
    ordering = ("-id",)
    fields = ()
    change_form_template = "admin/predictions/modelversion/change_form.html"
    actions_list = ("retrain",)
    actions_detail = ("ask_promotion",)

    class Media:
        css = {"all": ["predictions/admin.css"]}

    def get_urls(self) -> list[Any]:
        site = self.admin_site.admin_view
        return [
            path("distribution/", site(DistributionPage.as_view()), name="predictions_distribution"),
            path("what-if/", site(WhatIfPage.as_view()), name="predictions_what_if"),
            path("what-if/answer/", site(WhatIfAnswer.as_view()), name="predictions_what_if_answer"),
            path("what-if/customer/", site(CustomerPage.as_view()), name="predictions_what_if_customer"),
            path("what-if/deposits/", site(DepositsPage.as_view()), name="predictions_what_if_deposits"),
            path("player/<int:pk>/<str:piece>/", site(PlayerPiece.as_view()), name="predictions_player_piece"),
            *super().get_urls(),
        ]

    # the list

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelVersion]:
        current = ScoringRun.objects.filter(is_current=True)
        return super().get_queryset(request).annotate(current_drift=Subquery(current.values(f"summary__{drifting.SUMMARY}")[:1]))

    @display(description="Model", ordering="kind")
    def shown_name(self, version: ModelVersion) -> str:
        return str(version)

    @display(description="Status", ordering="status")
    def shown_status(self, version: ModelVersion) -> SafeString:
        shown = badge(version.get_status_display(), TONES[ModelVersion.Status(version.status)])
        if version.status != ModelVersion.Status.CHAMPION or version.promoted_at is None:
            return shown
        return two_lines(shown, f"since {version.promoted_at:%Y-%m-%d}")

    @display(description="Measured")
    def shown_measured(self, version: ModelVersion) -> SafeString | str:
        return self._metric(version, version.metrics)

    @display(description="Baseline")
    def shown_baseline(self, version: ModelVersion) -> SafeString | str:
        return self._metric(version, version.baseline)

    def _metric(self, version: ModelVersion, values: dict[str, Any]) -> SafeString | str:
        name = next((one for one in LEADING_METRIC[version.kind] if one in values), None)
        return two_lines(*metric_text(name, values[name])[::-1]) if name else DASH

    @display(description="Learned from")
    def shown_data(self, version: ModelVersion) -> SafeString:
        note = "simulated" if version.is_synthetic else f"up to {version.as_of:%Y-%m-%d}"
        return right(f"{version.rows:,}", f"rows, {note}")

    @display(description="Drift")
    def shown_drift(self, version: ModelVersion) -> SafeString | str:
        found = (getattr(version, "current_drift", None) or {}).get(version.kind)
        return drift_badge(found if found and found["version"] == version.pk else None)

    @display(description="Trained (UTC)", ordering="trained_at")
    def shown_trained(self, version: ModelVersion) -> SafeString:
        return two_lines(f"{version.trained_at:%Y-%m-%d %H:%M}", f"by {version.trained_by or 'schedule or command'}")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return super().changelist_view(request, {**training_panel(), **(extra_context or {})})

    # the page

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        version = self.get_object(request, object_id) if object_id and self.has_view_permission(request) else None
        page = version_page(version) if isinstance(version, ModelVersion) else {}
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **page})

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        """Promotion may be asked for a version that passed its gate, has its file, is not in use, and waits for nobody yet."""
        version = ModelVersion.objects.filter(pk=object_id, artifact_deleted_at__isnull=True).first()
        promotable = version is not None and version.status in (ModelVersion.Status.CANDIDATE, ModelVersion.Status.RETIRED)
        is_asked = version is not None and version.promotion_requests.filter(status="PENDING").exists()
        return super().get_actions_detail(request, object_id) if promotable and not is_asked else []

    @action(
        description="Ask for promotion",
        permissions=[REQUEST],
        icon="upgrade",
        variant=ActionVariant.PRIMARY,
        dialog=reason_dialog(
            "Ask that this version be used",
            "Another person decides. On approval it is measured again beside the version in use, on the same players; "
            "a worse one is refused whoever asks.",
            submit="Ask",
        ),
    )
    def ask_promotion(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        version = ModelVersion.objects.get(pk=object_id)
        ok, asked = run_call(
            request,
            lambda: promotion.request(version, acting_user(request), form.cleaned_data["reason"], utc_now()),
            success="Another person decides now.",
        )
        return back_to(request, page_url(asked, asked.pk) if ok else reverse("admin:predictions_modelversion_change", args=[object_id]))

    @action(
        description="Train",
        permissions=[TRAIN],
        icon="model_training",
        variant=ActionVariant.PRIMARY,
        dialog=reason_dialog(
            "Train new versions", "Runs in the background on the history up to now.", submit="Train", form_class=TrainForm
        ),
    )
    def retrain(self, request: HttpRequest, form: TrainForm) -> HttpResponse:
        data = form.cleaned_data
        ok, run = run_call(
            request,
            lambda: training.start(data["kinds"], acting_user(request), utc_now(), reason=data["reason"]),
            success=lambda run: f"Training {run.pk} is queued. This page follows it.",
        )
        if ok and not training_jobs.enqueue(run):
            messages.warning(request, "The message broker does not answer. The training is recorded and starts when workers are back.")
        return back_to(request, reverse("admin:predictions_modelversion_changelist"))


def training_panel() -> dict[str, Any]:
    """The latest training: how far it is, and what became of each kind."""
    run = JobRun.objects.filter(name=training_jobs.NAME).order_by("-id").first()
    if run is None:
        return {"training": None}
    has_ended, is_empty = run.status in _ENDED, training_jobs.trained_nothing(run)
    outcomes = list(_outcomes(run))
    trained = sum(kind in _LABELS and not words.startswith(training_jobs.NOT_TRAINED) for kind, words in outcomes)
    tone = "warn" if is_empty else {"SUCCEEDED": "good", "FAILED": "bad", "CANCELLED": "warn"}.get(run.status, "")
    done = trained if has_ended else run.chunks_done
    return {
        "training": run,
        "training_is_live": not has_ended,
        "training_badge": badge("nothing trained", "warn") if is_empty else badge(run.get_status_display(), RUN_TONES[run.status]),
        "training_progress": progress_bar(
            done, run.chunks_total, tone=tone, label=f"{done} of {run.chunks_total or '?'} models{' trained' if has_ended else ''}"
        ),
        "training_outcomes": outcomes,
        "training_url": page_url("common_jobrun", run.pk),
    }


def _outcomes(run: JobRun) -> Iterator[tuple[str, str]]:
    for chunk in run.chunks.order_by("number"):
        for kind, words in chunk.result.items():
            if kind in Kind.values:
                yield str(Kind(kind).label), str(words)
        if chunk.error:
            yield "Failed", chunk.error
