"""The database's features and labels of simulated players against the plain account of the same events."""

import math
import statistics
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from players.models import Exclusion, Player
from players.simulation import SimulatedOperator, SimulationConfig, simulate
from players.simulation_writer import write_database
from predictions.features import currency_units, frame, labels
from predictions.ml.features import FEATURE_NAMES

from . import oracle

AS_OF = datetime(2026, 3, 15, 12, tzinfo=UTC)
CONFIG = SimulationConfig(players=240, as_of=AS_OF, months=13, seed=11)


def events(table: pd.DataFrame) -> dict[str, list[dict]]:
    return {str(player): rows.to_dict("records") for player, rows in table.groupby("player_external_id")}


def median_deposits(operator: SimulatedOperator, cut: datetime) -> dict[str, float]:
    table = operator.payments.merge(operator.players[["external_id", "currency"]], left_on="player_external_id", right_on="external_id")
    table = table[(table["kind"] == "DEPOSIT") & (table["status"] == "COMPLETED")]
    table = table[(table["occurred_at"] < cut) & (table["occurred_at"] >= cut - timedelta(days=365))]
    found = {str(currency): list(rows["amount"]) for currency, rows in table.groupby("currency")}
    return {currency: statistics.median(amounts) / 100 for currency, amounts in found.items() if len(amounts) >= 30}


@pytest.mark.django_db
def test_frame_and_labels__simulated_players__equal_the_plain_account(tmp_path: Path) -> None:
    operator = simulate(CONFIG)
    write_database(CONFIG, truth_path=tmp_path / "truth.csv", at=AS_OF, append=False, progress=lambda text: None)
    ids = {pk: external for pk, external in Player.objects.values_list("id", "external_id")}
    registered = dict(zip(operator.players["external_id"], operator.players["registered_at"], strict=True))
    currency = dict(zip(operator.players["external_id"], operator.players["currency"], strict=True))
    games = operator.games.set_index("code").to_dict("index")
    tables = {name: events(getattr(operator, name)) for name in ("payments", "sessions", "plays")}
    compared = 0
    for as_of in (AS_OF, AS_OF - timedelta(days=75, hours=7)):
        cut = as_of.replace(hour=0, minute=0, second=0, microsecond=0)
        units = currency_units(as_of)
        assert units == pytest.approx(median_deposits(operator, cut))
        found = frame(0, 2**62, as_of)
        outcomes = labels(0, 2**62, as_of, 30, AS_OF)
        assert [ids[player] for player in found.index] == sorted(name for name, at in registered.items() if at < cut)
        for player, row in found.iterrows():
            name = ids[player]
            mine = [tables[kind].get(name, []) for kind in ("payments", "sessions", "plays")]
            unit = units.get(currency[name], math.nan)
            expected = oracle.features(registered[name], *mine, games, unit, as_of)
            assert set(expected) == set(FEATURE_NAMES)
            assert row[list(FEATURE_NAMES)].astype(float).to_dict() == pytest.approx(expected, rel=1e-11, abs=1e-12, nan_ok=True), name
            compared += 1
            if as_of < AS_OF:
                assert outcomes.loc[player, "churned"] == oracle.churned(mine[0], mine[2], as_of, 30), name
                assert outcomes.loc[player, "is_eligible"] == (not closed_or_away(player, cut, mine) and not math.isnan(unit)), name
    assert compared > 400
    assert 0.2 < outcomes["churned"].mean() < 0.95


def closed_or_away(player: int, cut: datetime, mine: list[list[dict]]) -> bool:
    end = cut + timedelta(days=30)
    for one in Exclusion.objects.filter(player_id=player):
        if one.starts_at < end and (one.ends_at is None or one.ends_at > cut):
            return True
    moments = [
        at for events in mine for event in events for name, at in event.items() if name in ("occurred_at", "started_at", "played_at")
    ]
    last_known = AS_OF.replace(hour=0)
    return Player.objects.get(pk=player).status == "CLOSED" and not any(end <= at < last_known for at in moments)
