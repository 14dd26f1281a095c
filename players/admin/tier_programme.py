"""The tier programme: one record, whose changes are kept."""

from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from simple_history.admin import SimpleHistoryAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelect2Widget

from loyalty_site.common.admin.base import BackOfficeAdmin
from players.models import TierProgramme
from players.programme import tier_programme


class TierProgrammeForm(forms.ModelForm):
    zone = forms.ChoiceField(
        choices=[(name, name) for name in sorted(available_timezones())],
        widget=UnfoldAdminSelect2Widget,
        help_text="Days, periods and graces begin and end in this time zone.",
    )

    class Meta:
        model = TierProgramme
        fields = ("window", "rolling_days", "zone", "grace_days", "soft_landing")

    def clean_rolling_days(self) -> int:
        days: int = self.cleaned_data["rolling_days"]
        if not 1 <= days <= 1100:
            raise forms.ValidationError("Give 1 to 1,100 days.")
        return days

    def clean_grace_days(self) -> int:
        days: int = self.cleaned_data["grace_days"]
        if days > 366:
            raise forms.ValidationError("Give at most 366 days.")
        return days


@admin.register(TierProgramme)
class TierProgrammeAdmin(SimpleHistoryAdmin, BackOfficeAdmin):
    form = TierProgrammeForm
    list_display = ("shown_window", "shown_zone", "shown_grace", "soft_landing")
    history_list_display = ("window", "rolling_days", "zone", "grace_days", "soft_landing")
    fieldsets = (
        (
            "Which points count",
            {
                "fields": (("window", "rolling_days"), "zone"),
                "description": "A tier is reached as soon as the points of this window are there, and is valid to the end of the next "
                "period. A tier that players have now is valid until the day that is stored for it; the new rules begin with its review.",
            },
        ),
        ("When the points to keep a tier are missing", {"fields": (("grace_days", "soft_landing"),)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[TierProgramme]:
        tier_programme()
        return super().get_queryset(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="Window", ordering="window")
    def shown_window(self, programme: TierProgramme) -> str:
        if programme.window == TierProgramme.Window.ROLLING:
            return f"The last {programme.rolling_days} days"
        return programme.get_window_display()

    @display(description="Time zone", ordering="zone")
    def shown_zone(self, programme: TierProgramme) -> str:
        return programme.zone

    @display(description="Grace", ordering="grace_days")
    def shown_grace(self, programme: TierProgramme) -> str:
        return f"{programme.grace_days} days" if programme.grace_days else "none"
