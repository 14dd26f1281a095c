"""The database's roll-up and metrics against a plain Python account of the same random activity."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from players.activity import COLUMNS, ActivityKind
from players.activity.days import FIGURES
from players.metrics import METRIC_COLUMNS, measure
from players.models import Player, PlayerDay
from players.services import ingest
from tests.factories import GameFactory, PlayerFactory

from . import oracle

pytestmark = pytest.mark.django_db
D = Decimal
NOW = datetime(2026, 3, 15, 12, 0, tzinfo=UTC)
EDGES = {"reel": D("0.04"), "wheel": D("0.027"), "fresh": None}
EDGE = D("0.05")

moments = st.one_of(
    # days around as_of and the edges of the windows, instants around midnight and noon
    st.builds(
        lambda days, seconds: datetime(2026, 3, 15, tzinfo=UTC) - timedelta(days=days) + timedelta(seconds=seconds),
        st.sampled_from([-1, 0, 0, 1, 2, 6, 7, 29, 30, 400]),
        st.sampled_from([0, 1, 43199, 43200, 43201, 86399]),
    )
)
money = st.one_of(st.just(D(0)), st.decimals("0.0001", "99999", places=4))
owners = st.sampled_from(["P1", "P2"])


@st.composite
def payments(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "player_external_id": draw(owners),
        "external_id": f"e{draw(st.integers(0, 9))}",
        "kind": draw(st.sampled_from(["DEPOSIT", "DEPOSIT", "WITHDRAWAL", "REFUND", "CHARGEBACK"])),
        "status": draw(st.sampled_from(["COMPLETED", "COMPLETED", "FAILED", "PENDING", "CANCELLED"])),
        "amount": draw(money),
        "occurred_at": draw(moments),
    }


@st.composite
def sessions(draw: st.DrawFn) -> dict[str, Any]:
    started = draw(moments)
    length = draw(st.none() | st.timedeltas(timedelta(0), timedelta(hours=30)))
    ref = f"e{draw(st.integers(0, 9))}"
    return {
        "player_external_id": draw(owners),
        "external_id": ref,
        "started_at": started,
        "ended_at": started + length if length is not None else None,
    }


@st.composite
def plays(draw: st.DrawFn) -> dict[str, Any]:
    stake = draw(money)
    return {
        "player_external_id": draw(owners),
        "external_id": f"e{draw(st.integers(0, 9))}",
        "game_code": draw(st.sampled_from(sorted(EDGES))),
        "played_at": draw(moments),
        "stake": stake,
        "payout": draw(money),
        "bonus_stake": draw(st.sampled_from([D(0), stake])),
        "rounds": draw(st.integers(1, 300)),
    }


@st.composite
def statements(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "player_external_id": draw(owners),
        "as_of": draw(moments),
        "total_deposited": draw(money),
        "total_wagered": draw(money),
        "total_won": draw(money),
        "sessions": draw(st.integers(0, 50)),
        "playtime_hours": draw(money),
        "bets": draw(st.none() | st.integers(0, 1000)),
    }


def take_in(kind: str, events: list[dict[str, Any]], batch: int) -> None:
    """In batches, so that later rows correct, move and repeat what earlier ones brought."""
    for start in range(0, len(events), batch):
        ingest(kind, [[event.get(column) for column in COLUMNS[kind]] for event in events[start : start + batch]], at=NOW)


def standing(events: list[dict[str, Any]], key: str, player: str) -> list[dict[str, Any]]:
    """What remains of one player's events: the last row of each key."""
    return list({event[key]: event for event in events if event["player_external_id"] == player}.values())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.lists(payments(), max_size=12),
    st.lists(sessions(), max_size=8),
    st.lists(plays(), max_size=12),
    st.lists(statements(), max_size=3),
    st.integers(1, 6),
    st.sampled_from([NOW, NOW.replace(hour=0), NOW - timedelta(days=1), NOW - timedelta(days=8, seconds=1), NOW + timedelta(days=40)]),
)
def test_metrics__random_activity__equal_the_plain_account(
    paid: list, visits: list, played: list, stated: list, batch: int, as_of: datetime
) -> None:
    with transaction.atomic():
        for code, edge in EDGES.items():
            GameFactory(code=code, house_edge=edge)
        ids = {name: PlayerFactory(external_id=name).pk for name in ("P1", "P2")}
        take_in(ActivityKind.PAYMENTS, paid, batch)
        take_in(ActivityKind.SESSIONS, visits, batch)
        take_in(ActivityKind.PLAYS, played, batch)
        take_in(ActivityKind.TOTALS, stated, batch)
        found = measure(list(ids.values()), as_of)
        for name, pk in ids.items():
            account = (standing(events, "external_id", name) for events in (paid, visits, played))
            p, s, g = account
            assert stored_days(pk) == {
                day: {figure: figures[figure] for figure in FIGURES} for day, figures in oracle.day_figures(p, s, g, EDGES, EDGE).items()
            }
            assert found[pk] == oracle.metrics(p, s, g, standing(stated, "as_of", name), EDGES, EDGE, as_of)
        assert set(found[pk]) == set(METRIC_COLUMNS)
        assert Player.objects.count() == 2
        transaction.set_rollback(True)


def stored_days(player_id: int) -> dict[date, dict[str, Any]]:
    return {row.pop("day"): row for row in PlayerDay.objects.filter(player_id=player_id).values("day", *FIGURES)}
