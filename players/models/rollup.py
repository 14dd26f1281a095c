"""Measures derived from activity: one row per player and day, and one row per player."""

from django.db import models

from .activity import AMOUNT


class PlayerDay(models.Model):
    """Sums of one player's activity on one UTC day. Kept up to date by every ingest for the days it touched."""

    pk = models.CompositePrimaryKey("player_id", "day")
    player = models.ForeignKey("players.Player", on_delete=models.CASCADE, related_name="days", db_index=False)
    day = models.DateField()
    deposits = models.DecimalField(**AMOUNT, default=0)
    deposit_count = models.PositiveIntegerField(default=0)
    failed_deposit_count = models.PositiveIntegerField(default=0)
    withdrawals = models.DecimalField(**AMOUNT, default=0)
    withdrawal_count = models.PositiveIntegerField(default=0)
    refunds = models.DecimalField(**AMOUNT, default=0, help_text="Refunds and chargebacks of deposits.")
    stake = models.DecimalField(**AMOUNT, default=0)
    payout = models.DecimalField(**AMOUNT, default=0)
    bonus_stake = models.DecimalField(**AMOUNT, default=0)
    theo = models.DecimalField(max_digits=24, decimal_places=9, default=0, help_text="Sum of stake x house edge.")
    rounds = models.PositiveBigIntegerField(default=0)
    max_stake = models.DecimalField(**AMOUNT, default=0, help_text="Largest average stake of one play record.")
    games = models.PositiveIntegerField(default=0, help_text="Different games played.")
    sessions = models.PositiveIntegerField(default=0)
    playtime_seconds = models.PositiveBigIntegerField(default=0)

    class Meta:
        indexes = [models.Index(fields=["day"], name="playerday_by_day")]

    def __str__(self) -> str:
        return f"player {self.player_id} on {self.day}"


class PlayerMetrics(models.Model):
    """All figures of a player that rules, pages and the API read, as of one instant. `docs/metrics.md` defines each."""

    player = models.OneToOneField("players.Player", on_delete=models.CASCADE, primary_key=True, related_name="metrics")
    as_of = models.DateTimeField()
    # money
    total_deposited = models.DecimalField(**AMOUNT, default=0)
    total_withdrawn = models.DecimalField(**AMOUNT, default=0)
    total_refunded = models.DecimalField(**AMOUNT, default=0, help_text="Refunds and chargebacks of deposits.")
    total_wagered = models.DecimalField(**AMOUNT, default=0)
    total_won = models.DecimalField(**AMOUNT, default=0)
    net_pnl = models.DecimalField(**AMOUNT, default=0, help_text="Won minus wagered: the player's result.")
    net_loss = models.DecimalField(**AMOUNT, default=0, help_text="What the player lost: -net_pnl when negative, else 0.")
    house_edge_contribution = models.DecimalField(max_digits=24, decimal_places=9, default=0)
    bonus_wagered = models.DecimalField(**AMOUNT, default=0)
    # behaviour
    deposit_count = models.PositiveIntegerField(default=0)
    withdrawal_count = models.PositiveIntegerField(default=0)
    sessions = models.PositiveIntegerField(default=0)
    playtime_hours = models.DecimalField(max_digits=14, decimal_places=4, default=0)
    avg_session_duration = models.DecimalField(max_digits=12, decimal_places=4, default=0, help_text="Minutes.")
    total_bets = models.PositiveBigIntegerField(default=0)
    avg_bet_size = models.DecimalField(**AMOUNT, default=0)
    active_days = models.PositiveIntegerField(default=0)
    first_activity_on = models.DateField(null=True, blank=True)
    last_activity_on = models.DateField(null=True, blank=True)
    last_deposit_on = models.DateField(null=True, blank=True)
    last_play_on = models.DateField(null=True, blank=True)
    # risk
    win_loss_ratio = models.DecimalField(max_digits=14, decimal_places=6, default=0, help_text="Won per unit wagered; 0 without play.")
    volatility_score = models.DecimalField(
        max_digits=14, decimal_places=6, default=0, help_text="Standard deviation of the daily result, in average daily stakes."
    )
    bonus_abuse_score = models.DecimalField(max_digits=7, decimal_places=3, default=0, help_text="0 to 100; written by the risk job.")
    # windows that end at as_of: its UTC day so far and the 6 (29) days before it
    deposited_7d = models.DecimalField(**AMOUNT, default=0)
    wagered_7d = models.DecimalField(**AMOUNT, default=0)
    net_loss_7d = models.DecimalField(**AMOUNT, default=0)
    sessions_7d = models.PositiveIntegerField(default=0)
    deposited_30d = models.DecimalField(**AMOUNT, default=0)
    wagered_30d = models.DecimalField(**AMOUNT, default=0)
    net_loss_30d = models.DecimalField(**AMOUNT, default=0)
    sessions_30d = models.PositiveIntegerField(default=0)
    wagered_1d = models.DecimalField(**AMOUNT, default=0, help_text="The UTC day before the day of as_of.")
    net_loss_1d = models.DecimalField(**AMOUNT, default=0)

    class Meta:
        verbose_name_plural = "player metrics"

    def __str__(self) -> str:
        return f"metrics of player {self.player_id}"
