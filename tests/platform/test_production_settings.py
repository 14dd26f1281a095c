"""What the settings refuse in production. Each case loads them in a process of its own."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from loyalty_site.launcher.environment import ROOT

GOOD = {
    "LOYALTY_ENV": "production",
    "DJANGO_SECRET_KEY": "8RkYw1cNmT4vQpZ7sLxB2hJfD6gUeA9oWiKy3tXn",
    "DJANGO_ALLOWED_HOSTS": "backoffice.example.com",
    "DATABASE_URL": "postgres://loyalty:pw@db.example.invalid/loyalty",
    "REDIS_URL": "redis://redis.example.invalid/0",
}
SHOWN = (
    "DEBUG", "ALLOWED_HOSTS", "SECURE_SSL_REDIRECT", "SECURE_HSTS_SECONDS", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE",
    "CELERY_BROKER_URL",
)  # fmt: skip
CODE = (
    "import json, sys, django; from django.conf import settings; django.setup()\n"
    f"shown = {{name: getattr(settings, name) for name in {SHOWN!r}}}\n"
    "shown['static'] = settings.STORAGES['staticfiles']['BACKEND']\n"
    "print(json.dumps(shown))\n"
)


def _load(*command: str, **changes: str | None) -> subprocess.CompletedProcess[str]:
    """Loads the settings, or runs `command` of this interpreter, in the environment of a good production with `changes`."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    env = {**kept, **GOOD, "DJANGO_SETTINGS_MODULE": "loyalty_site.settings"}
    for name, value in changes.items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = value
    return subprocess.run(
        [sys.executable, *(command or ("-c", CODE))], env=env, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_production__complete_settings__load_and_are_strict() -> None:
    done = _load()
    assert done.returncode == 0, done.stderr
    shown: dict[str, Any] = json.loads(done.stdout)
    assert shown == {
        "DEBUG": False,
        "ALLOWED_HOSTS": ["backoffice.example.com"],
        "SECURE_SSL_REDIRECT": True,
        "SECURE_HSTS_SECONDS": 31536000,
        "SESSION_COOKIE_SECURE": True,
        "CSRF_COOKIE_SECURE": True,
        "CELERY_BROKER_URL": "redis://redis.example.invalid/0",
        "static": "whitenoise.storage.CompressedManifestStaticFilesStorage",
    }


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"DJANGO_SECRET_KEY": None}, "DJANGO_SECRET_KEY is missing or shorter than 32 characters"),
        ({"DJANGO_SECRET_KEY": "not-a-secret-development-only"}, "DJANGO_SECRET_KEY is missing or shorter than 32 characters"),
        ({"DJANGO_SECRET_KEY": "short"}, "DJANGO_SECRET_KEY is missing or shorter than 32 characters"),
        ({"DJANGO_DEBUG": "true"}, "DJANGO_DEBUG must be off in production"),
        ({"DJANGO_ALLOWED_HOSTS": None}, "DJANGO_ALLOWED_HOSTS must list the host names"),
        ({"DJANGO_ALLOWED_HOSTS": ""}, "DJANGO_ALLOWED_HOSTS must list the host names"),
        ({"DJANGO_ALLOWED_HOSTS": "*"}, "DJANGO_ALLOWED_HOSTS must list the host names"),
        ({"DJANGO_ALLOWED_HOSTS": "backoffice.example.com,*"}, "DJANGO_ALLOWED_HOSTS must list the host names"),
        ({"DATABASE_URL": None}, "DATABASE_URL is not set"),
        ({"DATABASE_URL": "sqlite:///db.sqlite3"}, "DATABASE_URL must name a PostgreSQL database"),
        ({"LOYALTY_PLATFORM_PAYOUT_URL": "https://platform.example.invalid/"}, "LOYALTY_PLATFORM_SECRET must have 32 characters"),
        (
            {"LOYALTY_PLATFORM_PAYOUT_URL": "http://platform.example.invalid/", "LOYALTY_PLATFORM_SECRET": "s" * 32},
            "LOYALTY_PLATFORM_PAYOUT_URL must be an https:// address",
        ),
        ({"LOYALTY_ENV": "staging"}, "LOYALTY_ENV is 'staging'; use production, demo or test"),
    ],
)
def test_production__unsafe_or_missing_value__refuses_to_start(changes: dict[str, str | None], expected: str) -> None:
    done = _load(**changes)
    assert done.returncode != 0
    assert "ImproperlyConfigured" in done.stderr
    assert expected in done.stderr


def test_environment__not_named__is_production() -> None:
    done = _load(LOYALTY_ENV=None, DJANGO_SECRET_KEY=None)
    assert done.returncode != 0
    assert "DJANGO_SECRET_KEY is missing" in done.stderr


def test_production__secret__is_not_printed_by_a_refusal() -> None:
    secret = "a-secret-that-is-too-short"
    assert secret not in _load(DJANGO_SECRET_KEY=secret).stderr


def test_manage__settings_that_are_refused__ends_with_the_reason_alone() -> None:
    done = _load("manage.py", "check", DJANGO_SECRET_KEY=None)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("manage.py: DJANGO_SECRET_KEY is missing or shorter than 32 characters; set a random one.")
    assert "Traceback" not in done.stderr
