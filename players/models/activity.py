"""What players did. Amounts are in the player's currency, never negative; instants are UTC.

`external_id` is the operator's id of the event, unique per player, so that the same event arriving twice has one effect.
"""

from typing import Any

from django.db import models
from django.db.models import F, Q
from simple_history.models import HistoricalRecords

AMOUNT: dict[str, Any] = {"max_digits": 20, "decimal_places": 4}


class Game(models.Model):
    class Category(models.TextChoices):
        SLOTS = "slots", "Slots"
        LIVE = "live", "Live casino"
        TABLE = "table", "Table games"
        ROULETTE = "roulette", "Roulette"
        BLACKJACK = "blackjack", "Blackjack"
        POKER = "poker", "Poker"
        CRASH = "crash", "Crash"
        SPORTS = "sports", "Sports"
        BINGO = "bingo", "Bingo"
        OTHER = "other", "Other"

    code = models.CharField(max_length=80, unique=True)
    name = models.CharField(max_length=120, blank=True)
    provider = models.CharField(max_length=80, blank=True)
    category = models.CharField(max_length=12, choices=Category, default=Category.OTHER)
    house_edge = models.DecimalField(
        max_digits=7, decimal_places=5, null=True, blank=True, help_text="Share of the stake the house keeps on average; empty: unknown."
    )
    round_sd = models.DecimalField(
        max_digits=9,
        decimal_places=3,
        null=True,
        blank=True,
        help_text="Standard deviation of a round's return per unit staked.",
    )

    history = HistoricalRecords()

    class Meta:
        ordering = ["code"]
        constraints = [
            models.CheckConstraint(
                condition=Q(house_edge__isnull=True) | Q(house_edge__gt=-1, house_edge__lt=1), name="game_edge_is_a_share"
            ),
            models.CheckConstraint(condition=Q(round_sd__isnull=True) | Q(round_sd__gt=0), name="game_sd_positive"),
        ]

    def __str__(self) -> str:
        return self.name or self.code


class Payment(models.Model):
    class Kind(models.TextChoices):
        DEPOSIT = "DEPOSIT", "Deposit"
        WITHDRAWAL = "WITHDRAWAL", "Withdrawal"
        REFUND = "REFUND", "Refund of a deposit"
        CHARGEBACK = "CHARGEBACK", "Chargeback of a deposit"

    class Status(models.TextChoices):
        COMPLETED = "COMPLETED", "Completed"
        PENDING = "PENDING", "Pending"
        FAILED = "FAILED", "Failed"
        CANCELLED = "CANCELLED", "Cancelled"

    player = models.ForeignKey("players.Player", on_delete=models.CASCADE, related_name="payments", db_index=False)
    external_id = models.CharField(max_length=80)
    kind = models.CharField(max_length=10, choices=Kind)
    status = models.CharField(max_length=10, choices=Status, default=Status.COMPLETED)
    amount = models.DecimalField(**AMOUNT)
    method = models.CharField(max_length=40, blank=True)
    instrument = models.CharField(max_length=64, blank=True, help_text="Fingerprint of the card or account, never its number.")
    occurred_at = models.DateTimeField()
    import_job = models.ForeignKey("players.ImportJob", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["-occurred_at"]
        constraints = [
            models.UniqueConstraint(fields=["player", "external_id"], name="payment_once"),
            models.CheckConstraint(condition=Q(amount__gte=0), name="payment_amount_not_negative"),
        ]
        indexes = [
            models.Index(fields=["player", "occurred_at"], name="payment_by_player"),
            models.Index(fields=["instrument"], condition=~Q(instrument=""), name="payment_by_instrument"),
            models.Index(fields=["import_job"], condition=Q(import_job__isnull=False), name="payment_by_import"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.external_id}"


class PlaySession(models.Model):
    player = models.ForeignKey("players.Player", on_delete=models.CASCADE, related_name="sessions", db_index=False)
    external_id = models.CharField(max_length=80)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    ip = models.GenericIPAddressField(null=True, blank=True)
    device_id = models.CharField(max_length=80, blank=True)
    import_job = models.ForeignKey("players.ImportJob", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["-started_at"]
        constraints = [
            models.UniqueConstraint(fields=["player", "external_id"], name="session_once"),
            models.CheckConstraint(condition=Q(ended_at__isnull=True) | Q(ended_at__gte=F("started_at")), name="session_ends_after_start"),
        ]
        indexes = [
            models.Index(fields=["player", "started_at"], name="session_by_player"),
            models.Index(fields=["ip"], condition=Q(ip__isnull=False), name="session_by_ip"),
            models.Index(fields=["device_id"], condition=~Q(device_id=""), name="session_by_device"),
            models.Index(fields=["import_job"], condition=Q(import_job__isnull=False), name="session_by_import"),
        ]

    def __str__(self) -> str:
        return f"session {self.external_id}"


class GamePlay(models.Model):
    """One round, or a batch of rounds of one game: total stake, total payout, number of rounds."""

    player = models.ForeignKey("players.Player", on_delete=models.CASCADE, related_name="plays", db_index=False)
    external_id = models.CharField(max_length=80)
    session_ref = models.CharField(max_length=80, blank=True, help_text="External id of the session, when known.")
    game = models.ForeignKey(Game, on_delete=models.PROTECT, related_name="plays", db_index=False)
    played_at = models.DateTimeField()
    stake = models.DecimalField(**AMOUNT)
    payout = models.DecimalField(**AMOUNT)
    bonus_stake = models.DecimalField(**AMOUNT, default=0, help_text="Part of the stake paid with bonus money.")
    rounds = models.PositiveIntegerField(default=1)
    import_job = models.ForeignKey("players.ImportJob", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["-played_at"]
        constraints = [
            models.UniqueConstraint(fields=["player", "external_id"], name="play_once"),
            models.CheckConstraint(condition=Q(stake__gte=0, payout__gte=0, bonus_stake__gte=0), name="play_amounts_not_negative"),
            models.CheckConstraint(condition=Q(bonus_stake__lte=F("stake")), name="play_bonus_part_of_stake"),
            models.CheckConstraint(condition=Q(rounds__gte=1), name="play_has_rounds"),
        ]
        indexes = [
            models.Index(fields=["player", "played_at"], name="play_by_player"),
            models.Index(fields=["import_job"], condition=Q(import_job__isnull=False), name="play_by_import"),
        ]

    def __str__(self) -> str:
        return f"play {self.external_id}"


class ActivityTotals(models.Model):
    """A statement of a player's totals up to `as_of` (the aggregate file format). Detailed activity after `as_of` adds to it."""

    player = models.ForeignKey("players.Player", on_delete=models.CASCADE, related_name="totals", db_index=False)
    as_of = models.DateTimeField()
    total_deposited = models.DecimalField(**AMOUNT)
    total_wagered = models.DecimalField(**AMOUNT)
    total_won = models.DecimalField(**AMOUNT)
    sessions = models.PositiveIntegerField(default=0)
    playtime_hours = models.DecimalField(max_digits=14, decimal_places=4, default=0)
    bets = models.PositiveBigIntegerField(null=True, blank=True, help_text="Number of bets; empty: the file did not say.")
    import_job = models.ForeignKey("players.ImportJob", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["-as_of"]
        verbose_name_plural = "activity totals"
        constraints = [
            models.UniqueConstraint(fields=["player", "as_of"], name="totals_once"),
            models.CheckConstraint(
                condition=Q(total_deposited__gte=0, total_wagered__gte=0, total_won__gte=0, playtime_hours__gte=0),
                name="totals_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return f"totals of player {self.player_id} at {self.as_of:%Y-%m-%d}"
