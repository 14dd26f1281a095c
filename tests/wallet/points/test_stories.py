"""Worked examples of points in lots, with the exact figures of the specification and an invariant at each end."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission, User

from loyalty_site.common.models import AuditEvent
from players.models import Exclusion, Payment, PlayerDay, PlaySession
from tests.factories import PlayerFactory, ProtectionFactory, UserFactory
from tests.wallet.factories import assert_books_balance, balance_of, line, points, post_lines, staff
from tests.wallet.points.factories import earn, lots, on, policy, spend, take_back
from wallet import selectors, services
from wallet.models import Account, Entry, Lot, LotUse, WalletFlag
from wallet.services import CannotReinstate, CannotReverse, IdempotencyConflict, InsufficientFunds, InvalidPosting, Source

pytestmark = pytest.mark.django_db
EVERYBODY = {"lower_id": 0, "upper_id": 2**62}


@pytest.fixture
def player() -> int:
    return PlayerFactory().pk


def a_and_b(player: int) -> tuple[Entry, Entry]:
    """A 100 that ends with 31 January, B 50 that ends with 28 February."""
    policy(expiry="month_end", period=0, restore="grace", restore_days=14)
    return earn(player, "100", on(1, 10)), _b(player)


def _b(player: int) -> Entry:
    policy(expiry="month_end", period=1)
    entry = earn(player, "50", on(1, 20))
    policy(expiry="month_end", period=0)
    return entry


def test_vector__spend_120_of_a_and_b__31_january_leaves_30(player: int) -> None:
    a_and_b(player)
    entry = spend(player, "120", on(1, 25))
    assert lots(player) == [(100, 0, "SPENT"), (50, 30, "ACTIVE")]
    assert list(LotUse.objects.filter(entry=entry).order_by("lot_id").values_list("amount", flat=True)) == [-10000, -2000]

    assert services.expire_lots(at=on(2, 1, 0), **EVERYBODY) == 0  # A is spent: nothing of it expires
    assert balance_of(player, "RP") == 3000  # unpaired books say 50 - 120 = -70
    assert_books_balance()


def test_vector__refund_on_5_february__b_50_and_a_new_lot_of_100_until_19_february(player: int) -> None:
    a_and_b(player)
    entry = spend(player, "120", on(1, 25))
    take_back(entry, on(2, 5))
    assert lots(player) == [(100, 0, "SPENT"), (50, 50, "ACTIVE"), (100, 100, "ACTIVE")]
    graced = Lot.objects.latest("id")
    assert graced.expires_at == on(2, 20, 0)
    assert graced.restores_id == Lot.objects.earliest("id").pk
    assert_books_balance()

    spend(player, "110", on(2, 19, 23))  # usable on all of the 19th, before B
    assert lots(player)[1:] == [(50, 40, "ACTIVE"), (100, 0, "SPENT")]


def test_vector__earn_of_50_reversed_with_30_left__debt_20_and_the_next_60_leave_40(player: int) -> None:
    _, b = a_and_b(player)
    spend(player, "120", on(1, 25))
    take_back(b, on(1, 26))
    account = Account.objects.get()
    assert (account.balance, account.owed) == (0, 2000)
    assert lots(player)[1] == (50, 0, "CANCELLED")
    assert list(Entry.objects.order_by("-seq").values_list("house", "amount")[:2]) == [("rewards", -5000), ("debt", 2000)]
    assert WalletFlag.objects.values_list("player_id", "kind").get() == (player, "POINTS_DEBT")

    earn(player, "60", on(1, 27))
    account.refresh_from_db()
    assert (account.balance, account.owed) == (4000, 0)
    assert lots(player)[-1] == (60, 40, "ACTIVE")
    assert_books_balance()


def test_debt__paid_in_bulk__one_entry_a_lot_until_it_is_paid(player: int) -> None:
    entry = points(player, "50")
    spend(player, "50", on(3, 16), unit="LP")
    take_back(entry, on(3, 17))
    other = PlayerFactory().pk
    result = post_lines([line(1, player, 2000), line(2, player, 4000), line(3, player, 500), line(4, other, 700)])
    assert (result.posted, result.waiting) == (4, 0)
    account = Account.objects.get(player_id=player)
    assert (account.balance, account.owed, account.earned_total) == (1500, 0, 6500)
    assert lots(player)[1:] == [(20, 0, "SPENT"), (40, 10, "ACTIVE"), (5, 5, "ACTIVE")]
    assert balance_of(other) == 700
    assert_books_balance()


def test_spend_reversal__without_restore__what_ended_expires_again(player: int) -> None:
    a_and_b(player)
    policy(restore="none")
    entry = spend(player, "120", on(1, 25))
    take_back(entry, on(2, 5))
    assert balance_of(player, "RP") == 5000
    assert lots(player) == [(100, 0, "EXPIRED"), (50, 50, "ACTIVE")]
    assert_books_balance()


def test_spend_reversal__on_a_lot_whose_credit_was_taken_back__pays_the_debt(player: int) -> None:
    entry = earn(player, "50", on(1, 1))
    spent = spend(player, "50", on(1, 2))
    take_back(entry, on(1, 3))
    take_back(spent, on(1, 4))
    account = Account.objects.get()
    assert (account.balance, account.owed) == (0, 0)
    assert_books_balance()


def test_earn_reversal__what_ran_out__is_not_owed(player: int) -> None:
    a, _ = a_and_b(player)
    spend(player, "10", on(1, 25))
    assert services.expire_lots(at=on(2, 1), **EVERYBODY) == 1
    assert balance_of(player, "RP") == 5000
    take_back(a, on(2, 2))
    account = Account.objects.get()
    assert (account.balance, account.owed) == (4000, 0)  # the 10 that were used come from B, the 90 that ran out from nowhere
    assert_books_balance()


def test_reverse__again_or_by_another_source__once(player: int) -> None:
    entry = earn(player, "5", on(1, 1))
    first = take_back(entry, on(1, 2), ref="once")
    assert take_back(entry, on(1, 3), ref="once").pk == first.pk
    with pytest.raises(CannotReverse, match="already reversed"):
        take_back(entry, on(1, 3))


def test_reverse__expiry_or_debt__is_refused(player: int) -> None:
    a_and_b(player)
    services.expire_lots(at=on(2, 1), **EVERYBODY)
    with pytest.raises(CannotReverse, match="given back by reinstating"):
        take_back(Entry.objects.get(house="expiry"), on(2, 2))


def test_expire_lots__twice_and_in_chunks__one_entry_a_lot_and_earned_total_stays() -> None:
    policy("LP", expiry="days", period=10)
    players = [PlayerFactory().pk for _ in range(3)]
    for one in players:
        for day in range(1, 5):
            earn(one, "10", on(1, day), unit="LP")
    assert services.expire_lots(at=on(1, 14, 0), chunk_size=2, **EVERYBODY) == 9  # those of the 1st to the 3rd
    assert services.expire_lots(at=on(1, 14, 0), **EVERYBODY) == 0
    assert [balance_of(one) for one in players] == [1000] * 3
    assert set(Account.objects.values_list("earned_total", flat=True)) == {4000}
    assert_books_balance()


def test_spend__what_has_ended_but_was_not_swept__is_not_spent(player: int) -> None:
    a_and_b(player)
    with pytest.raises(InsufficientFunds, match="the player has 50.00 RP"):
        spend(player, "51", on(2, 1, 0))
    assert lots(player)[0] == (100, 100, "ACTIVE")  # a refusal moves nothing
    spend(player, "50", on(2, 1, 0))
    assert lots(player) == [(100, 0, "EXPIRED"), (50, 0, "SPENT")]
    assert services.expire_lots(at=on(2, 1), **EVERYBODY) == 0
    assert_books_balance()


def test_spend__on_the_last_day_in_the_programmes_zone__counts(player: int) -> None:
    policy(expiry="month_end", zone="Pacific/Honolulu")
    earn(player, "10", on(1, 10))
    spend(player, "4", on(2, 1, 9))  # 31 January, 23:00 in Honolulu
    with pytest.raises(InsufficientFunds):
        spend(player, "4", on(2, 1, 10))


@pytest.mark.parametrize("kind", ["bet", "deposit", "session", "earn"])
def test_inactivity__each_activity__moves_the_end_on(player: int, kind: str) -> None:
    policy(expiry="inactivity", period=30, qualifying=[kind])
    earn(player, "10", on(1, 1))
    at = on(1, 20)
    if kind == "bet":
        PlayerDay.objects.create(player_id=player, day=date(2026, 1, 20), rounds=3, stake=1)
    elif kind == "deposit":
        Payment.objects.create(player_id=player, external_id="d", kind="DEPOSIT", amount=1, occurred_at=at)
    elif kind == "session":
        PlaySession.objects.create(player_id=player, external_id="s", started_at=at)
    else:
        earn(player, "5", at)
    assert services.expire_lots(at=on(2, 19, 23), **EVERYBODY) == 0
    assert set(Lot.objects.values_list("expires_at", flat=True)) == {on(2, 20, 0)}
    assert services.expire_lots(at=on(2, 20, 0), **EVERYBODY) == Lot.objects.count()
    assert_books_balance()


def test_inactivity__activity_that_does_not_count__ends_all_the_same(player: int) -> None:
    policy(expiry="inactivity", period=30, qualifying=["deposit"])
    earn(player, "10", on(1, 1))
    PlaySession.objects.create(player_id=player, external_id="s", started_at=on(1, 20))
    with pytest.raises(InsufficientFunds):
        spend(player, "1", on(2, 1))
    assert services.expire_lots(at=on(2, 1), **EVERYBODY) == 1


def test_inactivity__spend_before_the_sweep__sees_the_activity(player: int) -> None:
    policy(expiry="inactivity", period=30, qualifying=["session"])
    earn(player, "10", on(1, 1))
    PlaySession.objects.create(player_id=player, external_id="s", started_at=on(1, 20))
    spend(player, "1", on(2, 10))
    assert lots(player) == [(10, 9, "ACTIVE")]


def test_pending__until_a_time__no_balance_then_a_lot_with_its_entry(player: int) -> None:
    policy(expiry="days", period=10)
    lot = earn(player, "10", on(1, 1), ref="p", pending_until=on(1, 5))
    assert isinstance(lot, Lot)
    assert earn(player, "10", on(1, 2), ref="p", pending_until=on(1, 5)).pk == lot.pk
    assert (balance_of(player, "RP"), Entry.objects.count()) == (0, 0)
    with pytest.raises(InsufficientFunds):
        spend(player, "1", on(1, 4))
    assert services.activate_lots(at=on(1, 5, 11), **EVERYBODY) == 0
    assert services.activate_lots(at=on(1, 6), **EVERYBODY) == 1
    assert services.activate_lots(at=on(1, 6), **EVERYBODY) == 0
    lot.refresh_from_db()
    assert (lot.status, lot.expires_at, lot.entry.amount) == ("ACTIVE", on(1, 16, 0), 1000)  # ten days from the 5th
    assert Account.objects.get().earned_total == 1000
    assert isinstance(earn(player, "10", on(1, 7), ref="p", pending_until=on(1, 9)), Entry)
    with pytest.raises(IdempotencyConflict):
        earn(player, "11", on(1, 7), ref="p")
    assert_books_balance()


def test_pending__until_an_event__released_or_cancelled_once(player: int) -> None:
    for ref in ("one", "two"):
        earn(player, "10", on(1, 1), ref=ref, pending_until="event")
    assert services.activate_lots(at=on(12, 31), **EVERYBODY) == 0
    entry = services.release_pending(source=Source("test", "one"), at=on(1, 3))
    assert services.release_pending(source=Source("test", "one"), at=on(1, 4)).pk == entry.pk
    cancelled = services.cancel_pending(source=Source("test", "two"), at=on(1, 3), reason="bet rolled back")
    assert services.cancel_pending(source=Source("test", "two"), at=on(1, 4), reason="bet rolled back").closed_at == cancelled.closed_at
    assert lots(player) == [(10, 10, "ACTIVE"), (10, 0, "CANCELLED")]
    assert AuditEvent.objects.filter(action="wallet.lot_cancelled").count() == 1
    with pytest.raises(CannotReverse, match="reverse their entry"):
        services.cancel_pending(source=Source("test", "one"), at=on(1, 5), reason="late")
    with pytest.raises(CannotReverse, match="were cancelled"):
        services.release_pending(source=Source("test", "two"), at=on(1, 5))
    with pytest.raises(InvalidPosting, match="no points wait"):
        services.release_pending(source=Source("test", "three"), at=on(1, 5))
    assert_books_balance()


def test_pending__time_that_lies_behind__is_refused(player: int) -> None:
    with pytest.raises(InvalidPosting, match="must lie after"):
        earn(player, "10", on(1, 5), pending_until=on(1, 5))


def test_pending_hours__rewards_wait__what_staff_give_does_not(player: int) -> None:
    earn(player, "1", on(1, 1))
    policy(pending_hours=24)
    assert isinstance(earn(player, "10", on(1, 2)), Lot)
    assert isinstance(earn(player, "10", on(1, 2), house="opening"), Entry)
    policy(pending_hours=0)
    assert isinstance(earn(player, "3", on(1, 2)), Entry)
    assert services.activate_lots(at=on(1, 3), **EVERYBODY) == 1
    assert balance_of(player, "RP") == 2400


def test_pending_hours__credit_stage__waits_once_whatever_the_batching(player: int) -> None:
    other = PlayerFactory().pk
    policy(pending_hours=24)
    rows = [line(1, player, 500, unit="RP", ref="a"), line(2, player, 700, ref="b"), line(3, other, 900, unit="RP", ref="c")]
    first = post_lines(rows, at=on(1, 1))
    assert (first.posted, first.waiting, first.duplicates) == (1, 2, 0)
    again = post_lines([*rows, line(4, other, 900, unit="RP", ref="c")], at=on(1, 1))
    assert (again.posted, again.waiting, again.duplicates) == (0, 0, 4)
    policy(pending_hours=0)
    assert post_lines(rows, at=on(1, 1)).duplicates == 3  # what waits is known, policy or not
    with pytest.raises(IdempotencyConflict, match="line 1: source batch:a"):
        post_lines([line(1, player, 501, unit="RP", ref="a")])
    assert (balance_of(player, "RP"), balance_of(player)) == (0, 700)
    assert services.activate_lots(at=on(1, 2), **EVERYBODY) == 2
    assert (balance_of(player, "RP"), balance_of(other, "RP")) == (500, 900)
    assert_books_balance()


def test_activation__of_a_player_who_owes__pays_first(player: int) -> None:
    entry = earn(player, "20", on(1, 1))
    spend(player, "20", on(1, 1))
    earn(player, "50", on(1, 1), pending_until=on(1, 3))
    take_back(entry, on(1, 2))
    services.activate_lots(at=on(1, 3), **EVERYBODY)
    account = Account.objects.get()
    assert (account.balance, account.owed) == (3000, 0)
    assert_books_balance()


def test_credit__policy_changed_in_between__new_lots_follow_the_new_one(player: int) -> None:
    earn(player, "1", on(1, 1))
    policy(expiry="days", period=1)
    earn(player, "1", on(1, 1))
    post_lines([line(1, player, 100, unit="RP")], at=on(1, 1))
    assert list(Lot.objects.order_by("id").values_list("expires_at", flat=True)) == [None, on(1, 3, 0), on(1, 3, 0)]


def reinstater() -> User:
    user = UserFactory()
    user.user_permissions.set(Permission.objects.filter(codename="reinstate_lot"))
    return User.objects.get(pk=user.pk)


def test_reinstate__expired_lot__once_with_reason_and_permission(player: int) -> None:
    a_and_b(player)
    spend(player, "10", on(1, 25))
    services.expire_lots(at=on(2, 1), **EVERYBODY)
    lot, who = Lot.objects.earliest("id"), reinstater()
    with pytest.raises(CannotReinstate, match="you may not"):
        services.reinstate(lot.pk, reason="outage", actor=staff("adjust_wallet"), at=on(2, 2))
    with pytest.raises(InvalidPosting, match="give a reason"):
        services.reinstate(lot.pk, reason=" ", actor=who, at=on(2, 2))
    with pytest.raises(CannotReinstate, match="more than 30 days ago"):
        services.reinstate(lot.pk, reason="outage", actor=who, at=on(3, 4))
    made = services.reinstate(lot.pk, reason="site was down", actor=who, at=on(2, 2))
    assert (made.qty, made.restores_id, made.expires_at, made.entry.house) == (9000, lot.pk, on(3, 1, 0), "reinstated")
    assert AuditEvent.objects.filter(action="wallet.lot_reinstated", actor=who).count() == 1
    with pytest.raises(CannotReinstate, match="already"):
        services.reinstate(lot.pk, reason="again", actor=who, at=on(2, 2))
    with pytest.raises(CannotReinstate, match="only what has expired"):
        services.reinstate(made.pk, reason="again", actor=who, at=on(2, 2))
    assert Account.objects.get().earned_total == 15000
    assert_books_balance()


def test_reinstate__player_under_exclusion__is_refused(player: int) -> None:
    a_and_b(player)
    services.expire_lots(at=on(2, 1), **EVERYBODY)
    Exclusion.objects.create(player_id=player, kind="SELF_EXCLUSION", starts_at=on(1, 1), recorded_at=on(1, 1))
    with pytest.raises(CannotReinstate, match="in force"):
        services.reinstate(Lot.objects.earliest("id").pk, reason="outage", actor=reinstater(), at=on(2, 2))


def test_reverse__after_reinstatement__takes_the_new_lot(player: int) -> None:
    a, _ = a_and_b(player)
    services.expire_lots(at=on(2, 1), **EVERYBODY)
    made = services.reinstate(Lot.objects.earliest("id").pk, reason="outage", actor=reinstater(), at=on(2, 2))
    take_back(a, on(2, 3))
    made.refresh_from_db()
    assert (made.remaining, made.status, balance_of(player, "RP"), Account.objects.get().owed) == (0, "SPENT", 5000, 0)
    assert_books_balance()


def test_warn_expiring__each_lot_once__protected_players_are_left_out() -> None:
    policy(expiry="month_end", warn_days=7)
    told, flagged, away, later = (PlayerFactory().pk for _ in range(4))
    for one in (told, flagged, away):
        earn(one, "10", on(1, 10))
    earn(later, "10", on(2, 1))
    _protect(flagged)
    Exclusion.objects.create(player_id=away, kind="COOL_OFF", starts_at=on(1, 1), ends_at=on(3, 1), recorded_at=on(1, 1))
    assert services.warn_expiring(at=on(1, 20), **EVERYBODY) == 0  # too early
    assert services.warn_expiring(at=on(1, 26), **EVERYBODY) == 1
    assert services.warn_expiring(at=on(1, 27), **EVERYBODY) == 0
    assert Lot.objects.get(warned_at=on(1, 26)).player_id == told
    soon = selectors.expiring_soon(at=on(1, 26), unit="RP", within=timedelta(days=60))
    assert [lot.player_id for lot in soon] == [told, later]


def _protect(player: int) -> None:
    protection = ProtectionFactory(player_id=player)
    type(protection).objects.filter(pk=protection.pk).update(harm_flag=True)


def test_tickets__in_lots__whole(player: int) -> None:
    policy("TICKET", expiry="days", period=5)
    earn(player, "3", on(1, 1), unit="TICKET")
    spend(player, "2", on(1, 2), unit="TICKET")
    assert services.expire_lots(at=on(1, 8), **EVERYBODY) == 1
    assert Entry.objects.get(house="expiry").amount == -1


def test_adjustment__gives_and_takes__makes_and_uses_lots(player: int) -> None:
    maker = staff("adjust_wallet")
    services.request_adjustment(player_id=player, unit="LP", amount=Decimal(9), reason="lost bet", maker=maker, at=on(1, 1))
    services.request_adjustment(player_id=player, unit="LP", amount=Decimal(-4), reason="typed wrongly", maker=maker, at=on(1, 1))
    assert lots(player) == [(9, 5, "ACTIVE")]
    assert_books_balance()
