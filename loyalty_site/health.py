"""Is this process alive, and can the site do its work?

`/health/live` answers 200 while the process serves requests. `/health/ready` answers 200 when database, migrations, broker and
beat are well, else 503; its JSON names each check, so that a probe's log says what is wrong. `/health` is the same as ready.

Probes carry no key and often no host name of ours: the middleware answers before hosts, sessions and TLS are looked at.
The answer holds no secrets: failures are named by their class, never with addresses.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from celery import current_app
from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, HttpResponse, JsonResponse

from loyalty_site.common.clock import utc_now

_HEARTBEAT_KEY = "health:beat_heartbeat"


@dataclass(frozen=True)
class Check:
    name: str
    ok: bool
    detail: str


def record_heartbeat(at: datetime) -> None:
    """Store that beat and a worker were alive at `at`."""
    cache.set(_HEARTBEAT_KEY, at.isoformat(), timeout=None)


def last_heartbeat() -> datetime | None:
    stored = cache.get(_HEARTBEAT_KEY)
    return datetime.fromisoformat(stored) if stored else None


def check_database(_now: datetime) -> Check:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()
    return Check("database", True, "answers")


@lru_cache(maxsize=1)
def _migrations_on_disk() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None, ignore_no_migrations=True).disk_migrations or ())


def check_migrations(_now: datetime) -> Check:
    """All migrations of the installed code are applied."""
    missing = sorted(_migrations_on_disk() - set(MigrationRecorder(connection).applied_migrations()))
    if missing:
        first = ".".join(missing[0])
        return Check("migrations", False, f"{len(missing)} not applied, first {first}; run: manage.py migrate")
    return Check("migrations", True, "all applied")


def check_broker(_now: datetime) -> Check:
    """A message could be sent: the broker accepts a connection, or its folder can be written."""
    if not settings.REDIS_URL:
        queue = Path(str(settings.CELERY_BROKER_TRANSPORT_OPTIONS["data_folder_in"]))
        if not os.access(queue, os.W_OK | os.X_OK):
            return Check("broker", False, "the queue folder is missing or not writable; make it or set REDIS_URL")
        return Check("broker", True, "queue folder is writable")
    with current_app.connection_for_write() as broker:
        broker.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=5)
    return Check("broker", True, "accepts connections")


def check_beat(now: datetime) -> Check:
    """The last sign of life is not older than HEALTH_BEAT_MAX_MINUTES."""
    seen = last_heartbeat()
    if seen is None:
        return Check("beat", False, "no sign of life yet; start celery beat and a worker")
    age = now - seen
    if age > timedelta(minutes=settings.HEALTH_BEAT_MAX_MINUTES):
        return Check("beat", False, f"last sign of life {int(age.total_seconds())} s ago; look at celery beat and the worker")
    return Check("beat", True, f"last sign of life {max(0, int(age.total_seconds()))} s ago")


CHECKS: dict[str, Callable[[datetime], Check]] = {
    "database": check_database,
    "migrations": check_migrations,
    "broker": check_broker,
    "beat": check_beat,
}


def run_checks(now: datetime, names: list[str] | None = None) -> list[Check]:
    """Every check, or those named; one that raises is a failed check, not an error of the page."""
    results = []
    for name in names or list(CHECKS):
        try:
            results.append(CHECKS[name](now))
        except Exception as error:  # whatever is broken, the probe gets an answer that names it
            if isinstance(error, DatabaseError):
                connection.close()
            results.append(Check(name, False, type(error).__name__))
    return results


def live() -> HttpResponse:
    return JsonResponse({"status": "alive"})


def ready(now: datetime) -> HttpResponse:
    checks = run_checks(now)
    well = all(check.ok for check in checks)
    body: dict[str, Any] = {
        "status": "ready" if well else "not ready",
        "checks": {check.name: {"ok": check.ok, "detail": check.detail} for check in checks},
    }
    return JsonResponse(body, status=200 if well else 503)


class HealthMiddleware:
    """Answers the probes before any other middleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        path = request.path_info.rstrip("/")
        if path not in {"/health", "/health/live", "/health/ready"}:
            return self.get_response(request)
        if request.method not in {"GET", "HEAD"}:
            return HttpResponse(status=405, headers={"Allow": "GET, HEAD"})
        response = live() if path == "/health/live" else ready(utc_now())
        response.headers["Cache-Control"] = "no-store"
        return response
