"""How much may be given away: a limit, what open decisions hold of it, and what was paid out of it."""

from decimal import Decimal

from django.db import models
from django.db.models import F, Q

from loyalty_site.common.money import from_minor

from .decision import Unit


class BudgetAccount(models.Model):
    """A limit on what one rule (or, without a rule, the whole programme) gives away in one unit and period.

    The limit of a rule's account follows the total budget of the rule's current version; accounts without a rule are set by staff.
    Rows change only by conditional updates under their own row lock; the database refuses reserved + spent above the limit.
    """

    ALL_TIME = "ALL"

    name = models.CharField(max_length=120, blank=True)
    rule = models.ForeignKey("rewards.RewardRule", null=True, blank=True, on_delete=models.PROTECT, related_name="budgets")
    unit = models.CharField(max_length=6, choices=Unit, default=Unit.BONUS)
    currency = models.CharField(max_length=3, blank=True, help_text="ISO 4217 for bonus money, empty for points and tickets.")
    period = models.CharField(max_length=7, default=ALL_TIME, help_text="A month such as 2026-03, or ALL for no time limit.")
    limit_minor = models.BigIntegerField()
    reserved_minor = models.BigIntegerField(default=0, help_text="Held by decisions that are not yet issued.")
    spent_minor = models.BigIntegerField(default=0, help_text="Issued and not revoked.")
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ["rule", "unit", "currency", "-period"]
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "unit", "currency", "period"], nulls_distinct=False, name="budget_one_per_scope_and_period"
            ),
            models.CheckConstraint(condition=Q(limit_minor__gte=0, reserved_minor__gte=0, spent_minor__gte=0), name="budget_not_negative"),
            models.CheckConstraint(condition=Q(limit_minor__gte=F("reserved_minor") + F("spent_minor")), name="budget_never_overspent"),
            models.CheckConstraint(
                condition=(Q(unit="BONUS") & ~Q(currency="")) | (~Q(unit="BONUS") & Q(currency="")), name="budget_currency_fits_unit"
            ),
            models.CheckConstraint(condition=Q(period__regex=r"^(ALL|[0-9]{4}-(0[1-9]|1[0-2]))$"), name="budget_period_is_month_or_all"),
        ]

    def __str__(self) -> str:
        return self.name or f"budget {self.pk}"

    @property
    def money_unit(self) -> str:
        return self.currency or self.unit

    @property
    def limit(self) -> Decimal:
        return from_minor(self.limit_minor, self.money_unit)

    @property
    def reserved(self) -> Decimal:
        return from_minor(self.reserved_minor, self.money_unit)

    @property
    def spent(self) -> Decimal:
        return from_minor(self.spent_minor, self.money_unit)

    @property
    def left(self) -> Decimal:
        return self.limit - self.reserved - self.spent
