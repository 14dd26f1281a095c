"""The outbox: what the operator's platform was told, what it answered, and what needs a person."""

import json
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from loyalty_site.common.admin.actions import ReasonForm, acting_user, back_to, reason_action, reason_dialog, run_call
from loyalty_site.common.admin.base import ViewOnlyAdmin
from loyalty_site.common.admin.display import DASH, badge, duration
from loyalty_site.common.admin.filters import UtcDateRangeFilter
from loyalty_site.common.clock import utc_now
from wallet import services
from wallet.errors import WalletError
from wallet.models import PayoutInstruction
from wallet.payouts import RETRY_PERMISSION, body_of, is_being_sent

from .parts import PlayerSearchMixin, link, page_url, player_link, right, shown_signed

_BADGES = {"PENDING": ("To deliver", "warn"), "DELIVERED": ("Delivered", "good"), "FAILED": ("Given up", "bad")}
_SHORT = 70
_ONCE = "The platform gets the same key as before, so what it carried out already it does not do again."


def status_badge(payout: PayoutInstruction, now: datetime) -> SafeString:
    if is_being_sent(payout, now):
        return badge("Being sent", "info")
    text, tone = _BADGES[payout.status]
    return badge(text, tone, title=payout.get_status_display())


@admin.register(PayoutInstruction)
class PayoutInstructionAdmin(PlayerSearchMixin, ViewOnlyAdmin):
    list_display = (
        "shown_number", "shown_status", "shown_player", "shown_amount", "shown_grant", "shown_attempts", "shown_error", "shown_created",
    )  # fmt: skip
    list_display_links = ("shown_number",)
    list_filter = (("status", ChoicesDropdownFilter), ("created_at", UtcDateRangeFilter))
    list_select_related = ("player", "grant")
    search_help_text = "Player id, or #number of the pay-out"
    ordering = ("-id",)
    fields = ()
    change_form_template = "admin/wallet/payoutinstruction/change_form.html"
    actions = ("send_selected_again",)
    actions_detail = ("send_again",)

    class Media:
        css = {"all": ["wallet/admin.css"]}

    @display(description="Pay-out", ordering="id")
    def shown_number(self, payout: PayoutInstruction) -> str:
        return f"#{payout.pk}"

    @display(description="Status", ordering="status")
    def shown_status(self, payout: PayoutInstruction) -> SafeString:
        return status_badge(payout, utc_now())

    @display(description="Player")
    def shown_player(self, payout: PayoutInstruction) -> SafeString:
        return player_link(payout.player)

    @display(description="Amount")
    def shown_amount(self, payout: PayoutInstruction) -> SafeString:
        return right(shown_signed(payout.amount, "BONUS", payout.currency))

    @display(description="Bonus")
    def shown_grant(self, payout: PayoutInstruction) -> SafeString:
        return link(f"#{payout.grant_id}", page_url(payout.grant, payout.grant_id))

    @display(description="Attempts", ordering="attempts")
    def shown_attempts(self, payout: PayoutInstruction) -> SafeString:
        return right(f"{payout.attempts:,}")

    @display(description="Last answer")
    def shown_error(self, payout: PayoutInstruction) -> SafeString | str:
        if payout.status == PayoutInstruction.Status.DELIVERED:
            return format_html('<span class="wallet-source">{}</span>', payout.platform_ref) if payout.platform_ref else DASH
        error = payout.last_error if len(payout.last_error) <= _SHORT else f"{payout.last_error[: _SHORT - 1]}…"
        return format_html('<span class="wallet-source">{}</span>', error) if error else DASH

    @display(description="Made (UTC)", ordering="created_at")
    def shown_created(self, payout: PayoutInstruction) -> str:
        return f"{payout.created_at:%Y-%m-%d %H:%M}"

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        payout = self.get_object(request, object_id) if object_id else None
        page = payout_page(payout, utc_now()) if payout else {}
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **page})

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        """The button only while there is something to send."""
        payout = PayoutInstruction.objects.filter(pk=object_id).first()
        is_open = payout is not None and payout.status != PayoutInstruction.Status.DELIVERED and not is_being_sent(payout, utc_now())
        return super().get_actions_detail(request, object_id) if is_open else []

    @action(
        description="Send again",
        permissions=[RETRY_PERMISSION],
        icon="send",
        variant=ActionVariant.PRIMARY,
        dialog=reason_dialog("Send the pay-out again", f"It goes out within a minute. {_ONCE}", submit="Send again"),
    )
    def send_again(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        run_call(
            request,
            lambda: services.retry_payout(int(object_id), reason=form.cleaned_data["reason"], actor=acting_user(request), at=utc_now()),
            success="The pay-out is due now; it goes out within a minute.",
        )
        return back_to(request, reverse("admin:wallet_payoutinstruction_change", args=[object_id]))

    @reason_action(
        description="Send again",
        permissions=[RETRY_PERMISSION],
        question=f"The chosen pay-outs go out within a minute, those that are delivered stay as they are. {_ONCE}",
        submit="Send again",
    )
    def send_selected_again(self, request: HttpRequest, queryset: QuerySet[PayoutInstruction], form: ReasonForm) -> None:
        ids = list(queryset.exclude(status=PayoutInstruction.Status.DELIVERED).order_by("id").values_list("pk", flat=True))
        actor, reason = acting_user(request), form.cleaned_data["reason"]

        def send_all() -> tuple[int, int]:
            sent = left = 0
            for payout_id in ids:
                try:
                    services.retry_payout(payout_id, reason=reason, actor=actor, at=utc_now())
                    sent += 1
                except WalletError:  # delivered or taken up in the meantime
                    left += 1
            return sent, left

        def told(counted: tuple[int, int]) -> str:
            left = f"; {counted[1]:,} were being sent already" if counted[1] else ""
            return f"{counted[0]:,} pay-outs are due now{left}."

        run_call(request, send_all, success=told)


def payout_page(payout: PayoutInstruction, now: datetime) -> dict[str, Any]:
    """Context of a pay-out's page: what is asked of the platform, what came back, when the next attempt is."""
    pending = payout.status == PayoutInstruction.Status.PENDING
    return {
        "payout": payout,
        "player_link": player_link(payout.player),
        "status_badge": status_badge(payout, now),
        "amount_text": shown_signed(payout.amount, "BONUS", payout.currency),
        "grant_url": page_url(payout.grant, payout.grant_id),
        "entry_url": page_url("wallet_entry", payout.entry_id),
        "body": json.dumps(json.loads(body_of(payout)), indent=2, ensure_ascii=False),
        "is_pending": pending,
        "is_failed": payout.status == PayoutInstruction.Status.FAILED,
        "is_sending": is_being_sent(payout, now),
        "is_pushed": bool(settings.PLATFORM_PAYOUT_URL),
        "next_in": duration(payout.next_attempt_at - now) if pending and payout.next_attempt_at > now else "",
        "took": duration(payout.delivered_at - payout.created_at) if payout.delivered_at else "",
    }
