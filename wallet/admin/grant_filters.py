"""Filters of the list of bonuses. Each stays on an index or a small table, whatever the number of grants."""

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter

from loyalty_site.common.admin.filters import ValuesFilter
from loyalty_site.common.clock import utc_now
from wallet.models import OPEN_STATUSES, WAITING_STATUSES, BonusGrant, BonusTemplate, WalletFlag

_WITHIN = {"1": "Within a day", "3": "Within 3 days", "7": "Within 7 days", "30": "Within 30 days"}


class CurrencyFilter(ValuesFilter):
    title = "currency"
    parameter_name = "currency"
    table = "wallet_account"


class StateFilter(DropdownFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("waiting", "Offered or queued"), ("open", "Open"), ("closed", "Closed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[BonusGrant]) -> QuerySet[BonusGrant]:
        if self.value() == "waiting":
            return queryset.filter(status__in=WAITING_STATUSES)
        if self.value() == "open":
            return queryset.filter(status__in=OPEN_STATUSES)
        return queryset.filter(closed_at__isnull=False) if self.value() == "closed" else queryset


class EndsFilter(DropdownFilter):
    """Bonuses that are not closed and whose time ends soon, the overdue included."""

    title = "expiring"
    parameter_name = "ends"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(_WITHIN.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[BonusGrant]) -> QuerySet[BonusGrant]:
        if self.value() not in _WITHIN:
            return queryset
        end = utc_now() + timedelta(days=int(self.value() or 0))
        return queryset.filter(status__in=OPEN_STATUSES + WAITING_STATUSES, expires_at__lt=end)


class TemplateFilter(DropdownFilter):
    title = "template"
    parameter_name = "template"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            *((str(pk), name) for pk, name in BonusTemplate.objects.order_by("name").values_list("pk", "name")),
            ("none", "No template"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[BonusGrant]) -> QuerySet[BonusGrant]:
        value = self.value() or ""
        if value == "none":
            return queryset.filter(template_version__isnull=True)
        return queryset.filter(template_version__template_id=int(value)) if value.isascii() and value.isdigit() else queryset


class FlagFilter(DropdownFilter):
    title = "flag"
    parameter_name = "flag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("any", "Has a flag"), *WalletFlag.Kind.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[BonusGrant]) -> QuerySet[BonusGrant]:
        flags = WalletFlag.objects.filter(grant__isnull=False).order_by()
        if self.value() in WalletFlag.Kind.values:
            flags = flags.filter(kind=self.value())
        elif self.value() != "any":
            return queryset
        return queryset.filter(pk__in=flags.values("grant_id"))
