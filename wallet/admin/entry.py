"""The ledger: every posting with both its sides, view-only."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from loyalty_site.common.admin.base import ViewOnlyAdmin
from loyalty_site.common.admin.display import badge
from loyalty_site.common.admin.filters import UtcDateRangeFilter
from wallet.models import Account, Entry

from .parts import (
    HOUSE_TONES,
    PlayerSearchMixin,
    SourceTypeFilter,
    link,
    matching_players,
    page_url,
    player_link,
    right,
    shown_amount,
    shown_signed,
    unit_text,
)


def house_badge(entry: Entry) -> SafeString:
    if entry.reversal_of_id is not None:
        return badge(f"Reversal: {entry.get_house_display()}", "bad")
    return badge(entry.get_house_display(), HOUSE_TONES.get(entry.house, ""))


def source_text(entry: Entry) -> str:
    return " ".join(part for part in (entry.source_type, entry.source_ref, entry.source_sub) if part)


def entry_rows(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Rows of a small table of entries on another record's page."""
    return [
        {
            "entry": entry,
            "url": page_url(entry, entry.pk),
            "amount": shown_signed(entry.amount, entry.account.unit, entry.account.currency),
            "balance_after": shown_amount(entry.balance_after, entry.account.unit, entry.account.currency),
            "house": house_badge(entry),
            "source": source_text(entry),
        }
        for entry in entries
    ]


@admin.register(Entry)
class EntryAdmin(PlayerSearchMixin, ViewOnlyAdmin):
    list_display = (
        "shown_time",
        "shown_player",
        "shown_amount",
        "shown_balance",
        "shown_house",
        "shown_source",
        "shown_reason",
    )
    list_filter = (
        ("account__unit", ChoicesDropdownFilter),
        ("house", ChoicesDropdownFilter),
        SourceTypeFilter,
        ("occurred_at", UtcDateRangeFilter),
    )
    list_select_related = ("account__player",)
    search_help_text = "Player id, id of the cause (for example a reward's number), or #number of the entry"
    ordering = ("-id",)
    fields = ()
    change_form_template = "admin/wallet/entry/change_form.html"

    class Media:
        css = {"all": ["wallet/admin.css"]}

    def search_condition(self, term: str) -> Q:
        # ids first: both conditions are index look-ups, and the planner can combine them
        accounts = list(Account.objects.filter(player_id__in=matching_players(term)).values_list("pk", flat=True))
        return Q(account_id__in=accounts) | Q(source_ref=term)

    @display(description="Time (UTC)", ordering="id")
    def shown_time(self, entry: Entry) -> str:
        return f"{entry.occurred_at:%Y-%m-%d %H:%M:%S}"

    @display(description="Player")
    def shown_player(self, entry: Entry) -> SafeString:
        return player_link(entry.account.player)

    @display(description="Amount")
    def shown_amount(self, entry: Entry) -> SafeString:
        return right(shown_signed(entry.amount, entry.account.unit, entry.account.currency))

    @display(description="Balance after")
    def shown_balance(self, entry: Entry) -> SafeString:
        return right(shown_amount(entry.balance_after, entry.account.unit, entry.account.currency))

    @display(description="Other side", ordering="house")
    def shown_house(self, entry: Entry) -> SafeString:
        return house_badge(entry)

    @display(description="Source")
    def shown_source(self, entry: Entry) -> SafeString:
        return format_html('<span class="wallet-source">{}</span>', source_text(entry))

    @display(description="Reason")
    def shown_reason(self, entry: Entry) -> str:
        return entry.reason if len(entry.reason) <= 60 else f"{entry.reason[:59]}…"

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        entry = self.get_object(request, object_id) if object_id else None
        page = entry_page(entry) if entry else {}
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **page})


def entry_page(entry: Entry) -> dict[str, Any]:
    """Context of an entry's page: both sides, its cause, what it reversed or what reversed it, and the grants it moved."""
    account = entry.account
    reversal = Entry.objects.filter(reversal_of=entry).first()
    return {
        "entry": entry,
        "player_link": player_link(account.player),
        "account_link": link(unit_text(account.unit, account.currency), page_url(account, account.pk)),
        "amount_text": shown_signed(entry.amount, account.unit, account.currency),
        "house_amount": shown_signed(-entry.amount, account.unit, account.currency),
        "balance_text": shown_amount(entry.balance_after, account.unit, account.currency),
        "house_badge": house_badge(entry),
        "reversed_url": page_url(entry, entry.reversal_of_id) if entry.reversal_of_id else "",
        "reversal": reversal,
        "reversal_url": page_url(reversal, reversal.pk) if reversal else "",
        "movements": [
            {
                "grant_url": page_url("wallet_bonusgrant", movement.grant_id),
                "grant_id": movement.grant_id,
                "amount": shown_signed(movement.amount, account.unit, account.currency),
            }
            for movement in entry.movements.order_by("id")
        ],
    }
