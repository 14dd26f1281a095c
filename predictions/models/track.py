"""A thin history of scores: a point when a week has passed or the score moved by more than a tenth."""

from django.db import models

from .kind import Kind


class ScorePoint(models.Model):
    """`value` is the kind's leading figure: a probability, the predicted value, or the cluster.

    The model version that said it is that of the run of the same instant (`ScoringRun.versions`); runs are records that stay, so that a
    million players' points need not repeat it.
    """

    pk = models.CompositePrimaryKey("player_id", "kind", "as_of")
    player = models.ForeignKey("players.Player", on_delete=models.CASCADE, related_name="score_points", db_index=False)
    kind = models.CharField(max_length=14, choices=Kind)
    as_of = models.DateTimeField()
    value = models.FloatField()

    def __str__(self) -> str:
        return f"{self.kind} of player {self.player_id} at {self.as_of:%Y-%m-%d}"
