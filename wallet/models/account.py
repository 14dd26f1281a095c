from django.db import models
from django.db.models import Q


class Unit(models.TextChoices):
    LP = "LP", "Loyalty points"
    RP = "RP", "Reward points"
    BONUS = "BONUS", "Bonus money"
    TICKET = "TICKET", "Tickets"
    OWED = "OWED", "Cash owed"


# units that are money of a currency; the others are counted in themselves
MONEY_UNITS = (Unit.BONUS, Unit.OWED)


class Account(models.Model):
    """What one player owns of one unit. The balance is a cache of the sum of the entries, guarded by a CHECK and by `reconcile`.

    Amounts are integer minor units: of `currency` for money, hundredths for LP and RP, whole tickets. OWED is what the player owes the
    operator in cash, after a win was rolled back that is no longer there.
    """

    player = models.ForeignKey("players.Player", on_delete=models.PROTECT, related_name="wallet_accounts", db_index=False)
    unit = models.CharField(max_length=6, choices=Unit)
    currency = models.CharField(max_length=3, blank=True, default="", help_text="ISO 4217 for money, empty for points and tickets.")
    balance = models.BigIntegerField(default=0)
    version = models.BigIntegerField(default=0, help_text="Number of entries; the seq of the last one.")
    earned_total = models.BigIntegerField(default=0, help_text="Earned in all, net of reversals; spending and expiry never lower it.")
    owed = models.BigIntegerField(
        default=0, help_text="Debt of the player: the sum of the entries of house code debt. Future credits pay it first."
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["player", "unit", "currency"], name="account_once_per_player_and_unit"),
            models.CheckConstraint(condition=Q(balance__gte=0), name="account_balance_not_negative"),
            models.CheckConstraint(condition=Q(version__gte=0), name="account_version_not_negative"),
            models.CheckConstraint(condition=Q(owed__gte=0), name="account_debt_not_negative"),
            models.CheckConstraint(condition=Q(unit__in=Unit.values), name="account_unit_known"),
            models.CheckConstraint(
                condition=Q(unit__in=MONEY_UNITS, currency__regex=r"^[A-Z]{3}$") | (~Q(unit__in=MONEY_UNITS) & Q(currency="")),
                name="account_currency_only_for_money",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.unit} {self.currency}".strip() + f" of player {self.player_id}"
