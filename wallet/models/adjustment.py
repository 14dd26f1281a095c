from django.conf import settings
from django.db import models
from django.db.models import F, Q

from .account import Unit


class AdjustmentRequest(models.Model):
    """A correction of a balance that a member of staff asks for; above a limit another one decides. The maker is never the checker."""

    class Status(models.TextChoices):
        PENDING = "PENDING", "Waiting for a second person"
        POSTED = "POSTED", "Posted"
        REJECTED = "REJECTED", "Rejected"

    player = models.ForeignKey("players.Player", on_delete=models.PROTECT, related_name="wallet_adjustments")
    unit = models.CharField(max_length=6, choices=Unit)
    currency = models.CharField(max_length=3, blank=True, default="")
    amount = models.BigIntegerField(help_text="Minor units; negative takes away.")
    wagering_required = models.DecimalField(
        max_digits=20, decimal_places=6, null=True, blank=True, help_text="Terms of a bonus credit: amount to wager."
    )
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Terms of a bonus credit: when it ends.")
    reason = models.CharField(max_length=500)
    status = models.CharField(max_length=8, choices=Status, default=Status.PENDING)
    needs_second_person = models.BooleanField(default=False)
    maker = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    checker = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    requested_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_note = models.CharField(max_length=500, blank=True, default="")
    entry = models.OneToOneField("wallet.Entry", null=True, blank=True, on_delete=models.PROTECT, related_name="adjustment")

    class Meta:
        ordering = ["-id"]
        verbose_name = "adjustment"
        constraints = [
            models.CheckConstraint(condition=Q(checker__isnull=True) | ~Q(checker=F("maker")), name="adjustment_maker_is_not_checker"),
            models.CheckConstraint(condition=~Q(reason=""), name="adjustment_has_reason"),
            models.CheckConstraint(condition=~Q(amount=0), name="adjustment_amount_not_zero"),
            models.CheckConstraint(
                condition=Q(status="PENDING", checker__isnull=True, decided_at__isnull=True, entry__isnull=True)
                | Q(status="POSTED", decided_at__isnull=False, entry__isnull=False)
                & (Q(needs_second_person=False) | Q(checker__isnull=False))
                | Q(status="REJECTED", checker__isnull=False, decided_at__isnull=False, entry__isnull=True),
                name="adjustment_status_fits_decision",
            ),
        ]
        indexes = [
            models.Index(fields=["-id"], condition=Q(status="PENDING"), name="adjustment_pending"),
        ]
        permissions = [
            ("adjust_wallet", "Can ask for a wallet adjustment"),
            ("approve_adjustment", "Can approve or reject another person's adjustment"),
        ]

    def __str__(self) -> str:
        return f"adjustment {self.pk}"
