"""Redemptions in the admin: what players bought with points, handing over goods, and undoing a purchase."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextareaWidget

from loyalty_site.common.admin.actions import ReasonForm, acting_user, back_to, reason_dialog, run_call
from loyalty_site.common.admin.base import ViewOnlyAdmin
from loyalty_site.common.admin.display import badge
from loyalty_site.common.admin.filters import UtcDateRangeFilter
from loyalty_site.common.clock import utc_now
from wallet import services
from wallet.models import CatalogueItem, Redemption, Unit
from wallet.points.redemptions import FULFIL_PERMISSION

from .catalogue import content_text
from .liability import LiabilityExport, LiabilityPage
from .parts import PlayerSearchMixin, link, page_url, player_link, right, shown_amount

Status = Redemption.Status
_TONES = {Status.ORDERED: "warn", Status.FULFILLED: "good", Status.CANCELLED: "bad"}


class FulfilForm(ReasonForm):
    reason = forms.CharField(
        label="Note",
        min_length=3,
        max_length=300,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "autofocus": True}),
        help_text="How it was handed over, such as the number of the parcel.",
        error_messages={"required": "Write how it was handed over."},
    )


class CancelForm(ReasonForm):
    reason = forms.CharField(
        min_length=3,
        max_length=300,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "autofocus": True}),
        help_text="Kept with the redemption and in the audit trail.",
        error_messages={"required": "Give a reason: it is kept with the redemption."},
    )


@admin.register(Redemption)
class RedemptionAdmin(PlayerSearchMixin, ViewOnlyAdmin):
    list_display = ("shown_number", "shown_player", "shown_item", "shown_price", "shown_status", "shown_time", "shown_closed")
    list_display_links = ("shown_number",)
    list_filter = (("status", ChoicesDropdownFilter), ("item", RelatedDropdownFilter), ("ordered_at", UtcDateRangeFilter))
    list_select_related = ("player", "item", "closed_by")
    search_help_text = "Player id, or #number of the redemption"
    ordering = ("-id",)
    fields = ()
    change_form_template = "admin/wallet/redemption/change_form.html"
    actions_detail = ("fulfil", "cancel")

    def get_urls(self) -> list[Any]:
        site = self.admin_site.admin_view
        return [
            path("liability/", site(LiabilityPage.as_view()), name="wallet_liability"),
            path("liability/export/<str:kind>/", site(LiabilityExport.as_view()), name="wallet_liability_export"),
            *super().get_urls(),
        ]

    class Media:
        css = {"all": ["wallet/admin.css"]}

    @display(description="Redemption", ordering="id")
    def shown_number(self, redemption: Redemption) -> str:
        return f"#{redemption.pk}"

    @display(description="Player")
    def shown_player(self, redemption: Redemption) -> SafeString:
        return player_link(redemption.player)

    @display(description="Item")
    def shown_item(self, redemption: Redemption) -> str:
        return f"{redemption.quantity} × {redemption.item.name}" if redemption.quantity > 1 else redemption.item.name

    @display(description="Price", ordering="price")
    def shown_price(self, redemption: Redemption) -> SafeString:
        return right(shown_amount(redemption.price, Unit.RP, ""))

    @display(description="Status", ordering="status")
    def shown_status(self, redemption: Redemption) -> SafeString:
        return status_badge(redemption)

    @display(description="Bought (UTC)", ordering="ordered_at")
    def shown_time(self, redemption: Redemption) -> str:
        return f"{redemption.ordered_at:%Y-%m-%d %H:%M}"

    @display(description="Closed (UTC)", ordering="closed_at")
    def shown_closed(self, redemption: Redemption) -> str:
        return f"{redemption.closed_at:%Y-%m-%d %H:%M}" if redemption.closed_at else "waits for hand-over"

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        redemption = self.get_object(request, object_id) if object_id else None
        page = redemption_page(redemption) if redemption else {}
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **page})

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        """Only what is still possible: goods that wait can be handed over, what was handed over or cancelled stays."""
        redemption = Redemption.objects.select_related("item").filter(pk=object_id).first()
        found = super().get_actions_detail(request, object_id)
        if redemption is None or redemption.status == Status.CANCELLED:
            return []
        if redemption.status == Status.ORDERED:
            return found
        if redemption.item.kind == CatalogueItem.Kind.GOODS:
            return []
        return [one for one in found if not one.action_name.endswith("fulfil")]

    @action(
        description="Hand over",
        permissions=[FULFIL_PERMISSION],
        icon="local_shipping",
        variant=ActionVariant.PRIMARY,
        dialog=reason_dialog("Hand over the goods", "The redemption is done then.", submit="Handed over", form_class=FulfilForm),
    )
    def fulfil(self, request: HttpRequest, form: FulfilForm, object_id: str) -> HttpResponse:
        note = form.cleaned_data["reason"]
        run_call(
            request,
            lambda: services.fulfil_redemption(int(object_id), actor=acting_user(request), at=utc_now(), note=note),
            success="The goods are handed over.",
        )
        return back_to(request, reverse("admin:wallet_redemption_change", args=[object_id]))

    @action(
        description="Cancel",
        permissions=[FULFIL_PERMISSION],
        icon="undo",
        variant=ActionVariant.DANGER,
        dialog=reason_dialog(
            "Cancel the redemption",
            "The points go back to the lots they came from, the pieces to the stock. An unused bonus or unspent tickets are taken back.",
            submit="Cancel the redemption",
            form_class=CancelForm,
        ),
    )
    def cancel(self, request: HttpRequest, form: CancelForm, object_id: str) -> HttpResponse:
        reason = form.cleaned_data["reason"]
        run_call(
            request,
            lambda: services.cancel_redemption(int(object_id), reason=reason, actor=acting_user(request), at=utc_now()),
            success="The redemption is cancelled; the points are back.",
        )
        return back_to(request, reverse("admin:wallet_redemption_change", args=[object_id]))


def status_badge(redemption: Redemption) -> SafeString:
    return badge(redemption.get_status_display(), _TONES[Status(redemption.status)])


def redemption_page(redemption: Redemption) -> dict[str, Any]:
    """Context of a redemption's page: what was bought, which lots paid, what it gave."""
    uses = redemption.entry.lot_uses.select_related("lot").order_by("id")
    return {
        "redemption": redemption,
        "player_link": player_link(redemption.player),
        "item_link": link(redemption.item.name, page_url("wallet_catalogueitem", redemption.item_id)),
        "status_badge": status_badge(redemption),
        "price_text": shown_amount(redemption.price, Unit.RP, ""),
        "content": content_text(redemption.item) if redemption.item.kind != CatalogueItem.Kind.GOODS else "goods",
        "entry_url": page_url("wallet_entry", redemption.entry_id),
        "grant_url": page_url("wallet_bonusgrant", redemption.grant_id) if redemption.grant_id else "",
        "ticket_url": page_url("wallet_entry", redemption.ticket_entry_id) if redemption.ticket_entry_id else "",
        "lots": [
            {
                "lot": use.lot,
                "taken": shown_amount(-use.amount, Unit.RP, ""),
                "url": page_url("wallet_lot", use.lot_id),
            }
            for use in uses
        ],
    }
