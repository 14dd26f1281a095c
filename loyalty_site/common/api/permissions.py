"""One permission class: a key needs the view's scope, a member of staff the view's Django permission."""

from typing import Any

from rest_framework import exceptions
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from loyalty_site.common.models import ApiKey

SAFE = {"GET", "HEAD", "OPTIONS"}
KEYS_ONLY = ""


class ScopePermission(BasePermission):
    """Reads `access` of the view: {action or HTTP method or "read"/"write": (scope, Django permission)}.

    The most specific entry wins. A view without an entry for the request refuses everybody: access is never given by omission.
    The permission `KEYS_ONLY` refuses every person, superusers too: what only the operator's systems may report.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        needed = self._needed(request, view)
        if needed is None:
            if request.user.is_authenticated and request.method not in view.allowed_methods:
                raise exceptions.MethodNotAllowed(str(request.method))
            return False
        scope, permission = needed
        if isinstance(request.auth, ApiKey):
            if scope in request.auth.scopes:
                return True
            raise exceptions.PermissionDenied(f"This key lacks the scope {scope}. Ask the operator for a key that has it.")
        user = request.user
        if not user.is_authenticated:
            return False
        if permission == KEYS_ONLY:
            raise exceptions.PermissionDenied("Only a system with an API key may do this; staff have pages of their own for corrections.")
        if user.is_active and user.is_staff and user.has_perm(permission):
            return True
        raise exceptions.PermissionDenied(f"Your role lacks the permission {permission}. Ask an administrator.")

    def _needed(self, request: Request, view: Any) -> tuple[str, str] | None:
        access: dict[str, tuple[str, str]] = getattr(view, "access", {})
        kind = "read" if request.method in SAFE else "write"
        for name in (getattr(view, "action", None), request.method, kind):
            if name and name in access:
                return access[name]
        return None
