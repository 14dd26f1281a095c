"""Wishes to void a bonus: one person asks and names a case, another decides."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from loyalty_site.common.admin.actions import acting_user, back_to, reason_dialog, run_call
from loyalty_site.common.admin.base import ViewOnlyAdmin
from loyalty_site.common.admin.display import badge
from loyalty_site.common.admin.filters import UtcDateRangeFilter
from loyalty_site.common.clock import utc_now
from wallet import services
from wallet.grants.voids import APPROVE_PERMISSION
from wallet.models import VoidRequest

from .grant_forms import VoidDecisionForm
from .grant_page import status_badge as grant_badge
from .grant_page import wagering_bar
from .grant_words import wagering_amount
from .parts import PlayerSearchMixin, link, page_url, player_link, right, shown_amount

_TONES = {VoidRequest.Status.PENDING: "warn", VoidRequest.Status.VOIDED: "bad", VoidRequest.Status.REJECTED: ""}


@admin.register(VoidRequest)
class VoidRequestAdmin(PlayerSearchMixin, ViewOnlyAdmin):
    player_path = "grant__player_id"
    search_fields = ("grant__player__external_id",)
    list_display = (
        "shown_number",
        "shown_status",
        "shown_player",
        "shown_grant",
        "shown_left",
        "case_id",
        "shown_reason",
        "maker",
        "checker",
        "shown_time",
    )
    list_display_links = ("shown_number",)
    list_filter = (("status", ChoicesDropdownFilter), ("requested_at", UtcDateRangeFilter))
    list_select_related = ("grant__player", "maker", "checker")
    search_help_text = "Player id, or #number of the request"
    ordering = ("-id",)
    fields = ()
    change_form_template = "admin/wallet/voidrequest/change_form.html"
    actions_detail = ("approve", "reject")

    class Media:
        css = {"all": ["wallet/admin.css"]}

    @display(description="Request", ordering="id")
    def shown_number(self, asked: VoidRequest) -> str:
        return f"#{asked.pk}"

    @display(description="Status", ordering="status")
    def shown_status(self, asked: VoidRequest) -> SafeString:
        return status_badge(asked)

    @display(description="Player")
    def shown_player(self, asked: VoidRequest) -> SafeString:
        return player_link(asked.grant.player)

    @display(description="Bonus")
    def shown_grant(self, asked: VoidRequest) -> SafeString:
        return link(f"#{asked.grant_id}", page_url("wallet_bonusgrant", asked.grant_id))

    @display(description="Left on it")
    def shown_left(self, asked: VoidRequest) -> SafeString:
        return right(shown_amount(asked.grant.balance + asked.grant.locked, "BONUS", asked.grant.currency))

    @display(description="Reason")
    def shown_reason(self, asked: VoidRequest) -> str:
        return asked.reason if len(asked.reason) <= 60 else f"{asked.reason[:59]}…"

    @display(description="Asked (UTC)", ordering="requested_at")
    def shown_time(self, asked: VoidRequest) -> str:
        return f"{asked.requested_at:%Y-%m-%d %H:%M}"

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        asked = self.get_object(request, object_id) if object_id else None
        page = void_page(asked, acting_user(request)) if asked else {}
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **page})

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        """Decision buttons only while there is something to decide, and never for the person who asked."""
        asked = VoidRequest.objects.filter(pk=object_id).first()
        open_to_them = asked is not None and asked.status == VoidRequest.Status.PENDING and asked.maker_id != request.user.pk
        return super().get_actions_detail(request, object_id) if open_to_them else []

    @action(
        description="Approve",
        permissions=[APPROVE_PERMISSION],
        icon="check",
        variant=ActionVariant.DANGER,
        dialog=reason_dialog(
            "Void the bonus", "What is left of it goes back to the house at once.", submit="Void it", form_class=VoidDecisionForm
        ),
    )
    def approve(self, request: HttpRequest, form: VoidDecisionForm, object_id: str) -> HttpResponse:
        return self._decide(request, form, object_id, services.approve_void, "The bonus is voided.")

    @action(
        description="Reject",
        permissions=[APPROVE_PERMISSION],
        icon="close",
        dialog=reason_dialog("Keep the bonus", "The request is rejected; nothing changes.", submit="Reject", form_class=VoidDecisionForm),
    )
    def reject(self, request: HttpRequest, form: VoidDecisionForm, object_id: str) -> HttpResponse:
        return self._decide(request, form, object_id, services.reject_void, "The request is rejected; nothing changed.")

    def _decide(self, request: HttpRequest, form: VoidDecisionForm, object_id: str, decision: Any, success: str) -> HttpResponse:
        note = form.cleaned_data["reason"]
        run_call(request, lambda: decision(int(object_id), note=note, actor=acting_user(request), at=utc_now()), success=success)
        return back_to(request, reverse("admin:wallet_voidrequest_change", args=[object_id]))


def status_badge(asked: VoidRequest) -> SafeString:
    return badge(asked.get_status_display(), _TONES[VoidRequest.Status(asked.status)])


def void_page(asked: VoidRequest, viewer: User) -> dict[str, Any]:
    """Context of a request's page: what would be voided, who asks and why, who may decide."""
    grant = asked.grant
    is_pending = asked.status == VoidRequest.Status.PENDING
    return {
        "asked": asked,
        "grant": grant,
        "status_badge": status_badge(asked),
        "grant_badge": grant_badge(grant.status),
        "grant_url": page_url(grant, grant.pk),
        "player_link": player_link(grant.player),
        "bar": wagering_bar(grant),
        "principal_text": shown_amount(grant.principal, "BONUS", grant.currency),
        "left_text": shown_amount(grant.balance + grant.locked, "BONUS", grant.currency),
        "wagered_text": wagering_amount(grant.wagered, grant.currency),
        "required_text": wagering_amount(grant.wagering_required, grant.currency),
        "is_pending": is_pending,
        "is_closed": is_pending and grant.closed_at is not None,
        "is_own": is_pending and asked.maker_id == viewer.pk,
        "may_decide": is_pending and viewer.has_perm(APPROVE_PERMISSION),
    }
