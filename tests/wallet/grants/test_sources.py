"""A source stands for one thing: what a bonus will be credited with when its turn comes cannot be posted as something else before."""

from datetime import timedelta
from decimal import Decimal

import pytest

from tests.factories import NOW, PlayerFactory
from tests.wallet.factories import a_template, assert_books_balance, bonus, line, offer, points, post_lines
from wallet import services
from wallet.grants import queue
from wallet.models import Entry, Lot, PointsPolicy
from wallet.services import IdempotencyConflict, Source

pytestmark = pytest.mark.django_db
TAKEN = Source("test", "taken")
TOMORROW = NOW + timedelta(days=1)


@pytest.fixture
def player():
    return PlayerFactory()


@pytest.fixture(params=["queued", "offered"])
def waiting(request, player):
    """A grant without an entry, of the source TAKEN."""
    if request.param == "offered":
        return offer(player.pk, a_template(needs_claim=True, amount=Decimal(5)), ref="taken")
    bonus(player.pk, ref="first")
    return bonus(player.pk, "5.00", ref="taken")


def _points(player_id, **fields):
    return services.add_points(player_id=player_id, unit="LP", amount=Decimal(5), source=TAKEN, at=NOW, **fields)


def _spent(player_id):
    points(player_id, "10", unit="RP")
    return services.spend(player_id=player_id, unit="RP", currency="", amount=Decimal(5), source=TAKEN, at=NOW, reason="a prize")


def _lines_that_wait(player_id):
    PointsPolicy.objects.filter(unit="LP").update(pending_hours=24)
    return post_lines([line(1, player_id, 500, source_type="test", ref="taken")])


@pytest.mark.parametrize(
    "post",
    [
        _points,
        lambda player_id: _points(player_id, pending_until=TOMORROW),
        lambda player_id: post_lines([line(1, player_id, 500, source_type="test", ref="taken")]),
        _lines_that_wait,
        _spent,
    ],
    ids=["points", "points that wait", "bulk", "bulk that waits", "spending"],
)
def test_post__source_of_a_grant_without_entry__refused_and_the_grant_begins_later(player, waiting, post):
    with pytest.raises(IdempotencyConflict, match="taken"):
        post(player.pk)
    assert not Lot.objects.filter(source_ref="taken").exists()
    if waiting.status == "OFFERED":
        services.claim_grant(waiting.pk, at=NOW)
    else:
        services.surrender_grant(waiting.player.bonus_grants.get(source_ref="first").pk, at=NOW, reason="no")
    waiting.refresh_from_db()
    assert (waiting.status, Entry.objects.get(source_ref="taken").amount) == ("ACTIVE", 500)
    assert_books_balance()


@pytest.mark.parametrize(
    "give",
    [
        lambda player_id: bonus(player_id, "5.00", ref="taken"),
        lambda player_id: post_lines([line(1, player_id, 500, unit="BONUS", source_type="test", ref="taken")]),
    ],
    ids=["single", "bulk"],
)
@pytest.mark.parametrize("cancelled", [False, True])
def test_bonus__source_of_points_that_wait__refused(player, give, cancelled):
    _points(player.pk, pending_until=TOMORROW)
    if cancelled:
        services.cancel_pending(source=TAKEN, at=NOW, reason="taken back")
    with pytest.raises(IdempotencyConflict, match="taken"):
        give(player.pk)
    assert not player.bonus_grants.exists()


def test_bonus__its_own_source_again__is_no_conflict(player, waiting):
    """Control: the probe refuses only what is something else."""
    if waiting.status == "QUEUED":
        assert bonus(player.pk, "5.00", ref="taken") == waiting
    else:
        services.claim_grant(waiting.pk, at=NOW)
    queue.start_next([player.pk], at=NOW)
    assert_books_balance()
