"""Past cases: how players looked at an earlier instant, and what became of them since."""

from django.db import models

from .run import ScoringRun


class PastCase(models.Model):
    """A player as of the cut-off of a run's cases (`ScoringRun.summary["cases"]`), for comparison with players of today.

    `features` are the leading features in the order that the run names, not standardised; null is unknown. A sample, renewed with
    every run and deleted with it.
    """

    run = models.ForeignKey(ScoringRun, on_delete=models.CASCADE, related_name="+", db_index=False)
    player = models.ForeignKey("players.Player", on_delete=models.CASCADE, related_name="+")
    features = models.JSONField()
    churned = models.BooleanField(help_text="No real-money bet and no deposit within the horizon after the cut-off.")
    value = models.DecimalField(
        max_digits=20, decimal_places=4, null=True, help_text="Net revenue after the cut-off, in the player's currency; empty: not over."
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "player"], name="pastcase_once")]

    def __str__(self) -> str:
        return f"player {self.player_id} as a past case"
