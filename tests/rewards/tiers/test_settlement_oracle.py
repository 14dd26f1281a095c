"""The set-based statement against the pure rules, on random players, programmes, ladders and days."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from players.models import Exclusion, Player, PlayerTier, Tier, TierMove, TierProgramme, VipClearance
from rewards.models import QualifyingDay
from rewards.tiers.projection import standing_of
from rewards.tiers.qualification import Decision, Programme, Situation, Standing, Step, decide
from rewards.tiers.settlement import settle_range
from tests.factories import PlayerFactory, TierFactory, UserFactory
from tests.rewards.tiers.strategies import ladders, programmes, situations, standings

pytestmark = pytest.mark.django_db
ZONES = ["UTC", "America/New_York", "Asia/Kolkata", "Pacific/Auckland"]


@pytest.fixture
def staff() -> tuple[User, User]:
    return UserFactory(), UserFactory()


# no shrinking: an example is a whole database, and the seed is fixed anyway
@settings(
    max_examples=80,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(programmes, ladders, st.sampled_from(ZONES), st.data())
def test_settle__random_players__as_decided_one_by_one(
    staff: tuple[User, User], programme: Programme, ladder: list[Step], zone: str, data: st.DataObject
) -> None:
    today = data.draw(st.dates(date(2026, 1, 1), date(2026, 12, 31)))
    at = datetime.combine(today, data.draw(st.sampled_from([time(0, 0), time(12, 0), time(23, 59, 59)])), ZoneInfo(zone)).astimezone(UTC)
    with transaction.atomic():
        ladder = save_ladder(ladder, programme, zone)
        known: list[tuple[Player, Standing | None, Situation]] = []
        for _ in range(8):
            standing = data.draw(standings(ladder, today))
            situation = data.draw(situations(ladder, today, standing))
            known.append((save_player(standing, situation, zone, staff, at), standing, situation))
        expected = [decide(standing, situation, ladder, programme, today) for _, standing, situation in known]
        for _ in range(2):  # a second pass leaves all as it is
            settle_range(0, 2**62, at)
            for (player, _, situation), decision in zip(known, expected, strict=True):
                compare(player, situation, decision, zone)
        transaction.set_rollback(True)


def save_ladder(ladder: list[Step], programme: Programme, zone: str) -> list[Step]:
    """The ladder with the ids that the database gives."""
    TierProgramme.objects.update_or_create(
        pk=1,
        defaults={
            "window": str(programme.window),
            "rolling_days": programme.rolling_days,
            "zone": zone,
            "grace_days": programme.grace_days,
            "soft_landing": programme.soft_landing,
        },
    )
    saved = []
    for rank, step in enumerate(ladder):
        tier = TierFactory(
            rank=rank,
            name=f"T{rank}",
            entry_points=Decimal(step.entry) / 100,
            keep_points=Decimal(step.keep) / 100,
            needs_gate=step.needs_gate,
        )
        saved.append(replace(step, tier_id=tier.pk))
    return saved


def save_player(standing: Standing | None, situation: Situation, zone: str, staff: tuple[User, User], at: datetime) -> Player:
    player = PlayerFactory(tier_id=situation.present, registered_at=noon(situation.joined, zone))
    QualifyingDay.objects.bulk_create(QualifyingDay(player=player, day=day, points=points) for day, points in situation.points.items())
    if situation.frozen:
        Exclusion.objects.create(player=player, kind="COOL_OFF", starts_at=at, ends_at=at + timedelta(days=1), recorded_at=at)
    if situation.cleared:
        VipClearance.objects.create(
            player=player, status="APPROVED", identity="passport", affordability="payslips", harm_check="none", requested_by=staff[0],
            requested_at=at, approver=staff[1], decided_at=at, recheck_on=at.astimezone(ZoneInfo(zone)).date() + timedelta(days=1),
        )  # fmt: skip
    if standing is not None:
        PlayerTier.objects.create(
            player=player,
            tier_id=standing.tier_id,
            since=at - timedelta(days=100),
            valid_until=midnight(standing.valid_until, zone),
            grace_until=midnight(standing.grace_until, zone) if standing.grace_until else None,
            frozen=standing.frozen,
            frozen_since=noon(standing.frozen_on, zone) if standing.frozen_on else None,
            override_tier_id=standing.override.tier_id if standing.override else None,
            override_until=midnight(standing.override.until, zone) if standing.override else None,
            override_reason="because" if standing.override else "",
            override_by=staff[0] if standing.override else None,
            waiting_tier_id=standing.waiting,
            waiting_since=at if standing.waiting else None,
            next_review_at=at,
            looked_at=at,
        )
    return player


def compare(player: Player, situation: Situation, decision: Decision, zone: str) -> None:
    row = PlayerTier.objects.get(player=player)
    figures, standing = decision.figures, decision.standing
    assert stored(row, zone) == standing
    assert Player.objects.get(pk=player.pk).tier_id == standing.effective
    assert (row.metric * 100, row.review_metric * 100, row.pace * 100) == (figures.metric, figures.review_metric, figures.pace)
    assert row.to_next == (None if figures.to_next is None else Decimal(figures.to_next) / 100)
    assert (row.to_keep * 100, row.next_review_at) == (figures.to_keep, midnight(figures.next_review, zone))
    assert (row.outcome, row.projected_tier_id) == (figures.outcome, figures.projected)
    moves = [(m.kind, m.from_tier_id, m.to_tier_id, m.points) for m in TierMove.objects.filter(player=player).order_by("pk")]
    wanted = []
    if decision.adopted and situation.present is not None:
        wanted.append(("IMPORT", None, situation.present, None))
    if decision.kind and standing.effective is not None:
        assert decision.moved_metric is not None
        wanted.append((str(decision.kind), situation.present, standing.effective, Decimal(decision.moved_metric) / 100))
    assert moves == wanted


def stored(row: PlayerTier, zone: str) -> Standing:
    """The row as the pure rules see it; the freeze began on the day that is stored."""
    return standing_of(row, zone)


def midnight(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(0, 0), ZoneInfo(zone)).astimezone(UTC)


def noon(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(12, 0), ZoneInfo(zone)).astimezone(UTC)


def test_ladder__none__does_nothing() -> None:
    PlayerFactory()
    assert not Tier.objects.exists()
    assert settle_range(0, 2**62, datetime(2026, 3, 1, tzinfo=UTC)) == {"rows": 0}
