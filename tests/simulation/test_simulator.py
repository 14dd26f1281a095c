"""The simulator alone: same seed same bytes, books that balance, shares that look like an operator, planted rings that share."""

import hashlib
from dataclasses import fields, replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from players.activity import COLUMNS, ActivityKind
from players.simulation import SimulatedOperator, SimulationConfig, SimulationError, simulate, simulate_blocks
from players.simulation.config import ABUSER_SHARES, PLAYER_TYPES
from players.simulation.export import as_csv
from players.simulation.frames import LAYOUT
from players.simulation.population import draw_population
from players.simulation.visits import draw_visits

CONFIG = SimulationConfig(players=2000, as_of=datetime(2026, 3, 15, 12, tzinfo=UTC), months=12, seed=11)


@pytest.fixture(scope="module")
def operator() -> SimulatedOperator:
    return simulate(CONFIG)


def _digest(operator: SimulatedOperator) -> str:
    text = "".join(as_csv(getattr(operator, one.name), header=True) for one in fields(operator))
    return hashlib.sha256(text.encode()).hexdigest()


def _by_player(operator: SimulatedOperator, frame: pd.DataFrame, column: str) -> np.ndarray:
    sums = frame.groupby("player_external_id")[column].sum()
    return sums.reindex(operator.truth["player_external_id"]).fillna(0).to_numpy().astype(np.int64)


def test_simulate__same_seed__same_bytes() -> None:
    small = replace(CONFIG, players=300)
    assert _digest(simulate(small)) == _digest(simulate(small))


def test_simulate__other_seed__other_bytes() -> None:
    small = replace(CONFIG, players=300)
    assert _digest(simulate(small)) != _digest(simulate(replace(small, seed=12)))


def test_simulate__in_blocks__equals_the_blocks_joined() -> None:
    config = replace(CONFIG, players=250, block_players=100)
    blocks = list(simulate_blocks(config))
    assert [len(block.players) for block in blocks] == [100, 100, 50]
    assert simulate(config).plays.equals(pd.concat([block.plays for block in blocks], ignore_index=True))
    assert simulate(config).players["external_id"].is_unique


@pytest.mark.parametrize("seed", range(8))
def test_simulate__one_player__has_all_frames(seed: int) -> None:
    operator = simulate(replace(CONFIG, players=1, months=1, seed=seed))
    assert [len(operator.players), len(operator.totals), len(operator.truth)] == [1, 1, 1]
    assert tuple(operator.plays.columns) == LAYOUT["plays"]
    assert operator.totals["total_wagered"].sum() == operator.plays["stake"].sum()
    assert all(as_csv(getattr(operator, one.name), header=True) for one in fields(operator))


@pytest.mark.parametrize("kind", list(ActivityKind))
def test_layout__every_kind__is_that_of_the_stage(operator: SimulatedOperator, kind: ActivityKind) -> None:
    name = kind.value.lower()
    assert tuple(getattr(operator, name).columns) == COLUMNS[kind] == LAYOUT[name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"players": 0}, "simulate at least 1"),
        ({"months": 0}, "use 1 to 120"),
        ({"seed": -1}, "use 0 or more"),
        ({"as_of": datetime(2026, 1, 1)}, "no time zone"),  # noqa: DTZ001 - the naive instant is what is refused
    ],
)
def test_config__impossible_value__is_refused(change: dict, message: str) -> None:
    with pytest.raises(SimulationError, match=message):
        replace(CONFIG, **change)


def test_books__every_player__balance_to_the_cent(operator: SimulatedOperator) -> None:
    moved = operator.payments[operator.payments["status"].isin(["COMPLETED", "PENDING"])]
    paid_in = _by_player(operator, moved[moved["kind"] == "DEPOSIT"], "amount")
    paid_out = _by_player(operator, moved[moved["kind"] == "WITHDRAWAL"], "amount")
    result = _by_player(operator, operator.plays, "payout") - _by_player(operator, operator.plays, "stake")
    truth = operator.truth
    expected = truth["closing_cash"] + truth["closing_bonus"]
    assert (paid_in - paid_out + result + truth["bonus_granted"] - truth["bonus_forfeited"] == expected).all()
    assert (truth[["closing_cash", "closing_bonus", "bonus_granted", "bonus_forfeited"]] >= 0).all().all()


