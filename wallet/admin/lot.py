"""Points in lots: what each credit still holds, until when, and what used it. Expired points are given back here."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import DropdownFilter, MultipleChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from loyalty_site.common.admin.actions import ReasonForm, acting_user, back_to, reason_dialog, run_call
from loyalty_site.common.admin.base import ViewOnlyAdmin
from loyalty_site.common.admin.display import DASH, badge, progress_bar
from loyalty_site.common.admin.filters import UtcDateRangeFilter
from loyalty_site.common.clock import utc_now
from wallet import services
from wallet.errors import CannotReinstate
from wallet.models import Lot, Unit
from wallet.points.policies import UNITS
from wallet.points.reinstatement import REINSTATE_PERMISSION, check_reinstatable

from .entry import house_badge, source_text
from .parts import PlayerSearchMixin, page_url, player_link, right, shown_amount, shown_signed

_TONES = {Lot.Status.PENDING: "warn", Lot.Status.ACTIVE: "good", Lot.Status.EXPIRED: "bad", Lot.Status.CANCELLED: "bad"}
_USES = 100


class PointsUnitFilter(DropdownFilter):
    title = "unit"
    parameter_name = "unit"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(unit, str(Unit(unit).label)) for unit in UNITS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Lot]) -> QuerySet[Lot]:
        return queryset.filter(account__unit=self.value()) if self.value() in UNITS else queryset


class EndFilter(DropdownFilter):
    title = "end"
    parameter_name = "ends"
    days = {"1": "Active, ends within a day", "7": "Active, ends within a week", "30": "Active, ends within 30 days"}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [*self.days.items(), ("never", "Active, never ends")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Lot]) -> QuerySet[Lot]:
        if self.value() == "never":
            return queryset.filter(status=Lot.Status.ACTIVE, expires_at=None)
        if self.value() in self.days:
            return queryset.filter(status=Lot.Status.ACTIVE, expires_at__lte=utc_now() + timedelta(days=int(self.value() or 0)))
        return queryset


def status_badge(lot: Lot) -> SafeString:
    return badge(lot.get_status_display(), _TONES.get(Lot.Status(lot.status), ""))


def end_text(lot: Lot) -> str:
    if lot.status == Lot.Status.PENDING:
        return "by its policy, once active"
    return "never" if lot.expires_at is None else f"{lot.expires_at:%Y-%m-%d %H:%M}"


@admin.register(Lot)
class LotAdmin(PlayerSearchMixin, ViewOnlyAdmin):
    list_display = (
        "shown_number",
        "shown_player",
        "shown_status",
        "shown_granted",
        "shown_left",
        "shown_used",
        "shown_earned",
        "shown_end",
        "shown_source",
    )
    list_display_links = ("shown_number",)
    list_filter = (
        PointsUnitFilter,
        ("status", MultipleChoicesDropdownFilter),
        EndFilter,
        ("earned_at", UtcDateRangeFilter),
        ("expires_at", UtcDateRangeFilter),
    )
    list_select_related = ("player", "account")
    search_help_text = "Player id, or #number of the lot"
    ordering = ("-id",)
    fields = ()
    change_form_template = "admin/wallet/lot/change_form.html"
    actions_detail = ("reinstate",)

    class Media:
        css = {"all": ["wallet/admin.css"]}

    @display(description="Lot", ordering="id")
    def shown_number(self, lot: Lot) -> str:
        return f"#{lot.pk}"

    @display(description="Player")
    def shown_player(self, lot: Lot) -> SafeString:
        return player_link(lot.player)

    @display(description="Status", ordering="status")
    def shown_status(self, lot: Lot) -> SafeString:
        return status_badge(lot)

    @display(description="Credited")
    def shown_granted(self, lot: Lot) -> SafeString:
        return right(shown_amount(lot.qty, lot.account.unit, ""))

    @display(description="Left")
    def shown_left(self, lot: Lot) -> SafeString:
        return right(shown_amount(lot.remaining, lot.account.unit, ""))

    @display(description="Gone")
    def shown_used(self, lot: Lot) -> SafeString:
        percent = 100 * (lot.qty - lot.remaining) // lot.qty
        return progress_bar(percent, 100, label=f"{percent} %")

    @display(description="Earned (UTC)", ordering="earned_at")
    def shown_earned(self, lot: Lot) -> str:
        return f"{lot.earned_at:%Y-%m-%d %H:%M}"

    @display(description="Ends (UTC)", ordering="expires_at")
    def shown_end(self, lot: Lot) -> str:
        return end_text(lot)

    @display(description="Source")
    def shown_source(self, lot: Lot) -> str:
        return f"{lot.source_type} {lot.source_ref}"

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        lot = self.get_object(request, object_id) if object_id else None
        page = lot_page(lot) if lot else {}
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **page})

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        """The button stands only where expired points can be given back."""
        lot = Lot.objects.select_related("account").filter(pk=object_id).first()
        if lot is None or lot.status != Lot.Status.EXPIRED:
            return []
        try:
            check_reinstatable(lot, utc_now())
        except CannotReinstate:
            return []
        return super().get_actions_detail(request, object_id)

    @action(
        description="Give the points back",
        permissions=[REINSTATE_PERMISSION],
        icon="restore",
        variant=ActionVariant.PRIMARY,
        dialog=reason_dialog(
            "Give expired points back",
            "What ran out becomes a new lot that ends by the policy from now. This can be done once for each lot.",
            submit="Give back",
        ),
    )
    def reinstate(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        done, made = run_call(
            request,
            lambda: services.reinstate(int(object_id), reason=form.cleaned_data["reason"], actor=acting_user(request), at=utc_now()),
            success=lambda lot: f"{shown_amount(lot.qty, lot.account.unit, '')} were given back as lot #{lot.pk}.",
        )
        return back_to(request, reverse("admin:wallet_lot_change", args=[made.pk if done else object_id]))


def lot_rows(lots: Iterable[Lot]) -> list[dict[str, Any]]:
    """Rows of a small table of lots on another record's page."""
    return [
        {
            "lot": lot,
            "url": page_url("wallet_lot", lot.pk),
            "status": status_badge(lot),
            "granted": shown_amount(lot.qty, lot.account.unit, ""),
            "left": shown_amount(lot.remaining, lot.account.unit, ""),
            "end": end_text(lot),
        }
        for lot in lots
    ]


