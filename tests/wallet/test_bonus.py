"""Bonus grants: terms, wagering to the last unit, release, expiry, spending, reversal. Figures are worked by hand."""

from datetime import timedelta
from decimal import Decimal

import pytest

from tests.factories import NOW, PlayerFactory
from tests.wallet.factories import a_source, a_template, assert_books_balance, balance_of, bet, bonus, offer
from wallet import services
from wallet.models import Account, BonusGrant, Entry, GrantEvent, GrantMovement, WagerCount, WagerEvent
from wallet.services import CannotReverse, IdempotencyConflict, InsufficientFunds, InvalidPosting, Source, UnknownPlayer

pytestmark = pytest.mark.django_db


@pytest.fixture
def player():
    return PlayerFactory()


def _statuses(grant):
    return list(grant.events.order_by("id").values_list("from_status", "to_status"))


def test_add_bonus__terms__are_stored_with_entry_movement_and_event(player):
    grant = bonus(player.pk, "50", "500", max_bet=Decimal(10), eligible_games=["slots", "roulette"], expires_at=NOW + timedelta(hours=48))
    grant.refresh_from_db()

    assert (grant.principal, grant.balance, grant.terms["max_bet"], grant.terms["eligible_games"]) == (
        5000,
        5000,
        1000,
        ["slots", "roulette"],
    )
    assert (grant.wagering_required, grant.wagered, grant.status) == (Decimal(500), Decimal(0), "ACTIVE")
    assert (grant.offered_at, grant.activated_at, grant.closed_at) == (NOW, NOW, None)
    entry = Entry.objects.get()
    assert (entry.amount, entry.house, entry.account_id) == (5000, "rewards", grant.account_id)
    assert list(GrantMovement.objects.values_list("grant_id", "entry_id", "amount")) == [(grant.pk, entry.pk, 5000)]
    assert _statuses(grant) == [("", "ACTIVE")]
    assert_books_balance()


def test_add_bonus__yen__has_no_minor_unit(player):
    grant = bonus(player.pk, "1000", currency="JPY")
    assert grant.principal == 1000
    with pytest.raises(InvalidPosting, match="1.5 JPY has more than 0 decimal places"):
        bonus(player.pk, "1.5", currency="JPY")


def test_add_bonus__same_source_again__returns_the_grant(player):
    first = bonus(player.pk, ref="b")
    assert bonus(player.pk, ref="b").pk == first.pk
    assert balance_of(player.pk, "BONUS", "EUR") == 1000


@pytest.mark.parametrize(
    "terms", [{"required": "101"}, {"max_bet": Decimal(5)}, {"eligible_games": ["slots"]}, {"expires_at": NOW + timedelta(days=8)}]
)
def test_add_bonus__same_source_other_terms__is_refused(player, terms):
    bonus(player.pk, ref="b")
    with pytest.raises(IdempotencyConflict, match="source test:b already made bonus grant"):
        bonus(player.pk, ref="b", **terms)
    assert BonusGrant.objects.count() == 1


def test_add_bonus__source_of_a_points_credit__is_refused(player):
    services.add_points(player_id=player.pk, unit="LP", amount=Decimal(10), source=Source("test", "b"), at=NOW)
    with pytest.raises(IdempotencyConflict):
        bonus(player.pk, "10", ref="b")
    assert not BonusGrant.objects.exists()
    assert balance_of(player.pk, "BONUS", "EUR") == 0


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"required": "-1"}, "wagering_required must lie between 0 and"),
        ({"required": "NaN"}, "wagering_required must be a finite Decimal"),
        ({"required": "0.0000001"}, "more than six decimal places"),
        ({"expires_at": NOW}, "must lie after the posting"),
        ({"max_bet": Decimal(0)}, "amount must be positive"),
        ({"eligible_games": "slots"}, "eligible_games must be a list"),
        ({"currency": "euro"}, "bonus money needs an ISO 4217 currency such as EUR, not 'euro'"),
        ({"amount": "0"}, "amount must be positive"),
    ],
)
def test_add_bonus__terms_no_bonus_can_have__is_refused(player, terms, message):
    with pytest.raises(InvalidPosting, match=message):
        bonus(player.pk, **terms)
    assert not Entry.objects.exists()


