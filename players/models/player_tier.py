"""Where each player stands in the tiers: written by qualification and review, read by pages, facts and the API."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q

POINTS: dict[str, Any] = {"max_digits": 16, "decimal_places": 2}


class PlayerTier(models.Model):
    """The standing of one player. `tier` is what the rules give; while an override holds, the player has its tier instead.

    The figures (`metric` and below) are those of the last look, which every posting of points and every night takes.
    """

    class Outcome(models.TextChoices):
        """What the next review would do, if the player goes on as in the last 30 days."""

        UP = "UP", "Goes up"
        KEEPS = "KEEPS", "Keeps"
        GRACE = "GRACE", "Into grace"
        DOWN = "DOWN", "Goes down"
        OVERRIDE = "OVERRIDE", "Held by override"
        FROZEN = "FROZEN", "Frozen"
        NONE = "NONE", "Without tier"

    class Frozen(models.TextChoices):
        NO = "", "Not frozen"
        EXCLUDED = "EXCLUDED", "Excluded"
        SUSPENDED = "SUSPENDED", "Suspended"
        CLOSED = "CLOSED", "Closed"

    player = models.OneToOneField("players.Player", on_delete=models.CASCADE, primary_key=True, related_name="tier_standing")
    tier = models.ForeignKey("players.Tier", null=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    since = models.DateTimeField(help_text="When the rules gave the tier.")
    valid_until = models.DateTimeField(help_text="The tier's review: the points of the period that ends here decide.")
    grace_until = models.DateTimeField(null=True, help_text="The review was missed; until then the tier can still be kept.")
    frozen = models.CharField(max_length=9, choices=Frozen, blank=True, default="")
    frozen_since = models.DateTimeField(null=True)
    # set by staff; beats the rules until its end
    override_tier = models.ForeignKey("players.Tier", null=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    override_until = models.DateTimeField(null=True)
    override_reason = models.CharField(max_length=500, blank=True, default="")
    override_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    override_at = models.DateTimeField(null=True)
    # the points are there, the clearance is not
    waiting_tier = models.ForeignKey("players.Tier", null=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    waiting_since = models.DateTimeField(null=True)
    # figures of the last look
    metric = models.DecimalField(**POINTS, default=0, help_text="Qualifying points of the window that is running.")
    review_metric = models.DecimalField(**POINTS, default=0, help_text="Points so far in the period that the next review looks at.")
    pace = models.DecimalField(**POINTS, default=0, help_text="Qualifying points of the last 30 days.")
    to_next = models.DecimalField(**POINTS, null=True, help_text="Points to the next tier; empty at the top.")
    to_keep = models.DecimalField(**POINTS, default=0, help_text="Points still needed to keep the tier; during grace: the keep-by amount.")
    next_review_at = models.DateTimeField(help_text="End of the grace, or else the review.")
    outcome = models.CharField(max_length=8, choices=Outcome, default=Outcome.NONE)
    projected_tier = models.ForeignKey("players.Tier", null=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    looked_at = models.DateTimeField(help_text="When these figures last changed.")

    class Meta:
        ordering = ["next_review_at", "player_id"]
        verbose_name = "tier standing"
        constraints = [
            models.CheckConstraint(
                condition=Q(override_tier__isnull=True, override_until__isnull=True, override_by__isnull=True, override_reason="")
                | (Q(override_tier__isnull=False, override_until__isnull=False, override_by__isnull=False) & ~Q(override_reason="")),
                name="playertier_override_is_whole",
            ),
            models.CheckConstraint(
                condition=Q(grace_until__isnull=True) | Q(grace_until__gte=F("valid_until")), name="playertier_grace_later"
            ),
            models.CheckConstraint(condition=Q(frozen="") ^ Q(frozen_since__isnull=False), name="playertier_frozen_since"),
            models.CheckConstraint(
                condition=Q(waiting_tier__isnull=True) ^ Q(waiting_since__isnull=False), name="playertier_waiting_since"
            ),
            models.CheckConstraint(
                condition=Q(to_keep__gte=0) & (Q(to_next__isnull=True) | Q(to_next__gte=0)), name="playertier_to_go_not_negative"
            ),
        ]
        indexes = [
            models.Index(fields=["tier", "outcome", "projected_tier"], name="playertier_board"),
            models.Index(fields=["outcome", "next_review_at"], name="playertier_by_outcome"),
            models.Index(fields=["grace_until"], condition=Q(grace_until__isnull=False), name="playertier_in_grace"),
            models.Index(fields=["override_until"], condition=Q(override_until__isnull=False), name="playertier_overridden"),
            models.Index(fields=["waiting_since"], condition=Q(waiting_since__isnull=False), name="playertier_waiting"),
        ]
        permissions = [
            ("override_tier", "Can override a player's tier until a date"),
            ("export_playertier", "Can export tier standings"),
        ]

    def __str__(self) -> str:
        return f"tier of {self.player.external_id}"


class VipClearance(models.Model):
    """Evidence that a player may hold a tier for high-value customers, approved by a named second person until a re-check date."""

    class Status(models.TextChoices):
        REQUESTED = "REQUESTED", "Waits for approval"
        APPROVED = "APPROVED", "In force"
        REJECTED = "REJECTED", "Rejected"
        EXPIRED = "EXPIRED", "Re-check due"
        REPLACED = "REPLACED", "Replaced"
        WITHDRAWN = "WITHDRAWN", "Withdrawn"

    player = models.ForeignKey("players.Player", on_delete=models.PROTECT, related_name="vip_clearances")
    status = models.CharField(max_length=9, choices=Status, default=Status.REQUESTED)
    identity = models.CharField(max_length=300, help_text="How the identity was verified, and where the evidence is kept.")
    affordability = models.CharField(
        max_length=300, help_text="Source of funds and what the player can afford, and where the evidence is kept."
    )
    harm_check = models.CharField(max_length=300, help_text="What was checked for signs of gambling harm, and the result.")
    recheck_on = models.DateField(help_text="The clearance ends on this day unless it is renewed.")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    requested_at = models.DateTimeField()
    approver = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_note = models.CharField(max_length=500, blank=True, default="")
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = "VIP clearance"
        constraints = [
            models.UniqueConstraint(fields=["player"], condition=Q(status="REQUESTED"), name="clearance_one_request"),
            models.UniqueConstraint(fields=["player"], condition=Q(status="APPROVED"), name="clearance_one_in_force"),
            models.CheckConstraint(condition=Q(approver__isnull=True) | ~Q(approver=F("requested_by")), name="clearance_by_two_people"),
            models.CheckConstraint(condition=~Q(identity="") & ~Q(affordability="") & ~Q(harm_check=""), name="clearance_has_all_evidence"),
            models.CheckConstraint(
                condition=Q(status="REQUESTED", approver__isnull=True, decided_at__isnull=True)
                | (~Q(status="REQUESTED") & Q(approver__isnull=False, decided_at__isnull=False)),
                name="clearance_decided_by_somebody",
            ),
        ]
        indexes = [models.Index(fields=["recheck_on"], condition=Q(status="APPROVED"), name="clearance_by_recheck")]
        permissions = [
            ("request_vipclearance", "Can ask for a VIP clearance"),
            ("approve_vipclearance", "Can approve, reject or withdraw a VIP clearance that somebody else asked for"),
        ]

    def __str__(self) -> str:
        return f"VIP clearance #{self.pk}"
