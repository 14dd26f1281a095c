"""The loyalty ladder."""

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils.safestring import SafeString
from simple_history.admin import SimpleHistoryAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminColorInputWidget, UnfoldAdminTextareaWidget

from loyalty_site.common.admin.base import BackOfficeAdmin
from loyalty_site.common.admin.display import DASH, badge
from players.ladder import ladder_fault
from players.models import Player, Tier


class LinesField(forms.CharField):
    """A list of texts, one a line."""

    widget = UnfoldAdminTextareaWidget(attrs={"rows": 5})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return [line.strip() for line in (super().to_python(value) or "").splitlines() if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return self.to_python(data) != (initial or [])


class TierForm(forms.ModelForm):
    benefits = LinesField(required=False, help_text="One a line; shown to staff and players.")

    class Meta:
        model = Tier
        fields = (
            "name",
            "rank",
            "color",
            "entry_points",
            "keep_points",
            "needs_gate",
            "earn_multiplier",
            "cashback_multiplier",
            "benefits",
        )
        widgets = {"color": UnfoldAdminColorInputWidget}
        help_texts = {"name": "Shown to staff and players.", "color": "Of badges and charts."}

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        entry, keep = data.get("entry_points"), data.get("keep_points")
        for name in ("entry_points", "keep_points", "cashback_multiplier"):
            if data.get(name) is not None and data[name] < 0:
                self.add_error(name, "Give 0 or more.")
        if data.get("earn_multiplier") is not None and data["earn_multiplier"] <= 0:
            self.add_error("earn_multiplier", "Give a number above 0; 1 earns the plain rate.")
        if entry is not None and keep is not None and keep > entry:
            self.add_error("keep_points", f"Give at most the {entry} LP that enter the tier, or players would fall out as they enter.")
        if data.get("rank") is not None and entry is not None:
            if fault := ladder_fault(data["rank"], entry, tier_id=self.instance.pk):
                self.add_error("entry_points", fault)
        return data


def _points(points: Decimal) -> str:
    return f"{points:,.2f}".removesuffix(".00")


@admin.register(Tier)
class TierAdmin(SimpleHistoryAdmin, BackOfficeAdmin):
    form = TierForm
    list_display = ("tier", "rank", "entry", "keep", "gate", "earns", "cashback", "players")
    search_fields = ("name",)
    ordering = ("rank",)
    history_list_display = ("entry_points", "keep_points", "needs_gate", "earn_multiplier", "cashback_multiplier")
    fieldsets = (
        (None, {"fields": (("name", "rank"), "color")}),
        ("Points (LP earned)", {"fields": (("entry_points", "keep_points"), "needs_gate")}),
        ("What it gives", {"fields": (("earn_multiplier", "cashback_multiplier"), "benefits")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tier]:
        counted = Player.objects.filter(tier=OuterRef("pk")).order_by().values("tier").annotate(players=Count("id")).values("players")
        return super().get_queryset(request).annotate(player_count=Coalesce(Subquery(counted), 0))

    def has_delete_permission(self, request: HttpRequest, obj: Tier | None = None) -> bool:
        # a tier that players hold, or ever held, stays: their history names it
        return super().has_delete_permission(request, obj) and (obj is None or not obj.players.exists())

    @display(description="Tier", ordering="rank")
    def tier(self, tier: Tier) -> SafeString:
        return badge(tier.name, color=tier.color)

    @display(description="Enters at", ordering="entry_points")
    def entry(self, tier: Tier) -> str:
        return f"{_points(tier.entry_points)} LP"

    @display(description="Keeps at", ordering="keep_points")
    def keep(self, tier: Tier) -> str:
        return f"{_points(tier.keep_points)} LP"

    @display(description="Clearance")
    def gate(self, tier: Tier) -> SafeString | str:
        return badge("needed", "info") if tier.needs_gate else DASH

    @display(description="Earns", ordering="earn_multiplier")
    def earns(self, tier: Tier) -> str:
        return f"× {tier.earn_multiplier.normalize():f}"

    @display(description="Cashback", ordering="cashback_multiplier")
    def cashback(self, tier: Tier) -> str:
        return f"× {tier.cashback_multiplier.normalize():f}"

    @display(description="Players")
    def players(self, tier: Tier) -> str:
        return f"{tier.player_count:,}"  # type: ignore[attr-defined]
