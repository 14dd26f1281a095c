from django.conf import settings
from django.db import models
from django.db.models import Q


class House(models.TextChoices):
    """The other side of every posting: where value comes from or goes to. Kept as a code, never as a balance row."""

    REWARDS = "rewards", "Rewards given"
    GAME = "game", "Earned by play"
    OPENING = "opening", "Brought from an earlier system"
    MANUAL = "manual", "Adjusted by staff"
    STAKE = "stake", "Staked on a bet"
    WIN = "win", "Won"
    DEBT = "debt", "Lent to cover a reversal, and paid back"
    REINSTATED = "reinstated", "Expired points given back"
    REDEMPTION = "redemption", "Spent by the player"
    PAYOUT = "payout", "Released to cash"
    EXPIRY = "expiry", "Expired"
    BREAKAGE = "breakage", "Kept by the house"
    FORFEIT = "forfeit", "Forfeited or voided"


# codes whose entries count as earned; a reversal carries the code of what it reverses, so the total stays net
EARNING_HOUSES = (House.REWARDS, House.GAME, House.OPENING)


class Entry(models.Model):
    """One posting: one row with two sides. The account gets `amount`, the house code gets `-amount`.

    Rows are only ever inserted (a trigger refuses the rest). `seq` is the account's version after the posting, so a lost update
    would break the unique (account, seq). The source is unique for ever: one cause, one effect.
    """

    account = models.ForeignKey("wallet.Account", on_delete=models.PROTECT, related_name="entries", db_index=False)
    house = models.CharField(max_length=12, choices=House)
    amount = models.BigIntegerField(help_text="Minor units; positive: to the player.")
    seq = models.BigIntegerField()
    balance_after = models.BigIntegerField()
    source_type = models.CharField(max_length=40, help_text="Kind of the cause, e.g. reward, api, wallet.grant.")
    source_ref = models.CharField(max_length=128, help_text="Id of the cause in its own system.")
    source_sub = models.CharField(max_length=64, blank=True, default="", help_text="Which of several postings of one cause.")
    reversal_of = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="reversals", db_index=False)
    reason = models.CharField(max_length=500, blank=True, default="")
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    occurred_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        verbose_name = "ledger entry"
        verbose_name_plural = "ledger entries"
        constraints = [
            models.UniqueConstraint(fields=["account", "seq"], name="entry_seq_once_per_account"),
            models.UniqueConstraint(fields=["source_ref", "source_type", "source_sub"], name="entry_source_once"),
            models.UniqueConstraint(fields=["reversal_of"], condition=Q(reversal_of__isnull=False), name="entry_reversed_once"),
            models.CheckConstraint(condition=~Q(amount=0), name="entry_amount_not_zero"),
            models.CheckConstraint(condition=Q(balance_after__gte=0), name="entry_balance_after_not_negative"),
            models.CheckConstraint(condition=Q(seq__gte=1), name="entry_seq_from_one"),
            models.CheckConstraint(condition=~Q(source_type="") & ~Q(source_ref=""), name="entry_has_source"),
            models.CheckConstraint(
                condition=Q(house__in=[house.value for house in House]),
                name="entry_house_known",
            ),
        ]

    def __str__(self) -> str:
        return f"entry {self.pk}"
