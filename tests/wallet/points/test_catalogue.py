"""The redemption catalogue: what is bought, what is refused and why, and how a purchase is undone. A refusal moves nothing."""

import threading
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError
from django.db.models import QuerySet

from loyalty_site.common.models import AuditEvent
from players.models import Exclusion, Player, Protection
from tests.factories import NOW, PlayerFactory
from tests.wallet.factories import assert_books_balance, balance_of, points, staff
from tests.wallet.test_races import at_once, kinds
from wallet import services
from wallet.models import Account, BonusGrant, CatalogueItem, Entry, GrantStatus, Lot, Redemption
from wallet.points import catalogue, redemptions
from wallet.services import IdempotencyConflict, InsufficientFunds, InvalidPosting, RedemptionRefused, Source, UnknownPlayer

from .shop import a_buyer, bonus, buy, goods, market, tickets

pytestmark = pytest.mark.django_db
CLERK = ("fulfil_redemption",)


def refused(player: Player, item: CatalogueItem, quantity: int = 1, **fields: Any) -> str:
    """The code of the refusal, after checking that nothing moved and that the list of offers says the same."""
    before = (balance_of(player.pk, "RP"), Entry.objects.count(), item.stock, Redemption.objects.count(), BonusGrant.objects.count())
    with pytest.raises(RedemptionRefused) as caught:
        buy(player, item, quantity, **fields)
    item.refresh_from_db()
    after = (balance_of(player.pk, "RP"), Entry.objects.count(), item.stock, Redemption.objects.count(), BonusGrant.objects.count())
    assert before == after
    if quantity == 1:
        (offer,) = catalogue.offers_for(player.pk, [item], fields.get("at", NOW))
        assert offer.refusal is not None
        assert (offer.refusal.code, offer.refusal.text) == (caught.value.code, str(caught.value))
    return caught.value.code


# buying


def test_redeem__goods__take_points_and_stock_and_wait_for_staff() -> None:
    player, item = a_buyer("1000"), goods(price=30_000, stock=3)
    made = buy(player, item, 2)
    item.refresh_from_db()
    assert (made.status, made.price, made.closed_at) == ("ORDERED", 60_000, None)
    assert (balance_of(player.pk, "RP"), item.stock) == (40_000, 1)
    assert (made.entry.house, made.entry.amount, made.entry.source_type, made.entry.source_sub) == (
        "redemption",
        -60_000,
        "test.shop",
        "price",
    )
    assert_books_balance()


def test_redeem__tickets__are_there_at_once_and_are_not_earned() -> None:
    player, item = a_buyer("100"), tickets(price=1_000, count=5)
    made = buy(player, item, 3)
    account = Account.objects.get(player=player, unit="TICKET")
    assert (made.status, account.balance, account.earned_total) == ("FULFILLED", 15, 0)
    assert Lot.objects.get(account=account).remaining == 15
    assert_books_balance()


def test_redeem__bonus__is_a_grant_under_the_terms_of_its_template() -> None:
    player, item = a_buyer("1000"), bonus(price=20_000, amount="5")
    made = buy(player, item, 2)
    grant = BonusGrant.objects.get()
    assert (made.grant_id, made.status, grant.status, grant.principal) == (grant.pk, "FULFILLED", "ACTIVE", 1_000)
    assert grant.wagering_required == Decimal(100)
    assert (balance_of(player.pk, "BONUS", "EUR"), balance_of(player.pk, "RP")) == (1_000, 60_000)
    assert_books_balance()


def test_redeem__bonus_that_players_claim__is_claimed_with_the_purchase() -> None:
    player, item = a_buyer(), bonus(terms={"needs_claim": True})
    assert buy(player, item).grant.status == GrantStatus.ACTIVE


def test_redeem__second_bonus_of_the_product__queues() -> None:
    player, item = a_buyer(), bonus()
    buy(player, item)
    assert buy(player, item).grant.status == GrantStatus.QUEUED


def test_redeem__same_source_again__returns_the_first_and_moves_nothing() -> None:
    player, item = a_buyer("1000"), goods(price=30_000, stock=3)
    first = buy(player, item, ref="order-1")
    assert buy(player, item, ref="order-1").pk == first.pk
    item.refresh_from_db()
    assert (balance_of(player.pk, "RP"), item.stock) == (70_000, 2)


