"""The redemption catalogue in the admin: what points buy, at which price, and how many are left."""

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from simple_history.admin import SimpleHistoryAdmin
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminIntegerFieldWidget, UnfoldAdminTextareaWidget

from loyalty_site.common.admin.actions import ReasonForm, acting_user, back_to, reason_dialog, run_call
from loyalty_site.common.admin.base import BackOfficeAdmin
from loyalty_site.common.admin.display import DASH, amount, badge
from loyalty_site.common.clock import utc_now
from loyalty_site.common.money import MoneyError, from_minor, to_minor
from wallet import services
from wallet.grants.offers import needs_deposit
from wallet.models import CatalogueItem, PointsPolicy, Redemption, Unit
from wallet.points.catalogue import STOCK_PERMISSION, not_on_offer
from wallet.values import MAX_AMOUNT_MINOR

from .parts import right, shown_amount

Kind = CatalogueItem.Kind
_KIND_TONES = {Kind.BONUS: "primary", Kind.TICKETS: "info", Kind.GOODS: ""}
_ONLY_BONUS = ("bonus_template", "bonus_amount", "bonus_currency")


class StockForm(ReasonForm):
    change = forms.IntegerField(
        label="Pieces",
        min_value=-1_000_000,
        max_value=1_000_000,
        widget=UnfoldAdminIntegerFieldWidget(attrs={"autofocus": True}),
        help_text="Positive adds, negative takes away. An item without a limit gets one.",
    )


