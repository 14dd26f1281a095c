"""Metrics: hand-computed figures, honest instants, statements, and edge cases without a division error."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from players.activity import ActivityKind
from players.metrics import METRIC_COLUMNS, measure
from players.models import Player, PlayerMetrics
from players.services import apply_abuse_scores, ingest, refresh_metrics, refresh_metrics_for
from tests.factories import GameFactory, PlayerFactory

from .factories import moment, payment, play, session, totals

pytestmark = pytest.mark.django_db
D = Decimal


def figures(external_id: str, as_of: datetime) -> dict[str, Any]:
    player = Player.objects.get(external_id=external_id)
    refresh_metrics_for([player.pk], as_of)
    stored = PlayerMetrics.objects.get(player=player)
    assert stored.as_of == as_of
    found = {name: getattr(stored, name) for name in METRIC_COLUMNS}
    assert found == measure([player.pk], as_of)[player.pk]
    return found


def story(now: datetime) -> None:
    """A player's March: deposits 300 (one failed), two sessions of 1 h and 30 min, play on three days. `now` is 15 March, noon."""
    GameFactory(code="reel", house_edge=D("0.04"))
    ingest(
        ActivityKind.PAYMENTS,
        [
            payment("P1", "d1", moment(1), amount=D("200")),
            payment("P1", "d2", moment(10), amount=D("100")),
            payment("P1", "d3", moment(10), amount=D("999"), status="FAILED"),
            payment("P1", "w1", moment(14), amount=D("50"), kind="WITHDRAWAL"),
            payment("P1", "r1", moment(14), amount=D("20"), kind="CHARGEBACK"),
        ],
        at=now,
    )
    ingest(
        ActivityKind.SESSIONS,
        [session("P1", "s1", moment(1), moment(1, 13)), session("P1", "s2", moment(15, 9), moment(15, 9, 30))],
        at=now,
    )
    ingest(
        ActivityKind.PLAYS,
        [
            play("P1", "p1", moment(1), stake=D("100"), payout=D("40"), rounds=50),
            play("P1", "p2", moment(14), stake=D("200"), payout=D("230"), rounds=50, bonus_stake=D("60")),
            play("P1", "p3", moment(15, 9), stake=D("300"), payout=D("180"), rounds=50, game_code="wheel", game_category="roulette"),
        ],
        at=now,
    )


def test_metrics__march_story__match_the_hand_computed_figures(now: datetime) -> None:
    story(now)
    found = figures("P1", now)
    assert (found["total_deposited"], found["deposit_count"], found["total_withdrawn"], found["withdrawal_count"]) == (D(300), 2, D(50), 1)
    assert found["total_refunded"] == D(20)
    assert (found["total_wagered"], found["total_won"], found["net_pnl"], found["net_loss"]) == (D(600), D(450), D(-150), D(150))
    assert found["house_edge_contribution"] == D("27")  # 300 x 4 % + 300 x 5 % (wheel has no edge of its own)
    assert found["bonus_wagered"] == D(60)
    assert (found["sessions"], found["playtime_hours"], found["avg_session_duration"]) == (2, D("1.5"), D(45))
    assert (found["total_bets"], found["avg_bet_size"]) == (150, D(4))
    assert found["win_loss_ratio"] == D("0.75")
    # results -60, +30, -120: mean -50, squares 100 + 6400 + 4900 = 11400, / 2 = 5700, root 75.498344; mean stake 200
    assert found["volatility_score"] == D("0.377492")
    assert (found["active_days"], found["first_activity_on"], found["last_activity_on"]) == (4, date(2026, 3, 1), date(2026, 3, 15))
    assert (found["last_deposit_on"], found["last_play_on"]) == (date(2026, 3, 10), date(2026, 3, 15))
    assert (found["deposited_7d"], found["wagered_7d"], found["net_loss_7d"], found["sessions_7d"]) == (D(100), D(500), D(90), 1)
    assert (found["deposited_30d"], found["wagered_30d"], found["net_loss_30d"], found["sessions_30d"]) == (D(300), D(600), D(150), 2)
    assert (found["wagered_1d"], found["net_loss_1d"]) == (D(200), D(0))  # 14 March: 30 ahead


def test_metrics__past_instant__know_nothing_of_what_came_later(now: datetime) -> None:
    story(now)
    found = figures("P1", moment(15, 8, 59))
    assert (found["total_wagered"], found["total_won"], found["sessions"], found["total_bets"]) == (D(300), D(270), 1, 100)
    assert found["last_play_on"] == date(2026, 3, 14)
    assert figures("P1", moment(15, 9))["total_wagered"] == D(600)  # an event in the very instant counts


def test_metrics__as_of_in_another_zone__is_the_same_instant(now: datetime) -> None:
    story(now)
    plus_14 = now.astimezone(ZoneInfo("Pacific/Kiritimati"))  # already 16 March there
    player = Player.objects.get().pk
    assert measure([player], plus_14) == measure([player], now)


@pytest.mark.parametrize(("days_ago", "in_7", "in_30"), [(0, 1, 1), (6, 1, 1), (7, 0, 1), (29, 0, 1), (30, 0, 0)])
def test_windows__edges__hold_the_day_of_as_of_and_the_days_before(now: datetime, days_ago: int, in_7: int, in_30: int) -> None:
    day = now.date() - timedelta(days=days_ago)
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    ingest(ActivityKind.PLAYS, [play("P1", "x", start, stake=D(8), payout=D(3))], at=now)
    ingest(ActivityKind.PAYMENTS, [payment("P1", "x", start, amount=D(8))], at=now)
    ingest(ActivityKind.SESSIONS, [session("P1", "x", start)], at=now)
    found = figures("P1", now)
    assert (found["wagered_7d"], found["net_loss_7d"], found["deposited_7d"], found["sessions_7d"]) == (8 * in_7, 5 * in_7, 8 * in_7, in_7)
    assert (found["wagered_30d"], found["net_loss_30d"], found["deposited_30d"], found["sessions_30d"]) == (
        8 * in_30,
        5 * in_30,
        8 * in_30,
        in_30,
    )


