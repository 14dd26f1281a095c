"""What the operator's platform has to do with cash, told once: the outbox of the wallet."""

from django.db import models
from django.db.models import Q


class PayoutInstruction(models.Model):
    """Cash to credit to the player on the platform (or, negative, to take back). `key` is the platform's idempotency key."""

    class Status(models.TextChoices):
        PENDING = "PENDING", "To be delivered"
        DELIVERED = "DELIVERED", "Confirmed by the platform"
        FAILED = "FAILED", "Given up; needs a person"

    key = models.CharField(max_length=80, unique=True)
    player = models.ForeignKey("players.Player", on_delete=models.PROTECT, related_name="payouts", db_index=False)
    grant = models.ForeignKey("wallet.BonusGrant", on_delete=models.PROTECT, related_name="payouts")
    entry = models.OneToOneField("wallet.Entry", on_delete=models.PROTECT, related_name="payout")
    currency = models.CharField(max_length=3)
    amount = models.BigIntegerField(help_text="Minor units; negative: to take back.")
    status = models.CharField(max_length=9, choices=Status, default=Status.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    last_error = models.CharField(max_length=300, blank=True, default="")
    created_at = models.DateTimeField()
    delivered_at = models.DateTimeField(null=True, blank=True)
    platform_ref = models.CharField(max_length=120, blank=True, default="", help_text="The platform's own number for it.")

    class Meta:
        ordering = ["-id"]
        permissions = [("retry_payout", "Can send a pay-out instruction again")]
        constraints = [
            models.CheckConstraint(condition=~Q(amount=0), name="payout_amount_not_zero"),
            models.CheckConstraint(
                condition=Q(status="DELIVERED", delivered_at__isnull=False) | ~Q(status="DELIVERED") & Q(delivered_at__isnull=True),
                name="payout_status_fits_time",
            ),
        ]
        indexes = [
            models.Index(fields=["next_attempt_at"], condition=Q(status="PENDING"), name="payout_due"),
            models.Index(fields=["player", "-id"], name="payout_by_player"),
            models.Index(fields=["-id"], condition=Q(status="FAILED"), name="payout_failed"),
        ]

    def __str__(self) -> str:
        return f"pay-out {self.key}"
