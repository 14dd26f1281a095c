"""Two reviews at once, each with its control: without the players' locks the same race goes wrong, so the test can see it."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from players.models import Player, PlayerTier, TierMove, VipClearance
from rewards.models import QualifyingDay
from rewards.tiers import settlement
from rewards.tiers.clearances import Evidence, approve_clearance, reject_clearance, request_clearance
from rewards.tiers.settlement import settle_players
from tests.factories import PlayerFactory, TierFactory, UserFactory
from wallet.services import Source, add_points

pytestmark = pytest.mark.django_db(transaction=True)
D = Decimal
DAY = datetime(2026, 2, 9, 12, 0, tzinfo=UTC)


@pytest.fixture
def player() -> Player:
    for rank, (name, entry, keep) in enumerate((("Bronze", 0, 0), ("Silver", 1000, 800), ("Gold", 10_000, 8_000))):
        TierFactory(rank=rank, name=name, entry_points=D(entry), keep_points=D(keep))
    player = PlayerFactory()
    settle_players([player.pk], DAY)
    add_points(player_id=player.pk, unit="LP", amount=D(10_000), source=Source("t", "1"), at=DAY, house="game")
    return player


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        try:
            start.wait(20)
            return call()
        except Exception as error:  # noqa: BLE001 - the outcome of the race
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_settle__eight_at_once__one_move_and_every_point_counted_once(player: Player) -> None:
    results = at_once([lambda: settle_players([player.pk], DAY)] * 8)
    assert sorted(one["rows"] for one in results) == [0] * 7 + [1]
    assert TierMove.objects.filter(player=player, kind="UPGRADE", to_tier__name="Gold").count() == 1
    assert QualifyingDay.objects.get(player=player).points == 10_000_00


def test_settle__control_without_the_locks__moves_twice_or_fails(player: Player, monkeypatch: pytest.MonkeyPatch) -> None:
    everyone_has_looked = threading.Barrier(2)
    look = settlement._look

    def together(*arguments: Any) -> None:
        look(*arguments)
        everyone_has_looked.wait(20)

    settle_players([player.pk], DAY - timedelta(days=1))  # rolled up, so that only the move races; too early for these points
    Player.objects.update(tier=None)
    PlayerTier.objects.all().delete()
    TierMove.objects.all().delete()
    monkeypatch.setattr(settlement, "_hold", lambda *_: None)
    monkeypatch.setattr(settlement, "_look", together)
    results = at_once([lambda: settle_players([player.pk], DAY)] * 2)
    assert [one["rows"] for one in results] == [1, 1]
    assert TierMove.objects.filter(player=player).count() == 2


def test_review__two_at_the_end_of_a_grace__one_step_down(player: Player) -> None:
    settle_players([player.pk], DAY)
    review = datetime(2026, 7, 1, tzinfo=UTC)
    settle_players([player.pk], review)
    at_once([lambda: settle_players([player.pk], review + timedelta(days=14))] * 4)
    assert list(TierMove.objects.filter(player=player, kind="GRACE_END").values_list("from_tier__name", "to_tier__name")) == [
        ("Gold", "Silver")
    ]


def test_clearance__approved_and_rejected_at_once__one_decision(player: Player) -> None:
    asker, one, two = (UserFactory(is_superuser=True) for _ in range(3))
    request = request_clearance(player.pk, Evidence("a", "b", "c", date(2026, 12, 1)), actor=asker, reason="why", at=DAY)
    results = at_once(
        [
            lambda: approve_clearance(request.pk, actor=one, note="seen", at=DAY),
            lambda: reject_clearance(request.pk, actor=two, note="not seen", at=DAY),
        ]
    )
    assert sum(isinstance(result, ValueError) for result in results) == 1
    decided = VipClearance.objects.get()
    assert (decided.status, decided.approver) in {("APPROVED", one), ("REJECTED", two)}
