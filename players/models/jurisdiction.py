"""Markets and their dated rules. The rules are data that compliance staff edit, never constants in code."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from loyalty_site.common.models.history import ChangeHistory


class Jurisdiction(models.Model):
    code = models.CharField(max_length=16, unique=True, help_text="ISO country, or country-region (CA-ON).")
    name = models.CharField(max_length=100)
    countries = ArrayField(
        models.CharField(max_length=2),
        default=list,
        blank=True,
        help_text="Countries whose players belong to this market.",
    )

    history = ChangeHistory()

    class Meta:
        ordering = ["code"]
        verbose_name = "market"

    def __str__(self) -> str:
        return f"{self.code} {self.name}"


class JurisdictionPack(models.Model):
    """What one market allows from one day to another (half-open)."""

    jurisdiction = models.ForeignKey(Jurisdiction, on_delete=models.CASCADE, related_name="packs", verbose_name="market")
    valid_from = models.DateField()
    valid_to = models.DateField(null=True, blank=True, help_text="First day on which it no longer holds; empty: open end.")
    bonuses_allowed = models.BooleanField(default=True)
    offers_need_marketing_consent = models.BooleanField(default=True)
    scores_need_profiling_consent = models.BooleanField(
        default=False,
        help_text="Without a player's consent to profiling there is no churn, value, segment or engagement; fraud is scored all the same.",
    )
    max_wagering_multiple = models.DecimalField(
        max_digits=8, decimal_places=2, null=True, blank=True, help_text="Most times a bonus may have to be wagered."
    )
    max_bonus_amount = models.DecimalField(max_digits=12, decimal_places=2, null=True, blank=True)
    min_bonus_age = models.PositiveSmallIntegerField(default=18, help_text="Youngest age at which a player may get a bonus.")
    min_wagering_hours = models.PositiveIntegerField(null=True, blank=True, help_text="Least time a player must have to meet the terms.")
    one_product_per_bonus = models.BooleanField(default=False, help_text="A bonus may not join products, such as casino and sports.")
    pausing_allowed = models.BooleanField(default=False, help_text="A player may pause a bonus; its time goes on.")
    no_offers_after_inactive_days = models.PositiveIntegerField(null=True, blank=True)
    limit_increase_delay_hours = models.PositiveSmallIntegerField(
        default=24, help_text="A player's wish to raise or drop a deposit limit takes effect after this many hours; lowering, at once."
    )
    source = models.TextField(blank=True, help_text="Where the rule is written, and who read it.")

    history = ChangeHistory()

    class Meta:
        ordering = ["jurisdiction", "-valid_from"]
        verbose_name = "set of market rules"
        verbose_name_plural = "market rules"
        constraints = [
            models.UniqueConstraint(fields=["jurisdiction", "valid_from"], name="pack_one_start_per_market"),
            models.CheckConstraint(condition=Q(valid_to__isnull=True) | Q(valid_to__gt=F("valid_from")), name="pack_ends_after_start"),
        ]

    def __str__(self) -> str:
        return f"{self.jurisdiction.code} from {self.valid_from}"
