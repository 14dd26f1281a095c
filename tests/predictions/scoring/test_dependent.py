"""What follows from a changed figure."""

import pytest

from predictions.dependent import with_consequences
from predictions.possible import problems
from predictions.services import InvalidProfile

PLAYER = {
    "days_since_last_activity": 5.0, "days_since_last_play": 6.0, "days_since_last_deposit": 20.0, "usual_gap_days": 2.0,
    "gap_overdue": 2.5,
    "sessions_7d": 1.0, "sessions_14d": 2.0, "sessions_30d": 6.0, "sessions_90d": 12.0, "sessions_trend": 1.5, "sessions_week_trend": 0.7,
    "deposit_count_30d": 1.0, "deposit_count_90d": 3.0, "deposit_count_total": 10.0, "deposits_total": 40.0, "deposit_mean": 4.0,
    "deposits_30d": 2.0, "deposits_90d": 9.0, "deposits_trend": 0.5, "rapid_deposits": 3 / 13, "tenure_days": 300.0, "stake_7d": None,
    "stake_30d": 4.0, "stake_90d": 8.0,
}  # fmt: skip


def moved(changes):
    after = with_consequences(PLAYER, changes)
    return {name: value for name, value in after.items() if value != PLAYER.get(name)}


def test_with_consequences__no_change__moves_nothing():
    assert with_consequences(PLAYER, {}) == PLAYER


def test_with_consequences__same_value_again__moves_nothing():
    assert moved({"sessions_30d": 6.0}) == {}


def test_with_consequences__more_sessions__count_in_longer_windows_and_rates():
    found = moved({"sessions_14d": 4.0})
    assert {name: found[name] for name in ("sessions_14d", "sessions_30d", "sessions_90d")} == {
        "sessions_14d": 4, "sessions_30d": 8, "sessions_90d": 14,
    }  # fmt: skip
    assert found["sessions_trend"] == pytest.approx((8 / 30) / (14 / 90))
    assert found["rapid_deposits"] == pytest.approx(3 / 15)
    assert "sessions_7d" not in found


def test_with_consequences__fewer_in_a_long_window__cuts_the_shorter():
    assert moved({"sessions_90d": 1.0})["sessions_30d"] == 1


def test_with_consequences__longer_away__empties_the_windows_it_covers():
    found = moved({"days_since_last_activity": 40.0})
    assert (found["days_since_last_play"], found["days_since_last_deposit"]) == (40, 40)
    assert (found["sessions_7d"], found["sessions_30d"], found["stake_30d"], found["deposits_30d"]) == (0, 0, 0, 0)
    assert "sessions_90d" not in found
    assert found["gap_overdue"] == 20
    assert "stake_7d" not in found  # what was unknown stays so


def test_with_consequences__deposit_today__is_activity_today():
    assert moved({"days_since_last_deposit": 0.0})["days_since_last_activity"] == 0


def test_with_consequences__given_figure__is_never_touched():
    assert moved({"sessions_14d": 4.0, "sessions_30d": 6.0, "sessions_trend": 2.9})["sessions_trend"] == 2.9


def test_with_consequences__described_person__derives_what_can_be():
    assert with_consequences({}, {"deposits_total": 30.0, "deposit_count_total": 3.0})["deposit_mean"] == 10


def test_with_consequences__unknown_input__makes_the_quotient_unknown():
    assert moved({"usual_gap_days": None})["gap_overdue"] is None


# a player as the frame has one: nothing of what can be counted is unknown
QUIET = {
    "tenure_days": 300.0, "days_since_last_activity": 40.0, "days_since_last_play": 40.0, "days_since_last_deposit": 60.0,
    "sessions_7d": 0.0, "sessions_14d": 0.0, "sessions_30d": 0.0, "sessions_90d": 4.0,
    "active_days_7d": 0.0, "active_days_30d": 0.0, "active_days_90d": 4.0, "deposit_mean": 2.0,
    "deposit_count_30d": 0.0, "deposit_count_90d": 1.0, "deposit_count_total": 5.0,
    "deposits_30d": 0.0, "deposits_90d": 2.0, "deposits_total": 10.0, "stake_90d": 8.0, "rounds_90d": 16.0, "slots_share_90d": 0.5,
}  # fmt: skip


