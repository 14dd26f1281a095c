"""Balances: one row per player and unit, view-only."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import display

from loyalty_site.common.admin.base import ViewOnlyAdmin
from wallet.models import Account, BonusGrant, Entry, Lot
from wallet.reconciliation import reconcile

from .entry import entry_rows
from .lot import lot_rows
from .parts import PlayerSearchMixin, page_url, player_link, right, shown_amount, unit_text

_ENTRIES = 50
_LOTS = 50


class HoldsFilter(DropdownFilter):
    title = "balance"
    parameter_name = "holds"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Above zero"), ("no", "Zero")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Account]) -> QuerySet[Account]:
        conditions = {"yes": {"balance__gt": 0}, "no": {"balance": 0}}
        return queryset.filter(**conditions.get(self.value() or "", {}))


@admin.register(Account)
class AccountAdmin(PlayerSearchMixin, ViewOnlyAdmin):
    list_display = ("shown_player", "shown_unit", "shown_balance", "shown_earned", "shown_entries")
    list_filter = (("unit", ChoicesDropdownFilter), HoldsFilter)
    list_select_related = ("player",)
    search_help_text = "Player id, or #number of the account"
    ordering = ("-id",)
    fields = ()
    change_form_template = "admin/wallet/account/change_form.html"

    class Media:
        css = {"all": ["wallet/admin.css"]}

    @display(description="Player")
    def shown_player(self, account: Account) -> SafeString:
        return player_link(account.player)

    @display(description="Unit", ordering="unit")
    def shown_unit(self, account: Account) -> str:
        return unit_text(account.unit, account.currency)

    @display(description="Balance")
    def shown_balance(self, account: Account) -> SafeString:
        return right(shown_amount(account.balance, account.unit, account.currency))

    @display(description="Earned in all")
    def shown_earned(self, account: Account) -> SafeString:
        return right(shown_amount(account.earned_total, account.unit, account.currency))

    @display(description="Entries")
    def shown_entries(self, account: Account) -> SafeString:
        return right(f"{account.version:,}")

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        account = self.get_object(request, object_id) if object_id else None
        page = account_page(account) if account else {}
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **page})


def account_page(account: Account) -> dict[str, Any]:
    """Context of an account's page: balance, the latest entries, open bonuses, and the proof of its player's books."""
    entries = Entry.objects.filter(account=account).select_related("account", "actor").order_by("-seq")[:_ENTRIES]
    grants = BonusGrant.objects.filter(player_id=account.player_id, account=account, closed_at=None).order_by("expires_at", "id")
    lots = (
        Lot.objects.filter(account=account, status__in=(Lot.Status.ACTIVE, Lot.Status.PENDING))
        .select_related("account")
        .order_by("expires_at", "earned_at", "id")[:_LOTS]
    )
    return {
        "account": account,
        "player_link": player_link(account.player),
        "unit_text": unit_text(account.unit, account.currency),
        "balance_text": shown_amount(account.balance, account.unit, account.currency),
        "earned_text": shown_amount(account.earned_total, account.unit, account.currency),
        "entries": entry_rows(entries),
        "entry_count": account.version,
        "ledger_url": f"{page_url('wallet_entry')}?q={account.player.external_id}",
        "open_grants": [
            {
                "grant": grant,
                "url": page_url(grant, grant.pk),
                "balance": shown_amount(grant.balance, account.unit, grant.currency),
            }
            for grant in grants
        ],
        "owed_text": shown_amount(account.owed, account.unit, account.currency) if account.owed else "",
        "lots": lot_rows(lots),
        "lots_url": f"{page_url('wallet_lot')}?q={account.player.external_id}",
        "proof": reconcile(account.player_id, account.player_id + 1),
    }
