"""Filters of ledger entries and grants."""

from django_filters import rest_framework as filters

from loyalty_site.common.api.filters import InstantFilter
from wallet.models import BonusGrant, Entry, GrantStatus, House, Unit


class EntryFilter(filters.FilterSet):
    player_id = filters.CharFilter("account__player__external_id")
    unit = filters.ChoiceFilter(field_name="account__unit", choices=Unit.choices)
    house = filters.MultipleChoiceFilter(choices=House.choices)
    source_type = filters.CharFilter()
    occurred_from = InstantFilter("occurred_at", lookup_expr="gte")
    occurred_to = InstantFilter("occurred_at", lookup_expr="lt")

    class Meta:
        model = Entry
        fields: list[str] = []


class GrantFilter(filters.FilterSet):
    player_id = filters.CharFilter("player__external_id")
    status = filters.MultipleChoiceFilter(choices=GrantStatus.choices)
    currency = filters.CharFilter()

    class Meta:
        model = BonusGrant
        fields: list[str] = []
