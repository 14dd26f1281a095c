"""Calls that race against each other on PostgreSQL."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

_LONG = 60.0  # seconds: a busy machine must end a test as failed, never as passed


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """Run the calls in a thread and connection each; an exception counts as a result."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(_outcome, calls))


def both_have_looked(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> None:
    """For a control: hold each of two calls after `module.name` has answered until it has answered the other too."""
    barrier, real = threading.Barrier(2), getattr(module, name)

    def hold(*arguments: Any) -> Any:
        found = real(*arguments)
        barrier.wait(timeout=_LONG)
        return found

    monkeypatch.setattr(module, name, hold)


def one_after_the_other(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, first: Callable[[], Any], second: Callable[[], Any]
) -> list[Any]:
    """Outcomes of two calls of which the first stands still after `module.name` has answered until the second waits for a lock.

    Fails when the second gets its answer while the first stands there, or ends, or does neither.
    """
    looks: list[str] = []
    looked, go_on, real = threading.Event(), threading.Event(), getattr(module, name)

    def hold(*arguments: Any) -> Any:
        found = real(*arguments)
        looks.append(name)
        looked.set()
        assert go_on.wait(_LONG)
        return found

    monkeypatch.setattr(module, name, hold)
    with ThreadPoolExecutor(2) as pool:
        try:
            calls = [pool.submit(_outcome, first)]
            assert looked.wait(_LONG)
            calls.append(pool.submit(_outcome, second))
            deadline = time.monotonic() + _LONG
            while not (waits := _somebody_waits()) and len(looks) == 1 and not calls[1].done() and time.monotonic() < deadline:
                time.sleep(0.02)
            seen = (waits, len(looks))
        finally:
            go_on.set()
    assert seen == (True, 1), "the second did not wait for the first"
    return [one.result() for one in calls]


def _somebody_waits() -> bool:
    """Whether a session of this database waits for a lock of another."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
        return bool(cursor.fetchone()[0])


def _outcome(call: Callable[[], Any]) -> Any:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '20s'")
        return call()
    except Exception as error:  # noqa: BLE001 - the outcome of the race
        return error
    finally:
        connection.close()
