"""Versions of models: what was trained, on what, how good it was, and where its artifact lies."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from .kind import Kind


class ModelVersion(models.Model):
    """One trained model. Everything but its status stays as it was written at training.

    `metrics`, `baseline` and `candidates` hold the figures on the held-out cut-off that no choice was made on; `gate` the verdicts that
    decide whether it may be shown and promoted. `artifact` names the file in the model storage; `sha256` and `signature` are checked
    before it is opened.
    """

    class Status(models.TextChoices):
        CANDIDATE = "CANDIDATE", "Candidate"
        CHAMPION = "CHAMPION", "In use"
        RETIRED = "RETIRED", "Retired"
        REFUSED = "REFUSED", "Refused by the gate"

    kind = models.CharField(max_length=14, choices=Kind)
    number = models.PositiveIntegerField(help_text="Counts up within the kind.")
    status = models.CharField(max_length=10, choices=Status, default=Status.CANDIDATE)
    algorithm = models.CharField(max_length=60)
    as_of = models.DateTimeField(help_text="End of the history that it was trained on; labels included.")
    horizon_days = models.PositiveIntegerField(default=0)
    seed = models.BigIntegerField(default=0)
    is_synthetic = models.BooleanField(default=False, help_text="Trained on a simulated operator.")
    rows = models.PositiveBigIntegerField(default=0, help_text="Players times cut-offs that were learned from.")
    positives = models.PositiveBigIntegerField(default=0)
    features = models.JSONField(default=list)
    parameters = models.JSONField(default=dict)
    metrics = models.JSONField(default=dict)
    baseline = models.JSONField(default=dict)
    candidates = models.JSONField(default=list)
    curves = models.JSONField(default=dict, help_text="Reliability, lift and what the pages draw.")
    importance = models.JSONField(default=dict, help_text="Feature to share; the shares sum to 1.")
    reference = models.JSONField(default=dict, help_text="Bins of the features at training, for drift.")
    gate = models.JSONField(default=list, help_text="Verdicts: name, passed, value, limit, reason.")
    libraries = models.JSONField(default=dict)
    artifact = models.CharField(max_length=200, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    signature = models.CharField(max_length=64, blank=True)
    size_bytes = models.PositiveBigIntegerField(default=0)
    artifact_deleted_at = models.DateTimeField(null=True, blank=True, help_text="Since when the file is gone; see `artifact_pruning`.")
    trained_at = models.DateTimeField()
    trained_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    training_seconds = models.FloatField(default=0)
    promoted_at = models.DateTimeField(null=True, blank=True)
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["kind", "number"], name="modelversion_number_once"),
            models.UniqueConstraint(fields=["kind"], condition=Q(status="CHAMPION"), name="modelversion_one_champion"),
        ]
        permissions = [
            ("train_model", "Can start a training"),
            ("request_promotion", "Can ask for a model's promotion"),
            ("decide_promotion", "Can decide on a model's promotion"),
            ("score_profile", "Can score described profiles"),
            ("export_scores", "Can export scores"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.number}"
