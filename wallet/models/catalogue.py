"""What points buy."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from loyalty_site.common.models.history import ChangeHistory


class CatalogueItem(models.Model):
    """Something that reward points buy: bonus money, tickets or goods."""

    class Kind(models.TextChoices):
        BONUS = "bonus", "Bonus money"
        TICKETS = "tickets", "Tickets"
        GOODS = "goods", "Goods"

    code = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    kind = models.CharField(max_length=7, choices=Kind)
    price = models.BigIntegerField(help_text="Hundredths of a reward point (RP).")
    bonus_template = models.ForeignKey("wallet.BonusTemplate", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    bonus_amount = models.DecimalField(max_digits=14, decimal_places=4, null=True, blank=True)
    bonus_currency = models.CharField(max_length=3, blank=True, default="")
    tickets = models.PositiveIntegerField(null=True, blank=True)
    stock = models.PositiveIntegerField(null=True, blank=True, help_text="Pieces left; empty: without limit.")
    per_player = models.PositiveIntegerField(null=True, blank=True, help_text="Most a player may have; empty: without limit.")
    is_active = models.BooleanField(default=True)
    valid_from = models.DateTimeField(null=True, blank=True)
    valid_to = models.DateTimeField(null=True, blank=True)

    history = ChangeHistory()

    class Meta:
        ordering = ["code"]
        constraints = [
            models.CheckConstraint(condition=Q(price__gt=0), name="item_price_positive"),
            models.CheckConstraint(
                condition=Q(
                    kind="bonus", bonus_template__isnull=False, bonus_amount__gt=0, bonus_currency__regex=r"^[A-Z]{3}$", tickets=None
                )
                | Q(kind="tickets", tickets__gt=0, bonus_template=None, bonus_amount=None, bonus_currency="")
                | Q(kind="goods", tickets=None, bonus_template=None, bonus_amount=None, bonus_currency=""),
                name="item_content_fits_kind",
            ),
            models.CheckConstraint(
                condition=Q(valid_to__isnull=True) | Q(valid_from__isnull=True) | Q(valid_to__gt=F("valid_from")), name="item_ends_later"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Redemption(models.Model):
    """One purchase with points. Cancelling gives the points back to the same lots and the piece back to the stock."""

    class Status(models.TextChoices):
        ORDERED = "ORDERED", "Ordered"
        FULFILLED = "FULFILLED", "Fulfilled"
        CANCELLED = "CANCELLED", "Cancelled"

    player = models.ForeignKey("players.Player", on_delete=models.PROTECT, related_name="redemptions", db_index=False)
    item = models.ForeignKey(CatalogueItem, on_delete=models.PROTECT, related_name="redemptions")
    quantity = models.PositiveIntegerField(default=1)
    price = models.BigIntegerField(help_text="In all, hundredths of a reward point.")
    status = models.CharField(max_length=9, choices=Status)
    entry = models.OneToOneField("wallet.Entry", on_delete=models.PROTECT, related_name="redemption")
    grant = models.ForeignKey("wallet.BonusGrant", null=True, blank=True, on_delete=models.PROTECT, related_name="redemptions")
    ticket_entry = models.ForeignKey("wallet.Entry", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    source_type = models.CharField(max_length=40)
    source_ref = models.CharField(max_length=128)
    ordered_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    note = models.CharField(max_length=300, blank=True, default="")

    class Meta:
        ordering = ["-id"]
        permissions = [("fulfil_redemption", "Can fulfil and cancel redemptions")]
        constraints = [
            models.UniqueConstraint(fields=["source_ref", "source_type"], name="redemption_source_once"),
            models.CheckConstraint(condition=Q(quantity__gt=0, price__gt=0), name="redemption_amounts_positive"),
            models.CheckConstraint(
                condition=Q(status="ORDERED", closed_at__isnull=True) | ~Q(status="ORDERED") & Q(closed_at__isnull=False),
                name="redemption_status_fits_time",
            ),
        ]
        indexes = [
            models.Index(fields=["player", "-id"], name="redemption_by_player"),
            models.Index(fields=["-id"], condition=Q(status="ORDERED"), name="redemption_open"),
        ]

    def __str__(self) -> str:
        return f"redemption {self.pk}"
