"""Chunked runs: claims, failures, reruns, overlap, pipelines, and chunks that die with their worker."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, connections, transaction

from loyalty_site.common import jobs
from loyalty_site.common.models import JobChunk, JobRun
from loyalty_site.job_tasks import start_job
from players.models import Player
from tests.factories import NOW, PlayerFactory


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job table of the test's own."""
    monkeypatch.setattr(jobs, "_registry", {})


def three_ranges(parameters: dict[str, Any]) -> Iterator[tuple[int, int]]:
    yield from [(1, 11), (11, 21), (21, 31)]


def make_job(name: str, work: Any) -> JobRun:
    jobs.register(jobs.Job(name, name.title(), work, three_ranges))
    return jobs.create_run(name, as_of=NOW)


@pytest.mark.django_db(transaction=True)
def test_execute__all_chunks_work__run_succeeds_with_summed_result(registry: None) -> None:
    run = make_job("count", lambda scope: {"rows": scope.upper_id - scope.lower_id, "first": scope.lower_id, "label": "text"})
    run = jobs.execute(run)
    assert run.status == JobRun.Status.SUCCEEDED
    assert (run.rows_done, run.chunks_done, run.chunks_total) == (30, 3, 3)
    assert run.result == {"rows": 30, "first": 33}
    assert run.finished_at is not None


@pytest.mark.django_db(transaction=True)
def test_execute__one_chunk_raises__others_done_and_failure_names_the_chunk(registry: None) -> None:
    def work(scope: jobs.Scope) -> dict[str, Any]:
        PlayerFactory(external_id=f"made-{scope.lower_id}")
        if scope.lower_id == 11:
            raise ValueError("bad row 12, field stake: not a number")
        return {"rows": 10}

    run = jobs.execute(make_job("partial", work))
    assert run.status == JobRun.Status.FAILED
    assert run.error == "1 chunks failed; first: chunk 2: ValueError: bad row 12, field stake: not a number"
    assert list(run.chunks.values_list("number", "status", "attempts")) == [(1, "DONE", 1), (2, "FAILED", 1), (3, "DONE", 1)]
    # the failed chunk left nothing behind
    assert sorted(Player.objects.values_list("external_id", flat=True)) == ["made-1", "made-21"]


@pytest.mark.django_db(transaction=True)
def test_reopen_failed__rerun__works_only_the_failed_chunk(registry: None) -> None:
    worked: list[int] = []
    broken = {11}

    def work(scope: jobs.Scope) -> dict[str, Any]:
        worked.append(scope.lower_id)
        if scope.lower_id in broken:
            raise ValueError("broken")
        return {"rows": 10}

    run = jobs.execute(make_job("again", work))
    broken.clear()
    worked.clear()
    assert jobs.reopen_failed(run) == 1
    run = jobs.execute(run)
    assert worked == [11]
    assert (run.status, run.rows_done, run.error) == (JobRun.Status.SUCCEEDED, 30, "")


@pytest.mark.django_db(transaction=True)
def test_execute__ended_run_again__nothing_is_worked_twice(registry: None) -> None:
    worked: list[int] = []
    run = make_job("once", lambda scope: worked.append(scope.lower_id) or {"rows": 1})
    jobs.execute(run)
    again = jobs.execute(run)
    assert worked == [1, 11, 21]
    assert again.status == JobRun.Status.SUCCEEDED


@pytest.mark.django_db(transaction=True)
def test_execute__transient_error__is_retried_and_given_up_after_three_attempts(registry: None) -> None:
    attempts: list[int] = []

    def work(scope: jobs.Scope) -> dict[str, Any]:
        attempts.append(scope.lower_id)
        if scope.lower_id == 1 and attempts.count(1) < 3:
            raise OperationalError("deadlock detected")
        if scope.lower_id == 21:
            raise OperationalError("deadlock detected")
        return {"rows": 1}

    run = jobs.execute(make_job("flaky", work))
    assert run.status == JobRun.Status.FAILED
    assert list(run.chunks.values_list("number", "status", "attempts")) == [(1, "DONE", 3), (2, "DONE", 1), (3, "FAILED", 3)]


