"""Bonus grants: the list, the page of one, and what staff may do to it for a player."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, MultipleChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from loyalty_site.common.admin.actions import ReasonForm, acting_user, back_to, reason_dialog, run_call
from loyalty_site.common.admin.base import ViewOnlyAdmin
from loyalty_site.common.admin.display import DASH
from loyalty_site.common.admin.filters import UtcDateRangeFilter
from loyalty_site.common.clock import utc_now
from wallet import services
from wallet.grants.pausing import pausing_allowed
from wallet.grants.queue import ACT_PERMISSION
from wallet.grants.voids import APPROVE_PERMISSION as APPROVE_VOID_PERMISSION
from wallet.grants.voids import REQUEST_PERMISSION as REQUEST_VOID_PERMISSION
from wallet.models import OPEN_STATUSES, WAITING_STATUSES, BonusGrant, GrantStatus, VoidRequest

from .funnel import FunnelExport, FunnelPage
from .grant_export import EXPORT_PERMISSION, ExplanationExport
from .grant_filters import CurrencyFilter, EndsFilter, FlagFilter, StateFilter, TemplateFilter
from .grant_forms import ClaimForm, EventReasonForm, MoveForm, VoidDecisionForm, VoidForm
from .grant_page import grant_page, status_badge, wagering_bar
from .parts import PlayerSearchMixin, player_link, right, shown_amount

_MAY_BE_PAUSED = (GrantStatus.ACTIVE, GrantStatus.WAGERING)
_NOT_CLOSED = WAITING_STATUSES + OPEN_STATUSES


@admin.register(BonusGrant)
class BonusGrantAdmin(PlayerSearchMixin, ViewOnlyAdmin):
    list_display = (
        "shown_number",
        "shown_player",
        "shown_template",
        "product",
        "shown_status",
        "shown_principal",
        "shown_left",
        "shown_progress",
        "shown_expiry",
        "shown_created",
    )
    list_display_links = ("shown_number",)
    list_filter = (
        StateFilter,
        ("status", MultipleChoicesDropdownFilter),
        ("product", ChoicesDropdownFilter),
        TemplateFilter,
        CurrencyFilter,
        EndsFilter,
        FlagFilter,
        ("offered_at", UtcDateRangeFilter),
    )
    list_select_related = ("player", "template_version__template")
    search_help_text = "Player id, or #number of the bonus"
    ordering = ("-id",)
    fields = ()
    change_form_template = "admin/wallet/bonusgrant/change_form.html"
    actions_detail = ("claim", "resume", "pause", "move", "surrender", "ask_void", "approve_void", "reject_void")

    class Media:
        css = {"all": ["wallet/admin.css"]}

    def get_urls(self) -> list[Any]:
        site = self.admin_site.admin_view
        return [
            path("funnel/", site(FunnelPage.as_view()), name="wallet_bonus_funnel"),
            path("funnel/export/<str:kind>/", site(FunnelExport.as_view()), name="wallet_bonus_funnel_export"),
            path("<int:pk>/explanation/<str:kind>/", site(ExplanationExport.as_view()), name="wallet_bonusgrant_explanation"),
            *super().get_urls(),
        ]

    # the list

    @display(description="Bonus", ordering="id")
    def shown_number(self, grant: BonusGrant) -> str:
        return f"#{grant.pk}"

    @display(description="Player")
    def shown_player(self, grant: BonusGrant) -> SafeString:
        return player_link(grant.player)

    @display(description="Template")
    def shown_template(self, grant: BonusGrant) -> str:
        return grant.template_version.template.name if grant.template_version else DASH

    @display(description="Status", ordering="status")
    def shown_status(self, grant: BonusGrant) -> SafeString:
        return status_badge(grant.status)

    @display(description="Amount")
    def shown_principal(self, grant: BonusGrant) -> SafeString:
        return right(shown_amount(grant.principal, "BONUS", grant.currency))

    @display(description="Left")
    def shown_left(self, grant: BonusGrant) -> SafeString:
        return right(shown_amount(grant.balance + grant.locked, "BONUS", grant.currency))

    @display(description="Wagered")
    def shown_progress(self, grant: BonusGrant) -> SafeString:
        return wagering_bar(grant) if grant.wagering_required else right(DASH)

    @display(description="Expires (UTC)", ordering="expires_at")
    def shown_expiry(self, grant: BonusGrant) -> str:
        return f"{grant.expires_at:%Y-%m-%d %H:%M}"

    @display(description="Created", ordering="id")
    def shown_created(self, grant: BonusGrant) -> str:
        return f"{grant.offered_at:%Y-%m-%d}"

    # the page of one

    def get_queryset(self, request: HttpRequest) -> QuerySet[BonusGrant]:
        return super().get_queryset(request).select_related("player__jurisdiction", "template_version__template")

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        grant = self.get_object(request, object_id) if object_id else None
        page: dict[str, Any] = {}
        if grant and self.has_view_permission(request, grant):
            page = grant_page(grant, utc_now(), bets_before=request.GET.get("bets_before", ""), verdict=request.GET.get("verdict", ""))
            page |= {
                "may_export": request.user.has_perm(EXPORT_PERMISSION),
                "pending_void": next((row for row in page["voids"] if row["request"].status == VoidRequest.Status.PENDING), None),
                "viewer": request.user,
            }
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **page})

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        """Only what the person may do and the state of the bonus allows."""
        grant = BonusGrant.objects.select_related("player").filter(pk=object_id).first()
        if grant is None:
            return []
        possible = possible_actions(grant, request.user.pk)
        return [one for one in super().get_actions_detail(request, object_id) if getattr(one.method, "__name__", "") in possible]

    def _do(self, request: HttpRequest, object_id: str, call: Any, success: str) -> HttpResponse:
        run_call(request, call, success=success)
        return back_to(request, reverse("admin:wallet_bonusgrant_change", args=[object_id]))

    @action(
        description="Claim",
        permissions=[ACT_PERMISSION],
        icon="redeem",
        variant=ActionVariant.PRIMARY,
        dialog=reason_dialog(
            "Claim for the player",
            "It becomes active, or waits in the queue while another bonus of the same product is open.",
            submit="Claim",
            form_class=ClaimForm,
        ),
    )
    def claim(self, request: HttpRequest, form: ClaimForm, object_id: str) -> HttpResponse:
        data = form.cleaned_data
        return self._do(
            request,
            object_id,
            lambda: services.claim_grant(
                int(object_id),
                at=utc_now(),
                deposit=data["deposit"] or None,
                deposit_ref=data["deposit_ref"],
                actor=acting_user(request),
                reason=data["reason"],
            ),
            "The bonus is claimed.",
        )

    @action(
        description="Surrender",
        permissions=[ACT_PERMISSION],
        icon="undo",
        dialog=reason_dialog(
            "Give the bonus up for the player",
            "What is left of it and what was won with it is forfeited.",
            submit="Give it up",
            form_class=EventReasonForm,
        ),
    )
    def surrender(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        grant, reason = BonusGrant.objects.get(pk=object_id), form.cleaned_data["reason"]
        call = services.decline_grant if grant.status == GrantStatus.OFFERED else services.surrender_grant
        return self._do(
            request,
            object_id,
            lambda: call(grant.pk, at=utc_now(), reason=reason, actor=acting_user(request)),
            "The bonus is given up.",
        )

    @action(
        description="Pause",
        permissions=[ACT_PERMISSION],
        icon="pause",
        dialog=reason_dialog(
            "Pause the bonus", "Bets do not count while it is paused. Its time goes on.", submit="Pause", form_class=EventReasonForm
        ),
    )
    def pause(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        reason = form.cleaned_data["reason"]
        return self._do(
            request,
            object_id,
            lambda: services.pause_grant(int(object_id), at=utc_now(), actor=acting_user(request), reason=reason),
            "The bonus is paused.",
        )

    @action(
        description="Resume",
        permissions=[ACT_PERMISSION],
        icon="play_arrow",
        variant=ActionVariant.PRIMARY,
        dialog=reason_dialog("Resume the bonus", "Bets count again from now on.", submit="Resume", form_class=EventReasonForm),
    )
    def resume(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        reason = form.cleaned_data["reason"]
        return self._do(
            request,
            object_id,
            lambda: services.resume_grant(int(object_id), at=utc_now(), actor=acting_user(request), reason=reason),
            "The bonus is active again.",
        )

    @action(
        description="Move in queue",
        permissions=[ACT_PERMISSION],
        icon="swap_vert",
        dialog=reason_dialog(
            "Move it in the queue", "The next of the queue starts when the open one ends.", submit="Move", form_class=MoveForm
        ),
    )
    def move(self, request: HttpRequest, form: MoveForm, object_id: str) -> HttpResponse:
        data = form.cleaned_data
        return self._do(
            request,
            object_id,
            lambda: services.move_in_queue(
                int(object_id), queue_order=data["queue_order"], at=utc_now(), actor=acting_user(request), reason=data["reason"]
            ),
            "Its place in the queue is changed.",
        )

    @action(
        description="Ask to void",
        permissions=[REQUEST_VOID_PERMISSION],
        icon="block",
        variant=ActionVariant.DANGER,
        dialog=reason_dialog(
            "Ask to void the bonus",
            "Nothing changes until another person approves it; then what is left of the bonus goes back to the house.",
            submit="Ask",
            form_class=VoidForm,
        ),
    )
    def ask_void(self, request: HttpRequest, form: VoidForm, object_id: str) -> HttpResponse:
        data = form.cleaned_data
        return self._do(
            request,
            object_id,
            lambda: services.request_void(
                int(object_id), case_id=data["case_id"].strip(), reason=data["reason"], actor=acting_user(request), at=utc_now()
            ),
            "Another person has to approve it now.",
        )

    @action(
        description="Approve void",
        permissions=[APPROVE_VOID_PERMISSION],
        icon="check",
        variant=ActionVariant.DANGER,
        dialog=reason_dialog(
            "Void the bonus", "What is left of it goes back to the house at once.", submit="Void it", form_class=VoidDecisionForm
        ),
    )
    def approve_void(self, request: HttpRequest, form: VoidDecisionForm, object_id: str) -> HttpResponse:
        return self._decide(request, form, object_id, services.approve_void, "The bonus is voided.")

    @action(
        description="Reject void",
        permissions=[APPROVE_VOID_PERMISSION],
        icon="close",
        dialog=reason_dialog("Keep the bonus", "The request is rejected; nothing changes.", submit="Reject", form_class=VoidDecisionForm),
    )
    def reject_void(self, request: HttpRequest, form: VoidDecisionForm, object_id: str) -> HttpResponse:
        return self._decide(request, form, object_id, services.reject_void, "The request is rejected; nothing changed.")

    def _decide(self, request: HttpRequest, form: VoidDecisionForm, object_id: str, decision: Any, success: str) -> HttpResponse:
        note = form.cleaned_data["reason"]

        def decide() -> Any:
            asked = VoidRequest.objects.filter(grant_id=int(object_id), status=VoidRequest.Status.PENDING).first()
            if asked is None:
                raise ValueError("Nobody asks to void this bonus any more. Reload the page.")
            return decision(asked.pk, note=note, actor=acting_user(request), at=utc_now())

        return self._do(request, object_id, decide, success)


def acts_for_player(grant: BonusGrant, now: datetime) -> set[str]:
    """Names of what staff can do for the player at `now`, by the state of `grant`."""
    status, possible = GrantStatus(grant.status), set[str]()
    if status == GrantStatus.OFFERED and grant.expires_at > now:
        possible.add("claim")
    if status in _NOT_CLOSED:
        possible.add("surrender")
    if status == GrantStatus.QUEUED:
        possible.add("move")
    if status == GrantStatus.PAUSED:
        possible.add("resume")
    if status in _MAY_BE_PAUSED and grant.expires_at > now and pausing_allowed(grant.player_id, now):
        possible.add("pause")
    return possible


def possible_actions(grant: BonusGrant, viewer_id: int | None) -> set[str]:
    """Names of the actions that the state of `grant` allows. The services check again, under the lock."""
    possible = acts_for_player(grant, utc_now())
    if grant.status in _NOT_CLOSED:
        pending = VoidRequest.objects.filter(grant=grant, status=VoidRequest.Status.PENDING).first()
        if pending is None:
            possible.add("ask_void")
        elif pending.maker_id != viewer_id:
            possible |= {"approve_void", "reject_void"}
    return possible
