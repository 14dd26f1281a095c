"""Reclassification in batches: moves, history, distribution, flows."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from constance.test import override_config

from players.models import Player, SegmentMove
from players.selectors import segment_distribution, segment_flows
from players.services import classify_segments, classify_segments_for
from tests.factories import PlayerFactory, PlayerMetricsFactory

pytestmark = pytest.mark.django_db
D = Decimal
HOUR = timedelta(hours=1)


def player(wagered: int = 0, result: int = 0, sessions: int = 0, **values: object) -> Player:
    found = PlayerFactory(**values)
    PlayerMetricsFactory(player=found, total_wagered=D(wagered), net_pnl=D(result), sessions=sessions)
    return found


def test_reclassify__a_mixed_range__moves_each_and_keeps_history(now: datetime) -> None:
    losing, vip = player(2000, -500, 3), player(200_000, 5, 60)
    stays, unmeasured = player(10), PlayerFactory()
    outside = player(2000, -500, 3)
    counts = classify_segments(losing.pk, outside.pk, now, run_id=7)
    assert counts == {"rows": 4, "moved": 2, "NEW": 2, "WINNING": 0, "BREAKEVEN": 0, "LOSING": 1, "VIP": 1}
    assert dict(Player.objects.values_list("pk", "segment")) == {
        losing.pk: "LOSING",
        vip.pk: "VIP",
        stays.pk: "NEW",
        unmeasured.pk: "NEW",
        outside.pk: "NEW",
    }
    moves = SegmentMove.objects.order_by("id").values_list("player_id", "from_segment", "to_segment", "moved_at", "run_id")
    assert list(moves) == [(losing.pk, "NEW", "LOSING", now, 7), (vip.pk, "NEW", "VIP", now, 7)]
    assert segment_distribution() == {"NEW": 3, "WINNING": 0, "BREAKEVEN": 0, "LOSING": 1, "VIP": 1}


def test_reclassify__again__moves_nobody(now: datetime) -> None:
    one = player(2000, -500, 3)
    classify_segments_for([one.pk], now)
    assert classify_segments_for([one.pk], now + HOUR)["moved"] == 0
    assert SegmentMove.objects.count() == 1


def test_reclassify__thresholds_edited_by_staff__are_used(now: datetime) -> None:
    one = player(2000, -500, 3)
    with override_config(SEGMENT_NEW_BELOW_WAGERED=D("2000.01")):
        assert classify_segments_for([one.pk], now)["NEW"] == 1
    with override_config(SEGMENT_VIP_FROM_WAGERED=D(2000), SEGMENT_VIP_FROM_SESSIONS=3):
        assert classify_segments_for([one.pk], now)["VIP"] == 1
    with override_config(SEGMENT_BREAKEVEN_BAND=D("0.25")):
        assert classify_segments_for([one.pk], now)["BREAKEVEN"] == 1


def test_reclassify__thresholds_that_contradict__say_so_and_move_nobody(now: datetime) -> None:
    one = player(2000, -500, 3)
    with override_config(SEGMENT_VIP_FROM_WAGERED=D(10)), pytest.raises(ValueError, match="vip_from_wagered"):
        classify_segments_for([one.pk], now)
    assert SegmentMove.objects.count() == 0


def test_flows__between_two_instants__follow_the_history(now: datetime) -> None:
    stays, moves, late = (PlayerFactory(created_at=now - 10 * HOUR) for _ in range(3))
    PlayerFactory(created_at=now + HOUR)  # not there yet at the start
    SegmentMove.objects.create(player=moves, from_segment="NEW", to_segment="LOSING", moved_at=now - HOUR)
    SegmentMove.objects.create(player=moves, from_segment="LOSING", to_segment="WINNING", moved_at=now + HOUR)
    SegmentMove.objects.create(player=moves, from_segment="WINNING", to_segment="VIP", moved_at=now + 2 * HOUR)
    SegmentMove.objects.create(player=late, from_segment="NEW", to_segment="BREAKEVEN", moved_at=now + 9 * HOUR)
    for one, segment in ((moves, "VIP"), (late, "BREAKEVEN")):
        Player.objects.filter(pk=one.pk).update(segment=segment)
    flows = segment_flows(now, now + 2 * HOUR)
    assert {(old, new): n for old, row in flows.items() for new, n in row.items() if n} == {("NEW", "NEW"): 2, ("LOSING", "VIP"): 1}
    assert segment_flows(now, now)["LOSING"] == {"NEW": 0, "WINNING": 0, "BREAKEVEN": 0, "LOSING": 1, "VIP": 0}
    assert stays.segment == "NEW"


def test_flows__end_before_start__is_refused(now: datetime) -> None:
    with pytest.raises(ValueError, match="end lies before the start"):
        segment_flows(now, now - HOUR)
