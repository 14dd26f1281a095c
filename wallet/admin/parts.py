"""What the wallet's pages share: search by player, labels, amounts."""

from collections.abc import Sequence
from typing import Any

from django.core.cache import cache
from django.db import connection
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import DropdownFilter

from loyalty_site.common.admin.display import amount, signed_amount
from loyalty_site.common.money import from_minor
from players.models import Player
from wallet.models import GrantStatus, House, Unit
from wallet.values import money_unit

STATUS_TONES: dict[str, str] = {
    GrantStatus.OFFERED: "",
    GrantStatus.QUEUED: "",
    GrantStatus.ACTIVE: "info",
    GrantStatus.WAGERING: "primary",
    GrantStatus.PAUSED: "warn",
    GrantStatus.COMPLETED: "good",
    GrantStatus.REVERSED: "bad",
    GrantStatus.VOIDED: "bad",
    GrantStatus.FORFEITED: "bad",
}
HOUSE_TONES: dict[str, str] = {House.REWARDS: "good", House.MANUAL: "warn", House.PAYOUT: "primary", House.FORFEIT: "bad"}
_PREFIX_MATCHES = 100
_RECENT_ENTRIES = 20_000
_CHOICES_SECONDS = 300


def matching_players(term: str) -> list[int]:
    """Ids of the player with exactly this player id, else of those whose id begins with it (both are index look-ups)."""
    exact = list(Player.objects.filter(external_id=term).values_list("pk", flat=True))
    return exact or list(
        Player.objects.filter(external_id__startswith=term).order_by("external_id").values_list("pk", flat=True)[:_PREFIX_MATCHES]
    )


class PlayerSearchMixin:
    """Search by player id, or by the row's own number. `player_path` leads from the model to the player's key."""

    player_path = "player_id"
    search_fields: Sequence[str] = ("player__external_id",)  # only switches the search box on
    search_help_text = "Player id, or #number of the row"

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        number = term.removeprefix("#")
        if term.startswith("#") and number.isascii() and number.isdigit() and len(number) < 19:
            return queryset.filter(pk=int(number)), False
        return queryset.filter(self.search_condition(term)), False

    def search_condition(self, term: str) -> Q:
        return Q(**{f"{self.player_path}__in": matching_players(term)})


class SourceTypeFilter(DropdownFilter):
    """Kinds of causes among the latest entries; a rare older one can still be given in the address."""

    title = "source"
    parameter_name = "source_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        found = cache.get("wallet:source-types")
        if found is None:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT DISTINCT source_type FROM "
                    "(SELECT source_type FROM wallet_entry ORDER BY id DESC LIMIT %s) AS recent ORDER BY source_type",
                    [_RECENT_ENTRIES],
                )
                found = [row[0] for row in cursor.fetchall()]
            cache.set("wallet:source-types", found, _CHOICES_SECONDS)
        chosen = request.GET.get(self.parameter_name)
        values = found if chosen is None or chosen in found else [*found, chosen]
        return [(value, value) for value in values]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(source_type=self.value()) if self.value() else queryset


def page_url(model: Model | str, pk: int | None = None) -> str:
    """Address of a record's page (or of the list, without `pk`); empty when the admin has none."""
    name = model if isinstance(model, str) else model._meta.label_lower.replace(".", "_")
    try:
        return reverse(f"admin:{name}_change", args=[pk]) if pk is not None else reverse(f"admin:{name}_changelist")
    except NoReverseMatch:
        return ""


def link(text: object, url: str) -> SafeString:
    return format_html('<a class="lb-link" href="{}">{}</a>', url, text) if url else format_html("{}", text)


def player_link(player: Player) -> SafeString:
    return link(player.external_id, page_url("players_player", player.pk))


def unit_text(unit: str, currency: str) -> str:
    return f"{Unit(unit).label} ({currency})" if currency else str(Unit(unit).label)


def shown_amount(minor: int, unit: str, currency: str) -> str:
    """e.g. "1,234.50 EUR", "300.00 LP"."""
    code = money_unit(unit, currency)
    return amount(from_minor(minor, code), code)


def shown_signed(minor: int, unit: str, currency: str) -> SafeString | str:
    code = money_unit(unit, currency)
    return signed_amount(from_minor(minor, code), code)


def right(text: object) -> SafeString:
    """Figures of a column stand under each other."""
    return format_html('<div class="lb-num">{}</div>', text)
