"""`./loyalty demo`: from an empty folder to a running back-office, and back to a quiet machine on Ctrl-C."""

import argparse
import fcntl
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import psycopg

from loyalty_site.launcher.environment import ROOT, data_dir, demo_environment
from loyalty_site.launcher.errors import LauncherError, disk_full_message, names_full_disk
from loyalty_site.launcher.processes import last_lines, run_foreground, start_background, stop_all

DEFAULT_PORT = 8000
_LEAST_FREE_BYTES = 500 * 1024 * 1024
_WEB_SECONDS = 60


@dataclass(frozen=True)
class DemoOptions:
    players: int
    seed: int
    port: int
    check: bool


@dataclass
class Demo:
    """What is known about a demo while it is set up and runs."""

    options: DemoOptions
    env: dict[str, str]
    children: dict[str, subprocess.Popen] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    signals: list[int] = field(default_factory=list)
    """Signals received since the children were started; one is enough to stop."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.options.port}"

    @property
    def logs(self) -> Path:
        return data_dir() / "log"


def say(text: str) -> None:
    """Progress goes to stderr; stdout belongs to the result."""
    print(f"loyalty: {text}", file=sys.stderr, flush=True)


def _whole_number(least: int, most: int) -> Any:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
        return value

    return parse


def parse_options(arguments: Sequence[str]) -> DemoOptions:
    parser = argparse.ArgumentParser(prog="./loyalty demo", description="Run the whole product on this machine with a simulated operator.")
    parser.add_argument("--players", type=_whole_number(10, 1_000_000), default=5000, help="players of a new database (default 5000)")
    parser.add_argument("--seed", type=_whole_number(0, 2**31 - 1), default=1, help="same seed, same operator (default 1)")
    parser.add_argument("--port", type=_whole_number(1, 65535), default=DEFAULT_PORT, help=f"port of the site (default {DEFAULT_PORT})")
    parser.add_argument("--check", action="store_true", help="do everything, request the pages, print one JSON line and end")
    return DemoOptions(**vars(parser.parse_args(list(arguments))))


def run_demo(arguments: Sequence[str]) -> int:
    """Set up what is missing, serve until Ctrl-C (or check and end); returns the exit code."""
    options = parse_options(arguments)
    os.environ.setdefault("LOYALTY_ENV", "demo")
    if os.environ["LOYALTY_ENV"] != "demo":
        raise LauncherError(f"LOYALTY_ENV is {os.environ['LOYALTY_ENV']!r}: the demo never runs on another environment's data; unset it.")
    folder = data_dir()
    folder.mkdir(parents=True, exist_ok=True)
    with _only_demo(folder, options.port):
        # after the look for a demo of this folder: its web process must not be shown as a stranger on the port
        require_free_port(options.port)
        require_free_disk(folder)
        return _run_demo(options, folder)


def _run_demo(options: DemoOptions, folder: Path) -> int:
    with demo_environment() as env:
        demo = Demo(options, _demo_settings(env, options, folder))
        prepare(demo)
        with _noted_signals(demo.signals):
            try:
                start(demo)
                if options.check:
                    from loyalty_site.launcher.check import run_check

                    return run_check(demo)
                announce(demo)
                return watch(demo)
            finally:
                say("stopping")
                killed = stop_all(demo.children)
                if killed:
                    say(f"{', '.join(killed)} did not end in time and was killed; unfinished jobs are taken up at the next start")


def _demo_settings(env: dict[str, str], options: DemoOptions, folder: Path) -> dict[str, str]:
    return {
        **env,
        "GUNICORN_BIND": f"127.0.0.1:{options.port}",
        "LOYALTY_DEMO_PASSWORD": demo_password(folder),
        "HEALTH_BEAT_SECONDS": "5",
    }


def demo_password(folder: Path) -> str:
    """Password of the demo's staff: LOYALTY_DEMO_PASSWORD, or a random one that is kept for later starts."""
    if given := os.environ.get("LOYALTY_DEMO_PASSWORD"):
        return given
    path = folder / "demo_password"
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(9))
    except FileExistsError:
        pass
    return path.read_text().strip()


# -- before anything starts -------------------------------------------------------------------------------------------


