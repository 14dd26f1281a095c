"""Who calls the API: an integrator with a key, or a member of staff with a session."""

from typing import Any

from django.contrib.auth.models import AnonymousUser
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from loyalty_site.common.clock import utc_now
from loyalty_site.common.models import ApiClient, ApiKey

from .keys import find_key

_KEYWORD = "Bearer"


class Integrator(AnonymousUser):
    """Stands in for a user on requests made with a key; holds no Django permission."""

    def __init__(self, client: ApiClient) -> None:
        super().__init__()
        self.client = client

    @property
    def is_authenticated(self) -> bool:  # type: ignore[override]
        return True

    def __str__(self) -> str:
        return f"API client {self.client.name}"


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer lk_<prefix>_<secret>`. `request.auth` is the ApiKey."""

    def authenticate(self, request: Request) -> tuple[Integrator, ApiKey] | None:
        header = request.headers.get("Authorization", "")
        keyword, _, credentials = header.partition(" ")
        if keyword.lower() != _KEYWORD.lower() or not credentials:
            return None
        key = find_key(credentials.strip(), utc_now())
        if key is None:
            raise exceptions.AuthenticationFailed("The API key is unknown, expired or revoked. Ask the operator for a current key.")
        return Integrator(key.client), key

    def authenticate_header(self, request: Request) -> str:
        return _KEYWORD


def caller_of(request: Request) -> str:
    """A stable name of the caller, for idempotency keys and sources: client:<id> or user:<id>."""
    if isinstance(request.auth, ApiKey):
        return f"client:{request.auth.client_id}"
    return f"user:{request.user.pk}"


def actor_of(request: Request) -> Any:
    """The staff user behind the request, or None for an integrator."""
    return None if isinstance(request.auth, ApiKey) else request.user


def client_of(request: Request) -> ApiClient | None:
    return request.auth.client if isinstance(request.auth, ApiKey) else None