def test_add_bonus__no_wagering__completes_and_releases_at_once(player):
    grant = bonus(player.pk, "12", "0")
    assert (grant.status, grant.balance, grant.closed_at) == ("COMPLETED", 0, NOW)
    assert list(Entry.objects.order_by("seq").values_list("amount", "house", "seq", "balance_after")) == [
        (1200, "rewards", 1, 1200),
        (-1200, "payout", 2, 0),
    ]
    assert _statuses(grant) == [("", "ACTIVE"), ("ACTIVE", "COMPLETED")]
    assert_books_balance()


def test_record_wager__twenty_bets_of_ten__progress_200_of_1000(player):
    grant = bonus(player.pk, "100", "1000")
    for _ in range(20):
        bet(player.pk, "10")
    grant.refresh_from_db()
    assert (grant.wagered, grant.wagering_required - grant.wagered, grant.status) == (Decimal(200), Decimal(800), "WAGERING")
    assert _statuses(grant) == [("", "ACTIVE"), ("ACTIVE", "WAGERING")]
    assert_books_balance()


def test_record_wager__same_activity_again__has_one_effect(player):
    grant = bonus(player.pk, "10", "100")
    first = bet(player.pk, "15", ref="a1")
    again = bet(player.pk, "15", ref="a1", at=NOW + timedelta(minutes=5))

    assert (first.repeated, again.repeated) == (False, True)
    assert (again.counted, again.counts) == (first.counted, first.counts)
    grant.refresh_from_db()
    assert grant.wagered == Decimal(15)


@pytest.mark.parametrize("change", [{"stake": "16"}, {"game": "other"}, {"currency": "SEK"}])
def test_record_wager__same_activity_other_content__is_refused(player, change):
    grant = bonus(player.pk, "10", "100")
    bet(player.pk, "15", ref="a1")
    with pytest.raises(IdempotencyConflict, match="a1 of api was reported before"):
        bet(player.pk, **({"stake": "15", "ref": "a1"} | change))
    grant.refresh_from_db()
    assert grant.wagered == Decimal(15)


def test_record_wager__last_bet_passes_the_requirement__caps_completes_and_releases(player):
    grant = bonus(player.pk, "10", "100")
    bet(player.pk, "95")
    result = bet(player.pk, "20", ref="last")

    assert result.counted == Decimal(5)
    assert result.completed_grant_ids == (grant.pk,)
    grant.refresh_from_db()
    assert (grant.status, grant.wagered, grant.balance) == ("COMPLETED", Decimal(100), 0)
    release = Entry.objects.get(house="payout")
    assert (release.amount, release.source_type, release.source_ref, release.source_sub) == (
        -1000,
        "wallet.grant",
        str(grant.pk),
        "complete",
    )
    count = WagerCount.objects.get(wager__activity_id="last")
    assert (count.verdict, count.counted, count.progress_before, count.progress_after) == ("CAPPED", 5, 95, 100)
    assert _statuses(grant) == [("", "ACTIVE"), ("ACTIVE", "WAGERING"), ("WAGERING", "COMPLETED")]
    assert_books_balance()


def test_record_wager__another_bonus_waits__the_rest_of_the_stake_is_not_counted_twice(player):
    first = bonus(player.pk, "10", "30", expires_at=NOW + timedelta(days=9))
    second = bonus(player.pk, "20", "100", expires_at=NOW + timedelta(days=2))
    assert (first.status, second.status, balance_of(player.pk, "BONUS", "EUR")) == ("ACTIVE", "QUEUED", 1000)
    result = bet(player.pk, "50")

    assert [(count.grant_id, count.verdict, count.counted) for count in result.counts] == [(first.pk, "CAPPED", Decimal(30))]
    assert (result.counted, result.completed_grant_ids) == (Decimal(30), (first.pk,))
    second.refresh_from_db()
    assert (second.status, second.wagered, second.expires_at - second.activated_at) == ("ACTIVE", Decimal(0), timedelta(days=2))
    assert list(Entry.objects.order_by("seq").values_list("amount", "house", "balance_after")) == [
        (1000, "rewards", 1000),
        (-1000, "payout", 0),
        (2000, "rewards", 2000),
    ]
    assert_books_balance()


