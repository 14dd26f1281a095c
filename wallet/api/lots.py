"""Points in lots over HTTP: what players have and until when, and what ends soon."""

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import generics, serializers

from loyalty_site.common.api.filters import InstantFilter
from loyalty_site.common.clock import utc_now
from loyalty_site.common.money import from_minor
from wallet import selectors
from wallet.models import Lot
from wallet.points.policies import UNITS

_AMOUNT = {"type": "string", "format": "decimal"}
_LONGEST_DAYS = 366
_DEFAULT_DAYS = 14
_EXAMPLE = {
    "id": 815,
    "player_id": "P001",
    "unit": "RP",
    "granted": "100.00",
    "remaining": "30.00",
    "status": "ACTIVE",
    "earned_at": "2026-01-10T12:00:00Z",
    "available_at": "2026-01-10T12:00:00Z",
    "expires_at": "2026-02-01T00:00:00Z",
    "warned_at": "2026-01-18T00:05:00Z",
    "closed_at": None,
    "restores": None,
    "source_type": "reward",
    "source_ref": "4711",
}


class LotSerializer(serializers.ModelSerializer):
    """One credit of points or tickets, and what is left of it."""

    player_id = serializers.CharField(source="player.external_id")
    unit = serializers.CharField(source="account.unit")
    granted = serializers.SerializerMethodField()
    remaining = serializers.SerializerMethodField()

    class Meta:
        model = Lot
        fields = list(_EXAMPLE)
        extra_kwargs = {
            "available_at": {"help_text": "Empty: until its event arrives."},
            "expires_at": {"help_text": "First instant at which it cannot be used any more; empty: never."},
            "restores": {"help_text": "The lot that it gives back."},
        }

    @extend_schema_field(_AMOUNT)
    def get_granted(self, lot: Lot) -> str:
        return str(from_minor(lot.qty, lot.account.unit))

    @extend_schema_field(_AMOUNT)
    def get_remaining(self, lot: Lot) -> str:
        return str(from_minor(lot.remaining, lot.account.unit))


class LotFilter(filters.FilterSet):
    player_id = filters.CharFilter("player__external_id")
    unit = filters.ChoiceFilter(field_name="account__unit", choices=[(unit, unit) for unit in UNITS])
    status = filters.MultipleChoiceFilter(choices=Lot.Status.choices)
    expires_from = InstantFilter("expires_at", lookup_expr="gte")
    expires_to = InstantFilter("expires_at", lookup_expr="lt")

    class Meta:
        model = Lot
        fields: list[str] = []


class ExpiringFilter(filters.FilterSet):
    unit = filters.ChoiceFilter(field_name="account__unit", choices=[(unit, unit) for unit in UNITS])
    player_id = filters.CharFilter("player__external_id")
    within_days = filters.NumberFilter(
        method="keep",
        min_value=1,
        max_value=_LONGEST_DAYS,
        label=f"Lots that end within so many days from now, 1 to {_LONGEST_DAYS}; {_DEFAULT_DAYS} when left out.",
    )
    warned_from = InstantFilter("warned_at", lookup_expr="gte")
    warned_to = InstantFilter("warned_at", lookup_expr="lt")

    class Meta:
        model = Lot
        fields: list[str] = []

    def keep(self, found: QuerySet[Lot], name: str, value: Any) -> QuerySet[Lot]:
        return found

    def filter_queryset(self, queryset: QuerySet[Lot]) -> QuerySet[Lot]:
        days = self.form.cleaned_data.get("within_days") or _DEFAULT_DAYS
        found: QuerySet[Lot] = super().filter_queryset(queryset.filter(expires_at__lte=utc_now() + timedelta(days=int(days))))
        return found


@extend_schema_view(get=extend_schema(examples=[OpenApiExample("partly used", response_only=True, value=_EXAMPLE)]))
class LotsView(generics.ListAPIView):
    """Lots of points and tickets, newest first. The sum of `remaining` of a player's active lots is the balance."""

    access = {"read": ("wallet:read", "wallet.view_lot")}
    queryset = Lot.objects.select_related("player", "account")
    serializer_class = LotSerializer
    filterset_class = LotFilter
    ordering_fields = ["id"]


@extend_schema_view(get=extend_schema(examples=[OpenApiExample("ends soon", response_only=True, value=_EXAMPLE)]))
class ExpiringView(generics.ListAPIView):
    """Active lots that end soon, the earliest first, of players who may be told.

    `warned_at` is set once by the hourly job, when a lot comes within the warning days of its policy: with `warned_from` it is the list
    of warnings to send since then. Players under an exclusion, a cool-off or a harm flag are left out.
    """

    access = {"read": ("wallet:read", "wallet.view_lot")}
    queryset = Lot.objects.none()
    serializer_class = LotSerializer
    filterset_class = ExpiringFilter
    ordering_fields = ["expires_at"]
    ordering = ["expires_at", "id"]

    def get_queryset(self) -> QuerySet[Lot]:
        return selectors.expiring_soon(at=utc_now(), within=timedelta(days=_LONGEST_DAYS))
