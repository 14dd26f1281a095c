"""What the wallet flagged, with the review that took it up."""

from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import MultipleChoicesDropdownFilter
from unfold.decorators import display

from fraud.evidence import describe_flag
from fraud.models import FlagEvidence, ReviewFlag
from loyalty_site.common.admin.base import ViewOnlyAdmin
from loyalty_site.common.admin.display import DASH, badge
from loyalty_site.common.admin.filters import UtcDateRangeFilter
from wallet.admin.parts import PlayerSearchMixin, link, page_url, player_link
from wallet.models import WalletFlag

SHORT_KINDS: dict[str, str] = {
    WalletFlag.Kind.OVER_MAX_BET: "bet too large",
    WalletFlag.Kind.BONUS_DEBT: "bonus debt",
    WalletFlag.Kind.CASH_DEBT: "negative cash",
    WalletFlag.Kind.POINTS_DEBT: "points debt",
}


@admin.register(WalletFlag)
class WalletFlagAdmin(PlayerSearchMixin, ViewOnlyAdmin):
    list_display = ("shown_number", "shown_player", "shown_kind", "shown_words", "shown_grant", "shown_review", "shown_seen")
    list_display_links = None
    list_filter = (("kind", MultipleChoicesDropdownFilter), ("occurred_at", UtcDateRangeFilter))
    list_select_related = ("player", "grant")
    search_help_text = "Player id, or #number of the flag"
    ordering = ("-id",)
    fields = ("player", "kind", "grant", "source_ref", "occurred_at", "words")
    readonly_fields = ("words",)

    class Media:
        css = {"all": ["fraud/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[WalletFlag]:
        taken = FlagEvidence.objects.filter(flag=OuterRef("pk"))
        return super().get_queryset(request).annotate(review_id=Subquery(taken.values("review_id")[:1]))

    @display(description="Flag", ordering="id")
    def shown_number(self, flag: WalletFlag) -> str:
        return f"#{flag.pk}"

    @display(description="Player")
    def shown_player(self, flag: WalletFlag) -> SafeString:
        return player_link(flag.player)

    @display(description="Kind", ordering="kind")
    def shown_kind(self, flag: WalletFlag) -> SafeString:
        return badge(SHORT_KINDS[flag.kind], title=flag.get_kind_display())

    @display(description="What happened")
    def shown_words(self, flag: WalletFlag) -> SafeString:
        return format_html('<span class="fraud-sentence">{}</span>', describe_flag(flag))

    @display(description="Bonus")
    def shown_grant(self, flag: WalletFlag) -> SafeString | str:
        return link(f"#{flag.grant_id}", page_url(flag.grant, flag.grant_id)) if flag.grant else DASH

    @display(description="Review")
    def shown_review(self, flag: WalletFlag) -> SafeString | str:
        review: Any = getattr(flag, "review_id", None)
        return link(f"#{review}", page_url(ReviewFlag._meta.label_lower.replace(".", "_"), review)) if review else "within the hour"

    @display(description="Seen (UTC)", ordering="occurred_at")
    def shown_seen(self, flag: WalletFlag) -> str:
        return f"{flag.occurred_at:%Y-%m-%d %H:%M}"

    @display(description="In words")
    def words(self, flag: WalletFlag) -> str:
        return describe_flag(flag)
