"""Counterfactuals: every case that the whole grid can solve is solved, at the least cost; the others are answered by None."""

import time
from itertools import product

import numpy as np
import pandas as pd
import pytest

from predictions.ml import counterfactual
from predictions.ml.counterfactual import ACTIONS, apply, asks, suggest

ROW = pd.Series(
    {
        "days_since_last_activity": 20.0,
        "days_since_last_deposit": 25.0,
        "days_since_last_play": 20.0,
        "sessions_7d": 0.0,
        "sessions_30d": 3.0,
        "sessions_90d": 12.0,
        "sessions_trend": 0.75,
        "active_days_7d": 0.0,
        "active_days_30d": 2.0,
        "active_days_90d": 10.0,
        "deposit_count_90d": 4.0,
        "deposits_30d": 1.0,
        "deposits_90d": 8.0,
        "deposits_trend": 0.375,
        "deposit_count_total": 9.0,
        "deposits_total": 18.0,
        "deposit_mean": 2.0,
        "stake_30d": 10.0,
        "stake_90d": 100.0,
        "rounds_90d": 500.0,
        "ngr_90d": 4.0,
        "theo_90d": 5.0,
        "game_variety_90d": 3.0,
        "top_game_share_90d": 0.6,
        "rapid_deposits": 4 / 13,
        "bg_frequency": 8.0,
        "bg_recency": 30.0,
        "bg_age": 34.0,
        "bg_spend": 2.0,
        "usual_gap_days": 4.0,
        "gap_overdue": 5.0,
        "tenure_days": 400.0,
        "weekend_share": 0.3,
        "currency": "EUR",
    }
)


def everything():
    return [
        dict(zip(ACTIONS, numbers, strict=True))
        for numbers in product(*(range(action[3] + 1) for action in ACTIONS.values()))
        if any(numbers) and (not numbers[2] or numbers[1])
    ]


def test_apply__two_deposits__everything_that_depends_on_them_moves():
    then = apply(ROW, [{"deposits": 2, "play_days": 0, "new_games": 0}]).iloc[0]
    assert then["deposit_count_90d"] == 6
    assert then["deposits_90d"] == 12
    assert then["deposits_30d"] == 5
    assert then["deposits_trend"] == pytest.approx((5 / 30) / (12 / 90))
    assert (then["deposit_count_total"], then["deposits_total"], then["deposit_mean"]) == (11, 22, 2)
    assert (then["days_since_last_deposit"], then["days_since_last_activity"], then["days_since_last_play"]) == (3, 3, 20)
    assert (then["sessions_7d"], then["sessions_30d"], then["sessions_90d"]) == (1, 5, 14)
    assert then["sessions_trend"] == pytest.approx((5 / 30) / (14 / 90))
    assert (then["active_days_7d"], then["active_days_30d"], then["active_days_90d"]) == (1, 4, 12)
    assert then["rapid_deposits"] == pytest.approx(6 / 15)
    assert (then["bg_frequency"], then["bg_spend"], then["bg_age"]) == (10, 2, 34)
    assert then["bg_recency"] == pytest.approx(34 - 3 / 7)
    assert then["gap_overdue"] == 3 / 4
    assert (then["stake_90d"], then["rounds_90d"], then["ngr_90d"], then["weekend_share"]) == (100, 500, 4, 0.3)


def test_apply__four_days_of_play_with_a_new_game__stakes_rounds_and_games():
    then = apply(ROW, [{"deposits": 0, "play_days": 4, "new_games": 1}]).iloc[0]
    assert (then["stake_30d"], then["stake_90d"], then["rounds_90d"]) == (50, 140, 700)
    assert (then["ngr_90d"], then["theo_90d"]) == (6, 7)
    assert (then["days_since_last_play"], then["days_since_last_activity"], then["days_since_last_deposit"]) == (1, 1, 25)
    assert then["game_variety_90d"] == 4
    assert then["top_game_share_90d"] == pytest.approx(0.6 * 130 / 140)
    assert (then["deposit_count_90d"], then["deposits_90d"], then["bg_frequency"]) == (4, 8, 8)