class CatalogueItemForm(forms.ModelForm):
    """The fields that fit the kind; the price is typed in points."""

    price_points = forms.DecimalField(
        label="Price",
        min_value=Decimal("0.01"),
        max_digits=15,
        decimal_places=2,
        widget=UnfoldAdminDecimalFieldWidget,
        help_text="Reward points (RP) for one piece.",
    )

    class Meta:
        model = CatalogueItem
        fields = (
            "code",
            "name",
            "description",
            "kind",
            "bonus_template",
            "bonus_amount",
            "bonus_currency",
            "tickets",
            "stock",
            "per_player",
            "is_active",
            "valid_from",
            "valid_to",
        )
        widgets = {"description": UnfoldAdminTextareaWidget(attrs={"rows": 3})}
        labels = {
            "is_active": "On offer",
            "bonus_template": "Bonus template",
            "tickets": "Tickets in one piece",
            "per_player": "Most per player",
            "stock": "Pieces",
        }
        help_texts = {
            "code": "Permanent; integrators order by it.",
            "bonus_template": "Its terms hold for the bonus.",
            "bonus_amount": "Bonus money in one piece.",
            "bonus_currency": "ISO 4217; only players with this currency can have it.",
            "valid_from": "UTC; empty: at once.",
            "valid_to": "UTC; first instant at which it can no longer be had; empty: open end.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and "price_points" in self.fields:
            self.fields["price_points"].initial = from_minor(self.instance.price, Unit.RP)

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        kind = data.get("kind", self.instance.kind)
        if kind != Kind.BONUS:
            data |= {"bonus_template": None, "bonus_amount": None, "bonus_currency": ""}
        if kind != Kind.TICKETS:
            data["tickets"] = None
        if kind == Kind.BONUS:
            self._clean_bonus(data)
        if kind == Kind.TICKETS and not data.get("tickets") and "tickets" not in self.errors:
            self.add_error("tickets", "Say how many tickets one piece has; at least 1.")
        start, end = data.get("valid_from"), data.get("valid_to")
        if start and end and end <= start:
            self.add_error("valid_to", "The end must lie after the start.")
        if data.get("price_points") is not None:
            self.instance.price = to_minor(data["price_points"], Unit.RP)
            if self.instance.price > MAX_AMOUNT_MINOR:
                self.add_error("price_points", "The price is larger than any posting may be.")
        return data

    def _clean_bonus(self, data: dict[str, Any]) -> None:
        template, value = data.get("bonus_template"), data.get("bonus_amount")
        currency = data["bonus_currency"] = (data.get("bonus_currency") or "").upper()
        if template is None and "bonus_template" not in self.errors:
            self.add_error("bonus_template", "Choose the template whose terms the bonus has.")
        if not (len(currency) == 3 and currency.isascii() and currency.isalpha()):
            self.add_error("bonus_currency", "Bonus money needs an ISO 4217 currency such as EUR.")
        elif value is None or value <= 0:
            if "bonus_amount" not in self.errors:
                self.add_error("bonus_amount", "Say how much bonus money one piece has.")
        else:
            try:
                to_minor(value, currency)
            except MoneyError as error:
                self.add_error("bonus_amount", str(error))
        version = template.current if template is not None else None
        if template is not None and version is None:
            self.add_error("bonus_template", "The template has no terms yet.")
        if version is None:
            return
        if version.kind != version.Kind.MONEY or needs_deposit(version):
            self.add_error("bonus_template", "Choose a template of bonus money that needs no deposit.")
        elif value and version.max_amount is not None and value > version.max_amount:
            self.add_error("bonus_amount", f"The template gives {version.max_amount.normalize():f} at most.")


@admin.register(CatalogueItem)
class CatalogueItemAdmin(SimpleHistoryAdmin, BackOfficeAdmin):
    """An item is never deleted: redemptions keep it. It is switched off instead."""

    form = CatalogueItemForm
    list_display = ("shown_name", "shown_kind", "shown_content", "shown_price", "shown_carried", "shown_stock", "shown_sold", "shown_state")
    list_display_links = ("shown_name",)
    list_filter = ("is_active", ("kind", ChoicesDropdownFilter))
    search_fields = ("code", "name", "description")
    search_help_text = "Code, name or description"
    ordering = ("code",)
    history_list_display = ("price", "stock", "is_active")
    # the kind of an item that exists is no field of its form: its page has the fields of its kind only
    conditional_fields = {
        **{name: "typeof kind === 'undefined' || kind == 'bonus'" for name in _ONLY_BONUS},
        "tickets": "typeof kind === 'undefined' || kind == 'tickets'",
    }
    actions_detail = ("change_stock", "lift_limit")

    class Media:
        css = {"all": ["wallet/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[CatalogueItem]:
        sold = (
            Redemption.objects.filter(item=OuterRef("pk"))
            .exclude(status=Redemption.Status.CANCELLED)
            .order_by()
            .values("item")
            .annotate(pieces=Sum("quantity"))
            .values("pieces")
        )
        return super().get_queryset(request).select_related("bonus_template").annotate(sold=Coalesce(Subquery(sold), 0))

    def get_fieldsets(self, request: HttpRequest, obj: CatalogueItem | None = None) -> Any:
        contents: dict[str, tuple[Any, ...]] = {
            Kind.BONUS: ("bonus_template", ("bonus_amount", "bonus_currency")),
            Kind.TICKETS: ("tickets",),
        }
        shown = contents.get(obj.kind, ()) if obj else (*contents[Kind.BONUS], *contents[Kind.TICKETS])
        return (
            (None, {"fields": (("code", "name"), "description", ("kind", "is_active"))}),
            *((("What one piece is", {"fields": shown}),) if shown else ()),
            ("Price", {"fields": ("price_points", "shown_worth") if obj else ("price_points",)}),
            ("How many, and when", {"fields": (("stock", "per_player"), "valid_from", "valid_to")}),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: CatalogueItem | None = None) -> Any:
        # the stock of an item changes beside purchases, so it is counted up and down, never typed over
        return ("code", "kind", "stock", "shown_worth") if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: CatalogueItem | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: CatalogueItem, form: CatalogueItemForm, change: bool) -> None:
        if not change:
            obj.save()
            return
        # what the form shows, and nothing else: a purchase may have lowered the stock meanwhile
        names = [name for name in CatalogueItemForm.Meta.fields if name not in ("code", "kind", "stock")]
        obj.save(update_fields=[*names, "price"])

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        """Only a limit that is there can be lifted."""
        limited = CatalogueItem.objects.filter(pk=object_id, stock__isnull=False).exists()
        found = super().get_actions_detail(request, object_id)
        return found if limited else [one for one in found if getattr(one.method, "__name__", "") != "lift_limit"]

    @action(
        description="Change the stock",
        permissions=[STOCK_PERMISSION],
        icon="inventory_2",
        variant=ActionVariant.PRIMARY,
        dialog=reason_dialog("Change the stock", "Purchases go on meanwhile.", submit="Change", form_class=StockForm),
    )
    def change_stock(self, request: HttpRequest, form: StockForm, object_id: str) -> HttpResponse:
        data = form.cleaned_data
        run_call(
            request,
            lambda: services.adjust_stock(
                int(object_id), change=data["change"], reason=data["reason"], actor=acting_user(request), at=utc_now()
            ),
            success=lambda item: f"{item.stock:,} pieces are in stock.",
        )
        return back_to(request, reverse("admin:wallet_catalogueitem_change", args=[object_id]))

    @action(
        description="Lift the limit",
        permissions=[STOCK_PERMISSION],
        icon="all_inclusive",
        dialog=reason_dialog("Lift the limit", "The item can then be had without counting pieces.", submit="Lift the limit"),
    )
    def lift_limit(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        run_call(
            request,
            lambda: services.lift_stock_limit(int(object_id), reason=form.cleaned_data["reason"], actor=acting_user(request), at=utc_now()),
            success=lambda item: f"{item.name} has no limit now.",
        )
        return back_to(request, reverse("admin:wallet_catalogueitem_change", args=[object_id]))

    @display(description="Item", ordering="code")
    def shown_name(self, item: CatalogueItem) -> SafeString:
        return format_html('{}<span class="lb-note" style="display:block">{}</span>', item.name, item.code)

    @display(description="Kind", ordering="kind")
    def shown_kind(self, item: CatalogueItem) -> SafeString:
        return badge(item.get_kind_display(), _KIND_TONES[Kind(item.kind)])

    @display(description="One piece is")
    def shown_content(self, item: CatalogueItem) -> str:
        return content_text(item)

    @display(description="Price", ordering="price")
    def shown_price(self, item: CatalogueItem) -> SafeString:
        return right(shown_amount(item.price, Unit.RP, ""))

    @display(description="Points carried at")
    def shown_carried(self, item: CatalogueItem) -> SafeString:
        return right(carried_text(item))

    @display(description="What it takes and gives")
    def shown_worth(self, item: CatalogueItem) -> str:
        """The price in money beside the face value, so that nobody sells bonus money below what its points stand for."""
        given = content_text(item) if item.kind != Kind.GOODS else "one piece"
        return f"{shown_amount(item.price, Unit.RP, '')}, carried at {carried_text(item)}, for {given}"

    @display(description="Left", ordering="stock")
    def shown_stock(self, item: CatalogueItem) -> SafeString | str:
        if item.stock is None:
            return right("no limit")
        return right(badge("sold out", "bad") if item.stock == 0 else f"{item.stock:,}")

    @display(description="Redeemed")
    def shown_sold(self, item: CatalogueItem) -> SafeString:
        return right(f"{item.sold:,}")  # type: ignore[attr-defined] # annotated

    @display(description="State")
    def shown_state(self, item: CatalogueItem) -> SafeString:
        why = not_on_offer(item, utc_now())
        if why is None:
            return badge("on offer", "good")
        return badge(
            {"not-yet-valid": "not yet", "no-longer-valid": "over", "inactive": "off"}.get(why.code, "blocked"), "warn", title=why.text
        )


def content_text(item: CatalogueItem) -> str:
    """What one piece is, in words."""
    if item.kind == Kind.BONUS:
        return f"{amount(item.bonus_amount, item.bonus_currency)} of {item.bonus_template}"
    return f"{item.tickets:,} tickets" if item.kind == Kind.TICKETS else DASH


def carried_text(item: CatalogueItem) -> str:
    """What the points of the price stand at in the books: price times the cost of a point."""
    policy = PointsPolicy.objects.filter(unit=Unit.RP).first()
    if policy is None or not policy.cost_per_point:
        return "no cost"
    return amount((from_minor(item.price, Unit.RP) * policy.cost_per_point).quantize(Decimal("0.01")), policy.cost_currency)
