"""URLs of predictions."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from . import scoring, versions, views

router = SimpleRouter(trailing_slash=False)
router.register("predictions/models", versions.ModelViewSet, basename="prediction-model")

urlpatterns = [
    *router.urls,
    *(path(f"predictions/{kind}/predict", view.as_view(), name=f"{kind}-predict") for kind, view in views.PAGES.items()),
    *(path(f"predictions/{kind}/players/<str:player_id>", view.as_view(), name=f"{kind}-player") for kind, view in views.PLAYERS.items()),
    path("predictions/churn/score", scoring.ChurnScoreView.as_view(), name="churn-score"),
    path("predictions/clv/score", scoring.ClvScoreView.as_view(), name="clv-score"),
    path("predictions/ltv/score", scoring.LtvScoreView.as_view(), name="ltv-score"),
    path("predictions/health", versions.HealthView.as_view(), name="predictions-health"),
]
