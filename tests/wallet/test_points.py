"""Points: exact figures, one effect per source, refusals that move nothing."""

from datetime import timedelta
from decimal import Decimal

import pytest

from tests.factories import NOW, PlayerFactory
from tests.wallet.factories import a_source, assert_books_balance, balance_of, points
from wallet import services
from wallet.models import Account, Entry, WalletFlag
from wallet.services import CannotReverse, IdempotencyConflict, InsufficientFunds, InvalidPosting, Source, UnknownPlayer

pytestmark = pytest.mark.django_db


@pytest.fixture
def player():
    return PlayerFactory()


def test_add_points__first_use__opens_account_and_posts_first_entry(player):
    entry = points(player.pk, "12.34")

    account = Account.objects.get(player=player, unit="LP")
    assert (account.balance, account.version, account.earned_total) == (1234, 1, 1234)
    stored = Entry.objects.get()
    assert stored == entry
    assert (stored.amount, stored.seq, stored.balance_after, stored.house) == (1234, 1, 1234, "rewards")
    assert (stored.source_type, stored.occurred_at, stored.actor_id) == ("test", NOW, None)


def test_add_points__same_source_and_content__returns_first_entry(player):
    first = points(player.pk, "5", ref="once")
    again = points(player.pk, "5.00", ref="once", at=NOW + timedelta(hours=1))

    assert again.pk == first.pk
    assert again.occurred_at == NOW
    assert balance_of(player.pk) == 500


@pytest.mark.parametrize("change", ["amount", "unit", "player", "house"])
def test_add_points__same_source_other_content__is_refused(player, change):
    points(player.pk, "5", ref="once")
    asked = {"player_id": player.pk, "unit": "LP", "amount": Decimal(5), "source": Source("test", "once"), "at": NOW}
    other = PlayerFactory()
    asked |= {"amount": {"amount": Decimal(6)}, "unit": {"unit": "RP"}, "player": {"player_id": other.pk}, "house": {"house": "game"}}[
        change
    ]

    with pytest.raises(IdempotencyConflict, match="source test:once was already posted as entry"):
        services.add_points(**asked)

    assert Entry.objects.count() == 1
    assert balance_of(player.pk) == 500
    assert balance_of(other.pk) == 0


def test_add_points__tickets__are_whole(player):
    points(player.pk, "3", unit="TICKET")
    assert balance_of(player.pk, "TICKET") == 3

    with pytest.raises(InvalidPosting, match="0.5 TICKET has more than 0 decimal places"):
        points(player.pk, "0.5", unit="TICKET")


@pytest.mark.parametrize(
    ("amount", "message"),
    [
        ("0", "amount must be positive, not 0 LP"),
        ("-1", "amount must be positive, not -1 LP"),
        ("0.001", "more than 2 decimal places"),
        ("NaN", "not a finite number"),
        ("Infinity", "not a finite number"),
        ("1e15", "larger than any posting may be"),
    ],
)
def test_add_points__amount_no_posting_can_have__is_refused(player, amount, message):
    with pytest.raises(InvalidPosting, match=message):
        points(player.pk, amount)
    assert not Account.objects.exists()


def test_add_points__float__is_refused(player):
    with pytest.raises(InvalidPosting, match="amount must be a Decimal, not float"):
        services.add_points(player_id=player.pk, unit="LP", amount=0.1, source=a_source(), at=NOW)


def test_add_points__bonus_unit__is_refused(player):
    with pytest.raises(InvalidPosting, match="use add_bonus"):
        points(player.pk, "1", unit="BONUS")


def test_add_points__unknown_unit__names_the_known_ones(player):
    with pytest.raises(InvalidPosting, match="unit 'XP' is unknown; use one of LP, RP, BONUS, TICKET"):
        points(player.pk, "1", unit="XP")


def test_add_points__unknown_player__is_refused_and_leaves_no_account():
    with pytest.raises(UnknownPlayer, match="there is no player with id 987654"):
        points(987654, "1")
    assert not Account.objects.exists()


def test_add_points__naive_time__is_refused(player):
    with pytest.raises(ValueError, match="has no time zone"):
        points(player.pk, "1", at=NOW.replace(tzinfo=None))


@pytest.mark.parametrize(("kind", "ref"), [("", "1"), ("reward", ""), ("x" * 41, "1"), ("reward", "x" * 129)])
def test_source__empty_or_too_long__is_refused(kind, ref):
    with pytest.raises(InvalidPosting, match="source"):
        Source(kind, ref)


def test_spend__part_of_the_balance__takes_exactly_that(player):
    points(player.pk, "10", unit="RP")
    entry = services.spend(player_id=player.pk, unit="RP", currency="", amount=Decimal("3.50"), source=a_source(), at=NOW, reason="mug")

    assert (entry.amount, entry.seq, entry.balance_after, entry.house) == (-350, 2, 650, "redemption")
    assert balance_of(player.pk, "RP") == 650


