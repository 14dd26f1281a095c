"""URLs of the wallet."""

from django.urls import path

from . import views
from .funnel import BonusFunnelView
from .payouts import ConfirmPayoutView, PayoutsView

urlpatterns = [
    path("wallet/entries", views.EntriesView.as_view(), name="wallet-entries"),
    path("wallet/grants", views.GrantsView.as_view(), name="wallet-grants"),
    path("wallet/wagers", views.WagersView.as_view(), name="wallet-wagers"),
    path("wallet/spend", views.SpendView.as_view(), name="wallet-spend"),
    path("wallet/reports/bonus-funnel", BonusFunnelView.as_view(), name="wallet-bonus-funnel"),
    path("wallet/payouts", PayoutsView.as_view(), name="wallet-payouts"),
    path("wallet/payouts/<path:key>/confirm", ConfirmPayoutView.as_view(), name="wallet-payout-confirm"),
    path("wallet/<str:player_id>/balances", views.BalancesView.as_view(), name="wallet-balances"),
]
