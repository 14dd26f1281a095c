"""`./loyalty test`: the suite on a PostgreSQL of its own, or on the server of DATABASE_URL."""

import fcntl
import os
import sys
from collections.abc import Sequence

from loyalty_site.launcher.embedded_postgres import THROW_AWAY, EmbeddedPostgres
from loyalty_site.launcher.environment import ROOT, base_environment, make_folders
from loyalty_site.launcher.processes import run_foreground

# tests of one xdist_group (browser, faults) stay on one worker
WHOLE_SUITE = ("-n", "2", "--dist", "loadgroup")


def run_tests(arguments: Sequence[str]) -> int:
    """Run pytest with `arguments`, or the whole suite on two workers; returns its exit code."""
    env = base_environment("test")
    command = [sys.executable, "-m", "pytest", *(arguments or WHOLE_SUITE)]
    folder = make_folders()
    if env.get("DATABASE_URL"):
        return run_foreground(command, env=env, cwd=ROOT)
    with EmbeddedPostgres(folder / "test-pg", THROW_AWAY) as server, (folder / "test-database.lock").open("a+") as lock:
        name = "loyalty"
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            name = f"loyalty_{os.getpid()}"  # a second run beside the first gets databases of its own
        env["DATABASE_URL"] = server.url(name)
        return run_foreground(command, env=env, cwd=ROOT)
