from django.db import models
from django.db.models import Q


class Segment(models.TextChoices):
    NEW = "NEW", "New"
    WINNING = "WINNING", "Winning"
    BREAKEVEN = "BREAKEVEN", "Break-even"
    LOSING = "LOSING", "Losing"
    VIP = "VIP", "VIP"


class Player(models.Model):
    """A customer of the operator. `external_id` is the operator's id; money of a player is in `currency` throughout."""

    class Status(models.TextChoices):
        ACTIVE = "ACTIVE", "Active"
        SUSPENDED = "SUSPENDED", "Suspended"
        CLOSED = "CLOSED", "Closed"

    external_id = models.CharField("player id", max_length=64, unique=True)
    username = models.CharField(max_length=100, blank=True)
    first_name = models.CharField(max_length=100, blank=True)
    last_name = models.CharField(max_length=100, blank=True)
    email = models.EmailField(blank=True)
    birth_date = models.DateField(null=True, blank=True)
    country = models.CharField(max_length=2, blank=True, help_text="ISO 3166 alpha-2.")
    jurisdiction = models.ForeignKey("players.Jurisdiction", null=True, blank=True, on_delete=models.PROTECT, related_name="players")
    currency = models.CharField(max_length=3, default="EUR", help_text="ISO 4217.")
    language = models.CharField(max_length=8, blank=True)
    registered_at = models.DateTimeField(null=True, blank=True)
    acquisition_channel = models.CharField(max_length=60, blank=True)
    status = models.CharField(max_length=10, choices=Status, default=Status.ACTIVE)
    segment = models.CharField(max_length=10, choices=Segment, default=Segment.NEW)
    tier = models.ForeignKey("players.Tier", null=True, blank=True, on_delete=models.PROTECT, related_name="players")
    risk_score = models.PositiveSmallIntegerField(default=0, help_text="Abuse score, 0 to 100.")
    attributes = models.JSONField(default=dict, blank=True)
    import_job = models.ForeignKey("players.ImportJob", null=True, blank=True, on_delete=models.SET_NULL, related_name="created_players")
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(risk_score__lte=100), name="player_risk_score_0_100"),
            models.CheckConstraint(condition=~Q(external_id=""), name="player_external_id_not_empty"),
        ]
        indexes = [
            models.Index(fields=["segment", "-id"], name="player_by_segment"),
            models.Index(fields=["tier", "-id"], name="player_by_tier"),
            models.Index(fields=["country", "-id"], name="player_by_country"),
            models.Index(fields=["-risk_score", "-id"], name="player_by_risk"),
            models.Index(fields=["email"], name="player_by_email"),
            models.Index(fields=["username"], name="player_by_username"),
        ]
        permissions = [
            ("view_player_pii", "Can see names, e-mail and birth date"),
            ("export_player", "Can export players"),
            ("import_player", "Can import players and activity"),
        ]

    def __str__(self) -> str:
        return self.external_id


class SegmentMove(models.Model):
    """One change of a player's segment."""

    player = models.ForeignKey(Player, on_delete=models.CASCADE, related_name="segment_moves")
    from_segment = models.CharField(max_length=10, choices=Segment, blank=True)
    to_segment = models.CharField(max_length=10, choices=Segment)
    moved_at = models.DateTimeField()
    run_id = models.BigIntegerField(null=True, blank=True, help_text="Job run that reclassified the player.")

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["player", "-moved_at"], name="segmentmove_by_player"),
            models.Index(fields=["-moved_at"], name="segmentmove_recent"),
        ]

    def __str__(self) -> str:
        return f"{self.player_id}: {self.from_segment or '-'} -> {self.to_segment}"
