"""An import of a file: what was asked, how far it is, what it did, what it set aside."""

from django.conf import settings
from django.db import models


class ImportMapping(models.Model):
    """A saved translation of a file's headers into our fields."""

    class FileKind(models.TextChoices):
        TOTALS = "TOTALS", "Totals per player"
        PLAYERS = "PLAYERS", "Player profiles"
        PAYMENTS = "PAYMENTS", "Payments"
        SESSIONS = "SESSIONS", "Sessions"
        PLAYS = "PLAYS", "Game plays"

    name = models.CharField(max_length=80, unique=True)
    kind = models.CharField(max_length=8, choices=FileKind)
    columns = models.JSONField(default=dict, help_text="Our field -> header in the file (or an object with header and constant/transform).")
    options = models.JSONField(default=dict, blank=True, help_text="Decimal comma, zone of dates, day-first, defaults, ...")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ImportJob(models.Model):
    class Status(models.TextChoices):
        UPLOADED = "UPLOADED", "Uploaded"
        CHECKING = "CHECKING", "Checking"
        PREVIEW = "PREVIEW", "Ready to confirm"
        APPLYING = "APPLYING", "Writing"
        DONE = "DONE", "Done"
        FAILED = "FAILED", "Failed"
        CANCELLED = "CANCELLED", "Cancelled"
        UNDONE = "UNDONE", "Undone"

    kind = models.CharField(max_length=8, choices=ImportMapping.FileKind)
    status = models.CharField(max_length=10, choices=Status, default=Status.UPLOADED)
    file_name = models.CharField(max_length=255)
    file_path = models.CharField(max_length=500, blank=True)
    file_sha256 = models.CharField(max_length=64, blank=True)
    file_bytes = models.BigIntegerField(default=0)
    mapping = models.JSONField(default=dict, help_text="The mapping used, as it was at the time.")
    mapping_name = models.CharField(max_length=80, blank=True)
    options = models.JSONField(default=dict, blank=True)
    after_import = models.JSONField(default=dict, blank=True, help_text="What to run for the touched players: metrics, segments, rewards.")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    api_client = models.ForeignKey("common.ApiClient", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    job_run = models.ForeignKey("common.JobRun", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField()
    checked_at = models.DateTimeField(null=True, blank=True)
    applied_at = models.DateTimeField(null=True, blank=True)
    undone_at = models.DateTimeField(null=True, blank=True)
    total_rows = models.BigIntegerField(default=0)
    created_count = models.BigIntegerField(default=0)
    updated_count = models.BigIntegerField(default=0)
    unchanged_count = models.BigIntegerField(default=0)
    quarantined_count = models.BigIntegerField(default=0)
    players_created = models.BigIntegerField(default=0)
    players_updated = models.BigIntegerField(default=0)
    rewards_issued = models.BigIntegerField(default=0)
    progress = models.PositiveSmallIntegerField(default=0, help_text="Per cent of the current phase.")
    cancel_requested = models.BooleanField(default=False)
    error = models.TextField(blank=True)
    result = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["file_sha256"], name="importjob_by_file")]
        permissions = [("undo_importjob", "Can undo an import")]

    def __str__(self) -> str:
        return f"import {self.pk} of {self.file_name}"


class QuarantinedRow(models.Model):
    """A row that could not be taken: kept with the reason and the remedy until it is corrected and replayed."""

    class Status(models.TextChoices):
        OPEN = "OPEN", "Open"
        REPLAYED = "REPLAYED", "Corrected and replayed"
        DISMISSED = "DISMISSED", "Dismissed"

    job = models.ForeignKey(ImportJob, on_delete=models.CASCADE, related_name="quarantine")
    row_number = models.PositiveBigIntegerField(help_text="Row in the file; 1 is the header.")
    column = models.CharField(max_length=120, blank=True)
    value = models.TextField(blank=True)
    code = models.CharField(max_length=40)
    reason = models.TextField()
    remedy = models.TextField()
    raw = models.JSONField(default=dict, help_text="The whole row as it stood in the file.")
    status = models.CharField(max_length=10, choices=Status, default=Status.OPEN)
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    correction = models.JSONField(default=dict, blank=True, help_text="Header -> corrected cell.")
    note = models.TextField(blank=True, help_text="Why the row was dismissed.")
    replayed_in = models.ForeignKey(ImportJob, null=True, blank=True, on_delete=models.SET_NULL, related_name="replayed_rows")

    class Meta:
        ordering = ["job", "row_number"]
        indexes = [models.Index(fields=["job", "status", "row_number"], name="quarantine_by_job")]

    def __str__(self) -> str:
        return f"row {self.row_number} of import {self.job_id}"


class ImportChange(models.Model):
    """What a row was before an import changed it, and what the import made of it. Rows that an import created carry its id instead."""

    job = models.ForeignKey(ImportJob, on_delete=models.CASCADE, related_name="changes")
    kind = models.CharField(max_length=8, help_text="Kind of the row: as the file's kind, or GAME.")
    target_id = models.BigIntegerField(help_text="Id of the stored row.")
    player_external_id = models.CharField(max_length=64, blank=True)
    external_id = models.CharField(max_length=80, blank=True)
    before = models.JSONField(null=True, help_text="The stored row before; empty: the import created it.")
    after = models.JSONField(null=True, help_text="The stored row right after.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "kind", "target_id"], name="importchange_once")]
        indexes = [models.Index(fields=["kind", "target_id", "job"], name="importchange_by_row")]

    def __str__(self) -> str:
        return f"{self.kind} {self.target_id} in import {self.job_id}"
