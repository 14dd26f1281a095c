"""Bets as the wallet saw them, and what each did to the wagering of a grant. Append-only."""

from django.db import models
from django.db.models import F, Q


class WagerEvent(models.Model):
    """A bet that was reported once: one effect per activity id of a player, however often the report arrives."""

    class Kind(models.TextChoices):
        BET = "BET", "Bet"

    player = models.ForeignKey("players.Player", on_delete=models.PROTECT, related_name="wager_events", db_index=False)
    activity_id = models.CharField(max_length=80)
    kind = models.CharField(max_length=8, choices=Kind, default=Kind.BET)
    currency = models.CharField(max_length=3)
    stake = models.BigIntegerField(help_text="Minor units.")
    game_code = models.CharField(max_length=80, blank=True, default="")
    game_category = models.CharField(max_length=40, blank=True, default="")
    counted = models.DecimalField(max_digits=20, decimal_places=6, help_text="Counted towards wagering in all, units of the currency.")
    occurred_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["player", "activity_id", "kind"], name="wager_activity_once"),
            models.CheckConstraint(condition=Q(stake__gte=0), name="wager_stake_not_negative"),
            models.CheckConstraint(condition=Q(counted__gte=0), name="wager_counted_not_negative"),
            models.CheckConstraint(condition=~Q(activity_id=""), name="wager_has_activity_id"),
        ]

    def __str__(self) -> str:
        return f"bet {self.activity_id}"


class WagerCount(models.Model):
    """What one bet did to one grant: counted how much or why not, progress before and after."""

    class Verdict(models.TextChoices):
        COUNTED = "COUNTED", "Counted"
        CAPPED = "CAPPED", "Counted up to the requirement"
        OVER_MAX_BET = "OVER_MAX_BET", "Stake above the largest bet"
        GAME_NOT_ELIGIBLE = "GAME_NOT_ELIGIBLE", "Game does not count"
        BEFORE_GRANT = "BEFORE_GRANT", "Placed before the bonus was active"
        AFTER_EXPIRY = "AFTER_EXPIRY", "Placed after the bonus expired"
        STAKE_USED = "STAKE_USED", "Stake already counted for another bonus"
        NO_STAKE = "NO_STAKE", "Bet without a stake"
        PAUSED = "PAUSED", "Bonus is paused"

    wager = models.ForeignKey(WagerEvent, on_delete=models.PROTECT, related_name="counts", db_index=False)
    grant = models.ForeignKey("wallet.BonusGrant", on_delete=models.PROTECT, related_name="wager_counts", db_index=False)
    verdict = models.CharField(max_length=18, choices=Verdict)
    counted = models.DecimalField(max_digits=20, decimal_places=6)
    progress_before = models.DecimalField(max_digits=20, decimal_places=6)
    progress_after = models.DecimalField(max_digits=20, decimal_places=6)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["wager", "grant"], name="wagercount_once"),
            models.CheckConstraint(condition=Q(progress_after=F("progress_before") + F("counted")), name="wagercount_adds_up"),
        ]
        indexes = [models.Index(fields=["grant", "-id"], name="wagercount_by_grant")]

    def __str__(self) -> str:
        return f"{self.verdict} {self.counted}"
