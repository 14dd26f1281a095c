"""Scoring runs. Readers only ever see the current one, which is complete."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Q
from django.utils.functional import cached_property

from predictions.instants import features_instant


class ScoringRun(models.Model):
    """One scoring of all players for one instant. Its scores become visible all at once, when `is_current` moves to it."""

    class Status(models.TextChoices):
        BUILDING = "BUILDING", "Being written"
        COMPLETE = "COMPLETE", "Written, not yet shown"
        PUBLISHED = "PUBLISHED", "Published"
        PRUNED = "PRUNED", "Scores deleted"
        ABANDONED = "ABANDONED", "Abandoned"

    as_of = models.DateTimeField(unique=True, help_text="The instant that the scores are for.")
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

    @classmethod
    def never_shown(cls) -> models.QuerySet["ScoringRun"]:
        """Runs that nobody sees, not yet or never: what was written for their instants is no history."""
        return cls.objects.exclude(status__in=[cls.Status.PUBLISHED, cls.Status.PRUNED])

    @classmethod
    def shown_after(cls, as_of: datetime) -> "ScoringRun | None":
        """The run that readers see, when it is of a later instant: one of `as_of` would never be shown in its place."""
        return cls.objects.filter(is_current=True, as_of__gt=as_of).defer("summary").first()

    @property
    def features_as_of(self) -> datetime:
        """The instant that the features were computed for: `as_of`, but not beyond the last day with data."""
        return features_instant(self.as_of, self.data_through)

    @property
    def revision(self) -> int:
        """How often its sums were computed anew."""
        return int(self._parts.get("revision") or 0)

    @property
    def units(self) -> Mapping[str, float]:
        """Currency to the amount that was one unit of its monetary features, the same for everything that tells of the run."""
        units: Mapping[str, float] = self._parts["units"]
        return units

    @property
    def _parts(self) -> Mapping[str, Any]:
        """The summary, or of one that was not loaded (it is large) the small parts that requests need, in one query."""
        return self._small_parts if "summary" in self.get_deferred_fields() else self.summary

    @cached_property
    def _small_parts(self) -> Mapping[str, Any]:
        found = type(self).objects.filter(pk=self.pk).values("summary__units", "summary__revision").get()
        return {name.removeprefix("summary__"): part for name, part in found.items() if part is not None}
