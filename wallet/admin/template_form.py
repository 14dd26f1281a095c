"""The form of a bonus template: its name, and the terms of its next version."""

import re
from typing import Any

from django import forms
from django.db import models
from django.forms.models import ModelFormMetaclass, fields_for_model
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from loyalty_site.common.clock import utc_now
from players.models import Jurisdiction
from wallet.grants.template_versions import FIELDS, Draft, draft_version
from wallet.models import BonusTemplate, BonusTemplateVersion, Product

from .grant_words import plain
from .template_words import LABELS

_HELP = {
    "kind": "Money is credited at once when the bonus starts; free spins credit what they win.",
    "amount": "The same for everybody. Leave empty for a share of the deposit, or when each offer names its amount.",
    "match_percent": "100 doubles the deposit.",
    "max_amount": "No grant is larger than this, in the player's currency.",
    "min_deposit": "A smaller deposit does not claim the bonus.",
    "spin_game": "Code of the game, as in the games list.",
    "base": "Multiplied by the number beside it, this is the amount to wager.",
    "multiple": "30 means thirty times. 0 pays out at once.",
    "count_mode": "Real money in a mixed stake counts only with 'the whole stake'.",
    "contribution": "Which games count how much. Empty: the default table.",
    "fund_order": "When a stake needs both cash and bonus.",
    "winnings": "Locked winnings cannot be staked or withdrawn before the wagering is complete.",
    "sticky": "The bonus is for playing only: at the end it stays with the house.",
    "cash_out_cap": "10 pays out at most ten times the bonus. Empty: no cap.",
    "max_bet": "Per bet, while the bonus is wagered. Empty: any stake.",
    "penalty_factor": "Win x (1 - largest bet / stake) x this is added to the amount to wager; only for 'raises the requirement'.",
    "coverage_limit": "0.7 leaves out bets on more than 70 % of the outcomes, like red and black together.",
    "min_bet": "With less than this left and no round open the bonus is lost.",
    "eligible_games": "Game codes, providers or categories with commas. Empty: all games.",
    "markets": "None chosen: offered in every market, and checked against the rules of each.",
    "claim_hours": "168 is a week.",
    "wagering_hours": "From activation; 168 is a week.",
    "settle_grace_hours": "Rounds that began in time may still settle this long after the end.",
    "needs_claim": "Off: it starts as soon as it is given.",
    "forfeit_on_withdrawal": "The player sees beforehand what would be lost.",
    "acknowledged_multiple": "Asked for when games that count less make players wager more than a market allows. Enter the figure shown.",
}
_WIDGETS: tuple[tuple[type[models.Field], type[forms.Widget]], ...] = (
    (models.DecimalField, UnfoldAdminDecimalFieldWidget),
    (models.PositiveIntegerField, UnfoldAdminIntegerFieldWidget),
    (models.BooleanField, UnfoldBooleanSwitchWidget),
    (models.ForeignKey, UnfoldAdminSelectWidget),
    (models.CharField, UnfoldAdminTextInputWidget),
)


class GamesField(forms.CharField):
    """Codes with commas or one a line."""

    widget = UnfoldAdminTextInputWidget

    def to_python(self, value: Any) -> Any:
        if isinstance(value, list):
            return value
        return [part.strip() for part in re.split(r"[,;\n]", super().to_python(value) or "") if part.strip()]

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value


def _form_field(field: models.Field, **_: Any) -> forms.Field | None:
    if field.choices:
        widget: type[forms.Widget] = UnfoldAdminSelectWidget
    else:
        widget = next(kind for model_field, kind in _WIDGETS if isinstance(field, model_field))
    label = LABELS.get(field.name, str(field.verbose_name).capitalize())
    return field.formfield(widget=widget, label=label, help_text=_HELP.get(field.name, ""))


_OWN = ("products", "markets", "eligible_games")
_TERMS = fields_for_model(
    BonusTemplateVersion,
    fields=[*(name for name in FIELDS if name not in _OWN), "acknowledged_multiple"],
    formfield_callback=_form_field,
)


class BaseTemplateForm(forms.ModelForm):
    products = forms.MultipleChoiceField(
        label=LABELS["products"],
        choices=Product.choices,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="One bonus of a product is active at a time.",
        error_messages={"required": "Choose what may be played with it."},
    )
    markets = forms.ModelMultipleChoiceField(
        Jurisdiction.objects.all(),
        label=LABELS["markets"],
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=_HELP["markets"],
    )
    eligible_games = GamesField(label=LABELS["eligible_games"], required=False, help_text=_HELP["eligible_games"])
    reason = forms.CharField(
        label="Reason for the change",
        min_length=3,
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="Kept with the version in the audit trail.",
    )

    class Meta:
        model = BonusTemplate
        fields = ("code", "name", "is_active")
        help_texts = {
            "code": "Permanent: campaigns and the API name the bonus by it.",
            "name": "Shown to staff and players.",
            "is_active": "Off: not offered any more; bonuses that are running go on.",
        }

    draft: Draft | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        instance = kwargs.get("instance")
        if instance is not None and instance.current_id:
            kwargs["initial"] = fields_of(instance.current) | (kwargs.get("initial") or {})
        super().__init__(*args, **kwargs)

    def terms(self) -> dict[str, Any]:
        """The terms as the service takes them."""
        names = (*FIELDS, "markets", "acknowledged_multiple")
        return {name: self.cleaned_data[name] for name in names if name in self.cleaned_data}

    def clean(self) -> dict[str, Any]:
        """Ask the service what it would refuse, so that each objection stands at its field and no input is lost."""
        data: dict[str, Any] = super().clean() or {}
        self.draft = draft_version(self.instance, self.terms(), utc_now())
        for name, text in self.draft.problems.items():
            if name not in self.errors:
                self.add_error(name if name in self.fields else None, text[:1].upper() + text[1:])
        return data


# the terms become declared fields, as if each were written in the class
TemplateForm: Any = ModelFormMetaclass("TemplateForm", (BaseTemplateForm,), {**_TERMS, "__module__": __name__})


def fields_of(version: BonusTemplateVersion) -> dict[str, Any]:
    """The terms of a version as the form shows them; amounts without trailing zeros."""
    shown = {name: getattr(version, name) for name in (*FIELDS, "acknowledged_multiple")}
    numbers = {
        name: plain(value).replace(",", "")
        for name, value in shown.items()
        if isinstance(_TERMS.get(name), forms.DecimalField) and value is not None
    }
    return shown | numbers | {"markets": list(version.markets.all())}
