"""What the wallet noticed and a person should look at. The fraud desk takes these up; the wallet itself decides nothing about them."""

from django.db import models
from django.db.models import Q


class WalletFlag(models.Model):
    class Kind(models.TextChoices):
        OVER_MAX_BET = "OVER_MAX_BET", "Stake above the largest bet of a bonus"
        BONUS_DEBT = "BONUS_DEBT", "A rolled back win was not there any more"
        CASH_DEBT = "CASH_DEBT", "The player's cash is negative after a rollback"
        POINTS_DEBT = "POINTS_DEBT", "Reversed points were spent already"

    player = models.ForeignKey("players.Player", on_delete=models.PROTECT, related_name="wallet_flags", db_index=False)
    kind = models.CharField(max_length=12, choices=Kind)
    grant = models.ForeignKey("wallet.BonusGrant", null=True, blank=True, on_delete=models.PROTECT, related_name="flags", db_index=False)
    source_ref = models.CharField(max_length=128, help_text="The activity or entry that caused it.")
    detail = models.JSONField(default=dict)
    occurred_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["player", "kind", "source_ref"], name="walletflag_once"),
            models.CheckConstraint(condition=~Q(source_ref=""), name="walletflag_has_source"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} ({self.source_ref})"
