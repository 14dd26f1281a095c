"""URLs of players, tiers and activity."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from . import imports, views

router = SimpleRouter(trailing_slash=False)
router.register("players", views.PlayerViewSet, basename="player")
router.register("tiers", views.TierViewSet, basename="tier")
router.register("imports", imports.ImportViewSet, basename="import")

urlpatterns = [
    *router.urls,
    path("import/excel", imports.ImportUploadView.as_view(), name="import-upload"),
    path("activity/payments", views.PaymentsView.as_view(), name="activity-payments"),
    path("activity/sessions", views.SessionsView.as_view(), name="activity-sessions"),
    path("activity/plays", views.PlaysView.as_view(), name="activity-plays"),
    path("activity/totals", views.TotalsView.as_view(), name="activity-totals"),
]
