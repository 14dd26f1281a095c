"""Earning rules in the admin, and the page that explains what a player earned on which day by which rule."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.http import Http404, HttpRequest
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from simple_history.admin import SimpleHistoryAdmin
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import display

from loyalty_site.common.admin.actions import StaffPage
from loyalty_site.common.admin.base import BackOfficeAdmin
from loyalty_site.common.admin.display import DASH, amount, badge
from loyalty_site.common.clock import utc_now
from players.models import Game, Player
from rewards.earning import explanations
from rewards.models import DayEarning, EarningRule
from wallet.admin.parts import player_link, right

Scope = EarningRule.Scope
_DAYS_A_PAGE = 31
_FIELDS = (
    "name",
    "unit",
    "scope",
    "key",
    "currency",
    "rate",
    "weight",
    "uses_tier_multiplier",
    "counts_bonus_stake",
    "daily_cap",
    "event_cap",
    "valid_from",
    "valid_to",
)
_EARLIEST = date(2000, 1, 1)
# what may still be said of a rule that has begun: days were reckoned with the rest
_OPEN_FIELDS = ("name", "valid_to")


class EarningRuleForm(forms.ModelForm):
    class Meta:
        model = EarningRule
        fields = _FIELDS
        labels = {"key": "Game, provider or category", "rate": "Points per unit staked", "event_cap": "Most points per play"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.today = utc_now().date()

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        begun = has_begun(self.instance, self.today)
        if "scope" in self.fields:
            self._clean_scope(data)
        if "currency" in self.fields:
            currency = data["currency"] = (data.get("currency") or "").upper()
            if currency and not (len(currency) == 3 and currency.isascii() and currency.isalpha()):
                self.add_error("currency", "Give an ISO 4217 currency such as EUR, or leave it empty for all.")
        for name in ("rate", "weight"):
            if data.get(name) is not None and data[name] < 0:
                self.add_error(name, "Give 0 or more.")
        for name in ("daily_cap", "event_cap"):
            if data.get(name) is not None and data[name] <= 0:
                self.add_error(name, "Give a number above 0, or leave it empty for no cap.")
        start, end = data.get("valid_from") or self.instance.valid_from, data.get("valid_to")
        if not begun and data.get("valid_from") is not None and data["valid_from"] < self.today:
            self.add_error("valid_from", f"Days before today are reckoned already; the first day can be {self.today} (UTC).")
        if end is not None and start is not None and end < start:
            self.add_error("valid_to", "The end must not lie before the first day.")
        if end is not None and begun and end < self.today and end != self.instance.valid_to:
            self.add_error("valid_to", f"Days before today are reckoned already; the rule can end with {self.today} (UTC).")
        return data

    def _clean_scope(self, data: dict[str, Any]) -> None:
        scope, key = data.get("scope"), (data.get("key") or "").strip()
        data["key"] = "" if scope == Scope.DEFAULT else key
        if scope in (None, Scope.DEFAULT) or "key" in self.errors:
            return
        if not key:
            self.add_error("key", "Say for which game, provider or category.")
        elif scope == Scope.CATEGORY and key.lower() not in Game.Category.values:
            self.add_error("key", f"There is no such category. Known: {', '.join(Game.Category.values)}.")
        elif scope == Scope.GAME and not Game.objects.filter(code__iexact=key).exists():
            self.add_error("key", "There is no game with this code; copy it from the list of games.")
        elif scope == Scope.PROVIDER and not Game.objects.filter(provider__iexact=key).exists():
            self.add_error("key", "No game has this provider; copy it from the list of games.")


def has_begun(rule: EarningRule, today: date) -> bool:
    return rule.pk is not None and rule.valid_from <= today


class StateFilter(DropdownFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("holds", "Holds today"), ("later", "Begins later"), ("over", "Over")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        today = utc_now().date()
        if self.value() == "holds":
            return queryset.filter(valid_from__lte=today).exclude(valid_to__lte=today)
        if self.value() == "later":
            return queryset.filter(valid_from__gt=today)
        return queryset.filter(valid_to__lte=today) if self.value() == "over" else queryset


@admin.register(EarningRule)
class EarningRuleAdmin(SimpleHistoryAdmin, BackOfficeAdmin):
    """A rule that has begun is followed by a new one or ended, never edited: points were paid by it."""

    form = EarningRuleForm
    list_display = ("shown_name", "shown_for", "shown_rate", "shown_multiplier", "shown_caps", "shown_time", "shown_state")
    list_display_links = ("shown_name",)
    list_filter = (StateFilter, ("unit", ChoicesDropdownFilter), ("scope", ChoicesDropdownFilter))
    search_fields = ("name", "key")
    search_help_text = "Name, game, provider or category"
    ordering = ("unit", "scope", "key", "-valid_from")
    conditional_fields = {"key": "typeof scope === 'undefined' || scope != 'default'"}
    history_list_display = ("rate", "weight", "valid_from", "valid_to")
    fieldsets = (
        (None, {"fields": ("name", ("unit", "currency"), ("scope", "key"))}),
        ("Points", {"fields": (("rate", "weight"), "uses_tier_multiplier", "counts_bonus_stake", ("daily_cap", "event_cap"))}),
        (
            "When",
            {
                "fields": (("valid_from", "valid_to"),),
                "description": "UTC days. To change a rule that has begun, add one for the same unit, scope and currency: "
                "it takes over on its first day.",
            },
        ),
    )

    def get_urls(self) -> list[Any]:
        site = self.admin_site.admin_view
        return [path("earned/<int:player>/", site(EarningsPage.as_view()), name="rewards_earnings"), *super().get_urls()]

    def get_readonly_fields(self, request: HttpRequest, obj: EarningRule | None = None) -> Any:
        if obj is None or not has_begun(obj, utc_now().date()):
            return ()
        return tuple(name for name in _FIELDS if name not in _OPEN_FIELDS)

    def has_delete_permission(self, request: HttpRequest, obj: EarningRule | None = None) -> bool:
        return False

    @display(description="Rule", ordering="name")
    def shown_name(self, rule: EarningRule) -> str:
        return rule.name

    @display(description="For", ordering="scope")
    def shown_for(self, rule: EarningRule) -> SafeString:
        what = rule.get_scope_display() if rule.scope == Scope.DEFAULT else f"{rule.get_scope_display()}: {rule.key}"
        players = f"players with {rule.currency}" if rule.currency else "all currencies"
        return format_html('{}<span class="lb-note" style="display:block">{}</span>', what, players)

    @display(description="Points per unit staked", ordering="rate")
    def shown_rate(self, rule: EarningRule) -> SafeString:
        return right(f"{plain(rule.rate * rule.weight)} {rule.unit}")

    @display(description="Tier multiplier")
    def shown_multiplier(self, rule: EarningRule) -> str:
        return ("applies" if rule.uses_tier_multiplier else DASH) + (", bonus stakes count" if rule.counts_bonus_stake else "")

    @display(description="Caps")
    def shown_caps(self, rule: EarningRule) -> str:
        caps = [f"{plain(cap)} {name}" for cap, name in ((rule.daily_cap, "a day"), (rule.event_cap, "a play")) if cap is not None]
        return ", ".join(caps) or "none"

    @display(description="Holds (UTC days)", ordering="valid_from")
    def shown_time(self, rule: EarningRule) -> str:
        return f"from {rule.valid_from}" + (f" to before {rule.valid_to}" if rule.valid_to else "")

    @display(description="State")
    def shown_state(self, rule: EarningRule) -> SafeString:
        today = utc_now().date()
        if rule.valid_from > today:
            return badge("begins later", "info")
        return badge("over", "warn") if rule.valid_to and rule.valid_to <= today else badge("holds", "good")


class EarningsPage(StaffPage):
    """What one player earned by play: a month of days, each rule with its stake, its points and its caps."""

    title = "Points for play"
    template_name = "rewards/earnings.html"
    permissions = ("rewards.view_earningrule", "players.view_playerday")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        player = Player.objects.filter(pk=kwargs["player"]).first()
        if player is None:
            raise Http404("There is no such player.")
        last, error = self._last_day()
        found = DayEarning.objects.filter(player=player, day__lte=last, day__gt=last - timedelta(days=_DAYS_A_PAGE)).order_by("-day")
        earlier = DayEarning.objects.filter(player=player, day__lte=last - timedelta(days=_DAYS_A_PAGE)).order_by("-day").first()
        return super().get_context_data(
            **kwargs,
            player_link=player_link(player),
            currency=player.currency,
            last=last,
            today=utc_now().date(),
            error=error,
            days=[_day(one, player.currency) for one in explanations(list(found))],
            earlier=earlier.day if earlier else None,
            rules_url=reverse("admin:rewards_earningrule_changelist"),
        )

    def _last_day(self) -> tuple[date, str]:
        today = utc_now().date()
        text = self.request.GET.get("day", "")
        if not text:
            return today, ""
        try:
            asked = min(date.fromisoformat(text), today)
        except ValueError:
            return today, f"{text!r} is no day; write it as 2026-03-31. Shown are the latest days."
        if asked < _EARLIEST:
            return today, f"There are no days before {_EARLIEST}. Shown are the latest days."
        return asked, ""


def _day(one: dict[str, Any], currency: str) -> dict[str, Any]:
    return {
        "day": one["day"],
        "stake": amount(one["stake"], currency),
        "bonus_stake": amount(one["bonus_stake"], currency) if one["bonus_stake"] else "",
        "multiplier": f"× {plain(one['multiplier'])}",
        "lp": exact(one["lp"], "LP"),
        "rp": exact(one["rp"], "RP") if one["rp"] else "",
        "lines": [
            {
                "rule": line["rule"],
                "rate": f"{plain(line['rate'])} {line['unit']}",
                "events": line["events"],
                "stake": amount(line["stake"], currency),
                "uncapped": exact(line["uncapped"], line["unit"]) if line["is_capped"] else "",
                "points": exact(line["points"], line["unit"]),
            }
            for line in one["lines"]
        ],
    }


def plain(value: Decimal) -> str:
    return f"{value.normalize():f}"


def exact(points: Decimal, unit: str) -> str:
    """Points as they were reckoned: at least two places, more where they are used."""
    text = plain(points) if points != points.quantize(Decimal("0.01")) else f"{points:,.2f}"
    return f"{text} {unit}"