def test_redeem__same_source_with_other_content__conflicts() -> None:
    player, item = a_buyer("1000"), goods(price=10_000)
    buy(player, item, ref="order-1")
    for other, thing, quantity in ((a_buyer(), item, 1), (player, goods("cup"), 1), (player, item, 2)):
        with pytest.raises(IdempotencyConflict, match="already made redemption"):
            buy(other, thing, quantity, ref="order-1")


def test_redeem__by_staff__is_audited() -> None:
    clerk = staff()
    made = buy(a_buyer(), goods(), actor=clerk)
    event = AuditEvent.objects.get(action="wallet.item_redeemed")
    assert (event.actor_id, event.subject_id, event.after["price"]) == (clerk.pk, str(made.pk), "100.00 RP")


# refusals


def test_redeem__too_few_points__is_refused_before_anything_moves() -> None:
    player, item = a_buyer("99.99"), goods(price=10_000, stock=1)
    with pytest.raises(InsufficientFunds, match=r"the player has 99.99 RP, which does not cover 100.00 RP"):
        buy(player, item)
    item.refresh_from_db()
    assert (item.stock, Entry.objects.count(), Redemption.objects.count()) == (1, 1, 0)


def test_redeem__points_that_have_ended_but_were_not_swept__do_not_pay() -> None:
    player, item = a_buyer("100"), goods(price=10_000)
    Lot.objects.update(expires_at=NOW)
    with pytest.raises(InsufficientFunds, match="the player has 0.00 RP"):
        buy(player, item, at=NOW + timedelta(seconds=1))


def test_redeem__unknown_item__unknown_player__are_refused() -> None:
    player = a_buyer()
    with pytest.raises(RedemptionRefused, match="there is no item 'nothing'"):
        services.redeem(player_id=player.pk, item_code="nothing", source=Source("t", "1"), at=NOW)
    item = goods()
    with pytest.raises(UnknownPlayer):
        services.redeem(player_id=player.pk + 1, item_code=item.code, source=Source("t", "1"), at=NOW)


@pytest.mark.parametrize("quantity", [0, -1, 1_001, True, "2"])
def test_redeem__quantity_that_is_none__is_refused(quantity: Any) -> None:
    with pytest.raises(InvalidPosting, match="quantity must be a whole number from 1 to 1000"):
        buy(a_buyer(), goods(), quantity)


def test_redeem__inactive_item__is_refused() -> None:
    assert refused(a_buyer(), goods(is_active=False)) == "inactive"


def test_redeem__outside_its_time__is_refused_and_holds_from_start_to_before_the_end() -> None:
    player, item = a_buyer(), goods(valid_from=NOW, valid_to=NOW + timedelta(days=1))
    assert refused(player, item, at=NOW - timedelta(microseconds=1)) == "not-yet-valid"
    assert refused(player, item, at=NOW + timedelta(days=1)) == "no-longer-valid"
    assert buy(player, item, at=NOW).pk


def test_redeem__above_the_stock__is_refused_and_the_last_piece_can_be_had() -> None:
    player, item = a_buyer(), goods(stock=1)
    assert refused(player, item, 2) == "out-of-stock"
    buy(player, item)
    item.refresh_from_db()
    assert refused(player, item) == "out-of-stock"


def test_redeem__above_the_players_limit__is_refused_and_a_cancelled_one_does_not_count() -> None:
    player, item = a_buyer(), goods(per_player=2)
    first = buy(player, item, 2)
    assert refused(player, item) == "player-limit"
    services.cancel_redemption(first.pk, reason="wrong size", actor=None, at=NOW)
    assert buy(player, item, 2).pk
    assert buy(a_buyer(), item, 2).pk


def test_redeem__bonus_in_another_currency__is_refused() -> None:
    assert refused(a_buyer(currency="USD"), bonus()) == "wrong-currency"


def test_redeem__account_not_active__buys_nothing_at_all() -> None:
    player = a_buyer(status="SUSPENDED")
    assert refused(player, goods()) == "player-not-active"


