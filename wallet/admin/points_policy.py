"""Points policies: how long the points of each unit live, with what that means in words and for an example day."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from simple_history.admin import SimpleHistoryAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from loyalty_site.common import audit
from loyalty_site.common.admin.actions import acting_user
from loyalty_site.common.admin.base import BackOfficeAdmin
from loyalty_site.common.clock import utc_now
from wallet.lots import LONGEST_PERIOD, Policy, expires_at, local_day, zone_of
from wallet.models import PointsPolicy, Unit
from wallet.points.inactivity import ACTIVITIES
from wallet.points.policies import policy_of

Expiry = PointsPolicy.Expiry
_ACTIVITY_LABELS = {"bet": "Bets", "deposit": "Deposits", "session": "Visits", "earn": "Earning points"}
_YEAR_HOURS, _DAYS = 8_784, 3_660
LONGEST = {"pending_hours": _YEAR_HOURS, "restore_days": _DAYS, "reinstate_days": _DAYS, "warn_days": 366}  # the API lists 366 days ahead
_PERIODS = {Expiry.END_OF_MONTH: "month", Expiry.END_OF_QUARTER: "quarter", Expiry.END_OF_YEAR: "year"}


class PointsPolicyForm(forms.ModelForm):
    qualifying = forms.MultipleChoiceField(
        label="Activities that count",
        required=False,
        choices=[(kind, _ACTIVITY_LABELS[kind]) for kind in ACTIVITIES],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="Each of them moves the end of all points of the player on.",
    )

    class Meta:
        model = PointsPolicy
        fields = (
            "expiry",
            "period",
            "fixed_date",
            "zone",
            "qualifying",
            "pending_hours",
            "restore",
            "restore_days",
            "reinstate_days",
            "warn_days",
            "cost_per_point",
            "cost_currency",
            "breakage",
        )
        labels = {
            "expiry": "Points end",
            "zone": "Time zone",
            "pending_hours": "Hours to wait",
            "restore": "A spend is taken back after its points ended",
            "restore_days": "Days of grace",
            "reinstate_days": "Days to give back",
            "warn_days": "Days of warning",
        }

    def clean_cost_currency(self) -> str:
        code: str = self.cleaned_data["cost_currency"].upper()
        if len(code) != 3 or not (code.isascii() and code.isalpha()):
            raise forms.ValidationError("Use an ISO 4217 code such as EUR.")
        return code

    def clean_zone(self) -> str:
        zone: str = self.cleaned_data["zone"]
        try:
            zone_of(zone)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error
        return zone

    def clean_cost_per_point(self) -> Decimal:
        cost: Decimal = self.cleaned_data["cost_per_point"]
        if cost < 0:
            raise forms.ValidationError("At least 0.")
        return cost

    def clean_breakage(self) -> Decimal:
        share: Decimal = self.cleaned_data["breakage"]
        if not 0 <= share <= 1:
            raise forms.ValidationError("A share from 0 to 1: 0.15 means that 15 % are expected never to be used.")
        return share

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        for name, longest in LONGEST.items():
            if (data.get(name) or 0) > longest:
                self.add_error(name, f"At most {longest:,}.")
        expiry, period = data.get("expiry"), data.get("period") or 0
        if expiry in LONGEST_PERIOD and period > LONGEST_PERIOD[expiry]:
            self.add_error("period", f"At most {LONGEST_PERIOD[expiry]:,}.")
        if expiry in (Expiry.DAYS, Expiry.MONTHS, Expiry.INACTIVITY) and period == 0:
            self.add_error("period", "At least 1.")
        if expiry == Expiry.FIXED_DATE:
            if data.get("fixed_date") is None:
                self.add_error("fixed_date", "Give the last day on which the points can be used.")
            elif "zone" in data and data["fixed_date"] < local_day(utc_now(), data["zone"]):
                self.add_error("fixed_date", "The date lies behind; points earned from now on would never end. Give a later one.")
            elif data["fixed_date"] > utc_now().date() + timedelta(days=LONGEST_PERIOD[Expiry.DAYS]):
                self.add_error("fixed_date", "The date is more than 100 years away. Give an earlier one, or let points never end.")
        if expiry == Expiry.INACTIVITY and not data.get("qualifying"):
            self.add_error("qualifying", "Choose at least one: otherwise points end by time alone, which another kind of end says plainly.")
        return data


@admin.register(PointsPolicy)
class PointsPolicyAdmin(SimpleHistoryAdmin, BackOfficeAdmin):
    """One row a unit, made with the database: changed, never added or deleted. A change holds for points earned from then on."""

    form = PointsPolicyForm
    list_display = ("shown_unit", "shown_summary", "shown_example")
    list_display_links = ("shown_unit",)
    ordering = ("unit",)
    readonly_fields = ("shown_summary", "shown_example")
    conditional_fields = {
        "period": "['days','months','month_end','quarter_end','year_end','inactivity'].includes(expiry)",
        "fixed_date": "expiry == 'fixed_date'",
        "qualifying": "expiry == 'inactivity'",
        "restore_days": "restore == 'grace'",
    }
    fieldsets = (
        ("In words, as saved", {"fields": ("shown_summary", "shown_example")}),
        ("When points end", {"fields": (("expiry", "period"), "fixed_date", "qualifying", "zone")}),
        ("Before and after", {"fields": (("pending_hours", "warn_days"), ("restore", "restore_days"), "reinstate_days")}),
        ("What points cost", {"fields": (("cost_per_point", "cost_currency"), "breakage")}),
    )

    class Media:
        css = {"all": ["wallet/admin.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: PointsPolicy | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: PointsPolicy, form: PointsPolicyForm, change: bool) -> None:
        before = {name: str(form.initial.get(name)) for name in form.changed_data}
        obj.save()
        if before:
            after = {name: str(getattr(obj, name)) for name in form.changed_data}
            audit.record("wallet.points_policy_changed", obj, at=utc_now(), actor=acting_user(request), before=before, after=after)

    @display(description="Unit", ordering="unit")
    def shown_unit(self, row: PointsPolicy) -> str:
        return str(Unit(row.unit).label)

    @display(description="Rule")
    def shown_summary(self, row: PointsPolicy) -> str:
        return summary(_saved(row))

    @display(description="Earned now")
    def shown_example(self, row: PointsPolicy) -> str:
        return example(_saved(row), utc_now())


def _saved(row: PointsPolicy) -> PointsPolicy:
    """The policy that holds now, whatever a form with mistakes has put into the record."""
    return PointsPolicy.objects.get(pk=row.pk)


def summary(row: PointsPolicy) -> str:
    """What the policy does, in a few plain sentences."""
    parts = [f"{Unit(row.unit).label} {_end_words(row)}"]
    if row.pending_hours:
        parts.append(f"Rewards and points for play wait {_count(row.pending_hours, 'hour')} before they can be used.")
    if row.expiry != Expiry.NEVER:
        if row.restore == PointsPolicy.Restore.GRACE and row.restore_days:
            parts.append(f"A spend that is taken back after its points ended returns as new points for {_count(row.restore_days, 'day')}.")
        else:
            parts.append("A spend that is taken back after its points ended gives nothing back.")
        parts.append(
            f"Players are told {_count(row.warn_days, 'day')} before the end." if row.warn_days else "Players are not told before the end."
        )
        parts.append(f"Staff can give expired points back for {_count(row.reinstate_days, 'day')}.")
    return " ".join(parts)


def _end_words(row: PointsPolicy) -> str:
    if row.expiry == Expiry.NEVER:
        return "never end."
    if row.expiry == Expiry.DAYS:
        words = f"end {_count(row.period, 'day')} after they can be used"
    elif row.expiry == Expiry.MONTHS:
        words = f"end {_count(row.period, 'month')} after they can be used"
    elif row.expiry == Expiry.FIXED_DATE:
        words = f"end on {row.fixed_date:%-d %B %Y}"
    elif row.expiry == Expiry.INACTIVITY:
        kinds = ", ".join(_ACTIVITY_LABELS[kind].lower() for kind in row.qualifying) or "nothing"
        words = f"end after {_count(row.period, 'day')} without activity ({kinds} count)"
    else:
        name = _PERIODS[Expiry(row.expiry)]
        words = f"end with the {name}" if row.period == 0 else f"end with the {_ordinal(row.period)} {name} after the current one"
    return f"{words}, with that day in {row.zone}."


def example(row: PointsPolicy, now: datetime) -> str:
    """When points that are earned now can be used first and last."""
    try:
        policy: Policy = policy_of(row)
    except ValueError as error:
        return str(error)
    usable = now + timedelta(hours=policy.pending_hours)
    start = f"usable from {usable:%Y-%m-%d %H:%M} UTC" if policy.pending_hours else "usable at once"
    end = expires_at(policy, usable)
    if end is None:
        return f"{start}, without an end"
    last = local_day(end - timedelta(microseconds=1), policy.zone)
    return f"{start}, last on {last:%A, %-d %B %Y} ({policy.zone}; until {end:%Y-%m-%d %H:%M} UTC)"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _ordinal(number: int) -> str:
    suffix = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"
