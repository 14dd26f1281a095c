"""Errors as problem details (RFC 9457): type, title, status, detail, and for each bad field its name, reason and remedy."""

from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DataError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions, serializers
from rest_framework.response import Response
from rest_framework.views import set_rollback

CONTENT_TYPE = "application/problem+json"

# What to do about an error code of a field; the text of the error itself says what is wrong.
_REMEDIES = {
    "required": "Send this field.",
    "null": "Send a value instead of null, or leave the field out.",
    "blank": "Send a text that is not empty.",
    "invalid": "Send a value of the documented type and format.",
    "max_digits": "Send a decimal with fewer digits.",
    "max_decimal_places": "Send a decimal with fewer places.",
    "max_length": "Shorten the value.",
    "min_value": "Raise the value.",
    "max_value": "Lower the value.",
    "does_not_exist": "Use the identifier of an existing object; the list endpoint has them.",
    "invalid_choice": "Use one of the documented values.",
    "unique": "Use a value that is not taken, or update the existing object.",
    "not_a_list": "Send a JSON array.",
    "empty": "Send at least one item.",
    "empty_parameter": "Send a value, or leave the parameter out.",
    "repeated": "Send it once.",
    "unknown": "Correct the name, or leave it out.",
    "future": "Send an instant that has passed.",
    "not_a_number": "Write the number without quotation marks.",
}
# SQLSTATEs of a transaction that met another one and lost: lock timeout, deadlock, serialisation. Nothing was written.
_BUSY = frozenset({"55P03", "40P01", "40001"})
# What to do about a refusal that names no field, by its code.
_NEXT_STEPS = {
    "not_found": "Check the path and the identifier in it; /api/v1/docs lists every endpoint.",
    "method_not_allowed": "The header Allow names the methods of this path; /api/v1/docs describes them.",
    "not_acceptable": "Ask for application/json, or leave the header Accept out.",
    "unsupported_media_type": "Send the media type that /api/v1/docs names for this endpoint: JSON, or multipart/form-data for files.",
    "parse_error": "Send one JSON document in UTF-8.",
    "not_authenticated": "Send the header Authorization: Bearer <key>.",
    "throttled": "Wait as long as Retry-After says, or ask the operator for a higher rate.",
}
_DEFAULT_REMEDY = "Correct the value; the API documentation describes the field."


