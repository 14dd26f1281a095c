"""Qualifying points by day, rolled up from the ledger, so that a window is a sum of a few rows instead of a walk through entries."""

from django.db import models
from django.db.models import Q


class QualifyingDay(models.Model):
    """Loyalty points that one player earned on one day of the tier programme's zone, net of reversals, in hundredths.

    A reversal counts on the day of the entry that it reverses: a bet voided later leaves the window in which it was placed.
    """

    pk = models.CompositePrimaryKey("player_id", "day")
    player = models.ForeignKey("players.Player", on_delete=models.CASCADE, related_name="+", db_index=False)
    day = models.DateField()
    points = models.BigIntegerField(help_text="Hundredths of a point.")

    def __str__(self) -> str:
        return f"qualifying points of player {self.player_id} on {self.day}"


class QualifyingMark(models.Model):
    """How far a player's loyalty points are rolled up: up to which entry (seq) of the account, in which zone's days."""

    player = models.OneToOneField("players.Player", on_delete=models.CASCADE, primary_key=True, related_name="+")
    through_seq = models.BigIntegerField()
    zone = models.CharField(max_length=64)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(through_seq__gte=0), name="qualifying_mark_not_negative")]

    def __str__(self) -> str:
        return f"qualifying points of player {self.player_id} through entry {self.through_seq}"
