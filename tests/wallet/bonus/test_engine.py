"""What the vectors leave open: order of arrival, late money, free spins, debt, the queue."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.wallet.bonus.play import NOW, Play, grant, queued, table
from wallet.bonus import engine
from wallet.bonus.split import Parts
from wallet.bonus.states import Status
from wallet.bonus.values import Activity, Kind, Posting


def houses(postings: list[Posting]) -> list[tuple[str, int]]:
    return [(posting.house, posting.amount) for posting in postings]


# whose money


def test_stake__nothing_known_of_cash__all_real_and_no_posting() -> None:
    play = Play(grant())
    outcome = play.bet(1000)
    assert outcome.cash_change == -1000
    assert outcome.postings == []


@pytest.mark.parametrize(
    ("order", "parts"),
    [("real_first", (700, 300, 0)), ("bonus_first", (200, 500, 300)), ("proportional", (467, 500, 33))],
)
def test_stake__fund_order(order: str, parts: tuple[int, int, int]) -> None:
    play = Play(grant(bonus=500, locked=300, fund_order=order))
    recorded = play.bet(1000, cash_before=700, ends_round=False).recorded
    assert recorded is not None
    assert (recorded.real_part, recorded.bonus_part, recorded.locked_part) == parts


def test_stake__more_than_cash_and_bonus__refused_and_nothing_changed() -> None:
    play = Play(grant(bonus=500))
    with pytest.raises(engine.StakeNotCovered, match="1000 needs more than cash 400, bonus 500"):
        play.bet(1000, name="b", cash_before=400)
    assert (play.grant().balance, play.grant().open_bets, play.wallet.known) == (500, 0, {})


def test_stated_parts__more_than_the_bonus__refused() -> None:
    play = Play(grant(bonus=500))
    with pytest.raises(engine.StakeNotCovered, match="takes 600 from the bonus"):
        play.bet(1000, real_part=400, bonus_part=600)


def test_stated_parts__do_not_add_up__refused() -> None:
    with pytest.raises(engine.InvalidActivity, match="parts add up to 900, the amount is 1000"):
        Play(grant()).bet(1000, real_part=400, bonus_part=500)


def test_win__winnings_locked__locked_and_not_spendable_before_the_bonus() -> None:
    play = Play(grant(bonus=1000, winnings="locked"))
    play.bet(1000, name="b", cash_before=0, ends_round=False)
    play.win(3333, of="b")
    assert (play.grant().balance, play.grant().locked) == (0, 3333)


def test_win__odd_minor_unit__goes_to_cash() -> None:
    play = Play(grant(bonus=2000))
    play.bet(300, name="b", real_part=100, bonus_part=200, ends_round=False)
    recorded = play.win(100, of="b").recorded
    assert recorded is not None
    assert (recorded.real_part, recorded.bonus_part) == (34, 66)


# order of arrival


def test_win_before_its_bet__waits_and_ends_as_if_in_order() -> None:
    late, right = Play(grant(bonus=1000)), Play(grant(bonus=1000))
    waiting = late.win(500, of="b", name="w")
    assert waiting.recorded is not None
    assert waiting.recorded.waits
    assert late.grant().balance == 1000
    outcome = late.bet(400, name="b", cash_before=0, ends_round=False)
    right.bet(400, name="b", cash_before=0, ends_round=False)
    right.win(500, of="b", name="w")
    assert [one.activity.activity_id for one in outcome.also_recorded] == ["w"]
    assert (late.grant().balance, late.grant().wagered, late.grant().open_bets) == (1100, 4, 0)
    assert (right.grant().balance, right.grant().wagered, right.grant().open_bets) == (1100, 4, 0)


def test_rollback_before_its_bet__bet_never_takes_effect() -> None:
    play = Play(grant())
    play.rollback("b")
    outcome = play.bet(1000, name="b", cash_before=0)
    assert (outcome.cash_change, outcome.postings, outcome.counts) == (0, [], [])
    assert (play.grant().balance, play.grant().wagered, play.grant().open_bets) == (10_000, 0, 0)


def test_rollback_of_an_open_bet__cancelled_and_money_back() -> None:
    play = Play(grant())
    play.bet(1000, name="b", cash_before=0, ends_round=False)
    outcome = play.rollback("b")
    assert [count.verdict for count in outcome.counts] == ["CANCELLED"]
    assert (play.grant().balance, play.grant().open_bets) == (10_000, 0)
    assert outcome.postings[0].reverses == ("platform", "b", "BET")
    play.end("b")
    assert play.grant().wagered == 0


def test_rollback_twice_under_two_ids__one_effect() -> None:
    play = Play(grant())
    play.bet(1000, name="b", cash_before=0)
    play.rollback("b")
    outcome = play.rollback("b")
    assert (outcome.cash_change, outcome.postings) == (0, [])
    assert play.grant().balance == 10_000


def test_rollback_of_a_part__refused() -> None:
    play = Play(grant())
    play.bet(1000, name="b")
    with pytest.raises(engine.InvalidActivity, match="takes back 400, b was 1000"):
        play.rollback("b", amount=400)


def test_rollback_of_a_penalty__requirement_and_overhanging_progress_back() -> None:
    play = Play(
        grant(required="20", max_bet=1000, over_max_bet="penalty", contribution_table=1), contribution=table(("default", "", "0.5"))
    )
    play.bet(2000, name="big", ends_round=False)
    play.win(4000, of="big")  # penalty 40 x (1 - 10/20) = 20, counts 10
    assert (play.grant().required, play.grant().wagered) == (40, 10)
    play.bet(5800, name="more", ends_round=False)
    play.end("more")  # nothing won: no penalty, counts 29
    assert play.grant().wagered == 39
    outcome = play.rollback("big", takes_back_kind="BET")
    # its own 10 would leave 29 of 20: the progress ends at the requirement, and that is met
    assert (outcome.counts[0].counted, outcome.counts[0].penalty) == (-19, -20)
    assert (play.grant().required, play.grant().wagered, play.grant().penalties) == (20, 20, 0)
    assert play.grant().status == Status.COMPLETED


def test_rollback_after_overhanging_progress_went__takes_no_more_than_is_left() -> None:
    play = Play(
        grant(required="20", max_bet=1000, over_max_bet="penalty", contribution_table=1), contribution=table(("default", "", "0.5"))
    )
    play.bet(2000, name="big", ends_round=False)
    play.win(4000, of="big")  # raises the requirement to 40, counts 10
    play.bet(5800, name="more")  # counts 29
    play.grant().status = Status.PAUSED  # nothing is completed while it is paused
    play.rollback("big", takes_back_kind="BET")
    assert (play.grant().required, play.grant().wagered) == (20, 20)
    outcome = play.rollback("more")
    assert (outcome.counts[0].counted, play.grant().wagered) == (-20, 0)


def test_bet_in_a_round_that_has_ended__counts_at_once() -> None:
    play = Play(grant())
    play.bet(1000, name="first", round_id="round", ends_round=False)
    play.end("round")
    play.bet(500, name="late", round_id="round", ends_round=False)
    assert (play.grant().wagered, play.grant().open_bets) == (15, 0)


# why a bet does not count


@pytest.mark.parametrize(
    ("terms", "bet", "verdict"),
    [
        ({}, {"is_free_round": True}, None),  # a free round of the platform's own belongs to no bonus
        ({"coverage_limit": Decimal("0.7")}, {"coverage": Decimal("0.75")}, "COVERAGE"),
        ({"coverage_limit": Decimal("0.7")}, {"coverage": Decimal("0.70")}, "COUNTED"),
        ({"eligible_games": ("Slots",)}, {"game_category": "roulette"}, "GAME_NOT_ELIGIBLE"),
        ({"eligible_games": ("Slots",)}, {"game_category": "slots"}, "COUNTED"),
        ({"contribution_table": 1}, {"game_code": "excluded-game"}, "GAME_EXCLUDED"),
        ({"count_mode": "bonus_funds_only"}, {}, "NO_BONUS_FUNDS"),
        ({"max_bet": 500}, {}, "OVER_MAX_BET"),
        ({"max_bet": 500, "over_max_bet": "cap"}, {}, "CAPPED_AT_MAX_BET"),
        ({"max_bet": 500, "over_max_bet": "flag"}, {}, "FLAGGED"),
        ({"max_bet": 1000}, {}, "COUNTED"),
        ({}, {"currency": "SEK"}, "CURRENCY_MISMATCH"),
        ({}, {"at": NOW - timedelta(days=1)}, "BEFORE_GRANT"),
        ({}, {"at": NOW + timedelta(days=7)}, "AFTER_EXPIRY"),
        ({}, {"amount": 0}, "NO_STAKE"),
    ],
)
def test_verdict(terms: dict[str, object], bet: dict[str, object], verdict: str | None) -> None:
    play = Play(grant(**terms), contribution=table(("game", "excluded-game", "excluded")))  # type: ignore[arg-type]
    outcome = play.bet(**{"amount": 1000, **bet})  # type: ignore[arg-type]
    assert [count.verdict for count in outcome.counts] == ([verdict] if verdict else [])
    counted = {"COUNTED": 10, "CAPPED_AT_MAX_BET": 5, "FLAGGED": 10}.get(verdict or "", 0)
    assert play.grant().wagered == counted
    assert [flag.kind for flag in outcome.flags] == (["OVER_MAX_BET"] if verdict == "FLAGGED" else [])


def test_other_product__not_this_bonus() -> None:
    assert Play(grant()).bet(1000, product="sports").counts == []


# the end and after it


@pytest.mark.parametrize(
    ("after", "house"),
    [(Status.EXPIRED, "expiry"), (Status.FORFEITED, "forfeit"), (Status.VOIDED, "forfeit"), (Status.REVERSED, "forfeit")],
)
def test_win_after_the_end__follows_the_end(after: Status, house: str) -> None:
    play = Play(grant(bonus=1000))
    play.bet(400, name="b", cash_before=0, ends_round=False)
    end = engine.close(play.wallet, 1, after, "for a reason", at=NOW)
    assert houses(end.postings) == [(house, -600)]
    outcome = play.win(500, of="b")
    assert houses(outcome.postings) == [("win", 500), (house, -500)]
    assert [count.verdict for count in outcome.counts] == ["GRANT_CLOSED"]
    assert (play.grant().money, play.grant().wagered, play.grant().open_bets) == (0, 0, 0)


def test_win_after_completion__paid_out_within_the_cap() -> None:
    play = Play(grant(bonus=1000, required="10", cash_out_cap=Decimal("1.2")))
    play.bet(600, name="open", cash_before=0, ends_round=False)
    play.bet(1000, cash_before=100_000)  # completes: 400 released of at most 1,200
    assert (play.grant().status, play.grant().released) == (Status.COMPLETED, 400)
    outcome = play.win(2000, of="open")
    assert houses(outcome.postings) == [("win", 2000), ("payout", -800), ("breakage", -1200)]
    assert (play.grant().released, play.grant().kept) == (1200, 1200)


def test_rollback_of_a_win_that_is_gone__debt_and_the_next_win_pays_it() -> None:
    play = Play(grant(bonus=1000))
    play.bet(1000, name="a", cash_before=0, ends_round=False)
    play.win(900, of="a", name="won")
    play.bet(900, name="b", cash_before=0, ends_round=False)
    outcome = play.rollback("won")
    assert houses(outcome.postings) == [("debt", 900), ("win", -900)]
    assert [flag.kind for flag in outcome.flags] == ["BONUS_DEBT"]
    assert play.wallet.owed == {"EUR": 900}
    outcome = play.win(1500, of="b")
    assert houses(outcome.postings) == [("win", 1500), ("debt", -900)]
    assert (play.grant().balance, play.wallet.owed) == (600, {"EUR": 0})


def test_completion__player_under_protection__queue_waits() -> None:
    play = Play(grant(1, required="10"), queued(2), may_start=False)
    play.bet(1000)
    assert (play.grant(1).status, play.grant(2).status) == (Status.COMPLETED, Status.QUEUED)


def test_queue__order_then_earlier_end__bonus_without_wagering_is_released_and_the_next_begins() -> None:
    play = Play(
        grant(1, required="10"),
        queued(2, multiple=Decimal(3)),
        queued(3, queue_order=-1),  # nothing to wager
        queued(4, multiple=Decimal(3), expires_at=NOW + timedelta(days=2)),
    )
    outcome = play.bet(1000)
    assert [(one.grant_id, one.after) for one in outcome.transitions] == [
        (1, Status.WAGERING),
        (1, Status.COMPLETED),
        (3, Status.ACTIVE),
        (3, Status.COMPLETED),
        (4, Status.ACTIVE),
    ]
    assert [payout.grant_id for payout in outcome.payouts] == [1, 3]


# free spins


def spins(**terms: object) -> Play:
    made = grant(bonus=0, required="0", kind="free_spins", spins=2, base="spin_winnings", multiple=Decimal(10), **terms)  # type: ignore[arg-type]
    return Play(made)


def test_free_spins__winnings_become_the_bonus_and_set_the_requirement() -> None:
    play = spins()
    play.bet(0, name="s1", is_free_round=True, ends_round=False)
    play.win(300, of="s1")
    assert (play.grant().spins_left, play.grant().principal, play.grant().required) == (1, 300, 30)
    play.bet(0, name="s2", is_free_round=True, ends_round=False)
    play.win(200, of="s2", name="second")
    assert (play.grant().spins_left, play.grant().principal, play.grant().required, play.grant().balance) == (0, 500, 50, 500)
    play.rollback("second")
    assert (play.grant().principal, play.grant().required, play.grant().balance) == (300, 30, 300)
    play.bet(300, cash_before=0, ends_round=False, name="b")
    play.win(4000, of="b")
    play.bet(2700, cash_before=0, ends_round=False, name="c")
    assert play.end("c").payouts[0].amount == 1300


@pytest.mark.parametrize("status", [Status.ACTIVE, Status.PAUSED])
def test_free_round__of_the_platforms_own__wins_cash_also_while_a_bonus_is_paused(status: Status) -> None:
    play = Play(grant(status=status))
    play.bet(0, name="own", is_free_round=True, ends_round=False)
    outcome = play.win(700, of="own")
    assert (outcome.cash_change, outcome.postings, play.grant().balance) == (700, [], 10_000)


@pytest.mark.parametrize(("game", "split", "grant_id"), [("Book", Parts(0, 700, 0), 1), ("Other", Parts(700, 0, 0), None)])
def test_quote__of_a_free_round__divides_the_win_as_apply_does(game: str, split: Parts, grant_id: int | None) -> None:
    play = spins(spin_game="book")
    bet = Activity("platform", "q", Kind.BET, 7, "EUR", "q", NOW, NOW, amount=0, is_free_round=True, game_code=game, house_edge=None)
    quoted = engine.quote(play.wallet, bet, play.tables, win=700)
    assert (quoted.win, quoted.grant_id) == (split, grant_id)
    play.bet(0, name="spin", is_free_round=True, ends_round=False, game_code=game)
    recorded = play.win(700, of="spin").recorded
    assert recorded is not None
    assert (recorded.real_part, recorded.bonus_part, recorded.locked_part) == (split.real, split.bonus, split.locked)


def test_free_spins__nothing_won__lost_after_the_last_round() -> None:
    play = spins()
    for name in ("s1", "s2"):
        play.bet(0, name=name, is_free_round=True, ends_round=False)
    play.end("s1")
    assert play.grant().status == Status.ACTIVE
    play.end("s2")
    assert play.grant().status == Status.LOST


def test_free_spins__nothing_to_wager__released_after_the_last_round() -> None:
    play = Play(grant(bonus=0, required="0", kind="free_spins", spins=1, base="spin_winnings", spin_game="Sun"))
    assert play.bet(0, is_free_round=True, game_code="moon").recorded.grant_id is None  # type: ignore[union-attr]
    play.bet(0, name="s", is_free_round=True, game_code="sun", ends_round=False)
    outcome = play.win(700, of="s")
    assert (play.grant().status, outcome.payouts[0].amount) == (Status.COMPLETED, 700)


# quotes


def test_quote__says_what_apply_does_and_changes_nothing() -> None:
    play = Play(grant(bonus=2000, contribution_table=1), contribution=table(("default", "", "0.5")))
    before = replace(play.grant())
    bet = Activity("platform", "b", Kind.BET, 7, "EUR", "b", NOW, NOW, amount=1000, cash_before=600)
    quoted = engine.quote(play.wallet, bet, play.tables, win=2500)
    assert (quoted.stake, quoted.win) == (Parts(600, 400, 0), Parts(1500, 1000, 0))
    assert (quoted.verdict, quoted.would_count) == ("COUNTED", 5)
    assert (play.grant(), play.wallet.known) == (before, {})