def lot_page(lot: Lot) -> dict[str, Any]:
    """Context of a lot's page: what it was, what is left, every entry that used it, and what it gives back or gave it back."""
    unit = lot.account.unit
    given_back = Lot.objects.select_related("account").filter(restores=lot).order_by("id")
    uses = lot.uses.select_related("entry__account", "entry__actor").order_by("-id")[: _USES + 1]
    used = list(uses)
    percent = 100 * (lot.qty - lot.remaining) // lot.qty
    return {
        "lot": lot,
        "player_link": player_link(lot.player),
        "unit_text": Unit(unit).label,
        "status_badge": status_badge(lot),
        "granted_text": shown_amount(lot.qty, unit, ""),
        "left_text": shown_amount(lot.remaining, unit, ""),
        "end_text": end_text(lot),
        "used_bar": progress_bar(percent, 100, label=f"{percent} %"),
        "is_due": lot.status == Lot.Status.ACTIVE and lot.expires_at is not None and lot.expires_at <= utc_now(),
        "waits_text": f"{lot.available_at:%Y-%m-%d %H:%M} UTC" if lot.available_at else "its event arrives",
        "source_text": " ".join(part for part in (lot.source_type, lot.source_ref, lot.source_sub) if part) or DASH,
        "account_url": page_url("wallet_account", lot.account_id),
        "entry_url": page_url("wallet_entry", lot.entry_id) if lot.entry_id else "",
        "restores_url": page_url("wallet_lot", lot.restores_id) if lot.restores_id else "",
        "given_back": lot_rows(given_back),
        "uses": [
            {
                "entry": use.entry,
                "url": page_url("wallet_entry", use.entry_id),
                "house": house_badge(use.entry),
                "source": source_text(use.entry),
                "amount": shown_signed(use.amount, unit, ""),
            }
            for use in used[:_USES]
        ],
        "more_uses": len(used) > _USES,
        "use_limit": _USES,
    }
