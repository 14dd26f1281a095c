"""One by one, in any batching, as a file, with duplicates, in any legal order: the same state, table by table."""

import random
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.factories import NOW, GameFactory, PlayerFactory
from tests.wallet.activity.scenes import activity, grant, table
from tests.wallet.activity.states import state
from tests.wallet.factories import assert_books_balance
from wallet.activity.ingest import ingest
from wallet.activity.receive import receive
from wallet.bonus.values import Activity

pytestmark = pytest.mark.django_db


class _Undo(Exception):
    pass


def outcome_of(player_ids: list[int], work: Any, **how: Any) -> dict[str, Any]:
    """The state after `work`, which is undone."""
    found: dict[str, Any] = {}
    try:
        with transaction.atomic():
            work()
            found = state(player_ids, **how)
            assert_books_balance()
            raise _Undo
    except _Undo:
        return found


def one_by_one(events: list[Activity]) -> None:
    for event in events:
        receive([event])


def batches(events: list[Activity], sizes: list[int]) -> None:
    rest, turn = events, 0
    while rest:
        size = sizes[turn % len(sizes)]
        receive(rest[:size])
        rest, turn = rest[size:], turn + 1


@pytest.fixture
def scene():
    """Four players: a bonus that completes, one with a queue, one with odd terms, one without any."""
    players = [PlayerFactory().pk for _ in range(4)]
    GameFactory(code="edgy", house_edge=Decimal("0.01"))
    weights = table(("category", "slots", "fixed", "1"), ("category", "table", "fixed", "0.1"), ("default", "", "edge", "0.5"))
    grant(players[0], "20", multiple=Decimal(2), contribution_table=weights)
    grant(players[1], "5", requirement=Decimal(8), cash_out_cap=Decimal(1))
    grant(players[1], "7", status="QUEUED", requirement=Decimal(9), wagering_seconds=86400, winnings="locked")
    grant(players[2], "30", max_bet=500, over_max_bet="penalty", penalty_factor=Decimal(2), fund_order="proportional", min_bet=100)
    return players


def play(rng: random.Random, players: list[int], rounds: int) -> list[Activity]:
    """Rounds of bets and wins, some settled later, some taken back; ids are unique unless a rollback names them."""
    events: list[Activity] = []
    for number in range(rounds):
        player = rng.choice(players)
        common = {
            "round_id": f"r{number}",
            "game_code": rng.choice(["edgy", "starburst"]),
            "game_category": rng.choice(["slots", "table", "live"]),
            "occurred_at": NOW + timedelta(minutes=number),
        }
        stakes = [
            activity(player, "BET", f"{rng.randint(1, 900) / 100:.2f}", activity_id=f"b{number}-{n}", **common)
            for n in range(rng.choice([1, 1, 2]))
        ]
        stakes = [replace(one, cash_before=rng.choice([None, one.amount // 2, one.amount + 100])) for one in stakes]
        wins = [activity(player, "WIN", f"{rng.randint(0, 1500) / 100:.2f}", activity_id=f"w{number}", **common)] * rng.choice([0, 1, 1])
        round_events = stakes + wins
        if rng.random() < 0.8:
            last = round_events[-1]
            round_events[-1] = replace(last, ends_round=True)
        else:
            round_events.append(activity(player, "ROUND_END", activity_id=f"e{number}", round_id=f"r{number}"))
        if rng.random() < 0.3:
            target = rng.choice(stakes + wins)
            names_kind = rng.random() < 0.5
            round_events.append(
                activity(
                    player, "ROLLBACK", activity_id=f"x{number}", round_id=f"r{number}", takes_back_id=target.activity_id,
                    takes_back_kind=str(target.kind) if names_kind else "", cash_before=rng.choice(["0", "100"]),
                )
            )  # fmt: skip
        if rng.random() < 0.2:
            rng.shuffle(round_events)
        events += round_events
    return events


def interleaved(rng: random.Random, events: list[Activity]) -> list[Activity]:
    """Another order of the players against each other; each player's own order stays."""
    queues = {one.player_id: [event for event in events if event.player_id == one.player_id] for one in events}
    mixed = []
    while queues:
        player = rng.choice(sorted(queues))
        mixed.append(queues[player].pop(0))
        if not queues[player]:
            del queues[player]
    return mixed


def with_duplicates(rng: random.Random, events: list[Activity]) -> list[Activity]:
    """Some events are reported again, some time after the first report."""
    doubled = list(events)
    for event in rng.sample(events, len(events) // 4):
        doubled.insert(rng.randint(doubled.index(event) + 1, len(doubled)), event)
    return doubled


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**9), rounds=st.integers(1, 25), sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4))
def test_any_way_in__same_state(scene, seed, rounds, sizes):
    rng = random.Random(seed)  # noqa: S311 - a load, not a secret
    events = with_duplicates(rng, play(rng, scene, rounds))
    mixed = interleaved(rng, events)
    expected = outcome_of(scene, lambda: one_by_one(events))
    ways = {
        "batches": lambda: batches(events, sizes),
        "file": lambda: ingest(events, at=NOW),
        "players in another order": lambda: batches(mixed, sizes),
        "file, players in another order": lambda: ingest(mixed, at=NOW),
    }
    for name, way in ways.items():
        found = outcome_of(scene, way)
        different = {of: (set(map(repr, expected[of])) ^ set(map(repr, found[of]))) for of in expected if expected[of] != found[of]}
        assert not different, name
    # what was refused may be taken when it is reported again, so the second half begins with all of the first
    again = events[: len(events) // 2] + events
    expected = outcome_of(scene, lambda: one_by_one(again))
    assert outcome_of(scene, lambda: (batches(events[: len(events) // 2], sizes), ingest(events, at=NOW))) == expected


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    stake=st.integers(1, 2000), win=st.integers(0, 5000), cash=st.integers(0, 2000), ahead=st.sampled_from(["win", "rollback of the bet"])
)
def test_win_or_rollback_first__same_money_and_progress(scene, stake, win, cash, ahead):
    """Alone in its round, a win may come before its bet and a rollback before its target."""
    player = scene[0]
    bet = replace(activity(player, "BET", activity_id="b", round_id="r"), amount=stake, cash_before=cash)
    if ahead == "win":
        other = replace(activity(player, "WIN", activity_id="w", round_id="r"), amount=win)
        events = [bet, other, activity(player, "ROUND_END", round_id="r")]
    else:
        other = activity(player, "ROLLBACK", activity_id="x", round_id="r", takes_back_id="b", takes_back_kind="BET")
        events = [bet, other, activity(player, "ROUND_END", round_id="r")]
    turned = [other, bet, events[2]]
    if stake > cash + 2000:
        return  # refused in one order, taken in none
    seen = [outcome_of([player], lambda order=order: one_by_one(order), with_order=False) for order in (events, turned)]
    for found in seen:
        grants = [row[:1] + row[2:7] for row in found["grants"]]
        found["grants"] = grants
    assert seen[0]["grants"] == seen[1]["grants"]
    assert [row[3] for row in seen[0]["accounts"]] == [row[3] for row in seen[1]["accounts"]]
