"""Integrators and their keys. A key is shown once; only its hash is kept."""

from django.db import models


class ApiClient(models.Model):
    """One integrating system (the operator's platform, a data warehouse, ...)."""

    name = models.CharField(max_length=100, unique=True)
    is_active = models.BooleanField(default=True)
    contact = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["name"]
        verbose_name = "API client"

    def __str__(self) -> str:
        return self.name


class ApiKey(models.Model):
    """A server-to-server key: prefix for look-up, SHA-256 of the secret, scopes, expiry."""

    client = models.ForeignKey(ApiClient, on_delete=models.PROTECT, related_name="keys")
    prefix = models.CharField(max_length=12, unique=True)
    secret_hash = models.CharField(max_length=64)
    scopes = models.JSONField(default=list)
    rate_per_minute = models.PositiveIntegerField(default=600)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.client} {self.prefix}"


class IdempotentRequest(models.Model):
    """The first answer to (caller, key): repeated for the same body, refused for another."""

    caller = models.CharField(max_length=80, help_text="client:<id> or user:<id>")
    key = models.CharField(max_length=255)
    request_hash = models.CharField(max_length=64)
    created_at = models.DateTimeField(db_index=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    response_status = models.PositiveSmallIntegerField(null=True, blank=True)
    response_body = models.JSONField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["caller", "key"], name="idempotent_key_once_per_caller")]

    def __str__(self) -> str:
        return f"{self.caller} {self.key}"
