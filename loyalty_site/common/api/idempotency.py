"""`Idempotency-Key` on every write: the first answer is kept and repeated; the same key with another body is refused.

The key is claimed by an insert of its own, before the work; its answer is stored in the transaction of the work. So a crash in the
middle leaves a claim without an answer, and nothing written: the claim may be taken over once it is older than the longest request.
Answers of 5xx are not kept, because a retry may heal them; refusals (4xx) are.
"""

import hashlib
import json
import re
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder
from rest_framework.views import APIView

from loyalty_site.common.clock import utc_now
from loyalty_site.common.models import IdempotentRequest

from .authentication import caller_of
from .problems import CONTENT_TYPE, Problem

HEADER = "Idempotency-Key"
_KEY = re.compile(r"[!-~]{1,255}")
_ABANDONED_AFTER = timedelta(minutes=5)
_WRITES = {"POST", "PUT", "PATCH", "DELETE"}


def request_fingerprint(request: Request) -> str:
    """SHA-256 over method, path, query and body (for an upload: its fields and the bytes of its files)."""
    digest = hashlib.sha256(f"{request.method} {request.get_full_path()}\n".encode())
    if request.content_type and request.content_type.startswith("multipart/"):
        for name in sorted(request.data):
            value = request.data[name]
            digest.update(f"\n{name}=".encode())
            if hasattr(value, "chunks"):
                for chunk in value.chunks():
                    digest.update(chunk)
                value.seek(0)
            else:
                digest.update(str(value).encode())
    else:
        digest.update(json.dumps(request.data, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def _storable(data: Any) -> Any:
    """`data` as plain JSON that the database can keep: a refusal may quote characters of the request that it cannot."""
    text = json.dumps(data, cls=JSONEncoder, ensure_ascii=False).encode(errors="replace").decode()
    return json.loads(text.replace("\\u0000", "?"))


def claim(caller: str, key: str, fingerprint: str, at: datetime) -> tuple[IdempotentRequest, bool]:
    """The record of (caller, key) and whether it is ours to work. Raises Problem 409/422 on another body or one still running."""
    record, created = IdempotentRequest.objects.get_or_create(
        caller=caller, key=key, defaults={"request_hash": fingerprint, "created_at": at}
    )
    if created:
        return record, True
    if record.request_hash != fingerprint:
        raise Problem(
            409,
            "idempotency-key-reused",
            "The idempotency key was used for another request",
            f"{HEADER} {key!r} was first sent with another method, path or body. Use a new key for a new request.",
        )
    if record.response_status is not None:
        return record, False
    taken_over = IdempotentRequest.objects.filter(pk=record.pk, response_status__isnull=True, created_at__lt=at - _ABANDONED_AFTER).update(
        created_at=at
    )
    if taken_over:
        return record, True
    raise Problem(
        409,
        "request-in-progress",
        "The first request with this key is still being worked on",
        "Wait and send the same request again; the answer of the first one will be returned.",
        headers={"Retry-After": "1"},
    )


class IdempotentWriteMixin(APIView):
    """A view whose writes require `Idempotency-Key`. The handler runs in the transaction that stores its answer."""

    idempotency_required = True

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        if request.method not in _WRITES:
            return super().dispatch(request, *args, **kwargs)
        # the same steps as APIView.dispatch, with the handler wrapped
        self.args, self.kwargs = args, kwargs
        self.request = wrapped = self.initialize_request(request, *args, **kwargs)
        self.headers = self.default_response_headers
        try:
            self.initial(wrapped, *args, **kwargs)
            response = self._answer_once(wrapped, *args, **kwargs)
        except Exception as error:
            response = self.handle_exception(error)
        self.response = self.finalize_response(wrapped, response, *args, **kwargs)
        return self.response

    def _answer_once(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        name = (request.method or "").lower()
        handler = getattr(self, name, self.http_method_not_allowed) if name in self.http_method_names else self.http_method_not_allowed
        if handler == self.http_method_not_allowed:
            return handler(request, *args, **kwargs)
        key = request.headers.get(HEADER, "")
        if not _KEY.fullmatch(key):
            raise Problem(
                400,
                "idempotency-key-missing",
                "The request needs an idempotency key",
                f"Send the header {HEADER} with a unique text of 1 to 255 visible ASCII characters without spaces (a UUID does), "
                "and repeat it on a retry.",
            )
        record, ours = claim(caller_of(request), key, request_fingerprint(request), utc_now())
        if not ours:
            return self._repeat(record)
        try:
            with transaction.atomic():
                response = handler(request, *args, **kwargs)
                self._store(record, response)
        except Exception as error:
            response = self.handle_exception(error)  # raises again what is not a known refusal
            if response.status_code < status.HTTP_500_INTERNAL_SERVER_ERROR:
                self._store(record, response)
            else:
                record.delete()
        return response

    def handle_exception(self, exc: Exception) -> Response:
        try:
            return super().handle_exception(exc)
        except Exception:
            self._forget_claim()
            raise

    def _forget_claim(self) -> None:
        request = getattr(self, "request", None)
        key = request.headers.get(HEADER, "") if request is not None else ""
        if key and request is not None and request.user is not None:
            IdempotentRequest.objects.filter(caller=caller_of(request), key=key, response_status__isnull=True).delete()

    def _store(self, record: IdempotentRequest, response: Response) -> None:
        record.response_status = response.status_code
        record.response_body = None if response.data is None else _storable(response.data)
        record.finished_at = utc_now()
        record.save(update_fields=["response_status", "response_body", "finished_at"])

    def _repeat(self, record: IdempotentRequest) -> Response:
        code = record.response_status or status.HTTP_500_INTERNAL_SERVER_ERROR
        response = Response(record.response_body, status=code, headers={"Idempotency-Replayed": "true"})
        if code >= status.HTTP_400_BAD_REQUEST:
            response.content_type = CONTENT_TYPE
        return response