def test_apply__player_without_deposits__the_first_one_makes_the_figures():
    empty = ["deposit_mean", "days_since_last_deposit", "bg_frequency", "bg_recency", "bg_age", "bg_spend", "deposits_trend"]
    row = ROW.drop("currency").astype(float)
    row[empty] = np.nan
    row[["deposit_count_90d", "deposits_30d", "deposits_90d", "deposit_count_total", "deposits_total"]] = 0.0
    then = apply(row, [{"deposits": 1}, {"deposits": 3}])
    assert then["deposit_mean"].tolist() == [1, 1]
    assert then["deposits_total"].tolist() == [1, 3]
    assert then["bg_frequency"].tolist() == [0, 2]
    assert then["bg_spend"].isna().tolist() == [True, False]
    assert (then["bg_recency"] <= then["bg_age"]).all()


def test_apply__daily_visits__no_window_holds_more_days_than_it_has():
    row = ROW.copy()
    row["active_days_7d"], row["active_days_30d"], row["active_days_90d"] = 6.0, 28.0, 85.0
    then = apply(row, [{"play_days": 14}]).iloc[0]
    assert (then["active_days_7d"], then["active_days_30d"], then["active_days_90d"]) == (7, 30, 90)


def test_apply__nothing_done__nothing_moves():
    then = apply(ROW, [dict.fromkeys(ACTIONS, 0)]).iloc[0]
    assert then.equals(ROW.drop("currency").astype(float).rename(then.name)[then.index])


@pytest.fixture(scope="module")
def cases(trained, world):
    """Players at risk, with the least probability and the least cost that the whole grid reaches."""
    frame = world[0].evaluation.features
    risky = frame[trained.model.predict(frame)["probability"] > 0.45].head(120)
    grid = everything()
    costs = np.array([asks(amounts) for amounts in grid])
    found = []
    for _, row in risky.iterrows():
        found.append((row, trained.model.predict(apply(row, grid))["probability"].to_numpy(), costs))
    return found


def test_suggest__twenty_solvable_cases__twenty_solved_at_the_least_cost(trained, cases):
    solvable = [case for case in cases if case[1].min() < 0.3][:20]
    assert len(solvable) == 20
    for row, scores, costs in solvable:
        found = suggest(trained.model, row, 0.3)
        assert found is not None
        assert found.before > 0.45
        assert found.after < 0.3
        amounts = {name: 0 for name in ACTIONS} | {change.action: change.amount for change in found.changes}
        assert asks(amounts) == costs[scores < 0.3].min()
        # verified by rescoring what it says would change
        told = row.copy()
        for name, (_, then) in found.features.items():
            told[name] = np.nan if then is None else then
        assert trained.model.predict(told.to_frame().T)["probability"].iloc[0] == pytest.approx(found.after, abs=1e-12)


def test_suggest__out_of_reach__none(trained, cases):
    for row, scores, _ in cases[:10]:
        assert suggest(trained.model, row, float(scores.min()) * 0.999) is None


def test_suggest__few_cases__all_answered_in_time(trained, cases):
    started = time.process_time()
    for row, _, _ in cases[:20]:
        suggest(trained.model, row, 0.3)
    assert (time.process_time() - started) / 20 < 0.25


def test_suggest__text__says_how_much_of_what(trained, cases):
    row = next(row for row, scores, _ in cases if scores.min() < 0.3)
    found = suggest(trained.model, row.to_frame().T, 0.3)
    assert found.text.endswith(f"in the next 14 days would bring it from {found.before:.2f} to {found.after:.2f}, below 0.30")
    assert found.text.startswith(str(found.changes[0].amount))


def test_suggest__only_deposits_allowed__only_deposits(trained, cases):
    found = [suggest(trained.model, row, 0.35, ["deposits"]) for row, _, _ in cases[:40]]
    assert any(found)
    assert {change.action for one in found if one for change in one.changes} == {"deposits"}
    with pytest.raises(ValueError, match="no such action"):
        suggest(trained.model, cases[0][0], 0.35, ["withdrawals"])


def test_suggest__there_already_or_upwards__none_or_the_other_way(trained, engaged, world, cases):
    assert suggest(trained.model, cases[0][0], 0.999) is None
    frame = world[0].evaluation.features
    quiet = frame[engaged.model.predict(frame)["probability"] < 0.4].iloc[0]
    found = suggest(engaged.model, quiet, 0.5, below=False)
    assert found.after > 0.5 > found.before
    with pytest.raises(ValueError, match="one player"):
        suggest(trained.model, frame.head(2), 0.3)


def test_asks__actions__several_kinds_ask_for_more_than_one():
    assert asks({"deposits": 1, "play_days": 0}) < asks({"deposits": 1, "play_days": 1})
    assert counterfactual.asks({"play_days": 2}) < asks({"deposits": 1, "play_days": 1})