def test_with_consequences__sessions_after_a_long_break__are_active_days_and_a_recent_visit():
    found = with_consequences(QUIET, {"days_since_last_activity": 0.0, "sessions_7d": 3.0})
    assert [found[f"sessions_{days}d"] for days in (7, 14, 30, 90)] == [3, 3, 3, 7]
    assert [found[f"active_days_{days}d"] for days in (7, 30, 90)] == [3, 3, 7]
    # without the day of the last visit it follows from the window: three in equal steps over seven days
    assert with_consequences(QUIET, {"sessions_7d": 3.0})["days_since_last_activity"] == 1


def test_with_consequences__more_deposits__bring_money_of_the_usual_size_and_a_day():
    found = with_consequences(QUIET, {"deposit_count_30d": 2.0})
    assert [found[f"deposits_{window}"] for window in ("30d", "90d", "total")] == [4, 6, 14]
    assert (found["deposit_count_total"], found["days_since_last_deposit"], found["days_since_last_activity"]) == (7, 10, 10)
    assert found["active_days_30d"] == 1
    assert with_consequences(QUIET, {"deposits_30d": 7.0})["deposit_count_30d"] == 4


def test_with_consequences__nothing_staked__there_are_no_rounds_and_no_shares():
    found = with_consequences(QUIET, {"stake_90d": 0.0})
    assert (found["rounds_90d"], found["slots_share_90d"]) == (0, None)


def test_with_consequences__somebody_described__the_pace_that_was_told_fills_the_windows():
    told = {"tenure_days": 60.0, "days_since_last_activity": 2.0, "sessions_30d": 12.0, "deposit_count_30d": 5.0, "deposits_30d": 25.0}
    found = with_consequences({}, told)
    assert {name: found[name] for name in told} == told
    # the window of 90 days reaches before the registration: 60 days hold twice those of 30
    assert [found[f"sessions_{days}d"] for days in (7, 14, 30, 90)] == [2, 5, 12, 24]
    assert [found[f"active_days_{days}d"] for days in (7, 30, 90)] == [2, 12, 24]
    assert [found[f"deposit_count_{window}"] for window in ("30d", "90d", "total")] == [5, 10, 10]
    assert [found[f"deposits_{window}"] for window in ("30d", "90d", "total")] == [25, 50, 50]
    assert (found["days_since_last_deposit"], found["sessions_trend"], found["deposit_mean"]) == (5, pytest.approx(1), 5)
    assert (found["bg_frequency"], found["bg_spend"]) == (9, 5)
    assert "stake_30d" not in found


def test_with_consequences__described_as_new__longer_windows_hold_no_more_than_the_shorter():
    found = with_consequences({}, {"tenure_days": 5.0, "days_since_last_activity": 1.0, "sessions_7d": 4.0})
    assert [found[f"sessions_{days}d"] for days in (7, 14, 30, 90)] == [4, 4, 4, 4]
    assert found["active_days_90d"] == 4


