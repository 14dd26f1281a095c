"""Each detector on small frames with strengths worked out by hand."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from fraud.detectors import (
    DEFAULTS,
    detect_bet_manipulation,
    detect_bonus_only,
    detect_immediate_withdrawal,
    detect_multi_account,
)
from fraud.detectors.multi_account import Components, cluster_key

T = pd.Timestamp(datetime(2026, 3, 10, 12, tzinfo=UTC))


def _bonus(**changes: Any) -> pd.DataFrame:
    row = {
        "player_id": 1,
        "stake": 100,
        "bonus_stake": 100,
        "net_deposits": 0,
        "deposit_count": 0,
        "bonus_days": 4,
        "grants": 0,
        "last_bonus_at": T,
    }
    return pd.DataFrame([{**row, **changes}])


@pytest.mark.parametrize(
    ("changes", "strength"),
    [
        ({}, 1.0),
        ({"bonus_stake": 75}, 0.5),  # (0.75 - 0.5) / 0.5
        ({"bonus_stake": 75, "bonus_days": 2}, 0.25),
        ({"bonus_days": 1, "grants": 3}, 0.75),  # repetition by grants
        ({"deposit_count": 1, "net_deposits": 10}, 0.75),  # one of four deposits
        ({"deposit_count": 2, "net_deposits": -5}, 1.0),  # charged back: no real money
    ],
)
def test_bonus_only__strength__by_hand(changes: dict, strength: float) -> None:
    (finding,) = detect_bonus_only(_bonus(**changes), DEFAULTS)
    assert finding.strength == pytest.approx(strength)
    assert finding.seen_at == T
    assert finding.evidence["window_days"] == 90


@pytest.mark.parametrize("changes", [{"bonus_stake": 50}, {"deposit_count": 4, "net_deposits": 200}, {"bonus_stake": 0}])
def test_bonus_only__paying_or_mixed__nothing(changes: dict) -> None:
    assert detect_bonus_only(_bonus(**changes), DEFAULTS) == []


def _withdrawal(hours: float, staked: float, **changes: Any) -> dict[str, Any]:
    row = {
        "player_id": 1,
        "withdrawal_id": 7,
        "withdrawn_at": T,
        "amount": 100,
        "source": "deposit",
        "credited_at": T - timedelta(hours=hours),
        "credited": 100,
        "staked": staked,
        "rounds": 10,
    }
    return {**row, **changes}


def test_immediate_withdrawal__one_event__half_of_its_weight() -> None:
    # 6 of 24 hours: 0.75; a fifth staked: 0.8; event strength 0.5
    (finding,) = detect_immediate_withdrawal(pd.DataFrame([_withdrawal(6, 20)]), DEFAULTS)
    assert finding.strength == pytest.approx(0.5 * 0.75 * 0.8)
    assert finding.evidence["strongest"] == [
        {
            "withdrawal_id": 7,
            "after": "deposit",
            "hours": 6.0,
            "turnover": 0.2,
            "credited": "100.00",
            "withdrawn": "100.00",
            "rounds": 10,
        }
    ]


def test_immediate_withdrawal__repeated__adds_up() -> None:
    frame = pd.DataFrame([_withdrawal(0, 0), _withdrawal(0, 0, withdrawal_id=8), _withdrawal(0, 0, withdrawal_id=9)])
    (finding,) = detect_immediate_withdrawal(frame, DEFAULTS)
    assert finding.strength == pytest.approx(1 - 0.5**3)
    assert finding.evidence["events"] == 3


@pytest.mark.parametrize(
    "event",
    [
        _withdrawal(1, 100),  # played through once
        _withdrawal(1, 5, amount=49),  # less than half of what came in
        _withdrawal(24, 0),  # a day later
        _withdrawal(0.5, 300, amount=5000),  # a large win after real play: winning is no signal
    ],
)
def test_immediate_withdrawal__ordinary__nothing(event: dict) -> None:
    assert detect_immediate_withdrawal(pd.DataFrame([event]), DEFAULTS) == []


def test_immediate_withdrawal__no_rows__nothing() -> None:
    assert detect_immediate_withdrawal(pd.DataFrame([_withdrawal(1, 1)]).iloc[:0], DEFAULTS) == []


def _play(minute: int, bet: float, rounds: int, *, bonus: bool, player: int = 1) -> dict[str, Any]:
    stake = bet * rounds
    return {
        "player_id": player,
        "play_id": minute,
        "played_at": T + timedelta(minutes=minute),
        "stake": stake,
        "bonus_stake": stake if bonus else 0,
        "rounds": rounds,
    }


def test_bet_manipulation__jump_by_12__half_of_the_log_scale() -> None:
    plays = pd.DataFrame([_play(0, 0.2, 60, bonus=True), _play(10, 0.2, 40, bonus=True), _play(20, 2.4, 10, bonus=False)])
    (finding,) = detect_bet_manipulation(plays, DEFAULTS)
    # log(12 / 6) / log(24 / 6) = 0.5, times the event strength 0.6
    assert finding.strength == pytest.approx(0.3)
    assert finding.evidence["strongest"] == [
        {"play_id": 20, "jump": 12.0, "bet": "2.40", "bet_while_wagering": "0.20", "rounds_while_wagering": 100, "still_wagering": False}
    ]


def test_bet_manipulation__jump_while_wagering__counts_too() -> None:
    plays = pd.DataFrame([_play(0, 0.2, 60, bonus=True), _play(10, 4.8, 5, bonus=True)])
    (finding,) = detect_bet_manipulation(plays, DEFAULTS)
    assert finding.strength == pytest.approx(0.6)
    assert finding.evidence["strongest"][0]["still_wagering"] is True


def test_bet_manipulation__order_of_rows__does_not_matter() -> None:
    rows = [_play(0, 0.2, 60, bonus=True), _play(20, 2.4, 10, bonus=False)]
    assert detect_bet_manipulation(pd.DataFrame(rows[::-1]), DEFAULTS) == detect_bet_manipulation(pd.DataFrame(rows), DEFAULTS)


@pytest.mark.parametrize(
    "rows",
    [
        [_play(0, 0.2, 29, bonus=True), _play(10, 4.8, 5, bonus=False)],  # too little wagering to compare with
        [_play(0, 0.2, 60, bonus=True), _play(10, 1.2, 5, bonus=False)],  # six times: another game
        [_play(0, 0.2, 60, bonus=True), _play(24 * 60 + 1, 4.8, 5, bonus=False)],  # a day later
        [_play(0, 0.2, 60, bonus=False), _play(10, 4.8, 5, bonus=False)],  # no bonus
        [_play(0, 4.8, 60, bonus=False), _play(10, 4.8, 60, bonus=True)],  # always played so
        [_play(0, 0.2, 60, bonus=True), _play(10, 4.8, 5, bonus=False, player=2)],  # somebody else
    ],
)
def test_bet_manipulation__ordinary__nothing(rows: list[dict]) -> None:
    assert detect_bet_manipulation(pd.DataFrame(rows), DEFAULTS) == []


def _links(*rows: tuple[int, str, str, float]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["player_id", "kind", "token", "share"])
    frame["last_seen_at"] = T
    return frame


def test_multi_account__pair_on_a_device__half_of_the_device() -> None:
    findings = detect_multi_account(_links((1, "DEVICE", "d", 1.0), (2, "DEVICE", "d", 1.0)), DEFAULTS)
    assert [(one.player_id, one.strength, one.evidence["linked_players"]) for one in findings] == [
        (1, pytest.approx(0.4), [2]),
        (2, pytest.approx(0.4), [1]),
    ]


def test_multi_account__chain__is_one_cluster() -> None:
    links = _links(
        (1, "DEVICE", "d", 1.0),
        (2, "DEVICE", "d", 0.5),
        (2, "INSTRUMENT", "i", 1.0),
        (3, "INSTRUMENT", "i", 1.0),
    )
    findings = {one.player_id: one for one in detect_multi_account(links, DEFAULTS)}
    assert {one.key for one in findings.values()} == {cluster_key([1, 2, 3])}
    assert findings[1].evidence["linked_players"] == [2, 3]
    assert findings[1].strength == pytest.approx(0.8 * 0.75)
    assert findings[2].strength == pytest.approx((1 - 0.2 * 0.1) * 0.75)
    assert findings[3].strength == pytest.approx(0.9 * 0.75)


def test_multi_account__tablet_now_and_then__weighs_by_its_share() -> None:
    findings = detect_multi_account(_links((1, "DEVICE", "d", 0.1), (2, "DEVICE", "d", 1.0)), DEFAULTS)
    assert [one.strength for one in findings] == [pytest.approx(0.8 * 0.2 * 0.5), pytest.approx(0.4)]


def test_multi_account__address_alone__stays_weak_and_does_not_weld() -> None:
    links = _links(
        (1, "DEVICE", "d", 1.0),
        (2, "DEVICE", "d", 1.0),
        (3, "DEVICE", "e", 1.0),
        (4, "DEVICE", "e", 1.0),
        (2, "IP", "home", 1.0),
        (3, "IP", "home", 1.0),
        (5, "IP", "cafe", 1.0),
        (6, "IP", "cafe", 1.0),
    )
    findings = {one.player_id: one for one in detect_multi_account(links, DEFAULTS)}
    assert findings[2].evidence["linked_players"] == [1]
    assert findings[3].evidence["linked_players"] == [4]
    assert findings[2].strength == findings[1].strength == pytest.approx(0.4)  # its address is shared with a stranger only
    assert findings[5].strength == pytest.approx(0.25 * 0.5)


def test_multi_account__mobile_network__is_ignored() -> None:
    crowd = [(player, "IP", "carrier", 1.0) for player in range(1, 10)]
    assert detect_multi_account(_links(*crowd), DEFAULTS) == []
    assert len(detect_multi_account(_links(*crowd[:8]), DEFAULTS)) == 8


def test_multi_account__nothing_shared__nothing() -> None:
    assert detect_multi_account(_links((1, "DEVICE", "d", 1.0), (2, "DEVICE", "e", 1.0)), DEFAULTS) == []


def test_components__joined_both_ways__members_ascending() -> None:
    components = Components()
    for one, other in ((5, 4), (2, 1), (4, 1), (9, 9)):
        components.join(one, other)
    assert components.groups() == [[1, 2, 4, 5], [9]]
