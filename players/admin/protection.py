"""Protection as lists. Changes are actions on the player's page, with a reason."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import display

from loyalty_site.common.admin.base import ViewOnlyAdmin
from loyalty_site.common.admin.display import DASH, amount, badge
from loyalty_site.common.clock import utc_now
from players.models import DepositLimit, Exclusion, Protection


class InForceFilter(DropdownFilter):
    title = "in force"
    parameter_name = "force"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("now", "Now"), ("later", "Not yet begun"), ("over", "Over")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        now = utc_now()
        if self.value() == "now":
            return queryset.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=now), starts_at__lte=now)
        if self.value() == "later":
            return queryset.filter(starts_at__gt=now)
        if self.value() == "over":
            return queryset.filter(ends_at__lte=now)
        return queryset


def _in_force(starts_at: datetime, ends_at: datetime | None) -> SafeString:
    now = utc_now()
    if starts_at > now:
        return badge("not yet", "info")
    return badge("over") if ends_at is not None and ends_at <= now else badge("in force", "warn")


class _OfPlayerAdmin(ViewOnlyAdmin):
    """Rows of players: the player is the link, the search is by the beginning of the player's id."""

    list_select_related: Any = ("player",)
    search_fields = ("player__external_id__startswith",)
    search_help_text = "Player id or its beginning"
    show_facets = admin.ShowFacets.NEVER

    @display(description="Player", ordering="player__external_id")
    def player_link(self, row: Model) -> SafeString:
        player = row.player  # type: ignore[attr-defined]
        return format_html('<a href="{}">{}</a>', reverse("admin:players_player_change", args=[player.pk]), player.external_id)


@admin.register(Exclusion)
class ExclusionAdmin(_OfPlayerAdmin):
    list_display = ("player_link", "kind", "state", "starts_at", "until", "reason", "recorded_by", "recorded_at")
    list_display_links = None
    list_filter = (("kind", ChoicesDropdownFilter), InForceFilter)
    list_select_related = ("player", "recorded_by")
    ordering = ("-starts_at", "-id")

    @display(description="State")
    def state(self, row: Exclusion) -> SafeString:
        return _in_force(row.starts_at, row.ends_at)

    @display(description="Ends at", ordering="ends_at", empty_value="without end")
    def until(self, row: Exclusion) -> datetime | None:
        return row.ends_at


@admin.register(DepositLimit)
class DepositLimitAdmin(_OfPlayerAdmin):
    list_display = ("player_link", "limit", "period", "state", "starts_at", "until")
    list_display_links = None
    list_filter = (("period", ChoicesDropdownFilter), InForceFilter)
    ordering = ("-starts_at", "-id")

    @display(description="Limit", ordering="amount")
    def limit(self, row: DepositLimit) -> str:
        return amount(row.amount, row.player.currency)

    @display(description="State")
    def state(self, row: DepositLimit) -> SafeString:
        return _in_force(row.starts_at, row.ends_at)

    @display(description="Ends at", ordering="ends_at", empty_value="without end")
    def until(self, row: DepositLimit) -> datetime | None:
        return row.ends_at


class StandingFilter(DropdownFilter):
    title = "consent and harm"
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("harm", "Harm flag"), ("marketing", "Marketing consent"), ("profiling", "Profiling consent"), ("none", "No consent")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        conditions = {
            "harm": Q(harm_flag=True),
            "marketing": Q(marketing_consent=True),
            "profiling": Q(profiling_consent=True),
            "none": Q(marketing_consent=False, profiling_consent=False),
        }
        return queryset.filter(conditions[str(self.value())]) if self.value() in conditions else queryset


@admin.register(Protection)
class ProtectionAdmin(_OfPlayerAdmin):
    list_display = ("player_link", "marketing", "profiling", "harm", "marketing_consent_at", "profiling_consent_at", "harm_flag_at")
    list_display_links = None
    list_filter = (StandingFilter,)
    ordering = ("-player_id",)

    @display(description="Marketing", ordering="marketing_consent")
    def marketing(self, row: Protection) -> SafeString:
        return badge("consent", "good") if row.marketing_consent else badge("no consent")

    @display(description="Profiling", ordering="profiling_consent")
    def profiling(self, row: Protection) -> SafeString:
        return badge("consent", "good") if row.profiling_consent else badge("no consent")

    @display(description="Harm", ordering="harm_flag")
    def harm(self, row: Protection) -> SafeString | str:
        return badge("harm flag", "bad", title=row.harm_note) if row.harm_flag else DASH
