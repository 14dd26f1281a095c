"""Bonus money under terms: the grant, its status events, and what moved within it."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q


class GrantStatus(models.TextChoices):
    OFFERED = "OFFERED", "Offered"
    QUEUED = "QUEUED", "Queued"
    ACTIVE = "ACTIVE", "Active"
    WAGERING = "WAGERING", "Wagering"
    PAUSED = "PAUSED", "Paused"
    COMPLETED = "COMPLETED", "Completed"
    EXPIRED_UNCLAIMED = "EXPIRED_UNCLAIMED", "Expired unclaimed"
    EXPIRED = "EXPIRED", "Expired"
    LOST = "LOST", "Lost"
    FORFEITED = "FORFEITED", "Forfeited"
    VOIDED = "VOIDED", "Voided"
    REVERSED = "REVERSED", "Reversed"


# states in which a grant holds money, and states it never leaves
OPEN_STATUSES = (GrantStatus.ACTIVE, GrantStatus.WAGERING, GrantStatus.PAUSED)
WAITING_STATUSES = (GrantStatus.OFFERED, GrantStatus.QUEUED)
FINAL_STATUSES = tuple(status for status in GrantStatus if status not in OPEN_STATUSES + WAITING_STATUSES)


class BonusGrant(models.Model):
    """One bonus of one player, with its terms as frozen at activation.

    Money is in minor units of `currency`; wagering figures are exact decimals of the currency (six places), as progress is
    weighed and only money that moves is rounded. The player's bonus account is the sum of the balances of the open grants.
    """

    player = models.ForeignKey("players.Player", on_delete=models.PROTECT, related_name="bonus_grants", db_index=False)
    account = models.ForeignKey("wallet.Account", on_delete=models.PROTECT, related_name="grants", db_index=False)
    currency = models.CharField(max_length=3)
    principal = models.BigIntegerField(help_text="What was granted, minor units.")
    balance = models.BigIntegerField(help_text="What is left of it, minor units.")
    wagering_required = models.DecimalField(max_digits=20, decimal_places=6)
    wagered = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    max_bet = models.BigIntegerField(null=True, blank=True, help_text="Largest stake that counts, minor units; empty: any.")
    eligible_games = models.JSONField(default=list, blank=True, help_text="Game codes or categories; empty: all games.")
    status = models.CharField(max_length=18, choices=GrantStatus)
    offered_at = models.DateTimeField()
    activated_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    source_type = models.CharField(max_length=40)
    source_ref = models.CharField(max_length=128)
    source_sub = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["source_ref", "source_type", "source_sub"], name="grant_source_once"),
            models.CheckConstraint(condition=Q(principal__gt=0), name="grant_principal_positive"),
            models.CheckConstraint(condition=Q(balance__gte=0), name="grant_balance_not_negative"),
            models.CheckConstraint(condition=Q(wagering_required__gte=0), name="grant_requirement_not_negative"),
            models.CheckConstraint(
                condition=Q(wagered__gte=0, wagered__lte=F("wagering_required")), name="grant_progress_within_requirement"
            ),
            models.CheckConstraint(condition=Q(max_bet__isnull=True) | Q(max_bet__gt=0), name="grant_max_bet_positive"),
            models.CheckConstraint(condition=Q(expires_at__gt=F("offered_at")), name="grant_expires_after_offer"),
            models.CheckConstraint(
                condition=Q(status__in=["ACTIVE", "WAGERING", "PAUSED"], closed_at__isnull=True, activated_at__isnull=False)
                | Q(status__in=["OFFERED", "QUEUED"], closed_at__isnull=True, balance=0)
                | Q(
                    status__in=["COMPLETED", "EXPIRED_UNCLAIMED", "EXPIRED", "LOST", "FORFEITED", "VOIDED", "REVERSED"],
                    closed_at__isnull=False,
                    balance=0,
                ),
                name="grant_status_fits_money_and_times",
            ),
        ]
        indexes = [
            models.Index(
                fields=["player", "currency", "expires_at", "id"],
                condition=Q(status__in=["ACTIVE", "WAGERING", "PAUSED"]),
                name="grant_open_by_player",
            ),
            models.Index(fields=["player", "-id"], name="grant_by_player"),
            models.Index(fields=["status", "-id"], name="grant_by_status"),
        ]

    def __str__(self) -> str:
        return f"bonus grant {self.pk}"


class GrantEvent(models.Model):
    """One change of a grant's status, with its cause. Append-only."""

    grant = models.ForeignKey(BonusGrant, on_delete=models.PROTECT, related_name="events")
    from_status = models.CharField(max_length=18, choices=GrantStatus, blank=True, default="")
    to_status = models.CharField(max_length=18, choices=GrantStatus)
    cause = models.CharField(max_length=300)
    entry = models.ForeignKey("wallet.Entry", null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    occurred_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        constraints = [models.CheckConstraint(condition=~Q(cause=""), name="grantevent_has_cause")]

    def __str__(self) -> str:
        return f"{self.from_status or 'new'} -> {self.to_status}"


class GrantMovement(models.Model):
    """The part of a ledger entry that belongs to one grant. The movements of a bonus entry add up to its amount. Append-only."""

    grant = models.ForeignKey(BonusGrant, on_delete=models.PROTECT, related_name="movements")
    entry = models.ForeignKey("wallet.Entry", on_delete=models.PROTECT, related_name="movements", db_index=False)
    amount = models.BigIntegerField()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["entry", "grant"], name="movement_once_per_entry_and_grant"),
            models.CheckConstraint(condition=~Q(amount=0), name="movement_amount_not_zero"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} of entry {self.entry_id} on grant {self.grant_id}"
