"""Contribution tables: which games count how much, from when to when, and a tester that says what one bet would count."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.forms.models import BaseInlineFormSet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.safestring import SafeString
from simple_history.admin import SimpleHistoryAdmin
from unfold.admin import TabularInline
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from loyalty_site.common import audit
from loyalty_site.common.admin.actions import acting_user
from loyalty_site.common.admin.base import BackOfficeAdmin
from loyalty_site.common.admin.display import badge
from loyalty_site.common.clock import utc_now
from players.models import Game
from wallet.errors import WalletError
from wallet.grants.contributions import check_edge_reference, check_rules, table_of, weigh_game
from wallet.models import BonusTemplate, ContributionRule, ContributionTable

from .grant_words import per_cent, plain
from .template_words import weight_words

_MOMENT = "%Y-%m-%dT%H:%M"
_ENDS = {
    "valid_from": "UTC. Empty: from the next full minute.",
    "valid_to": "UTC, the first instant at which it no longer holds. Empty: open end.",
}


class TableForm(forms.ModelForm):
    class Meta:
        model = ContributionTable
        fields = ("name", "is_default", "edge_reference")

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if self.instance.pk and "edge_reference" in self.changed_data and data.get("edge_reference") is not None:
            before = ContributionTable.objects.values_list("edge_reference", flat=True).get(pk=self.instance.pk)
            try:
                check_edge_reference(ContributionTable(pk=self.instance.pk, **data), before, utc_now())
            except WalletError as error:
                self.add_error("edge_reference", str(error))
        other = ContributionTable.objects.filter(is_default=True).exclude(pk=self.instance.pk).first()
        if data.get("is_default") and other is not None:
            self.add_error("is_default", f"{other.name} is the default table; take it off there first.")
        return data


class MomentInput(forms.DateTimeInput):
    """One field for day and time, to the second, in the theme's clothes."""

    input_type = "datetime-local"

    def __init__(self) -> None:
        dressed = UnfoldAdminTextInputWidget().attrs
        super().__init__(attrs=dressed | {"step": "1"}, format="%Y-%m-%dT%H:%M:%S")


class RuleForm(forms.ModelForm):
    class Meta:
        model = ContributionRule
        fields = ("scope", "key", "method", "weight", "valid_from", "valid_to")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("valid_from", "valid_to"):
            if name in self.fields:
                self.fields[name] = forms.DateTimeField(
                    label=self.fields[name].label,
                    help_text=_ENDS[name],
                    required=False,
                    widget=MomentInput(),
                    input_formats=[f"{_MOMENT}:%S", _MOMENT],
                )
        if self.instance.pk and "weight" in self.fields:
            self.initial["weight"] = plain(self.instance.weight)

    def clean_key(self) -> str:
        return str(self.cleaned_data["key"]).strip()

    def clean_valid_from(self) -> datetime:
        """Empty begins with the next full minute; one that was not touched stays exact, below the second that the form shows."""
        if self.instance.pk and "valid_from" not in self.changed_data:
            return self.instance.valid_from
        return self.cleaned_data["valid_from"] or utc_now().replace(second=0, microsecond=0) + timedelta(minutes=1)

    def clean_valid_to(self) -> datetime | None:
        return self.instance.valid_to if self.instance.pk and "valid_to" not in self.changed_data else self.cleaned_data["valid_to"]


class RuleFormSet(BaseInlineFormSet):
    """All rules of a table together: they must not overlap, and what has begun stays."""

    def clean(self) -> None:
        super().clean()
        if any(self.errors):
            return
        kept = [form for form in self.forms if form not in self.deleted_forms and (form.instance.pk or form.has_changed())]
        before = ContributionRule.objects.filter(table=self.instance) if self.instance.pk else ContributionRule.objects.none()
        for fault in check_rules([form.instance for form in kept], before, utc_now()):
            text = f"{fault.text[:1].upper()}{fault.text[1:]}."
            if fault.position < 0 or fault.field not in kept[fault.position].fields:
                raise forms.ValidationError(text)
            kept[fault.position].add_error(fault.field, text)


