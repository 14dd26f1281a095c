"""The settings page: thresholds by subject. Each subject is edited by the people who answer for it; the others read it."""

from typing import Any

from constance import config
from constance.admin import Config, ConstanceAdmin
from constance.forms import ConstanceForm
from django import forms
from django.conf import settings
from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest
from django.template.response import TemplateResponse
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminTextareaWidget

from loyalty_site.threshold_audit import changed_by

_ACRONYMS = {"VIP", "ROI", "LP", "RP"}

# Who may change a subject: any of these permissions. Subjects that are not named here need constance.change_config alone.
SECTION_OWNERS: dict[str, tuple[str, ...]] = {
    "Segments": ("players.change_tier",),
    "Reward caps and approval": ("wallet.approve_adjustment",),
    "Profit safety": ("wallet.approve_adjustment",),
    "Abuse": ("fraud.close_reviewflag",),
    "Imports": ("players.import_player",),
}


def may_change(request: HttpRequest, section: str) -> bool:
    """Whether the person may change the thresholds of this subject."""
    user = request.user
    if user.is_superuser:
        return True
    owners = SECTION_OWNERS.get(section, ())
    return user.has_perm("constance.change_config") and any(user.has_perm(one) for one in owners)


class ThresholdForm(ConstanceForm):
    reason = forms.CharField(
        required=False,
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="Why you change this. It is kept in the audit trail with the values before and after.",
    )

    def __init__(self, initial: dict[str, Any], request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(initial, None, *args, **kwargs)
        self.request = request
        self.is_editable = False
        for section, names in settings.CONSTANCE_CONFIG_FIELDSETS.items():
            editable = may_change(request, section)
            self.is_editable = self.is_editable or editable
            for name in names:
                self.fields[name].disabled = not editable
                self.fields[name].label = _label(name)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        changed = [name for name in settings.CONSTANCE_CONFIG if name in data and data[name] != getattr(config, name)]
        if changed and not data.get("reason", "").strip():
            self.add_error("reason", "Say why: a threshold changes what every player gets.")
        _check_order(self, data, ("ABUSE_REDUCED_FROM", "ABUSE_WAGERING_FROM", "ABUSE_BLOCKED_FROM"), strictly=True)
        _check_order(self, data, ("REWARD_CAP_DAY", "REWARD_CAP_WEEK", "REWARD_CAP_MONTH"))
        _check_order(self, data, ("APPROVAL_FROM_AMOUNT", "APPROVAL_SECOND_FROM_AMOUNT"))
        _check_order(self, data, ("APPROVAL_FROM_POINTS", "APPROVAL_SECOND_FROM_POINTS"))
        for name in settings.CONSTANCE_CONFIG:
            value = data.get(name)
            if name != "PROFIT_MIN_ROI_PERCENT" and not isinstance(value, (str, bool, type(None))) and value < 0:
                self.add_error(name, "This cannot be negative.")
        currency = str(data.get("BASE_CURRENCY", ""))
        if not (len(currency) == 3 and currency.isascii() and currency.isupper()):
            self.add_error("BASE_CURRENCY", "Give the ISO 4217 code: three capital letters, for example EUR.")
        return data

    def save(self) -> list[str]:
        with transaction.atomic(), changed_by(self.request.user, self.cleaned_data["reason"]):  # type: ignore[arg-type]
            return super().save()


def _check_order(form: forms.Form, data: dict[str, Any], names: tuple[str, ...], *, strictly: bool = False) -> None:
    for lower, upper in zip(names, names[1:], strict=False):
        if data.get(lower) is None or data.get(upper) is None:
            continue
        if data[lower] > data[upper] or (strictly and data[lower] == data[upper]):
            form.add_error(upper, f"This must be {'above' if strictly else 'at least'} {_label(lower)!r} ({data[lower]}).")


def _label(name: str) -> str:
    words = [word if word in _ACRONYMS else word.lower() for word in name.split("_")]
    return " ".join([words[0][0].upper() + words[0][1:], *words[1:]])


class ThresholdAdmin(ConstanceAdmin, ModelAdmin):
    change_list_template = "admin/constance/thresholds.html"
    change_list_form = ThresholdForm

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        response = super().changelist_view(request, {**(extra_context or {}), "title": "Thresholds"})
        if isinstance(response, TemplateResponse):
            context = response.context_data or {}
            context["title"] = "Thresholds"
            context["opts"] = None  # the library's name for the page would become its heading
            by_title = {section["title"]: section for section in context["fieldsets"]}
            context["sections"] = [
                {**by_title[title], "editable": may_change(request, title)} for title in settings.CONSTANCE_CONFIG_FIELDSETS
            ]
        return response

    def _log_config_change(self, request: HttpRequest, changed_fields: list[str]) -> None:
        """The audit trail has the change with both values and the reason; the library's log would only name the field."""


admin.site.unregister([Config])
admin.site.register([Config], ThresholdAdmin)
