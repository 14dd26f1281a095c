"""`./loyalty lint`: style, format, types, import contracts, missing migrations. Every step runs; the failing ones are named."""

import sys
from collections.abc import Sequence

from loyalty_site.launcher.environment import ROOT, base_environment
from loyalty_site.launcher.processes import run_foreground

STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("ruff check", ("-m", "ruff", "check", ".")),
    ("ruff format", ("-m", "ruff", "format", "--check", ".")),
    ("mypy", ("-m", "mypy")),
    ("import contracts", ("-c", "from importlinter.cli import lint_imports_command; lint_imports_command()")),
    # the database is not asked: models are compared with the migration files
    ("missing migrations", ("-W", "ignore::RuntimeWarning", "manage.py", "makemigrations", "--check", "--dry-run")),
)


def run_lint(steps: Sequence[tuple[str, Sequence[str]]] = STEPS) -> int:
    """Run all steps; 0 when all pass, else 1 with the names of those that did not."""
    env = base_environment("test")
    env["DATABASE_URL"] = "postgres://lint@127.0.0.1:1/lint"
    failed = []
    for name, arguments in steps:
        print(f"== {name}", flush=True)
        code = run_foreground([sys.executable, *arguments], env=env, cwd=ROOT)
        if code == 130:
            return code
        if code != 0:
            failed.append(name)
    if failed:
        print(f"loyalty: lint failed: {', '.join(failed)}.", file=sys.stderr)
        return 1
    print("loyalty: lint passed.")
    return 0
