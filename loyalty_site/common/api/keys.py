"""Server-to-server keys: made, checked, rotated, revoked. The secret is shown once; the database keeps its SHA-256.

A key reads `lk_<prefix>_<secret>`. The secret has 256 random bits, so a plain fast hash is enough: there is nothing to guess.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction

from loyalty_site.common import audit
from loyalty_site.common.models import ApiClient, ApiKey

from .scopes import SCOPES

_LAST_USED_RESOLUTION = timedelta(minutes=1)


class UnknownScope(ValueError):
    """A scope that is not in the table of scopes."""


@dataclass(frozen=True)
class IssuedKey:
    key: ApiKey
    plain_text: str


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def issue_key(
    client: ApiClient,
    *,
    scopes: list[str],
    at: datetime,
    expires_at: datetime,
    actor: User | None = None,
    rate_per_minute: int = 600,
    reason: str = "",
) -> IssuedKey:
    """Make a key and return it with its plain text, which cannot be shown again. Raises UnknownScope, ValueError on a past expiry."""
    if unknown := sorted(set(scopes) - SCOPES.keys()):
        raise UnknownScope(f"unknown scopes: {', '.join(unknown)}; known: {', '.join(SCOPES)}")
    if expires_at <= at:
        raise ValueError("expires_at must lie in the future")
    prefix, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    with transaction.atomic():
        key = ApiKey.objects.create(
            client=client,
            prefix=prefix,
            secret_hash=_hash(secret),
            scopes=sorted(set(scopes)),
            created_at=at,
            expires_at=expires_at,
            rate_per_minute=rate_per_minute,
        )
        audit.record("api.key_issued", key, at=at, actor=actor, after={"client": client.name, "scopes": key.scopes}, reason=reason)
    return IssuedKey(key, f"lk_{prefix}_{secret}")


def rotate_key(key: ApiKey, *, at: datetime, grace: timedelta, actor: User | None, reason: str = "") -> IssuedKey:
    """A new key with the same rights and life span; the old one keeps working for `grace`, so that integrators can change over.

    Raises ValueError for a revoked key: its rights ended with it.
    """
    if key.revoked_at is not None:
        raise ValueError("a revoked key has no successor; make a new key, with the scopes that are needed now")
    with transaction.atomic():
        issued = issue_key(
            key.client,
            scopes=key.scopes,
            at=at,
            expires_at=at + (key.expires_at - key.created_at),
            actor=actor,
            rate_per_minute=key.rate_per_minute,
            reason=reason or f"rotation of {key.prefix}",
        )
        before = key.expires_at
        key.expires_at = min(key.expires_at, at + grace)
        key.save(update_fields=["expires_at"])
        audit.record(
            "api.key_rotated",
            key,
            at=at,
            actor=actor,
            before={"expires_at": before.isoformat()},
            after={"expires_at": key.expires_at.isoformat(), "successor": issued.key.prefix},
            reason=reason,
        )
    return issued


def revoke_key(key: ApiKey, *, at: datetime, actor: User | None, reason: str) -> None:
    """End a key at once. Revoking twice changes nothing."""
    with transaction.atomic():
        if ApiKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(revoked_at=at):
            audit.record("api.key_revoked", key, at=at, actor=actor, reason=reason)
    key.refresh_from_db()


def find_key(plain_text: str, at: datetime) -> ApiKey | None:
    """The live key that `plain_text` is, or None. Notes its use once a minute at most."""
    parts = plain_text.split("_", 2)
    if len(parts) != 3 or parts[0] != "lk":
        return None
    key = ApiKey.objects.select_related("client").filter(prefix=parts[1]).first()
    if key is None or not hmac.compare_digest(key.secret_hash, _hash(parts[2])):
        return None
    if key.revoked_at is not None or key.expires_at <= at or not key.client.is_active:
        return None
    if key.last_used_at is None or at - key.last_used_at > _LAST_USED_RESOLUTION:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=at)
    return key
