"""A small operator for granting tests: a market with rules, players who pass every gate, rules, staff."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import Permission, User

from players.models import Jurisdiction, JurisdictionPack, Player
from rewards.granting.batch import GrantBatch, Proposals, Terms, terms_of
from rewards.granting.settings import Thresholds
from rewards.models import RewardRule, RuleVersion
from tests.factories import NOW, PlayerFactory, PlayerMetricsFactory, ProtectionFactory, UserFactory

THRESHOLDS = Thresholds(
    cap_day=Decimal(1000),
    cap_week=Decimal(5000),
    cap_month=Decimal(15000),
    approval_from=Decimal(100),
    approval_second_from=Decimal(1000),
    approval_from_points=Decimal(1000),
    approval_second_from_points=Decimal(10000),
    approval_from_abuse_score=61,
    stale_after_hours=24,
    lapses_after_hours=72,
    metrics_max_age_hours=36,
    min_roi_percent=Decimal(0),
    retention={
        "WINNING": Decimal("1.0"),
        "BREAKEVEN": Decimal("1.1"),
        "LOSING": Decimal("1.3"),
        "NEW": Decimal("1.2"),
        "VIP": Decimal("1.5"),
    },
    default_house_edge=Decimal("0.05"),
    point_cost={"LP": Decimal(0), "RP": Decimal("0.01"), "TICKET": Decimal(1)},
    reduced_multiplier=Decimal("0.5"),
    wagering_multiplier=Decimal("1.5"),
)


def make_market(code: str = "MT", **rules: Any) -> Jurisdiction:
    market, created = Jurisdiction.objects.get_or_create(code=code, defaults={"name": code, "countries": [code]})
    if created or rules:
        JurisdictionPack.objects.update_or_create(jurisdiction=market, valid_from=date(2020, 1, 1), defaults=rules)
    return market


def make_player(*, metrics: dict[str, Any] | None = None, protection: dict[str, Any] | None = None, **fields: Any) -> Player:
    """A player who passes every gate: WINNING, 100,000 wagered in one month at an edge of 5 %, consent given, grown up."""
    fields.setdefault("jurisdiction", Jurisdiction.objects.filter(code="MT").first() or make_market())
    fields.setdefault("segment", "WINNING")
    fields.setdefault("birth_date", date(1990, 1, 1))
    fields.setdefault("registered_at", NOW - timedelta(days=10))
    player = PlayerFactory(**fields)
    figures = {"total_wagered": Decimal(100_000), "house_edge_contribution": Decimal(5_000), "last_activity_on": NOW.date()}
    PlayerMetricsFactory(player=player, **{**figures, **(metrics or {})})
    ProtectionFactory(player=player, **(protection or {}))
    return player


def make_rule(
    rule_id: str = "cashback", *, config: dict[str, Any] | None = None, priority: int = 0, active: bool = True, **version: Any
) -> RuleVersion:
    """A bonus rule: 10 to everybody, to be wagered 5 times within 48 hours."""
    rule = RewardRule.objects.filter(rule_id=rule_id).first()
    if rule is None:
        rule = RewardRule.objects.create(rule_id=rule_id, name=rule_id.title(), priority=priority, created_at=NOW, updated_at=NOW)
    reward = {"type": "BONUS_BALANCE", "formula": "10", "wagering_requirement": 5, "expiry_hours": 48, **(config or {})}
    version.setdefault("period", "DAY")
    version.setdefault("conditions", {})
    number = rule.versions.count() + 1
    made = RuleVersion.objects.create(rule=rule, number=number, reward_config=reward, created_at=NOW, **version)
    rule.current_version, rule.is_active = made, active
    rule.save(update_fields=["current_version", "is_active"])
    made.rule = rule
    return made


def make_staff(*permissions: str, **fields: Any) -> User:
    """A member of staff with permissions given as codenames of the rewards app."""
    user = UserFactory(**fields)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="rewards", codename__in=permissions))
    return User.objects.get(pk=user.pk)


def make_approver(**fields: Any) -> User:
    return make_staff("approve_decision", **fields)


def by_rule(version: RuleVersion, players: list[Player], minor: int | list[int] = 1000, *, at: datetime = NOW, **batch: Any) -> GrantBatch:
    """A batch that proposes `minor` to every player on the rule's terms."""
    amounts = minor if isinstance(minor, list) else [minor] * len(players)
    proposals = Proposals(terms=terms_of(version), player_ids=[one.pk for one in players], minor=amounts, version=version)
    return GrantBatch((proposals,), at, **batch)


def by_hand(player: Player, minor: int, *, key: str = "k1", at: datetime = NOW, terms: Terms | None = None, **batch: Any) -> GrantBatch:
    wanted = terms or Terms("BONUS", Decimal(5), 48)
    return GrantBatch((Proposals(terms=wanted, player_ids=[player.pk], minor=[minor], keys=[key]),), at, source="MANUAL", **batch)