@pytest.mark.parametrize("make", [bonus, tickets])
def test_redeem__excluded_or_flagged_player__gets_nothing_to_play_with(make: Callable[[], CatalogueItem]) -> None:
    item = make()
    excluded, flagged = a_buyer(), a_buyer()
    Exclusion.objects.create(player=excluded, kind="SELF_EXCLUSION", starts_at=NOW, recorded_at=NOW)
    Protection.objects.create(player=flagged, harm_flag=True)
    assert refused(excluded, item) == "player-protected"
    assert refused(flagged, item) == "player-protected"
    assert buy(excluded, goods()).pk  # goods are theirs to have


def test_redeem__bonus_that_the_market_forbids__is_refused() -> None:
    item = bonus(amount="5")
    assert refused(a_buyer(jurisdiction=market("NO", bonuses_allowed=False)), item) == "market-forbids"
    young = a_buyer(jurisdiction=market("EE", min_bonus_age=21), birth_date=date(2006, 1, 1))
    assert refused(young, item) == "too-young"
    assert refused(a_buyer(jurisdiction=market("EE", min_bonus_age=21), birth_date=None), item) == "age-unknown"
    assert refused(a_buyer(jurisdiction=market("SE", max_bonus_amount=Decimal("9.99"))), item, 2) == "market-limit"
    assert refused(a_buyer(jurisdiction=None), item) == "market-unknown"
    market("*")
    assert buy(a_buyer(jurisdiction=None), item).pk


def test_redeem__template_that_is_switched_off__takes_no_points() -> None:
    player, item = a_buyer(), bonus()
    item.bonus_template.is_active = False
    item.bonus_template.save()
    assert refused(player, item) == "template-inactive"


# undoing


def test_cancel__goods__gives_points_to_the_same_lots_and_the_piece_back() -> None:
    player = a_buyer("0")
    points(player.pk, "100", unit="RP", at=NOW - timedelta(days=2))
    points(player.pk, "50", unit="RP", at=NOW - timedelta(days=1))
    item = goods(price=12_000, stock=1)
    made = buy(player, item)
    assert list(Lot.objects.order_by("pk").values_list("remaining", flat=True)) == [0, 3_000]
    clerk = staff(*CLERK)
    done = services.cancel_redemption(made.pk, reason="not deliverable", actor=clerk, at=NOW)
    item.refresh_from_db()
    assert (done.status, done.note, done.closed_by_id, item.stock) == ("CANCELLED", "not deliverable", clerk.pk, 1)
    assert list(Lot.objects.order_by("pk").values_list("remaining", flat=True)) == [10_000, 5_000]
    event = AuditEvent.objects.get(action="wallet.redemption_cancelled")
    assert (event.before["status"], event.after["status"], event.reason) == ("ORDERED", "CANCELLED", "not deliverable")
    assert_books_balance()


def test_cancel__again__changes_nothing_more() -> None:
    player, item = a_buyer(), goods(stock=1)
    made = buy(player, item)
    for _ in range(2):
        services.cancel_redemption(made.pk, reason="twice", actor=None, at=NOW)
    item.refresh_from_db()
    assert (item.stock, balance_of(player.pk, "RP"), AuditEvent.objects.filter(action="wallet.redemption_cancelled").count()) == (
        1,
        100_000,
        1,
    )


def test_cancel__unused_bonus__is_taken_back_open_or_waiting() -> None:
    player, item = a_buyer(), bonus()
    active, queued = buy(player, item), buy(player, item)
    services.cancel_redemption(queued.pk, reason="changed mind", actor=None, at=NOW)
    services.cancel_redemption(active.pk, reason="changed mind", actor=None, at=NOW)
    assert set(BonusGrant.objects.values_list("status", flat=True)) == {"REVERSED"}
    assert (balance_of(player.pk, "BONUS", "EUR"), balance_of(player.pk, "RP")) == (0, 100_000)
    assert_books_balance()


def test_cancel__bonus_that_was_used__is_refused() -> None:
    player, item = a_buyer(), bonus()
    made = buy(player, item)
    services.spend(player_id=player.pk, unit="BONUS", currency="EUR", amount=Decimal(1), source=Source("t", "1"), at=NOW, reason="t")
    with pytest.raises(RedemptionRefused, match="only an unused bonus can be given back") as caught:
        services.cancel_redemption(made.pk, reason="changed mind", actor=None, at=NOW)
    assert (caught.value.code, balance_of(player.pk, "RP"), Redemption.objects.get().status) == ("bonus-used", 50_000, "FULFILLED")


