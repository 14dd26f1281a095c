"""What holds after every event, whatever the platform reports and in whatever order."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wallet.bonus.play import NOW, Play, grant, queued, table
from wallet.bonus import engine
from wallet.bonus.states import FINAL, WAITING
from wallet.bonus.values import Activity, Kind, Outcome

TERMS: dict[str, Any] = {
    "count_mode": st.sampled_from(["all_funds", "bonus_funds_only"]),
    "fund_order": st.sampled_from(["real_first", "bonus_first", "proportional"]),
    "winnings": st.sampled_from(["bonus", "locked"]),
    "sticky": st.booleans(),
    "cash_out_cap": st.sampled_from([None, Decimal("0.5"), Decimal(2)]),
    "max_bet": st.sampled_from([None, 300]),
    "over_max_bet": st.sampled_from(["ignore", "cap", "penalty", "penalty", "flag"]),
    "penalty_factor": st.sampled_from([Decimal(1), Decimal(10)]),
    "multiple": st.sampled_from([Decimal(0), Decimal("0.5"), Decimal(3)]),
    "contribution_table": st.sampled_from([None, 1]),
}

CASH = st.sampled_from([0, 0, 0, 250, 10_000, None])


@st.composite
def activities(draw: st.DrawFn) -> list[Activity]:
    """Reports about a few rounds. Mostly of things that happened; now and then out of order, repeated, or about nothing known."""
    made: list[Activity] = []
    for number in range(draw(st.integers(3, 18))):
        kind = draw(st.sampled_from([Kind.BET, Kind.BET, Kind.WIN, Kind.WIN, Kind.ROLLBACK, Kind.ROUND_END]))
        fields: dict[str, Any] = {"round_id": f"r{draw(st.integers(0, 2))}", "ends_round": draw(st.sampled_from([False, False, True]))}
        if kind == Kind.BET:
            fields |= {"amount": draw(st.sampled_from([300, 300, 600, 1000, 450, 0])), "cash_before": draw(CASH)}
            fields["game_category"] = draw(st.sampled_from(["slots", "slots", "roulette", "dice"]))
        elif kind == Kind.WIN:
            fields["amount"] = draw(st.sampled_from([600, 1000, 300, 0, 3001]))
        elif kind == Kind.ROLLBACK:
            known = [one.activity_id for one in made if one.kind in (Kind.BET, Kind.WIN)]
            fields |= {"takes_back_id": draw(st.sampled_from([*known, "unknown"])), "cash_before": draw(CASH)}
        # an id of the small set makes repeats likely
        fresh = f"{kind[0]}{number}"
        activity_id = draw(st.sampled_from([fresh] * 8 + [f"{kind[0]}1", "unknown"]))
        at = NOW + timedelta(minutes=number)
        made.append(Activity("platform", activity_id, kind, 7, "EUR", occurred_at=at, received_at=at, **fields))
    return made


class Books:
    """Sums kept beside the engine, from its postings alone."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.money = {one.grant_id: one.money for one in play.wallet.grants.values()}
        self.owed = 0
        self.released: dict[int, int] = {}
        self.penalties = {one.grant_id: Decimal(0) for one in play.wallet.grants.values()}
        self.counted = {one.grant_id: Decimal(0) for one in play.wallet.grants.values()}

    def post(self, outcome: Outcome) -> None:
        for posting in outcome.postings:
            if posting.unit == "BONUS":
                assert sum(movement.amount for movement in posting.movements) == posting.amount != 0
                for movement in posting.movements:
                    self.money[movement.grant_id] += movement.amount
                self.owed += posting.amount if posting.house == "debt" else 0
        for payout in outcome.payouts:
            self.released[payout.grant_id] = self.released.get(payout.grant_id, 0) + payout.amount
        for count in outcome.counts:
            assert count.after == count.before + count.counted
            self.counted[count.grant_id] += count.counted
            self.penalties[count.grant_id] += count.penalty

    def check(self) -> None:
        wallet = self.play.wallet
        assert self.owed == wallet.owed.get("EUR", 0) >= 0
        for one in wallet.grants.values():
            assert self.money[one.grant_id] == one.money
            assert one.balance >= 0
            assert one.locked >= 0
            assert 0 <= one.wagered <= one.required
            assert self.counted[one.grant_id] == one.wagered
            assert self.penalties[one.grant_id] == one.penalties
            assert one.released == self.released.get(one.grant_id, 0)
            if one.terms.cash_out_cap is not None:
                assert one.released <= one.terms.cash_out_cap * one.principal
            if one.status in FINAL or one.status in WAITING:
                assert one.money == 0
            bound = [bet for bet in wallet.known.values() if bet.activity.kind == Kind.BET and bet.grant_id == one.grant_id]
            assert one.open_bets == sum(bet.counted is None for bet in bound)


@given(st.fixed_dictionaries(TERMS), activities())
@settings(max_examples=1000)
def test_any_reports__books_close_after_each(terms: dict[str, Any], reports: list[Activity]) -> None:
    play = Play(
        grant(1, bonus=300, required="12", **terms),
        queued(2, bonus=500, **terms),
        contribution=table(("category", "roulette", "0.1"), ("category", "dice", "excluded")),
    )
    books = Books(play)
    for report in reports:
        try:
            outcome = engine.apply(play.wallet, report, play.tables)
        except (engine.Conflict, engine.InvalidActivity, engine.StakeNotCovered):
            books.check()  # a refusal has changed nothing
            continue
        books.post(outcome)
        books.check()
        assert engine.apply(play.wallet, report, play.tables).repeated
        books.check()
