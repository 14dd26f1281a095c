"""Single signals with their evidence."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import MultipleChoicesDropdownFilter
from unfold.decorators import display

from fraud.evidence import describe
from fraud.models import AbuseSignal
from loyalty_site.common.admin.base import ViewOnlyAdmin
from loyalty_site.common.admin.display import badge
from loyalty_site.common.admin.filters import UtcDateRangeFilter
from wallet.admin.parts import PlayerSearchMixin, page_url, player_link

from .parts import SHORT_KINDS, bar, signal_card


@admin.register(AbuseSignal)
class AbuseSignalAdmin(PlayerSearchMixin, ViewOnlyAdmin):
    list_display = ("shown_number", "shown_player", "shown_kind", "shown_strength", "shown_summary", "shown_seen")
    list_display_links = ("shown_number",)
    list_filter = (("kind", MultipleChoicesDropdownFilter), ("seen_at", UtcDateRangeFilter))
    list_select_related = ("player",)
    search_help_text = "Player id, or #number of the signal"
    ordering = ("-seen_at", "-id")
    fields = ()
    change_form_template = "admin/fraud/abusesignal/change_form.html"

    class Media:
        css = {"all": ["fraud/admin.css"]}

    @display(description="Signal", ordering="id")
    def shown_number(self, signal: AbuseSignal) -> str:
        return f"#{signal.pk}"

    @display(description="Player")
    def shown_player(self, signal: AbuseSignal) -> SafeString:
        return player_link(signal.player)

    @display(description="Kind", ordering="kind")
    def shown_kind(self, signal: AbuseSignal) -> SafeString:
        return badge(SHORT_KINDS[signal.kind], title=signal.get_kind_display())

    @display(description="Strength", ordering="strength")
    def shown_strength(self, signal: AbuseSignal) -> SafeString:
        return bar(100 * float(signal.strength), f"{100 * float(signal.strength):.0f} %")

    @display(description="What was seen")
    def shown_summary(self, signal: AbuseSignal) -> SafeString:
        return format_html('<span class="fraud-sentence">{}</span>', describe(signal.kind, signal.evidence, signal.player.currency).summary)

    @display(description="Last seen", ordering="seen_at")
    def shown_seen(self, signal: AbuseSignal) -> str:
        return f"{signal.seen_at:%Y-%m-%d}"

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        signal = self.get_object(request, object_id) if object_id else None
        page: dict[str, Any] = {}
        if signal:
            page = {
                "card": signal_card(signal, signal.player.currency),
                "player_link": player_link(signal.player),
                "profile_url": page_url("fraud_abuseprofile", signal.player_id),
            }
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **page})
