"""Questions of the dialogs about a bonus."""

from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from loyalty_site.common.admin.actions import ReasonForm
from wallet.models import BonusGrant


class EventReasonForm(ReasonForm):
    """A reason that becomes part of the status event, which is shorter than the audit trail's."""

    reason = forms.CharField(
        min_length=3,
        max_length=250,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "autofocus": True}),
        help_text="Kept with the bonus and in the audit trail. Write what a colleague needs to understand this later.",
        error_messages={"required": "Give a reason: it is kept with the change."},
    )


class ClaimForm(ReasonForm):
    deposit = forms.DecimalField(
        required=False,
        min_value=0,
        max_digits=14,
        decimal_places=3,
        widget=UnfoldAdminDecimalFieldWidget,
        help_text="The deposit that the offer asks for, in the currency of the bonus; empty when it asks for none.",
    )
    deposit_ref = forms.CharField(
        required=False,
        max_length=80,
        label="Id of that deposit",
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text="When this deposit is charged back, the bonus is reversed.",
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if not self.errors and bool(data.get("deposit")) != bool(data.get("deposit_ref")):
            self.add_error("deposit_ref", "Give the deposit and its id together, or neither.")
        return data


class MoveForm(ReasonForm):
    queue_order = forms.IntegerField(
        min_value=-1_000_000,
        max_value=1_000_000,
        label="Place in the queue",
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="A number: the lowest goes first; of equal ones, the one that ends first. New bonuses have 0.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["queue_order"].initial = BonusGrant.objects.values_list("queue_order", flat=True).filter(pk=self.object_id).first()


class VoidForm(ReasonForm):
    case_id = forms.CharField(
        max_length=60,
        label="Case",
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text="Number of the case that justifies it. Another person decides.",
        error_messages={"required": "Name the case: a bonus is never voided without one."},
    )


class VoidDecisionForm(ReasonForm):
    reason = forms.CharField(
        label="Note",
        min_length=3,
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "autofocus": True}),
        help_text="Kept with the request and in the audit trail: what you checked.",
        error_messages={"required": "Write what you checked: it is kept with the decision."},
    )
