"""Records of background work: what ran, how far it is, what failed."""

from django.conf import settings
from django.db import models
from django.db.models import Q


class JobRun(models.Model):
    """One run of a named job. A nightly run has one child run a stage."""

    class Status(models.TextChoices):
        QUEUED = "QUEUED", "Queued"
        RUNNING = "RUNNING", "Running"
        SUCCEEDED = "SUCCEEDED", "Succeeded"
        FAILED = "FAILED", "Failed"
        CANCELLED = "CANCELLED", "Cancelled"

    name = models.CharField(max_length=80)
    title = models.CharField(max_length=200, blank=True)
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    parameters = models.JSONField(default=dict, blank=True)
    as_of = models.DateTimeField(help_text="The instant the run computes for, in UTC.")
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE, related_name="stages")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    rows_done = models.BigIntegerField(default=0)
    chunks_done = models.PositiveIntegerField(default=0)
    chunks_total = models.PositiveIntegerField(default=0, help_text="Chunks of a job, or stages of a pipeline.")
    result = models.JSONField(default=dict, blank=True)
    error = models.TextField(blank=True)
    cancel_requested = models.BooleanField(default=False)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["name", "-id"], name="jobrun_name_recent"),
            models.Index(fields=["status", "-id"], name="jobrun_status_recent"),
        ]
        permissions = [("rerun_jobrun", "Can start, cancel and rerun jobs")]

    def __str__(self) -> str:
        return f"{self.title or self.name} #{self.pk}"


class JobChunk(models.Model):
    """One range of players (or lines) of a run: the unit that succeeds, fails and is rerun."""

    class Status(models.TextChoices):
        PENDING = "PENDING", "Pending"
        DONE = "DONE", "Done"
        FAILED = "FAILED", "Failed"

    run = models.ForeignKey(JobRun, on_delete=models.CASCADE, related_name="chunks")
    number = models.PositiveIntegerField()
    lower_id = models.BigIntegerField(help_text="First id of the range.")
    upper_id = models.BigIntegerField(help_text="First id after the range.")
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    rows = models.BigIntegerField(default=0)
    result = models.JSONField(default=dict, blank=True)
    error = models.TextField(blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["run_id", "number"]
        constraints = [
            models.UniqueConstraint(fields=["run", "number"], name="jobchunk_number_once_per_run"),
            models.CheckConstraint(condition=Q(lower_id__lt=models.F("upper_id")), name="jobchunk_range_not_empty"),
        ]
        indexes = [models.Index(fields=["run", "status"], name="jobchunk_open")]

    def __str__(self) -> str:
        return f"chunk {self.number} of run {self.run_id}"
