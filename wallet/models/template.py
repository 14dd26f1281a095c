"""What a bonus promises: templates in versions, and the tables that say how much a bet counts."""

from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from loyalty_site.common.models.history import ChangeHistory

_SHARE: Any = {"max_digits": 9, "decimal_places": 6}


class Product(models.TextChoices):
    """What may be played with a bonus. One grant of a product is active at a time."""

    CASINO = "casino", "Casino"
    SPORTS = "sports", "Sportsbook"
    LOTTO = "lotto", "Lotto"
    POKER = "poker", "Poker"


class ContributionTable(models.Model):
    """How much of a stake counts towards wagering, by game, provider or category and by date."""

    name = models.CharField(max_length=80, unique=True)
    is_default = models.BooleanField(default=False, help_text="Used by bonuses that name no table.")
    edge_reference = models.DecimalField(
        **_SHARE, default="0.04", help_text="House edge that counts in full, for weights by edge: weight = min(1, edge / reference)."
    )

    history = ChangeHistory()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["is_default"], condition=Q(is_default=True), name="contributiontable_one_default"),
            models.CheckConstraint(condition=Q(edge_reference__gt=0, edge_reference__lt=1), name="contributiontable_edge_is_a_share"),
        ]

    def __str__(self) -> str:
        return self.name


class ContributionRule(models.Model):
    """One line of a table, valid from one instant to another (half-open). The narrowest scope that is valid decides."""

    class Scope(models.TextChoices):
        GAME = "game", "Game"
        PROVIDER = "provider", "Provider"
        CATEGORY = "category", "Category"
        DEFAULT = "default", "Everything else"

    class Method(models.TextChoices):
        FIXED = "fixed", "Fixed weight"
        EDGE = "edge", "By house edge of the game"
        EXCLUDED = "excluded", "Does not count"

    table = models.ForeignKey(ContributionTable, on_delete=models.PROTECT, related_name="rules")
    scope = models.CharField(max_length=8, choices=Scope)
    key = models.CharField(max_length=80, blank=True, help_text="Game code, provider or category; empty for everything else.")
    method = models.CharField(max_length=8, choices=Method, default=Method.FIXED)
    weight = models.DecimalField(**_SHARE, default=1, help_text="0 to 1; for weights by edge: used when the edge of a game is unknown.")
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True, blank=True, help_text="First instant at which it no longer holds; empty: open end.")

    history = ChangeHistory()

    class Meta:
        ordering = ["table", "scope", "key", "valid_from"]
        constraints = [
            models.UniqueConstraint(fields=["table", "scope", "key", "valid_from"], name="contributionrule_one_start"),
            models.CheckConstraint(condition=Q(weight__gte=0, weight__lte=1), name="contributionrule_weight_0_1"),
            models.CheckConstraint(
                condition=Q(valid_to__isnull=True) | Q(valid_to__gt=F("valid_from")), name="contributionrule_ends_later"
            ),
            models.CheckConstraint(
                condition=Q(scope="default", key="") | ~Q(scope="default") & ~Q(key=""), name="contributionrule_key_fits"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_scope_display()} {self.key}".strip()


class BonusTemplate(models.Model):
    """A kind of bonus under a permanent code. Its terms stand in versions; a grant keeps the version it was made from."""

    code = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=120)
    is_active = models.BooleanField(default=True, help_text="Only active templates can be offered.")
    current = models.ForeignKey(
        "wallet.BonusTemplateVersion",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Version for new grants.",
    )

    history = ChangeHistory()

    class Meta:
        ordering = ["code"]
        permissions = [("offer_bonus", "Can offer a bonus to a player")]

    def __str__(self) -> str:
        return self.name


