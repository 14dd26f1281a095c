from django.db import models


class FeedState(models.Model):
    """How far one resource of the operator's API has been taken in, and since when it has been failing."""

    resource = models.CharField(max_length=20, unique=True)
    cursor_at = models.DateTimeField(null=True, blank=True, help_text="Everything before this instant has been taken in.")
    last_attempt_at = models.DateTimeField(null=True, blank=True)
    last_success_at = models.DateTimeField(null=True, blank=True)
    failing_since = models.DateTimeField(null=True, blank=True, help_text="First failed attempt since the last success.")
    failures = models.PositiveIntegerField(default=0, help_text="Failed attempts in a row.")
    last_error = models.TextField(blank=True)
    last_rows = models.PositiveBigIntegerField(default=0)
    last_rejected = models.PositiveBigIntegerField(default=0)
    rejected = models.JSONField(default=list, blank=True, help_text="First rows that were refused: row, field, reason, remedy.")
    last_import = models.ForeignKey("players.ImportJob", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["resource"]
        permissions = [("pull_feed", "Can fetch from the operator's API now")]

    def __str__(self) -> str:
        return self.resource