class RuleInline(TabularInline):
    model = ContributionRule
    form = RuleForm
    formset = RuleFormSet
    extra = 0
    fields = ("scope", "key", "method", "weight", "valid_from", "valid_to")
    verbose_name_plural = "rules: the narrowest that holds decides"

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever writes rules may take back one that has not begun; the check of all rules refuses any other."""
        return self.has_change_permission(request, obj)


class WeighForm(forms.Form):
    """One bet for the tester."""

    game = forms.CharField(label="Game code", required=False, max_length=80)
    provider = forms.CharField(required=False, max_length=80)
    category = forms.ChoiceField(required=False, choices=[("", "of the game"), *Game.Category.choices])
    at = forms.DateTimeField(label="Placed (UTC)", required=False, input_formats=[_MOMENT, "%Y-%m-%d %H:%M", "%Y-%m-%d"])

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if not any(data.get(name) for name in ("game", "provider", "category")):
            raise forms.ValidationError("Give a game, a provider or a category.")
        return data


@admin.register(ContributionTable)
class ContributionTableAdmin(SimpleHistoryAdmin, BackOfficeAdmin):
    form = TableForm
    inlines = (RuleInline,)
    list_display = ("name", "shown_default", "shown_weights", "shown_used")
    search_fields = ("name",)
    ordering = ("name",)
    history_list_display = ("name", "is_default", "edge_reference")
    fieldsets = ((None, {"fields": ("name", ("is_default", "edge_reference"))}),)
    change_form_template = "admin/wallet/contributiontable/change_form.html"

    class Media:
        css = {"all": ["wallet/admin.css"]}
        js = ["wallet/weigh.js"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # grants and past bets name it

    @display(description="Used without a table")
    def shown_default(self, table: ContributionTable) -> SafeString | str:
        return badge("default", "info") if table.is_default else ""

    @display(description="Counts now")
    def shown_weights(self, table: ContributionTable) -> str:
        return weight_words(table_of(table), utc_now())

    @display(description="Templates")
    def shown_used(self, table: ContributionTable) -> str:
        return f"{BonusTemplate.objects.filter(current__contribution=table)[:100].count():,}"

    def get_urls(self) -> list[Any]:
        weigh = self.admin_site.admin_view(self.weigh_view)
        return [path("<int:pk>/weigh/", weigh, name="wallet_contributiontable_weigh"), *super().get_urls()]

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        table = self.get_object(request, object_id) if object_id else None
        page: dict[str, Any] = {}
        if table is not None:
            now = utc_now()
            page = {
                "weigh_url": reverse("admin:wallet_contributiontable_weigh", args=[table.pk]),
                "weigh_form": WeighForm(),
                "weigh_at": f"{now:{_MOMENT}}",
                "in_words": weight_words(table_of(table), now),
            }
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **page})

    def weigh_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """What a bet would count, and which rule says so."""
        table = ContributionTable.objects.filter(pk=pk).first()
        if table is None:
            raise Http404("no such table")
        if not self.has_view_or_change_permission(request, table):
            raise PermissionDenied
        form = WeighForm(request.GET)
        context: dict[str, Any] = {"problems": [text for texts in form.errors.values() for text in texts]}
        if form.is_valid():
            data = form.cleaned_data
            at = data["at"].astimezone(UTC) if data["at"] else utc_now()
            weight, game = weigh_game(
                table, game_code=data["game"].strip(), provider=data["provider"].strip(), category=data["category"], at=at
            )
            context |= {
                "share": "does not count" if weight.excluded else f"counts {per_cent(weight.weight)}",
                "excluded": weight.excluded,
                "rule": weight.rule,
                "at": at,
                "game": game,
                "unknown_game": data["game"] if data["game"] and game is None else "",
                "edge": per_cent(game.house_edge) if game and game.house_edge is not None else "unknown",
                "stake": f"Of a stake of 100, {plain(100 * weight.weight)} count.",
            }
        return TemplateResponse(request, "admin/wallet/contributiontable/weighed.html", context)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """The rules, with an audit row that says what the table holds afterwards."""
        super().save_related(request, form, formsets, change)
        if form.changed_data or any(formset.has_changed() for formset in formsets):
            table = form.instance
            after = {
                "name": table.name,
                "is_default": table.is_default,
                "edge_reference": str(table.edge_reference),
                "rules": [_audited(rule) for rule in table.rules.order_by("id")],
            }
            action = "wallet.contribution_table_changed" if change else "wallet.contribution_table_made"
            audit.record(action, table, at=utc_now(), actor=acting_user(request), after=after)


def _audited(rule: ContributionRule) -> str:
    until = f" to {rule.valid_to:%Y-%m-%d %H:%M}" if rule.valid_to else ""
    weight = plain(rule.weight) if rule.method == ContributionRule.Method.FIXED else rule.method
    return f"{rule}: {weight} from {rule.valid_from:%Y-%m-%d %H:%M}{until}"
