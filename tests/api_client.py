"""An API client with a key, for tests."""

import itertools
import json
from datetime import timedelta
from typing import Any

from django.http import HttpResponse
from django.test import Client

from loyalty_site.common.api.keys import issue_key
from loyalty_site.common.api.scopes import SCOPES
from loyalty_site.common.clock import utc_now
from loyalty_site.common.models import ApiClient

_numbers = itertools.count(1)


class KeyedClient:
    """Sends JSON with a key, and a fresh idempotency key with each write unless one is given."""

    def __init__(self, scopes: list[str] | None = None, *, rate_per_minute: int = 100_000, name: str = "") -> None:
        now = utc_now()
        self.client = ApiClient.objects.create(name=name or f"integrator {next(_numbers)}", created_at=now)
        issued = issue_key(
            self.client,
            scopes=list(SCOPES) if scopes is None else scopes,
            at=now,
            expires_at=now + timedelta(days=1),
            rate_per_minute=rate_per_minute,
        )
        self.key, self.plain_text = issued.key, issued.plain_text
        self.http = Client(headers={"Authorization": f"Bearer {self.plain_text}"})

    def get(self, path: str, **params: Any) -> HttpResponse:
        return self.http.get(f"/api/v1{path}", params)

    def send(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> HttpResponse:
        headers = {"Idempotency-Key": f"test-{next(_numbers)}" if key is None else key}
        return self.http.generic(
            method, f"/api/v1{path}", data=b"" if body is None else _json(body), content_type="application/json", headers=headers
        )

    def post(self, path: str, body: Any = None, *, key: str | None = None) -> HttpResponse:
        return self.send("POST", path, body, key=key)


def _json(body: Any) -> bytes:
    return json.dumps(body, default=str).encode()
