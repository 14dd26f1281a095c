"""Filters of the lists of scores. All work on the rows of one run; bounds are those that staff set."""

from datetime import datetime
from typing import Any

from django.contrib.admin.views.main import SEARCH_VAR
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter

from loyalty_site.common.admin.filters import distinct_values
from loyalty_site.common.clock import utc_now
from players.models import Exclusion, Player, Segment
from predictions import selectors
from predictions.ml import advice
from predictions.thresholds import thresholds
from wallet.admin.funnel import player_currencies

from .parts import cluster_name, cluster_names, head


def _excluded(at: datetime) -> Exists:
    return Exists(Exclusion.objects.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=at), player_id=OuterRef("player_id"), starts_at__lte=at))


def may_be_contacted(at: datetime) -> Q:
    """Condition on a score: its player is active, consents to marketing, and is neither excluded nor flagged for harm at `at`."""
    return Q(
        ~_excluded(at),
        player__status=Player.Status.ACTIVE,
        player__protection__marketing_consent=True,
        player__protection__harm_flag=False,
    )


def may_not_be_contacted(at: datetime) -> Q:
    """The rest, written out: the negation of the other would be a join that no index helps."""
    return (
        ~Q(player__status=Player.Status.ACTIVE)
        | Q(player__protection__isnull=True)
        | Q(player__protection__marketing_consent=False)
        | Q(player__protection__harm_flag=True)
        | Q(_excluded(at))
    )


class _PlayerFilter(DropdownFilter):
    """By a column of the player."""

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(**{f"player__{self.parameter_name}": self.value()}) if self.value() else queryset


class SegmentFilter(_PlayerFilter):
    title = "player segment"
    parameter_name = "segment"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(value), str(label)) for value, label in Segment.choices]


class CountryFilter(_PlayerFilter):
    title = "country"
    parameter_name = "country"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, value) for value in distinct_values("players_player", "country")]


class CurrencyFilter(_PlayerFilter):
    title = "currency"
    parameter_name = "currency"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(code, code) for code in player_currencies()]


class ContactFilter(DropdownFilter):
    title = "contact"
    parameter_name = "contact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "May be contacted"), ("no", "May not: no consent, excluded or harm flag")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        condition = {"yes": may_be_contacted, "no": may_not_be_contacted}.get(self.value() or "")
        return queryset.filter(condition(utc_now())) if condition else queryset


class _BandFilter(DropdownFilter):
    """Bands of one column, by the bounds that staff set."""

    def bands(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """Value of the choice to its label and its condition."""
        raise NotImplementedError

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, label) for name, (label, _) in self.bands().items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        found = self.bands().get(self.value() or "")
        return queryset.filter(**found[1]) if found else queryset


class RiskFilter(_BandFilter):
    title = "risk"
    parameter_name = "risk"

    def bands(self) -> dict[str, tuple[str, dict[str, Any]]]:
        bound = thresholds()
        medium, high = bound.risk_medium_from, bound.risk_high_from
        return {
            "high": (f"High (from {high:.0%})", {"probability__gte": high}),
            "medium": (f"Medium ({medium:.0%} to below {high:.0%})", {"probability__gte": medium, "probability__lt": high}),
            "low": (f"Low (below {medium:.0%})", {"probability__lt": medium}),
        }


class ValueFilter(_BandFilter):
    title = "value, in the player's currency"
    parameter_name = "value_band"

    def bands(self) -> dict[str, tuple[str, dict[str, Any]]]:
        bound = thresholds()
        medium, high, vip = bound.value_medium_from, bound.value_high_from, bound.value_vip_from
        return {
            "vip": (f"Very high (above {vip:,.0f})", {"value__gt": vip}),
            "high": (f"High or very high (from {high:,.0f})", {"value__gte": high}),
            "medium": (f"Medium ({medium:,.0f} to below {high:,.0f})", {"value__gte": medium, "value__lt": high}),
            "low": (f"Low (below {medium:,.0f})", {"value__lt": medium}),
        }


class AwayFilter(_BandFilter):
    """By days since the last activity. A list opens on players who can still be kept; a search looks among all."""

    title = "last activity"
    parameter_name = "away"
    all_option = None
    KEPT, ALL = "kept", "all"

    def __init__(self, request: HttpRequest, *args: Any) -> None:
        self.is_search = bool(request.GET.get(SEARCH_VAR))
        super().__init__(request, *args)

    def value(self) -> str:
        return super().value() or (self.ALL if self.is_search else self.KEPT)

    def bands(self) -> dict[str, tuple[str, dict[str, Any]]]:
        most, never = advice.WIN_BACK_AFTER_DAYS, "player__metrics__last_activity_on__isnull"
        return {
            self.KEPT: (f"Within {most} days: can still be kept", {"idle_days__lte": most}),
            "month": ("Within 30 days", {"idle_days__lte": 30}),
            "quarter": (f"31 to {most} days ago", {"idle_days__gt": 30, "idle_days__lte": most}),
            "longer": (f"Longer than {most} days ago", {"idle_days__gt": most, never: False}),
            "never": ("Never active", {never: True}),
            self.ALL: ("All", {}),
        }


class FraudFilter(_BandFilter):
    title = "label"
    parameter_name = "label"

    def bands(self) -> dict[str, tuple[str, dict[str, Any]]]:
        bound = thresholds().fraud
        return {
            "fraud": (f"Fraud (above {bound:.2f})", {"score__gt": bound}),
            "watch": (f"Watch (above {bound / 2:.2f})", {"score__gt": bound / 2, "score__lte": bound}),
            "clear": (f"Clear (up to {bound / 2:.2f})", {"score__lte": bound / 2}),
        }


class EngagementFilter(_BandFilter):
    title = "engagement"
    parameter_name = "engaged"

    def bands(self) -> dict[str, tuple[str, dict[str, Any]]]:
        bound = thresholds().engagement
        return {
            "yes": (f"Engaged (above {bound:.0%})", {"probability__gt": bound}),
            "no": (f"Not engaged (up to {bound:.0%})", {"probability__lte": bound}),
        }


class FraudTypeFilter(DropdownFilter):
    title = "signal"
    parameter_name = "fraud_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [*((kind, label) for kind, label in advice.FRAUD_TYPES.items()), ("none", "No signal")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        value = self.value()
        return queryset.filter(fraud_type="" if value == "none" else value) if value else queryset


class ClusterFilter(DropdownFilter):
    title = "cluster"
    parameter_name = "cluster"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        page = head("segmentation", request.user)
        names = cluster_names(page.version)
        counted = selectors.summary("segmentation", page.run).get("clusters", {})
        return [(str(one), cluster_name(names, one)) for one in sorted({*names, *map(int, counted)})]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        value = self.value() or ""
        return queryset.filter(cluster=int(value)) if value.isascii() and value.isdigit() and len(value) < 5 else queryset


class RfmFilter(DropdownFilter):
    title = "RFM segment"
    parameter_name = "rfm"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in selectors.summary("segmentation").get("segments", {})]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(rfm_segment=self.value()) if self.value() else queryset
