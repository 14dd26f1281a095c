"""Cancelled, killed, doubled: nothing half-written, and each race test has its control."""

import threading
from contextlib import contextmanager

import pytest
from django.db import OperationalError, connection, connections

from loyalty_site.common.jobs import JobOverlap, overlap_lock
from loyalty_site.common.models import AuditEvent
from players.imports import applying, checking, lifecycle, services, tasks
from players.imports.problems import ImportRefused
from players.models import ActivityTotals, ImportJob, Player, QuarantinedRow
from tests.factories import UserFactory

from .conftest import HEAD

pytestmark = pytest.mark.django_db(transaction=True)
MANY = HEAD + "".join(f"P{number:04d},1,2,3,4,5\n" for number in range(60))


@pytest.fixture(autouse=True)
def no_stage_left_over(db):
    """The flush between tests knows no stage tables: those of an earlier test that ended early go first."""
    with connection.cursor() as cursor:
        for name in stages():
            cursor.execute(f"DROP TABLE {name}")


def stages():
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relname LIKE 'import_stage_%' OR relname LIKE 'import_touched_%'")
        return [row[0] for row in cursor.fetchall()]


def in_threads(count, work):
    """Run `work(n)` in `count` threads at once; returns their results or exceptions."""
    barrier, results = threading.Barrier(count), [None] * count

    def go(number):
        try:
            barrier.wait(10)
            results[number] = work(number)
        except Exception as error:  # handed to the test
            results[number] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=go, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results


def test_cancel__while_checking__ends_cancelled_and_leaves_nothing(upload, now, monkeypatch):
    monkeypatch.setattr(checking, "CHUNK_ROWS", 10)
    job = upload(MANY)
    original = checking._report

    def report(checked, progress):
        ImportJob.objects.filter(pk=checked.pk).update(cancel_requested=True)
        original(checked, progress)

    monkeypatch.setattr(checking, "_report", report)
    assert services.check_import(job.pk, at=now).status == "CANCELLED"
    assert (Player.objects.count(), stages()) == (0, [])


def test_cancel__half_way_through_writing__leaves_no_row(upload, now, monkeypatch):
    monkeypatch.setattr(applying, "ROWS_PER_MERGE", 20)
    job = services.check_import(upload(MANY).pk, at=now)
    merged = []
    original = applying._merge_range

    def merge(cursor, *arguments):
        original(cursor, *arguments)
        merged.append(1)
        if len(merged) == 2:  # another connection asks, as the cancel button does
            in_threads(1, lambda _n: services.cancel_import(job.pk, at=now, actor=None))

    monkeypatch.setattr(applying, "_merge_range", merge)
    ended = services.apply_import(job.pk, at=now)
    assert ended.status == "CANCELLED"
    assert len(merged) == 2
    assert (Player.objects.count(), ActivityTotals.objects.count(), stages()) == (0, 0, [])


def test_cancel__control_without_a_request__all_ranges_are_written(upload, now, monkeypatch):
    monkeypatch.setattr(applying, "ROWS_PER_MERGE", 20)
    job = services.check_import(upload(MANY).pk, at=now)
    seen = []
    original = applying._progress_writer

    @contextmanager
    def watch(job):
        with original(job) as report:

            def noted(progress):
                report(progress)
                seen.extend(in_threads(1, lambda _n: ImportJob.objects.get(pk=job.pk).progress))

            yield noted

    monkeypatch.setattr(applying, "_progress_writer", watch)
    assert services.apply_import(job.pk, at=now).status == "DONE"
    assert ActivityTotals.objects.count() == 60
    assert seen == [23, 47, 71, 95]  # seen by another connection while the transaction was open


