"""Per-key rate limits: each key has its own rate per minute, set in the admin."""

from typing import Any

from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from loyalty_site.common.models import ApiKey

_STAFF_RATE = "1200/min"


class ApiKeyThrottle(SimpleRateThrottle):
    rate = _STAFF_RATE

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        if isinstance(request.auth, ApiKey):
            self.num_requests, self.duration = request.auth.rate_per_minute, 60
            return f"throttle:key:{request.auth.pk}"
        if request.user and request.user.is_authenticated:
            return f"throttle:user:{request.user.pk}"
        return f"throttle:ip:{self.get_ident(request)}"
