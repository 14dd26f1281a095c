"""Scanning the players of an import: which ranges are read, and that the same is found as by a scan of all."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.models import AbuseProfile, AbuseSignal
from fraud.scanning import close_ranges
from fraud.services import scan, scan_players
from players.models import PlaySession
from tests.factories import NOW, GameFactory, PlayerFactory


@given(st.sets(st.integers(1, 20_000), max_size=60))
def test_close_ranges__any_ids__cover_each_once_in_order_without_wide_gaps(ids: set[int]) -> None:
    ranges = list(close_ranges(ids))
    assert sorted(one for lower, upper in ranges for one in ids if lower <= one < upper) == sorted(ids)
    assert all(before[1] <= after[0] for before, after in zip(ranges, ranges[1:], strict=False))
    assert all(lower in ids and upper - 1 in ids and upper - lower <= 5_000 for lower, upper in ranges)


def test_close_ranges__vectors() -> None:
    assert list(close_ranges([])) == []
    assert list(close_ranges([7])) == [(7, 8)]
    assert list(close_ranges([1, 2, 51, 110])) == [(1, 52), (110, 111)]
    assert list(close_ranges([1, 6], widest_gap=10, longest=5)) == [(1, 2), (6, 7)]


@pytest.mark.django_db
def test_scan_players__ring_on_one_device__same_scores_as_a_scan_of_all() -> None:
    GameFactory()
    players = [PlayerFactory() for _ in range(4)]
    for number, player in enumerate(players):
        PlaySession.objects.create(player=player, external_id=f"s{number}", started_at=NOW - timedelta(days=2), device_id="one-device")
    ids = [player.pk for player in players]
    scan(min(ids), max(ids) + 1, NOW)
    scan(min(ids), max(ids) + 1, NOW)  # links of all are known now
    whole = dict(AbuseProfile.objects.values_list("player_id", "score"))
    AbuseProfile.objects.all().delete()
    AbuseSignal.objects.all().delete()
    assert scan_players(ids, NOW) == 4
    assert dict(AbuseProfile.objects.values_list("player_id", "score")) == whole
    assert all(score > 0 for score in whole.values())
