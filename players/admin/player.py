"""The list of players. The page of one player composes several apps and is added by the composition root."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from constance import config
from django.contrib import admin
from django.core.cache import cache
from django.db.models import DecimalField, F, OuterRef, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter, MultipleChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display

from loyalty_site.common.admin.base import ViewOnlyAdmin
from loyalty_site.common.admin.display import DASH, badge, signed_amount
from loyalty_site.common.admin.filters import UtcDateRangeFilter, ValuesFilter
from loyalty_site.common.clock import utc_now
from players.imports.export import PlayerResource, SafeExportAdminMixin
from players.models import Player, PlayerDay, Segment

SEGMENT_TONES = {Segment.WINNING: "good", Segment.LOSING: "bad", Segment.VIP: "primary", Segment.NEW: "info", Segment.BREAKEVEN: ""}
STATUS_TONES = {Player.Status.ACTIVE: "good", Player.Status.SUSPENDED: "warn", Player.Status.CLOSED: "bad"}
_CURRENCY_SECONDS = 300


class CountryFilter(ValuesFilter):
    title = "country"
    parameter_name = "country"
    table = "players_player"


class CurrencyFilter(DropdownFilter):
    title = "currency"
    parameter_name = "currency"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        found = cache.get("players:currencies")
        if found is None:
            found = sorted(Player.objects.order_by().values_list("currency", flat=True).distinct())
            cache.set("players:currencies", found, _CURRENCY_SECONDS)
        return [(value, value) for value in found]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(currency=self.value()) if self.value() else queryset


class RiskBandFilter(DropdownFilter):
    """By the abuse score's bands, whose edges staff set."""

    title = "risk band"
    parameter_name = "risk"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        reduced, wagering, blocked = _band_edges()
        return [
            ("none", f"No action (0–{reduced - 1})"),
            ("reduced", f"Reduced rewards ({reduced}–{wagering - 1})"),
            ("wagering", f"Increased wagering ({wagering}–{blocked - 1})"),
            ("blocked", f"Blocked ({blocked}–100)"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        reduced, wagering, blocked = _band_edges()
        spans = {"none": (0, reduced), "reduced": (reduced, wagering), "wagering": (wagering, blocked), "blocked": (blocked, 101)}
        if self.value() not in spans:
            return queryset
        lower, upper = spans[self.value()]
        return queryset.filter(risk_score__gte=lower, risk_score__lt=upper)


def _band_edges() -> tuple[int, int, int]:
    return config.ABUSE_REDUCED_FROM, config.ABUSE_WAGERING_FROM, config.ABUSE_BLOCKED_FROM


class InactivityFilter(DropdownFilter):
    title = "days since last play"
    parameter_name = "idle"
    bands = {"0": (0, 6), "7": (7, 29), "30": (30, 89), "90": (90, None)}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("0", "0–6 days"), ("7", "7–29 days"), ("30", "30–89 days"), ("90", "90 days and more"), ("never", "Never played")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        value = self.value()
        if value == "never":
            return queryset.filter(Q(metrics__isnull=True) | Q(metrics__last_play_on__isnull=True))
        if value not in self.bands:
            return queryset
        today = utc_now().date()
        shortest, longest = self.bands[value]
        queryset = queryset.filter(metrics__last_play_on__lte=today - timedelta(days=shortest))
        return queryset if longest is None else queryset.filter(metrics__last_play_on__gte=today - timedelta(days=longest))


class ProtectedFilter(DropdownFilter):
    title = "protection"
    parameter_name = "protected"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("excluded", "Excluded or cooling off"), ("harm", "Harm flag"), ("no_marketing", "No marketing consent")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        now = utc_now()
        if self.value() == "excluded":
            return queryset.filter(pk__in=_excluded_at(now))
        if self.value() == "harm":
            return queryset.filter(protection__harm_flag=True)
        if self.value() == "no_marketing":
            return queryset.filter(Q(protection__isnull=True) | Q(protection__marketing_consent=False))
        return queryset


def _excluded_at(moment: datetime) -> QuerySet:
    from players.models import Exclusion

    return (
        Exclusion.objects.filter(starts_at__lte=moment)
        .filter(Q(ends_at__isnull=True) | Q(ends_at__gt=moment))
        .order_by()
        .values("player_id")
    )


def net_result_since(first_day: Any) -> Coalesce:
    """Annotation: payout minus stake of a player from `first_day` on, from the day roll-up. Computed for the shown rows only."""
    sums = (
        PlayerDay.objects.filter(player_id=OuterRef("pk"), day__gte=first_day)
        .order_by()
        .values("player_id")
        .annotate(net=Sum(F("payout") - F("stake")))
        .values("net")
    )
    return Coalesce(Subquery(sums), Value(Decimal(0)), output_field=DecimalField(max_digits=20, decimal_places=4))


@admin.register(Player)
class PlayerAdmin(SafeExportAdminMixin, ViewOnlyAdmin):
    """Profiles come from the operator's system; staff change protection, rewards and wallet by actions, not by editing a profile."""

    resource_classes = [PlayerResource]

    list_display = ("player_id", "username", "country", "segment_badge", "tier_badge", "status_badge", "net_30d", "last_play", "risk")
    list_filter = (
        ("segment", MultipleChoicesDropdownFilter),
        ("tier", RelatedDropdownFilter),
        ("status", ChoicesDropdownFilter),
        CountryFilter,
        CurrencyFilter,
        RiskBandFilter,
        InactivityFilter,
        ProtectedFilter,
        ("registered_at", UtcDateRangeFilter),
    )
    list_select_related = ("tier", "metrics")
    search_fields = ("external_id",)  # only switches the box on: get_search_results decides
    search_help_text = "Player id or its beginning, whole username or e-mail"
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Player]:
        first_day = (utc_now() - timedelta(days=30)).date()
        reduced, _, blocked = _band_edges()
        return (
            super()
            .get_queryset(request)
            .annotate(net_result_30d=net_result_since(first_day), reduced_from=Value(reduced), blocked_from=Value(blocked))
        )

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        """Beginning of the id; whole username or e-mail for those who may see them. Each is served by an index, no table scan."""
        term = search_term.strip()
        if not term:
            return queryset, False
        wanted = Q(external_id__startswith=term) | Q(external_id__startswith=term.upper())  # ids are often typed in lower case
        if request.user.has_perm("players.view_player_pii"):
            wanted |= Q(username=term)
            if "@" in term:
                wanted |= Q(email__in={term, term.lower()})
        return queryset.filter(wanted), False

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        columns = super().get_list_display(request)
        if request.user.has_perm("players.view_player_pii"):
            return tuple(columns)
        return tuple(name for name in columns if name != "username")

    @display(description="Player", ordering="external_id")
    def player_id(self, player: Player) -> str:
        return player.external_id

    @display(description="Segment", ordering="segment")
    def segment_badge(self, player: Player) -> SafeString:
        return badge(player.get_segment_display(), SEGMENT_TONES.get(Segment(player.segment), ""))

    @display(description="Tier", ordering="tier__rank")
    def tier_badge(self, player: Player) -> SafeString | str:
        return badge(player.tier.name, color=player.tier.color) if player.tier else DASH

    @display(description="Status", ordering="status")
    def status_badge(self, player: Player) -> SafeString:
        return badge(player.get_status_display(), STATUS_TONES.get(Player.Status(player.status), ""))

    @display(description="Net result 30 days")
    def net_30d(self, player: Player) -> SafeString | str:
        return signed_amount(player.net_result_30d, player.currency)  # type: ignore[attr-defined]

    @display(description="Last play", ordering="metrics__last_play_on")
    def last_play(self, player: Player) -> str:
        metrics = getattr(player, "metrics", None)
        if metrics is None or metrics.last_play_on is None:
            return "never"
        days = (utc_now().date() - metrics.last_play_on).days
        return "today" if days <= 0 else f"{days} d ago"

    @display(description="Risk", ordering="risk_score")
    def risk(self, player: Player) -> SafeString:
        score = player.risk_score
        tone = "bad" if score >= player.blocked_from else "warn" if score >= player.reduced_from else ""  # type: ignore[attr-defined]
        return badge(score, tone)
