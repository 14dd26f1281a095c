"""The form of a rule: header, conditions as JSON text, the reward as single fields, limits, and the reason of the change."""

import json
import re
from datetime import UTC
from decimal import Decimal
from typing import Any

from django import forms

from rewards.models import RewardRule, RuleVersion
from rewards.rule_services import RuleContent, RuleHeader, content_equals
from rewards.rules.problems import Problem
from rewards.rules.reward import KEYS, TYPE_WORDS

_ROUNDING = [("DOWN", "Down"), ("HALF_UP", "To the nearest, halves up"), ("HALF_EVEN", "To the nearest, halves to even")]
_NUMBER_KEYS = ("max_amount", "min_amount", "wagering_requirement", "max_bet")


def _input(**attributes: Any) -> forms.TextInput:
    return forms.TextInput(attrs={"class": "ru-input", **attributes})


def _text(rows: int, **attributes: Any) -> forms.Textarea:
    return forms.Textarea(attrs={"class": "ru-input", "rows": rows, **attributes})


def _number(label: str, help_text: str = "", *, places: int = 4, whole: bool = False) -> forms.DecimalField:
    widget = forms.TextInput(attrs={"class": "ru-input", "inputmode": "numeric" if whole else "decimal", "autocomplete": "off"})
    return forms.DecimalField(
        label=label, help_text=help_text, required=False, max_digits=18, decimal_places=0 if whole else places, widget=widget
    )


