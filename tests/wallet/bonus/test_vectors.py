"""The worked vectors of the specification, section 1, on the pure engine."""

from decimal import Decimal

import pytest

from tests.wallet.bonus.play import Play, grant, queued, table
from wallet.bonus import counting, engine
from wallet.bonus.states import Status
from wallet.bonus.values import Kind


def test_vector_1__twenty_bets_of_ten__progress_200_left_800() -> None:
    play = Play(grant(required="1000"))
    for _ in range(20):
        play.bet(1000, cash_before=10_000_000)
    assert play.grant().wagered == 200
    assert play.grant().required - play.grant().wagered == 800


@pytest.mark.parametrize(
    ("line", "stake", "counted"),
    [(("category", "roulette", "0.10"), 5000, "5"), (("category", "blackjack", "0.05"), 100, "0.05")],
    ids=["vector 2", "vector 3"],
)
def test_vectors_2_and_3__weight_by_category(line: tuple[str, str, str], stake: int, counted: str) -> None:
    play = Play(grant(contribution_table=1), contribution=table(line))
    outcome = play.bet(stake, game_category=line[1])
    assert outcome.counts[0].counted == Decimal(counted)
    assert outcome.counts[0].weight == Decimal(line[2])
    assert outcome.counts[0].rule == f"category {line[1]}: weight {Decimal(line[2]).normalize():f}"


def test_vector_4__deposit_50_bonus_25_30_times_the_bonus__750() -> None:
    assert counting.requirement(grant(bonus=2500, deposit=5000, multiple=Decimal(30), base="bonus")) == 750


def test_vector_5__100_and_100_40_times_both__8000() -> None:
    assert counting.requirement(grant(bonus=10_000, deposit=10_000, multiple=Decimal(40), base="bonus_deposit")) == 8000


def test_vector_6__penalty__requirement_4900() -> None:
    play = Play(grant(required="4000", max_bet=1000, over_max_bet="penalty", penalty_factor=Decimal(10)))
    play.bet(2500, name="big", ends_round=False)
    outcome = play.win(15_000, of="big")
    assert play.grant().required == 4900
    assert play.grant().penalties == 900
    assert (outcome.counts[0].verdict, outcome.counts[0].penalty) == ("PENALTY", 900)


@pytest.mark.parametrize(("mode", "counted"), [("bonus_funds_only", "0.4"), ("all_funds", "1")])
def test_vectors_7_and_8__split_bet_and_its_rollback(mode: str, counted: str) -> None:
    play = Play(grant(bonus=2000, count_mode=mode, contribution_table=1), contribution=table(("default", "", "0.1")))
    bet = play.bet(1000, name="b", cash_before=600, ends_round=False)
    assert (bet.recorded.real_part, bet.recorded.bonus_part, bet.cash_change) == (600, 400, -600)  # type: ignore[union-attr]
    win = play.win(2500, of="b", name="w")
    assert (win.recorded.real_part, win.recorded.bonus_part, win.cash_change) == (1500, 1000, 1500)  # type: ignore[union-attr]
    assert (play.grant().balance, play.grant().wagered) == (2600, Decimal(counted))

    back = play.rollback("b", takes_back_kind="BET")
    again = play.rollback("w", takes_back_kind="WIN", cash_before=600)
    assert back.cash_change + again.cash_change == 600 - 1500
    assert (play.grant().balance, play.grant().wagered) == (2600 + 400 - 1000, 0)
    # 600 of cash cannot cover 1,500: the player owes 900
    debt = next(posting for posting in again.postings if posting.unit == "OWED")
    assert debt.amount == 900
    assert [flag.kind for flag in again.flags] == ["CASH_DEBT"]


def test_vector_9__sticky_100_with_300__pays_200() -> None:
    play = Play(grant(bonus=10_000, balance=30_000, required="10", sticky=True))
    outcome = play.bet(1000)
    assert play.grant().status == Status.COMPLETED
    assert [payout.amount for payout in outcome.payouts] == [20_000]
    assert {posting.house: posting.amount for posting in outcome.postings} == {"payout": -20_000, "breakage": -10_000}


def test_vector_10__cap_10_balance_1350__release_1000_breakage_350() -> None:
    play = Play(grant(bonus=10_000, balance=135_000, required="10", cash_out_cap=Decimal(10)))
    outcome = play.bet(1000)
    assert [payout.amount for payout in outcome.payouts] == [100_000]
    assert {posting.house: posting.amount for posting in outcome.postings} == {"payout": -100_000, "breakage": -35_000}
    assert (play.grant().released, play.grant().kept, play.grant().money) == (100_000, 35_000, 0)


def test_vector_11__four_cents_left__lost_only_when_no_round_is_open() -> None:
    play = Play(grant(bonus=104, min_bet=10))
    play.bet(100, name="open", cash_before=0, ends_round=False)
    assert (play.grant().status, play.grant().money) == (Status.ACTIVE, 4)
    outcome = play.end("open")
    assert play.grant().status == Status.LOST
    assert outcome.postings[-1].house == "breakage"
    assert outcome.postings[-1].amount == -4


def test_vector_14__a_second_grant_waits_for_the_end_of_the_first() -> None:
    play = Play(grant(1, required="10"), queued(2, multiple=Decimal(5), wagering_seconds=3600))
    outcome = play.bet(1000)
    assert [(one.grant_id, one.before, one.after) for one in outcome.transitions] == [
        (1, Status.ACTIVE, Status.WAGERING),
        (1, Status.WAGERING, Status.COMPLETED),
        (2, Status.QUEUED, Status.ACTIVE),
    ]
    assert (play.grant(2).balance, play.grant(2).required) == (10_000, 500)
    assert (play.grant(2).expires_at - play.grant(2).activated_at).total_seconds() == 3600  # type: ignore[operator]


def test_vector_15__same_activity_twice__one_effect() -> None:
    play = Play(grant())
    first = play.bet(1000, name="same")
    again = play.bet(1000, name="same")
    assert again.repeated
    assert again.recorded is first.recorded
    assert [again.postings, again.counts, again.transitions] == [[], [], []]
    assert play.grant().wagered == 10
    with pytest.raises(engine.Conflict, match="amount 1000, now 2000"):
        play.send(Kind.BET, "same", amount=2000, ends_round=True)
