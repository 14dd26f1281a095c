"""VIP clearances: asked for with all evidence, decided by a second person."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from loyalty_site.common.admin.actions import ReasonForm, acting_user, back_to, reason_dialog, run_call
from loyalty_site.common.admin.base import ViewOnlyAdmin
from loyalty_site.common.admin.display import badge
from loyalty_site.common.admin.filters import UtcDateRangeFilter
from loyalty_site.common.clock import utc_now
from players.models import Player, VipClearance
from rewards.tiers import clearances

_S = VipClearance.Status
TONES: dict[str, str] = {
    _S.REQUESTED: "warn",
    _S.APPROVED: "good",
    _S.REJECTED: "bad",
    _S.EXPIRED: "warn",
    _S.REPLACED: "",
    _S.WITHDRAWN: "bad",
}


def _evidence(label: str, help_text: str) -> forms.CharField:
    return forms.CharField(label=label, max_length=300, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}), help_text=help_text)


class ClearanceForm(ReasonForm):
    player = forms.CharField(label="Player id", max_length=64, widget=UnfoldAdminTextInputWidget)
    identity = _evidence("Identity", "How it was verified, and where the evidence is kept.")
    affordability = _evidence("Affordability", "Source of funds and what the player can afford, and where the evidence is kept.")
    harm_check = _evidence("Harm check", "What was checked for signs of gambling harm, and the result.")
    recheck_on = forms.DateField(
        label="Re-check on", widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}), help_text="The clearance ends on this day."
    )

    def clean_player(self) -> Player:
        player = Player.objects.filter(external_id=self.cleaned_data["player"].strip()).first()
        if player is None:
            raise forms.ValidationError("There is no player with this id.")
        return player

    def evidence(self) -> clearances.Evidence:
        data = self.cleaned_data
        return clearances.Evidence(data["identity"], data["affordability"], data["harm_check"], data["recheck_on"])


class NoteForm(ReasonForm):
    reason = forms.CharField(
        label="Note",
        min_length=3,
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "autofocus": True}),
        help_text="Kept with the clearance and in the audit trail: what you checked.",
        error_messages={"required": "Write what you checked: it is kept with the decision."},
    )


@admin.register(VipClearance)
class VipClearanceAdmin(ViewOnlyAdmin):
    list_display = ("number", "shown_status", "shown_player", "recheck_on", "requested_by", "shown_asked", "approver", "shown_decided")
    list_display_links = ("number",)
    list_filter = (("status", ChoicesDropdownFilter), ("requested_at", UtcDateRangeFilter))
    list_select_related = ("player", "requested_by", "approver")
    search_fields = ("player__external_id",)
    search_help_text = "Player id or its beginning"
    ordering = ("-id",)
    fields = ()
    change_form_template = "admin/players/vipclearance/change_form.html"
    actions_list = ("ask",)
    actions_detail = ("approve", "reject", "withdraw")

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        term = search_term.strip()
        return (queryset.filter(player__external_id__startswith=term) if term else queryset), False

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        clearance = self.get_object(request, object_id) if object_id else None
        page = {}
        if clearance is not None:
            page = {
                "clearance": clearance,
                "status_badge": self.shown_status(clearance),
                "player_link": self.shown_player(clearance),
                "is_own": clearance.status == _S.REQUESTED and clearance.requested_by_id == acting_user(request).pk,
                "title": f"VIP clearance #{clearance.pk}",
            }
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **page})

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        """Decisions only while there is something to decide, and never for the person who asked."""
        clearance = VipClearance.objects.filter(pk=object_id).first()
        names: tuple[str, ...] = ()
        if clearance is not None and clearance.status == _S.REQUESTED and clearance.requested_by_id != request.user.pk:
            names = ("approve", "reject")
        elif clearance is not None and clearance.status == _S.APPROVED:
            names = ("withdraw",)
        return [one for one in super().get_actions_detail(request, object_id) if getattr(one.method, "__name__", "") in names]

    @display(description="Clearance", ordering="id")
    def number(self, clearance: VipClearance) -> str:
        return f"#{clearance.pk}"

    @display(description="Status", ordering="status")
    def shown_status(self, clearance: VipClearance) -> SafeString:
        return badge(clearance.get_status_display(), TONES[clearance.status])

    @display(description="Player")
    def shown_player(self, clearance: VipClearance) -> SafeString:
        url = reverse("admin:players_player_change", args=[clearance.player_id])
        return format_html('<a class="lb-link" href="{}">{}</a>', url, clearance.player.external_id)

    @display(description="Asked (UTC)", ordering="requested_at")
    def shown_asked(self, clearance: VipClearance) -> str:
        return f"{clearance.requested_at:%Y-%m-%d %H:%M}"

    @display(description="Decided (UTC)", ordering="decided_at")
    def shown_decided(self, clearance: VipClearance) -> str | None:
        return f"{clearance.decided_at:%Y-%m-%d %H:%M}" if clearance.decided_at else None

    @action(
        description="Ask for a clearance",
        permissions=[clearances.REQUEST_PERMISSION],
        icon="add",
        variant=ActionVariant.PRIMARY,
        dialog=reason_dialog(
            "Ask for a VIP clearance",
            "All three parts of the evidence are needed. Somebody else approves it.",
            submit="Ask",
            form_class=ClearanceForm,
        ),
    )
    def ask(self, request: HttpRequest, form: ClearanceForm) -> HttpResponse:
        data = form.cleaned_data
        run_call(
            request,
            lambda: clearances.request_clearance(
                data["player"].pk, form.evidence(), actor=acting_user(request), reason=data["reason"], at=utc_now()
            ),
            success=lambda made: f"Clearance #{made.pk} waits for a second person.",
        )
        return back_to(request, reverse("admin:players_vipclearance_changelist"))

    @action(
        description="Approve",
        permissions=[clearances.APPROVE_PERMISSION],
        icon="check",
        variant=ActionVariant.PRIMARY,
        dialog=reason_dialog(
            "Approve the clearance",
            "You answer for it by name. The player may hold VIP tiers at once.",
            submit="Approve",
            form_class=NoteForm,
        ),
    )
    def approve(self, request: HttpRequest, form: NoteForm, object_id: str) -> HttpResponse:
        return self._decide(request, object_id, form, clearances.approve_clearance, "The clearance is in force.")

    @action(
        description="Reject",
        permissions=[clearances.APPROVE_PERMISSION],
        icon="close",
        variant=ActionVariant.DANGER,
        dialog=reason_dialog("Reject the clearance", "The player stays below the VIP tiers.", submit="Reject", form_class=NoteForm),
    )
    def reject(self, request: HttpRequest, form: NoteForm, object_id: str) -> HttpResponse:
        return self._decide(request, object_id, form, clearances.reject_clearance, "The clearance is rejected.")

    def _decide(self, request: HttpRequest, object_id: str, form: NoteForm, call: Any, success: str) -> HttpResponse:
        note = form.cleaned_data["reason"]
        run_call(request, lambda: call(int(object_id), actor=acting_user(request), note=note, at=utc_now()), success=success)
        return back_to(request, reverse("admin:players_vipclearance_change", args=[object_id]))

    @action(
        description="Withdraw",
        permissions=[clearances.APPROVE_PERMISSION],
        icon="block",
        variant=ActionVariant.DANGER,
        dialog=reason_dialog("Withdraw the clearance", "The tier stays until its review, which no longer keeps it.", submit="Withdraw"),
    )
    def withdraw(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        reason = form.cleaned_data["reason"]
        run_call(
            request,
            lambda: clearances.withdraw_clearance(int(object_id), actor=acting_user(request), reason=reason, at=utc_now()),
            success="The clearance is withdrawn.",
        )
        return back_to(request, reverse("admin:players_vipclearance_change", args=[object_id]))