def _moment(label: str, help_text: str) -> forms.DateTimeField:
    widget = forms.DateTimeInput(attrs={"class": "ru-input", "type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
    return forms.DateTimeField(
        label=label, help_text=help_text, required=False, widget=widget, input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]
    )


_CHOICES: dict[str, list[tuple[str, str]]] = {
    "type": list(TYPE_WORDS.items()),
    "rounding": _ROUNDING,
    "period": [(period.value, str(period.label)) for period in RuleVersion.Period],
}


class RuleForm(forms.Form):
    """`draft`: only the content is asked for (checking and trying); names and the reason may be missing."""

    rule_id = forms.SlugField(label="Rule id", max_length=80, help_text="Letters, digits, _ and -. Stays for ever.", widget=_input())
    name = forms.CharField(label="Name", max_length=120, widget=_input())
    description = forms.CharField(label="Description", required=False, widget=_text(2))
    priority = forms.IntegerField(
        label="Priority",
        initial=0,
        min_value=-1_000_000,
        max_value=1_000_000,
        help_text="Higher goes first.",
        widget=_input(inputmode="numeric"),
    )
    valid_from = _moment("Valid from (UTC)", "Empty: at once.")
    valid_to = _moment("Valid to (UTC)", "First moment at which it no longer holds. Empty: open end.")

    conditions = forms.CharField(
        label="Conditions", required=False, strip=False, widget=_text(12, spellcheck="false", autocapitalize="off", **{"data-code": "json"})
    )

    type = forms.ChoiceField(label="Gives", choices=list(TYPE_WORDS.items()), widget=forms.Select(attrs={"class": "ru-input"}))
    formula = forms.CharField(
        label="Amount", required=False, strip=False, widget=_text(2, spellcheck="false", autocapitalize="off", **{"data-code": "formula"})
    )
    max_amount = _number("At most", "Cut to this.")
    min_amount = _number("At least", "Less is not given at all.")
    rounding = forms.ChoiceField(label="Rounding", choices=_ROUNDING, required=False, widget=forms.Select(attrs={"class": "ru-input"}))
    currency = forms.CharField(
        label="Currency", required=False, max_length=3, help_text="Only players of this currency. Empty: all.", widget=_input(maxlength=3)
    )
    wagering_requirement = _number("Wagering", "Times the amount.")
    expiry_hours = _number("Expires after", "Hours.", whole=True)
    max_bet = _number("Largest bet", "While wagering.")
    bonus_template = forms.SlugField(
        label="Bonus template",
        required=False,
        max_length=60,
        help_text="Code. It has the terms: then leave wagering, hours, largest bet and games empty.",
        widget=_input(),
    )
    eligible_games = forms.CharField(
        label="Games", required=False, help_text="Categories or game codes, with commas. Empty: all games.", widget=_input()
    )

    period = forms.ChoiceField(label="How often", choices=RuleVersion.Period.choices, widget=forms.Select(attrs={"class": "ru-input"}))
    cooldown_hours = forms.IntegerField(
        label="Cooldown", required=False, min_value=0, help_text="Least hours between two rewards.", widget=_input(inputmode="numeric")
    )
    stacking_group = forms.CharField(
        label="Stacking group", required=False, max_length=40, help_text="Of one group, only the highest priority pays.", widget=_input()
    )
    player_budget = _number("Budget per player", "Empty: no limit.")
    total_budget = _number("Total budget", "Empty: no limit.")

    reason = forms.CharField(
        label="Reason for the change",
        min_length=3,
        max_length=500,
        help_text="Kept with the version and in the audit trail.",
        widget=_text(2),
    )

    def __init__(self, data: Any = None, *, rule: RewardRule | None, draft: bool = False) -> None:
        super().__init__(data, initial=_initial(rule))
        self.rule = rule
        if rule is not None:
            del self.fields["rule_id"]
        if draft:
            for name in ("rule_id", "name", "reason", "priority"):
                self.fields.pop(name, None)

    def make_read_only(self) -> None:
        """For people who may look and try: the browser still sends read-only fields, so trying works. Saving is refused by the view."""
        for name, field in self.fields.items():
            field.widget.attrs["readonly"] = True
            if isinstance(field, forms.ChoiceField):
                chosen = self[name].initial
                field.choices = [(value, text) for value, text in _CHOICES[name] if value == chosen] or _CHOICES[name]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        for name in ("valid_from", "valid_to"):
            if cleaned.get(name) is not None:
                cleaned[name] = cleaned[name].astimezone(UTC)
        if cleaned.get("valid_from") and cleaned.get("valid_to") and cleaned["valid_to"] <= cleaned["valid_from"]:
            self.add_error("valid_to", "This is not after the beginning.")
        return cleaned

    def header(self) -> RuleHeader:
        names = ("name", "description", "priority", "valid_from", "valid_to")
        return RuleHeader(**{name: self.cleaned_data[name] for name in names})

    def content(self) -> RuleContent:
        data = self.cleaned_data
        return RuleContent(
            conditions=data["conditions"].strip() and data["conditions"] or "{}",
            reward_config=self.reward_config(),
            period=data["period"],
            cooldown_hours=data["cooldown_hours"] or 0,
            stacking_group=data["stacking_group"],
            player_budget=data["player_budget"],
            total_budget=data["total_budget"],
        )

    def reward_config(self) -> dict[str, Any]:
        """Only what was filled in, so that the stored content says no more than its author did."""
        data = self.cleaned_data
        config: dict[str, Any] = {"type": data["type"], "formula": data["formula"]}
        for name in _NUMBER_KEYS:
            if data[name] is not None:
                config[name] = data[name]
        if data["expiry_hours"] is not None:
            config["expiry_hours"] = int(data["expiry_hours"])
        games = [game.strip() for game in data["eligible_games"].split(",") if game.strip()]
        if games:
            config["eligible_games"] = games
        if data["bonus_template"]:
            config["bonus_template"] = data["bonus_template"]
        if data["currency"]:
            config["currency"] = data["currency"].strip().upper()
        if data["rounding"] and data["rounding"] != "DOWN":
            config["rounding"] = data["rounding"]
        return {key: config[key] for key in KEYS if key in config}

    def same_as(self, version: RuleVersion) -> bool:
        return content_equals(self.content(), version)

    def field_problems(self) -> list[dict[str, Any]]:
        """Errors of single fields in the shape of the language's problems."""
        return [
            Problem(
                "field", " ".join(str(one) for one in errors), "", str(self.fields[name].label) if name in self.fields else "form"
            ).to_json()
            for name, errors in self.errors.items()
        ]


def _initial(rule: RewardRule | None) -> dict[str, Any]:
    if rule is None:
        return {"conditions": '{\n  "segment": "LOSING"\n}', "period": RuleVersion.Period.WEEK, "cooldown_hours": 168, "priority": 0}
    names = ("name", "description", "priority", "valid_from", "valid_to")
    values: dict[str, Any] = {name: getattr(rule, name) for name in names}
    version = rule.current_version
    if version is None:
        return values
    config = version.reward_config
    values |= {name: _plain(config[name]) for name in KEYS if name in config and name != "eligible_games"}
    values["eligible_games"] = ", ".join(config.get("eligible_games", []))
    values["conditions"] = _pretty(version.conditions)
    for name in ("period", "cooldown_hours", "stacking_group"):
        values[name] = getattr(version, name)
    for name in ("player_budget", "total_budget"):
        values[name] = _plain(getattr(version, name))
    return values


def _pretty(conditions: Any) -> str:
    """Indented JSON; a list of plain values stays on one line."""
    text = json.dumps(conditions, indent=2, ensure_ascii=False)
    return re.sub(r"\[[^\[\]{}]*\]", lambda found: re.sub(r"\s*\n\s*", " ", found.group()).replace("[ ", "[").replace(" ]", "]"), text)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    return format(Decimal(repr(value)), "f") if isinstance(value, float) else value
