"""Predictions over HTTP: a page of all players, and one player, of each kind."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from loyalty_site.common.api.problems import CONTENT_TYPE, ProblemSerializer
from loyalty_site.common.clock import utc_now
from predictions.models import Kind

from . import examples, kinds, query, reading
from .envelope import envelope_shape
from .kinds.base import Prediction

# who looks like an abuser is told to fewer systems than who may leave: fraud has a scope of its own, as it has a permission of its own
SCOPES = {Kind.FRAUD: "fraud:read"}
SCOPE = "predictions:read"
_PLAYER_ID = OpenApiParameter(
    "player_id", {"type": "string", "minLength": 1, "maxLength": 64}, OpenApiParameter.PATH, description="The operator's id of the player."
)

_PAGE_WORDS = (
    "Of the current scoring run, computed before: no model runs. While the kind is withheld (too little history, no model yet) the "
    'answer is 200 with status "withheld", no results, and the reason in `errors`.'
)
_PLAYER_WORDS = (
    "With history and reasons; reasons that the night did not store are computed now. 404: no such player, or no score of him in the "
    "current run. 409: the kind is withheld."
)


class PredictView(APIView):
    """A page of the current scoring run."""

    prediction: Prediction

    def get(self, request: Request) -> Response:
        values = query.checked(self.prediction.query, request.query_params)
        return Response(reading.page_of(self.prediction, values, utc_now()))


class PlayerView(APIView):
    """What the current scoring run says of one player."""

    prediction: Prediction

    def get(self, request: Request, player_id: str) -> Response:
        values = query.checked(query.player_query(self.prediction.threshold), request.query_params)
        return Response(reading.one_player(self.prediction, player_id, values, utc_now()))


def _scope(prediction: Prediction) -> str:
    return SCOPES.get(prediction.kind, SCOPE)


def _page(prediction: Prediction, permission: str, summary: str) -> type[PredictView]:
    """The list of a kind, documented."""
    view = type(
        f"{type(prediction).__name__}PredictView",
        (PredictView,),
        {"prediction": prediction, "access": {"read": (_scope(prediction), permission)}, "__doc__": summary},
    )
    return extend_schema(
        summary=summary,
        description=f"{summary} {_PAGE_WORDS} Scope `{_scope(prediction)}`.",
        parameters=[prediction.query],
        responses=envelope_shape(prediction),
        examples=[OpenApiExample("a page", value=examples.page(prediction.kind), response_only=True)],
    )(view)


def _player(prediction: Prediction, permission: str, summary: str) -> type[PlayerView]:
    """One player of a kind, documented."""
    view: Any = type(
        f"{type(prediction).__name__}PlayerView",
        (PlayerView,),
        {"prediction": prediction, "access": {"read": (_scope(prediction), permission)}, "__doc__": summary},
    )
    return extend_schema(
        summary=summary,
        description=f"{summary} {_PLAYER_WORDS} Scope `{_scope(prediction)}`.",
        parameters=[_PLAYER_ID, query.player_query(prediction.threshold)],
        responses={200: envelope_shape(prediction, single=True), (409, CONTENT_TYPE): ProblemSerializer},
        examples=[OpenApiExample("a player", value=examples.player(prediction.kind), response_only=True, status_codes=["200"])],
    )(view)


_KINDS: dict[str, tuple[Prediction, str, str]] = {
    Kind.CHURN: (kinds.Churn(), "predictions.view_churnscore", "Who is about to leave"),
    Kind.LTV: (kinds.Ltv(), "predictions.view_valuescore", "What players will bring"),
    Kind.FRAUD: (kinds.Fraud(), "predictions.view_fraudscore", "Whose behaviour looks like abuse"),
    Kind.SEGMENTATION: (kinds.Segmentation(), "predictions.view_segmentscore", "Which group players belong to and where they move"),
    Kind.ENGAGEMENT: (kinds.Engagement(), "predictions.view_engagementscore", "Who will be active within the next 7 days"),
}
PAGES = {str(kind): _page(one, permission, f"{words}.") for kind, (one, permission, words) in _KINDS.items()}
PLAYERS = {str(kind): _player(one, permission, f"{words}: one player.") for kind, (one, permission, words) in _KINDS.items()}
