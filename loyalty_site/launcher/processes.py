"""Child processes: run one in the foreground, or keep several alive until they are stopped together."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> Callable[[], None] | None:
    """A hook for a child that makes Linux send it SIGTERM when we are killed, so that kill -9 leaves no orphans on the port."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)

    def hook() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    return hook


def run_foreground(command: Sequence[str], *, env: Mapping[str, str], cwd: Path | None = None, output: IO[str] | None = None) -> int:
    """Run `command` on our terminal (or with its `output` in a file) and return its exit code.

    Ctrl-C reaches the child; we stay to clean up after it. A child ended by signal n gives 128 + n, as in a shell.
    """
    received: list[int] = []
    child: subprocess.Popen | None = None

    def pass_on(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        if child is not None and number != signal.SIGINT:  # the terminal gives SIGINT to the whole foreground group itself
            child.send_signal(number)

    previous = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        child = subprocess.Popen(
            list(command),
            env=dict(env),
            cwd=cwd,
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
            preexec_fn=_die_with_parent(),
        )
        if any(number != signal.SIGINT for number in received):
            child.terminate()
        code = child.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if signal.SIGINT in received and code != 0:
        return 130
    return 128 - code if code < 0 else code


def start_background(command: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path) -> subprocess.Popen:
    """Start `command` in a process group of its own with its output in `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            list(command),
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent(),
        )


def stop_all(children: Mapping[str, subprocess.Popen], *, grace: float = 15.0) -> list[str]:
    """Ask every child to end, in the order given, wait, and kill what is left. Returns the names that had to be killed."""
    for child in children.values():
        if child.poll() is None:
            child.terminate()
    killed = []
    for name, child in children.items():
        try:
            child.wait(grace)
        except subprocess.TimeoutExpired:
            killed.append(name)
        try:  # whatever the child left in its group
            os.killpg(child.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        child.wait()
    return killed


def last_lines(path: Path, count: int = 15) -> str:
    """The end of a log file, for messages."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-count:])
    except OSError:
        return ""