def test_metrics__no_activity__are_all_zero_and_empty(now: datetime) -> None:
    PlayerFactory(external_id="P1")
    found = figures("P1", now)
    dates = {name for name in METRIC_COLUMNS if name.endswith("_on")}
    assert {name: found[name] for name in dates} == dict.fromkeys(dates)
    assert all(found[name] == 0 for name in METRIC_COLUMNS if name not in dates)


@pytest.mark.parametrize("stake", [D(0), D("0.0001")])
def test_metrics__zero_or_tiny_stakes_with_a_jackpot__are_defined(now: datetime, stake: Decimal) -> None:
    rows = [play("P1", f"x{n}", moment(n), stake=stake, payout=D("9000000000") * (n % 2)) for n in (1, 2)]
    ingest(ActivityKind.PLAYS, rows, at=now)
    found = figures("P1", now)
    assert found["net_pnl"] == D("9000000000") - 2 * stake
    assert (found["win_loss_ratio"], found["volatility_score"]) == ((0, 0) if stake == 0 else (D(99999999), D(99999999)))


def test_metrics__only_refunds_and_failures__are_no_activity(now: datetime) -> None:
    ingest(
        ActivityKind.PAYMENTS,
        [payment("P1", "r", moment(2), kind="REFUND", amount=D(5)), payment("P1", "f", moment(2), status="FAILED")],
        at=now,
    )
    found = figures("P1", now)
    assert (found["total_deposited"], found["total_refunded"], found["active_days"], found["last_activity_on"]) == (0, D(5), 0, None)
    assert (found["avg_session_duration"], found["avg_bet_size"], found["win_loss_ratio"], found["volatility_score"]) == (0, 0, 0, 0)


def test_statement__latest_before_as_of__replaces_the_days_it_covers(now: datetime) -> None:
    story(now)
    ingest(
        ActivityKind.TOTALS,
        [
            totals("P1", moment(1, 0), total_wagered=D(77), bets=7),
            totals(
                "P1",
                moment(14, 6),
                total_deposited=D(5000),
                total_wagered=D(15000),
                total_won=D(12000),
                sessions=25,
                playtime_hours=D(48),
                bets=3000,
            ),
            totals("P1", moment(16), total_wagered=D(99)),
        ],
        at=now,
    )
    found = figures("P1", now)
    # the statement covers 14 March whole; 15 March adds 300 staked, 180 won, 50 bets, one session of half an hour
    assert (found["total_deposited"], found["total_wagered"], found["total_won"]) == (D(5000), D(15300), D(12180))
    assert (found["sessions"], found["playtime_hours"], found["total_bets"]) == (26, D("48.5"), 3050)
    assert found["avg_session_duration"] == D("111.9231")
    assert found["house_edge_contribution"] == D("765")  # 15000 x 5 % + 300 x 5 %
    assert (found["deposit_count"], found["total_withdrawn"], found["wagered_7d"]) == (2, D(50), D(500))
    assert figures("P1", moment(13))["total_wagered"] == D(77)


def test_statement__without_bets__leaves_the_average_to_the_days_that_say(now: datetime) -> None:
    story(now)
    ingest(ActivityKind.TOTALS, [totals("P1", moment(1), total_wagered=D(15000), bets=None)], at=now)
    found = figures("P1", now)
    assert (found["total_wagered"], found["total_bets"], found["avg_bet_size"]) == (D(15500), 150, D(4))


def test_reference_sample__one_row__gives_the_reference_figures(now: datetime) -> None:
    row = totals("P001", now, total_deposited=D(5000), total_wagered=D(15000), total_won=D(12000), sessions=25, playtime_hours=D(48))
    ingest(ActivityKind.TOTALS, [row], at=now)
    found = figures("P001", now)
    assert (found["net_pnl"], found["net_loss"], found["house_edge_contribution"]) == (D(-3000), D(3000), D(750))
    assert (found["win_loss_ratio"], found["avg_session_duration"], found["avg_bet_size"]) == (D("0.8"), D("115.2"), 0)


def test_refresh__again__writes_nothing_and_keeps_the_abuse_score(now: datetime) -> None:
    story(now)
    player = Player.objects.get().pk
    assert apply_abuse_scores([player], [D("61.5")], now) == 1
    before = PlayerMetrics.objects.extra(select={"version": "xmin::text"}).values().get()
    assert refresh_metrics(player, player + 1, now) == 1
    assert PlayerMetrics.objects.extra(select={"version": "xmin::text"}).values().get() == before
    refresh_metrics(player, player + 1, now + timedelta(hours=1))
    assert PlayerMetrics.objects.get().bonus_abuse_score == D("61.5")
    assert Player.objects.get().risk_score == 62


def test_refresh__range__is_half_open(now: datetime) -> None:
    ids = sorted(PlayerFactory().pk for _ in range(3))
    assert refresh_metrics(ids[0], ids[2], now) == 2
    assert set(PlayerMetrics.objects.values_list("player_id", flat=True)) == set(ids[:2])


def test_refresh__naive_instant__is_refused(now: datetime) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        refresh_metrics(0, 10, datetime(2026, 3, 1))  # noqa: DTZ001
