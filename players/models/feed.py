from django.conf import settings
from django.db import models
from django.db.models import Q


class FeedState(models.Model):
    """How far one resource of the operator's API has been taken in, and since when it has been failing."""

    resource = models.CharField(max_length=20, unique=True)
    first_asked_at = models.DateTimeField(null=True, blank=True, help_text="When a pull first had this resource to fetch.")
    cursor_at = models.DateTimeField(null=True, blank=True, help_text="Everything before this instant has been taken in.")
    last_attempt_at = models.DateTimeField(null=True, blank=True)
    last_success_at = models.DateTimeField(null=True, blank=True)
    failing_since = models.DateTimeField(null=True, blank=True, help_text="First failed attempt since the last success.")
    failures = models.PositiveIntegerField(default=0, help_text="Failed attempts in a row.")
    last_error = models.TextField(blank=True)
    ask_not_before = models.DateTimeField(null=True, blank=True, help_text="The source asked for this much patience (Retry-After).")
    last_rows = models.PositiveBigIntegerField(default=0)
    last_rejected = models.PositiveBigIntegerField(default=0)
    last_import = models.ForeignKey("players.ImportJob", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["resource"]
        verbose_name = "operator feed"
        permissions = [("pull_feed", "Can fetch from the operator's API now")]

    def __str__(self) -> str:
        return self.resource


class FeedRefusal(models.Model):
    """A row of the operator's API that could not be taken: kept as it came and tried again until it is taken or dismissed."""

    class Status(models.TextChoices):
        OPEN = "OPEN", "Tried again"
        ACCEPTED = "ACCEPTED", "Taken later"
        DISMISSED = "DISMISSED", "Dismissed"

    resource = models.CharField(max_length=20)
    digest = models.CharField(max_length=64, help_text="SHA-256 of the row: the same row is kept once.")
    raw = models.JSONField(default=dict, help_text="The row as it came; emptied once it is taken or dismissed.")
    field = models.CharField(max_length=120, blank=True)
    reason = models.TextField(blank=True, help_text="Emptied with the row, since it quotes cells.")
    remedy = models.TextField(blank=True)
    status = models.CharField(max_length=10, choices=Status, default=Status.OPEN)
    attempts = models.PositiveIntegerField(default=1)
    first_refused_at = models.DateTimeField()
    last_tried_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    note = models.TextField(blank=True, help_text="Why the row was dismissed.")

    class Meta:
        ordering = ["id"]
        verbose_name = "refused row of a feed"
        verbose_name_plural = "refused rows of feeds"
        constraints = [models.UniqueConstraint(fields=["resource", "digest"], name="feedrefusal_once")]
        indexes = [models.Index(fields=["resource", "id"], condition=Q(status="OPEN"), name="feedrefusal_open")]
        permissions = [("dismiss_feedrefusal", "Can dismiss refused rows of a feed")]

    def __str__(self) -> str:
        return f"{self.resource} row {self.pk}"


class FeedRun(models.Model):
    """One pull of all resources: waiting for a worker, under way with its progress, or ended. At most one is open."""

    class Status(models.TextChoices):
        WAITING = "WAITING", "Waiting for a worker"
        RUNNING = "RUNNING", "Fetching"
        DONE = "DONE", "Done"
        FAILED = "FAILED", "Failed in part"
        BROKEN_OFF = "BROKEN_OFF", "Broken off"

    status = models.CharField(max_length=10, choices=Status, default=Status.WAITING)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    resource = models.CharField(max_length=20, blank=True, help_text="What is being fetched.")
    taken_until = models.DateTimeField(null=True, blank=True, help_text="How far in time that resource has come.")
    progress = models.PositiveSmallIntegerField(default=0, help_text="Per cent.")
    rows = models.PositiveBigIntegerField(default=0)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = "fetch"
        verbose_name_plural = "fetches"
        constraints = [
            models.UniqueConstraint(
                fields=["finished_at"], condition=Q(finished_at__isnull=True), nulls_distinct=False, name="feedrun_one_open"
            )
        ]

    def __str__(self) -> str:
        return f"fetch {self.pk}"
