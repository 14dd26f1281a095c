"""How many points a player earned by play so far, exactly, and how many of them the wallet has."""

from django.db import models
from django.db.models import Q

from .earning import EXACT_POINTS


class PlayPoints(models.Model):
    """One row a player and unit. `earned` is exact and never rounded; the ledger holds `credited_minor`, its whole hundredths.

    Below the line of what is credited (a corrected day whose points were spent already) the difference is a debt that the next
    earnings pay first.
    """

    pk = models.CompositePrimaryKey("player_id", "unit")
    player = models.ForeignKey("players.Player", on_delete=models.PROTECT, related_name="play_points", db_index=False)
    unit = models.CharField(max_length=2, default="LP")
    through = models.DateField(help_text="Last day that is included.")
    earned = models.DecimalField(**EXACT_POINTS, default=0)
    credited_minor = models.BigIntegerField(default=0, help_text="Hundredths of a point posted to the wallet, net of corrections.")
    postings = models.PositiveIntegerField(default=0)
    updated_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "play points"
        constraints = [
            models.CheckConstraint(condition=Q(credited_minor__gte=0, earned__gte=0), name="play_points_not_negative"),
            models.CheckConstraint(condition=Q(unit__in=["LP", "RP"]), name="play_points_unit_known"),
        ]

    def __str__(self) -> str:
        return f"{self.unit} for play of player {self.player_id}"