def test_payouts__every_game__mean_is_stake_less_edge(operator: SimulatedOperator) -> None:
    plays = operator.plays.merge(operator.games, left_on="game_code", right_on="code")
    # variance of a batch: rounds x (stake a round x sd)^2
    plays["variance"] = (plays["stake"] / plays["rounds"] * plays["round_sd"].astype(float)) ** 2 * plays["rounds"]
    plays["surplus"] = plays["payout"] - plays["stake"] * (1 - plays["house_edge"].astype(float))
    by_game = plays.groupby("game_code").agg(surplus=("surplus", "sum"), variance=("variance", "sum"))
    z = by_game["surplus"] / np.sqrt(by_game["variance"])
    assert len(z) == len(operator.games)
    assert z.abs().max() < 4
    standardised = plays["surplus"] / np.sqrt(plays["variance"])
    assert standardised.var() == pytest.approx(1.0, abs=0.06)


def test_times__all_events__lie_in_the_window_and_in_order(operator: SimulatedOperator) -> None:
    end = pd.Timestamp(CONFIG.as_of)
    sessions = operator.sessions
    assert (sessions["ended_at"] - sessions["started_at"]).min() >= pd.Timedelta(seconds=60)
    assert sessions["ended_at"].max() < end
    assert operator.plays["played_at"].max() < end
    assert operator.payments["occurred_at"].max() < end
    same = sessions["player_external_id"].eq(sessions["player_external_id"].shift())
    assert (sessions["started_at"] > sessions["ended_at"].shift())[same].all()
    registered = operator.players.set_index("external_id")["registered_at"]
    assert (sessions["started_at"] > sessions["player_external_id"].map(registered)).all()
    inside = operator.plays.merge(
        sessions, left_on=["player_external_id", "session_ref"], right_on=["player_external_id", "external_id"], validate="m:1"
    )
    assert len(inside) == len(operator.plays)
    assert (inside["played_at"].between(inside["started_at"], inside["ended_at"])).all()


def test_events__ids__are_unique_per_player_and_complete(operator: SimulatedOperator) -> None:
    for frame in (operator.payments, operator.sessions, operator.plays):
        assert not frame.duplicated(["player_external_id", "external_id"]).any()
        assert not frame.isna().any().any()
    assert (operator.plays["bonus_stake"] <= operator.plays["stake"]).all()
    assert (operator.plays["rounds"] >= 1).all()
    assert (operator.payments["amount"] > 0).all()


def test_exclusions__while_away__no_visit(operator: SimulatedOperator) -> None:
    spans = operator.exclusions.merge(operator.sessions, on="player_external_id")
    away = (spans["started_at"] >= spans["starts_at"]) & (spans["ends_at"].isna() | (spans["started_at"] < spans["ends_at"]))
    assert len(operator.exclusions) > 10
    assert not away.any()


