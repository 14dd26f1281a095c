"""Lots by themselves: ends to the day, the order of spending, where reversals go. No database."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wallet.lots import (
    Held,
    NotCovered,
    Part,
    Policy,
    end_of_day,
    expires_at,
    grace_until,
    last_day,
    local_day,
    pending_until,
    restore_plan,
    spend_order,
    spend_plan,
    take_back_plan,
)

NOON = datetime(2026, 1, 10, 12, tzinfo=UTC)
JAN_31 = datetime(2026, 2, 1, tzinfo=UTC)
FEB_28 = datetime(2026, 3, 1, tzinfo=UTC)
ZONES = ["UTC", "Europe/Malta", "America/Havana", "Asia/Beirut", "Atlantic/Azores", "Pacific/Apia", "Australia/Lord_Howe", "Asia/Kathmandu"]


def held(number: int, remaining: int, end: datetime | None = None, earned: datetime = NOON, *, taken_back: bool = False) -> Held:
    return Held(number, remaining, earned, end, taken_back)


@pytest.mark.parametrize(
    ("policy", "day", "last"),
    [
        (Policy(), date(2026, 1, 10), None),
        (Policy("days", 30), date(2026, 1, 10), date(2026, 2, 9)),
        (Policy("days", 1), date(2028, 2, 28), date(2028, 2, 29)),
        (Policy("months", 1), date(2026, 1, 31), date(2026, 2, 28)),
        (Policy("months", 1), date(2028, 1, 31), date(2028, 2, 29)),
        (Policy("months", 12), date(2026, 1, 10), date(2027, 1, 10)),
        (Policy("months", 11), date(2026, 1, 31), date(2026, 12, 31)),
        (Policy("month_end", 0), date(2026, 2, 1), date(2026, 2, 28)),
        (Policy("month_end", 2), date(2026, 11, 30), date(2027, 1, 31)),
        (Policy("quarter_end", 0), date(2026, 1, 1), date(2026, 3, 31)),
        (Policy("quarter_end", 0), date(2026, 6, 30), date(2026, 6, 30)),
        (Policy("quarter_end", 1), date(2026, 11, 5), date(2027, 3, 31)),
        (Policy("year_end", 0), date(2026, 12, 31), date(2026, 12, 31)),
        (Policy("year_end", 1), date(2026, 1, 1), date(2027, 12, 31)),
        (Policy("fixed_date", 0, date(2026, 6, 30)), date(2026, 6, 30), date(2026, 6, 30)),
        (Policy("fixed_date", 0, date(2026, 6, 30)), date(2026, 7, 1), None),
        (Policy("inactivity", 90), date(2026, 1, 10), date(2026, 4, 10)),
    ],
)
def test_last_day__each_policy__to_the_day(policy: Policy, day: date, last: date | None) -> None:
    assert last_day(policy, day) == last


def test_expires_at__end_of_day_in_the_zone__is_the_first_instant_after_it() -> None:
    # 23:30 UTC on 10 January is 00:30 on the 11th in Malta
    late = datetime(2026, 1, 10, 23, 30, tzinfo=UTC)
    assert expires_at(Policy("days", 1, zone="Europe/Malta"), late) == datetime(2026, 1, 12, 23, 0, tzinfo=UTC)
    assert expires_at(Policy("days", 1, zone="UTC"), late) == datetime(2026, 1, 12, tzinfo=UTC)
    # the day on which clocks go forward has 23 hours
    assert end_of_day(date(2026, 3, 29), "Europe/Malta") == datetime(2026, 3, 29, 22, tzinfo=UTC)
    # a midnight that is skipped: the day begins at one o'clock
    assert end_of_day(date(2023, 3, 11), "America/Havana") == datetime(2023, 3, 12, 5, tzinfo=UTC)
    # a midnight that comes twice: the day has begun with the first
    assert end_of_day(date(2023, 11, 4), "America/Havana") == datetime(2023, 11, 5, 4, tzinfo=UTC)


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)), st.sampled_from(ZONES))
def test_end_of_day__any_day_and_zone__is_the_first_instant_of_a_later_day(day: date, zone: str) -> None:
    end = end_of_day(day, zone)
    if (day, zone) == (date(2011, 12, 29), "Pacific/Apia"):
        return  # Samoa left out 30 December 2011
    assert local_day(end, zone) > day
    assert local_day(end - timedelta(microseconds=1), zone) <= day
    assert end.astimezone(ZoneInfo(zone)).date() - day <= timedelta(days=2)


@given(
    st.sampled_from(["days", "months", "month_end", "quarter_end", "year_end", "inactivity"]),
    st.integers(1, 60),
    st.integers(946_684_800, 2_840_140_800).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    st.integers(0, 10**7),
    st.sampled_from(ZONES),
)
def test_expires_at__any_policy__ends_later_and_never_before_an_earlier_credit(
    expiry: str, period: int, at: datetime, later: int, zone: str
) -> None:
    policy = Policy(expiry, period, zone=zone)
    first, second = expires_at(policy, at), expires_at(policy, at + timedelta(seconds=later))
    assert first is not None
    assert second is not None
    assert at < first <= second


def test_pending_until__hours_of_the_policy__or_at_once() -> None:
    assert pending_until(Policy(pending_hours=36), NOON) == datetime(2026, 1, 12, 0, tzinfo=UTC)
    assert pending_until(Policy(), NOON) is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"expiry": "weekly"}, "expiry 'weekly' is unknown"),
        ({"expiry": "days", "period": 0}, "period must be at least 1"),
        ({"expiry": "days", "period": 36_501}, "period must lie between 0 and 36500"),
        ({"expiry": "fixed_date"}, "fixed_date must be given"),
        ({"zone": "Europe/Atlantis"}, "zone 'Europe/Atlantis' is unknown"),
        ({"restore": "maybe"}, "restore 'maybe' is unknown"),
    ],
)
def test_policy__nonsense__names_the_field(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Policy(**fields)


def test_spend_plan__vector__a_first_then_b() -> None:
    lots = [held(2, 50, FEB_28), held(1, 100, JAN_31)]
    assert spend_plan(lots, 120) == [Part(1, 100), Part(2, 20)]


def test_spend_order__end_then_earned_then_number__never_last() -> None:
    earlier = NOON - timedelta(days=1)
    lots = [held(1, 1), held(2, 1, earned=earlier), held(3, 1, FEB_28), held(5, 1, JAN_31), held(4, 1, JAN_31), held(6, 1, JAN_31, earlier)]
    assert [lot.lot_id for lot in sorted(lots, key=spend_order)] == [6, 4, 5, 3, 2, 1]


amounts = st.integers(0, 500)
ends = st.one_of(st.none(), st.integers(0, 5).map(lambda days: JAN_31 + timedelta(days=days)))
lots_strategy = st.lists(st.tuples(amounts, ends, st.integers(0, 3)), max_size=8).map(
    lambda rows: [held(n + 1, left, end, NOON + timedelta(days=days)) for n, (left, end, days) in enumerate(rows)]
)


@given(lots_strategy, st.integers(1, 2000))
def test_spend_plan__any_lots__takes_exactly_the_amount_in_order_or_nothing(lots: list[Held], amount: int) -> None:
    if sum(lot.remaining for lot in lots) < amount:
        with pytest.raises(NotCovered):
            spend_plan(lots, amount)
        return
    parts = spend_plan(lots, amount)
    left = {lot.lot_id: lot for lot in lots}
    assert sum(part.amount for part in parts) == amount
    assert all(0 < part.amount <= left[part.lot_id].remaining for part in parts)
    taken = {part.lot_id: part.amount for part in parts}
    touched = max(spend_order(left[number]) for number in taken)
    assert all(taken.get(lot.lot_id, 0) == lot.remaining for lot in lots if spend_order(lot) < touched)  # nothing is passed over


def test_restore_plan__vector__refund_on_5_february_with_14_days_of_grace() -> None:
    at = datetime(2026, 2, 5, 15, tzinfo=UTC)
    plan = restore_plan([(held(1, 0, JAN_31), 100), (held(2, 30, FEB_28), 20)], Policy(restore="grace", restore_days=14), at)
    assert plan.back == (Part(2, 20),)
    assert (plan.grace, plan.grace_until, plan.grace_of) == (100, datetime(2026, 2, 20, tzinfo=UTC), (1,))  # usable on all of the 19th
    assert plan.lost == ()


def test_restore_plan__no_restore__what_ended_is_lost() -> None:
    plan = restore_plan([(held(1, 0, JAN_31), 100), (held(2, 30, FEB_28), 20)], Policy(restore="none"), JAN_31)
    assert (plan.back, plan.lost, plan.grace) == ((Part(2, 20),), (Part(1, 100),), 0)


def test_restore_plan__lot_whose_credit_was_taken_back__pays_the_debt_first() -> None:
    taken = [(held(1, 0, None, taken_back=True), 30), (held(2, 0, JAN_31, taken_back=True), 5), (held(3, 0, FEB_28), 7)]
    plan = restore_plan(taken, Policy(), JAN_31)
    assert plan.pays == ((1, 30), (None, 5))


@given(lots_strategy, st.data())
def test_restore_plan__any_spend__every_unit_goes_somewhere_once(lots: list[Held], data: st.DataObject) -> None:
    taken = [(lot, data.draw(st.integers(1, 100))) for lot in lots]
    at = JAN_31 + timedelta(days=data.draw(st.integers(-1, 6)))
    policy = Policy(restore=data.draw(st.sampled_from(["grace", "none"])), restore_days=data.draw(st.integers(0, 30)))
    plan = restore_plan(taken, policy, at)
    placed = sum(part.amount for part in (*plan.back, *plan.lost)) + plan.grace
    assert placed == sum(amount for _, amount in taken)
    assert {part.lot_id for part in plan.back} == {lot.lot_id for lot, _ in taken if not lot.ended(at)}
    assert plan.grace == 0 or plan.grace_until == grace_until(policy, at)


def test_take_back_plan__vector__b_has_30_of_50__debt_20() -> None:
    plan = take_back_plan(held(2, 30, FEB_28), [], amount=50)
    assert (plan.own, plan.others, plan.unexpired, plan.debt) == (50, (), 0, 20)


def test_take_back_plan__later_lots_before_a_debt__earlier_ones_are_left() -> None:
    others = [held(1, 40, JAN_31), held(3, 15, None), held(4, 3, FEB_28, NOON + timedelta(days=1))]
    plan = take_back_plan(held(2, 30, FEB_28), others, amount=50)
    assert plan.others == (Part(4, 3), Part(3, 15))
    assert (plan.own, plan.debt) == (32, 2)


def test_take_back_plan__what_ran_out__is_not_owed() -> None:
    plan = take_back_plan(held(1, 0, JAN_31), [held(2, 100, FEB_28)], amount=50, expired=40)
    assert (plan.own, plan.others, plan.unexpired, plan.debt) == (40, (Part(2, 10),), 40, 0)


@given(lots_strategy, st.integers(1, 500), st.integers(0, 500), st.integers(0, 500))
def test_take_back_plan__any_state__adds_up(lots: list[Held], amount: int, left: int, expired: int) -> None:
    own = held(100, min(left, amount), JAN_31)
    plan = take_back_plan(own, lots, amount=amount, expired=min(expired, amount - own.remaining))
    assert plan.own + sum(part.amount for part in plan.others) == amount
    assert plan.own == own.remaining + plan.unexpired + plan.debt
    by_number = {lot.lot_id: lot for lot in lots}
    assert all(part.amount <= by_number[part.lot_id].remaining for part in plan.others)
    if plan.debt:
        later = [lot for lot in lots if spend_order(lot) > spend_order(own)]
        assert sum(part.amount for part in plan.others) == sum(lot.remaining for lot in later)
