"""What goes into the granting pipeline and what comes out: columns in, counts and ids out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User

from loyalty_site.common.models import ApiClient
from rewards.models import RewardDecision, RuleVersion
from wallet.services import current_version, needs_deposit

RULE, MANUAL, API = RewardDecision.Source.RULE, RewardDecision.Source.MANUAL, RewardDecision.Source.API

UNIT_OF_TYPE = {"BONUS_BALANCE": "BONUS", "LOYALTY_POINTS": "LP", "REWARD_POINTS": "RP", "TICKETS": "TICKET"}


@dataclass(frozen=True)
class Terms:
    """The conditions on which an amount is given. `wagering_multiple` times the amount must be wagered; only bonus money has one.

    With a `bonus_template` the terms are those of its current version: what stands here is what the gates look at, with the products
    and the markets (ids; none: all) for which it is made.
    """

    unit: str
    wagering_multiple: Decimal = Decimal(0)
    expiry_hours: int | None = None
    max_bet: Decimal | None = None
    eligible_games: tuple[str, ...] = ()
    bonus_template: str = ""
    products: tuple[str, ...] = ()
    markets: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Proposals:
    """What one rule version (or one pair of hands, `version` None) proposes: one row a player, in columns of equal length.

    `minor` are amounts in integer minor units (bonus money: of the player's own currency). `facts` are the inputs of the formula,
    `keys` the idempotency keys of grants without a rule.
    """

    terms: Terms
    player_ids: Sequence[int]
    minor: Sequence[int]
    version: RuleVersion | None = None
    facts: Sequence[dict[str, Any]] | None = None
    keys: Sequence[str] | None = None
    currency: str = ""
    """Only players of this currency; empty: any."""
    period_at: datetime | None = None
    """An instant of the period that the rewards are for; None: the batch's own. Rechecks give the time of the proposal."""

    def __post_init__(self) -> None:
        lengths = {len(self.player_ids), len(self.minor)}
        lengths |= {len(column) for column in (self.facts, self.keys) if column is not None}
        if len(lengths) != 1:
            raise ValueError(f"columns of different lengths: {sorted(lengths)}")
        if (self.version is None) == (self.keys is None):
            raise ValueError("a grant needs either a rule version or idempotency keys, not both")


@dataclass(frozen=True)
class GrantBatch:
    """Proposals to be checked, recorded and perhaps paid together, for the instant `at`.

    `maker` (a user) or `maker_client` (an integrator) is who asked; the maker never approves. `issue_now` pays what was approved
    automatically before `grant` returns.
    """

    proposals: tuple[Proposals, ...]
    at: datetime
    source: str = RULE
    maker: User | None = None
    maker_client: ApiClient | None = None
    reason: str = ""
    run_id: int | None = None
    import_job_id: int | None = None
    issue_now: bool = False


@dataclass
class GrantResult:
    """What became of a batch. `duplicates` were decided before (same issue key) and left as they are."""

    proposed: int = 0
    duplicates: int = 0
    refused: int = 0
    auto_approved: int = 0
    pending: int = 0
    issued: int = 0
    refused_by: dict[str, int] = field(default_factory=dict)
    decision_ids: list[int] = field(default_factory=list)

    def __add__(self, other: "GrantResult") -> "GrantResult":
        gates = {name: self.refused_by.get(name, 0) + other.refused_by.get(name, 0) for name in {*self.refused_by, *other.refused_by}}
        return GrantResult(
            proposed=self.proposed + other.proposed,
            duplicates=self.duplicates + other.duplicates,
            refused=self.refused + other.refused,
            auto_approved=self.auto_approved + other.auto_approved,
            pending=self.pending + other.pending,
            issued=self.issued + other.issued,
            refused_by=gates,
            decision_ids=self.decision_ids + other.decision_ids,
        )


def terms_of(version: RuleVersion) -> Terms:
    """The terms that a rule version's reward_config states. Raises KeyError for an unknown type (the rule form refuses it earlier)."""
    config = version.reward_config
    unit = UNIT_OF_TYPE[config["type"]]
    if unit != "BONUS":
        return Terms(unit)  # only bonus money has terms
    if config.get("bonus_template"):
        return bonus_terms(str(config["bonus_template"]))
    return Terms(
        unit=unit,
        wagering_multiple=Decimal(str(config.get("wagering_requirement") or 0)),
        expiry_hours=int(config["expiry_hours"]) if config.get("expiry_hours") else None,
        max_bet=Decimal(str(config["max_bet"])) if config.get("max_bet") else None,
        eligible_games=tuple(config.get("eligible_games") or ()),
    )


def bonus_terms(code: str) -> Terms:
    """The terms of a bonus template as it is now. Raises ValueError for a template that cannot be given as a reward, saying why."""
    version = current_version(code)
    if needs_deposit(version) and not version.needs_claim:
        raise ValueError(f"bonus template {code!r} needs a deposit, which no reward names; let the player claim it, or choose another")
    return Terms(
        unit="BONUS",
        wagering_multiple=version.multiple,
        expiry_hours=version.wagering_hours,
        max_bet=version.max_bet,
        eligible_games=tuple(version.eligible_games),
        bonus_template=code,
        products=tuple(version.products),
        markets=frozenset(version.markets.values_list("pk", flat=True)),
    )


def period_key(period: str, day: date) -> str:
    """The name of the period of `day`: 2026-03-15 (DAY), 2026-W11 (WEEK, ISO), 2026-03 (MONTH), ONCE."""
    if period == "DAY":
        return day.isoformat()
    if period == "WEEK":
        year, week, _ = day.isocalendar()
        return f"{year}-W{week:02d}"
    if period == "MONTH":
        return f"{day.year:04d}-{day.month:02d}"
    if period == "ONCE":
        return "ONCE"
    raise ValueError(f"unknown period {period!r}; use DAY, WEEK, MONTH or ONCE")
