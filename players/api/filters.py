"""Filters of the player list."""

from django_filters import rest_framework as filters

from loyalty_site.common.api.filters import InstantFilter, IntegerFilter
from players.models import Player, Segment


class PlayerFilter(filters.FilterSet):
    player_id = filters.CharFilter("external_id", lookup_expr="startswith", help_text="Beginning of the player id.")
    segment = filters.MultipleChoiceFilter(choices=Segment.choices)
    status = filters.MultipleChoiceFilter(choices=Player.Status.choices)
    tier = filters.CharFilter("tier__name", lookup_expr="iexact")
    country = filters.CharFilter("country", lookup_expr="iexact")
    risk_score_min = IntegerFilter("risk_score", lookup_expr="gte", min_value=0, max_value=100)
    risk_score_max = IntegerFilter("risk_score", lookup_expr="lte", min_value=0, max_value=100)
    registered_from = InstantFilter("registered_at", lookup_expr="gte")
    registered_to = InstantFilter("registered_at", lookup_expr="lt")

    class Meta:
        model = Player
        fields: list[str] = []
