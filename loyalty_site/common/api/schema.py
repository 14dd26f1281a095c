"""What the OpenAPI document says about keys, idempotency and errors of every endpoint, so that no view repeats it.

Imported when the apps are ready: drf-spectacular needs DRF loaded.
"""

from typing import Any, Literal

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter

from .idempotency import HEADER, IdempotentWriteMixin
from .problems import CONTENT_TYPE, ProblemSerializer

_WRITES = {"POST", "PUT", "PATCH", "DELETE"}
_ERRORS = {
    "400": "The request is not valid; `errors` names fields and remedies.",
    "401": "No key, or one that is unknown, expired or revoked.",
    "403": "The key lacks the scope, or the role the permission.",
    "404": "No such object.",
    "409": "The request conflicts with what is stored, or the idempotency key was used for another request.",
    "415": "The body has another media type than documented.",
    "422": "A rule of the business refused the request; nothing has moved.",
    "429": "The key is over its rate; see Retry-After.",
    "503": "Another request or a job holds the rows; nothing was written. See Retry-After.",
}
_READ_ERRORS = ("400", "401", "403", "404", "429")


class ApiKeyScheme(OpenApiAuthenticationExtension):
    target_class = "loyalty_site.common.api.authentication.ApiKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "lk_<prefix>_<secret>"}


class DocumentedSchema(AutoSchema):
    """Adds the idempotency header to writes and problem details to every operation that needs a key."""

    def get_override_parameters(self) -> list[Any]:
        parameters = list(super().get_override_parameters())
        if self.method in _WRITES and isinstance(self.view, IdempotentWriteMixin):
            header = OpenApiParameter(
                HEADER,
                {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[!-~]+$"},
                OpenApiParameter.HEADER,
                required=True,
                description="Unique per request (a UUID does); repeat it on a retry and the first answer comes again.",
            )
            parameters.append(header)
        return parameters

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> dict[str, Any]:
        bodies = super()._get_response_bodies(direction)
        if hasattr(self.view, "access"):
            for code in _ERRORS if self.method in _WRITES else _READ_ERRORS:
                problem = self._get_response_for_code(ProblemSerializer, code, media_types=[CONTENT_TYPE])
                bodies.setdefault(code, {**problem, "description": _ERRORS[code]})
        return bodies
