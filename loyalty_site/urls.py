"""URL map of the product."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views import defaults

from loyalty_site.common.api import problems

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/v1/", include("loyalty_site.api_urls")),
]


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's page for people, problem details for integrators."""
    return problems.server_error(request) if request.path.startswith("/api/") else defaults.server_error(request)


handler500 = server_error
