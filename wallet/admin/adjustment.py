"""Adjustments: asked for with a reason, decided by a second person above the limit."""

from typing import Any

from constance import config
from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
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
from loyalty_site.common.admin.filters import UtcDateRangeFilter
from loyalty_site.common.clock import utc_now
from wallet import services
from wallet.adjustments import APPROVE_PERMISSION, REQUEST_PERMISSION
from wallet.models import Account, AdjustmentRequest

from .forms import NewAdjustmentForm
from .parts import PlayerSearchMixin, page_url, player_link, right, shown_amount, shown_signed, unit_text

_TONES = {AdjustmentRequest.Status.PENDING: "warn", AdjustmentRequest.Status.POSTED: "good", AdjustmentRequest.Status.REJECTED: "bad"}


class DecisionForm(ReasonForm):
    reason = forms.CharField(
        label="Note",
        min_length=3,
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "autofocus": True}),
        help_text="Kept with the adjustment and in the audit trail: what you checked.",
        error_messages={"required": "Write what you checked: it is kept with the decision."},
    )


@admin.register(AdjustmentRequest)
class AdjustmentRequestAdmin(PlayerSearchMixin, ViewOnlyAdmin):
    list_display = (
        "shown_number",
        "shown_status",
        "shown_player",
        "shown_amount",
        "shown_reason",
        "maker",
        "checker",
        "shown_time",
    )
    list_display_links = ("shown_number",)
    list_filter = (("status", ChoicesDropdownFilter), ("unit", ChoicesDropdownFilter), ("requested_at", UtcDateRangeFilter))
    list_select_related = ("player", "maker", "checker")
    search_help_text = "Player id, or #number of the adjustment"
    ordering = ("-id",)
    fields = ()
    change_form_template = "admin/wallet/adjustmentrequest/change_form.html"
    actions_list = ("ask",)
    actions_detail = ("approve", "reject")

    class Media:
        css = {"all": ["wallet/admin.css"]}

    @display(description="Adjustment", ordering="id")
    def shown_number(self, adjustment: AdjustmentRequest) -> str:
        return f"#{adjustment.pk}"

    @display(description="Status", ordering="status")
    def shown_status(self, adjustment: AdjustmentRequest) -> SafeString:
        return status_badge(adjustment)

    @display(description="Player")
    def shown_player(self, adjustment: AdjustmentRequest) -> SafeString:
        return player_link(adjustment.player)

    @display(description="Amount")
    def shown_amount(self, adjustment: AdjustmentRequest) -> SafeString:
        return right(shown_signed(adjustment.amount, adjustment.unit, adjustment.currency))

    @display(description="Reason")
    def shown_reason(self, adjustment: AdjustmentRequest) -> str:
        return adjustment.reason if len(adjustment.reason) <= 60 else f"{adjustment.reason[:59]}…"

    @display(description="Asked (UTC)", ordering="requested_at")
    def shown_time(self, adjustment: AdjustmentRequest) -> str:
        return f"{adjustment.requested_at:%Y-%m-%d %H:%M}"

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        adjustment = self.get_object(request, object_id) if object_id else None
        page = adjustment_page(adjustment, acting_user(request)) if adjustment else {}
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **page})

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        """Decision buttons only while there is something to decide, and never for the person who asked."""
        adjustment = AdjustmentRequest.objects.filter(pk=object_id).first()
        open_to_them = (
            adjustment is not None and adjustment.status == AdjustmentRequest.Status.PENDING and adjustment.maker_id != request.user.pk
        )
        return super().get_actions_detail(request, object_id) if open_to_them else []

    @action(
        description="New adjustment",
        permissions=[REQUEST_PERMISSION],
        icon="add",
        variant=ActionVariant.PRIMARY,
        dialog=reason_dialog(
            "Adjust a wallet",
            "A small correction is posted at once; a large one waits for a second person.",
            submit="Ask for the adjustment",
            form_class=NewAdjustmentForm,
        ),
    )
    def ask(self, request: HttpRequest, form: NewAdjustmentForm) -> HttpResponse:
        ok, adjustment = run_call(
            request,
            lambda: services.request_adjustment(**form.asked(), maker=acting_user(request), at=utc_now()),
            success=lambda made: (
                f"Adjustment #{made.pk} waits for a second person." if made.needs_second_person else f"Adjustment #{made.pk} is posted."
            ),
        )
        if not ok:
            return back_to(request, reverse("admin:wallet_adjustmentrequest_changelist"))
        return back_to(request, reverse("admin:wallet_adjustmentrequest_change", args=[adjustment.pk]))

    @action(
        description="Approve",
        permissions=[APPROVE_PERMISSION],
        icon="check",
        variant=ActionVariant.PRIMARY,
        dialog=reason_dialog("Approve the adjustment", "It is posted to the ledger at once.", submit="Approve", form_class=DecisionForm),
    )
    def approve(self, request: HttpRequest, form: DecisionForm, object_id: str) -> HttpResponse:
        note = form.cleaned_data["reason"]
        run_call(
            request,
            lambda: services.approve_adjustment(int(object_id), checker=acting_user(request), at=utc_now(), note=note),
            success="The adjustment is posted.",
        )
        return back_to(request, reverse("admin:wallet_adjustmentrequest_change", args=[object_id]))

    @action(
        description="Reject",
        permissions=[APPROVE_PERMISSION],
        icon="close",
        variant=ActionVariant.DANGER,
        dialog=reason_dialog("Reject the adjustment", "Nothing is posted.", submit="Reject", form_class=DecisionForm),
    )
    def reject(self, request: HttpRequest, form: DecisionForm, object_id: str) -> HttpResponse:
        note = form.cleaned_data["reason"]
        run_call(
            request,
            lambda: services.reject_adjustment(int(object_id), checker=acting_user(request), at=utc_now(), note=note),
            success="The adjustment is rejected; nothing was posted.",
        )
        return back_to(request, reverse("admin:wallet_adjustmentrequest_change", args=[object_id]))


def status_badge(adjustment: AdjustmentRequest) -> SafeString:
    return badge(adjustment.get_status_display(), _TONES[AdjustmentRequest.Status(adjustment.status)])


def adjustment_page(adjustment: AdjustmentRequest, viewer: User) -> dict[str, Any]:
    """Context of an adjustment's page: what is asked, what the balance would become, who may decide."""
    account = Account.objects.filter(player_id=adjustment.player_id, unit=adjustment.unit, currency=adjustment.currency).first()
    balance = account.balance if account else 0
    is_pending = adjustment.status == AdjustmentRequest.Status.PENDING
    return {
        "adjustment": adjustment,
        "player_link": player_link(adjustment.player),
        "status_badge": status_badge(adjustment),
        "unit_text": unit_text(adjustment.unit, adjustment.currency),
        "amount_text": shown_signed(adjustment.amount, adjustment.unit, adjustment.currency),
        "balance_text": shown_amount(balance, adjustment.unit, adjustment.currency),
        "balance_then": shown_amount(balance + adjustment.amount, adjustment.unit, adjustment.currency),
        "covered": balance + adjustment.amount >= 0,
        "is_pending": is_pending,
        "is_own": is_pending and adjustment.maker_id == viewer.pk,
        "may_decide": is_pending and viewer.has_perm(APPROVE_PERMISSION),
        "limit": config.ADJUSTMENT_SECOND_FROM_AMOUNT,
        "entry_url": page_url("wallet_entry", adjustment.entry_id) if adjustment.entry_id else "",
    }
