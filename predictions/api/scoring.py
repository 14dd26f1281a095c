"""Scoring somebody who is not in the database: churn from described features, lifetime value from a described customer or from deposits."""

from collections.abc import Callable
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from loyalty_site.common.api.parsers import UniqueKeysParser
from loyalty_site.common.api.problems import Problem
from loyalty_site.common.clock import utc_now
from predictions import deposit_value, services
from predictions.bounds import advice_bounds
from predictions.ml import advice
from predictions.models import Kind

from . import examples, query
from .kinds.base import amount, probability, reason_in_json, shares
from .kinds.churn import INTERVAL_LEVEL
from .profile_shapes import (
    ChurnProfileSerializer,
    ChurnScoreSerializer,
    ClvProfileSerializer,
    ClvScoreSerializer,
    DepositorScoreSerializer,
    DepositorSerializer,
)
from .told import outward

_ACCESS = {"write": ("predictions:score", "predictions.score_profile")}


def _scored(score: Callable[[], services.ProfileScore], prefix: str = "") -> services.ProfileScore:
    """Raises 400 for a profile that cannot be read, 409 while there is no model."""
    try:
        return score()
    except services.InvalidProfile as error:
        named = {name if name == "currency" else prefix + name: message for name, message in error.errors.items()}
        raise serializers.ValidationError(named) from error
    except services.Unavailable as error:
        raise Problem(409, "withheld", "This prediction is withheld", outward(error.reason)) from error


def _basis(found: services.ProfileScore) -> dict[str, Any]:
    sizes = advice.normalized({reason.feature: reason.contribution for reason in found.reasons})
    return {
        "feature_importance": shares(sizes),
        "drivers": [reason_in_json(reason) for reason in found.reasons],
        "missing": found.missing,
        "model_id": found.version_id,
        "is_synthetic": found.is_synthetic,
    }


class ScoreView(APIView):
    """Takes one JSON body and no parameter beside it: a threshold in the address would be ignored."""

    access = _ACCESS
    parser_classes = (UniqueKeysParser,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        query.checked(query.Query, request.query_params)


class ChurnScoreView(ScoreView):
    @extend_schema(
        summary="Score a described player for churn.",
        request=ChurnProfileSerializer,
        responses=ChurnScoreSerializer,
        examples=[
            OpenApiExample("a quiet player", value=examples.CHURN_PROFILE, request_only=True),
            OpenApiExample("likely to leave", value=examples.CHURN_SCORE, response_only=True, status_codes=["200"]),
        ],
    )
    def post(self, request: Request) -> Response:
        """The churn probability of features that you describe, by the model in use. Writes nothing, so it needs no idempotency key.

        What is left out counts as unknown and is listed in `missing`. Priority and recommendation need `user_value`.
        """
        body = ChurnProfileSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        values = body.validated_data
        profile = dict(values["features"])
        if values.get("currency"):
            profile["currency"] = values["currency"]
        found = _scored(lambda: services.score_profile(Kind.CHURN, profile), "features.")
        return Response(self._answer(found, values))

    def _answer(self, found: services.ProfileScore, values: dict[str, Any]) -> dict[str, Any]:
        limits = advice_bounds()
        chance = float(found.answer["probability"])
        bound = limits.churn if values.get("threshold") is None else values["threshold"]
        worth, idle = values.get("user_value"), values["features"].get("days_since_last_activity")
        return {
            "churn_probability": probability(chance),
            "churn_label": advice.churn_label(chance, bound),
            "confidence": advice.churn_confidence(chance, bound),
            "probability_interval": {
                "min": probability(found.answer["lower"]),
                "max": probability(found.answer["upper"]),
                "level": INTERVAL_LEVEL,
            },
            "risk_level": advice.risk_level(chance, limits),
            "priority_score": None if worth is None else probability(advice.priority(chance, worth, limits)),
            "estimated_impact": None if worth is None else amount(advice.estimated_impact(chance, worth)),
            "retention_recommendation": None
            if worth is None or idle is None
            else advice.retention_recommendation(chance, worth, int(idle), limits),
            "threshold_used": bound,
            **_basis(found),
        }


class ClvScoreView(ScoreView):
    @extend_schema(
        summary="Score a described customer for lifetime value.",
        request=ClvProfileSerializer,
        responses=ClvScoreSerializer,
        examples=[
            OpenApiExample("a customer of a bank", value=examples.CLV_PROFILE, request_only=True),
            OpenApiExample("the value", value=examples.CLV_SCORE, response_only=True, status_codes=["200"]),
        ],
    )
    def post(self, request: Request) -> Response:
        """The lifetime value of a customer with products and transactions, with interval, confidence and drivers.

        Writes nothing, so it needs no idempotency key. Amounts are in the currency that the profile is written in.
        """
        body = ClvProfileSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        profile = body.plain()
        customer = profile.pop("customer_id", None)
        found = _scored(lambda: services.score_profile(Kind.PROFILE, profile))
        answer = found.answer
        return Response(
            {
                "customer_id": customer,
                "predicted_clv": amount(answer["value"]),
                "confidence_score": probability(answer["confidence"]),
                "clv_interval": {"min": amount(answer["low"]), "max": amount(answer["high"]), "level": answer["level"]},
                "outside": answer["outside"],
                **_basis(found),
            }
        )


class LtvScoreView(ScoreView):
    @extend_schema(
        summary="Score a player described by deposits for lifetime value.",
        request=DepositorSerializer,
        responses=DepositorScoreSerializer,
        examples=[
            OpenApiExample("a depositor", value=examples.DEPOSITOR, request_only=True),
            OpenApiExample("the value", value=examples.DEPOSITOR_SCORE, response_only=True, status_codes=["200"]),
        ],
    )
    def post(self, request: Request) -> Response:
        """The value of the next 365 days by the operator's own purchase model (BG/NBD, Gamma-Gamma), of somebody whose deposits you give.

        Writes nothing, so it needs no idempotency key. The interval is P10 to P90 of simulated futures. The amount of the first deposit
        day is not used (`amounts_used`). 409 while values are withheld.
        """
        body = DepositorSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        found = _scored(lambda: deposit_value.score_deposits(body.plain(), utc_now()))
        answer = found.answer
        return Response(
            {
                "player_id": body.validated_data.get("player_id"),
                "currency": answer["currency"],
                "predicted_ltv": amount(answer["value"]),
                "ltv_interval": {"min": amount(answer["low"]), "max": amount(answer["high"]), "level": answer["level"]},
                "median_ltv": amount(answer["median"]),
                "confidence_score": None,
                "probability_active": None if answer["alive"] is None else probability(answer["alive"]),
                "expected_deposit_days": round(answer["purchases"], 2),
                "amounts_used": answer["amounts_used"],
                "outside": answer["outside"],
                **_basis(found),
            }
        )
