"""Look and menu of the admin (django-unfold). Callables are named by path: settings are read before the apps are loaded."""

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static


def _asset(name: str) -> Any:
    return lambda request: static(f"loyalty_site/{name}")


def environment(request: HttpRequest) -> list[str] | None:
    """The label beside the user's name, so that nobody mistakes a demo for the real thing."""
    from django.conf import settings

    return {"production": ["Production", "danger"], "demo": ["Demo data", "warning"]}.get(settings.ENVIRONMENT, ["Test", "info"])


def environment_prefix(request: HttpRequest) -> str | None:
    from django.conf import settings

    return None if settings.ENVIRONMENT == "production" else f"[{settings.ENVIRONMENT}]"


UNFOLD = {
    "SITE_TITLE": "Loyalty back-office",
    "SITE_HEADER": "Loyalty",
    "SITE_SUBHEADER": "Player back-office",
    "SITE_URL": None,
    "SITE_ICON": {"light": _asset("icon.svg"), "dark": _asset("icon.svg")},
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "sizes": "any", "href": _asset("icon.svg")}],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": False,
    "ENVIRONMENT": "loyalty_site.theme.environment",
    "ENVIRONMENT_TITLE_PREFIX": "loyalty_site.theme.environment_prefix",
    "DASHBOARD_CALLBACK": "loyalty_site.dashboard.start_page",
    "STYLES": [_asset("backoffice.css")],
    "LOGIN": {"image": _asset("login.svg")},
    "BORDER_RADIUS": "6px",
    "COLORS": {
        "base": {
            "50": "oklch(98.4% .003 247.9)",
            "100": "oklch(96.8% .007 247.9)",
            "200": "oklch(92.9% .013 255.5)",
            "300": "oklch(86.9% .022 252.9)",
            "400": "oklch(70.4% .04 256.8)",
            "500": "oklch(55.4% .046 257.4)",
            "600": "oklch(44.6% .043 257.3)",
            "700": "oklch(37.2% .044 257.3)",
            "800": "oklch(27.9% .041 260)",
            "900": "oklch(20.8% .042 265.8)",
            "950": "oklch(12.9% .042 264.7)",
        },
        "primary": {
            "50": "oklch(97.5% .018 185)",
            "100": "oklch(94% .045 184)",
            "200": "oklch(89% .085 183)",
            "300": "oklch(82% .12 182)",
            "400": "oklch(73% .125 182)",
            "500": "oklch(62% .11 184)",
            "600": "oklch(52% .092 185)",
            "700": "oklch(44.5% .078 187)",
            "800": "oklch(38% .063 189)",
            "900": "oklch(33% .052 190)",
            "950": "oklch(24% .04 194)",
        },
    },
    "COMMAND": {
        "search_models": False,
        "search_callback": "loyalty_site.navigation.search",
        "show_history": True,
    },
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "show_all_applications": False,
        "navigation": "loyalty_site.navigation.sidebar",
    },
}
