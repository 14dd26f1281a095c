from django.db import models
from django.db.models import F, Q

from loyalty_site.common.models.history import ChangeHistory


class Tier(models.Model):
    """A step of the loyalty ladder. Thresholds are loyalty points (LP) earned, never the spendable balance."""

    name = models.CharField(max_length=40, unique=True)
    rank = models.PositiveSmallIntegerField(unique=True, help_text="0 is the lowest tier.")
    entry_points = models.DecimalField(max_digits=14, decimal_places=2, help_text="LP to enter the tier.")
    keep_points = models.DecimalField(max_digits=14, decimal_places=2, help_text="LP to keep it at a review; at most the entry threshold.")
    earn_multiplier = models.DecimalField(max_digits=6, decimal_places=3, default=1)
    cashback_multiplier = models.DecimalField(max_digits=6, decimal_places=3, default=1)
    benefits = models.JSONField(default=list, blank=True, help_text="Texts shown to staff and players.")
    color = models.CharField(max_length=7, default="#64748b", help_text="Hex colour of badges and charts.")
    needs_gate = models.BooleanField(
        "needs clearance",
        default=False,
        help_text="For high-value players: entered and kept only with a clearance in force (identity, affordability, harm check).",
    )

    history = ChangeHistory()

    class Meta:
        ordering = ["rank"]
        constraints = [
            models.CheckConstraint(condition=Q(keep_points__lte=F("entry_points")), name="tier_keep_at_most_entry"),
            models.CheckConstraint(condition=Q(entry_points__gte=0, keep_points__gte=0), name="tier_points_not_negative"),
            models.CheckConstraint(condition=Q(earn_multiplier__gt=0, cashback_multiplier__gte=0), name="tier_multipliers_sane"),
        ]

    def __str__(self) -> str:
        return self.name


class TierMove(models.Model):
    """One change of a player's tier, with its cause."""

    class Kind(models.TextChoices):
        UPGRADE = "UPGRADE", "Upgrade"
        REVIEW = "REVIEW", "Review"
        GRACE_END = "GRACE_END", "End of grace"
        OVERRIDE = "OVERRIDE", "Override"
        OVERRIDE_END = "OVERRIDE_END", "End of override"
        MANUAL = "MANUAL", "By hand"
        IMPORT = "IMPORT", "Brought from elsewhere"

    player = models.ForeignKey("players.Player", on_delete=models.CASCADE, related_name="tier_moves")
    from_tier = models.ForeignKey(Tier, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    to_tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=12, choices=Kind, default=Kind.MANUAL)
    moved_at = models.DateTimeField()
    points = models.DecimalField(max_digits=14, decimal_places=2, null=True, blank=True, help_text="Qualifying LP that the move looked at.")
    reason = models.CharField(max_length=200)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=["UPGRADE", "REVIEW", "GRACE_END", "OVERRIDE", "OVERRIDE_END", "MANUAL", "IMPORT"]),
                name="tiermove_kind_known",
            )
        ]
        indexes = [models.Index(fields=["player", "-moved_at"], name="tiermove_by_player")]

    def __str__(self) -> str:
        return f"{self.player_id}: {self.from_tier_id} -> {self.to_tier_id}"
