"""`./loyalty bench NAME`: a benchmark on an empty, migrated database with durable settings."""

import sys
from collections.abc import Sequence

from loyalty_site.launcher.embedded_postgres import DURABLE, EmbeddedPostgres
from loyalty_site.launcher.environment import ROOT, base_environment, make_folders
from loyalty_site.launcher.errors import LauncherError
from loyalty_site.launcher.processes import run_foreground


def benchmark_names() -> list[str]:
    return sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py") if not path.stem.startswith("_"))


def run_bench(arguments: Sequence[str]) -> int:
    """Run benchmarks/NAME.py with the remaining arguments; without a name list what there is."""
    names = benchmark_names()
    if not arguments:
        print("\n".join(names) or "there are no benchmarks yet")
        return 0
    name, *rest = arguments
    if name not in names:
        raise LauncherError(f"there is no benchmark {name!r}; known: {', '.join(names) or 'none'}.")
    env = base_environment("demo")
    script = ROOT / "benchmarks" / f"{name}.py"
    if env.get("DATABASE_URL"):
        return run_foreground([sys.executable, str(script), *rest], env=env, cwd=ROOT)
    with EmbeddedPostgres(make_folders() / "bench-pg", {**DURABLE, "shared_buffers": "512MB"}) as server:
        env["DATABASE_URL"] = server.ensure_database("loyalty_bench", fresh=True)
        env["LOYALTY_PG_BIN"] = str(server.bin)  # pgbench, for comparisons
        code = run_foreground([sys.executable, "manage.py", "migrate", "--verbosity", "0"], env=env, cwd=ROOT)
        if code == 0:
            code = run_foreground([sys.executable, str(script), *rest], env=env, cwd=ROOT)
        return code
