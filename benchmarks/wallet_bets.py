"""One bet through `wallet.services.receive`, by 1, 2 and 8 processes, against the same statements under pgbench; and a file of bets.

    DATABASE_URL=... python benchmarks/wallet_bets.py [--seconds 5] [--players 20000] [--rows 1000000] [--json]

Works in a database of its own (`<name>_bench_bets`, dropped afterwards) on the server of DATABASE_URL. Every player has an open bonus
with a contribution table; a bet is a settled round, staked half from cash and half from the bonus, so that it makes one entry, one
movement, one count and moves the progress. pgbench runs the statements that the service sends, in one transaction: lock, read grants,
read what is known, write. Uniform: random players; hot: all workers on one player. Share = services / pgbench, transactions per second.

The file: --rows settled bets over --file-players players (default 50,000), a fifth of them with a bonus; rows a second from the first
byte read to the last commit, and the peak memory of the process.
"""

import argparse
import csv
import json
import multiprocessing
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parent))
from wallet_credit import ROOT, WORKERS, find_pgbench, percentiles

_TERMS = '{"products": ["casino"], "requirement": "1000000000", "contribution_table": 1}'


def create_database(url: str) -> str:
    parts = urlsplit(url)
    name = f"{parts.path.lstrip('/')}_bench_bets"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}"')
    return urlunsplit(parts._replace(path=f"/{name}"))


