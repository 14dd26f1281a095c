"""Merging activity: what is created, what changes, what stays, and what the roll-up says afterwards."""

from datetime import date, datetime
from decimal import Decimal

import pytest
from django.db import connection

from players.activity import ActivityKind, MergeCounts
from players.models import ActivityTotals, Game, GamePlay, Jurisdiction, Payment, Player, PlayerDay, PlaySession, Protection
from players.services import ingest
from tests.factories import GameFactory, PlayerFactory

from .factories import moment, payment, play, profile, session, totals

pytestmark = pytest.mark.django_db
D = Decimal


def day_of(player: str, day: date) -> PlayerDay:
    return PlayerDay.objects.get(player__external_id=player, day=day)


def test_payments__new__are_created_with_player_and_day(now: datetime) -> None:
    rows = [
        payment("P1", "a", moment(1), amount=D("100.50")),
        payment("P1", "b", moment(1, 23, 59), amount=D("20"), status="FAILED"),
        payment("P1", "c", moment(1), amount=D("30.25"), kind="WITHDRAWAL"),
        payment("P1", "d", moment(1), amount=D("5"), kind="REFUND"),
        payment("P1", "e", moment(1), amount=D("7"), kind="CHARGEBACK"),
        payment("P1", "f", moment(1), amount=D("900"), status="PENDING"),
        payment("P1", "g", moment(2, 0, 0), amount=D("1")),
    ]
    assert ingest(ActivityKind.PAYMENTS, rows, at=now) == MergeCounts(created=7, players_created=1)
    first = day_of("P1", date(2026, 3, 1))
    assert (first.deposits, first.deposit_count, first.failed_deposit_count) == (D("100.50"), 1, 1)
    assert (first.withdrawals, first.withdrawal_count, first.refunds) == (D("30.25"), 1, D("12"))
    assert day_of("P1", date(2026, 3, 2)).deposits == D("1")
    player = Player.objects.get()
    assert (player.external_id, player.currency, player.created_at, player.segment, player.attributes) == ("P1", "EUR", now, "NEW", {})


def test_sessions__with_and_without_end__count_seconds_on_the_day_they_started(now: datetime) -> None:
    rows = [
        session("P1", "s1", moment(1, 23, 30), moment(2, 1, 0), ip="10.0.0.1", device_id="d1"),
        session("P1", "s2", moment(1, 10), None),
    ]
    ingest(ActivityKind.SESSIONS, rows, at=now)
    first = day_of("P1", date(2026, 3, 1))
    assert (first.sessions, first.playtime_seconds) == (2, 5400)
    assert PlayerDay.objects.count() == 1


def test_plays__known_and_unknown_games__roll_up_stake_theo_and_largest_bet(now: datetime) -> None:
    GameFactory(code="reel", house_edge=D("0.04"))
    rows = [
        play("P1", "r1", moment(3), stake=D("10"), payout=D("4"), rounds=3),
        play("P1", "r2", moment(3), stake=D("2"), payout=D("0"), bonus_stake=D("1.5"), game_code="wheel", game_category="roulette"),
    ]
    ingest(ActivityKind.PLAYS, rows, at=now)
    day = day_of("P1", date(2026, 3, 3))
    assert (day.stake, day.payout, day.bonus_stake, day.rounds, day.games) == (D("12"), D("4"), D("1.5"), 4, 2)
    assert day.max_stake == D("3.3333")
    assert day.theo == D("10") * D("0.04") + D("2") * D("0.05")
    assert Game.objects.get(code="wheel").category == "roulette"
    assert Game.objects.get(code="wheel").house_edge is None


def test_same_rows__twice__are_unchanged_and_write_nothing(now: datetime) -> None:
    batches = {
        ActivityKind.PLAYERS: [profile("P1", country="MT", marketing_consent=True, attributes={"vip": 1})],
        ActivityKind.PAYMENTS: [payment("P1", "a", moment(1))],
        ActivityKind.SESSIONS: [session("P1", "s", moment(1), moment(1, 13), ip="10.0.0.1")],
        ActivityKind.PLAYS: [play("P1", "r", moment(1))],
        ActivityKind.TOTALS: [totals("P1", moment(1), total_wagered=D("5"))],
    }
    for kind, rows in batches.items():
        ingest(kind, rows, at=now)
    tables = [model._meta.db_table for model in (Player, Protection, Payment, PlaySession, GamePlay, ActivityTotals, PlayerDay, Game)]

    def versions() -> list[tuple]:
        with connection.cursor() as cursor:
            found = []
            for table in tables:
                cursor.execute(f"SELECT '{table}', ctid::text, xmin::text, cmin::text FROM {table} ORDER BY 2")
                found += cursor.fetchall()
            return found

    before = versions()
    for kind, rows in batches.items():
        assert ingest(kind, rows, at=moment(20)) == MergeCounts(unchanged=1), kind
        with connection.cursor() as cursor:
            cursor.execute("SELECT (SELECT count(*) FROM touched_player), (SELECT count(*) FROM touched_player_day)")
            assert cursor.fetchone() == (0, 0)
    assert versions() == before


