"""Expiring bonus grants and lots of points: the sweeps of `wallet.services` against one hand-written statement each.

    DATABASE_URL=... python benchmarks/expiry.py [--rows 200000] [--json]

Works in a database of its own (`<name>_bench_expiry`, dropped afterwards) on the server of DATABASE_URL, with one open grant and one lot
of each of `rows` players, filled through the bulk door. A floor closes all of them by one statement without locks, checks, queue or
chunks. Both start from the same rows after VACUUM ANALYZE. Share = floor / sweep, seconds. Memory is the peak of the client process,
before and after.
"""

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

ROOT = Path(__file__).resolve().parent.parent
GIVEN_AT = datetime(2026, 3, 1, tzinfo=UTC)
ENDS_AT = GIVEN_AT + timedelta(days=7)
BATCH = 20_000

FLOOR = """
WITH ending AS MATERIALIZED (
    SELECT id, account_id, balance, nextval('wallet_entry_id_seq') AS entry_id FROM wallet_bonusgrant
    WHERE status = 'ACTIVE' AND expires_at <= %(at)s
), posted AS (
    INSERT INTO wallet_entry (id, account_id, house, amount, seq, balance_after, source_type, source_ref, source_sub, reason, occurred_at)
    SELECT entry_id, account_id, 'expiry', -ending.balance, account.version + 1, account.balance - ending.balance, 'wallet.grant',
           ending.id::text, 'expire', 'expired before the wagering was completed', %(at)s
    FROM ending JOIN wallet_account AS account ON account.id = ending.account_id
), lowered AS (
    UPDATE wallet_account AS account SET balance = account.balance - ending.balance, version = account.version + 1
    FROM ending WHERE account.id = ending.account_id
), moved AS (
    INSERT INTO wallet_grantmovement (grant_id, entry_id, pocket, amount) SELECT id, entry_id, 'balance', -balance FROM ending
), closed AS (
    UPDATE wallet_bonusgrant AS g SET status = 'EXPIRED', balance = 0, closed_at = %(at)s FROM ending WHERE g.id = ending.id
)
INSERT INTO wallet_grantevent (grant_id, from_status, to_status, cause, detail, entry_id, occurred_at)
SELECT id, 'ACTIVE', 'EXPIRED', 'expired before the wagering was completed', '{}', entry_id, %(at)s FROM ending
"""

LOTS_FLOOR = """
WITH ending AS MATERIALIZED (
    SELECT id, account_id, remaining, nextval('wallet_entry_id_seq') AS entry_id FROM wallet_lot
    WHERE status = 'ACTIVE' AND expires_at <= %(at)s
), posted AS (
    INSERT INTO wallet_entry (id, account_id, house, amount, seq, balance_after, source_type, source_ref, source_sub, reason, occurred_at)
    SELECT entry_id, account_id, 'expiry', -ending.remaining, account.version + 1, account.balance - ending.remaining, 'wallet.lot',
           ending.id::text, 'expire', 'points ran out', %(at)s
    FROM ending JOIN wallet_account AS account ON account.id = ending.account_id
), lowered AS (
    UPDATE wallet_account AS account SET balance = account.balance - ending.remaining, version = account.version + 1
    FROM ending WHERE account.id = ending.account_id
), used AS (
    INSERT INTO wallet_lotuse (lot_id, entry_id, amount) SELECT id, entry_id, -remaining FROM ending
)
UPDATE wallet_lot AS lot SET status = 'EXPIRED', remaining = 0, closed_at = %(at)s FROM ending WHERE lot.id = ending.id
"""


@dataclass(frozen=True)
class Figures:
    what: str
    rows: int
    sweep_seconds: float
    floor_seconds: float
    client_megabytes_before: float
    client_megabytes_after: float

    @property
    def share(self) -> float:
        return self.floor_seconds / self.sweep_seconds


def create_database(url: str) -> str:
    """Make the benchmark's own database and return its address."""
    parts = urlsplit(url)
    name = f"{parts.path.lstrip('/')}_bench_expiry"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}"')
    return urlunsplit(parts._replace(path=f"/{name}"))