@pytest.mark.parametrize(
    ("before", "changes", "field"),
    [
        (QUIET, {"days_since_last_activity": 1e9}, "days_since_last_activity"),
        (QUIET, {"days_since_last_activity": 301.0}, "days_since_last_activity"),
        (QUIET, {"tenure_days": 20.0}, "tenure_days"),
        ({}, {"sessions_7d": 5.0, "sessions_30d": 3.0}, "sessions_30d"),
        ({}, {"sessions_7d": 5.0, "days_since_last_activity": 8.0}, "sessions_7d"),
        ({}, {"sessions_7d": 5.0, "active_days_7d": 0.0}, "active_days_7d"),
        ({}, {"active_days_30d": 31.0}, "active_days_30d"),
        ({}, {"tenure_days": 4.0, "active_days_30d": 9.0}, "active_days_30d"),
        ({}, {"days_since_last_activity": 9.0, "days_since_last_play": 3.0}, "days_since_last_play"),
        ({}, {"deposit_count_30d": 0.0, "deposits_30d": 3.0}, "deposits_30d"),
        ({}, {"sessions_30d": 1e7}, "sessions_30d"),
        ({}, {"slots_share_90d": 0.9, "table_share_90d": 0.9}, "table_share_90d"),
        ({}, {"sports_share_90d": 0.4, "slots_share_90d": 0.4, "live_share_90d": 0.3}, "sports_share_90d"),
        ({}, {"deposit_count_30d": 5.0, "deposits_90d": 0.0}, "deposits_90d"),
        ({}, {"deposit_count_90d": 5.0, "deposits_total": 0.0}, "deposits_total"),
        ({}, {"deposits_30d": 5.0, "deposit_count_90d": 0.0}, "deposits_30d"),
        ({}, {"sessions_14d": 5.0, "active_days_90d": 0.0}, "active_days_90d"),
        ({}, {"deposit_mean": 5.0, "deposits_total": 1000.0, "deposit_count_total": 2.0}, "deposit_mean"),
        ({}, {"deposit_mean": 5.0, "deposit_count_total": 0.0}, "deposit_mean"),
        ({}, {"stake_mean_90d": 2.0, "stake_90d": 100.0, "rounds_90d": 100.0}, "stake_mean_90d"),
        ({}, {"gap_overdue": 9.0, "days_since_last_activity": 4.0, "usual_gap_days": 2.0}, "gap_overdue"),
        ({}, {"rapid_deposits": 3.0, "deposit_count_90d": 3.0, "sessions_90d": 2.0}, "rapid_deposits"),
        ({}, {"bonus_cost_share_90d": 0.5, "bonus_cost_90d": 0.0, "deposits_90d": 9.0}, "bonus_cost_share_90d"),
        ({}, {"sessions_trend": 1e6, "sessions_30d": 0.0}, "sessions_trend"),
        ({}, {"sessions_trend": 3.1}, "sessions_trend"),
        ({}, {"sessions_trend": 0.5, "sessions_30d": 0.0}, "sessions_trend"),
        ({}, {"stake_week_trend": 4.4}, "stake_week_trend"),
        ({}, {"deposits_trend": 0.5, "deposits_90d": 0.0}, "deposits_trend"),
        ({}, {"top_game_share_90d": 0.1, "game_variety_90d": 1.0}, "top_game_share_90d"),
        ({}, {"top_game_share_90d": 0.2, "game_variety_90d": 4.0}, "top_game_share_90d"),
        ({}, {"top_game_share_90d": 0.2, "game_variety_90d": 0.0}, "top_game_share_90d"),
        ({}, {"ips": 1e6, "devices": 0.0}, "ips"),
        ({}, {"devices": 10_001.0}, "devices"),
        ({}, {"ips": 3.0, "sessions_90d": 2.0}, "ips"),
    ],
)
def test_with_consequences__what_cannot_be__is_refused_at_its_field(before, changes, field):
    with pytest.raises(InvalidProfile) as refused:
        with_consequences(before, changes)
    assert list(refused.value.errors) == [field]


def test_with_consequences__what_can_be__is_not_refused():
    assert problems(QUIET, {"days_since_last_activity": 300.0, "sessions_30d": 0.0, "deposits_total": 10.0}) == {}
    rounded = {
        **{"slots_share_90d": 0.34, "table_share_90d": 0.33, "live_share_90d": 0.34, "game_variety_90d": 3.0, "top_game_share_90d": 0.33},
        **{"deposit_mean": 23.46, "deposits_total": 70.37, "deposit_count_total": 3.0, "deposit_count_30d": 0.0, "deposits_30d": 0.0},
        **{"sessions_7d": 3.0, "sessions_30d": 3.0, "sessions_90d": 3.0, "sessions_trend": 3.0, "sessions_week_trend": 4.29, "ips": 3.0},
        **{"devices": 0.0, "gap_overdue": 0.33, "days_since_last_activity": 1.0, "usual_gap_days": 3.0, "rapid_deposits": 0.75},
        **{"deposit_count_90d": 3.0, "deposits_90d": 70.37, "deposits_trend": 0.0, "active_days_7d": 2.0},
    }  # fmt: skip
    assert problems({}, rounded) == {}
    # of a feed without device ids there are addresses alone; without a game there is no share of it
    assert problems({}, {"ips": 3.0, "devices": 0.0, "game_variety_90d": 0.0, "top_game_share_90d": 0.0}) == {}