@contextmanager
def held_elsewhere(name: str) -> Iterator[None]:
    """Another session holds the lock of this job."""
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with jobs.overlap_lock(name):
            held.set()
            release.wait(10)
        connections.close_all()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    try:
        yield
    finally:
        release.set()
        holder.join()


@pytest.mark.django_db(transaction=True)
def test_execute__same_job_held_by_another_session__refuses_and_writes_nothing(registry: None) -> None:
    run = make_job("exclusive", lambda scope: {"rows": 1})
    with held_elsewhere("exclusive"):
        with pytest.raises(jobs.JobOverlap, match="another run of exclusive is under way"):
            jobs.execute(run)
        run.refresh_from_db()
        assert run.status == JobRun.Status.QUEUED
        assert not run.chunks.exists()
    # control: once the holder is gone the same run goes through
    assert jobs.execute(run).status == JobRun.Status.SUCCEEDED


@pytest.mark.django_db(transaction=True)
def test_run_job__same_job_held_by_another_session__is_refused_and_not_taken_up_later(registry: None) -> None:
    make_job("exclusive", lambda scope: {"rows": 1}).delete()
    with held_elsewhere("exclusive"), pytest.raises(CommandError, match="another run of exclusive is under way"):
        call_command("run_job", "exclusive")
    run = JobRun.objects.get()
    assert (run.status, run.error) == (JobRun.Status.CANCELLED, "another run of exclusive is under way; wait for it or cancel it first")
    assert jobs.unfinished_runs(run.created_at + timedelta(days=1)) == []


@pytest.mark.django_db(transaction=True)
def test_overlap_lock__holder_session_ends__lock_is_free(registry: None) -> None:
    pids: list[int] = []

    def take_and_die() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s), pg_backend_pid()", [jobs._lock_key("dies")])
            held, pid = cursor.fetchone()
            assert held
            pids.append(pid)
        connection.close()  # as the server does for a killed process

    thread = threading.Thread(target=take_and_die)
    thread.start()
    thread.join(10)
    with connection.cursor() as cursor:
        for _ in range(500):  # the server ends the session a moment after the client left
            cursor.execute("SELECT count(*) FROM pg_locks WHERE pid = ANY(%s)", [pids])
            if cursor.fetchone()[0] == 0:
                break
            time.sleep(0.01)
    with jobs.overlap_lock("dies"):
        pass


