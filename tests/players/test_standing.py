"""Abuse scores and tiers: written for many, recorded, refused when wrong."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction

from players.models import Player, PlayerMetrics, TierMove
from players.services import apply_abuse_scores, move_tiers
from tests.factories import PlayerFactory, TierFactory

pytestmark = pytest.mark.django_db
D = Decimal


def test_scores__unmeasured_player__is_measured_and_scored(now: datetime) -> None:
    one, two = PlayerFactory(), PlayerFactory()
    assert apply_abuse_scores([two.pk, one.pk], [D("80.5"), D("30.4994")], now) == 2
    assert dict(Player.objects.values_list("pk", "risk_score")) == {one.pk: 30, two.pk: 81}
    assert dict(PlayerMetrics.objects.values_list("player_id", "bonus_abuse_score")) == {one.pk: D("30.499"), two.pk: D("80.5")}
    assert set(PlayerMetrics.objects.values_list("as_of", flat=True)) == {now}


def test_scores__same_again__change_nobody(now: datetime) -> None:
    one = PlayerFactory()
    apply_abuse_scores([one.pk], [D(40)], now)
    assert apply_abuse_scores([one.pk], [D(40)], now) == 0
    assert apply_abuse_scores([], [], now) == 0


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([D(101)], "101 of player .* is not between 0 and 100"),
        ([D("-0.1")], "not between"),
        ([D("NaN")], "not between"),
        ([], "1 players but 0 scores"),
    ],
)
def test_scores__wrong__are_refused_and_nothing_moves(now: datetime, scores: list, message: str) -> None:
    one = PlayerFactory()
    with pytest.raises(ValueError, match=message):
        apply_abuse_scores([one.pk], scores, now)
    assert Player.objects.get().risk_score == 0
    assert PlayerMetrics.objects.count() == 0


def test_tiers__move__is_recorded_once_with_points_and_reason(now: datetime) -> None:
    bronze, silver = TierFactory(rank=70), TierFactory(rank=71)
    one, two = PlayerFactory(tier=bronze), PlayerFactory()
    assert move_tiers([one.pk, two.pk], [silver.pk, bronze.pk], [D(1500), None], now, "reached the entry points") == 2
    moves = TierMove.objects.order_by("player_id").values_list("player_id", "from_tier_id", "to_tier_id", "moved_at", "points", "reason")
    assert list(moves) == [
        (one.pk, bronze.pk, silver.pk, now, D(1500), "reached the entry points"),
        (two.pk, None, bronze.pk, now, None, "reached the entry points"),
    ]
    assert move_tiers([one.pk, two.pk], [silver.pk, bronze.pk], [D(1500), None], now + timedelta(days=1), "again") == 0
    assert dict(Player.objects.values_list("pk", "tier_id")) == {one.pk: silver.pk, two.pk: bronze.pk}


def test_tiers__wrong_call__is_refused_and_nothing_moves(now: datetime) -> None:
    tier, one = TierFactory(rank=70), PlayerFactory()
    with pytest.raises(ValueError, match="needs a reason"):
        move_tiers([one.pk], [tier.pk], [None], now, " ")
    with pytest.raises(ValueError, match="named twice"):
        move_tiers([one.pk, one.pk], [tier.pk, tier.pk], [None, None], now, "why")
    with pytest.raises(ValueError, match="1 players but 2 tier_ids"):
        move_tiers([one.pk], [tier.pk, tier.pk], [None], now, "why")
    save = transaction.savepoint()
    move_tiers([one.pk], [999_999_999], [None], now, "why")
    with pytest.raises(IntegrityError, match="tier"):
        connection.check_constraints()  # what a commit does
    transaction.savepoint_rollback(save)
    assert Player.objects.get().tier is None
    assert TierMove.objects.count() == 0
