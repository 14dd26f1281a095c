"""Readers never see half a run, whatever happens beside them."""

import threading
from datetime import timedelta

import pytest
from constance import config
from django.db import connection, connections, transaction

from predictions import publishing, selectors
from predictions.models import ChurnScore, ScoringRun
from predictions.selectors import SCORES
from tests.factories import NOW
from tests.predictions.scoring.models import all_champions
from tests.predictions.scoring.world import fill, predict, run_job

pytestmark = pytest.mark.django_db(transaction=True)
PLAYERS = 60


def look():
    """What a page reads: the current run, its rows of every kind, and whether the rules' statement saw them."""
    run = selectors.current_run()
    counts = {selectors.scores(kind, run).count() for kind in SCORES}
    return (run.as_of if run else None), counts


@pytest.fixture
def world():
    ids = fill(PLAYERS)
    config.PREDICTION_RUNS_KEPT = 1  # the least, which keeps two
    all_champions()
    return ids


def test_publish__readers_beside_it__see_the_old_run_or_the_new_and_never_part(world):
    predict()
    seen, failures, stop = [], [], threading.Event()

    def read():
        try:
            while not stop.is_set():
                seen.append(look())
        except Exception as error:  # shown by the assertion below
            failures.append(error)
        finally:
            connections.close_all()

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for night in range(1, 6):
            predict(NOW + timedelta(days=night))
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert failures == []
    assert {instant for instant, _ in seen} >= {NOW, NOW + timedelta(days=5)}
    assert {frozenset(counts) for _, counts in seen} == {frozenset({PLAYERS})}


def test_publish__fails_at_the_very_end__leaves_everything_as_it_was(world, monkeypatch):
    predict()
    later = NOW + timedelta(days=1)
    run_job("predictions.score", later)
    run_job("predictions.prepare", later)
    monkeypatch.setattr(publishing, "utc_now", lambda: 1 / 0)
    assert run_job("predictions.publish", later).status == "FAILED"
    assert look() == (NOW, {PLAYERS})
    assert ScoringRun.objects.get(as_of=later).status == ScoringRun.Status.COMPLETE
    monkeypatch.undo()
    assert run_job("predictions.publish", later).status == "SUCCEEDED"
    assert look() == (later, {PLAYERS})


def test_publish__control__switch_without_a_transaction_shows_part_of_a_run(world):
    """That the readers above can see half a run at all: publishing while ranges are missing."""
    predict()
    from predictions.scoring import score_range

    later = NOW + timedelta(days=1)
    score_range(world[0], world[10], later)
    ScoringRun.objects.filter(as_of=NOW).update(is_current=False)
    ScoringRun.objects.filter(as_of=later).update(is_current=True)
    assert look() == (later, {10})


def test_score__two_workers_begin_at_once__share_one_run(world):
    errors = []

    def work(lower, upper):
        from predictions.scoring import score_range

        try:
            with transaction.atomic():
                score_range(lower, upper, NOW)
        except Exception as error:  # shown by the assertion below
            errors.append(error)
        finally:
            connections.close_all()

    halves = [(world[0], world[30]), (world[30], world[-1] + 1)]
    workers = [threading.Thread(target=work, args=half) for half in halves]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert errors == []
    assert ScoringRun.objects.count() == 1
    assert ChurnScore.objects.count() == PLAYERS


def test_publish__waits_for_a_range_that_is_being_written(world):
    """A worker that holds a range of the run keeps it from being abandoned under its hands."""
    from predictions.scoring import score_range

    run_job("predictions.score")
    waited = threading.Event()

    def abandon():
        try:
            with transaction.atomic():
                ScoringRun.objects.filter(as_of=NOW).update(status=ScoringRun.Status.ABANDONED)
            waited.set()
        finally:
            connections.close_all()

    other = threading.Thread(target=abandon)
    with transaction.atomic():
        score_range(world[0], world[5], NOW)
        other.start()
        assert not waited.wait(0.5)
    other.join()
    assert waited.is_set()
    assert connection.in_atomic_block is False


def test_publish__run_of_a_dead_night_that_a_worker_still_holds__is_not_waited_for(world):
    later = NOW + timedelta(days=1)
    run_job("predictions.score")
    for job in ("predictions.score", "predictions.prepare"):
        run_job(job, later)
    held, release = threading.Event(), threading.Event()

    def hold():
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM predictions_scoringrun WHERE as_of = %s FOR SHARE", [NOW])
                held.set()
                release.wait(60)
        finally:
            connections.close_all()

    worker = threading.Thread(target=hold)
    worker.start()
    try:
        assert held.wait(10)
        assert run_job("predictions.publish", later).status == "SUCCEEDED"  # jobs wait for locks without end
    finally:
        release.set()
        worker.join()
    assert look() == (later, {PLAYERS})
    assert ScoringRun.objects.get(as_of=NOW).status == ScoringRun.Status.BUILDING
    predict(NOW + timedelta(days=2))
    assert ScoringRun.objects.get(as_of=NOW).status == ScoringRun.Status.ABANDONED
    assert not ChurnScore.objects.filter(run__as_of=NOW).exists()
