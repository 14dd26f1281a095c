"""The churn oracle against the simulator itself: same law, no look at the future."""

from datetime import UTC, datetime, timedelta
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from benchmarks._churn_oracle import PLAYER_TYPES, Knows, churn_oracle, real_shares
from players.simulation import SimulatedOperator, SimulationConfig, simulate
from players.simulation.population import LIFETIME_SHAPE, RATE_SHAPE, draw_population
from players.simulation.visits import draw_visits
from predictions.ml import metrics

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


def outcomes(operator: SimulatedOperator, as_of: datetime, horizon_days: int) -> pd.DataFrame:
    """churned, eligible and idle days of the players who arrived before the cut-off, from the simulated events alone."""
    end = as_of + timedelta(days=horizon_days)

    def players(table: pd.DataFrame, column: str, condition: pd.Series) -> pd.Index:
        return pd.Index(table[(table[column] >= as_of) & (table[column] < end) & condition]["player_external_id"].unique())

    deposits, plays, away = operator.payments, operator.plays, operator.exclusions
    real = players(deposits, "occurred_at", (deposits["kind"] == "DEPOSIT") & (deposits["status"] == "COMPLETED")).union(
        players(plays, "played_at", plays["stake"] > plays["bonus_stake"])
    )
    last = operator.sessions[operator.sessions["started_at"] < as_of].groupby("player_external_id")["started_at"].max().dt.floor("D")
    excluded = away[(away["starts_at"] < end) & (away["ends_at"].isna() | (away["ends_at"] > as_of))]["player_external_id"]
    people = operator.players.set_index("external_id")
    table = people[people["registered_at"] < as_of]
    found = pd.DataFrame({"churned": ~table.index.isin(real), "idle": (as_of - last.reindex(table.index)).dt.days}, index=table.index)
    found["eligible"] = ~table.index.isin(excluded) & (table["status"] != "CLOSED").to_numpy()
    return found


def test_churn_oracle__simulated_operator__is_calibrated_and_the_more_it_knows_the_better() -> None:
    config = SimulationConfig(players=700, as_of=AS_OF, seed=2, months=9)
    operator = simulate(config)
    as_of = AS_OF - timedelta(days=30)
    shares = real_shares(config, players=1500)
    truth = outcomes(operator, as_of, 30)
    chosen = truth.index[truth["eligible"]]
    happened = truth.loc[chosen, "churned"].to_numpy().astype(float)
    recency = truth.loc[chosen, "idle"].fillna(10_000).to_numpy()
    figures = {}
    for knows in get_args(Knows):
        found = churn_oracle(config, operator.truth, operator.sessions, operator.exclusions, as_of, shares, knows=knows)
        assert found.index.equals(truth.index)
        figures[knows] = metrics.binary_metrics(happened, found[chosen].clip(0, 1).to_numpy())
        assert figures[knows]["ece"] < 0.03
        assert abs(found[chosen].mean() - happened.mean()) < 0.03
    assert figures["law"]["auc"] > metrics.auc(happened, recency) + 0.01
    assert figures["law"]["log_loss"] > figures["type"]["log_loss"] > figures["rate"]["log_loss"]


def test_churn_oracle__type_not_told__is_the_mean_over_types_by_what_they_explain() -> None:
    """Nobody who has never been seen can be told apart but by the chances of the types not to come at all."""
    config = SimulationConfig(players=1, as_of=AS_OF, months=2)
    shares = pd.Series({(one.name, ""): 1.0 for one in PLAYER_TYPES})
    truth = pd.DataFrame(
        {
            "player_external_id": [f"p{n}" for n in range(len(PLAYER_TYPES))],
            "player_type": [one.name for one in PLAYER_TYPES],
            "abuser_kind": "",
            "arrival_days": 0.0,
            "sessions_per_week": 1.0,
            "bonus_uplift": 0.0,
        }
    )
    sessions = pd.DataFrame({"player_external_id": [], "started_at": pd.to_datetime([], utc=True)})
    at = AS_OF - timedelta(days=30)
    unseen = churn_oracle(config, truth, sessions, NOBODY, at, shares, knows="law")
    told = churn_oracle(config, truth, sessions, NOBODY, at, shares, knows="type")
    assert unseen.nunique() == 1
    assert told.min() < unseen.iloc[0] < told.max() == 1.0
    seen = pd.DataFrame({"player_external_id": ["p0"] * 20, "started_at": at - pd.to_timedelta(range(1, 21), unit="D")})
    visited = churn_oracle(config, truth.head(1).assign(player_type="casual"), seen, NOBODY, at, shares, knows="law")
    assert visited.iloc[0] < 0.05


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