def test_event__corrected_to_another_day__refreshes_the_old_and_the_new_day(now: datetime) -> None:
    ingest(ActivityKind.PLAYS, [play("P1", "r", moment(1), stake=D("5"))], at=now)
    counts = ingest(ActivityKind.PLAYS, [play("P1", "r", moment(4), stake=D("6"))], at=now)
    assert counts == MergeCounts(updated=1)
    assert list(PlayerDay.objects.values_list("day", "stake")) == [(date(2026, 3, 4), D("6"))]
    with connection.cursor() as cursor:
        cursor.execute("SELECT day FROM touched_player_day ORDER BY day")
        assert [row[0] for row in cursor.fetchall()] == [date(2026, 3, 1), date(2026, 3, 4)]


def test_duplicates__in_one_stage__the_last_row_wins(now: datetime) -> None:
    rows = [payment("P1", "a", moment(1), amount=D(n)) for n in (1, 2, 3)]
    assert ingest(ActivityKind.PAYMENTS, rows, at=now) == MergeCounts(created=1, players_created=1, duplicates=2)
    assert Payment.objects.get().amount == D(3)
    assert day_of("P1", date(2026, 3, 1)).deposits == D(3)


def test_same_external_id__of_two_players__are_two_events(now: datetime) -> None:
    counts = ingest(ActivityKind.PAYMENTS, [payment("P1", "a", moment(1)), payment("P2", "a", moment(1))], at=now)
    assert (counts.created, counts.players_created) == (2, 2)


def test_profile__empty_values__keep_what_is_stored(now: datetime) -> None:
    Jurisdiction.objects.create(code="CA-ON", name="Ontario", countries=["CA"])
    canada = Jurisdiction.objects.create(code="CA", name="Canada", countries=["CA"])
    ingest(
        ActivityKind.PLAYERS,
        [profile("P1", email="a@example.com", country="CA", currency="CAD", profiling_consent=True, attributes={"a": 1})],
        at=now,
    )
    counts = ingest(ActivityKind.PLAYERS, [profile("P1", username="ann", attributes={"b": 2})], at=moment(20))
    player = Player.objects.get()
    assert counts == MergeCounts(updated=1)
    assert (player.username, player.email, player.country, player.currency) == ("ann", "a@example.com", "CA", "CAD")
    assert player.jurisdiction == canada
    assert player.attributes == {"a": 1, "b": 2}
    assert (player.created_at, player.updated_at) == (now, moment(20))
    assert Protection.objects.get().profiling_consent_at == now


def test_profile__consent_withdrawn__is_stamped_and_counts_as_update(now: datetime) -> None:
    ingest(ActivityKind.PLAYERS, [profile("P1", marketing_consent=True, profiling_consent=True)], at=now)
    counts = ingest(ActivityKind.PLAYERS, [profile("P1", marketing_consent=False)], at=moment(20))
    protection = Protection.objects.get()
    assert counts == MergeCounts(updated=1)
    assert (protection.marketing_consent, protection.marketing_consent_at) == (False, moment(20))
    assert (protection.profiling_consent, protection.profiling_consent_at) == (True, now)


def test_profile__market_set_by_staff__is_not_replaced(now: datetime) -> None:
    Jurisdiction.objects.create(code="MT", name="Malta", countries=["MT"])
    other = Jurisdiction.objects.create(code="UK", name="United Kingdom", countries=["GB"])
    PlayerFactory(external_id="P1", country="", jurisdiction=other)
    ingest(ActivityKind.PLAYERS, [profile("P1", country="MT")], at=now)
    assert Player.objects.get().jurisdiction == other


def test_totals__restated__update_the_same_row(now: datetime) -> None:
    ingest(ActivityKind.TOTALS, [totals("P1", moment(1), total_wagered=D("5"), bets=None)], at=now)
    assert ingest(ActivityKind.TOTALS, [totals("P1", moment(1), total_wagered=D("6"), bets=4)], at=now) == MergeCounts(updated=1)
    stored = ActivityTotals.objects.get()
    assert (stored.total_wagered, stored.bets) == (D("6"), 4)
    assert PlayerDay.objects.count() == 0


def test_merge__naive_time__is_refused(now: datetime) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        ingest(ActivityKind.PAYMENTS, [payment("P1", "a", moment(1))], at=datetime(2026, 3, 1))  # noqa: DTZ001
    assert Player.objects.count() == 0
