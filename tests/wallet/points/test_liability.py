"""Liability by cohort with breakage, and the roll-forward that closes; reckoned by hand, and held against accounts and lots."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from players.models import Player
from tests.factories import NOW, PlayerFactory
from tests.wallet.factories import balance_of, bonus, points, staff
from wallet import services
from wallet.models import Account, Entry, House, Lot, PointsPolicy
from wallet.points import policies
from wallet.points.liability import LiabilityReport, breakage_of, liability_report
from wallet.points.roll_forward import LINES, line_of, roll_forward
from wallet.services import InsufficientFunds, InvalidPosting, Source, WalletError

pytestmark = pytest.mark.django_db
EVERYBODY = {"lower_id": 0, "upper_id": 2**62}


def day(month: int, number: int, year: int = 2026) -> datetime:
    return datetime(year, month, number, 12, tzinfo=UTC)


def policy(unit: str = "RP", **fields: Any) -> None:
    row = PointsPolicy.objects.get(unit=unit)
    for name, value in fields.items():
        setattr(row, name, value)
    row.save()
    policies.forget()


@pytest.fixture(autouse=True)
def _policies_are_read_again() -> Any:
    policies.forget()
    yield
    policies.forget()


def spend(player: Player, amount: str, at: datetime, ref: str = "s") -> Entry:
    return services.spend(
        player_id=player.pk, unit="RP", currency="", amount=Decimal(amount), source=Source(ref, f"{at}"), at=at, reason="t"
    )


def cohorts(report: LiabilityReport) -> dict[date, tuple[Decimal, ...]]:
    return {one.month: (one.earned, one.other, one.spent, one.expired, one.reversed, one.remaining) for one in report.cohorts}


def amounts(*values: str) -> tuple[Decimal, ...]:
    return tuple(Decimal(value) for value in values)


# liability


def test_report__without_points__is_empty() -> None:
    report = liability_report(NOW, "RP")
    assert (report.cohorts, report.remaining, report.liability, report.is_balanced) == ((), Decimal(0), Decimal(0), True)


def test_report__two_cohorts__remaining_times_cost_less_the_prior_breakage() -> None:
    policy(cost_per_point=Decimal("0.01"), breakage=Decimal("0.2"))
    player = PlayerFactory()
    points(player.pk, "1000", unit="RP", at=day(1, 10))
    points(player.pk, "500", unit="RP", at=day(2, 10))
    spend(player, "300", day(2, 20))
    report = liability_report(day(3, 1), "RP")
    assert cohorts(report) == {
        date(2026, 1, 1): amounts("1000", "0", "-300", "0", "0", "700"),
        date(2026, 2, 1): amounts("500", "0", "0", "0", "0", "500"),
    }
    assert [(one.breakage, one.source, one.liability) for one in report.cohorts] == [
        (Decimal("0.2"), "prior", Decimal("5.60")),  # 700 x 0.01 x 0.8
        (Decimal("0.2"), "prior", Decimal("4.00")),
    ]
    assert (report.remaining, report.face_value, report.liability, report.currency) == (
        Decimal(1200),
        Decimal("12.00"),
        Decimal("9.60"),
        "EUR",
    )


def test_report__cohort_that_has_matured__speaks_for_itself() -> None:
    """January: 600 ended, of which 150 ran out; 400 go on. 600 of 1,000 have matured, so a quarter is expected to be lost."""
    policy(cost_per_point=Decimal("0.01"), breakage=Decimal("0.9"))
    player = PlayerFactory()
    points(player.pk, "600", unit="RP", at=day(1, 5))
    points(player.pk, "400", unit="RP", at=day(1, 6))
    first, second = Lot.objects.order_by("pk")
    Lot.objects.filter(pk=first.pk).update(expires_at=day(2, 1))
    spend(player, "450", day(1, 20))
    services.expire_lots(at=day(2, 2), **EVERYBODY)
    (cohort,) = liability_report(day(2, 3), "RP").cohorts
    assert (cohort.matured, cohort.breakage, cohort.source) == (Decimal("0.6"), Decimal("0.25"), "own")
    assert (cohort.remaining, cohort.liability) == (Decimal(400), Decimal("3.00"))
    assert (cohort.earned, cohort.spent, cohort.expired) == amounts("1000", "-450", "-150")


@pytest.mark.parametrize(
    ("credited", "matured", "expired", "expected"),
    [
        (1000, 499, 499, (Decimal("0.1"), "prior")),
        (1000, 500, 500, (Decimal(1), "own")),
        (1000, 500, 0, (Decimal(0), "own")),
        (1000, 600, 200, (Decimal("0.333333"), "own")),
        (0, 0, 0, (Decimal("0.1"), "prior")),
        (1000, 1000, -5, (Decimal(0), "own")),
    ],
)
def test_breakage__own_share_from_half_matured(credited: int, matured: int, expired: int, expected: tuple[Decimal, str]) -> None:
    assert breakage_of(credited, matured, expired, Decimal("0.1")) == expected


def test_report__buckets__by_when_points_end() -> None:
    policy(cost_per_point=Decimal("1"))
    player = PlayerFactory()
    ends = {"10": 0, "20": 30, "30": 31, "40": 60, "50": 90, "60": 91, "70": None}
    for amount, days in ends.items():
        entry = points(player.pk, amount, unit="RP", at=day(1, 1))
        Lot.objects.filter(entry=entry).update(expires_at=None if days is None else NOW + timedelta(days=days))
    report = liability_report(NOW, "RP")
    assert {bucket.code: bucket.remaining for bucket in report.buckets} == {
        "ended": Decimal(10),
        "30": Decimal(20),
        "60": Decimal(70),
        "90": Decimal(50),
        "later": Decimal(60),
        "never": Decimal(70),
    }
    assert sum(bucket.liability for bucket in report.buckets) == report.face_value == Decimal("280.00")


def test_report__of_a_past_instant__is_the_same_whatever_came_since() -> None:
    policy(cost_per_point=Decimal("0.02"))
    player = PlayerFactory()
    points(player.pk, "100", unit="RP", at=day(1, 1))
    taken = spend(player, "40", day(1, 10))
    points(player.pk, "25", unit="RP", at=day(2, 1))
    then = {at: liability_report(at, "RP") for at in (day(1, 5), day(1, 10), day(2, 5))}
    services.reverse_entry(taken.pk, source=Source("t", "back"), at=day(3, 1), reason="t", actor=None)
    spend(player, "100", day(3, 2))
    points(player.pk, "7", unit="RP", at=day(3, 3))
    assert {at: liability_report(at, "RP") for at in then} == then
    assert [report.remaining for report in then.values()] == [Decimal(100), Decimal(60), Decimal(85)]


def test_report__cost_and_prior__are_those_of_the_instant() -> None:
    player = PlayerFactory()
    points(player.pk, "100", unit="RP", at=day(1, 1))
    policy(cost_per_point=Decimal("0.01"))
    PointsPolicy.history.filter(unit="RP").update(history_date=day(1, 1))
    policy(cost_per_point=Decimal("0.05"))
    PointsPolicy.history.filter(unit="RP", cost_per_point=Decimal("0.05")).update(history_date=day(2, 1))
    assert [liability_report(at, "RP").liability for at in (day(1, 31), day(2, 1))] == [Decimal("1.00"), Decimal("5.00")]


def test_report__reversal_debt_and_its_payment__leave_the_cohorts_tied() -> None:
    player = PlayerFactory()
    first = points(player.pk, "50", unit="RP", at=day(1, 1))
    spend(player, "20", day(1, 2))
    services.reverse_entry(first.pk, source=Source("t", "back"), at=day(1, 3), reason="t", actor=None)
    points(player.pk, "60", unit="RP", at=day(2, 1))
    report = liability_report(day(2, 2), "RP")
    assert cohorts(report) == {
        date(2026, 1, 1): amounts("50", "20", "-20", "0", "-50", "0"),
        date(2026, 2, 1): amounts("60", "-20", "0", "0", "0", "40"),
    }
    assert report.is_balanced


def test_report__bonus_money__by_currency_at_face_value() -> None:
    one, other = PlayerFactory(), PlayerFactory(currency="USD")
    bonus(one.pk, "12.50")
    bonus(other.pk, "3.00", currency="USD")
    assert [(held.currency, held.holders, held.amount) for held in liability_report(NOW, "RP").money] == [
        ("EUR", 1, Decimal("12.50")),
        ("USD", 1, Decimal("3.00")),
    ]
    assert liability_report(NOW - timedelta(days=1), "RP").money == ()


def test_reports__of_money_or_an_empty_time__are_refused() -> None:
    with pytest.raises(InvalidPosting, match="unit 'BONUS' has no points"):
        liability_report(NOW, "BONUS")
    with pytest.raises(InvalidPosting, match="unit 'EUR' has no points"):
        roll_forward("EUR", day(1, 1), day(2, 1))
    with pytest.raises(InvalidPosting, match="until must lie after since"):
        roll_forward("RP", day(1, 1), day(1, 1))


# roll-forward


def test_roll_forward__a_month__every_cause_on_its_line() -> None:
    maker = staff("adjust_wallet")
    staff("approve_adjustment")
    player = PlayerFactory()
    points(player.pk, "1000", unit="RP", at=day(1, 10))
    taken_back = points(player.pk, "200", unit="RP", at=day(2, 2))
    points(player.pk, "300", unit="RP", at=day(2, 3))
    spend(player, "150", day(2, 4))
    cancelled = spend(player, "70", day(2, 5))
    services.reverse_entry(cancelled.pk, source=Source("t", "c"), at=day(2, 6), reason="t", actor=None)
    services.reverse_entry(taken_back.pk, source=Source("t", "r"), at=day(2, 7), reason="t", actor=None)
    services.request_adjustment(player_id=player.pk, unit="RP", amount=Decimal(5), reason="goodwill", maker=maker, at=day(2, 8))
    Lot.objects.filter(entry__amount=30_000).update(expires_at=day(2, 9))
    services.expire_lots(at=day(2, 10), **EVERYBODY)
    spend(player, "1", day(3, 1))  # not of the month
    report = roll_forward("RP", day(2, 1), day(3, 1))
    assert report.opening == Decimal(1000)
    assert {line.code: line.amount for line in report.lines if line.amount} == {
        "earned": Decimal(500),
        "reversed": Decimal(-200),
        "spent": Decimal(-220),
        "returned": Decimal(70),
        "expired": Decimal(-300),
        "adjusted": Decimal(5),
    }
    assert report.closing == Decimal(855) == report.opening + sum(line.amount for line in report.lines)
    assert report.closing == liability_report(day(3, 1) - timedelta(microseconds=1), "RP").remaining


def test_roll_forward__every_house_code__has_its_line() -> None:
    for house in House.values:
        for is_reversal in (False, True):
            for is_credit in (False, True):
                assert line_of(house, is_reversal, is_credit) in LINES


class Books(RuleBasedStateMachine):
    """Points come and go in every way; after each step both reports agree with the accounts and the lots, for all cuts in time."""

    def __init__(self) -> None:
        super().__init__()
        self.players = [PlayerFactory() for _ in range(2)]
        self.at = day(1, 1)
        self.number = 0
        self.entries: list[int] = []
        policy(expiry="days", period=40, cost_per_point=Decimal("0.013"), breakage=Decimal("0.1"), restore_days=5)

    def source(self) -> Source:
        self.number += 1
        self.at += timedelta(hours=7)
        return Source("machine", f"{id(self)}-{self.number}")

    @rule(who=st.integers(0, 1), minor=st.integers(1, 50_000), house=st.sampled_from(["rewards", "game", "opening"]))
    def earn(self, who: int, minor: int, house: str) -> None:
        made = services.add_points(
            player_id=self.players[who].pk, unit="RP", amount=Decimal(minor) / 100, source=self.source(), at=self.at, house=house
        )
        self.entries.append(made.pk)

    @rule(who=st.integers(0, 1), minor=st.integers(1, 50_000))
    def spend(self, who: int, minor: int) -> None:
        try:
            made = services.spend(
                player_id=self.players[who].pk,
                unit="RP",
                currency="",
                amount=Decimal(minor) / 100,
                source=self.source(),
                at=self.at,
                reason="t",
            )
            self.entries.append(made.pk)
        except InsufficientFunds:
            pass

    @precondition(lambda self: self.entries)
    @rule(pick=st.integers(0, 10**6))
    def take_back(self, pick: int) -> None:
        try:
            services.reverse_entry(self.entries[pick % len(self.entries)], source=self.source(), at=self.at, reason="t", actor=None)
        except WalletError:
            pass

    @rule(days=st.integers(1, 45))
    def time_passes(self, days: int) -> None:
        self.at += timedelta(days=days)
        services.expire_lots(at=self.at, **EVERYBODY)

    @rule(cut=st.floats(0.05, 0.95))
    def cut_anywhere(self, cut: float) -> None:
        middle = day(1, 1) + (self.at - day(1, 1)) * cut + timedelta(microseconds=1)
        end = self.at + timedelta(days=1)
        before, after = roll_forward("RP", day(1, 1, 2025), middle), roll_forward("RP", middle, end)
        whole = roll_forward("RP", day(1, 1, 2025), end)
        assert (before.opening, before.closing, after.closing) == (Decimal(0), after.opening, whole.closing)
        for index, line in enumerate(whole.lines):
            assert line.amount == before.lines[index].amount + after.lines[index].amount
        assert before.closing == liability_report(middle - timedelta(microseconds=1), "RP").remaining

    @invariant()
    def reports_agree_with_the_books(self) -> None:
        whole = roll_forward("RP", day(1, 1, 2025), self.at + timedelta(days=1))
        report = liability_report(self.at, "RP")
        held = sum((Decimal(balance_of(player.pk, "RP")) / 100 for player in self.players), Decimal(0))
        in_lots = sum(Lot.objects.filter(account__unit="RP").values_list("remaining", flat=True))
        assert whole.opening + sum(line.amount for line in whole.lines) == whole.closing == held == report.remaining
        assert Decimal(in_lots) / 100 == held
        assert report.is_balanced
        for one in report.cohorts:
            assert one.earned + one.other + one.spent + one.expired + one.reversed == one.remaining
            assert 0 <= one.breakage <= 1
            assert one.liability >= 0
        assert sum(one.remaining for one in report.buckets) == report.remaining
        owed = sum(Account.objects.filter(unit="RP").values_list("owed", flat=True))
        assert {line.code: line.amount for line in whole.lines}["debt"] == Decimal(owed) / 100

    def teardown(self) -> None:
        policies.forget()


def test_books__whatever_happens__both_reports_tie_to_accounts_and_lots() -> None:
    class Isolated(Books):
        def __init__(self) -> None:
            self.savepoint = transaction.savepoint()
            super().__init__()

        def teardown(self) -> None:
            transaction.savepoint_rollback(self.savepoint)
            super().teardown()

    run_state_machine_as_test(
        Isolated,
        settings=settings(
            max_examples=12, stateful_step_count=14, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
        ),
    )
