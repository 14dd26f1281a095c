"""Points and tickets in lots: each credit is a lot with its own end, each debit is paired with the lots it took from."""

from django.db import models
from django.db.models import F, Q

from loyalty_site.common.models.history import ChangeHistory

from .account import Unit


class PointsPolicy(models.Model):
    """How long one unit lives, when it becomes usable, and what it costs."""

    class Expiry(models.TextChoices):
        NEVER = "never", "Never"
        DAYS = "days", "A number of days after earning"
        MONTHS = "months", "A number of months after earning"
        END_OF_MONTH = "month_end", "End of a month"
        END_OF_QUARTER = "quarter_end", "End of a quarter"
        END_OF_YEAR = "year_end", "End of a year"
        FIXED_DATE = "fixed_date", "On a fixed date"
        INACTIVITY = "inactivity", "A number of days without qualifying activity"

    class Restore(models.TextChoices):
        NONE = "none", "Nothing: what expired meanwhile stays expired"
        GRACE = "grace", "A new lot for a number of days"

    unit = models.CharField(max_length=6, choices=[choice for choice in Unit.choices if choice[0] in ("LP", "RP", "TICKET")], unique=True)
    expiry = models.CharField(max_length=11, choices=Expiry, default=Expiry.NEVER)
    period = models.PositiveIntegerField(
        default=0, help_text="Days or months; for ends of months, quarters and years: how many full ones follow the current one."
    )
    fixed_date = models.DateField(null=True, blank=True)
    zone = models.CharField(max_length=64, default="UTC", help_text="The programme's time zone; points end with a day there.")
    pending_hours = models.PositiveIntegerField(default=0, help_text="How long points wait before they can be used; 0: at once.")
    restore = models.CharField(max_length=5, choices=Restore, default=Restore.GRACE)
    restore_days = models.PositiveIntegerField(default=14)
    reinstate_days = models.PositiveIntegerField(default=30, help_text="How long after expiry staff may give points back.")
    warn_days = models.PositiveIntegerField(default=14, help_text="How long before expiry the player is told.")
    qualifying = models.JSONField(
        default=list, blank=True, help_text="Activities that count against inactivity: bet, deposit, session, earn."
    )
    cost_per_point = models.DecimalField(
        max_digits=12, decimal_places=6, default=0, help_text="What one point costs, in the cost currency."
    )
    cost_currency = models.CharField(max_length=3, default="EUR")
    breakage = models.DecimalField(
        max_digits=7, decimal_places=6, default=0, help_text="Share expected never to be used, while a cohort has no history of its own."
    )

    history = ChangeHistory()

    class Meta:
        ordering = ["unit"]
        verbose_name_plural = "points policies"
        permissions = [
            ("view_liability", "Can see what points and bonuses will cost"),
            ("export_liability", "Can export what points and bonuses will cost"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(breakage__gte=0, breakage__lte=1), name="policy_breakage_0_1"),
            models.CheckConstraint(condition=Q(cost_per_point__gte=0), name="policy_cost_not_negative"),
            models.CheckConstraint(condition=~Q(expiry="fixed_date") | Q(fixed_date__isnull=False), name="policy_fixed_date_given"),
            models.CheckConstraint(
                condition=~Q(expiry__in=["days", "months", "inactivity"]) | Q(period__gt=0), name="policy_period_positive"
            ),
        ]

    def __str__(self) -> str:
        return self.get_unit_display()


class Lot(models.Model):
    """One credit of points or tickets. `remaining` is `qty` plus the sum of its uses.

    A pending lot has no entry yet and no part in the balance.
    """

    class Status(models.TextChoices):
        PENDING = "PENDING", "Pending"
        ACTIVE = "ACTIVE", "Active"
        SPENT = "SPENT", "Spent"
        EXPIRED = "EXPIRED", "Expired"
        CANCELLED = "CANCELLED", "Cancelled"

    account = models.ForeignKey("wallet.Account", on_delete=models.PROTECT, related_name="lots", db_index=False)
    player = models.ForeignKey("players.Player", on_delete=models.PROTECT, related_name="lots", db_index=False)
    entry = models.OneToOneField("wallet.Entry", null=True, blank=True, on_delete=models.PROTECT, related_name="lot")
    qty = models.BigIntegerField(help_text="Minor units.")
    remaining = models.BigIntegerField(help_text="Minor units.")
    status = models.CharField(max_length=9, choices=Status)
    earned_at = models.DateTimeField()
    available_at = models.DateTimeField(null=True, blank=True, help_text="Pending until then; empty: until its event arrives.")
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: never.")
    warned_at = models.DateTimeField(null=True, blank=True, help_text="When the player was told that it runs out.")
    closed_at = models.DateTimeField(null=True, blank=True)
    restores = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="restored_by", help_text="The expired lot it gives back."
    )
    house = models.CharField(max_length=12, help_text="House code of the credit.")
    source_type = models.CharField(max_length=40)
    source_ref = models.CharField(max_length=128)
    source_sub = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["source_ref", "source_type", "source_sub"], name="lot_source_once"),
            models.CheckConstraint(condition=Q(qty__gt=0), name="lot_qty_positive"),
            models.CheckConstraint(condition=Q(remaining__gte=0, remaining__lte=F("qty")), name="lot_remaining_within_qty"),
            models.CheckConstraint(
                condition=Q(status="PENDING", remaining=F("qty"), closed_at__isnull=True, entry__isnull=True)
                | Q(status="ACTIVE", remaining__gt=0, closed_at__isnull=True, entry__isnull=False)
                | Q(status__in=["SPENT", "EXPIRED"], remaining=0, closed_at__isnull=False, entry__isnull=False)
                | Q(status="CANCELLED", remaining=0, closed_at__isnull=False),
                name="lot_status_fits_amounts",
            ),
        ]
        indexes = [
            models.Index(fields=["account", "expires_at", "earned_at", "id"], condition=Q(status="ACTIVE"), name="lot_spend_order"),
            models.Index(fields=["expires_at"], condition=Q(status="ACTIVE", expires_at__isnull=False), name="lot_by_end"),
            models.Index(fields=["available_at"], condition=Q(status="PENDING"), name="lot_pending"),
            models.Index(fields=["player", "-id"], name="lot_by_player"),
        ]
        permissions = [("reinstate_lot", "Can give expired points back")]

    def __str__(self) -> str:
        return f"lot {self.pk}"


class LotUse(models.Model):
    """What one entry took from a lot (negative) or gave back to it (positive). Append-only: the stored pairs of (entry, lot, amount)."""

    lot = models.ForeignKey(Lot, on_delete=models.PROTECT, related_name="uses")
    entry = models.ForeignKey("wallet.Entry", on_delete=models.PROTECT, related_name="lot_uses", db_index=False)
    amount = models.BigIntegerField()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["entry", "lot"], name="lotuse_once_per_entry_and_lot"),
            models.CheckConstraint(condition=~Q(amount=0), name="lotuse_amount_not_zero"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} of lot {self.lot_id}"
