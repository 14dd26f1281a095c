"""The rules of tiers, in numbers reckoned by hand and in properties that hold for all numbers."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.tiers.qualification import (
    Decision,
    Kind,
    Outcome,
    Override,
    Programme,
    Situation,
    Standing,
    Step,
    Window,
    decide,
    end_of_next_period,
    end_of_this_period,
    period_of,
    reviewed_from,
)
from tests.rewards.tiers.strategies import JOINED, ladders, programmes, situations, standings

BRONZE, SILVER, GOLD, PLATINUM = 1, 2, 3, 4
LADDER = [
    Step(BRONZE, 0, 0),
    Step(SILVER, 1_000_00, 800_00),
    Step(GOLD, 10_000_00, 8_000_00),
    Step(PLATINUM, 50_000_00, 40_000_00, needs_gate=True),
]
QUARTER = Programme(Window.QUARTER, 90, 14, soft_landing=True)
DAY_40 = date(2026, 2, 9)
REVIEW = date(2026, 7, 1)
GOLD_STANDING = Standing(GOLD, REVIEW)


def seen(present: int | None = GOLD, *, frozen: str = "", cleared: bool = False, **points: int) -> Situation:
    """`d20260209=10_000_00` are points of 9 February."""
    days = {date(int(name[1:5]), int(name[5:7]), int(name[7:])): value for name, value in points.items()}
    return Situation(present, JOINED, days, frozen, cleared)


def outcome(decision: Decision) -> tuple[int | None, date, date | None, Kind]:
    return decision.standing.tier_id, decision.standing.valid_until, decision.standing.grace_until, decision.kind


# The vectors of the specification.


def test_upgrade__ten_thousand_on_day_40__is_gold_now_and_valid_to_the_end_of_next_quarter() -> None:
    decision = decide(Standing(SILVER, date(2026, 4, 1)), seen(SILVER, d20260101=4_000_00, d20260209=6_000_00), LADDER, QUARTER, DAY_40)
    assert outcome(decision) == (GOLD, REVIEW, None, Kind.UPGRADE)
    assert decision.moved_metric == 10_000_00


def test_upgrade__one_hundredth_less__stays() -> None:
    decision = decide(Standing(SILVER, date(2026, 4, 1)), seen(SILVER, d20260101=4_000_00, d20260209=5_999_99), LADDER, QUARTER, DAY_40)
    assert outcome(decision) == (SILVER, date(2026, 4, 1), None, Kind.NOTHING)
    assert decision.figures.to_next == 1


def test_review__7500__gets_a_grace_of_14_days_and_then_is_silver_not_bronze() -> None:
    points = {"d20260209": 10_000_00, "d20260501": 7_500_00}
    first = decide(GOLD_STANDING, seen(**points), LADDER, QUARTER, REVIEW)
    assert outcome(first) == (GOLD, REVIEW, date(2026, 7, 15), Kind.NOTHING)
    assert (first.figures.to_keep, first.figures.next_review) == (500_00, date(2026, 7, 15))
    last_day = decide(first.standing, seen(**points), LADDER, QUARTER, date(2026, 7, 14))
    assert outcome(last_day) == outcome(first)
    over = decide(first.standing, seen(**points), LADDER, QUARTER, date(2026, 7, 15))
    assert outcome(over) == (SILVER, date(2026, 10, 1), None, Kind.GRACE_END)
    assert over.moved_metric == 7_500_00


def test_review__nothing_earned_at_all__still_lands_one_step_below() -> None:
    first = decide(GOLD_STANDING, seen(), LADDER, QUARTER, REVIEW)
    assert decide(first.standing, seen(), LADDER, QUARTER, date(2026, 7, 15)).standing.tier_id == SILVER


def test_review__8100__keeps_to_the_end_of_the_quarter() -> None:
    decision = decide(GOLD_STANDING, seen(d20260501=8_100_00), LADDER, QUARTER, REVIEW)
    assert outcome(decision) == (GOLD, date(2026, 10, 1), None, Kind.NOTHING)


def test_void__bet_taken_back_after_the_upgrade__stays_until_the_review() -> None:
    up = decide(Standing(SILVER, date(2026, 4, 1)), seen(SILVER, d20260209=10_000_00), LADDER, QUARTER, DAY_40)
    voided = seen(d20260209=9_900_00)
    for day in (DAY_40, date(2026, 3, 31), date(2026, 6, 30)):
        decision = decide(up.standing, voided, LADDER, QUARTER, day)
        assert outcome(decision) == (GOLD, REVIEW, None, Kind.NOTHING)
    assert decide(up.standing, voided, LADDER, QUARTER, DAY_40).figures.metric == 9_900_00


# Grace, soft landing, reviews.


def test_grace__the_missing_points_arrive__keeps_at_once() -> None:
    first = decide(GOLD_STANDING, seen(d20260501=7_500_00), LADDER, QUARTER, REVIEW)
    decision = decide(first.standing, seen(d20260501=7_500_00, d20260709=500_00), LADDER, QUARTER, date(2026, 7, 9))
    assert outcome(decision) == (GOLD, date(2026, 10, 1), None, Kind.NOTHING)


def test_grace__points_that_come_after_it__do_not_keep_the_tier() -> None:
    first = decide(GOLD_STANDING, seen(d20260501=7_500_00), LADDER, QUARTER, REVIEW)
    late = decide(first.standing, seen(d20260501=7_500_00, d20260715=500_00), LADDER, QUARTER, date(2026, 7, 20))
    assert late.standing.tier_id == SILVER


def test_review__without_grace_and_soft_landing__falls_at_once_to_what_the_points_keep() -> None:
    hard = Programme(Window.QUARTER, 90, 0, soft_landing=False)
    decision = decide(GOLD_STANDING, seen(d20260501=700_00), LADDER, hard, REVIEW)
    assert outcome(decision) == (BRONZE, date(2026, 10, 1), None, Kind.REVIEW)
    kept = decide(GOLD_STANDING, seen(d20260501=800_00), LADDER, hard, REVIEW)
    assert kept.standing.tier_id == SILVER


def test_review__lowest_tier__is_always_kept() -> None:
    ladder = [Step(BRONZE, 100_00, 50_00), *LADDER[1:]]
    assert decide(Standing(BRONZE, REVIEW), seen(BRONZE), ladder, QUARTER, REVIEW).standing == Standing(BRONZE, date(2026, 10, 1))


def test_review__days_late__reviews_the_same_period() -> None:
    decision = decide(GOLD_STANDING, seen(d20260501=8_100_00), LADDER, QUARTER, date(2026, 7, 20))
    assert outcome(decision) == (GOLD, date(2026, 10, 1), None, Kind.NOTHING)


# Freeze.


def test_frozen__points_for_an_upgrade_and_a_review_due__nothing_moves() -> None:
    up = decide(Standing(SILVER, date(2026, 4, 1)), seen(SILVER, frozen="EXCLUDED", d20260209=10_000_00), LADDER, QUARTER, DAY_40)
    assert (up.standing.tier_id, up.kind, up.figures.outcome) == (SILVER, Kind.NOTHING, Outcome.FROZEN)
    due = decide(GOLD_STANDING, seen(frozen="SUSPENDED"), LADDER, QUARTER, date(2026, 8, 1))
    assert outcome(due) == (GOLD, REVIEW, None, Kind.NOTHING)


def test_frozen__ends_after_the_review_was_due__is_reviewed_then_on_the_same_period() -> None:
    frozen = decide(GOLD_STANDING, seen(frozen="EXCLUDED", d20260501=8_100_00), LADDER, QUARTER, date(2026, 6, 1)).standing
    thawed = decide(frozen, seen(d20260501=8_100_00), LADDER, QUARTER, date(2027, 1, 10))
    assert outcome(thawed) == (GOLD, date(2027, 4, 1), None, Kind.NOTHING)


def test_frozen__during_a_grace__the_days_do_not_count() -> None:
    grace = decide(GOLD_STANDING, seen(d20260501=7_500_00), LADDER, QUARTER, REVIEW).standing
    frozen = decide(grace, seen(frozen="EXCLUDED"), LADDER, QUARTER, date(2026, 7, 5)).standing
    thawed = decide(frozen, seen(d20260501=7_500_00), LADDER, QUARTER, date(2026, 8, 5)).standing
    assert (thawed.tier_id, thawed.grace_until) == (GOLD, date(2026, 8, 15))  # ten days were left


# Overrides.


def test_override__upwards__holds_until_its_day_and_ends_by_itself() -> None:
    held = Standing(SILVER, date(2026, 4, 1), override=Override(GOLD, date(2026, 12, 31)))
    before = decide(held, seen(GOLD), LADDER, QUARTER, date(2026, 12, 30))
    assert (before.standing.effective, before.kind) == (GOLD, Kind.NOTHING)
    assert before.standing.tier_id == BRONZE or before.standing.grace_until is not None  # the rules go on underneath
    after = decide(replace(held, valid_until=date(2027, 1, 1)), seen(GOLD), LADDER, QUARTER, date(2026, 12, 31))
    assert (after.standing.effective, after.standing.override, after.kind) == (SILVER, None, Kind.OVERRIDE_END)


def test_override__downwards__beats_points_for_a_higher_tier() -> None:
    held = Standing(SILVER, date(2026, 4, 1), override=Override(BRONZE, date(2026, 3, 1)))
    during = decide(held, seen(BRONZE, d20260209=10_000_00), LADDER, QUARTER, DAY_40)
    assert (during.standing.effective, during.kind) == (BRONZE, Kind.NOTHING)
    after = decide(during.standing, seen(BRONZE, d20260209=10_000_00), LADDER, QUARTER, date(2026, 3, 1))
    assert (after.standing.effective, after.kind, after.moved_metric) == (GOLD, Kind.OVERRIDE_END, 10_000_00)


# The gate in front of VIP tiers.


def test_gate__points_without_clearance__stays_below_and_waits() -> None:
    waiting = decide(GOLD_STANDING, seen(d20260501=50_000_00), LADDER, QUARTER, date(2026, 5, 1))
    assert (waiting.standing.tier_id, waiting.standing.waiting) == (GOLD, PLATINUM)
    cleared = decide(waiting.standing, seen(cleared=True, d20260501=50_000_00), LADDER, QUARTER, date(2026, 5, 2))
    assert (cleared.standing.tier_id, cleared.standing.waiting, cleared.kind) == (PLATINUM, None, Kind.UPGRADE)


def test_gate__clearance_ran_out__tier_is_not_kept_by_points_alone() -> None:
    first = decide(Standing(PLATINUM, REVIEW), seen(PLATINUM, d20260501=60_000_00), LADDER, QUARTER, REVIEW)
    assert (first.standing.tier_id, first.standing.grace_until) == (PLATINUM, date(2026, 7, 15))
    over = decide(first.standing, seen(PLATINUM, d20260501=60_000_00), LADDER, QUARTER, date(2026, 7, 15))
    assert over.standing.tier_id == GOLD
    renewed = decide(first.standing, seen(PLATINUM, cleared=True, d20260501=60_000_00), LADDER, QUARTER, date(2026, 7, 10))
    assert outcome(renewed) == (PLATINUM, date(2026, 10, 1), None, Kind.NOTHING)


# A tier that was set elsewhere.


def test_adoption__tier_brought_from_elsewhere__is_respected_to_the_end_of_the_next_period() -> None:
    decision = decide(None, seen(GOLD), LADDER, QUARTER, DAY_40)
    assert (decision.adopted, outcome(decision)) == (True, (GOLD, REVIEW, None, Kind.NOTHING))


# Projection.


def test_outlook__pace_of_the_last_30_days__says_where_the_review_ends() -> None:
    day = date(2026, 5, 31)  # 30 of the quarter's days are left
    cases = {3_000_00: Outcome.GRACE, 4_000_00: Outcome.KEEPS, 25_000_00: Outcome.UP}
    found = {}
    for points in cases:
        found[points] = decide(GOLD_STANDING, seen(cleared=True, d20260520=points), LADDER, QUARTER, day).figures
    assert {points: figures.outcome for points, figures in found.items()} == cases
    assert found[3_000_00].projected == SILVER
    assert (found[3_000_00].to_keep, found[3_000_00].to_next) == (5_000_00, 47_000_00)


# Periods.


@pytest.mark.parametrize(
    ("window", "day", "expected"),
    [
        (Window.MONTH, date(2026, 12, 31), (date(2026, 12, 1), date(2027, 1, 1))),
        (Window.QUARTER, date(2026, 2, 9), (date(2026, 1, 1), date(2026, 4, 1))),
        (Window.QUARTER, date(2026, 12, 31), (date(2026, 10, 1), date(2027, 1, 1))),
        (Window.YEAR, date(2026, 1, 1), (date(2026, 1, 1), date(2027, 1, 1))),
        (Window.ANNIVERSARY, date(2025, 2, 27), (date(2024, 2, 29), date(2025, 2, 28))),
        (Window.ANNIVERSARY, date(2025, 2, 28), (date(2025, 2, 28), date(2026, 2, 28))),
        (Window.ANNIVERSARY, date(2028, 2, 28), (date(2027, 2, 28), date(2028, 2, 29))),
        (Window.ANNIVERSARY, date(2023, 6, 1), (date(2023, 2, 28), date(2024, 2, 29))),
        (Window.ROLLING, date(2026, 3, 31), (date(2026, 3, 1), date(2026, 4, 1))),
    ],
)
def test_periods__edges(window: Window, day: date, expected: tuple[date, date]) -> None:
    assert period_of(Programme(window, 31, 14, True), day, date(2024, 2, 29)) == expected


days = st.dates(date(2020, 1, 1), date(2035, 12, 31))


@given(programmes, days, days)
def test_periods__any_day__is_inside_and_periods_follow_one_another(programme: Programme, day: date, joined: date) -> None:
    start, end = period_of(programme, day, joined)
    assert start <= day < end
    if programme.window is not Window.ROLLING:
        assert period_of(programme, start - timedelta(days=1), joined)[1] == start
        assert period_of(programme, end, joined)[0] == end
    assert day < end_of_this_period(programme, day, joined) <= end_of_next_period(programme, day, joined)
    # what is valid to the end of the next period is reviewed on a period that begins after the day of the upgrade
    assert reviewed_from(programme, end_of_next_period(programme, day, joined), joined) > day


# What holds for all players.


@given(programmes, ladders, st.data())
def test_decide__again_on_the_same_day__changes_nothing(programme: Programme, ladder: list[Step], data: st.DataObject) -> None:
    today, situation, standing = draw_case(data, ladder)
    first = decide(standing, situation, ladder, programme, today)
    again = decide(first.standing, replace(situation, present=first.standing.effective), ladder, programme, today)
    assert (again.standing, again.kind, again.adopted, again.figures) == (first.standing, Kind.NOTHING, False, first.figures)


@given(programmes, ladders, st.data())
def test_decide__always__moves_as_the_rules_allow(programme: Programme, ladder: list[Step], data: st.DataObject) -> None:
    today, situation, standing = draw_case(data, ladder)
    decision = decide(standing, situation, ladder, programme, today)
    position = {step.tier_id: place for place, step in enumerate(ladder)}
    after, was = decision.standing, situation.present if decision.adopted or standing is None else standing.tier_id
    before_place = position[was] if was is not None else -1
    place = position[after.tier_id] if after.tier_id is not None else -1
    if situation.frozen:
        assert (after.tier_id, decision.kind) == (was, Kind.NOTHING)
        return
    if place > before_place:  # up only by the entry threshold, and through the gate
        step = ladder[place]
        assert decision.figures.metric >= step.entry
        assert situation.cleared or not step.needs_gate
    if place < before_place:  # down only at a review, softly by one step at most among the tiers that are open to the player
        assert standing is not None
        assert standing.valid_until <= today
        assert standing.grace_until is not None or programme.grace_days == 0
        if programme.soft_landing:
            skipped = ladder[place + 1 : before_place]
            assert all(step.needs_gate and not situation.cleared for step in skipped)
    if after.grace_until is None:
        assert after.valid_until > today or place < 0
    else:
        assert after.grace_until > today


@given(programmes, ladders, st.data(), st.integers(0, 5_000_00))
def test_decide__more_points__never_a_lower_tier(programme: Programme, ladder: list[Step], data: st.DataObject, more: int) -> None:
    today, situation, standing = draw_case(data, ladder)
    richer = replace(situation, points={**situation.points, today: situation.points.get(today, 0) + more})
    position = {None: -1, **{step.tier_id: place for place, step in enumerate(ladder)}}
    poor, rich = (decide(standing, one, ladder, programme, today).standing for one in (situation, richer))
    assert position[rich.tier_id] >= position[poor.tier_id]


def draw_case(data: st.DataObject, ladder: list[Step]) -> tuple[date, Situation, Standing | None]:
    today = data.draw(st.dates(date(2026, 1, 1), date(2026, 12, 31)))
    standing = data.draw(standings(ladder, today))
    return today, data.draw(situations(ladder, today, standing)), standing