def test_cancel__bonus_without_wagering__was_released_and_cannot_come_back() -> None:
    player, item = a_buyer(), bonus(terms={"multiple": Decimal(0)})
    made = buy(player, item)
    with pytest.raises(RedemptionRefused, match="is completed"):
        services.cancel_redemption(made.pk, reason="changed mind", actor=None, at=NOW)


def test_cancel__tickets__are_taken_back_while_they_are_there() -> None:
    player, item = a_buyer(), tickets(count=5)
    kept, used = buy(player, item), buy(player, item)
    services.spend(player_id=player.pk, unit="TICKET", currency="", amount=Decimal(6), source=Source("t", "1"), at=NOW, reason="draw")
    for made in (kept, used):  # the first purchase's five are gone, and one of the second's
        with pytest.raises(RedemptionRefused, match="tickets are left") as caught:
            services.cancel_redemption(made.pk, reason="changed mind", actor=None, at=NOW)
        assert caught.value.code == "tickets-used"
    third = buy(player, item)
    services.cancel_redemption(third.pk, reason="changed mind", actor=None, at=NOW)
    assert balance_of(player.pk, "TICKET") == 4
    assert_books_balance()


def test_cancel__without_reason_or_permission__is_refused() -> None:
    made = buy(a_buyer(), goods())
    with pytest.raises(InvalidPosting, match="give a reason"):
        services.cancel_redemption(made.pk, reason=" ", actor=None, at=NOW)
    with pytest.raises(RedemptionRefused, match="you may not cancel redemptions"):
        services.cancel_redemption(made.pk, reason="because", actor=staff(), at=NOW)
    with pytest.raises(RedemptionRefused, match="there is no redemption"):
        services.cancel_redemption(made.pk + 1, reason="because", actor=None, at=NOW)


def test_fulfil__goods__once_by_staff_and_no_way_back() -> None:
    made, clerk = buy(a_buyer(), goods()), staff(*CLERK)
    with pytest.raises(RedemptionRefused, match="you may not fulfil"):
        services.fulfil_redemption(made.pk, actor=staff(), at=NOW)
    done = services.fulfil_redemption(made.pk, actor=clerk, at=NOW, note="parcel 17")
    assert (done.status, done.closed_by_id, done.closed_at, done.note) == ("FULFILLED", clerk.pk, NOW, "parcel 17")
    with pytest.raises(RedemptionRefused, match="fulfilled already"):
        services.fulfil_redemption(made.pk, actor=clerk, at=NOW)
    with pytest.raises(RedemptionRefused, match="handed over"):
        services.cancel_redemption(made.pk, reason="return", actor=clerk, at=NOW)


# stock


def test_stock__adjusted_with_reason__is_audited_and_kept_in_the_history() -> None:
    item, clerk = goods(stock=3), staff("change_catalogueitem")
    services.adjust_stock(item.pk, change=-2, reason="two broken", actor=clerk, at=NOW)
    item.refresh_from_db()
    event = AuditEvent.objects.get(action="wallet.stock_adjusted")
    assert (item.stock, event.before, event.after, event.reason) == (1, {"stock": 3}, {"stock": 1}, "two broken")
    assert item.history.first().history_change_reason == "two broken"


def test_stock__below_nothing__without_permission__without_change__are_refused() -> None:
    item, clerk = goods(stock=3), staff("change_catalogueitem")
    for change, reason, actor, code in (
        (-4, "lost", clerk, "out-of-stock"),
        (0, "nothing", clerk, "no-change"),
        (1, " ", clerk, "no-reason"),
        (1, "found", staff(), "not-permitted"),
    ):
        with pytest.raises(RedemptionRefused) as caught:
            services.adjust_stock(item.pk, change=change, reason=reason, actor=actor, at=NOW)
        assert caught.value.code == code
        if change == 1:
            with pytest.raises(RedemptionRefused) as caught:
                services.lift_stock_limit(item.pk, reason=reason, actor=actor, at=NOW)
            assert caught.value.code == code
    assert CatalogueItem.objects.get().stock == 3


