"""Games: the house edge and spread that theoretical win and risk figures stand on."""

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from simple_history.admin import SimpleHistoryAdmin
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import display

from loyalty_site.common.admin.base import BackOfficeAdmin
from loyalty_site.common.admin.display import DASH
from players.models import Game


class GameForm(forms.ModelForm):
    class Meta:
        model = Game
        fields = ("code", "name", "provider", "category", "house_edge", "round_sd")
        help_texts = {
            "house_edge": "Share of the stake the house keeps on average, as a fraction: 0.04 is 4 %. Empty: the default threshold. "
            "A change counts for activity of the last three days; run the day roll-up with days = 0 to apply it to all."
        }

    def clean_house_edge(self) -> Decimal | None:
        edge: Decimal | None = self.cleaned_data["house_edge"]
        if edge is not None and not -1 < edge < 1:
            raise forms.ValidationError(f"Give a fraction between -1 and 1: {edge} per cent is {edge / 100}.")
        return edge

    def clean_round_sd(self) -> Decimal | None:
        deviation: Decimal | None = self.cleaned_data["round_sd"]
        if deviation is not None and deviation <= 0:
            raise forms.ValidationError("Give a number above 0, or leave it empty if it is unknown.")
        return deviation


class EdgeFilter(DropdownFilter):
    title = "house edge"
    parameter_name = "edge"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("known", "Known"), ("unknown", "Unknown: default edge")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() in ("known", "unknown"):
            return queryset.filter(house_edge__isnull=self.value() == "unknown")
        return queryset


@admin.register(Game)
class GameAdmin(SimpleHistoryAdmin, BackOfficeAdmin):
    form = GameForm
    list_display = ("code", "name", "provider", "category", "edge", "spread")
    list_filter = (("category", ChoicesDropdownFilter), EdgeFilter)
    search_fields = ("code", "name", "provider")
    search_help_text = "Code, name or provider"
    ordering = ("code",)
    history_list_display = ("category", "house_edge", "round_sd")
    fieldsets = ((None, {"fields": (("code", "name"), ("provider", "category"), ("house_edge", "round_sd"))}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Game | None = None) -> tuple[str, ...]:
        return ("code",) if obj is not None else ()  # activity files name games by it

    def has_delete_permission(self, request: HttpRequest, obj: Game | None = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or not obj.plays.exists())

    @display(description="House edge", ordering="house_edge")
    def edge(self, game: Game) -> str:
        return DASH if game.house_edge is None else f"{game.house_edge * 100:.2f} %"

    @display(description="SD per round", ordering="round_sd")
    def spread(self, game: Game) -> str:
        return DASH if game.round_sd is None else f"{game.round_sd.normalize():f}"