def require_free_port(port: int) -> None:
    """Raises LauncherError naming who holds the port and what to do."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            return
        except PermissionError:
            raise LauncherError(f"port {port} needs more rights than you have; choose one above 1023, such as --port 8000.") from None
        except OSError:
            pass
    holder = _holder_of(port)
    if holder is None:
        raise LauncherError(f"port {port} is taken by another program; choose another with --port {_free_port()}.")
    pid, name = holder
    raise LauncherError(
        f"port {port} is taken by process {pid} ({name}); end it with `kill {pid}`, or choose another with --port {_free_port()}."
    )


def _holder_of(port: int) -> tuple[int, str] | None:
    import psutil

    try:
        for one in psutil.net_connections("tcp"):
            if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port and one.pid:
                return one.pid, psutil.Process(one.pid).name()
    except psutil.Error:
        pass
    return None


def _free_port() -> int:
    for port in range(DEFAULT_PORT + 1, DEFAULT_PORT + 100):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    return 0


def require_free_disk(folder: Path) -> None:
    space = os.statvfs(folder)
    free = space.f_bavail * space.f_frsize
    if free < _LEAST_FREE_BYTES:
        raise LauncherError(
            f"the disk is full: {free // 2**20} MB are free below {folder} and the demo needs at least {_LEAST_FREE_BYTES // 2**20} MB; "
            "free some space, or put the data elsewhere with LOYALTY_DATA_DIR=/path."
        )


@contextmanager
def _only_demo(folder: Path, port: int) -> Iterator[None]:
    """One demo a data folder: two beats would start every job twice."""
    with (folder / "demo.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise LauncherError(
                f"a demo already runs on {folder} ({lock.read().strip() or 'starting'}); open it, end it with Ctrl-C, "
                "or give this one its own data with LOYALTY_DATA_DIR=/path."
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()}, http://127.0.0.1:{port}/")
        lock.flush()
        yield


# -- setting up -------------------------------------------------------------------------------------------------------


# some model is in use, and none that could be waits beside it: an earlier start may have been stopped while it put them into use
_MODELS_IN_USE = """
    SELECT 1 FROM predictions_modelversion WHERE status = 'CHAMPION' AND NOT EXISTS (
        SELECT 1 FROM predictions_modelversion v WHERE v.status = 'CANDIDATE' AND NOT EXISTS (
            SELECT 1 FROM predictions_modelversion c WHERE c.kind = v.kind AND c.status = 'CHAMPION')) LIMIT 1
