"""The dialogs of a player's page: what each asks, checked before a service is called."""

import uuid
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from loyalty_site.common.admin.actions import ReasonForm
from loyalty_site.common.clock import day_start, utc_now
from players.models import DepositLimit, Exclusion, Protection
from wallet.models import BonusTemplate, Unit


def _date_widget() -> UnfoldAdminTextInputWidget:
    return UnfoldAdminTextInputWidget(attrs={"type": "date"})


class ExcludeForm(ReasonForm):
    kind = forms.ChoiceField(choices=Exclusion.Kind.choices, widget=UnfoldAdminSelectWidget)
    ends_on = forms.DateField(
        required=False,
        label="Last day",
        widget=_date_widget(),
        help_text="The exclusion holds to the end of this day, UTC. Empty: without end; a cool-off needs one.",
    )

    def clean_ends_on(self) -> date | None:
        last: date | None = self.cleaned_data["ends_on"]
        if last is not None and last < utc_now().date():
            raise forms.ValidationError("This day is past. Give today or a later day.")
        return last

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("kind") == Exclusion.Kind.COOL_OFF and "ends_on" in data and data["ends_on"] is None:
            self.add_error("ends_on", "A cool-off is a pause: give its last day. Without end it would be a self-exclusion.")
        return data

    def ends_at(self) -> Any:
        last = self.cleaned_data["ends_on"]
        return day_start(last + timedelta(days=1)) if last else None


class LiftExclusionForm(ReasonForm):
    exclusion = forms.ChoiceField(widget=UnfoldAdminSelectWidget, help_text="Only exclusions made by the operator can be lifted.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        now = utc_now()
        rows = Exclusion.objects.filter(player_id=self.object_id, kind=Exclusion.Kind.OPERATOR).order_by("-starts_at")
        choices = [(one.pk, _exclusion_text(one)) for one in rows if one.ends_at is None or one.ends_at > now]
        field: Any = self.fields["exclusion"]
        field.choices = choices


def _exclusion_text(one: Exclusion) -> str:
    until = f"to {one.ends_at:%Y-%m-%d}" if one.ends_at else "without end"
    return f"From {one.starts_at:%Y-%m-%d} {until}: {one.reason or 'no reason given'}"


class HarmForm(ReasonForm):
    harm_flag = forms.ChoiceField(
        choices=[("1", "Set: no bonus, no marketing"), ("0", "Clear")],
        label="Harm flag",
        widget=UnfoldAdminSelectWidget,
    )


class ConsentForm(ReasonForm):
    marketing = forms.BooleanField(required=False, label="Marketing consent", widget=UnfoldBooleanSwitchWidget)
    profiling = forms.BooleanField(required=False, label="Profiling consent", widget=UnfoldBooleanSwitchWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        state = Protection.objects.filter(player_id=self.object_id).first() or Protection()
        self.fields["marketing"].initial = state.marketing_consent
        self.fields["profiling"].initial = state.profiling_consent


class LimitForm(ReasonForm):
    period = forms.ChoiceField(choices=DepositLimit.Period.choices, widget=UnfoldAdminSelectWidget)
    amount = forms.DecimalField(
        required=False,
        min_value=Decimal("0.01"),
        max_digits=14,
        decimal_places=2,
        widget=UnfoldAdminDecimalFieldWidget,
        help_text="In the player's currency. Empty: no limit. A higher limit takes effect only after the waiting time of the market.",
    )


def _new_key() -> str:
    return uuid.uuid4().hex


class RewardForm(ReasonForm):
    unit = forms.ChoiceField(choices=Unit.choices, widget=UnfoldAdminSelectWidget)
    amount = forms.DecimalField(
        min_value=Decimal("0.001"),
        max_digits=18,
        decimal_places=3,
        widget=UnfoldAdminDecimalFieldWidget,
        help_text="Bonus money is in the player's currency.",
    )
    wagering_multiple = forms.DecimalField(
        initial=0,
        min_value=Decimal(0),
        max_digits=8,
        decimal_places=2,
        label="Wagering, times the bonus",
        widget=UnfoldAdminDecimalFieldWidget,
        help_text="Only for bonus money; 0 for points and tickets.",
    )
    expiry_days = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=365,
        label="Days until it ends",
        widget=UnfoldAdminDecimalFieldWidget,
        help_text="Only for bonus money, and needed there.",
    )
    bonus_template = forms.ChoiceField(
        required=False,
        label="Bonus template",
        widget=UnfoldAdminSelectWidget,
        help_text="Only for bonus money. It has the terms: then leave wagering at 0 and the days empty.",
    )
    key = forms.CharField(initial=_new_key, max_length=32, widget=forms.HiddenInput)  # sending the form twice grants once

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        templates = BonusTemplate.objects.filter(is_active=True, current__isnull=False).order_by("name").values_list("code", "name")
        field: Any = self.fields["bonus_template"]
        field.choices = [("", "None: terms as above"), *templates]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if self.errors:
            return data
        is_bonus, template = data["unit"] == Unit.BONUS, data["bonus_template"]
        if template and not is_bonus:
            self.add_error("bonus_template", "Only bonus money has a template; leave it empty.")
        if not is_bonus and data["wagering_multiple"]:
            self.add_error("wagering_multiple", "Only bonus money can be wagered; leave it at 0.")
        elif template and data["wagering_multiple"]:
            self.add_error("wagering_multiple", "The template says this; leave it at 0.")
        if not is_bonus and data["expiry_days"]:
            self.add_error("expiry_days", "The points policy says when points end; leave it empty.")
        elif template and data["expiry_days"]:
            self.add_error("expiry_days", "The template says this; leave it empty.")
        elif is_bonus and not template and not data["expiry_days"]:
            self.add_error("expiry_days", "Bonus money needs an end: say how many days the player has.")
        return data

    def terms(self) -> dict[str, Any]:
        """Arguments of the grant that follow from the form."""
        data = self.cleaned_data
        days = data["expiry_days"]
        return {
            "unit": data["unit"],
            "amount": data["amount"],
            "wagering_multiple": data["wagering_multiple"],
            "expiry_hours": 24 * days if days else None,
            "bonus_template": data["bonus_template"],
            "key": data["key"],
            "reason": data["reason"],
        }
