"""URLs of rules, decisions, grants and batches."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from . import earnings, grants, tier, views

router = SimpleRouter(trailing_slash=False)
router.register("rules", views.RuleViewSet, basename="rule")
router.register("rewards", views.DecisionViewSet, basename="reward")

urlpatterns = [
    *router.urls,
    path("rules/<str:rule_id>/test", views.RuleTestView.as_view({"post": "create"}), name="rule-test"),
    path("players/<str:player_id>/tier", tier.PlayerTierView.as_view(), name="player-tier"),
    path("wallet/add-lp", grants.AddLoyaltyPointsView.as_view(), name="wallet-add-lp"),
    path("wallet/add-bonus", grants.AddBonusView.as_view(), name="wallet-add-bonus"),
    path("wallet/<str:player_id>/earnings", earnings.EarningsView.as_view(), name="wallet-earnings"),
    path("batch/process", grants.BatchView.as_view(), name="batch-process"),
]
