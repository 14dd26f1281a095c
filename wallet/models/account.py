from django.db import models
from django.db.models import Q


class Unit(models.TextChoices):
    LP = "LP", "Loyalty points"
    RP = "RP", "Reward points"
    BONUS = "BONUS", "Bonus money"
    TICKET = "TICKET", "Tickets"


class Account(models.Model):
    """What one player owns of one unit. The balance is a cache of the sum of the entries, guarded by a CHECK and by `reconcile`.

    Amounts are integer minor units: of `currency` for bonus money, hundredths for LP and RP, whole tickets.
    """

    player = models.ForeignKey("players.Player", on_delete=models.PROTECT, related_name="wallet_accounts", db_index=False)
    unit = models.CharField(max_length=6, choices=Unit)
    currency = models.CharField(max_length=3, blank=True, default="", help_text="ISO 4217 for bonus money, empty for points and tickets.")
    balance = models.BigIntegerField(default=0)
    version = models.BigIntegerField(default=0, help_text="Number of entries; the seq of the last one.")
    earned_total = models.BigIntegerField(default=0, help_text="Earned in all, net of reversals; spending and expiry never lower it.")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["player", "unit", "currency"], name="account_once_per_player_and_unit"),
            models.CheckConstraint(condition=Q(balance__gte=0), name="account_balance_not_negative"),
            models.CheckConstraint(condition=Q(version__gte=0), name="account_version_not_negative"),
            models.CheckConstraint(condition=Q(unit__in=["LP", "RP", "BONUS", "TICKET"]), name="account_unit_known"),
            models.CheckConstraint(
                condition=Q(unit="BONUS", currency__regex=r"^[A-Z]{3}$") | (~Q(unit="BONUS") & Q(currency="")),
                name="account_currency_only_for_bonus",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.unit} {self.currency}".strip() + f" of player {self.player_id}"
