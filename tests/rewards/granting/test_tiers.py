"""Points for play, reckoned by hand."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from players.models import Player, PlayerDay
from rewards.earning import credit_play_points
from rewards.models import EarningRule, PlayPoints
from tests.factories import NOW, PlayerFactory, TierFactory
from wallet.models import Account, Entry, Lot, PointsPolicy
from wallet.services import Source, activate_lots, reconcile, spend

pytestmark = pytest.mark.django_db
EVERYBODY = (0, 2**62)


@pytest.fixture(autouse=True)
def programme(db: None) -> None:
    """One point for 100 staked, since the beginning of the year."""
    EarningRule.objects.all().delete()
    EarningRule.objects.create(name="play", rate=Decimal("0.01"), valid_from=date(2026, 1, 1))


def play(player: Player, day: int, stake: str) -> None:
    PlayerDay.objects.update_or_create(player=player, day=date(2026, 3, day), defaults={"stake": Decimal(stake)})


def points(player: Player) -> Decimal:
    account = Account.objects.filter(player=player, unit="LP").first()
    return Decimal(account.balance) / 100 if account else Decimal(0)


def test_points__full_days__earn_stake_times_rate_times_multiplier() -> None:
    player = PlayerFactory(tier=TierFactory(earn_multiplier=Decimal("1.5")))
    play(player, 13, "1000")
    play(player, 14, "333.33")
    play(player, 15, "5000")  # today is not over
    result = credit_play_points(*EVERYBODY, NOW)
    assert (result["rows"], points(player)) == (1, Decimal("19.99"))  # 1,333.33 x 0.01 x 1.5 = 19.99995
    entry = Entry.objects.get()
    assert (entry.house, entry.source_type, entry.source_ref) == ("game", "play", f"{player.pk}:2026-03-14")


def test_points__again__posts_nothing() -> None:
    player = PlayerFactory()
    play(player, 14, "1000")
    credit_play_points(*EVERYBODY, NOW)
    assert credit_play_points(*EVERYBODY, NOW) == {"rows": 0}
    assert Entry.objects.count() == 1


def test_points__in_many_nights__sum_to_the_same_as_in_one() -> None:
    nightly, at_once = PlayerFactory(), PlayerFactory()
    for day in range(1, 15):
        play(nightly, day, "33.37")
        credit_play_points(*EVERYBODY, NOW - timedelta(days=14 - day))
    for day in range(1, 15):
        play(at_once, day, "33.37")
    credit_play_points(*EVERYBODY, NOW)
    assert points(nightly) == points(at_once) == Decimal("4.67")  # 14 x 33.37 x 0.01 = 4.6718


def test_points__day_corrected_upwards__posts_the_difference() -> None:
    player = PlayerFactory()
    play(player, 14, "1000")
    credit_play_points(*EVERYBODY, NOW)
    play(player, 14, "1500")
    credit_play_points(*EVERYBODY, NOW)
    assert list(Entry.objects.order_by("pk").values_list("amount", flat=True)) == [1000, 500]


def test_points__day_corrected_downwards__takes_back_and_the_earned_total_follows() -> None:
    player = PlayerFactory()
    play(player, 14, "1000")
    credit_play_points(*EVERYBODY, NOW)
    play(player, 14, "400")
    assert credit_play_points(*EVERYBODY, NOW)["taken_back"] == 1
    account = Account.objects.get()
    assert (account.balance, account.earned_total) == (400, 400)
    assert PlayPoints.objects.get().credited_minor == 400
    assert reconcile(*EVERYBODY).ok


def test_points__corrected_downwards_after_they_were_spent__become_a_debt_that_play_pays() -> None:
    player = PlayerFactory()
    play(player, 13, "1000")
    credit_play_points(*EVERYBODY, NOW)
    spend(player_id=player.pk, unit="LP", currency="", amount=Decimal(8), source=Source("t", "1"), at=NOW, reason="shop")
    play(player, 13, "400")
    assert credit_play_points(*EVERYBODY, NOW)["owing"] == 1
    account = Account.objects.get()
    assert (account.balance, account.owed, account.earned_total) == (0, 400, 400)  # 4 earned, 8 spent
    play(player, 14, "1000")  # 10 earned, 4 of them pay the debt
    credit_play_points(*EVERYBODY, NOW)
    assert points(player) == Decimal(6)
    assert reconcile(*EVERYBODY).ok


def test_points__corrected_while_they_wait__are_cancelled_and_the_rest_waits_anew() -> None:
    PointsPolicy.objects.filter(unit="LP").update(pending_hours=24)
    player = PlayerFactory()
    play(player, 13, "1000")
    credit_play_points(*EVERYBODY, NOW)
    play(player, 13, "400")
    assert credit_play_points(*EVERYBODY, NOW)["taken_back"] == 1
    assert list(Lot.objects.order_by("pk").values_list("qty", "status")) == [(1000, "CANCELLED"), (400, "PENDING")]
    activate_lots(at=NOW + timedelta(hours=24), lower_id=0, upper_id=2**62)
    assert points(player) == Decimal(4)
    assert reconcile(*EVERYBODY).ok