class BonusTemplateVersion(models.Model):
    """The terms of a template at one time. Never changed: an edit makes the next version. Field meanings: docs/bonuses.md."""

    class Kind(models.TextChoices):
        MONEY = "money", "Bonus money"
        FREE_SPINS = "free_spins", "Free spins"

    class Base(models.TextChoices):
        BONUS = "bonus", "Bonus"
        BONUS_AND_DEPOSIT = "bonus_deposit", "Bonus and deposit"
        SPIN_WINNINGS = "spin_winnings", "Winnings of the free spins"

    class CountMode(models.TextChoices):
        BONUS_FUNDS = "bonus_funds_only", "Only the part staked from the bonus"
        ALL_FUNDS = "all_funds", "The whole stake"

    class FundOrder(models.TextChoices):
        REAL_FIRST = "real_first", "Cash first"
        BONUS_FIRST = "bonus_first", "Bonus first"
        PROPORTIONAL = "proportional", "In proportion to the balances"

    class OverMaxBet(models.TextChoices):
        IGNORE = "ignore", "Does not count"
        CAP = "cap", "Counts up to the largest bet"
        PENALTY = "penalty", "Raises the requirement"
        FLAG = "flag", "Counts, and is flagged for review"

    class Winnings(models.TextChoices):
        BONUS = "bonus", "Bonus balance"
        LOCKED = "locked", "Locked until the wagering is complete"

    template = models.ForeignKey(BonusTemplate, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.MONEY)
    products = ArrayField(models.CharField(max_length=8, choices=Product), default=list, help_text="What may be played with it.")
    markets = models.ManyToManyField("players.Jurisdiction", blank=True, related_name="+", help_text="Empty: offered in every market.")
    amount = models.DecimalField(
        max_digits=14, decimal_places=4, null=True, blank=True, help_text="Fixed amount, when the offer names none."
    )
    match_percent = models.DecimalField(max_digits=7, decimal_places=2, null=True, blank=True, help_text="Share of the deposit given.")
    max_amount = models.DecimalField(max_digits=14, decimal_places=4, null=True, blank=True)
    min_deposit = models.DecimalField(
        max_digits=14, decimal_places=4, null=True, blank=True, help_text="Claim needs a deposit of this much."
    )
    spins = models.PositiveIntegerField(null=True, blank=True)
    spin_value = models.DecimalField(max_digits=10, decimal_places=4, null=True, blank=True)
    spin_game = models.CharField(max_length=80, blank=True)
    base = models.CharField(max_length=13, choices=Base, default=Base.BONUS)
    multiple = models.DecimalField(max_digits=8, decimal_places=2, default=0, help_text="Times the base has to be wagered.")
    count_mode = models.CharField(max_length=16, choices=CountMode, default=CountMode.BONUS_FUNDS)
    contribution = models.ForeignKey(ContributionTable, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    fund_order = models.CharField(max_length=12, choices=FundOrder, default=FundOrder.REAL_FIRST)
    winnings = models.CharField(max_length=6, choices=Winnings, default=Winnings.BONUS)
    sticky = models.BooleanField(default=False, help_text="The bonus itself is never paid out, only what was won with it.")
    cash_out_cap = models.DecimalField(
        max_digits=8, decimal_places=2, null=True, blank=True, help_text="Most that is paid out, in times the bonus; empty: no cap."
    )
    max_bet = models.DecimalField(max_digits=14, decimal_places=4, null=True, blank=True)
    over_max_bet = models.CharField(max_length=7, choices=OverMaxBet, default=OverMaxBet.IGNORE)
    penalty_factor = models.DecimalField(max_digits=8, decimal_places=2, default=1)
    coverage_limit = models.DecimalField(
        **_SHARE, null=True, blank=True, help_text="Bets that cover a larger share of the outcomes do not count; empty: no limit."
    )
    min_bet = models.DecimalField(max_digits=14, decimal_places=4, default="0.01", help_text="With less than this left the bonus is lost.")
    eligible_games = models.JSONField(default=list, blank=True, help_text="Game codes, providers or categories; empty: all games.")
    needs_claim = models.BooleanField(default=False, help_text="Offered first; the player claims it.")
    claim_hours = models.PositiveIntegerField(default=168, help_text="How long an offer stands.")
    wagering_hours = models.PositiveIntegerField(default=168, help_text="How long the player has to meet the terms, from activation.")
    settle_grace_hours = models.PositiveIntegerField(
        default=24, help_text="How long an expired bonus waits for rounds that are still open."
    )
    forfeit_on_withdrawal = models.BooleanField(default=True)
    acknowledged_multiple = models.DecimalField(
        max_digits=10,
        decimal_places=2,
        null=True,
        blank=True,
        help_text="Effective multiple (multiple / smallest weight) that staff accepted.",
    )
    author = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["template", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["template", "number"], name="templateversion_once"),
            models.CheckConstraint(condition=Q(multiple__gte=0), name="templateversion_multiple_not_negative"),
            models.CheckConstraint(condition=Q(products__len__gte=1), name="templateversion_has_a_product"),
            models.CheckConstraint(
                condition=Q(kind="money", spins__isnull=True) | Q(kind="free_spins", spins__gt=0, spin_value__gt=0),
                name="templateversion_spins_fit_kind",
            ),
            models.CheckConstraint(condition=Q(min_bet__gt=0), name="templateversion_min_bet_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.template_id} v{self.number}"