def test_spend__more_than_the_balance__moves_nothing(player):
    points(player.pk, "10")
    with pytest.raises(InsufficientFunds, match=r"the player has 10.00 LP, which does not cover 10.01 LP"):
        services.spend(player_id=player.pk, unit="LP", currency="", amount=Decimal("10.01"), source=a_source(), at=NOW, reason="mug")

    assert balance_of(player.pk) == 1000
    assert Entry.objects.count() == 1


def test_spend__no_account__is_refused_and_leaves_no_account(player):
    with pytest.raises(InsufficientFunds, match="has 0.00 RP"):
        services.spend(player_id=player.pk, unit="RP", currency="", amount=Decimal(1), source=a_source(), at=NOW, reason="mug")
    assert not Account.objects.exists()


def test_spend__without_reason__is_refused(player):
    points(player.pk, "10")
    with pytest.raises(InvalidPosting, match="reason is empty"):
        services.spend(player_id=player.pk, unit="LP", currency="", amount=Decimal(1), source=a_source(), at=NOW, reason=" ")


def test_spend__repeated_after_the_balance_is_gone__returns_first_entry(player):
    points(player.pk, "10")
    asked = {"player_id": player.pk, "unit": "LP", "currency": "", "amount": Decimal(10), "source": Source("test", "s"), "at": NOW}
    first = services.spend(**asked, reason="mug")
    assert services.spend(**asked, reason="mug").pk == first.pk
    assert balance_of(player.pk) == 0


def test_earned_total__spend_and_reversal__only_the_reversal_lowers_it(player):
    first = points(player.pk, "100")
    points(player.pk, "30")
    services.spend(player_id=player.pk, unit="LP", currency="", amount=Decimal(20), source=a_source(), at=NOW, reason="mug")
    assert Account.objects.get().earned_total == 13000

    services.reverse_entry(first.pk, source=a_source(), at=NOW, reason="stake rolled back", actor=None)

    account = Account.objects.get()
    assert (account.balance, account.earned_total) == (1000, 3000)
    assert_books_balance()


def test_reverse_entry__points__posts_the_opposite_once(player):
    first = points(player.pk, "7")
    reversal = services.reverse_entry(first.pk, source=Source("test", "r"), at=NOW, reason="mistake", actor=None)

    assert (reversal.amount, reversal.reversal_of_id, reversal.house, reversal.balance_after) == (-700, first.pk, "rewards", 0)
    again = services.reverse_entry(first.pk, source=Source("test", "r"), at=NOW, reason="mistake", actor=None)
    assert again.pk == reversal.pk
    points(player.pk, "7")  # so that funds are not what refuses
    with pytest.raises(CannotReverse, match="already reversed by another source"):
        services.reverse_entry(first.pk, source=Source("test", "r2"), at=NOW, reason="mistake", actor=None)
    with pytest.raises(CannotReverse, match="is itself a reversal"):
        services.reverse_entry(reversal.pk, source=a_source(), at=NOW, reason="mistake", actor=None)
    assert balance_of(player.pk) == 700


def test_reverse_entry__points_spent_meanwhile__become_a_debt(player):
    first = points(player.pk, "7")
    services.spend(player_id=player.pk, unit="LP", currency="", amount=Decimal(1), source=a_source(), at=NOW, reason="mug")
    reversal = services.reverse_entry(first.pk, source=a_source(), at=NOW, reason="mistake", actor=None)

    assert list(Entry.objects.order_by("seq").values_list("amount", "house", "balance_after")) == [
        (700, "rewards", 700), (-100, "redemption", 600), (100, "debt", 700), (-700, "rewards", 0),
    ]  # fmt: skip
    account = Account.objects.get()
    assert (account.balance, account.owed, account.earned_total) == (0, 100, 0)
    assert WalletFlag.objects.get().source_ref == str(reversal.pk)
    assert_books_balance()


def test_balances__debt_and_waiting_points__stand_beside_the_amount(player):
    earned = points(player.pk, "50", unit="RP", ref="bet")
    asked = {"player_id": player.pk, "unit": "RP", "currency": "", "source": Source("shop", "1"), "at": NOW, "reason": "mug"}
    services.spend(**asked, amount=Decimal(20))
    services.reverse_entry(earned.pk, source=Source("void", "1"), at=NOW, reason="voided bet", actor=None)
    services.add_points(player_id=player.pk, unit="RP", amount=Decimal(7), source=Source("trip", "1"), at=NOW, pending_until="event")
    of_rp = next(one for one in services.balances(player.pk) if one.unit == "RP")
    assert (of_rp.amount, of_rp.owed, of_rp.pending) == (0, 20, 7)


def test_balances__without_accounts__shows_zero_of_every_unit(player):
    points(player.pk, "2.50", unit="RP")
    shown = {(one.unit, one.currency): one.amount for one in services.balances(player.pk)}
    assert shown == {
        ("LP", ""): Decimal("0.00"),
        ("RP", ""): Decimal("2.50"),
        ("TICKET", ""): Decimal(0),
        ("BONUS", "EUR"): Decimal("0.00"),
    }
