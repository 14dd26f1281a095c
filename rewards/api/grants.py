"""Points and bonuses that an integrator or a member of staff asks for, and batches of players. All through the gates."""

from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from loyalty_site.common.api.authentication import actor_of, client_of
from loyalty_site.common.api.idempotency import IdempotentWriteMixin
from loyalty_site.common.api.problems import CONTENT_TYPE, Problem, conflict, field_problem, problem_body
from loyalty_site.common.clock import utc_now
from loyalty_site.common.money import MoneyError
from players.models import Player
from players.services import classify_segments_for, refresh_metrics_for
from rewards import services
from rewards.granting.by_hand import GRANT_PERMISSION
from rewards.models import DecisionStatus, Unit

from . import serializers as shapes
from .views import player_of


class _GrantView(IdempotentWriteMixin, APIView):
    access = {"write": ("wallet:write", GRANT_PERMISSION)}
    unit: str
    shape: type[Serializer]

    def grant(self, request: Request) -> Response:
        body = self.shape(data=request.data)
        body.is_valid(raise_exception=True)
        player, values = player_of(body), body.validated_data
        terms = {
            name: values[name]
            for name in ("wagering_multiple", "expiry_hours", "max_bet", "eligible_games", "bonus_template")
            if name in values
        }
        try:
            decision = services.grant_by_hand(
                player_id=player.pk,
                unit=self.unit,
                amount=values["amount"],
                reason=values["reason"],
                key=values["reference"],
                at=utc_now(),
                actor=actor_of(request),
                api_client=client_of(request),
                **terms,
            )
        except services.KeyConflict as error:
            raise conflict(str(error), slug="reference-reused") from error
        except MoneyError as error:
            raise field_problem("amount", str(error), "Send an amount that the currency can express.") from error
        except ValueError as error:
            raise Problem(422, "grant-refused", "The grant was refused", str(error)) from error
        data = shapes.DecisionSerializer(decision).data
        if decision.status == DecisionStatus.REFUSED:
            # an answer, not an exception: the decision and its verdicts stay on record
            reasons = [verdict for verdict in decision.verdicts if verdict["name"] == decision.refused_by]
            detail = f"{decision.refused_by}: {reasons[0]['reason'] if reasons else 'refused'}"
            problem = problem_body(422, "reward-refused", "A gate refused the reward", detail, [], decision=data)
            return Response(problem, status=422, content_type=CONTENT_TYPE)
        return Response(data, status=201)


class AddLoyaltyPointsView(_GrantView):
    unit = Unit.LP
    shape = shapes.AddPointsSerializer

    @extend_schema(request=shapes.AddPointsSerializer, responses={201: shapes.DecisionSerializer})
    def post(self, request: Request) -> Response:
        """Give loyalty points. The answer tells whether they were issued or wait for approval."""
        return self.grant(request)


class AddBonusView(_GrantView):
    unit = Unit.BONUS
    shape = shapes.AddBonusSerializer

    @extend_schema(request=shapes.AddBonusSerializer, responses={201: shapes.DecisionSerializer})
    def post(self, request: Request) -> Response:
        """Give bonus money under terms. The answer tells whether it was issued or waits for approval."""
        return self.grant(request)


class BatchView(IdempotentWriteMixin, APIView):
    access = {"write": ("batch:run", "common.rerun_jobrun")}

    @extend_schema(request=shapes.BatchSerializer, responses=shapes.BatchAnswerSerializer)
    def post(self, request: Request) -> Response:
        """Measure and segment some players now, and evaluate rewards for them if asked."""
        body = shapes.BatchSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        wanted = list(dict.fromkeys(body.validated_data["player_ids"]))
        ids = dict(Player.objects.filter(external_id__in=wanted).values_list("external_id", "pk"))
        if missing := [one for one in wanted if one not in ids]:
            shown = ", ".join(missing[:5]) + (" ..." if len(missing) > 5 else "")
            raise field_problem("player_ids", f"{len(missing)} unknown: {shown}", "Leave them out, or create the players first.")
        now, keys = utc_now(), sorted(ids.values())
        refresh_metrics_for(keys, now)
        segments = classify_segments_for(keys, now)
        rewards: dict[str, Any] = {}
        if body.validated_data["trigger_rewards"]:
            result = services.evaluate_for(keys, now, issue_now=True)
            rewards = {name: getattr(result, name) for name in ("proposed", "duplicates", "refused", "auto_approved", "pending", "issued")}
        return Response({"players": len(keys), "segments": _counts(segments), "rewards": rewards})


def _counts(figures: dict[str, Any]) -> dict[str, int]:
    return {name: int(value) for name, value in figures.items() if isinstance(value, (int, Decimal))}
