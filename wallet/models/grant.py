"""Bonus money under terms: the grant, its status events, and what moved within it."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from .log import NextLogNumber
from .template import Product


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


class Pocket(models.TextChoices):
    BALANCE = "balance", "Bonus"
    LOCKED = "locked", "Locked winnings"


class BonusGrant(models.Model):
    """One bonus of one player, with its terms as frozen at activation.

    Money is in minor units of `currency`; wagering figures are exact decimals of the currency (six places), as progress is
    weighed and only money that moves is rounded. The player's bonus account is the sum of `balance` and `locked` of the open grants.
    Offered and queued grants hold no money yet: it is credited on activation.
    """

    player = models.ForeignKey("players.Player", on_delete=models.PROTECT, related_name="bonus_grants", db_index=False)
    account = models.ForeignKey("wallet.Account", on_delete=models.PROTECT, related_name="grants", db_index=False)
    currency = models.CharField(max_length=3)
    template_version = models.ForeignKey(
        "wallet.BonusTemplateVersion", null=True, blank=True, on_delete=models.PROTECT, related_name="grants", db_index=False
    )
    product = models.CharField(max_length=8, choices=Product, default=Product.CASINO)
    principal = models.BigIntegerField(help_text="What was or will be granted, minor units; free spins: what they have won.")
    balance = models.BigIntegerField(help_text="What is left of the bonus, minor units.")
    locked = models.BigIntegerField(default=0, help_text="Winnings locked until the wagering is complete, minor units.")
    deposit = models.BigIntegerField(default=0, help_text="Deposit that triggered it, minor units.")
    deposit_ref = models.CharField(max_length=80, blank=True, default="", help_text="The operator's id of that deposit.")
    wagering_required = models.DecimalField(max_digits=20, decimal_places=6, help_text="Penalties included.")
    wagered = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    penalties = models.DecimalField(
        max_digits=20, decimal_places=6, default=0, help_text="Added to the requirement by bets over the limit."
    )
    terms = models.JSONField(default=dict, help_text="All other terms, frozen at activation; the keys of wallet.bonus.terms.Terms.")
    released = models.BigIntegerField(default=0, help_text="Turned into cash in all, minor units.")
    kept = models.BigIntegerField(default=0, help_text="Kept by the house at completion (cap, sticky bonus) and after it, minor units.")
    spins_left = models.PositiveIntegerField(default=0)
    open_bets = models.PositiveIntegerField(default=0, help_text="Bets on it whose rounds have not ended.")
    status = models.CharField(max_length=18, choices=GrantStatus)
    queue_order = models.IntegerField(default=0, help_text="Lower goes first; then the earlier expiry.")
    offered_at = models.DateTimeField()
    activated_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(help_text="Offered: end of the offer. Queued: end of the waiting. Open: end of the wagering.")
    closed_at = models.DateTimeField(null=True, blank=True)
    source_type = models.CharField(max_length=40)
    source_ref = models.CharField(max_length=128)
    source_sub = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        ordering = ["-id"]
        permissions = [
            ("act_for_player", "Can claim, surrender, pause and reorder bonuses for a player"),
            ("request_void", "Can ask to void a bonus"),
            ("approve_void", "Can void a bonus that another person asked to void"),
            ("export_bonusgrant", "Can export the explanation of a bonus and the bonus funnel"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["source_ref", "source_type", "source_sub"], name="grant_source_once"),
            models.UniqueConstraint(
                fields=["player", "product"], condition=Q(status__in=["ACTIVE", "WAGERING", "PAUSED"]), name="grant_one_open_per_product"
            ),
            models.CheckConstraint(condition=Q(principal__gte=0), name="grant_principal_not_negative"),
            models.CheckConstraint(condition=Q(balance__gte=0, locked__gte=0), name="grant_balance_not_negative"),
            models.CheckConstraint(condition=Q(wagering_required__gte=0), name="grant_requirement_not_negative"),
            models.CheckConstraint(
                condition=Q(wagered__gte=0, wagered__lte=F("wagering_required")), name="grant_progress_within_requirement"
            ),
            models.CheckConstraint(condition=Q(released__gte=0, kept__gte=0), name="grant_release_not_negative"),
            models.CheckConstraint(condition=Q(penalties__gte=0), name="grant_penalties_not_negative"),
            models.CheckConstraint(condition=Q(expires_at__gt=F("offered_at")), name="grant_expires_after_offer"),
            models.CheckConstraint(
                condition=Q(status__in=["ACTIVE", "WAGERING", "PAUSED"], closed_at__isnull=True, activated_at__isnull=False)
                | Q(status__in=["OFFERED", "QUEUED"], closed_at__isnull=True, balance=0, locked=0)
                | Q(
                    status__in=["COMPLETED", "EXPIRED_UNCLAIMED", "EXPIRED", "LOST", "FORFEITED", "VOIDED", "REVERSED"],
                    closed_at__isnull=False,
                    balance=0,
                    locked=0,
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
            models.Index(
                fields=["player", "product", "queue_order", "expires_at", "id"],
                condition=Q(status="QUEUED"),
                name="grant_queue_by_player",
            ),
            models.Index(
                fields=["expires_at"],
                condition=Q(status__in=["OFFERED", "QUEUED", "ACTIVE", "WAGERING", "PAUSED"]),
                name="grant_by_end",
            ),
            models.Index(fields=["player", "deposit_ref"], condition=~Q(deposit_ref=""), name="grant_by_deposit"),
            models.Index(fields=["player", "-id"], name="grant_by_player"),
            models.Index(fields=["status", "-id"], name="grant_by_status"),
            models.Index(fields=["offered_at"], name="grant_by_offer"),
        ]

    def __str__(self) -> str:
        return f"bonus grant {self.pk}"


class GrantEvent(models.Model):
    """One change of a grant's status, with its cause. Append-only."""

    grant = models.ForeignKey(BonusGrant, on_delete=models.PROTECT, related_name="events")
    from_status = models.CharField(max_length=18, choices=GrantStatus, blank=True, default="")
    to_status = models.CharField(max_length=18, choices=GrantStatus)
    cause = models.CharField(max_length=300)
    detail = models.JSONField(default=dict, blank=True, help_text="What the change decided: amounts, terms, deposit.")
    log_number = models.BigIntegerField(db_default=NextLogNumber(), editable=False)
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
    pocket = models.CharField(max_length=7, choices=Pocket, default=Pocket.BALANCE)
    amount = models.BigIntegerField()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["entry", "grant", "pocket"], name="movement_once_per_entry_and_pocket"),
            models.CheckConstraint(condition=~Q(amount=0), name="movement_amount_not_zero"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} of entry {self.entry_id} on grant {self.grant_id}"


