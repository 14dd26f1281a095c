"""The embedded server: who starts it, who stops it, and what is left after kill -9. Real servers, in folders of their own."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from loyalty_site.launcher.embedded_postgres import THROW_AWAY, EmbeddedPostgres, _is_postgres
from loyalty_site.launcher.environment import ROOT
from loyalty_site.launcher.errors import LauncherError

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("faults")]

SMALL = {**THROW_AWAY, "shared_buffers": "16MB", "max_connections": "10"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """A data folder that is made once; each test starts and stops servers on it."""
    with tempfile.TemporaryDirectory(prefix="loyalty-pg-test-") as folder:
        data_dir = Path(folder) / "pg"
        with EmbeddedPostgres(data_dir, SMALL):
            pass
        yield data_dir
        left = EmbeddedPostgres(data_dir, SMALL)
        left.start()
        left.release()


def _answer(server: EmbeddedPostgres) -> int:
    with psycopg.connect(server.url("postgres")) as connection:
        row = connection.execute("SELECT 41 + 1").fetchone()
    assert row is not None
    return row[0]


def _gone(pid: int) -> bool:
    for _ in range(200):
        if not _is_postgres(pid):
            return True
        time.sleep(0.05)
    return False


def test_server__entered_and_left__runs_and_stops(cluster: Path) -> None:
    with EmbeddedPostgres(cluster, SMALL) as server:
        assert server.started_here
        assert _answer(server) == 42
        pid = server.pid()
        assert pid is not None
    assert _gone(pid)
    assert server.pid() is None


def test_server__running_already__is_adopted_and_outlives_the_one_who_started_it(cluster: Path) -> None:
    first, second = EmbeddedPostgres(cluster, SMALL), EmbeddedPostgres(cluster, SMALL)
    first.start()
    second.start()
    assert not second.started_here
    assert second.pid() == first.pid()
    first.release()
    assert _answer(second) == 42
    second.release()
    assert second.pid() is None


def test_server__holder_killed_hard__is_adopted_and_then_stopped(cluster: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from loyalty_site.launcher.embedded_postgres import EmbeddedPostgres\n"
        f"server = EmbeddedPostgres(Path({str(cluster)!r}), {SMALL!r}); server.start()\n"
        "print(server.pid(), flush=True); time.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert holder.stdout is not None
    pid = int(holder.stdout.readline())
    holder.kill()
    holder.wait()
    assert _is_postgres(pid)
    with EmbeddedPostgres(cluster, SMALL) as server:
        assert server.pid() == pid
        assert not server.started_here
        assert _answer(server) == 42
    assert _gone(pid)


def test_server__itself_killed_hard__starts_again_with_its_data(cluster: Path) -> None:
    with EmbeddedPostgres(cluster, SMALL) as server:
        url = server.ensure_database("kept")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE note AS SELECT 7 AS value")
        pid = server.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert _gone(pid)
    with EmbeddedPostgres(cluster, SMALL) as again:
        assert again.started_here
        with psycopg.connect(again.url("kept")) as connection:
            assert connection.execute("SELECT value FROM note").fetchone() == (7,)


def test_server__pid_file_of_another_program__does_not_stand_in_the_way(cluster: Path) -> None:
    (cluster / "postmaster.pid").write_text(f"{os.getpid()}\n{cluster}\n1\n5432\n/tmp\n\n0 0\nready\n")
    with EmbeddedPostgres(cluster, SMALL) as server:
        assert _answer(server) == 42


def test_server__restarted_at_once__answers_again(cluster: Path) -> None:
    with EmbeddedPostgres(cluster, SMALL) as server:
        before = server.pid()
        server.restart(immediate=True)
        assert server.pid() != before
        assert _answer(server) == 42


def test_database__asked_for_fresh__is_empty(cluster: Path) -> None:
    with EmbeddedPostgres(cluster, SMALL) as server:
        with psycopg.connect(server.ensure_database("again"), autocommit=True) as connection:
            connection.execute("CREATE TABLE note (value int)")
        server.ensure_database("again")
        with psycopg.connect(server.url("again")) as connection:
            assert connection.execute("SELECT count(*) FROM note").fetchone() == (0,)
        with psycopg.connect(server.ensure_database("again", fresh=True)) as connection, pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("SELECT count(*) FROM note")


def test_data_folder__half_made__is_never_used(tmp_path: Path) -> None:
    half = tmp_path / "pg.making"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(tmp_path / "pg", SMALL) as server:
        assert _answer(server) == 42
    assert not half.exists()


def test_data_folder__of_something_else__is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "pg").mkdir()
    (tmp_path / "pg" / "letters.txt").write_text("mine")
    with pytest.raises(LauncherError, match="is not a PostgreSQL data folder; move it away"):
        EmbeddedPostgres(tmp_path / "pg", SMALL).start()
    assert (tmp_path / "pg" / "letters.txt").read_text() == "mine"


def test_data_folder__other_major_version__names_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "pg").mkdir()
    (tmp_path / "pg" / "PG_VERSION").write_text("15\n")
    with pytest.raises(LauncherError, match="was made by PostgreSQL 15 and this version brings 18; move the folder away"):
        EmbeddedPostgres(tmp_path / "pg", SMALL).start()


def test_server__cannot_start__says_where_the_reason_is(cluster: Path, tmp_path: Path) -> None:
    with EmbeddedPostgres(cluster, SMALL):
        pass
    with pytest.raises(LauncherError, match="could not be started .*server.log"):
        EmbeddedPostgres(cluster, {**SMALL, "shared_buffers": "nonsense"}).start()


def test_socket_folder__long_path__moves_to_the_temporary_folder(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60) / "pg"
    server = EmbeddedPostgres(deep, SMALL)
    assert server.socket_dir.parent == Path(tempfile.gettempdir())
    with server:
        assert _answer(server) == 42
        assert server.socket_dir.stat().st_mode & 0o077 == 0
    shutil.rmtree(server.socket_dir, ignore_errors=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account for the server")
def test_server__started_by_root__runs_as_another_account(cluster: Path) -> None:
    import psutil

    with EmbeddedPostgres(cluster, SMALL) as server:
        assert psutil.Process(server.pid()).uids().effective != 0
