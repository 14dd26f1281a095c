"""The worked vectors of bonus wagering, through the database: rows, entries and answers. Figures are worked by hand."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.factories import NOW, GameFactory, PlayerFactory
from tests.wallet.activity.scenes import activity, bet, grant, receive, send, table
from tests.wallet.factories import assert_books_balance
from wallet.errors import IdempotencyConflict, InsufficientFunds, InvalidPosting, UnknownPlayer
from wallet.models import (
    Account,
    BonusGrant,
    ContributionRule,
    Entry,
    GrantEvent,
    GrantMovement,
    PayoutInstruction,
    WagerCount,
    WagerEvent,
    WalletFlag,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def player():
    return PlayerFactory()


def entries():
    """(house, amount, seq, balance after, source ref, sub) of the bonus accounts, in order; the credit of the grant left out."""
    rows = Entry.objects.filter(account__unit="BONUS").exclude(source_type="test").order_by("account_id", "seq")
    return list(rows.values_list("house", "amount", "seq", "balance_after", "source_ref", "source_sub"))


def changes(of):
    return list(GrantEvent.objects.filter(grant=of).order_by("log_number").values_list("from_status", "to_status"))


def test_vector_1__twenty_slot_bets_of_ten__progress_200_left_800(player):
    bonus = grant(player.pk, "100", contribution_table=table(("category", "slots", "fixed", "1")))
    for _ in range(20):
        bet(player.pk, "10")
    bonus.refresh_from_db()
    assert (bonus.wagered, bonus.wagering_required - bonus.wagered, bonus.status) == (Decimal(200), Decimal(800), "WAGERING")
    assert (bonus.open_bets, bonus.balance, WagerEvent.objects.count(), WagerCount.objects.count()) == (0, 10000, 20, 20)
    assert changes(bonus) == [("", "ACTIVE"), ("ACTIVE", "WAGERING")]
    assert entries() == []  # all of it was cash


def test_vector_2__roulette_at_a_tenth__50_counts_5(player):
    grant(player.pk, "100", contribution_table=table(("category", "roulette", "fixed", "0.1")))
    answer = bet(player.pk, "50", game_category="roulette")
    (count,) = answer.counts
    assert (count.counted, count.weight, count.rule, count.verdict) == (
        Decimal(5),
        Decimal("0.1"),
        "category roulette: weight 0.1",
        "COUNTED",
    )


def test_vector_3__blackjack_at_five_per_cent__one_counts_five_hundredths(player):
    bonus = grant(player.pk, "100", contribution_table=table(("category", "blackjack", "fixed", "0.05")))
    assert bet(player.pk, "1.00", game_category="blackjack").counted == Decimal("0.05")
    bonus.refresh_from_db()
    assert bonus.wagered == Decimal("0.05")


def test_weight_by_edge__edge_of_the_catalogue__is_used_and_kept_with_the_bet(player):
    GameFactory(code="low-edge", house_edge=Decimal("0.01"))
    bonus = grant(player.pk, "100", contribution_table=table(("default", "", "edge", "1")))
    assert bet(player.pk, "10", game_code="low-edge").counted == Decimal("2.5")
    assert WagerEvent.objects.get().house_edge == Decimal("0.01")
    send(player.pk, "BET", "10", round_id="r", game_code="low-edge")
    bet(player.pk, "10", game_code="elsewhere", house_edge=Decimal("0.02"))
    send(player.pk, "ROUND_END", round_id="r")
    bonus.refresh_from_db()
    assert bonus.wagered == Decimal("10.0")


def test_tables__edited_between_two_bets__the_next_bet_sees_it(player):
    table_id = table(("default", "", "fixed", "1"))
    grant(player.pk, "100", contribution_table=table_id)
    assert bet(player.pk, "10").counted == 10
    ContributionRule.objects.filter(table_id=table_id).update(weight=Decimal("0.5"))
    assert bet(player.pk, "10").counted == 5
    ContributionRule.objects.create(table_id=table_id, scope="game", key="starburst", method="excluded", valid_from=NOW - timedelta(days=1))
    answer = bet(player.pk, "10")
    assert (answer.counted, answer.counts[0].verdict) == (0, "GAME_EXCLUDED")
    assert bet(player.pk, "10", occurred_at=NOW - timedelta(days=2)).counts[0].verdict == "BEFORE_GRANT"


@pytest.mark.parametrize(
    ("amount", "deposit", "base", "multiple", "required"), [("25", "50", "bonus", 30, "750"), ("100", "100", "bonus_deposit", 40, "8000")]
)
def test_vectors_4_and_5__requirement_bases(player, amount, deposit, base, multiple, required):
    bonus = grant(player.pk, amount, deposit=deposit, base=base, multiple=Decimal(multiple))
    (count,) = bet(player.pk, "10").counts
    assert (count.required, count.after, bonus.wagering_required) == (Decimal(required), Decimal(10), Decimal(required))


def test_vector_6__penalty__requirement_4000_becomes_4900(player):
    bonus = grant(player.pk, "400", max_bet=1000, over_max_bet="penalty", penalty_factor=Decimal(10))
    send(player.pk, "BET", "25", round_id="r")
    answer = send(player.pk, "WIN", "150", round_id="r", ends_round=True)
    (count,) = answer.counts
    assert (count.verdict, count.penalty, count.required, count.counted) == ("PENALTY", Decimal(900), Decimal(4900), Decimal(25))
    bonus.refresh_from_db()
    assert (bonus.wagering_required, bonus.penalties, bonus.wagered) == (Decimal(4900), Decimal(900), Decimal(25))


@pytest.mark.parametrize(("mode", "progress"), [("bonus_funds_only", "4"), ("all_funds", "10")])
def test_vectors_7_and_8__split_win_and_rollback__exactly_its_own_part(player, mode, progress):
    bonus = grant(player.pk, "20", count_mode=mode)
    stake = send(player.pk, "BET", "10", activity_id="a", round_id="r", cash_before="6", ends_round=True)
    assert (stake.real, stake.bonus, stake.locked, stake.cash_change) == (Decimal(6), Decimal(4), Decimal(0), Decimal(-6))
    assert stake.counted == Decimal(progress)
    win = send(player.pk, "WIN", "25", activity_id="b", round_id="r")
    assert (win.real, win.bonus, win.cash_change) == (Decimal("15.00"), Decimal("10.00"), Decimal(15))
    bonus.refresh_from_db()
    assert (bonus.balance, bonus.wagered) == (2600, Decimal(progress))

    # the player has spent the cash meanwhile: 2 are left of the 15
    back = send(player.pk, "ROLLBACK", activity_id="c", round_id="r", takes_back_id="b", cash_before="2")
    assert (back.real, back.bonus, back.cash_change) == (Decimal(15), Decimal(10), Decimal(-15))
    back = send(player.pk, "ROLLBACK", activity_id="d", round_id="r", takes_back_id="a", takes_back_kind="BET")
    assert (back.real, back.bonus, back.cash_change, back.counted) == (Decimal(6), Decimal(4), Decimal(6), -Decimal(progress))
    bonus.refresh_from_db()
    assert (bonus.balance, bonus.wagered, bonus.status) == (2000, Decimal(0), "WAGERING")

    assert entries() == [
        ("stake", -400, 2, 1600, "p1:a", "BET"),
        ("win", 1000, 3, 2600, "p1:b", "WIN"),
        ("win", -1000, 4, 1600, "p1:c", "ROLLBACK"),
        ("stake", 400, 5, 2000, "p1:d", "ROLLBACK"),
    ]
    by_ref = {entry.source_ref: entry for entry in Entry.objects.filter(source_type="wager", account__unit="BONUS")}
    assert by_ref["p1:c"].reversal_of.source_ref == "p1:b"
    assert by_ref["p1:d"].reversal_of.source_ref == "p1:a"
    owed = Account.objects.get(unit="OWED")
    assert (owed.balance, owed.currency, list(owed.entries.values_list("house", "amount"))) == (1300, "EUR", [("debt", 1300)])
    (flag,) = WalletFlag.objects.all()
    assert (flag.kind, flag.source_ref, flag.detail["amount"]) == ("CASH_DEBT", "p1:c", "1300")
    assert set(WagerEvent.objects.exclude(entry=None).values_list("activity_id", flat=True)) == {"a", "b", "c", "d"}
    assert WagerEvent.objects.get(activity_id="c").takes_back_kind == "WIN"


def test_rollback__win_that_was_lost_again__is_lent_and_the_next_win_pays_it_back(player):
    bonus = grant(player.pk, "20", multiple=Decimal(100))
    send(player.pk, "BET", "20", activity_id="a", round_id="r", cash_before="0")
    send(player.pk, "WIN", "30", activity_id="b", round_id="r", ends_round=True)
    send(player.pk, "BET", "25", activity_id="c", round_id="s", cash_before="0")
    send(player.pk, "ROLLBACK", activity_id="d", round_id="r", takes_back_id="b")
    account = Account.objects.get(unit="BONUS")
    assert (account.balance, account.owed) == (0, 2500)
    send(player.pk, "WIN", "40", activity_id="e", round_id="s", ends_round=True)
    account.refresh_from_db()
    bonus.refresh_from_db()
    assert (account.balance, account.owed, bonus.balance) == (1500, 0, 1500)
    assert [row[:4] + row[5:] for row in entries()][3:] == [
        ("debt", 2500, 5, 3000, "ROLLBACK-lent"),
        ("win", -3000, 6, 0, "ROLLBACK"),
        ("win", 4000, 7, 4000, "WIN"),
        ("debt", -2500, 8, 1500, "WIN-repays"),
    ]
    assert WalletFlag.objects.get().kind == "BONUS_DEBT"


def test_completion__capped__pays_out_once_and_keeps_the_rest(player):
    bonus = grant(player.pk, "100", requirement=Decimal(10), cash_out_cap=Decimal(10))
    send(player.pk, "BET", "10", round_id="r", activity_id="a", cash_before="0")
    answer = send(player.pk, "WIN", "1260", round_id="r", activity_id="b", ends_round=True)
    assert answer.completed_grant_ids == (bonus.pk,)
    bonus.refresh_from_db()
    assert (bonus.status, bonus.balance, bonus.released, bonus.kept, bonus.closed_at) == ("COMPLETED", 0, 100000, 35000, NOW)
    assert entries()[2:] == [
        ("payout", -100000, 4, 35000, str(bonus.pk), "complete"),
        ("breakage", -35000, 5, 0, str(bonus.pk), "breakage"),
    ]
    paid = PayoutInstruction.objects.get()
    assert (paid.amount, paid.key, paid.entry.house, paid.status) == (100000, f"grant-{bonus.pk}-complete", "payout", "PENDING")
    assert changes(bonus)[-2:] == [("ACTIVE", "WAGERING"), ("WAGERING", "COMPLETED")]
    assert GrantEvent.objects.get(to_status="COMPLETED").entry == paid.entry

    # a win of the round that comes after the end follows it: nothing is left of the cap
    send(player.pk, "WIN", "5", round_id="r", activity_id="late")
    bonus.refresh_from_db()
    assert (bonus.balance, bonus.released, bonus.kept) == (0, 100000, 35500)
    assert PayoutInstruction.objects.count() == 1


def test_vector_11__less_than_the_smallest_bet__lost_unless_a_round_is_open(player):
    bonus = grant(player.pk, "5.04", min_bet=10)
    send(player.pk, "BET", "2", round_id="r", cash_before="0")
    bet(player.pk, "3", cash_before="0")
    bonus.refresh_from_db()
    assert (bonus.balance, bonus.open_bets, bonus.status) == (4, 1, "WAGERING")
    send(player.pk, "ROUND_END", round_id="r")
    bonus.refresh_from_db()
    assert (bonus.balance, bonus.status) == (0, "LOST")
    assert entries()[-1][:2] == ("breakage", -4)


def test_vector_14__close_starts_the_next_in_the_queue(player):
    first = grant(player.pk, "10", requirement=Decimal(10))
    later = grant(player.pk, "30", status="QUEUED", queue_order=2, wagering_seconds=3600)
    sooner = grant(player.pk, "20", status="QUEUED", queue_order=1, wagering_seconds=7200)
    bet(player.pk, "10", activity_id="a")
    for one in (first, later, sooner):
        one.refresh_from_db()
    assert (first.status, sooner.status, later.status) == ("COMPLETED", "ACTIVE", "QUEUED")
    assert (sooner.balance, sooner.activated_at, sooner.expires_at) == (2000, NOW, NOW + timedelta(hours=2))
    assert sooner.wagering_required == Decimal(200)
    assert entries() == [("payout", -1000, 2, 0, str(first.pk), "complete")]
    credit = Entry.objects.get(source_ref=sooner.source_ref)
    assert (credit.source_type, credit.amount, credit.house, credit.seq) == ("test", 2000, "rewards", 3)
    assert changes(sooner) == [("", "QUEUED"), ("QUEUED", "ACTIVE")]
    assert GrantEvent.objects.get(to_status="ACTIVE", grant=sooner).entry == credit
    account = Account.objects.get(unit="BONUS")
    assert (account.balance, account.version, account.earned_total) == (2000, 3, 3000)


def test_queue__barred_player__waits(player):
    player.status = "SUSPENDED"
    player.save()
    grant(player.pk, "10", requirement=Decimal(10))
    waiting = grant(player.pk, "20", status="QUEUED")
    bet(player.pk, "10")
    waiting.refresh_from_db()
    assert waiting.status == "QUEUED"


def test_vector_15__same_activity_twice__one_effect_and_the_same_answer(player):
    grant(player.pk, "20")
    first = send(player.pk, "BET", "10", activity_id="a", round_id="r", cash_before="6", ends_round=True)
    again = send(player.pk, "BET", "10", activity_id="a", round_id="r", cash_before="50", ends_round=True, received_at=NOW + timedelta(1))
    assert again == replace(first, repeated=True)
    assert (WagerEvent.objects.count(), WagerCount.objects.count(), len(entries())) == (1, 1, 1)


def test_repeat__in_one_batch__has_the_first_answer(player):
    grant(player.pk, "20")
    one = activity(player.pk, "BET", "10", activity_id="a", round_id="r", cash_before="6", ends_round=True)
    first, again = receive([one, one])
    assert again == replace(first, repeated=True)
    assert WagerEvent.objects.count() == 1


@pytest.mark.parametrize("change", [{"amount": "11"}, {"game_code": "other"}, {"currency": "USD"}, {"round_id": "s"}])
def test_repeat__other_content__is_refused(player, change):
    send(player.pk, "BET", "10", activity_id="a", round_id="r")
    with pytest.raises(IdempotencyConflict, match="was reported before with"):
        send(player.pk, "BET", **{"amount": "10", "activity_id": "a", "round_id": "r", **change})


def test_repeat__of_another_player__is_refused_alone_and_in_a_batch(player):
    other = PlayerFactory()
    send(player.pk, "BET", "10", activity_id="a", round_id="r")
    with pytest.raises(IdempotencyConflict, match="player_id"):
        send(other.pk, "BET", "10", activity_id="a", round_id="r")
    mine, theirs = receive([activity(one.pk, "BET", "10", activity_id="b", round_id="r") for one in (player, other)])
    assert (mine.repeated, type(theirs)) == (False, IdempotencyConflict)
    # the other player's round is his own, though it has the same id
    assert WagerEvent.objects.count() == 2


def test_win__before_its_bet__takes_effect_with_it(player):
    bonus = grant(player.pk, "20")
    win = send(player.pk, "WIN", "25", activity_id="b", round_id="r")
    assert (win.waits, win.cash_change, WagerEvent.objects.get().waits) == (True, 0, True)
    stake = send(player.pk, "BET", "10", activity_id="a", round_id="r", cash_before="6", ends_round=True)
    assert stake.cash_change == Decimal(-6 + 15)
    event = WagerEvent.objects.get(activity_id="b")
    assert (event.waits, event.real_part, event.bonus_part, event.grant_id) == (False, 1500, 1000, bonus.pk)
    assert (event.entry.amount, event.entry.source_ref, event.entry.source_sub) == (1000, "p1:a", "BET-win-0")
    bonus.refresh_from_db()
    assert (bonus.balance, bonus.wagered) == (2600, Decimal(10))
    back = send(player.pk, "ROLLBACK", round_id="r", takes_back_id="b")
    assert WagerEvent.objects.get(activity_id=back.activity_id).entry.reversal_of == event.entry


def test_rollback__before_its_bet__cancels_it_on_arrival(player):
    bonus = grant(player.pk, "20")
    waiting = send(player.pk, "ROLLBACK", activity_id="x", round_id="r", takes_back_id="a")
    assert waiting.waits
    stake = send(player.pk, "BET", "10", activity_id="a", round_id="r", cash_before="6", ends_round=True)
    assert (stake.cash_change, stake.counts) == (0, ())
    event = WagerEvent.objects.get(activity_id="x")
    assert (event.waits, event.takes_back_kind) == (False, "BET")
    bonus.refresh_from_db()
    assert (bonus.balance, bonus.wagered, bonus.open_bets, entries()) == (2000, 0, 0, [])
    win = send(player.pk, "WIN", "5", activity_id="w", round_id="r")
    assert win.waits  # its bet does not stand


def test_refusals__each_stands_for_itself_and_leaves_nothing(player):
    grant(player.pk, "5")
    answers = receive(
        [
            activity(player.pk, "BET", "10", cash_before="4"),
            activity(player.pk, "BET", "3", cash_before="0", activity_id="good"),
            activity(player.pk, "BET", "10", real_part="9", bonus_part="2"),
            activity(player.pk, "BET", "1", currency="euro"),
            activity(2**40, "BET", "1"),
            activity(player.pk, "BET", "1", activity_id="x" * 81),
            activity(player.pk, "ROLLBACK", "1"),
            activity(player.pk, "BET", "1", occurred_at=NOW.replace(tzinfo=None)),
            activity(player.pk, "WIN", "1", provider="a\x00b"),
        ]
    )
    assert [type(one).__name__ for one in answers] == [
        "InsufficientFunds", "Received", "InvalidPosting", "InvalidPosting", "UnknownPlayer", "InvalidPosting", "InvalidPosting",
        "InvalidPosting", "InvalidPosting",
    ]  # fmt: skip
    assert list(WagerEvent.objects.values_list("activity_id", flat=True)) == ["good"]
    assert Account.objects.get().balance == 200


def test_refusals__one_event__are_raised(player):
    with pytest.raises(InsufficientFunds, match="needs more than cash 100"):
        send(player.pk, "BET", "10", cash_before="1")
    with pytest.raises(UnknownPlayer):
        send(2**40, "BET", "10")
    send(player.pk, "BET", "1", activity_id="mine")
    with pytest.raises(InvalidPosting, match="another player"):
        send(PlayerFactory().pk, "ROLLBACK", takes_back_id="mine")
    with pytest.raises(InvalidPosting, match="5001 events at once"):
        receive([activity(player.pk, "BET", "1")] * 5001)


def test_text__quotes_and_backslashes__are_stored_as_they_are(player):
    strange = 'a"b\\c,{d}NULL'
    bet(player.pk, "1", activity_id=strange, round_id="NULL", game_code='"', provider="\\")
    event = WagerEvent.objects.get()
    assert (event.activity_id, event.round_id, event.game_code, event.provider) == (strange, "NULL", '"', "\\")


def test_player_without_a_bonus__gets_an_account_as_mutex_and_nothing_else(player):
    answer = bet(player.pk, "10")
    assert (answer.real, answer.cash_change, answer.counts) == (Decimal(10), Decimal(-10), ())
    assert list(Account.objects.values_list("unit", "currency", "balance", "version")) == [("BONUS", player.currency, 0, 0)]


def test_movements__locked_winnings__stand_in_their_own_pocket(player):
    bonus = grant(player.pk, "20", winnings="locked", multiple=Decimal(100))
    send(player.pk, "BET", "20", round_id="r", activity_id="a", cash_before="0")
    send(player.pk, "WIN", "30", round_id="r", activity_id="b", ends_round=True)
    bet(player.pk, "12", activity_id="c", cash_before="2")
    bonus.refresh_from_db()
    assert (bonus.balance, bonus.locked) == (0, 2000)
    moved = GrantMovement.objects.filter(entry__source_type="wager").order_by("id").values_list("pocket", "amount")
    assert list(moved) == [("balance", -2000), ("locked", 3000), ("locked", -1000)]


def test_rollback__of_more_progress_than_is_left__takes_what_is_left_and_the_books_stay_sound(player):
    """The rollback of the penalty takes the overhang with it; while the bonus is paused nothing completes, and the next one comes."""
    bonus = grant(
        player.pk,
        "100",
        requirement=Decimal(20),
        max_bet=1000,
        over_max_bet="penalty",
        contribution_table=table(("default", "", "fixed", "0.5")),
    )
    send(player.pk, "BET", "20", activity_id="big", round_id="big")
    send(player.pk, "WIN", "40", round_id="big", ends_round=True)
    bet(player.pk, "58", activity_id="more")
    BonusGrant.objects.filter(pk=bonus.pk).update(status="PAUSED")
    for name, round_id in (("big", "big"), ("more", "more-round")):
        send(player.pk, "ROLLBACK", takes_back_id=name, takes_back_kind="BET", round_id=round_id)
    bonus.refresh_from_db()
    assert (bonus.wagering_required, bonus.wagered, bonus.open_bets) == (20, 0, 0)
    assert_books_balance()
