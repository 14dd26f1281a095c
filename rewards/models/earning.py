"""What play earns: dated rules, and for every player and day what each of them gave."""

from decimal import Decimal
from typing import Any

from django.db import models
from django.db.models import F, Q

from loyalty_site.common.models.history import ChangeHistory

# stake (4 places) x rate (6) x weight (3) x tier multiplier (3): products are kept exactly
EXACT_POINTS: dict[str, Any] = {"max_digits": 38, "decimal_places": 16}


class EarningRule(models.Model):
    """Points per unit of currency staked. The most specific rule that holds on the day of a play gives its points; a later rule of the
    same unit, scope and currency takes over from an earlier one on its first day.

    A rule that has begun is not edited, because days were reckoned with it: it is followed by a new one, or ended.
    """

    class Unit(models.TextChoices):
        LP = "LP", "Loyalty points"
        RP = "RP", "Reward points"

    class Scope(models.TextChoices):
        DEFAULT = "default", "All play"
        CATEGORY = "category", "A category of games"
        PROVIDER = "provider", "A provider"
        GAME = "game", "One game"

    name = models.CharField(max_length=120)
    unit = models.CharField(max_length=2, choices=Unit, default=Unit.LP)
    scope = models.CharField(max_length=8, choices=Scope, default=Scope.DEFAULT)
    key = models.CharField(
        max_length=80, blank=True, default="", help_text="Code of the game, name of the provider, or the category; empty for all play."
    )
    currency = models.CharField(
        max_length=3, blank=True, default="", help_text="ISO 4217: only players with this currency; empty: all currencies."
    )
    rate = models.DecimalField(max_digits=12, decimal_places=6, help_text="Points per unit of the player's currency staked.")
    weight = models.DecimalField(max_digits=6, decimal_places=3, default=Decimal(1), help_text="Factor on the rate; 0 earns nothing.")
    uses_tier_multiplier = models.BooleanField(default=True, help_text="Times the multiplier of the tier held when the day ended.")
    counts_bonus_stake = models.BooleanField(default=False, help_text="Stakes paid with bonus money earn, too.")
    daily_cap = models.DecimalField(
        max_digits=12, decimal_places=2, null=True, blank=True, help_text="Most points a player gets from this rule in a UTC day."
    )
    event_cap = models.DecimalField(
        max_digits=12, decimal_places=2, null=True, blank=True, help_text="Most points that one play record gives, multiplier included."
    )
    valid_from = models.DateField(help_text="First UTC day; play before it earns nothing from this rule.")
    valid_to = models.DateField(null=True, blank=True, help_text="First UTC day on which it no longer holds; empty: open end.")

    history = ChangeHistory(history_change_reason_field=models.TextField(null=True))

    class Meta:
        ordering = ["unit", "scope", "key", "currency", "-valid_from"]
        constraints = [
            models.UniqueConstraint(fields=["unit", "scope", "key", "currency", "valid_from"], name="earningrule_one_start"),
            models.CheckConstraint(condition=Q(rate__gte=0, weight__gte=0), name="earningrule_rate_not_negative"),
            models.CheckConstraint(
                condition=(Q(daily_cap__isnull=True) | Q(daily_cap__gt=0)) & (Q(event_cap__isnull=True) | Q(event_cap__gt=0)),
                name="earningrule_caps_positive",
            ),
            models.CheckConstraint(condition=Q(scope="default", key="") | ~Q(scope="default") & ~Q(key=""), name="earningrule_key_fits"),
            models.CheckConstraint(condition=Q(currency="") | Q(currency__regex=r"^[A-Z]{3}$"), name="earningrule_currency_is_iso"),
            models.CheckConstraint(
                condition=Q(valid_to__isnull=True) | Q(valid_to__gte=F("valid_from")), name="earningrule_ends_not_before_start"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class DayEarning(models.Model):
    """What one player earned by play on one UTC day, rule by rule, and the figures of the day it was reckoned from.

    `lines` holds one object a rule: rule, unit, events, stake (counted), uncapped, points; amounts as texts.
    """

    pk = models.CompositePrimaryKey("player_id", "day")
    player = models.ForeignKey("players.Player", on_delete=models.PROTECT, related_name="day_earnings", db_index=False)
    day = models.DateField()
    stake = models.DecimalField(max_digits=20, decimal_places=4)
    bonus_stake = models.DecimalField(max_digits=20, decimal_places=4)
    theo = models.DecimalField(max_digits=24, decimal_places=9)
    rounds = models.PositiveBigIntegerField()
    games = models.PositiveIntegerField()
    max_stake = models.DecimalField(max_digits=20, decimal_places=4)
    multiplier = models.DecimalField(max_digits=6, decimal_places=3, help_text="Of the tier held when the day ended; stays when corrected.")
    lp = models.DecimalField(**EXACT_POINTS)
    rp = models.DecimalField(**EXACT_POINTS)
    lines = models.JSONField(default=list)
    reckoned_at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(lp__gte=0, rp__gte=0), name="dayearning_not_negative")]

    def __str__(self) -> str:
        return f"earnings of player {self.player_id} on {self.day}"