def test_kill__half_way_through_writing__leaves_no_row_and_runs_again(upload, now, monkeypatch):
    monkeypatch.setattr(applying, "ROWS_PER_MERGE", 20)
    job = services.check_import(upload(MANY).pk, at=now)
    original = applying._record_after_images

    def dies(cursor, job):
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
        in_threads(1, lambda _n: connection.cursor().execute("SELECT pg_terminate_backend(%s)", [pid]))
        original(cursor, job)

    monkeypatch.setattr(applying, "_record_after_images", dies)
    with pytest.raises(OperationalError):
        lifecycle._write_once(services.confirm_import(job.pk, at=now, actor=None), now, None)
    connection.close()
    assert (Player.objects.count(), ActivityTotals.objects.count()) == (0, 0)
    assert ImportJob.objects.get().status == "APPLYING"
    monkeypatch.setattr(applying, "_record_after_images", original)
    assert tasks.resume_imports() == 1
    assert ImportJob.objects.get().status == "DONE"
    assert ActivityTotals.objects.count() == 60


def test_stage__emptied_by_a_server_crash__is_read_again(upload, now):
    job = services.check_import(upload(MANY + "X,abc,1,1,1,1\n").pk, at=now)
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE import_stage_{job.pk}")
    done = services.apply_import(job.pk, at=now)
    assert (done.created_count, done.quarantined_count, ActivityTotals.objects.count()) == (60, 1, 60)
    assert QuarantinedRow.objects.count() == 1


def test_confirm__by_two_operators_at_once__one_writes_the_other_is_told(upload, now):
    job = services.check_import(upload(MANY).pk, at=now)
    actors = [UserFactory(), UserFactory()]
    results = in_threads(2, lambda number: services.apply_import(job.pk, at=now, actor=actors[number]))
    finished = [one for one in results if isinstance(one, ImportJob)]
    refused = [one for one in results if isinstance(one, (ImportRefused, JobOverlap))]
    assert len(finished) >= 1
    assert len(finished) + len(refused) == 2
    assert ActivityTotals.objects.count() == 60

    assert AuditEvent.objects.filter(action="players.import_confirmed").count() == 1
    assert AuditEvent.objects.filter(action="players.import_applied").count() == 1


def test_confirm__control_without_the_conditional_claim__both_get_through(upload, now):
    """What the claim prevents: two readers of the status both see an import that is ready."""
    job = services.check_import(upload(MANY).pk, at=now)
    gate = threading.Barrier(2)

    def naive(_number):
        seen = ImportJob.objects.get(pk=job.pk).status
        gate.wait(10)
        if seen != "PREVIEW":
            return False
        ImportJob.objects.filter(pk=job.pk).update(status="APPLYING")
        return True

    assert in_threads(2, naive) == [True, True]


def test_apply__two_files_with_the_same_players_at_once__both_count_and_none_is_lost(upload, now):
    first = services.check_import(upload(MANY).pk, at=now)
    second = services.check_import(upload(MANY.replace(",1,2,", ",1,9,")).pk, at=now)
    results = in_threads(2, lambda number: services.apply_import((first, second)[number].pk, at=now))
    assert [one.status for one in results] == ["DONE", "DONE"]
    assert Player.objects.count() == 60
    assert sorted(one.players_created for one in results) == [0, 60]


def test_check__while_another_process_works_on_it__is_refused(upload, now):
    job = upload(MANY)

    def other(_number):
        with pytest.raises(JobOverlap):
            services.check_import(job.pk, at=now)
        return True

    with overlap_lock(f"import:{job.pk}"):
        assert in_threads(1, other) == [True]


def test_cancel__worker_died__ends_at_once(upload, now):
    job = upload(MANY)
    ImportJob.objects.filter(pk=job.pk).update(status="CHECKING")
    assert services.cancel_import(job.pk, at=now, actor=None).status == "CANCELLED"


@pytest.mark.parametrize("status", ["DONE", "UNDONE", "FAILED", "CANCELLED"])
def test_cancel__ended_import__is_refused(upload, now, status):
    job = upload(MANY)
    ImportJob.objects.filter(pk=job.pk).update(status=status)
    with pytest.raises(ImportRefused):
        services.cancel_import(job.pk, at=now, actor=None)
    assert ImportJob.objects.get().status == status