@pytest.mark.parametrize(
    ("terms", "placed", "verdict"),
    [
        ({"max_bet": Decimal(5)}, {"stake": "5.01"}, "OVER_MAX_BET"),
        ({"eligible_games": ["roulette"]}, {"stake": "5"}, "GAME_NOT_ELIGIBLE"),
        ({}, {"stake": "5", "at": NOW - timedelta(seconds=1)}, "BEFORE_GRANT"),
        ({}, {"stake": "5", "at": NOW + timedelta(days=7)}, "AFTER_EXPIRY"),
        ({}, {"stake": "0"}, "NO_STAKE"),
    ],
)
def test_record_wager__bet_that_does_not_count__is_stored_with_its_reason(player, terms, placed, verdict):
    grant = bonus(player.pk, "10", "100", **terms)
    result = bet(player.pk, **placed)
    assert (result.counted, result.counts[0].verdict) == (Decimal(0), verdict)
    grant.refresh_from_db()
    assert (grant.wagered, grant.status) == (Decimal(0), "ACTIVE")
    stored = WagerCount.objects.get()
    assert (stored.verdict, stored.counted, stored.progress_before, stored.progress_after) == (verdict, 0, 0, 0)


def test_record_wager__stake_at_the_max_bet__counts(player):
    bonus(player.pk, "10", "100", max_bet=Decimal(5))
    assert bet(player.pk, "5").counted == Decimal(5)


@pytest.mark.parametrize(("games", "counts"), [(["Slots"], True), (["STARBURST"], True), (["roulette", "book-of-ra"], False), ([], True)])
def test_record_wager__eligible_games__by_code_or_category_in_any_case(player, games, counts):
    bonus(player.pk, "10", "100", eligible_games=games)
    assert bet(player.pk, "5").counted == (Decimal(5) if counts else Decimal(0))


def test_record_wager__other_currency__does_not_touch_the_grant(player):
    grant = bonus(player.pk, "10", "100")
    result = bet(player.pk, "5", currency="SEK")
    assert [(count.grant_id, count.verdict, count.counted) for count in result.counts] == [(grant.pk, "CURRENCY_MISMATCH", Decimal(0))]
    grant.refresh_from_db()
    assert (grant.wagered, grant.status, grant.open_bets) == (Decimal(0), "ACTIVE", 0)


def test_record_wager__without_a_bonus__is_stored_and_repeats(player):
    first = bet(player.pk, "5", ref="x")
    bonus(player.pk, "10", "100")
    again = bet(player.pk, "5", ref="x")
    assert (first.counted, again.counted, again.repeated) == (Decimal(0), Decimal(0), True)


def test_record_wager__unknown_player__is_refused():
    with pytest.raises(UnknownPlayer):
        bet(987654, "5")
    assert not WagerEvent.objects.exists()


@pytest.mark.parametrize("stake", ["-1", "0.001", "NaN"])
def test_record_wager__stake_no_bet_can_have__is_refused(player, stake):
    with pytest.raises(InvalidPosting):
        bet(player.pk, stake)


def test_expire_bonuses__due_and_not_due__takes_only_what_is_due(player):
    other, third = PlayerFactory(), PlayerFactory()
    due = bonus(player.pk, "10", expires_at=NOW + timedelta(hours=1))
    bonus(third.pk, "20", expires_at=NOW + timedelta(hours=3))
    exactly = bonus(other.pk, "5", expires_at=NOW + timedelta(hours=2))
    at = NOW + timedelta(hours=2)

    assert services.expire_bonuses(at=at, lower_id=0, upper_id=2**60) == 2
    assert services.expire_bonuses(at=at, lower_id=0, upper_id=2**60) == 0

    for grant in (due, exactly):
        grant.refresh_from_db()
        assert (grant.status, grant.balance, grant.closed_at) == ("EXPIRED", 0, at)
    assert [balance_of(one.pk, "BONUS", "EUR") for one in (player, other, third)] == [0, 0, 2000]
    assert Entry.objects.filter(house="expiry").count() == 2
    assert_books_balance()


def test_expire_bonuses__several_grants_of_one_account_in_small_chunks__consecutive_entries(player):
    for hours, product in ((3, "sports"), (1, "casino"), (2, "lotto")):
        offer(player.pk, a_template(product, products=[product], wagering_hours=hours), amount=Decimal(hours))
    assert services.expire_bonuses(at=NOW + timedelta(days=1), lower_id=0, upper_id=2**60, chunk_size=2) == 3
    assert Account.objects.get().balance == 0
    assert_books_balance()


def test_expire_bonuses__outside_the_range__is_left(player):
    bonus(player.pk)
    assert services.expire_bonuses(at=NOW + timedelta(days=30), lower_id=player.pk + 1, upper_id=2**60) == 0
    assert balance_of(player.pk, "BONUS", "EUR") == 1000


