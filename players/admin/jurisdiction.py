"""Markets and their dated rules."""

import re
from typing import Any, cast

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest
from simple_history.admin import SimpleHistoryAdmin
from unfold.admin import StackedInline
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from loyalty_site.common.admin.actions import reason_action, run_call
from loyalty_site.common.admin.base import BackOfficeAdmin
from loyalty_site.common.admin.display import DASH, badge
from loyalty_site.common.clock import utc_now
from players import services
from players.models import Jurisdiction, JurisdictionPack
from players.selectors import packs_in_force

_COUNTRY = re.compile(r"[A-Z]{2}")


class CountriesField(forms.CharField):
    """Country codes, separated by commas or spaces."""

    widget = UnfoldAdminTextInputWidget

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        codes = re.split(r"[\s,;]+", (super().to_python(value) or "").strip().upper())
        return sorted({code for code in codes if code})

    def validate(self, value: Any) -> None:
        super().validate(value)
        if wrong := [code for code in value if not _COUNTRY.fullmatch(code)]:
            raise forms.ValidationError(f"{', '.join(wrong)}: give two-letter country codes (ISO 3166), like MT, GB.")

    def has_changed(self, initial: Any, data: Any) -> bool:
        return self.to_python(data) != sorted(initial or [])


class JurisdictionForm(forms.ModelForm):
    countries = CountriesField(required=False, help_text="Countries whose players belong to this market, like GB, IM.")

    class Meta:
        model = Jurisdiction
        fields = ("code", "name", "countries")
        help_texts = {"name": "Shown to staff."}

    def clean_code(self) -> str:
        return str(self.cleaned_data["code"]).strip().upper()


class PackForm(forms.ModelForm):
    class Meta:
        model = JurisdictionPack
        fields = (
            "jurisdiction",
            "valid_from",
            "valid_to",
            "bonuses_allowed",
            "offers_need_marketing_consent",
            "scores_need_profiling_consent",
            "max_wagering_multiple",
            "max_bonus_amount",
            "min_bonus_age",
            "min_wagering_hours",
            "one_product_per_bonus",
            "pausing_allowed",
            "no_offers_after_inactive_days",
            "limit_increase_delay_hours",
            "source",
        )
        widgets = {"source": UnfoldAdminTextareaWidget(attrs={"rows": 2})}
        help_texts = {
            "valid_from": "First day on which they hold.",
            "valid_to": "First day on which they no longer do.",
            "max_bonus_amount": "In the player's currency. Empty: no limit.",
            "no_offers_after_inactive_days": "Empty: inactive players get offers too.",
            "limit_increase_delay_hours": "Until a raised or dropped deposit limit holds.",
        }

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        first, last = data.get("valid_from"), data.get("valid_to")
        if first and last and last <= first:
            self.add_error("valid_to", "Give a day after the first one: it is the first day on which the rules no longer hold.")
        return data


class PackInline(StackedInline):
    model = JurisdictionPack
    form = PackForm
    extra = 0
    show_change_link = True
    fields = (
        ("valid_from", "valid_to"),
        ("bonuses_allowed", "offers_need_marketing_consent"),
        "scores_need_profiling_consent",
        ("max_wagering_multiple", "max_bonus_amount"),
        ("min_bonus_age", "min_wagering_hours"),
        ("one_product_per_bonus", "pausing_allowed"),
        ("no_offers_after_inactive_days", "limit_increase_delay_hours"),
        "source",
    )


@admin.register(Jurisdiction)
class JurisdictionAdmin(SimpleHistoryAdmin, BackOfficeAdmin):
    form = JurisdictionForm
    inlines = (PackInline,)
    list_display = ("code", "name", "country_list", "bonuses", "wagering", "since")
    search_fields = ("code", "name")
    ordering = ("code",)
    history_list_display = ("name", "countries")
    fieldsets = ((None, {"fields": (("code", "name"), "countries")}),)
    actions = ("assign_players",)

    def has_delete_permission(self, request: HttpRequest, obj: Jurisdiction | None = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or not obj.players.exists())

    def get_queryset(self, request: HttpRequest) -> QuerySet[Jurisdiction]:
        self._packs = packs_in_force(utc_now().date())
        return super().get_queryset(request)

    @reason_action(
        description="Assign players without a market",
        permissions=["players.change_jurisdiction"],
        question="Players of these countries who belong to no market yet become players of it. Players with a market stay where they are.",
        submit="Assign",
    )
    def assign_players(self, request: HttpRequest, queryset: QuerySet, form: Any) -> None:
        run_call(
            request,
            lambda: services.assign_market(
                list(queryset.values_list("pk", flat=True)),
                reason=form.cleaned_data["reason"],
                actor=cast(User, request.user),
                at=utc_now(),
            ),
            success=lambda assigned: f"{assigned:,} players assigned.",
        )

    def _pack(self, market: Jurisdiction) -> JurisdictionPack | None:
        return self._packs.get(market.pk)

    @display(description="Countries")
    def country_list(self, market: Jurisdiction) -> str:
        return ", ".join(market.countries) or DASH

    @display(description="Bonuses today")
    def bonuses(self, market: Jurisdiction) -> str:
        pack = self._pack(market)
        if pack is None:
            return badge("no rules in force", "warn")
        return badge("allowed", "good") if pack.bonuses_allowed else badge("forbidden", "bad")

    @display(description="Wagering at most")
    def wagering(self, market: Jurisdiction) -> str:
        pack = self._pack(market)
        return DASH if pack is None or pack.max_wagering_multiple is None else f"{pack.max_wagering_multiple.normalize():f} times"

    @display(description="Rules since")
    def since(self, market: Jurisdiction) -> str:
        pack = self._pack(market)
        return DASH if pack is None else f"{pack.valid_from:%Y-%m-%d}"


@admin.register(JurisdictionPack)
class JurisdictionPackAdmin(SimpleHistoryAdmin, BackOfficeAdmin):
    """One set of rules with its history; reached from its market."""

    form = PackForm
    list_display = ("jurisdiction", "valid_from", "valid_to", "bonuses_allowed", "max_wagering_multiple")
    list_select_related = ("jurisdiction",)
    autocomplete_fields = ("jurisdiction",)
    history_list_display = ("valid_from", "valid_to", "bonuses_allowed", "max_wagering_multiple", "max_bonus_amount")
    fieldsets = (
        (None, {"fields": ("jurisdiction", ("valid_from", "valid_to"))}),
        (
            "Bonuses",
            {
                "fields": (
                    ("bonuses_allowed", "min_bonus_age"),
                    ("max_wagering_multiple", "min_wagering_hours"),
                    "max_bonus_amount",
                    ("one_product_per_bonus", "pausing_allowed"),
                )
            },
        ),
        ("Contact", {"fields": (("offers_need_marketing_consent", "no_offers_after_inactive_days"),)}),
        ("Predictions", {"fields": ("scores_need_profiling_consent",)}),
        ("Deposit limits", {"fields": ("limit_increase_delay_hours",)}),
        ("Where it is written", {"fields": ("source",)}),
    )

    def has_module_permission(self, request: HttpRequest) -> bool:
        return False
