"""The churn oracle against the simulator itself: same law, no look at the future."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from benchmarks.predictions_oracle import churn_oracle, measured, outcomes, real_shares
from players.simulation import SimulationConfig, simulate
from players.simulation.config import PLAYER_TYPES
from players.simulation.population import LIFETIME_SHAPE, RATE_SHAPE, draw_population
from players.simulation.visits import draw_visits

AS_OF = datetime(2026, 3, 15, tzinfo=UTC)
PAST_DAYS = 25
NOBODY = pd.DataFrame({"player_external_id": [], "starts_at": [], "ends_at": []})


def same_players(kind: str, size: int, config: SimulationConfig, seed: int) -> np.ndarray:
    """(size, days) visits of players of one type who all arrive as the history begins, drawn by the simulator."""
    rng = np.random.default_rng(seed)
    people = draw_population(rng, config, np.arange(size))
    number = [one.name for one in PLAYER_TYPES].index(kind)
    people.kind[:], people.abuser[:], people.arrival[:] = number, "", 0.0
    people.leaves[:] = PLAYER_TYPES[number].lifetime_days * rng.weibull(LIFETIME_SHAPE, size)
    people.sessions_per_day[:] = PLAYER_TYPES[number].sessions_per_week / 7 * rng.gamma(RATE_SHAPE, 1 / RATE_SHAPE, size)
    people.uplift[:] = PLAYER_TYPES[number].uplift
    visits = draw_visits(rng, config, people, np.full((size, 2), np.nan))
    found = np.zeros((size, config.days), dtype=int)
    np.add.at(found, (visits.player, visits.start // 86400 - config.first_day), 1)
    return found


@pytest.mark.parametrize("kind", ["casual", "streaky", "churner"])
@pytest.mark.parametrize("days_of_visits", [(), (3, 20)])
def test_churn_oracle__one_past__is_the_share_of_simulated_futures(kind: str, days_of_visits: tuple[int, ...]) -> None:
    """Of the simulated players with the same past (visits on about these days), as many stay away as the oracle says."""
    config = SimulationConfig(players=1, as_of=AS_OF, months=2)
    drawn = same_players(kind, 40_000, config, seed=len(kind))
    weeks = [drawn[:, start : min(start + 7, PAST_DAYS)].sum(axis=1) for start in range(0, PAST_DAYS, 7)]
    wanted = [sum(start <= day < start + 7 for day in days_of_visits) for start in range(0, PAST_DAYS, 7)]
    alike = np.all([sums == number for sums, number in zip(weeks, wanted, strict=True)], axis=0)
    away = drawn[alike][:, PAST_DAYS : PAST_DAYS + 30].sum(axis=1) == 0
    first = AS_OF - timedelta(days=config.days)
    pasts = drawn[alike][:200, :PAST_DAYS]  # the days within the weeks differ a little: the mean over the first of them
    rows = [(f"p{n}", first + timedelta(days=int(day), hours=12)) for n, past in enumerate(pasts) for day in np.flatnonzero(past)]
    truth = pd.DataFrame(
        {
            "player_external_id": [f"p{n}" for n in range(len(pasts))],
            "player_type": kind,
            "abuser_kind": "",
            "arrival_days": 0.0,
            "sessions_per_week": 1.0,
            "bonus_uplift": 0.0,
        }
    )
    sessions = pd.DataFrame(rows, columns=["player_external_id", "started_at"])
    sessions["started_at"] = pd.to_datetime(sessions["started_at"], utc=True)
    found = churn_oracle(config, truth, sessions, NOBODY, first + timedelta(days=PAST_DAYS), pd.Series({(kind, ""): 1.0})).mean()
    assert len(away) > 150
    assert found == pytest.approx(away.mean(), abs=3 * np.sqrt(found * (1 - found) / len(away)) + 0.01)


def test_churn_oracle__simulated_operator__is_calibrated_and_beats_recency() -> None:
    config = SimulationConfig(players=700, as_of=AS_OF, seed=2, months=9)
    operator = simulate(config)
    as_of = AS_OF - timedelta(days=30)
    shares = real_shares(config, players=1500)
    found = churn_oracle(config, operator.truth, operator.sessions, operator.exclusions, as_of, shares)
    truth = outcomes(operator, config, as_of, 30)
    assert found.index.equals(truth.index)
    chosen = truth.index[truth["eligible"]]
    happened = truth.loc[chosen, "churned"].to_numpy().astype(float)
    score = measured(found[chosen].to_numpy(), happened)
    recency = measured(truth.loc[chosen, "idle"].fillna(10_000).rank(pct=True).to_numpy(), happened)
    assert score["auc"] > recency["auc"] + 0.01
    assert score["ece"] < 0.03
    assert abs(found[chosen].mean() - happened.mean()) < 0.03


def test_churn_oracle__later_rows__change_nothing() -> None:
    config = SimulationConfig(players=150, as_of=AS_OF, seed=3, months=6)
    operator = simulate(config)
    as_of = AS_OF - timedelta(days=33, hours=5)
    cut = as_of.replace(hour=0)
    shares = real_shares(config, players=400)
    whole = churn_oracle(config, operator.truth, operator.sessions, operator.exclusions, as_of, shares)
    past = operator.sessions[operator.sessions["started_at"] < cut]
    begun = operator.exclusions[operator.exclusions["starts_at"] < cut]
    blind = operator.truth.assign(left=False, lifetime_ends_days=0.0, left_on=None, sessions_per_week=0.0, offer_weeks=0)
    pd.testing.assert_series_equal(churn_oracle(config, blind, past, begun, as_of, shares), whole, check_exact=True)
    assert whole.between(0, 1).all()
    assert (whole[operator.truth.set_index("player_external_id").loc[whole.index, "player_type"] == "dormant"] == 1).all()
