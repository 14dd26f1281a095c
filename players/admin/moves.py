"""Moves between segments and tiers, newest first: what changed for whom, when and why."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display

from loyalty_site.common.admin.base import ViewOnlyAdmin
from loyalty_site.common.admin.display import DASH, badge
from loyalty_site.common.admin.filters import UtcDateRangeFilter
from players.admin.player import SEGMENT_TONES
from players.models import Segment, SegmentMove, Tier, TierMove

KIND_TONES = {
    TierMove.Kind.UPGRADE: "good",
    TierMove.Kind.REVIEW: "warn",
    TierMove.Kind.GRACE_END: "warn",
    TierMove.Kind.OVERRIDE: "info",
    TierMove.Kind.OVERRIDE_END: "info",
}


class MoveAdmin(ViewOnlyAdmin):
    """What both lists share: found by the beginning of the player's id, newest first."""

    list_select_related: tuple[str, ...] = ("player",)
    search_fields = ("player__external_id",)
    search_help_text = "Player id or its beginning"
    ordering = ("-id",)

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        term = search_term.strip()
        return (queryset.filter(player__external_id__startswith=term) if term else queryset), False

    @display(description="When (UTC)", ordering="moved_at")
    def when(self, move: SegmentMove | TierMove) -> str:
        return f"{move.moved_at:%Y-%m-%d %H:%M}"

    @display(description="Player")
    def shown_player(self, move: SegmentMove | TierMove) -> SafeString:
        url = reverse("admin:players_player_change", args=[move.player_id])
        return format_html('<a class="lb-link" href="{}">{}</a>', url, move.player.external_id)


@admin.register(SegmentMove)
class SegmentMoveAdmin(MoveAdmin):
    list_display = ("when", "shown_player", "old", "new")
    list_filter = (("from_segment", ChoicesDropdownFilter), ("to_segment", ChoicesDropdownFilter), ("moved_at", UtcDateRangeFilter))

    @display(description="From")
    def old(self, move: SegmentMove) -> SafeString | str:
        return badge(move.get_from_segment_display()) if move.from_segment else DASH

    @display(description="To")
    def new(self, move: SegmentMove) -> SafeString:
        return badge(move.get_to_segment_display(), SEGMENT_TONES.get(Segment(move.to_segment), ""))


@admin.register(TierMove)
class TierMoveAdmin(MoveAdmin):
    list_display = ("when", "shown_player", "shown_kind", "old", "new", "points", "reason")
    list_filter = (("kind", ChoicesDropdownFilter), ("to_tier", RelatedDropdownFilter), ("moved_at", UtcDateRangeFilter))
    list_select_related = ("player", "from_tier", "to_tier")

    @display(description="Cause", ordering="kind")
    def shown_kind(self, move: TierMove) -> SafeString:
        return badge(move.get_kind_display(), KIND_TONES.get(TierMove.Kind(move.kind), ""))

    @display(description="From")
    def old(self, move: TierMove) -> SafeString | str:
        return _tier(move.from_tier)

    @display(description="To")
    def new(self, move: TierMove) -> SafeString | str:
        return _tier(move.to_tier)


def _tier(tier: Tier | None) -> SafeString | str:
    return badge(tier.name, color=tier.color) if tier else DASH
