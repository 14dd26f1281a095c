"""The players' jobs through the job engine."""

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from loyalty_site.common.jobs import create_run, execute
from loyalty_site.common.models import JobRun
from players import tasks
from players.activity import ActivityKind
from players.models import Game, GamePlay, Player, PlayerDay, PlayerMetrics, SegmentMove
from players.services import ingest

from .factories import moment, payment, play, session

# a coordinator commits chunk by chunk and holds a session lock
pytestmark = pytest.mark.django_db(transaction=True)
D = Decimal


def run(name: str, as_of: datetime, **parameters: object) -> JobRun:
    done = execute(create_run(name, as_of=as_of, parameters=parameters))
    assert done.status == JobRun.Status.SUCCEEDED, done.error
    return done


def test_night__rollup_metrics_segments__follow_each_other_and_repeat(now: datetime) -> None:
    assert tasks.ROLLUP_DAYS == 3
    ingest(ActivityKind.PLAYS, [play("P1", "a", moment(14), stake=D(2000), payout=D(500))], at=now)
    for turn in range(2):
        assert run("players.rollup", now).result == {"rows": 1, "changed": 0}
        assert run("players.metrics", now).result == {"rows": 1}
        result = run("players.segments", now)
        assert (result.result["moved"], result.result["LOSING"]) == (1 - turn, 1)
    assert (Player.objects.get().segment, PlayerMetrics.objects.get().net_loss) == ("LOSING", D(1500))
    assert SegmentMove.objects.count() == 1


def test_rollup__missing_wrong_and_stray_rows__are_repaired(now: datetime) -> None:
    ingest(ActivityKind.PAYMENTS, [payment("P1", "p", moment(1), amount=D(5), status="PENDING")], at=now)
    ingest(ActivityKind.SESSIONS, [session("P1", "s", moment(10, month=2)), session("P1", "new", moment(14))], at=now)
    PlayerDay.objects.filter(day=date(2026, 2, 10)).delete()  # missing
    PlayerDay.objects.filter(day=date(2026, 3, 14)).update(sessions=9)  # wrong, in the last three days
    PlayerDay.objects.create(player=Player.objects.get(), day=date(2026, 3, 2), stake=D(1))  # nothing behind it
    assert run("players.rollup", now).result["changed"] == 3
    assert list(PlayerDay.objects.order_by("day").values_list("day", "sessions")) == [(date(2026, 2, 10), 1), (date(2026, 3, 14), 1)]
    assert run("players.rollup", now).result == {"rows": 1, "changed": 0}


def test_rollup__older_than_the_window__is_repaired_by_a_run_over_all_days(now: datetime) -> None:
    ingest(ActivityKind.SESSIONS, [session("P1", "s", moment(8, month=2)), session("P1", "t", moment(9, month=2))], at=now)
    PlayerDay.objects.all().delete()
    assert run("players.rollup", now).result["changed"] == 1  # 9 February is the 35th day back
    assert run("players.rollup", now, days=0).result == {"rows": 2, "changed": 1}


def test_rollup__all_days__takes_a_new_house_edge(now: datetime) -> None:
    ingest(ActivityKind.PLAYS, [play("P1", "a", moment(1), stake=D(100))], at=now)
    Game.objects.update(house_edge=D("0.01"))
    run("players.rollup", now)
    assert PlayerDay.objects.get().theo == D(5)
    run("players.rollup", now, days=0)
    assert PlayerDay.objects.get().theo == D(1)


def test_rollup__events_gone__the_days_go_too(now: datetime) -> None:
    ingest(ActivityKind.PLAYS, [play("P1", "a", now - timedelta(days=1))], at=now)
    GamePlay.objects.all().delete()
    run("players.rollup", now)
    assert PlayerDay.objects.count() == 0
