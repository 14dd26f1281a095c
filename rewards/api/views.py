"""Rules and decisions over HTTP."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, viewsets
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from loyalty_site.common.api.authentication import actor_of, client_of
from loyalty_site.common.api.idempotency import IdempotentWriteMixin
from loyalty_site.common.api.problems import Problem, conflict, field_problem
from loyalty_site.common.clock import utc_now
from players.models import Player
from rewards import rule_services, rule_testing, services
from rewards.models import RewardDecision, RewardRule
from rewards.rules.problems import RuleError

from . import serializers as shapes
from .filters import DecisionFilter, RuleFilter

_HEADER = ("name", "description", "priority", "valid_from", "valid_to")
_CONTENT = ("conditions", "reward_config", "period", "cooldown_hours", "stacking_group", "player_budget", "total_budget")


def rule_problem(error: RuleError) -> Problem:
    errors = [{"field": one.place, "detail": one.message, "remedy": one.remedy} for one in error.problems]
    return Problem(400, "rule-invalid", "The rule has errors", str(error), errors=errors)


class RuleViewSet(IdempotentWriteMixin, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Reward rules, addressed by rule_id. A change of contents makes a new version."""

    queryset = RewardRule.objects.select_related("current_version").filter(current_version__isnull=False)
    serializer_class = shapes.RuleSerializer
    filterset_class = RuleFilter
    lookup_field = "rule_id"
    lookup_value_regex = "[^/]+"
    ordering_fields = ["id", "priority"]
    access = {
        "read": ("rules:read", "rewards.view_rewardrule"),
        "create": ("rules:write", "rewards.add_rewardrule"),
        "destroy": ("rules:write", "rewards.change_rewardrule"),
        "write": ("rules:write", "rewards.change_rewardrule"),
    }

    @extend_schema(request=shapes.RuleCreateSerializer, responses={201: shapes.RuleSavedSerializer})
    def create(self, request: Request) -> Response:
        """Create a rule."""
        body = shapes.RuleCreateSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        rule_id = body.validated_data["rule_id"]
        if RewardRule.objects.filter(rule_id=rule_id).exists():
            raise conflict(f"rule {rule_id} exists already; change it with PUT or PATCH", slug="rule-exists")
        return self._save(request, rule_id, body.validated_data, status=201)

    @extend_schema(request=shapes.RuleWriteSerializer, responses=shapes.RuleSavedSerializer)
    def update(self, request: Request, rule_id: str) -> Response:
        """Replace a rule."""
        self.get_object()
        body = shapes.RuleWriteSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        return self._save(request, rule_id, body.validated_data)

    @extend_schema(request=shapes.RuleWriteSerializer, responses=shapes.RuleSavedSerializer)
    def partial_update(self, request: Request, rule_id: str) -> Response:
        """Change the fields that are sent."""
        rule = self.get_object()
        body = shapes.RuleWriteSerializer(data=request.data, partial=True)
        body.is_valid(raise_exception=True)
        stored = {name: getattr(rule, name) for name in (*_HEADER, "is_active")}
        stored |= {name: getattr(rule.current_version, name) for name in _CONTENT}
        return self._save(request, rule_id, stored | {"reason": "Changed over the API"} | body.validated_data)

    @extend_schema(request=None, responses=shapes.RuleSerializer)
    def destroy(self, request: Request, rule_id: str) -> Response:
        """Switch a rule off for good. It is not deleted: rewards keep the version they came from."""
        rule = self.get_object()
        if rule.is_active:
            rule_services.set_active(rule, False, at=utc_now(), caller=self._caller(request, "Deleted over the API"))
        return Response(shapes.RuleSerializer(self.get_queryset().get(pk=rule.pk)).data)

    def _caller(self, request: Request, reason: str) -> rule_services.Caller:
        return rule_services.Caller(actor=actor_of(request), api_client=client_of(request), reason=reason)

    def _save(self, request: Request, rule_id: str, values: dict[str, Any], status: int = 200) -> Response:
        caller, now = self._caller(request, values["reason"]), utc_now()
        header = rule_services.RuleHeader(**{name: values[name] for name in _HEADER})
        content = rule_services.RuleContent(**{name: values[name] for name in _CONTENT})
        try:
            saved = rule_services.save_rule(rule_id, header, content, at=now, caller=caller)
            if saved.rule.is_active != values["is_active"]:
                rule_services.set_active(saved.rule, values["is_active"], at=now, caller=caller)
        except RuleError as error:
            raise rule_problem(error) from error
        except rule_services.RuleRefused as error:
            raise Problem(422, "rule-refused", "The rule was refused", str(error)) from error
        rule = self.get_queryset().get(pk=saved.rule.pk)
        warnings = [str(warning) for warning in saved.warnings]
        return Response({**shapes.RuleSerializer(rule).data, "warnings": warnings}, status=status)


class RuleTestView(viewsets.ViewSet):
    """Tries a rule; nothing is written, so no idempotency key is needed."""

    access = {"write": ("rules:test", "rewards.test_rule")}
    idempotency_required = False

    @extend_schema(request=shapes.RuleTestSerializer, responses={200: {"type": "object", "additionalProperties": True}})
    def create(self, request: Request, rule_id: str) -> Response:
        """Test a rule on one player (each condition, the formula, each gate) or on all players (matches, cost, segments)."""
        rule = get_object_or_404(RewardRule.objects.select_related("current_version"), rule_id=rule_id, current_version__isnull=False)
        body = shapes.RuleTestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        version, now = rule.current_version, utc_now()
        assert version is not None  # filtered above
        try:
            compiled = rule_services.compile_version(version)
        except RuleError as error:
            raise rule_problem(error) from error
        player_id = body.validated_data.get("player_id")
        if player_id is None:
            return Response(rule_testing.try_on_all(compiled, as_of=now).to_json())
        try:
            found = rule_testing.try_on_player(compiled, player_id, as_of=now)
        except rule_testing.UnknownPlayer as error:
            raise field_problem("player_id", str(error), "Use the id of a player; GET /players lists them.") from error
        gates = services.preview_gates(version, Player.objects.get(external_id=player_id).pk, now)
        amount = None if gates.amount is None else str(gates.amount)
        shown = {"status": gates.status, "refused_by": gates.refused_by, "amount": amount, "verdicts": gates.verdicts}
        return Response({**found.to_json(), "gates": shown})


class DecisionViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Rewards: proposed, refused, waiting, issued; each with the verdict of every gate."""

    queryset = RewardDecision.objects.select_related("player", "rule", "rule_version")
    serializer_class = shapes.DecisionSerializer
    filterset_class = DecisionFilter
    lookup_value_regex = "[^/]+"
    ordering_fields = ["id"]
    access = {"read": ("rewards:read", "rewards.view_rewarddecision")}


def player_of(body: Serializer) -> Player:
    external_id = body.validated_data["player_id"]
    player = Player.objects.filter(external_id=external_id).first()
    if player is None:
        raise field_problem("player_id", f"there is no player {external_id!r}", "Create the player first, or correct the id.")
    return player
