"""Promotions: what one person asked for, beside what is in use, for another person to decide."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextareaWidget

from loyalty_site.common.admin.actions import ReasonForm, acting_user, back_to, reason_dialog, run_call
from loyalty_site.common.admin.base import ViewOnlyAdmin
from loyalty_site.common.admin.display import badge
from loyalty_site.common.clock import utc_now
from predictions import promotion, registry
from predictions.models import ModelVersion, PromotionRequest
from wallet.admin.parts import link, page_url

from .parts import DECIDE
from .version_page import METRICS, number

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
class PromotionRequestAdmin(ViewOnlyAdmin):
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
        theirs = asked is not None and asked.status == PromotionRequest.Status.PENDING and asked.requested_by_id != request.user.pk
        return super().get_actions_detail(request, object_id) if theirs else []

    @action(
        description="Approve",
        permissions=[DECIDE],
        icon="check",
        variant=ActionVariant.PRIMARY,
        dialog=reason_dialog(
            "Put this version into use",
            "It is measured once more beside the version in use; this can take a minute. The next scoring run uses it.",
            submit="Put into use",
            form_class=DecisionForm,
        ),
    )
    def approve(self, request: HttpRequest, form: DecisionForm, object_id: str) -> HttpResponse:
        return self._decide(request, form, object_id, True, "The version is in use. The next scoring run scores with it.")

    @action(
        description="Refuse",
        permissions=[DECIDE],
        icon="close",
        dialog=reason_dialog("Leave the version unused", "What is in use stays in use.", submit="Refuse", form_class=DecisionForm),
    )
    def refuse(self, request: HttpRequest, form: DecisionForm, object_id: str) -> HttpResponse:
        return self._decide(request, form, object_id, False, "The request is refused; nothing changed.")

    def _decide(self, request: HttpRequest, form: DecisionForm, object_id: str, approve: bool, success: str) -> HttpResponse:
        asked, note = PromotionRequest.objects.get(pk=object_id), form.cleaned_data["reason"]
        run_call(request, lambda: promotion.decide(asked, acting_user(request), approve, note, utc_now()), success=success)
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
    }


def compared(version: ModelVersion, other: ModelVersion | None) -> list[dict[str, Any]]:
    rows = []
    for name in sorted(version.metrics, key=lambda one: (list(METRICS).index(one) if one in METRICS else len(METRICS), one)):
        label, is_share, direction = METRICS.get(name, (name.replace("_", " ").capitalize(), False, 0))
        mine, theirs = version.metrics[name], other.metrics.get(name) if other else None
        known = direction and isinstance(mine, (int, float)) and isinstance(theirs, (int, float)) and mine != theirs
        rows.append(
            {
                "label": label,
                "mine": number(mine, is_share),
                "theirs": number(theirs, is_share),
                "naive": number(version.baseline.get(name), is_share),
                "tone": "" if not known else "lb-good" if (mine > theirs) == (direction > 0) else "lb-bad",
            }
        )
    return rows
