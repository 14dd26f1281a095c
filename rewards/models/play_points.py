"""How many loyalty points a player earned by play so far, exactly, and how many of them the wallet has."""

from django.db import models
from django.db.models import Q


class PlayPoints(models.Model):
    """One row a player. `earned` is exact and never rounded; the ledger holds `credited_minor`, its whole hundredths.

    Below the line of what is credited (a corrected day whose points were spent already) the difference is a debt that the next
    earnings pay first.
    """

    player = models.OneToOneField("players.Player", on_delete=models.PROTECT, primary_key=True, related_name="play_points")
    through = models.DateField(help_text="Last day that is included.")
    stake = models.DecimalField(max_digits=20, decimal_places=4, default=0, help_text="Sum of stakes that `earned` was reckoned from.")
    earned = models.DecimalField(max_digits=28, decimal_places=10, default=0)
    credited_minor = models.BigIntegerField(default=0, help_text="Hundredths of a point posted to the wallet, net of corrections.")
    postings = models.PositiveIntegerField(default=0)
    updated_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "play points"
        constraints = [models.CheckConstraint(condition=Q(credited_minor__gte=0, stake__gte=0), name="play_points_not_negative")]

    def __str__(self) -> str:
        return f"play points of player {self.player_id}"
