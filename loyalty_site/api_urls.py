"""URL map of the API: one line an app, and the documents that describe it."""

from django.http import Http404, HttpRequest
from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView
from rest_framework.permissions import AllowAny
from rest_framework.views import APIView

from loyalty_site import api_analytics


class NoSuchEndpoint(APIView):
    """Answers unknown paths below the API with problem details instead of a web page."""

    schema = None
    permission_classes = [AllowAny]

    def initial(self, request: HttpRequest, *args: object, **kwargs: object) -> None:
        raise Http404


urlpatterns = [
    path("", include("players.api.urls")),
    path("", include("wallet.api.urls")),
    path("", include("predictions.api.urls")),
    path("", include("rewards.api.urls")),
    path("analytics/dashboard", api_analytics.DashboardView.as_view(), name="analytics-dashboard"),
    path("analytics/rewards", api_analytics.RewardHistoryViewSet.as_view({"get": "list"}), name="analytics-rewards"),
    path("analytics/transactions", api_analytics.TransactionsView.as_view(), name="analytics-transactions"),
    # the description names no data, so it needs no key: integrators read it before they have one
    path("schema", SpectacularAPIView.as_view(permission_classes=[AllowAny], throttle_classes=[]), name="api-schema"),
    path(
        "docs", SpectacularSwaggerView.as_view(url_name="api-schema", permission_classes=[AllowAny], throttle_classes=[]), name="api-docs"
    ),
    re_path(".*", NoSuchEndpoint.as_view()),
]