def test_operator__whole__looks_like_one(operator: SimulatedOperator) -> None:
    totals = operator.totals
    active = totals[totals["total_wagered"] > 0]
    assert 0.30 < 1 - len(active) / len(totals) < 0.40
    assert 0.60 < (active["total_won"] < active["total_wagered"]).mean() < 0.75
    wagered = active["total_wagered"].sort_values(ascending=False)
    assert wagered.head(len(wagered) // 10).sum() / wagered.sum() > 0.7
    vip = (totals["total_wagered"] >= 100_000_00) & (totals["sessions"] >= 50)
    assert 0.005 < vip.mean() < 0.03
    assert 60 < len(operator.plays) / CONFIG.players < 100
    assert totals["total_wagered"].sum() == operator.plays["stake"].sum()


def test_types__shares__are_those_of_the_configuration(operator: SimulatedOperator) -> None:
    honest = operator.truth[operator.truth["abuser_kind"] == ""]
    shares = honest["player_type"].value_counts(normalize=True)
    total = sum(one.share for one in PLAYER_TYPES)
    for one in PLAYER_TYPES:
        expected = one.share / total
        assert shares[one.name] == pytest.approx(expected, abs=4 * np.sqrt(expected / len(honest)))
    kinds = operator.truth["abuser_kind"].value_counts()
    for kind, share in ABUSER_SHARES.items():
        assert kinds[kind] == pytest.approx(share * CONFIG.players, abs=2)


def test_rings__members__share_devices_and_addresses_as_strangers_do_not(operator: SimulatedOperator) -> None:
    truth = operator.truth.set_index("player_external_id")
    owners = operator.sessions.groupby("device_id")["player_external_id"].agg(set)
    shared = owners[owners.str.len() > 1]
    rings = truth[truth["ring"] >= 0]
    assert rings.groupby("ring").size().between(3, 8).all()
    visited = set(operator.sessions["player_external_id"])
    here = rings.index[rings.index.isin(visited)]
    caught = {player for group in shared for player in group}
    assert len(here) > 15
    assert sum(player in caught for player in here) / len(here) > 0.8
    for group in shared:  # devices are shared inside one ring or one household only
        assert truth.loc[list(group), ["ring", "household"]].drop_duplicates().shape[0] == 1
    paid_by = operator.payments.groupby("instrument")["player_external_id"].agg(set)
    assert all(truth.loc[list(group), "ring"].nunique() == 1 for group in paid_by[paid_by.str.len() > 1])
    assert (paid_by.str.len() > 1).any()


def test_abusers__planted__behave_as_their_kind(operator: SimulatedOperator) -> None:
    kinds = operator.truth.set_index("player_external_id")["abuser_kind"]
    plays = operator.plays.assign(kind=operator.plays["player_external_id"].map(kinds))
    share = plays.groupby("kind")[["bonus_stake", "stake"]].sum()
    assert share.loc["bonus_only", "bonus_stake"] / share.loc["bonus_only", "stake"] > 0.6
    assert share.loc["", "bonus_stake"] / share.loc["", "stake"] < 0.1
    deposits = operator.payments[operator.payments["kind"] == "DEPOSIT"]["player_external_id"].map(kinds)
    assert not (deposits == "bonus_only").any()
    crawl = plays[(plays["kind"] == "bet_manipulator")].assign(bet=lambda f: f["stake"] / f["rounds"])
    assert crawl[crawl["bonus_stake"] == 0]["bet"].max() > 5 * crawl[crawl["bonus_stake"] > 0]["bet"].median()


def test_offers__uplift__is_in_the_visits() -> None:
    """A tenth of the weeks carries an offer: an uplift of 3 must raise all visits by 30 %."""
    people = draw_population(np.random.default_rng(1), CONFIG, np.arange(1, 2001))
    never = np.full((2000, 2), np.nan)
    visits = []
    for uplift in (0.0, 3.0):
        people.uplift = np.full(2000, uplift)
        visits.append(len(draw_visits(np.random.default_rng(2), CONFIG, people, never).player))
    assert visits[1] / visits[0] == pytest.approx(1.30, abs=0.04)


def test_privacy__mail_and_networks__belong_to_nobody(operator: SimulatedOperator) -> None:
    assert operator.players["email"].str.endswith("@example.com").all()
    assert operator.sessions["ip"].str.match(r"^(10\.|100\.64\.)").all()
    age = (operator.players["registered_at"].dt.tz_localize(None) - pd.to_datetime(operator.players["birth_date"])).dt.days / 365.25
    assert age.min() >= 18
