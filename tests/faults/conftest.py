"""A PostgreSQL server of the tests' own, that they may kill and restart, and processes that work on it."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

from loyalty_site.launcher.embedded_postgres import THROW_AWAY, EmbeddedPostgres

ROOT = Path(__file__).resolve().parents[2]
AS_OF = "2026-03-15T12:00:00+00:00"
WAIT_SECONDS = 120


class World:
    """The product on a server of its own."""

    def __init__(self, server: EmbeddedPostgres, database: str) -> None:
        self.server = server
        self.url = server.ensure_database(database, fresh=True)
        self.environment: Mapping[str, str] = {
            **{name: value for name, value in os.environ.items() if name != "REDIS_URL"},
            "DATABASE_URL": self.url,
            "LOYALTY_ENV": "test",
            "DJANGO_SETTINGS_MODULE": "loyalty_site.settings",
            "PYTHONPATH": str(ROOT),
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def manage(self, *arguments: str) -> str:
        process = self.start("manage.py", *arguments)
        out, err = process.communicate(timeout=WAIT_SECONDS)
        assert process.returncode == 0, err[-2000:]
        return out

    def start_job(self, name: str) -> subprocess.Popen[str]:
        return self.start("manage.py", "run_job", name, "--as-of", AS_OF)

    def run_job(self, name: str) -> dict[str, Any]:
        return json.loads(self.manage("run_job", name, "--as-of", AS_OF).splitlines()[-1])

    def value(self, query: str) -> Any:
        with psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute(query).fetchone()
            return row[0] if row else None

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain for {what}"
            time.sleep(0.005)

    def somebody_pays(self) -> bool:
        """Whether a session is inside a transaction that has already written ledger entries."""
        return bool(
            self.value(
                """
                SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
                WHERE l.relation = 'wallet_entry'::regclass AND l.mode = 'RowExclusiveLock' AND a.pid <> pg_backend_pid()
                """
            )
        )

    def assert_paid_once(self, players: int) -> None:
        """Every player was paid exactly once, nothing is half-written, and the books balance to the cent."""
        assert self.value("SELECT count(*) FROM rewards_rewarddecision") == players
        assert self.value("SELECT count(*) FROM rewards_rewarddecision WHERE status = 'ISSUED'") == players
        assert self.value("SELECT count(*) FROM wallet_entry WHERE source_type = 'reward'") == players
        assert self.value("SELECT count(DISTINCT source_ref) FROM wallet_entry WHERE source_type = 'reward'") == players
        assert self.value("SELECT sum(balance) FROM wallet_account WHERE unit = 'LP'") == players * 1000
        assert self.value("SELECT count(*) FROM wallet_account WHERE balance <> 1000") == 0
        assert self.value("SELECT count(*) FROM common_jobchunk WHERE status <> 'DONE'") == 0
        self.manage("reconcile")


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedPostgres]:
    # not below pytest's own temporary folder: the server may run as another account, and pytest closes that folder to others
    folder = Path(tempfile.mkdtemp(prefix="loyalty-faults-"))
    folder.chmod(0o755)
    try:
        with EmbeddedPostgres(folder / "pg", THROW_AWAY) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def prepared(server: EmbeddedPostgres) -> str:
    """Name of a migrated database to copy from."""
    World(server, "prepared").manage("migrate", "--verbosity", "0")
    return "prepared"


@pytest.fixture
def world(server: EmbeddedPostgres, prepared: str, request: pytest.FixtureRequest) -> World:
    made = World(server, "world")
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE world WITH (FORCE)")
        connection.execute("CREATE DATABASE world TEMPLATE prepared")
    return made
