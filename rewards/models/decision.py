"""What was decided about every reward: proposed amount, verdict of every gate, who approved, what was paid."""

from decimal import Decimal

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from loyalty_site.common.money import from_minor


class Unit(models.TextChoices):
    """The ledger's units. BONUS is money of the player's currency; the others are counted in themselves."""

    BONUS = "BONUS", "Bonus money"
    LP = "LP", "Loyalty points"
    RP = "RP", "Reward points"
    TICKET = "TICKET", "Tickets"


class DecisionStatus(models.TextChoices):
    PROPOSED = "PROPOSED", "Proposed"
    CHECKED = "CHECKED", "Checked"
    REFUSED = "REFUSED", "Refused"
    AUTO_APPROVED = "AUTO_APPROVED", "Approved automatically"
    PENDING = "PENDING", "Waiting for approval"
    APPROVED = "APPROVED", "Approved"
    REJECTED = "REJECTED", "Rejected"
    LAPSED = "LAPSED", "Lapsed"
    ISSUING = "ISSUING", "Being issued"
    ISSUED = "ISSUED", "Issued"
    ISSUE_FAILED = "ISSUE_FAILED", "Issue failed"
    REVOKED = "REVOKED", "Revoked"


class RewardDecision(models.Model):
    """One reward for one player: proposed by a rule, a person or an integrator, and everything that was decided about it.

    Issue key: (rule version, player, period) for rules, (source, idempotency key) for manual and API grants. The database holds
    both unique. `docs/granting.md` describes the pipeline.
    """

    class Source(models.TextChoices):
        RULE = "RULE", "Rule"
        MANUAL = "MANUAL", "Staff"
        API = "API", "API"

    player = models.ForeignKey("players.Player", on_delete=models.PROTECT, related_name="reward_decisions", db_index=False)
    rule = models.ForeignKey(
        "rewards.RewardRule", null=True, blank=True, on_delete=models.PROTECT, related_name="decisions", db_index=False
    )
    rule_version = models.ForeignKey(
        "rewards.RuleVersion", null=True, blank=True, on_delete=models.PROTECT, related_name="decisions", db_index=False
    )
    period = models.CharField(max_length=120, help_text="2026-03-15, 2026-W11, 2026-03 or ONCE; manual:<key> for grants without a rule.")
    stacking_group = models.CharField(max_length=40, blank=True)
    source = models.CharField(max_length=6, choices=Source)
    idempotency_key = models.CharField(max_length=100, blank=True)
    unit = models.CharField(max_length=6, choices=Unit)
    currency = models.CharField(max_length=3, blank=True, help_text="ISO 4217 for bonus money, empty for points and tickets.")
    proposed_minor = models.BigIntegerField(help_text="As proposed, in minor units.")
    amount_minor = models.BigIntegerField(help_text="After penalties, in minor units: what is paid.")
    wagering_multiple = models.DecimalField(
        max_digits=8, decimal_places=2, default=0, help_text="As proposed; penalties only raise wagering_required."
    )
    wagering_required = models.DecimalField(max_digits=20, decimal_places=4, default=0)
    expiry_hours = models.PositiveIntegerField(null=True, blank=True, help_text="Hours from issue; empty: does not expire.")
    max_bet_minor = models.BigIntegerField(null=True, blank=True)
    bonus_template = models.CharField(
        max_length=60, blank=True, default="", help_text="Code of the bonus template whose terms hold; empty: the terms stand here."
    )
    eligible_games = models.JSONField(default=list, blank=True)
    status = models.CharField(max_length=13, choices=DecisionStatus, default=DecisionStatus.PROPOSED)
    verdicts = models.JSONField(default=list, help_text="One object a gate: name, version, inputs, result, reason.")
    refused_by = models.CharField(max_length=20, blank=True, help_text="The first gate that said no.")
    facts = models.JSONField(default=dict, blank=True, help_text="Inputs of the rule's formula as they were.")
    diff = models.JSONField(default=list, blank=True, help_text="What the last recheck found changed: field, before, after.")
    expected_cost = models.DecimalField(max_digits=20, decimal_places=4, default=0, help_text="Cost that the profit gate reckoned with.")
    budget_ids = ArrayField(models.BigIntegerField(), default=list, blank=True, help_text="Budgets that hold the amount.")
    reason = models.TextField(blank=True)
    maker = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    maker_client = models.ForeignKey("common.ApiClient", null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    first_approver = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    second_approver = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    approvals_needed = models.PositiveSmallIntegerField(default=0)
    proposed_at = models.DateTimeField()
    checked_at = models.DateTimeField(null=True, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    issued_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    run_id = models.BigIntegerField(null=True, blank=True, help_text="Job run that proposed it.")
    import_job_id = models.BigIntegerField(null=True, blank=True, help_text="Import that led to it.")
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["rule_version", "player", "period"], name="decision_once_per_period"),
            models.UniqueConstraint(fields=["source", "idempotency_key"], condition=~Q(idempotency_key=""), name="decision_once_per_key"),
            models.CheckConstraint(condition=Q(proposed_minor__gt=0, amount_minor__gte=0), name="decision_amounts_positive"),
            models.CheckConstraint(condition=Q(amount_minor__lte=F("proposed_minor")), name="decision_never_above_proposal"),
            models.CheckConstraint(
                condition=(Q(unit="BONUS") & ~Q(currency="")) | (~Q(unit="BONUS") & Q(currency="")), name="decision_currency_fits_unit"
            ),
            models.CheckConstraint(
                condition=(Q(source="RULE") & Q(rule__isnull=False, rule_version__isnull=False, idempotency_key=""))
                | (~Q(source="RULE") & Q(rule__isnull=True, rule_version__isnull=True) & ~Q(idempotency_key="")),
                name="decision_source_fits_key",
            ),
            models.CheckConstraint(condition=~Q(status="ISSUED") | Q(issued_at__isnull=False), name="decision_issued_has_time"),
            models.CheckConstraint(
                condition=Q(second_approver__isnull=True) | ~Q(second_approver=F("first_approver")), name="decision_two_approvers_differ"
            ),
            models.CheckConstraint(
                condition=Q(maker__isnull=True)
                | (
                    (Q(first_approver__isnull=True) | ~Q(first_approver=F("maker")))
                    & (Q(second_approver__isnull=True) | ~Q(second_approver=F("maker")))
                ),
                name="decision_maker_is_not_checker",
            ),
        ]
        indexes = [
            models.Index(fields=["player", "-proposed_at"], name="decision_by_player"),
            models.Index(fields=["rule", "status", "-id"], name="decision_by_rule"),
            models.Index(fields=["status", "-id"], name="decision_by_status"),
            models.Index(fields=["-proposed_at"], name="decision_recent"),
            models.Index(fields=["id"], condition=Q(status__in=["AUTO_APPROVED", "APPROVED"]), name="decision_to_issue"),
            models.Index(fields=["proposed_at"], condition=Q(status="PENDING"), name="decision_pending"),
        ]
        permissions = [
            ("approve_decision", "Can approve and reject rewards"),
            ("revoke_decision", "Can revoke issued rewards"),
            ("grant_manual", "Can grant rewards by hand"),
        ]

    def __str__(self) -> str:
        return f"reward #{self.pk}"

    @property
    def money_unit(self) -> str:
        """The code that `common.money` knows: the currency of bonus money, the unit of everything else."""
        return self.currency or self.unit

    @property
    def amount(self) -> Decimal:
        return from_minor(self.amount_minor, self.money_unit)

    @property
    def proposed_amount(self) -> Decimal:
        return from_minor(self.proposed_minor, self.money_unit)

    @property
    def max_bet(self) -> Decimal | None:
        return None if self.max_bet_minor is None else from_minor(self.max_bet_minor, self.money_unit)


class DecisionEvent(models.Model):
    """One step in the life of a decision. Rows are only ever inserted (a database trigger refuses the rest)."""

    decision = models.ForeignKey(RewardDecision, on_delete=models.PROTECT, related_name="events")
    occurred_at = models.DateTimeField()
    from_status = models.CharField(max_length=13, choices=DecisionStatus, blank=True)
    to_status = models.CharField(max_length=13, choices=DecisionStatus)
    cause = models.CharField(max_length=40, help_text="gates, approval, first_approval, rejection, lapse, recheck, issue, ...")
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    api_client = models.ForeignKey("common.ApiClient", null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    note = models.TextField(blank=True)
    detail = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.from_status or '-'} -> {self.to_status}"
