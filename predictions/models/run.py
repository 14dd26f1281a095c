"""Scoring runs. Readers only ever see the current one, which is complete."""

from django.db import models
from django.db.models import Q


class ScoringRun(models.Model):
    """One scoring of all players for one instant. Its scores become visible all at once, when `is_current` moves to it."""

    class Status(models.TextChoices):
        BUILDING = "BUILDING", "Being written"
        PUBLISHED = "PUBLISHED", "Published"
        PRUNED = "PRUNED", "Scores deleted"
        ABANDONED = "ABANDONED", "Abandoned"

    as_of = models.DateTimeField(unique=True, help_text="The instant the features were computed for.")
    status = models.CharField(max_length=10, choices=Status, default=Status.BUILDING)
    is_current = models.BooleanField(default=False)
    versions = models.JSONField(default=dict, help_text="Kind to the id of the model version that scored it.")
    withheld = models.JSONField(default=dict, help_text="Kind to the reason why nothing is shown for it.")
    summary = models.JSONField(default=dict, help_text="Kind to counts, means and histogram of the run.")
    data_through = models.DateTimeField(null=True, blank=True, help_text="Latest activity that was known at scoring.")
    stale_since = models.DateTimeField(null=True, blank=True, help_text="Since when the operator's feed has been failing, at scoring.")
    started_at = models.DateTimeField()
    published_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-as_of"]
        constraints = [models.UniqueConstraint(fields=["is_current"], condition=Q(is_current=True), name="scoringrun_one_current")]

    def __str__(self) -> str:
        return f"scores as of {self.as_of:%Y-%m-%d %H:%M}"