def test_spend__bonus_over_two_grants__earliest_expiry_first(player):
    later = bonus(player.pk, "10", expires_at=NOW + timedelta(days=9))
    sooner = offer(player.pk, a_template("sports", products=["sports"], wagering_hours=48), amount=Decimal(4))
    asked = {"player_id": player.pk, "unit": "BONUS", "currency": "EUR", "amount": Decimal(6), "at": NOW, "reason": "stake"}
    entry = services.spend(**asked, source=Source("test", "s"))

    assert services.spend(**asked, source=Source("test", "s")).pk == entry.pk
    assert list(entry.movements.values_list("grant_id", "amount").order_by("id")) == [(sooner.pk, -400), (later.pk, -200)]
    assert dict(BonusGrant.objects.values_list("pk", "balance")) == {sooner.pk: 0, later.pk: 800}
    assert_books_balance()

    services.reverse_entry(entry.pk, source=a_source(), at=NOW, reason="bet cancelled", actor=None)
    assert dict(BonusGrant.objects.values_list("pk", "balance")) == {sooner.pk: 400, later.pk: 1000}
    assert_books_balance()


def test_spend__locked_winnings__are_not_spendable(player):
    grant = bonus(player.pk, "10")
    BonusGrant.objects.update(balance=300, locked=700)
    asked = {"player_id": player.pk, "unit": "BONUS", "currency": "EUR", "at": NOW, "reason": "stake"}
    with pytest.raises(InsufficientFunds, match=r"the player can spend 3.00 BONUS EUR, which does not cover 3.01 BONUS EUR"):
        services.spend(**asked, amount=Decimal("3.01"), source=a_source())
    services.spend(**asked, amount=Decimal(3), source=a_source())
    grant.refresh_from_db()
    assert (grant.balance, grant.locked) == (0, 700)


def test_spend__bonus_expired_but_not_swept__is_not_spendable(player):
    bonus(player.pk, "10", expires_at=NOW + timedelta(hours=1))
    with pytest.raises(InsufficientFunds):
        services.spend(
            player_id=player.pk, unit="BONUS", currency="EUR", amount=Decimal(1), source=a_source(), at=NOW + timedelta(hours=1), reason="x"
        )
    assert_books_balance()


def test_reverse_entry__bonus_credit__closes_the_grant_as_reversed(player):
    grant = bonus(player.pk, "10")
    entry = Entry.objects.get()
    services.reverse_entry(entry.pk, source=Source("reward", "9", "revoke"), at=NOW, reason="deposit charged back", actor=None)
    grant.refresh_from_db()
    assert (grant.status, grant.balance) == ("REVERSED", 0)
    assert GrantEvent.objects.filter(grant=grant).last().cause == "credit reversed by reward 9"
    assert balance_of(player.pk, "BONUS", "EUR") == 0
    assert_books_balance()


def test_reverse_entry__bonus_used_meanwhile__is_refused_and_nothing_moves(player):
    grant = bonus(player.pk, "10")
    credit = Entry.objects.get()
    services.spend(player_id=player.pk, unit="BONUS", currency="EUR", amount=Decimal(3), source=a_source(), at=NOW, reason="stake")
    offer(player.pk, a_template("sports", products=["sports"]), amount=Decimal(50))  # the account as a whole would cover it
    with pytest.raises(InsufficientFunds, match=rf"bonus grant {grant.pk} has 7.00 BONUS EUR left of 10.00 BONUS EUR"):
        services.reverse_entry(credit.pk, source=a_source(), at=NOW, reason="charged back", actor=None)
    assert balance_of(player.pk, "BONUS", "EUR") == 5700
    assert_books_balance()


def test_reverse_entry__bonus_completed_meanwhile__is_refused(player):
    bonus(player.pk, "10", "5")
    credit = Entry.objects.get()
    bet(player.pk, "5")
    with pytest.raises(CannotReverse, match="is completed; its money is no longer in the wallet"):
        services.reverse_entry(credit.pk, source=a_source(), at=NOW, reason="charged back", actor=None)
    with pytest.raises(CannotReverse, match="closed a bonus grant"):
        services.reverse_entry(Entry.objects.get(house="payout").pk, source=a_source(), at=NOW, reason="x", actor=None)
    assert_books_balance()