class VoidRequest(models.Model):
    """A wish to void a grant: one person asks and names a case, another decides. The maker is never the checker."""

    class Status(models.TextChoices):
        PENDING = "PENDING", "Waiting for a second person"
        VOIDED = "VOIDED", "Voided"
        REJECTED = "REJECTED", "Rejected"

    grant = models.ForeignKey(BonusGrant, on_delete=models.PROTECT, related_name="void_requests")
    case_id = models.CharField(max_length=60, help_text="The case that justifies it.")
    reason = models.CharField(max_length=500)
    status = models.CharField(max_length=8, choices=Status, default=Status.PENDING)
    maker = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    checker = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    requested_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_note = models.CharField(max_length=500, blank=True, default="")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(checker__isnull=True) | ~Q(checker=F("maker")), name="void_maker_is_not_checker"),
            models.CheckConstraint(condition=~Q(reason="") & ~Q(case_id=""), name="void_has_case_and_reason"),
            models.CheckConstraint(
                condition=Q(status="PENDING", checker__isnull=True, decided_at__isnull=True)
                | Q(status__in=["VOIDED", "REJECTED"], checker__isnull=False, decided_at__isnull=False),
                name="void_status_fits_decision",
            ),
            models.UniqueConstraint(fields=["grant"], condition=Q(status="PENDING"), name="void_one_open_request"),
        ]

    def __str__(self) -> str:
        return f"void request {self.pk}"
