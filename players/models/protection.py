"""What keeps a player safe from us: exclusions, consent, harm, limits. The gates in front of every reward read these."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q


class Protection(models.Model):
    """Consent and harm state of a player. No row means: no marketing consent, no profiling consent, no harm flag."""

    player = models.OneToOneField("players.Player", on_delete=models.CASCADE, primary_key=True, related_name="protection")
    marketing_consent = models.BooleanField(default=False)
    marketing_consent_at = models.DateTimeField(null=True, blank=True)
    profiling_consent = models.BooleanField(default=False)
    profiling_consent_at = models.DateTimeField(null=True, blank=True)
    harm_flag = models.BooleanField(default=False, help_text="Strong indicators of gambling harm: no bonus, no marketing.")
    harm_flag_at = models.DateTimeField(null=True, blank=True)
    harm_note = models.TextField(blank=True)

    class Meta:
        verbose_name = "protection"
        verbose_name_plural = "protection"
        indexes = [models.Index(fields=["player"], condition=Q(harm_flag=True), name="protection_harm")]

    def __str__(self) -> str:
        return f"protection of player {self.player_id}"


class Exclusion(models.Model):
    """A span of time in which the player takes no part (half-open; an empty end is indefinite)."""

    class Kind(models.TextChoices):
        SELF_EXCLUSION = "SELF_EXCLUSION", "Self-exclusion"
        COOL_OFF = "COOL_OFF", "Cool-off"
        OPERATOR = "OPERATOR", "Operator exclusion"

    player = models.ForeignKey("players.Player", on_delete=models.CASCADE, related_name="exclusions")
    kind = models.CharField(max_length=16, choices=Kind)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=200, blank=True)
    recorded_at = models.DateTimeField()
    recorded_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["-starts_at"]
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at")), name="exclusion_ends_after_start")
        ]
        indexes = [models.Index(fields=["player", "starts_at"], name="exclusion_by_player")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of player {self.player_id}"


class DepositLimit(models.Model):
    class Period(models.TextChoices):
        DAY = "DAY", "Day"
        WEEK = "WEEK", "Week"
        MONTH = "MONTH", "Month"

    player = models.ForeignKey("players.Player", on_delete=models.CASCADE, related_name="deposit_limits")
    period = models.CharField(max_length=5, choices=Period)
    amount = models.DecimalField(max_digits=14, decimal_places=2)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-starts_at"]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="deposit_limit_positive"),
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at")), name="deposit_limit_ends_after_start"
            ),
        ]
        indexes = [models.Index(fields=["player", "period"], name="deposit_limit_by_player")]

    def __str__(self) -> str:
        return f"{self.amount} per {self.period} for player {self.player_id}"