@pytest.mark.django_db(transaction=True)
def test_work_one__eight_workers_on_one_run__each_chunk_is_worked_once(registry: None) -> None:
    worked: list[int] = []

    def many(parameters: dict[str, Any]) -> Iterator[tuple[int, int]]:
        yield from ((n, n + 1) for n in range(40))

    jobs.register(jobs.Job("fan", "Fan", lambda scope: worked.append(scope.lower_id) or {"rows": 1}, many))
    run = jobs.create_run("fan", as_of=NOW)
    job = jobs.get_job("fan")
    assert isinstance(job, jobs.Job)
    jobs._prepare(run, job)

    def worker() -> None:
        while jobs.work_one(run.pk):
            pass
        connections.close_all()

    threads = [threading.Thread(target=worker) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(worked) == list(range(40))
    assert run.chunks.filter(status=JobChunk.Status.DONE).count() == 40


@pytest.mark.django_db(transaction=True)
def test_request_cancel__in_mid_run__open_chunks_stay_open_and_rerun_finishes_them(registry: None) -> None:
    run_box: list[JobRun] = []

    def work(scope: jobs.Scope) -> dict[str, Any]:
        if scope.lower_id == 1:
            jobs.request_cancel(run_box[0])
        return {"rows": 1}

    run = make_job("stoppable", work)
    run_box.append(run)
    run = jobs.execute(run)
    assert (run.status, run.error) == (JobRun.Status.CANCELLED, "cancelled with 2 chunks not worked")
    jobs.reopen_failed(run)
    run_box[0] = JobRun()  # a second cancel hits nothing
    assert jobs.execute(run).status == JobRun.Status.SUCCEEDED


@pytest.mark.django_db(transaction=True)
def test_pipeline__stage_fails__later_stages_wait_and_a_rerun_goes_on_there(registry: None) -> None:
    log: list[str] = []
    broken = {"second"}

    def stage(name: str) -> Any:
        def work(scope: jobs.Scope) -> dict[str, Any]:
            log.append(name)
            if name in broken:
                raise ValueError("no")
            return {"rows": 1}

        return jobs.Job(name, name, work, lambda parameters: iter([(1, 2)]))

    for name in ("first", "second", "third"):
        jobs.register(stage(name))
    jobs.register(jobs.Pipeline("night", "Night", ("first", "second", "third")))
    run = jobs.execute(jobs.create_run("night", as_of=NOW))
    assert (run.status, log) == (JobRun.Status.FAILED, ["first", "second"])
    assert run.error.startswith("second: 1 chunks failed")
    broken.clear()
    jobs.reopen_failed(run)
    run = jobs.execute(run)
    assert (run.status, log) == (JobRun.Status.SUCCEEDED, ["first", "second", "second", "third"])
    assert run.stages.count() == 3
    assert run.rows_done == 3


def two_stages(log: list[str], on_first: Any = None) -> JobRun:
    def stage(name: str) -> Any:
        def work(scope: jobs.Scope) -> dict[str, Any]:
            log.append(name)
            if name == "first" and on_first is not None:
                on_first()
            return {"rows": 1}

        return jobs.Job(name, name.title(), work, lambda parameters: iter([(1, 2)]))

    jobs.register(stage("first"))
    jobs.register(stage("second"))
    jobs.register(jobs.Pipeline("night", "Night", ("first", "second")))
    return jobs.create_run("night", as_of=NOW)


@pytest.mark.django_db(transaction=True)
def test_pipeline__cancelled_while_queued__no_stage_begins(registry: None) -> None:
    log: list[str] = []
    run = two_stages(log)
    jobs.request_cancel(run)
    run = jobs.execute(run)
    assert (run.status, run.error, log) == (JobRun.Status.CANCELLED, "cancelled before First", [])
    assert not run.stages.exists()
    jobs.reopen_failed(run)
    assert (jobs.execute(run).status, log) == (JobRun.Status.SUCCEEDED, ["first", "second"])


@pytest.mark.django_db(transaction=True)
def test_pipeline__cancelled_in_the_last_chunk_of_a_stage__the_next_does_not_begin(registry: None) -> None:
    log: list[str] = []
    box: list[JobRun] = []
    box.append(two_stages(log, on_first=lambda: jobs.request_cancel(box[0])))
    run = jobs.execute(box[0])
    assert (run.status, run.error, log) == (JobRun.Status.CANCELLED, "cancelled before Second", ["first"])
    assert list(run.stages.values_list("name", "status")) == [("first", JobRun.Status.SUCCEEDED)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("later", ["the same pipeline", "one of its stages"])
def test_reopen_failed__later_run_succeeded__is_refused_and_the_run_stays_ended(registry: None, later: str) -> None:
    """Yesterday's night would write yesterday's figures over today's."""
    log: list[str] = []
    run = two_stages(log)
    jobs.request_cancel(run)
    run = jobs.execute(run)
    name = "night" if later == "the same pipeline" else "second"
    newer = jobs.execute(jobs.create_run(name, as_of=NOW + timedelta(days=1)))
    log.clear()
    with pytest.raises(jobs.JobSuperseded, match=rf"succeeded for 2026-03-16 12:00 UTC \(run {newer.pk}\).*Start a new run"):
        jobs.reopen_failed(run)
    run.refresh_from_db()
    assert (run.status, run.cancel_requested, log) == (JobRun.Status.CANCELLED, True, [])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("ended", ["failed", "cancelled", "failed as a stage"])
def test_reopen_failed__job_that_takes_no_run_up_again__is_refused_and_the_run_stays_ended(registry: None, ended: str) -> None:
    def work(scope: jobs.Scope) -> dict[str, Any]:
        raise ValueError("broken")

    jobs.register(jobs.Job("decision", "Decision", work, three_ranges, rerun_refusal="decide again"))
    jobs.register(jobs.Pipeline("decisions", "Decisions", ("decision",)))
    run = jobs.create_run("decisions" if ended == "failed as a stage" else "decision", as_of=NOW)
    if ended == "cancelled":
        jobs.request_cancel(run)
    run = jobs.execute(run)
    before = (run.status, run.cancel_requested, list(run.chunks.values_list("status", flat=True)))
    assert before[0] in (JobRun.Status.FAILED, JobRun.Status.CANCELLED)
    with pytest.raises(jobs.JobRefused, match="^decide again$"):
        jobs.reopen_failed(run)
    run.refresh_from_db()
    assert (run.status, run.cancel_requested, list(run.chunks.values_list("status", flat=True))) == before


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("status", [JobRun.Status.QUEUED, JobRun.Status.RUNNING])
def test_create_run__job_with_one_open__is_refused_until_that_one_has_ended(registry: None, status: str) -> None:
    jobs.register(jobs.Job("single", "Single", lambda scope: {"rows": 1}, three_ranges, one_open=True))
    first = jobs.create_run("single", as_of=NOW)
    JobRun.objects.update(status=status)
    with pytest.raises(jobs.JobRefused, match=rf"^Single is under way already \(run {first.pk}\); wait for its end or cancel it first$"):
        jobs.create_run("single", as_of=NOW)
    assert start_job(name="single") is None  # the schedule comes again
    assert JobRun.objects.count() == 1

    jobs.execute(first)
    second = start_job(name="single")
    assert list(JobRun.objects.order_by("pk").values_list("pk", "status")) == [(first.pk, "SUCCEEDED"), (second, "SUCCEEDED")]


@pytest.mark.django_db(transaction=True)
def test_reopen_failed__while_one_is_open_of_a_job_with_one_open__is_refused(registry: None) -> None:
    jobs.register(jobs.Job("single", "Single", lambda scope: {"rows": 1}, three_ranges, one_open=True))
    run = jobs.create_run("single", as_of=NOW)
    jobs.request_cancel(run)
    run = jobs.execute(run)
    other = jobs.create_run("single", as_of=NOW)
    with pytest.raises(jobs.JobRefused, match=rf"under way already \(run {other.pk}\)"):
        jobs.reopen_failed(run)
    run.refresh_from_db()
    assert run.status == JobRun.Status.CANCELLED
    jobs.execute(other)
    jobs.reopen_failed(run)
    assert jobs.execute(run).status == JobRun.Status.SUCCEEDED


@pytest.mark.django_db
def test_run_job__job_that_is_started_elsewhere__is_refused_and_says_where(registry: None) -> None:
    jobs.register(jobs.Job("elsewhere", "Elsewhere", lambda scope: {"rows": 1}, three_ranges, start_on="on its own page"))
    with pytest.raises(CommandError, match="^Elsewhere is not started by its name alone; start it on its own page$"):
        call_command("run_job", "elsewhere")
    assert not JobRun.objects.exists()


@pytest.mark.django_db
def test_run_job__instant_that_has_not_come__is_refused_before_a_run_is_recorded(registry: None) -> None:
    jobs.register(jobs.Job("plain", "Plain", lambda scope: {"rows": 1}, three_ranges))
    with pytest.raises(CommandError, match="2099-01-01 00:00:00 UTC has not come yet: give now or an instant in the past"):
        call_command("run_job", "plain", "--as-of", "2099-01-01T00:00:00+00:00")
    assert not JobRun.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("fault", ["unknown job", "unreadable parameters"])
def test_execute__run_that_can_never_begin__ends_as_failed_and_is_not_taken_up_again(registry: None, fault: str) -> None:
    jobs.register(jobs.Job("known", "Known", lambda scope: {"rows": 1}, jobs.id_ranges("players_player", chunk_size=10)))
    run = jobs.create_run("known", as_of=NOW, parameters={"ids": ["seven"]})
    if fault == "unknown job":
        JobRun.objects.filter(pk=run.pk).update(name="of_last_year")
        run.refresh_from_db()
    with pytest.raises((LookupError, ValueError)):
        jobs.execute(run)
    run.refresh_from_db()
    assert run.status == JobRun.Status.FAILED
    assert ("of_last_year" if fault == "unknown job" else "seven") in run.error
    assert jobs.unfinished_runs(run.created_at + timedelta(days=1)) == []


@pytest.mark.django_db(transaction=True)
def test_execute__database_quotes_a_player_in_its_error__neither_run_nor_log_repeats_it(
    registry: None, caplog: pytest.LogCaptureFixture
) -> None:
    PlayerFactory(email="someone@example.com")

    def work(scope: jobs.Scope) -> dict[str, Any]:
        Player.objects.update(risk_score=101)
        return {"rows": 1}

    run = jobs.execute(make_job("careless", work))
    texts = [run.error, caplog.text, *run.chunks.values_list("error", flat=True)]
    assert run.status == JobRun.Status.FAILED
    assert all("player_risk_score_0_100" in text and "someone@example.com" not in text for text in texts)
    assert "in work" in caplog.text  # where it happened


@pytest.mark.django_db
def test_id_ranges__gaps_in_ids__cover_every_row_once_with_even_chunks() -> None:
    ids = [PlayerFactory().pk for _ in range(25)]
    Player.objects.filter(pk__in=ids[5:9]).delete()
    left = sorted(set(ids) - set(ids[5:9]))
    ranges = list(jobs.id_ranges("players_player", chunk_size=10)({}))
    assert [sum(lower <= one < upper for one in left) for lower, upper in ranges] == [10, 10, 1]
    assert ranges[0][0] == left[0]
    assert ranges[-1][1] == left[-1] + 1


@pytest.mark.django_db
def test_id_ranges__chosen_ids__one_range_each() -> None:
    assert list(jobs.id_ranges("players_player", chunk_size=10)({"ids": [7, 9]})) == [(7, 8), (9, 10)]


@pytest.mark.django_db
def test_id_ranges__empty_table__no_range() -> None:
    assert list(jobs.id_ranges("players_player", chunk_size=10)({})) == []


@pytest.mark.django_db(transaction=True)
def test_work_one__worker_transaction_is_lost__chunk_is_pending_again(registry: None) -> None:
    run = make_job("lost", lambda scope: {"rows": 1})
    job = jobs.get_job("lost")
    assert isinstance(job, jobs.Job)
    jobs._prepare(run, job)
    claimed, release = threading.Event(), threading.Event()

    def dying_worker() -> None:
        with transaction.atomic():
            JobChunk.objects.select_for_update().get(run=run, number=1)
            claimed.set()
            release.wait(10)
            transaction.set_rollback(True)
        connections.close_all()

    worker = threading.Thread(target=dying_worker)
    worker.start()
    claimed.wait(10)
    assert jobs.work_one(run.pk)  # takes chunk 2: chunk 1 is held
    assert list(run.chunks.values_list("status", flat=True)) == ["PENDING", "DONE", "PENDING"]
    release.set()
    worker.join()
    while jobs.work_one(run.pk):
        pass
    assert set(run.chunks.values_list("status", flat=True)) == {"DONE"}
