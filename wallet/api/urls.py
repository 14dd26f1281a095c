"""URLs of the wallet."""

from django.urls import path

from . import activity, catalogue, grants, reports, views
from .funnel import BonusFunnelView
from .lots import ExpiringView, LotsView
from .offers import GrantsView
from .payouts import ConfirmPayoutView, PayoutsView

urlpatterns = [
    path("wallet/entries", views.EntriesView.as_view(), name="wallet-entries"),
    path("wallet/grants", GrantsView.as_view(), name="wallet-grants"),
    path("wallet/grants/<int:grant_id>", grants.GrantView.as_view(), name="wallet-grant"),
    path("wallet/grants/<int:grant_id>/claim", grants.ClaimView.as_view(), name="wallet-grant-claim"),
    path("wallet/grants/<int:grant_id>/surrender", grants.SurrenderView.as_view(), name="wallet-grant-surrender"),
    path("wallet/wagers", views.WagersView.as_view(), name="wallet-wagers"),
    path("wallet/events", activity.EventsView.as_view(), name="wallet-events"),
    path("wallet/events/casino", activity.CasinoEventsView.as_view(), name="wallet-casino-events"),
    path("wallet/events/bonus", activity.BonusEventsView.as_view(), name="wallet-bonus-events"),
    path("wallet/quote", activity.QuoteView.as_view(), name="wallet-quote"),
    path("wallet/grants/<int:grant_id>/explanation", activity.ExplanationView.as_view(), name="wallet-explanation"),
    path("wallet/grants/<int:grant_id>/explanation.csv", activity.ExplanationCsvView.as_view(), name="wallet-explanation-csv"),
    path("wallet/lots", LotsView.as_view(), name="wallet-lots"),
    path("wallet/expiring", ExpiringView.as_view(), name="wallet-expiring"),
    path("wallet/spend", views.SpendView.as_view(), name="wallet-spend"),
    path("wallet/reports/bonus-funnel", BonusFunnelView.as_view(), name="wallet-bonus-funnel"),
    path("wallet/catalogue", catalogue.CatalogueView.as_view(), name="wallet-catalogue"),
    path("wallet/redemptions", catalogue.RedemptionsView.as_view(), name="wallet-redemptions"),
    path("wallet/redemptions/<int:redemption_id>/cancel", catalogue.CancelRedemptionView.as_view(), name="wallet-redemption-cancel"),
    path("wallet/reports/liability", reports.LiabilityView.as_view(), name="wallet-liability"),
    path("wallet/reports/roll-forward", reports.RollForwardView.as_view(), name="wallet-roll-forward"),
    path("wallet/payouts", PayoutsView.as_view(), name="wallet-payouts"),
    path("wallet/payouts/<path:key>/confirm", ConfirmPayoutView.as_view(), name="wallet-payout-confirm"),
    path("wallet/<str:player_id>/forfeit-preview", grants.ForfeitPreviewView.as_view(), name="wallet-forfeit-preview"),
    path("wallet/<str:player_id>/withdrawals", grants.WithdrawalsView.as_view(), name="wallet-withdrawals"),
    path("wallet/<str:player_id>/deposit-reversals", grants.DepositReversalsView.as_view(), name="wallet-deposit-reversals"),
    path("wallet/<str:player_id>/balances", views.BalancesView.as_view(), name="wallet-balances"),
]