def drop_database(url: str, bench_url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{urlsplit(bench_url).path.lstrip("/")}" WITH (FORCE)')


def prepare(rows: int) -> None:
    """Migrate, and give each of `rows` players a bonus and some points that end at ENDS_AT."""
    from django.core.management import call_command
    from django.db import connection, transaction

    from wallet.models import PointsPolicy
    from wallet.services import create_credit_stage, post_credit_stage

    call_command("migrate", verbosity=0)
    # points end with the day: those of the first of March six days later
    PointsPolicy.objects.filter(unit="RP").update(expiry="days", period=6)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO players_player (external_id, username, first_name, last_name, email, country, currency, language, "
            "acquisition_channel, status, segment, risk_score, attributes, created_at, updated_at) "
            "SELECT 'B' || n, '', '', '', '', 'MT', 'EUR', '', '', 'ACTIVE', 'NEW', 0, '{}', %s, %s FROM generate_series(1, %s) AS n",
            [GIVEN_AT, GIVEN_AT, rows],
        )
    for start in range(0, rows, BATCH):
        with transaction.atomic(), connection.cursor() as cursor:
            stage = create_credit_stage(cursor)
            cursor.execute(
                f"INSERT INTO {stage} (line_no, player_id, unit, currency, amount_minor, source_type, source_ref, source_sub, reason, "
                "wagering_required, expires_at, eligible_games) SELECT id, id, 'BONUS', 'EUR', 1000 + id %% 977, 'bench', id::text, '', "
                "'benchmark', 100, %s, '[]' FROM players_player AS player ORDER BY player.id OFFSET %s LIMIT %s",
                [ENDS_AT, start, BATCH],
            )
            cursor.execute(
                f"INSERT INTO {stage} (line_no, player_id, unit, currency, amount_minor, source_type, source_ref, source_sub, reason) "
                "SELECT id, id, 'RP', '', 1000 + id %% 977, 'bench-points', id::text, '', 'benchmark' "
                "FROM players_player AS player ORDER BY player.id OFFSET %s LIMIT %s",
                [start, BATCH],
            )
            post_credit_stage(cursor, house="rewards", at=GIVEN_AT)


def timed(work: Callable[[], Any]) -> float:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(what: str, rows: int, floor_sql: str, sweep: Callable[[], int]) -> Figures:
    """The floor in a transaction that is rolled back, then the sweep on the same rows."""
    from django.db import connection, transaction

    def floor() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(floor_sql, {"at": ENDS_AT})
            if cursor.rowcount != rows:
                raise SystemExit(f"the floor closed {cursor.rowcount} {what} instead of {rows}")
            transaction.set_rollback(True)

    swept: list[int] = []
    floor_seconds = timed(floor)
    before = megabytes()
    sweep_seconds = timed(lambda: swept.append(sweep()))
    if swept != [rows]:
        raise SystemExit(f"the sweep closed {swept[0]} {what} instead of {rows}")
    return Figures(what, rows, sweep_seconds, floor_seconds, before, megabytes())


def measure_both(rows: int) -> list[Figures]:
    from wallet import services

    everybody = {"at": ENDS_AT, "lower_id": 0, "upper_id": 2**62}
    figures = [
        measure("grants", rows, FLOOR, lambda: services.expire_bonuses(**everybody)),
        measure("lots", rows, LOTS_FLOOR, lambda: services.expire_lots(**everybody)),
    ]
    services.require_balanced(services.reconcile(0, 2**62))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    url = os.environ.get("DATABASE_URL") or sys.exit("set DATABASE_URL to a database on the server to measure")
    bench_url = create_database(url)
    os.environ.update(DATABASE_URL=bench_url, DJANGO_SETTINGS_MODULE="loyalty_site.settings")
    sys.path.insert(0, str(ROOT))
    import django

    django.setup()
    try:
        prepare(options.rows)
        figures = measure_both(options.rows)
    finally:
        from django.db import connections

        connections.close_all()
        drop_database(url, bench_url)
    if options.json:
        print(json.dumps([{**one.__dict__, "share": one.share} for one in figures]))
        return
    for one in figures:
        seconds = f"sweep {one.sweep_seconds:.2f} s, one statement {one.floor_seconds:.2f} s"
        memory = f"client memory {one.client_megabytes_before:.0f} MB before, {one.client_megabytes_after:.0f} MB at its peak"
        print(f"{one.rows} {one.what}: {seconds}, share {one.share:.0%}; {memory}")


if __name__ == "__main__":
    main()