def drop_database(url: str, bench_url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{urlsplit(bench_url).path.lstrip("/")}" WITH (FORCE)')


def prepare(players: int, *, prefix: str, every: int) -> tuple[int, int]:
    """Make players; each `every`-th has an open bonus of 1,000,000. Returns the lowest and highest player id."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO players_player (external_id, username, first_name, last_name, email, country, currency, language, "
            "acquisition_channel, status, segment, risk_score, attributes, created_at, updated_at) "
            "SELECT %s || n, '', '', '', '', 'MT', 'EUR', '', '', 'ACTIVE', 'NEW', 0, '{}', now(), now() FROM generate_series(1, %s) AS n",
            [prefix, players],
        )
        cursor.execute("SELECT min(id), max(id) FROM players_player WHERE external_id LIKE %s", [f"{prefix}%"])
        lowest, highest = cursor.fetchone()
        chosen = {"lowest": lowest, "highest": highest, "every": every, "terms": _TERMS}
        cursor.execute(
            "INSERT INTO wallet_account (player_id, unit, currency, balance, version, earned_total, owed) "
            "SELECT id, 'BONUS', 'EUR', 100000000, 1, 100000000, 0 FROM players_player "
            "WHERE id BETWEEN %(lowest)s AND %(highest)s AND id %% %(every)s = 0 ORDER BY id",
            chosen,
        )
        cursor.execute(
            "INSERT INTO wallet_entry (account_id, house, amount, seq, balance_after, source_type, source_ref, source_sub, reason, "
            "occurred_at) "
            "SELECT id, 'rewards', 100000000, 1, 100000000, 'bench', player_id::text, '', '', now() FROM wallet_account "
            "WHERE player_id BETWEEN %(lowest)s AND %(highest)s",
            chosen,
        )
        cursor.execute(
            "INSERT INTO wallet_bonusgrant (player_id, account_id, currency, product, principal, balance, locked, deposit, deposit_ref, "
            "wagering_required, wagered, penalties, terms, released, kept, spins_left, open_bets, status, queue_order, offered_at, "
            "activated_at, expires_at, source_type, source_ref, source_sub) "
            "SELECT player_id, id, 'EUR', 'casino', 100000000, 100000000, 0, 0, '', 1000000000, 0, 0, %(terms)s::jsonb, 0, 0, 0, 0, "
            "'ACTIVE', 0, '2020-01-01', '2020-01-01', now() + interval '90 days', 'bench', player_id::text, '' FROM wallet_account "
            "WHERE player_id BETWEEN %(lowest)s AND %(highest)s",
            chosen,
        )
        cursor.execute(
            "INSERT INTO wallet_grantmovement (grant_id, entry_id, pocket, amount) SELECT g.id, e.id, 'balance', 100000000 "
            "FROM wallet_bonusgrant AS g JOIN wallet_entry AS e ON e.account_id = g.account_id AND e.seq = 1 "
            "WHERE g.player_id BETWEEN %(lowest)s AND %(highest)s",
            chosen,
        )
        cursor.execute("VACUUM ANALYZE")
    connection.close()
    return lowest, highest


def make_table() -> None:
    from django.db import connection

    from wallet.models import ContributionRule, ContributionTable

    table = ContributionTable.objects.create(pk=1, name="bench")
    start = datetime(2020, 1, 1, tzinfo=UTC)
    for category, weight in (("slots", "1"), ("table", "0.1"), ("blackjack", "0.05"), ("live", "0.2")):
        ContributionRule.objects.create(table=table, scope="category", key=category, weight=weight, valid_from=start)
    connection.close()


def a_bet(player_id: int, activity_id: str) -> Any:
    from wallet.bonus.values import Activity, Kind

    now = datetime.now(UTC)
    return Activity(
        source="bench", activity_id=activity_id, kind=Kind.BET, player_id=player_id, currency="EUR", round_id=activity_id, occurred_at=now,
        received_at=now, amount=200, cash_before=100, ends_round=True, game_code="suns", game_category="slots", provider="sun",
    )  # fmt: skip


def statements(player_id: int) -> list[tuple[str, list[Any]]]:
    """What the service sends for one bet, caught on the way, with its parameters."""
    import wallet.activity.load
    import wallet.activity.write
    from wallet.activity import sql
    from wallet.services import receive

    sent: list[tuple[str, list[Any]]] = []

    def catch(text: str, parameters: Any, *, rows: int = 1) -> Any:
        sent.append((text, list(parameters)))
        return sql.run(text, parameters, rows=rows)

    def catch_together(asked: Any, *, rows: int = 1) -> Any:
        sent.extend((text, list(parameters)) for text, parameters in asked)
        return sql.run_together(asked, rows=rows)

    receive([a_bet(player_id, "warm-1")])  # the first counted bet makes a change of status too
    wallet.activity.load.run_together, wallet.activity.write.run = catch_together, catch  # type: ignore[attr-defined]
    try:
        receive([a_bet(player_id, "caught")])
    finally:
        wallet.activity.load.run_together, wallet.activity.write.run = sql.run_together, sql.run  # type: ignore[attr-defined]
    return sent


def pgbench_script(lowest: int, highest: int, player_id: int) -> str:
    """The service's statements, with the player, the bet's id and the row's own figures instead of the caught ones.

    pgbench cannot compute the rows, so the figures of account and grant are taken from the rows themselves.
    """
    lines = [f"\\set player random({lowest}, {highest})", "\\set ref random(1, 9000000000000000000)", "BEGIN;"]
    for text, parameters in statements(player_id):
        literal = [_literal(value, player_id) for value in parameters]
        filled = re.sub(r"\$(\d+)", lambda match, values=literal: values[int(match[1]) - 1], text)
        lines.append(" ".join(_own_figures(filled).split()) + ";")
    return "\n".join([*lines, "COMMIT;", ""])


def _literal(value: Any, player_id: int) -> str:
    text = str(value).replace("'", "''")
    if text == "{" + str(player_id) + "}":
        return "ARRAY[:player]"
    if "caught" in text:
        array = text.replace('{"caught"}', "ARRAY[:ref::text]").replace('{"bench:caught"}', "ARRAY['bench:' || :ref]")
        return array if array != text else f"'{text}'"
    return f"'{text}'"


def _own_figures(text: str) -> str:
    """In the write statement: seq, balances and progress as the rows have them, moved by one bet."""
    account = "(SELECT {} FROM wallet_account WHERE player_id = :player AND unit = 'BONUS')"
    grant = "(SELECT {} FROM wallet_bonusgrant WHERE player_id = :player)"
    replaced = {
        "v.account_id": account.format("id"), "v.seq": account.format("version + 1"), "v.balance_after": account.format("balance - 100"),
        "balance = v.balance, version": "balance = a.balance - 100, version", "version = v.version": "version = a.version + 1",
        "earned_total = v.earned_total": "earned_total = a.earned_total", "a.id = v.id": f"a.id = {account.format('id')}",
        "balance = v.balance, locked": "balance = g.balance - 100, locked", "wagered = v.wagered": "wagered = g.wagered + 2",
        "g.id = v.id": "g.player_id = :player", "v.grant_id": grant.format("id"), "v.progress_before": grant.format("wagered"),
        "v.progress_after": grant.format("wagered + 2"),
    }  # fmt: skip
    if "wallet_wagerevent_id_seq" not in text:
        return text
    for old, new in replaced.items():
        text = re.sub(re.escape(old) + r"\b", lambda _, new=new: new, text)
    return text


def run_pgbench(program: str, url: str, script: str, clients: int, seconds: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bet.sql"
        path.write_text(script)
        command = [program, "-n", "-M", "prepared", "-c", str(clients), "-j", str(min(clients, 2)), "-T", str(seconds), "-f", str(path)]
        command += ["-l", "--log-prefix", str(Path(folder) / "log"), url]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder)  # noqa: S603
        if done.returncode:
            sys.exit(f"pgbench failed: {done.stderr[-2000:]}")
        took = sorted(int(line.split()[2]) / 1000 for file in Path(folder).glob("log*") for line in file.read_text().splitlines())
    return {"tps": float(re.search(r"tps = ([\d.]+)", done.stdout)[1]), **percentiles(took)}  # type: ignore[index]


def worker(number: int, lowest: int, highest: int, seconds: int, start: Any, results: Any) -> None:
    import django

    django.setup()
    from django.db import connection

    from wallet.services import receive

    source = random.Random(number)  # noqa: S311 - a load, not a secret
    connection.ensure_connection()
    took: list[float] = []
    start.wait()
    cpu = time.process_time()
    end = time.perf_counter() + seconds
    while (before := time.perf_counter()) < end:
        (answer,) = receive([a_bet(source.randint(lowest, highest), str(source.getrandbits(62)))])
        took.append((time.perf_counter() - before) * 1000)
        if isinstance(answer, Exception):
            raise answer
    results.put((took, time.process_time() - cpu))


def run_services(workers: int, lowest: int, highest: int, seconds: int) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(workers + 1), context.Queue()
    seed = random.SystemRandom().getrandbits(32)  # ids must be new in every run
    processes = [context.Process(target=worker, args=(seed + n, lowest, highest, seconds, start, results)) for n in range(workers)]
    for process in processes:
        process.start()
    start.wait()
    answers = [results.get() for _ in processes]
    for process in processes:
        process.join()
    took = sorted(value for times, _ in answers for value in times)
    cpu = sum(spent for _, spent in answers)
    return {"tps": len(took) / seconds, "cpu_us": cpu / len(took) * 1e6, **percentiles(took)}


def write_file(path: Path, rows: int, players: int) -> None:
    source = random.Random(1)  # noqa: S311 - a load, not a secret
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(
            [
                "source",
                "activity_id",
                "kind",
                "player_id",
                "currency",
                "amount",
                "cash_before",
                "ends_round",
                "game",
                "category",
                "occurred_at",
            ]
        )
        for number in range(rows):
            stake = source.randint(10, 2000)
            out.writerow(
                ["file", f"f{number}", "BET", f"F{source.randint(1, players)}", "EUR", f"{stake / 100:.2f}", f"{stake / 100:.2f}", "true",
                 f"game-{source.randint(1, 500)}", "slots", "2026-03-15T12:00:00Z"]
            )  # fmt: skip


def ingest_in_a_process(path: str, results: Any) -> None:
    import django

    django.setup()
    import logging

    logging.disable(logging.INFO)
    from wallet.activity.ingest import ingest_file

    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    report = ingest_file(Path(path), at=datetime.now(UTC))
    took = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    results.put({"rows": report.rows, "accepted": report.accepted, "seconds": took, "peak_mb": peak / 1024, "base_mb": base / 1024})


def run_file(rows: int, players: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bets.csv"
        write_file(path, rows, players)
        context = multiprocessing.get_context("spawn")
        results = context.Queue()
        process = context.Process(target=ingest_in_a_process, args=(str(path), results))
        process.start()
        answer: dict[str, Any] = results.get()
        process.join()
    return answer | {"per_second": answer["rows"] / answer["seconds"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--seconds", type=int, default=5, help="duration of each measurement")
    parser.add_argument("--players", type=int, default=20_000)
    parser.add_argument("--rows", type=int, default=1_000_000, help="bets in the file; 0 leaves the file out")
    parser.add_argument("--file-players", type=int, default=50_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    url = os.environ.get("DATABASE_URL") or sys.exit("DATABASE_URL is not set: start the benchmark with ./loyalty bench wallet_bets.")
    program = find_pgbench()
    bench_url = create_database(url)
    os.environ |= {"DATABASE_URL": bench_url, "DJANGO_SETTINGS_MODULE": "loyalty_site.settings"}
    os.environ.setdefault("LOYALTY_ENV", "demo")
    sys.path.insert(0, str(ROOT))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH", "")])
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    rows: list[dict[str, Any]] = []
    try:
        call_command("migrate", verbosity=0)
        make_table()
        with connection.cursor() as cursor:  # ids that no other figure of the statements is equal to
            cursor.execute("SELECT setval(pg_get_serial_sequence('players_player', 'id'), 7000000)")
        lowest, highest = prepare(options.players, prefix="W", every=1)
        script = pgbench_script(lowest, highest, lowest)
        hot_script = script.replace(f"random({lowest}, {highest})", f"random({lowest}, {lowest})")
        connection.close()
        for load, upper, text in (("uniform", highest, script), ("hot", lowest, hot_script)):
            for workers in WORKERS:
                floor = run_pgbench(program, bench_url, text, workers, options.seconds)
                ours = run_services(workers, lowest, upper, options.seconds)
                rows.append({"load": load, "workers": workers, "services": ours, "pgbench": floor, "share": ours["tps"] / floor["tps"]})
        file = {}
        if options.rows:
            prepare(options.file_players, prefix="F", every=5)
            file = run_file(options.rows, options.file_players)
        from wallet.services import reconcile

        report = reconcile(0, 2**62)
        connection.close()
    finally:
        drop_database(url, bench_url)
    show(rows, file, report, as_json=options.json)


def show(rows: list[dict[str, Any]], file: dict[str, Any], report: Any, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"rows": rows, "file": file, "entries": report.entries, "reconciled": report.ok}))
        return
    print("load     workers  bets/s  pgbench/s  share   p50 ms  p95 ms  p99 ms  client CPU us   (pgbench p50/p95/p99)")
    for row in rows:
        ours, floor = row["services"], row["pgbench"]
        print(
            f"{row['load']:8} {row['workers']:7}  {ours['tps']:6,.0f}  {floor['tps']:9,.0f}  {row['share']:5.2f}  {ours['p50']:7.2f} "
            f"{ours['p95']:7.2f} {ours['p99']:7.2f}  {ours['cpu_us']:13.0f}   ({floor['p50']:.2f}/{floor['p95']:.2f}/{floor['p99']:.2f})"
        )
    if file:
        print(
            f"file: {file['rows']:,} bets in {file['seconds']:.1f} s, {file['per_second']:,.0f} a second; memory {file['base_mb']:.0f} MB "
            f"before, {file['peak_mb']:.0f} MB at most"
        )
    print(f"{report.entries:,} entries; the books {'balance' if report.ok else 'DO NOT BALANCE'}")
    for difference in report.differences[:5]:
        print(f"  {difference}")
    if not report.ok:
        sys.exit(1)


if __name__ == "__main__":
    main()
