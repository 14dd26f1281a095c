"""Activity as the platform reported it, and what each bet did to the wagering of a grant. Append-only."""

from django.db import models
from django.db.models import F, Q

from .log import NextLogNumber
from .template import Product


class WagerEvent(models.Model):
    """One report: a bet, a win, a rollback or the end of a round. One effect per (source, activity id, kind), however often it arrives.

    Amounts are minor units of `currency`. `real_part` is the platform's cash; `bonus_part` and `locked_part` are what moved on the
    grant. What a round is at any time follows from its events; nothing of it is stored twice.
    """

    class Kind(models.TextChoices):
        BET = "BET", "Bet"
        WIN = "WIN", "Win"
        ROLLBACK = "ROLLBACK", "Rollback"
        ROUND_END = "ROUND_END", "End of round"

    source = models.CharField(max_length=40, help_text="Who reported it: a platform or an API client.")
    activity_id = models.CharField(max_length=80)
    kind = models.CharField(max_length=9, choices=Kind, default=Kind.BET)
    player = models.ForeignKey("players.Player", on_delete=models.PROTECT, related_name="wager_events", db_index=False)
    currency = models.CharField(max_length=3)
    product = models.CharField(max_length=8, choices=Product, default=Product.CASINO)
    round_id = models.CharField(max_length=80, help_text="Ties bets and wins together; a bet without one is a round of its own.")
    ends_round = models.BooleanField(default=False)
    amount = models.BigIntegerField(default=0, help_text="Stake or win.")
    real_part = models.BigIntegerField(default=0)
    bonus_part = models.BigIntegerField(default=0)
    locked_part = models.BigIntegerField(default=0)
    split_stated = models.BooleanField(default=False, help_text="The platform stated the parts; otherwise the fund order decided.")
    cash_before = models.BigIntegerField(null=True, blank=True, help_text="Cash of the player before it, as the platform reported.")
    grant = models.ForeignKey(
        "wallet.BonusGrant", null=True, blank=True, on_delete=models.PROTECT, related_name="events_in", db_index=False
    )
    takes_back_id = models.CharField(max_length=80, blank=True, default="", help_text="Rollback: activity id of the bet or win.")
    takes_back_kind = models.CharField(max_length=9, blank=True, default="", help_text="Rollback: BET or WIN.")
    game_code = models.CharField(max_length=80, blank=True, default="")
    game_category = models.CharField(max_length=40, blank=True, default="")
    provider = models.CharField(max_length=80, blank=True, default="")
    house_edge = models.DecimalField(
        max_digits=7, decimal_places=5, null=True, blank=True, help_text="House edge of the game when it was played, a share."
    )
    is_free_round = models.BooleanField(default=False)
    coverage = models.DecimalField(
        max_digits=9, decimal_places=6, null=True, blank=True, help_text="Share of the outcomes that the bet covers."
    )
    entry = models.ForeignKey("wallet.Entry", null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    cash_change = models.BigIntegerField(
        default=0, db_default=0, help_text="What the platform had to add to the player's cash for it, minor units; a stake is negative."
    )
    waits = models.BooleanField(default=False, help_text="Arrived before the bet it belongs to; takes effect when that bet arrives.")
    occurred_at = models.DateTimeField(help_text="When the bet was placed or settled, by the platform's clock.")
    received_at = models.DateTimeField()
    log_number = models.BigIntegerField(db_default=NextLogNumber(), editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["source", "activity_id", "kind"], name="wager_activity_once"),
            models.CheckConstraint(
                condition=Q(amount__gte=0, real_part__gte=0, bonus_part__gte=0, locked_part__gte=0), name="wager_amounts_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(amount=F("real_part") + F("bonus_part") + F("locked_part")) | Q(waits=True) | Q(is_free_round=True),
                name="wager_parts_add_up",
            ),
            models.CheckConstraint(condition=~Q(activity_id="") & ~Q(round_id=""), name="wager_has_ids"),
            models.CheckConstraint(condition=Q(kind="ROLLBACK") ^ Q(takes_back_id=""), name="wager_rollback_names_its_target"),
        ]
        indexes = [
            models.Index(fields=["player", "round_id"], name="wager_by_round"),
            models.Index(fields=["player", "-occurred_at"], name="wager_by_player"),
            models.Index(fields=["grant", "-id"], condition=Q(grant__isnull=False), name="wager_by_grant"),
            models.Index(fields=["player", "takes_back_id"], condition=Q(kind="ROLLBACK"), name="wager_rollbacks"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display().lower()} {self.activity_id}"


class WagerCount(models.Model):
    """What one event did to the wagering of one grant: counted how much at which weight, or why not; progress before and after.

    A bet has one when it is settled; its rollback has one that takes exactly the same back.
    """

    class Verdict(models.TextChoices):
        COUNTED = "COUNTED", "Counted"
        CAPPED = "CAPPED", "Counted up to the requirement"
        CAPPED_AT_MAX_BET = "CAPPED_AT_MAX_BET", "Counted up to the largest bet"
        FLAGGED = "FLAGGED", "Counted; above the largest bet, flagged for review"
        PENALTY = "PENALTY", "Above the largest bet: the requirement was raised"
        OVER_MAX_BET = "OVER_MAX_BET", "Stake above the largest bet"
        GAME_EXCLUDED = "GAME_EXCLUDED", "Game does not count"
        GAME_NOT_ELIGIBLE = "GAME_NOT_ELIGIBLE", "Game is not part of the offer"
        FREE_ROUND = "FREE_ROUND", "Free round"
        CANCELLED = "CANCELLED", "Bet was cancelled or refunded"
        COVERAGE = "COVERAGE", "Bet covers too many outcomes"
        CURRENCY_MISMATCH = "CURRENCY_MISMATCH", "Other currency than the bonus"
        NO_BONUS_FUNDS = "NO_BONUS_FUNDS", "Nothing of the stake came from the bonus"
        BEFORE_GRANT = "BEFORE_GRANT", "Placed before the bonus was active"
        AFTER_EXPIRY = "AFTER_EXPIRY", "Placed after the bonus expired"
        GRANT_CLOSED = "GRANT_CLOSED", "The bonus had ended before the round did"
        NO_STAKE = "NO_STAKE", "Bet without a stake"
        PAUSED = "PAUSED", "Bonus is paused"
        ROLLED_BACK = "ROLLED_BACK", "Taken back"

    wager = models.ForeignKey(WagerEvent, on_delete=models.PROTECT, related_name="counts", db_index=False)
    grant = models.ForeignKey("wallet.BonusGrant", on_delete=models.PROTECT, related_name="wager_counts", db_index=False)
    settled_by = models.ForeignKey(WagerEvent, on_delete=models.PROTECT, related_name="+", db_index=False)
    verdict = models.CharField(max_length=18, choices=Verdict)
    rule = models.CharField(max_length=120, blank=True, default="", help_text="Line of the contribution table that gave the weight.")
    weight = models.DecimalField(max_digits=9, decimal_places=6, default=0)
    counted_stake = models.DecimalField(max_digits=20, decimal_places=6, default=0, help_text="Part of the stake that was weighed.")
    counted = models.DecimalField(max_digits=20, decimal_places=6, help_text="Added to the progress; negative when taken back.")
    penalty = models.DecimalField(
        max_digits=20, decimal_places=6, default=0, help_text="Added to the requirement; negative when taken back."
    )
    progress_before = models.DecimalField(max_digits=20, decimal_places=6)
    progress_after = models.DecimalField(max_digits=20, decimal_places=6)
    required_after = models.DecimalField(max_digits=20, decimal_places=6)
    occurred_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["wager", "grant"], name="wagercount_once"),
            models.CheckConstraint(condition=Q(progress_after=F("progress_before") + F("counted")), name="wagercount_adds_up"),
        ]
        indexes = [models.Index(fields=["grant", "-id"], name="wagercount_by_grant")]

    def __str__(self) -> str:
        return f"{self.verdict} {self.counted}"
