"""Bonus grants: how far the wagering is, the terms as frozen, every status change, every bet with its verdict."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import DropdownFilter, MultipleChoicesDropdownFilter
from unfold.decorators import display

from loyalty_site.common.admin.base import ViewOnlyAdmin
from loyalty_site.common.admin.display import amount, badge, progress_bar
from loyalty_site.common.admin.filters import UtcDateRangeFilter, ValuesFilter
from loyalty_site.common.clock import utc_now
from loyalty_site.common.money import from_minor
from wallet.models import OPEN_STATUSES, BonusGrant, Entry, GrantStatus, WagerCount

from .entry import entry_rows
from .parts import STATUS_TONES, PlayerSearchMixin, page_url, player_link, right, shown_amount

_BETS_A_PAGE = 50
_EXACT_COUNT = 10_000
_VERDICT_TONES = {"COUNTED": "good", "CAPPED": "good"}


class CurrencyFilter(ValuesFilter):
    title = "currency"
    parameter_name = "currency"
    table = "wallet_account"


class OpenFilter(DropdownFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "Open"), ("ends", "Open, ends within a day"), ("closed", "Closed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[BonusGrant]) -> QuerySet[BonusGrant]:
        if self.value() == "open":
            return queryset.filter(status__in=OPEN_STATUSES)
        if self.value() == "ends":
            return queryset.filter(status__in=OPEN_STATUSES, expires_at__lt=utc_now() + timedelta(days=1))
        return queryset.filter(closed_at__isnull=False) if self.value() == "closed" else queryset


def status_badge(status: str) -> SafeString:
    return badge(GrantStatus(status).label, STATUS_TONES.get(status, ""))


def wagering_bar(grant: BonusGrant) -> SafeString:
    percent = wagered_percent(grant)
    tone = "good" if grant.status == GrantStatus.COMPLETED else ""
    return progress_bar(percent, 100, tone=tone, label=f"{percent} %")


def wagered_percent(grant: BonusGrant) -> int:
    """Whole per cent, rounded down: 100 only when the wagering is complete."""
    return int(100 * grant.wagered / grant.wagering_required) if grant.wagering_required else 100


def wagering_amount(value: Decimal, currency: str) -> str:
    """A wagering figure with its currency; more places than the currency has are shown when they are used."""
    exact = value.quantize(Decimal("0.01"))
    return amount(value, currency) if exact == value else f"{value.normalize():,f} {currency}"


@admin.register(BonusGrant)
class BonusGrantAdmin(PlayerSearchMixin, ViewOnlyAdmin):
    list_display = (
        "shown_number",
        "shown_player",
        "shown_status",
        "shown_principal",
        "shown_balance",
        "shown_progress",
        "shown_expiry",
        "shown_source",
    )
    list_display_links = ("shown_number",)
    list_filter = (
        OpenFilter,
        ("status", MultipleChoicesDropdownFilter),
        CurrencyFilter,
        ("offered_at", UtcDateRangeFilter),
        ("expires_at", UtcDateRangeFilter),
    )
    list_select_related = ("player",)
    search_help_text = "Player id, or #number of the bonus"
    ordering = ("-id",)
    fields = ()
    change_form_template = "admin/wallet/bonusgrant/change_form.html"

    class Media:
        css = {"all": ["wallet/admin.css"]}

    @display(description="Bonus", ordering="id")
    def shown_number(self, grant: BonusGrant) -> str:
        return f"#{grant.pk}"

    @display(description="Player")
    def shown_player(self, grant: BonusGrant) -> SafeString:
        return player_link(grant.player)

    @display(description="Status", ordering="status")
    def shown_status(self, grant: BonusGrant) -> SafeString:
        return status_badge(grant.status)

    @display(description="Granted")
    def shown_principal(self, grant: BonusGrant) -> SafeString:
        return right(shown_amount(grant.principal, "BONUS", grant.currency))

    @display(description="Left")
    def shown_balance(self, grant: BonusGrant) -> SafeString:
        return right(shown_amount(grant.balance, "BONUS", grant.currency))

    @display(description="Wagered")
    def shown_progress(self, grant: BonusGrant) -> SafeString:
        return wagering_bar(grant)

    @display(description="Expires (UTC)", ordering="expires_at")
    def shown_expiry(self, grant: BonusGrant) -> str:
        return f"{grant.expires_at:%Y-%m-%d %H:%M}"

    @display(description="Source")
    def shown_source(self, grant: BonusGrant) -> str:
        return f"{grant.source_type} {grant.source_ref}"

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        grant = self.get_object(request, object_id) if object_id else None
        page = grant_page(grant, request.GET.get("bets_before", "")) if grant else {}
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **page})


def grant_page(grant: BonusGrant, bets_before: str) -> dict[str, Any]:
    """Context of a grant's page. `bets_before` is the id of the bet the table continues below (keyset paging)."""
    code = grant.currency
    counts = WagerCount.objects.filter(grant=grant).select_related("wager").order_by("-id")
    below = counts.filter(pk__lt=int(bets_before)) if bets_before.isascii() and bets_before.isdigit() and len(bets_before) < 19 else counts
    bets = list(below[: _BETS_A_PAGE + 1])
    entries = Entry.objects.filter(movements__grant=grant).select_related("account", "actor").order_by("-id")[:_BETS_A_PAGE]
    now = utc_now()
    is_open = grant.status in OPEN_STATUSES
    return {
        "grant": grant,
        "player_link": player_link(grant.player),
        "status_badge": status_badge(grant.status),
        "bar": wagering_bar(grant),
        "percent": wagered_percent(grant),
        "principal_text": shown_amount(grant.principal, "BONUS", code),
        "balance_text": shown_amount(grant.balance, "BONUS", code),
        "wagered_text": wagering_amount(grant.wagered, code),
        "required_text": wagering_amount(grant.wagering_required, code),
        "left_text": wagering_amount(grant.wagering_required - grant.wagered, code),
        "multiple_text": f"{grant.wagering_required / from_minor(grant.principal, code):.2f}".rstrip("0").rstrip(".") + " ×",
        "max_bet_text": "any stake" if grant.max_bet is None else shown_amount(grant.max_bet, "BONUS", code),
        "games": grant.eligible_games,
        "is_open": is_open,
        "is_due": is_open and grant.expires_at <= now,
        "account_url": page_url("wallet_account", grant.account_id),
        "events": [
            {
                "event": event,
                "badge": status_badge(event.to_status),
                "entry_url": page_url("wallet_entry", event.entry_id) if event.entry_id else "",
            }
            for event in grant.events.select_related("actor").order_by("-id")
        ],
        "entries": entry_rows(entries),
        "bets": [
            {
                "count": count,
                "wager": count.wager,
                "stake": shown_amount(count.wager.stake, "BONUS", code),
                "counted": wagering_amount(count.counted, code),
                "before": wagering_amount(count.progress_before, code),
                "after": wagering_amount(count.progress_after, code),
                "verdict": badge(count.get_verdict_display(), _VERDICT_TONES.get(count.verdict, "warn")),
            }
            for count in bets[:_BETS_A_PAGE]
        ],
        "bet_count": counts.order_by()[: _EXACT_COUNT + 1].count(),
        "bet_count_limit": _EXACT_COUNT,
        "older_bets": bets[_BETS_A_PAGE - 1].pk if len(bets) > _BETS_A_PAGE else None,
        "is_first_bets_page": below is counts,
    }
