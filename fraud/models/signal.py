"""Abuse signals, the score they add up to, and flags for a person's review."""

from django.conf import settings
from django.db import models
from django.db.models import Q


class SignalKind(models.TextChoices):
    BONUS_ONLY = "BONUS_ONLY", "Bonus-only play"
    IMMEDIATE_WITHDRAWAL = "IMMEDIATE_WITHDRAWAL", "Immediate withdrawal"
    BET_MANIPULATION = "BET_MANIPULATION", "Bet manipulation while wagering"
    MULTI_ACCOUNT = "MULTI_ACCOUNT", "Shared IP, device or payment instrument"
    WIN_RATE = "WIN_RATE", "Abnormal win rate"


class AbuseSignal(models.Model):
    """One observation by a detector: how strong (0 to 1), when last seen, and the evidence. One row per player, kind and key."""

    player = models.ForeignKey("players.Player", on_delete=models.CASCADE, related_name="abuse_signals")
    kind = models.CharField(max_length=24, choices=SignalKind)
    key = models.CharField(max_length=64, blank=True, help_text="What tells two observations of one kind apart (a grant, a device).")
    strength = models.DecimalField(max_digits=6, decimal_places=5)
    first_seen_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    evidence = models.JSONField(default=dict)

    class Meta:
        ordering = ["-seen_at"]
        constraints = [
            models.UniqueConstraint(fields=["player", "kind", "key"], name="signal_once"),
            models.CheckConstraint(condition=Q(strength__gte=0, strength__lte=1), name="signal_strength_0_1"),
        ]
        indexes = [models.Index(fields=["kind", "-seen_at"], name="signal_recent")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of player {self.player.external_id}"


class Band(models.TextChoices):
    NONE = "NONE", "No action"
    REDUCED = "REDUCED", "Reduced rewards"
    WAGERING = "WAGERING", "Increased wagering"
    BLOCKED = "BLOCKED", "Blocked"


class AbuseProfile(models.Model):
    """The current abuse score of a player (semantics: decayed noisy-or of signals), its band and top contributions. No row: score 0."""

    player = models.OneToOneField("players.Player", on_delete=models.CASCADE, primary_key=True, related_name="abuse_profile")
    score = models.DecimalField(max_digits=6, decimal_places=3)
    band = models.CharField(max_length=8, choices=Band, default=Band.NONE)
    contributions = models.JSONField(default=list, help_text="Largest first: kind, key, weight, strength, decay, contribution, points.")
    scored_at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(score__gte=0, score__lte=100), name="abuse_score_0_100")]
        indexes = [models.Index(fields=["-score", "player"], name="abuse_by_score")]

    def __str__(self) -> str:
        return f"abuse score of player {self.player.external_id}"


class ReviewFlag(models.Model):
    """A person asks for a review of a player, with a reason; another person closes it with an outcome."""

    class Status(models.TextChoices):
        OPEN = "OPEN", "Open"
        CONFIRMED = "CONFIRMED", "Abuse confirmed"
        FALSE_POSITIVE = "FALSE_POSITIVE", "False positive"
        INCONCLUSIVE = "INCONCLUSIVE", "Inconclusive"

    player = models.ForeignKey("players.Player", on_delete=models.CASCADE, related_name="review_flags")
    status = models.CharField(max_length=16, choices=Status, default=Status.OPEN)
    reason = models.TextField()
    score_at_flag = models.DecimalField(max_digits=6, decimal_places=3, default=0)
    flagged_at = models.DateTimeField()
    flagged_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    outcome_note = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["player"], condition=Q(status="OPEN"), name="review_one_open_per_player"),
            models.CheckConstraint(condition=~Q(reason=""), name="review_has_reason"),
        ]
        permissions = [("close_reviewflag", "Can close a review with an outcome")]

    def __str__(self) -> str:
        return f"review of player {self.player.external_id}"


class FlagEvidence(models.Model):
    """A flag of the wallet that became evidence of a review. Each flag is taken up once."""

    flag = models.OneToOneField("wallet.WalletFlag", on_delete=models.PROTECT, related_name="+")
    review = models.ForeignKey(ReviewFlag, on_delete=models.CASCADE, related_name="wallet_evidence")
    taken_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"flag {self.flag_id} in review {self.review_id}"
