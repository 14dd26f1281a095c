"""Entry point of the `./loyalty` script: `python -m loyalty_site.launcher COMMAND ...`."""

import os
import signal
import sys
from collections.abc import Sequence

from loyalty_site.launcher.environment import ROOT, data_dir, demo_environment
from loyalty_site.launcher.errors import LauncherError, disk_full_message, is_disk_full
from loyalty_site.launcher.processes import run_foreground

# commands that make the tables themselves, or need none
_NEED_NO_TABLES = {
    "check", "collectstatic", "compilemessages", "createcachetable", "diffsettings", "help", "makemessages", "makemigrations", "migrate",
    "showmigrations", "sqlmigrate", "version",
}  # fmt: skip


def run_manage(arguments: Sequence[str]) -> int:
    """A command of Django. The embedded database gets its tables, tiers, rules and staff with the first command that needs them."""
    with demo_environment() as env:
        first = next((one for one in arguments if not one.startswith("-")), "help")
        asks_help = not {"-h", "--help", "--version"}.isdisjoint(arguments)
        if not os.environ.get("DATABASE_URL") and env["LOYALTY_ENV"] == "demo" and first not in _NEED_NO_TABLES and not asks_help:
            from loyalty_site.launcher.demo import prepare_empty

            prepare_empty(env)
        return run_foreground([sys.executable, str(ROOT / "manage.py"), *arguments], env=env)


def main(arguments: Sequence[str]) -> int:
    command, *rest = arguments or ["help"]
    if command == "demo":
        from loyalty_site.launcher.demo import run_demo

        return run_demo(rest)
    if command == "test":
        from loyalty_site.launcher.testing import run_tests

        return run_tests(rest)
    if command == "manage":
        return run_manage(rest)
    if command == "bench":
        from loyalty_site.launcher.bench import run_bench

        return run_bench(rest)
    if command == "lint":
        from loyalty_site.launcher.lint import run_lint

        return run_lint()
    raise LauncherError(f"there is no command {command!r}; see ./loyalty help.")


def _leave(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)  # unwinds, so that the database is given up properly


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGHUP, _leave)
    try:
        code = main(sys.argv[1:])
    except LauncherError as error:
        print(f"loyalty: {error}", file=sys.stderr)
        code = 1
    except OSError as error:
        if not is_disk_full(error):
            raise
        print(f"loyalty: {disk_full_message(data_dir())}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