"""


def prepare(demo: Demo) -> None:
    """Bring the database to the state the demo shows. What is there already stays."""
    _prepare_tables(demo)
    if not _has_rows(demo, "SELECT 1 FROM players_player LIMIT 1"):
        what = f"{demo.options.players:,} players over 12 months (seed {demo.options.seed})"
        step(demo, "simulate", what, "simulate", "--players", str(demo.options.players), "--seed", str(demo.options.seed))
    else:
        say("keeping the players that are there (--players and --seed are for an empty database)")
    if not _has_rows(demo, "SELECT 1 FROM wallet_bonusgrant LIMIT 1"):
        step(demo, "bonuses", "bonuses taken up and played, points spent", "demo_bonuses", "--seed", str(demo.options.seed))
    without_models = not _has_rows(demo, _MODELS_IN_USE)
    if without_models:
        step(demo, "models", "models trained on the simulated players and put into use", "train_models", "--synthetic", "--promote-first")
    if not _has_rows(demo, "SELECT 1 FROM common_jobrun WHERE name = 'nightly' AND status = 'SUCCEEDED' LIMIT 1"):
        step(demo, "tiers", "a past in the tiers for some players", "demo_tiers")
        step(demo, "nightly", "nightly run: metrics, segments, predictions, signals, tiers, rewards", "nightly", "--wait")
    elif without_models:  # a database of an earlier release
        step(demo, "scores", "scores of all players", "run_job", "predictions", "--wait")


def prepare_empty(env: dict[str, str]) -> None:
    """Make tables and settings in a database that has none, so that a first `./loyalty manage ...` works without a demo before it."""
    with psycopg.connect(env["DATABASE_URL"], connect_timeout=5) as connection:
        (found,) = connection.execute("SELECT to_regclass('django_migrations')").fetchone() or (None,)
    if found is None:
        demo = Demo(DemoOptions(0, 0, DEFAULT_PORT, False), {**env, "LOYALTY_DEMO_PASSWORD": demo_password(data_dir())})
        _prepare_tables(demo)


def _prepare_tables(demo: Demo) -> None:
    step(demo, "migrate", "tables", "migrate", "--verbosity", "1")
    step(demo, "setup", "tiers, markets, rules, bonuses, staff", "setup_demo")


def step(demo: Demo, name: str, what: str, *manage_arguments: str) -> None:
    """Run one management command with its output in a log. Raises LauncherError naming the step and its last lines."""
    started = time.monotonic()
    log = demo.logs / f"setup-{name.replace(' ', '-')}.log"
    with log.open("w") as output:
        code = run_foreground([sys.executable, str(ROOT / "manage.py"), *manage_arguments], env=demo.env, cwd=ROOT, output=output)
    if code == 130:
        raise KeyboardInterrupt
    tail = last_lines(log)
    if code != 0:
        if names_full_disk(tail):
            raise LauncherError(disk_full_message(data_dir()))
        raise LauncherError(f"the step '{name}' failed (exit code {code}); its output is in {log} and ends with:\n{tail}")
    demo.seconds[name] = round(time.monotonic() - started, 1)
    say(f"{what} ({demo.seconds[name]} s)")


def _has_rows(demo: Demo, query: str) -> bool:
    try:
        with psycopg.connect(demo.env["DATABASE_URL"], connect_timeout=5) as connection:
            return connection.execute(query.encode()).fetchone() is not None
    except psycopg.OperationalError as error:
        raise LauncherError(f"the database does not answer ({str(error).strip()}); start it or correct DATABASE_URL.") from error


# -- running ----------------------------------------------------------------------------------------------------------


def start(demo: Demo) -> None:
    """Start worker, beat and web, and wait until the site answers. Raises LauncherError naming what died."""
    celery = [sys.executable, "-m", "celery", "-A", "loyalty_site.celery"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    # stopped in this order: nothing new is scheduled, then nothing new is asked, then what runs may end
    commands = {
        "beat": [*celery, "beat", "--pidfile=", "--loglevel=INFO"],
        "web": [sys.executable, "-m", "gunicorn", "loyalty_site.wsgi:application", "--config", "gunicorn.conf.py"],
        "worker": [*celery, "worker", "--concurrency=2", "--loglevel=INFO", *quiet],
    }
    for name, command in commands.items():
        log = demo.logs / f"{name}.log"
        log.write_text("")
        demo.children[name] = start_background(command, env=demo.env, cwd=ROOT, log=log)
    deadline = time.monotonic() + _WEB_SECONDS
    while not answers(f"{demo.url}/health/live"):
        keep_running(demo)
        if time.monotonic() > deadline:
            raise LauncherError(f"the site did not answer within {_WEB_SECONDS} s; the reason is in {demo.logs / 'web.log'}.")
        time.sleep(0.2)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


def keep_running(demo: Demo) -> None:
    """Raises KeyboardInterrupt after a signal to stop, LauncherError naming a child that ended by itself."""
    if demo.signals:
        raise KeyboardInterrupt
    for name, child in demo.children.items():
        code = child.poll()
        if code is not None:
            log = demo.logs / f"{name}.log"
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            raise LauncherError(f"the {name} process {how}, so the demo ends; its output is in {log} and ends with:\n{last_lines(log)}")


def announce(demo: Demo) -> None:
    from loyalty_site.sample_data import DEMO_ADMIN, DEMO_STAFF

    lines = [
        "",
        f"  Open {demo.url}/admin/",
        "",
        f"  Password of every account: {demo.env['LOYALTY_DEMO_PASSWORD']}",
        f"    {DEMO_ADMIN:<14} everything",
        *(f"    {username:<14} {group}" for username, group in DEMO_STAFF.items()),
        "",
        f"  API            {demo.url}/api/v1/docs",
        f"  Logs           {demo.logs}",
        "  Stop           Ctrl-C (the data stays; remove .data to begin anew)",
        "",
    ]
    print("\n".join(lines), flush=True)


def watch(demo: Demo) -> int:
    """Wait for Ctrl-C (returns 0) or for the death of a child (raises LauncherError)."""
    while not demo.signals:
        keep_running(demo)
        time.sleep(0.3)
    return 0


@contextmanager
def _noted_signals(received: list[int]) -> Iterator[None]:
    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
