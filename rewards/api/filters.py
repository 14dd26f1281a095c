"""Filters of rules and decisions."""

from django_filters import rest_framework as filters

from loyalty_site.common.api.filters import InstantFilter, StrictBooleanFilter
from rewards.models import DecisionStatus, RewardDecision, RewardRule, Unit


class RuleFilter(filters.FilterSet):
    is_active = StrictBooleanFilter()
    rule_id = filters.CharFilter(lookup_expr="startswith", help_text="Beginning of the rule id.")

    class Meta:
        model = RewardRule
        fields: list[str] = []


class DecisionFilter(filters.FilterSet):
    player_id = filters.CharFilter("player__external_id")
    rule_id = filters.CharFilter("rule__rule_id")
    status = filters.MultipleChoiceFilter(choices=DecisionStatus.choices)
    source = filters.MultipleChoiceFilter(choices=RewardDecision.Source.choices)
    unit = filters.ChoiceFilter(choices=Unit.choices)
    proposed_from = InstantFilter("proposed_at", lookup_expr="gte")
    proposed_to = InstantFilter("proposed_at", lookup_expr="lt")

    class Meta:
        model = RewardDecision
        fields: list[str] = []
