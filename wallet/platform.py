"""The operator's platform as the outbox meets it: one signed request per instruction, and what the answer means.

Nothing here touches the database. The request and its signature are described for integrators in docs/bonuses.md.
"""

import hashlib
import hmac
import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

from django.conf import settings

SIGNATURE_HEADER = "Loyalty-Signature"
KEY_HEADER = "Idempotency-Key"
_MOST_BYTES = 64 * 1024  # of an answer; it holds one reference
_SHOWN = 160
_LONGEST_REFERENCE = 120


@dataclass(frozen=True, slots=True)
class Platform:
    """Where instructions go. `timeout` is in seconds, for connecting and for each wait on the answer."""

    url: str
    secret: str = field(repr=False)
    timeout: float = 10.0

    @classmethod
    def from_settings(cls) -> "Platform | None":
        """The platform of the environment; None when no address is set and instructions wait to be fetched."""
        if not settings.PLATFORM_PAYOUT_URL:
            return None
        return cls(settings.PLATFORM_PAYOUT_URL, settings.PLATFORM_SECRET, settings.PLATFORM_TIMEOUT_SECONDS)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request. `reached` is False when nothing that speaks for the platform answered; `wait` is the pause in seconds
    that it asked for."""

    delivered: bool
    reference: str = ""
    error: str = ""
    reached: bool = True
    wait: int = 0


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would be repeated as a GET, whose answer says nothing about the money."""

    def redirect_request(self, *_: Any) -> None:
        return None


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """HMAC-SHA256 in hex over "<timestamp>.<body>"."""
    return hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


def send(platform: Platform, key: str, body: bytes, sent_at: datetime) -> Answer:
    """POST one instruction. Never raises for anything the network or the platform does: the answer says it."""
    timestamp = int(sent_at.timestamp())
    request = urllib.request.Request(
        platform.url,
        data=body,
        method="POST",
        headers={
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": "loyalty-backoffice",
            KEY_HEADER: quote(key, safe="!#$&'()*+,-./:;<=>?@[]^_`{|}~"),
            SIGNATURE_HEADER: f"t={timestamp},v1={signature(platform.secret, timestamp, body)}",
        },
    )
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=platform.timeout) as answer:
            return judge(answer.status, answer.read(_MOST_BYTES), key)
    except urllib.error.HTTPError as error:
        with error:
            return judge(error.code, _body_of(error), key, retry_after=error.headers.get("Retry-After", ""))
    except TimeoutError:
        return _unreached(f"no answer within {platform.timeout:g} s")
    except urllib.error.URLError as error:
        late = isinstance(error.reason, TimeoutError)
        return _unreached(f"no answer within {platform.timeout:g} s" if late else f"cannot connect: {error.reason}")
    except (OSError, http.client.HTTPException) as error:
        return _unreached(f"the connection broke: {type(error).__name__}")


def judge(status: int, body: bytes, key: str, *, retry_after: str = "") -> Answer:
    """What an HTTP answer means. Delivered is only a 2xx with the platform's reference, or a 409 that names the same key."""
    said = _object(body)
    reference = said.get("reference", "")
    named = isinstance(reference, str) and 0 < len(reference) <= _LONGEST_REFERENCE
    if 200 <= status < 300:
        if named:
            return Answer(True, reference)
        return Answer(False, error=f"HTTP {status} without a reference of 1 to {_LONGEST_REFERENCE} characters: {_excerpt(body)}")
    if status == 409 and said.get("key") == key:
        return Answer(True, reference if named else "")
    wait = int(retry_after) if retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 7 else 0
    return Answer(False, error=f"HTTP {status}: {_excerpt(body)}".rstrip(": "), reached=status < 500 and status != 429, wait=wait)


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _body_of(error: urllib.error.HTTPError) -> bytes:
    try:
        return error.read(_MOST_BYTES)
    except (OSError, http.client.HTTPException):
        return b""


def _excerpt(body: bytes) -> str:
    """The beginning of an answer on one line, fit to be stored."""
    text = " ".join(body[: 4 * _SHOWN].decode(errors="replace").replace("\x00", " ").split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _unreached(error: str) -> Answer:
    return Answer(False, error=error, reached=False)