class Problem(exceptions.APIException):
    """An error with a stable type slug. `errors` is a list of {field, detail, remedy}."""

    def __init__(
        self,
        status: int,
        slug: str,
        title: str,
        detail: str,
        *,
        errors: list[dict[str, str]] | None = None,
        headers: dict[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail)
        self.status_code = status
        self.slug = slug
        self.title = title
        self.text = detail
        self.errors = errors or []
        self.headers = headers or {}
        self.extra = extra


def field_problem(field: str, detail: str, remedy: str) -> Problem:
    """A 400 about one field."""
    return Problem(400, "invalid", "The request is not valid", detail, errors=[{"field": field, "detail": detail, "remedy": remedy}])


def busy() -> Problem:
    """A 503 for a request that gave up on rows which a batch or another request holds."""
    return Problem(
        503,
        "busy",
        "The rows are in use",
        "Another request or a running job holds what this request needs. Nothing was written: send the same request again.",
        headers={"Retry-After": "2"},
    )


def _known_fault(error: Exception) -> Problem | None:
    """What the framework raises for requests that no handler can work on, as a refusal."""
    if isinstance(error, RequestDataTooBig):
        limit = f"{settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 0:,}"
        return Problem(
            413,
            "body-too-large",
            "The request is too large",
            f"A body has at most {limit} bytes. Send fewer items at once; files go to /import/excel.",
        )
    if isinstance(error, RecursionError):
        return Problem(400, "parse_error", "Bad Request", f"The JSON is nested too deeply. {_NEXT_STEPS['parse_error']}")
    if isinstance(error, DataError) and "NUL" in str(error):
        return Problem(400, "invalid", "The request is not valid", "A NUL character cannot be part of a path or value. Remove it.")
    if isinstance(error, OperationalError) and getattr(error.__cause__, "sqlstate", "") in _BUSY:
        return busy()
    return None


def conflict(detail: str, *, slug: str = "conflict") -> Problem:
    return Problem(409, slug, "The request conflicts with what is stored", detail)


class FieldErrorSerializer(serializers.Serializer):
    field = serializers.CharField(help_text="Path of the field, as in items[3].amount; empty: the whole request.")
    detail = serializers.CharField()
    remedy = serializers.CharField()


class ProblemSerializer(serializers.Serializer):
    """RFC 9457 problem details."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    errors = FieldErrorSerializer(many=True, required=False)  # type: ignore[assignment] # a field named as RFC 9457 usage names it


def flatten_errors(detail: Any, path: str = "") -> list[dict[str, str]]:
    """DRF's nested error structure as a flat list of {field, detail, remedy}."""
    if isinstance(detail, dict):
        rows: list[dict[str, str]] = []
        for key, value in detail.items():
            # a list field tells its bad items by their number
            name = f"{path}[{key}]" if isinstance(key, int) else path if key == "non_field_errors" else f"{path}.{key}".lstrip(".")
            rows += flatten_errors(value, name)
        return rows
    if isinstance(detail, list):
        rows = []
        for position, value in enumerate(detail):
            nested = isinstance(value, (dict, list))
            rows += flatten_errors(value, f"{path}[{position}]" if nested else path)
        return rows
    code = getattr(detail, "code", "invalid")
    return [{"field": path, "detail": str(detail), "remedy": _REMEDIES.get(code, _DEFAULT_REMEDY)}]


def problem_body(status: int, slug: str, title: str, detail: str, errors: list[dict[str, str]], **extra: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"type": f"urn:loyalty:problem:{slug}", "title": title, "status": status, "detail": detail, **extra}
    if errors:
        body["errors"] = errors
    return body


def problem_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF exception handler: refusals and lost waits for locks become problem details. Other errors stay server errors (None)."""
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    elif isinstance(error, DjangoValidationError):
        error = exceptions.ValidationError(serializers.as_serializer_error(error))
    else:
        error = _known_fault(error) or error
    if not isinstance(error, exceptions.APIException):
        return None
    set_rollback()
    headers: dict[str, str] = {}
    if isinstance(error, Problem):
        body = problem_body(error.status_code, error.slug, error.title, error.text, error.errors, **error.extra)
        headers = error.headers
    elif isinstance(error, exceptions.ValidationError):
        errors = flatten_errors(error.detail)
        detail = "; ".join(f"{row['field']}: {row['detail']}".lstrip(": ") for row in errors[:3])
        body = problem_body(error.status_code, "invalid", "The request is not valid", detail, errors)
    else:
        status = HTTPStatus(error.status_code)
        code = str(error.default_code)
        detail = f"{error.detail} {_NEXT_STEPS[code]}" if code in _NEXT_STEPS else str(error.detail)
        body = problem_body(error.status_code, code, status.phrase, detail, [])
        if (wait := getattr(error, "wait", None)) is not None:  # set by DRF on Throttled only
            headers["Retry-After"] = str(int(wait) + 1)
    if auth_header := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = auth_header
    return Response(body, status=error.status_code, headers=headers, content_type=CONTENT_TYPE)


def server_error(request: HttpRequest) -> JsonResponse:
    """The 500 of a request below the API: a fault of ours, told as a problem too."""
    detail = "The fault is in the server's log. Nothing was kept of this request: send it again, with the same idempotency key."
    body = problem_body(500, "server-error", "Something broke on our side", detail, [])
    return JsonResponse(body, status=500, content_type=CONTENT_TYPE)
