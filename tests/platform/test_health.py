from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.test import Client

from loyalty_site import health
from loyalty_site.tasks import beat_heartbeat
from tests.factories import NOW

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_heartbeat() -> None:
    cache.delete(health._HEARTBEAT_KEY)


@pytest.fixture
def queue(settings: Any, tmp_path: Path) -> Path:
    """A broker in a folder of the test's own."""
    settings.REDIS_URL = ""
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = {"data_folder_in": str(tmp_path)}
    return tmp_path


@pytest.fixture
def at_now(monkeypatch: pytest.MonkeyPatch) -> datetime:
    monkeypatch.setattr(health, "utc_now", lambda: NOW)
    return NOW


def test_live__no_session_and_unknown_host__answers(client: Client, settings: Any, django_assert_num_queries: Any) -> None:
    settings.ALLOWED_HOSTS = ["backoffice.example.com"]
    settings.SECURE_SSL_REDIRECT = True
    with django_assert_num_queries(0):
        response = client.get("/health/live", headers={"host": "10.0.0.7"})
    assert response.status_code == 200
    assert response.json() == {"status": "alive"}


@pytest.mark.parametrize("path", ["/health", "/health/", "/health/ready", "/health/ready/"])
def test_ready__all_well__names_each_check(client: Client, queue: Path, at_now: datetime, path: str) -> None:
    health.record_heartbeat(at_now - timedelta(seconds=30))
    response = client.get(path)
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    assert response.json() == {
        "status": "ready",
        "checks": {
            "database": {"ok": True, "detail": "answers"},
            "migrations": {"ok": True, "detail": "all applied"},
            "broker": {"ok": True, "detail": "queue folder is writable"},
            "beat": {"ok": True, "detail": "last sign of life 30 s ago"},
        },
    }


def test_ready__beat_never_seen__503(client: Client, queue: Path, at_now: datetime) -> None:
    response = client.get("/health/ready")
    assert response.status_code == 503
    assert response.json()["status"] == "not ready"
    assert response.json()["checks"]["beat"] == {"ok": False, "detail": "no sign of life yet; start celery beat and a worker"}


@pytest.mark.parametrize(("age", "status"), [(timedelta(minutes=5), 200), (timedelta(minutes=5, seconds=1), 503)])
def test_ready__beat_age__limit_is_five_minutes(client: Client, queue: Path, at_now: datetime, age: timedelta, status: int) -> None:
    health.record_heartbeat(at_now - age)
    assert client.get("/health/ready").status_code == status


def test_ready__migration_not_applied__503_and_named(
    client: Client, queue: Path, at_now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    health.record_heartbeat(at_now)
    known = health._migrations_on_disk()
    monkeypatch.setattr(health, "_migrations_on_disk", lambda: known | {("wallet", "9999_next")})
    response = client.get("/health/ready")
    assert response.status_code == 503
    assert response.json()["checks"]["migrations"] == {
        "ok": False,
        "detail": "1 not applied, first wallet.9999_next; run: manage.py migrate",
    }


def test_ready__queue_folder_missing__503(client: Client, queue: Path, at_now: datetime) -> None:
    health.record_heartbeat(at_now)
    queue.rmdir()
    response = client.get("/health/ready")
    assert response.status_code == 503
    assert response.json()["checks"]["broker"]["ok"] is False


def test_broker__redis_unreachable__is_not_well(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from loyalty_site.celery import app

    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(health, "current_app", _Elsewhere(app, settings.REDIS_URL))
    result = health.run_checks(NOW, ["broker"])
    assert [(check.name, check.ok) for check in result] == [("broker", False)]
    assert "127.0.0.1" not in result[0].detail


class _Elsewhere:
    """The Celery application with its broker at another address."""

    def __init__(self, app: Any, url: str) -> None:
        self.app, self.url = app, url

    def connection_for_write(self) -> Any:
        return self.app.connection_for_write(url=self.url)


def test_ready__database_down__503_without_its_address(
    client: Client, queue: Path, at_now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_now: datetime) -> health.Check:
        raise OperationalError("connection to db.example.invalid failed for user loyalty")

    health.record_heartbeat(at_now)
    monkeypatch.setitem(health.CHECKS, "database", broken)
    monkeypatch.setattr(health.connection, "close", lambda: None)
    response = client.get("/health/ready")
    assert response.status_code == 503
    assert response.json()["checks"]["database"] == {"ok": False, "detail": "OperationalError"}
    assert "example.invalid" not in response.content.decode()


def test_health__other_methods__405(client: Client) -> None:
    response = client.post("/health/live")
    assert response.status_code == 405
    assert response.headers["Allow"] == "GET, HEAD"


def test_heartbeat__task_runs__is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loyalty_site.tasks.utc_now", lambda: NOW)
    beat_heartbeat()
    assert health.last_heartbeat() == NOW


def test_heartbeat__is_scheduled_each_minute_under_the_tasks_name(settings: Any) -> None:
    entry = settings.CELERY_BEAT_SCHEDULE["Sign of life"]
    assert entry["task"] == beat_heartbeat.name
    assert entry["schedule"] == 60.0


def test_command__beat_missing__fails_naming_it(queue: Path) -> None:
    out = StringIO()
    with pytest.raises(CommandError, match="not well: beat"):
        call_command("healthcheck", "database", "beat", stdout=out)
    assert out.getvalue().splitlines()[0] == "ok database: answers"


def test_command__unknown_check__lists_the_known() -> None:
    with pytest.raises(CommandError, match="no check named 'disk'; known: database, migrations, broker, beat"):
        call_command("healthcheck", "disk")