def test_stock__limit_lifted__more_than_was_left_can_be_had_and_a_cancelled_purchase_sets_none() -> None:
    item, clerk, player = goods(price=100, stock=1), staff("change_catalogueitem", *CLERK), a_buyer()
    services.lift_stock_limit(item.pk, reason="made to order", actor=clerk, at=NOW)
    item.refresh_from_db()
    event = AuditEvent.objects.get(action="wallet.stock_limit_lifted")
    assert (item.stock, event.before, event.after, event.reason) == (None, {"stock": 1}, {"stock": None}, "made to order")
    assert item.history.first().history_change_reason == "made to order"
    services.cancel_redemption(buy(player, item, 5).pk, reason="not wanted", actor=clerk, at=NOW)
    item.refresh_from_db()
    assert item.stock is None
    with pytest.raises(RedemptionRefused, match="no limit already"):
        services.lift_stock_limit(item.pk, reason="again", actor=clerk, at=NOW)


# races


@pytest.mark.django_db(transaction=True)
def test_race__eight_players_want_the_last_item__one_gets_it() -> None:
    item = goods(stock=1)
    players = [a_buyer() for _ in range(8)]
    results = at_once([lambda player=player: buy(player, item, ref=f"r{player.pk}") for player in players])
    item.refresh_from_db()
    assert kinds(results) == {"Redemption": 1, "RedemptionRefused": 7}
    assert {result.code for result in results if isinstance(result, RedemptionRefused)} == {"out-of-stock"}
    assert (item.stock, Redemption.objects.count()) == (0, 1)
    assert sorted(balance_of(player.pk, "RP") for player in players) == [90_000] + [100_000] * 7
    assert_books_balance()


@pytest.mark.django_db(transaction=True)
def test_race__control_without_the_lock__both_are_sold_the_last_item(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real purchase without its lock: both find one piece left, and only the database's check of the stock refuses the second."""
    item, players = goods(stock=1), [a_buyer() for _ in range(2)]
    both_have_looked, look = threading.Barrier(2), redemptions.refusal

    def look_together(*args: Any) -> Any:
        why = look(*args)
        both_have_looked.wait(timeout=20)
        return why

    monkeypatch.setattr(QuerySet, "select_for_update", lambda found, **_: found)
    monkeypatch.setattr(redemptions, "refusal", look_together)
    results = at_once([lambda player=player: buy(player, item, ref=f"r{player.pk}") for player in players])
    assert kinds(results) == {"Redemption": 1, "IntegrityError": 1}
    assert "catalogueitem_stock" in str(next(one for one in results if isinstance(one, IntegrityError)))
    assert_books_balance()


@pytest.mark.django_db(transaction=True)
def test_race__one_player_with_points_for_one__buys_one() -> None:
    player = a_buyer("100")
    items = [goods(f"thing-{number}") for number in range(6)]
    results = at_once([lambda item=item: buy(player, item, ref=item.code) for item in items])
    assert kinds(results) == {"Redemption": 1, "InsufficientFunds": 5}
    assert balance_of(player.pk, "RP") == 0
    assert_books_balance()


@pytest.mark.django_db(transaction=True)
def test_race__the_same_order_eight_times__is_one() -> None:
    player, item = a_buyer(), bonus()
    results = at_once([lambda: buy(player, item, ref="same")] * 8)
    assert kinds(results) == {"Redemption": 8}
    assert len({result.pk for result in results}) == 1
    assert (Redemption.objects.count(), BonusGrant.objects.count(), balance_of(player.pk, "RP")) == (1, 1, 50_000)
    assert_books_balance()


@pytest.mark.django_db(transaction=True)
def test_race__cancelled_by_two_and_fulfilled_by_a_third__ends_one_way() -> None:
    player, item, clerk = a_buyer(), goods(stock=1), staff(*CLERK)
    made = buy(player, item)
    at_once(
        [
            lambda: services.cancel_redemption(made.pk, reason="one", actor=clerk, at=NOW),
            lambda: services.cancel_redemption(made.pk, reason="two", actor=clerk, at=NOW),
            lambda: services.fulfil_redemption(made.pk, actor=clerk, at=NOW),
        ]
    )
    made.refresh_from_db()
    item.refresh_from_db()
    assert (made.status, item.stock, balance_of(player.pk, "RP")) in {("CANCELLED", 1, 100_000), ("FULFILLED", 0, 90_000)}
    assert_books_balance()


def test_buyer__is_read_for_the_player_alone() -> None:
    other = a_buyer()
    buy(other, goods(per_player=1))
    assert catalogue.buyer_of(PlayerFactory().pk, NOW).taken == {}
