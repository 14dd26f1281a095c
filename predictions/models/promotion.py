"""Putting another version into use: asked for by one person, decided by another."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from .version import ModelVersion


class PromotionRequest(models.Model):
    class Status(models.TextChoices):
        PENDING = "PENDING", "Waiting"
        APPROVED = "APPROVED", "Approved"
        REFUSED = "REFUSED", "Refused"

    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="promotion_requests")
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    reason = models.TextField()
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    requested_at = models.DateTimeField()
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    note = models.TextField(blank=True)
    replaced = models.ForeignKey(
        ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="+", help_text="The version that was in use until then."
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["version"], condition=Q(status="PENDING"), name="promotion_one_open_per_version"),
            models.CheckConstraint(condition=~Q(reason=""), name="promotion_has_reason"),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True) | ~Q(decided_by=F("requested_by")), name="promotion_by_a_second_person"
            ),
        ]

    def __str__(self) -> str:
        return f"promotion of {self.version}"
