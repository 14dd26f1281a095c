"""Reward rules: what staff name and switch on and off (`RewardRule`), and the frozen contents behind it (`RuleVersion`)."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from loyalty_site.common.models.history import ChangeHistory


class RewardRule(models.Model):
    """The identity, order and validity of a rule. Its contents are in `current_version`; every earlier content stays readable."""

    rule_id = models.SlugField("rule id", max_length=80, unique=True, help_text="Letters, digits, _ and -. It stays the same for ever.")
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    priority = models.IntegerField(default=0, help_text="Rules with a higher number are looked at first.")
    is_active = models.BooleanField("active", default=False, help_text="Only active rules are evaluated at night.")
    valid_from = models.DateTimeField(null=True, blank=True, help_text="First instant (UTC) at which it holds; empty: at once.")
    valid_to = models.DateTimeField(null=True, blank=True, help_text="First instant (UTC) at which it no longer holds; empty: open end.")
    current_version = models.ForeignKey("rewards.RuleVersion", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    history = ChangeHistory(history_change_reason_field=models.TextField(null=True))

    class Meta:
        ordering = ["-priority", "rule_id"]
        constraints = [
            models.CheckConstraint(condition=~Q(rule_id=""), name="rule_id_not_empty"),
            models.CheckConstraint(
                condition=Q(valid_from__isnull=True) | Q(valid_to__isnull=True) | Q(valid_to__gt=F("valid_from")),
                name="rule_ends_after_start",
            ),
            models.CheckConstraint(condition=Q(is_active=False) | Q(current_version__isnull=False), name="rule_active_needs_version"),
        ]
        indexes = [models.Index(fields=["-priority", "rule_id"], condition=Q(is_active=True), name="rule_active_by_priority")]
        permissions = [("test_rule", "Can test a rule against players")]

    def __str__(self) -> str:
        return self.name


class RuleVersion(models.Model):
    """The contents of a rule at one time. Rows are only ever inserted: a reward keeps the version it came from."""

    class Period(models.TextChoices):
        DAY = "DAY", "Once a day"
        WEEK = "WEEK", "Once a week"
        MONTH = "MONTH", "Once a month"
        ONCE = "ONCE", "Once per player"

    rule = models.ForeignKey(RewardRule, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    conditions = models.JSONField(default=dict, blank=True)
    reward_config = models.JSONField()
    period = models.CharField(max_length=5, choices=Period, help_text="How often one player can get it.")
    cooldown_hours = models.PositiveIntegerField(default=0, help_text="Least hours between two rewards of this rule for one player.")
    stacking_group = models.CharField(
        max_length=40, blank=True, help_text="Of the rules of one group a player gets only the one with the highest priority."
    )
    player_budget = models.DecimalField(
        max_digits=18, decimal_places=4, null=True, blank=True, help_text="Most that one player may get from this rule; empty: no limit."
    )
    total_budget = models.DecimalField(
        max_digits=18, decimal_places=4, null=True, blank=True, help_text="Most that this rule may give away in all; empty: no limit."
    )
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    note = models.TextField(blank=True, help_text="Why this version was made.")

    class Meta:
        ordering = ["rule", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["rule", "number"], name="rule_version_number_once"),
            models.CheckConstraint(condition=Q(number__gte=1), name="rule_version_from_one"),
            models.CheckConstraint(condition=Q(player_budget__isnull=True) | Q(player_budget__gt=0), name="rule_player_budget_positive"),
            models.CheckConstraint(condition=Q(total_budget__isnull=True) | Q(total_budget__gt=0), name="rule_total_budget_positive"),
        ]

    def __str__(self) -> str:
        return f"version {self.number} of rule {self.rule_id}"
