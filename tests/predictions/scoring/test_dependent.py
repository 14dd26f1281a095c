"""What follows from a changed figure."""

import pytest

from predictions.dependent import with_consequences

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
    assert moved({"sessions_14d": 4.0, "sessions_30d": 6.0, "sessions_trend": 9.0})["sessions_trend"] == 9.0


def test_with_consequences__described_person__derives_what_can_be():
    assert with_consequences({}, {"deposits_total": 30.0, "deposit_count_total": 3.0})["deposit_mean"] == 10


def test_with_consequences__unknown_input__makes_the_quotient_unknown():
    assert moved({"usual_gap_days": None})["gap_overdue"] is None
