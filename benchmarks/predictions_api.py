"""Pages of predictions over 1,000,000 players, of the API and of the admin: p50, p95 and p99, the database's part, the ratio to a floor.

    ./loyalty bench predictions_api [--players 1000000] [--requests 200] [--keep]

Requests run through the whole application in this process (key or session, permissions, JSON or HTML), without a web server. The
database's part is the time inside execute, all statements of the request together: key, run, model, thresholds, page, rows. The floor is
what the page itself costs at least: the same number of rows by a primary-key range, in plain psycopg. "page" is the statements on the
score tables alone (its keys, then its rows with the player's id); its ratio to the floor, asked beside each request, says what sorting,
filtering and depth add. Milliseconds vary with the machine and what else it does; the ratio much less.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import django

AS_OF = datetime(2026, 3, 15, 2, 30, tzinfo=UTC)
SEED = 0.20260315
PAGE = 50
UNITS = {"EUR": 60.0, "USD": 65.0}

CLEAR = "TRUNCATE players_player, predictions_scoringrun, predictions_modelversion RESTART IDENTITY CASCADE"
REASONS = json.dumps(
    [
        {"feature": name, "value": 12.5, "contribution": 0.4, "quartiles": [2.0, 5.0, 9.0]}
        for name in ("days_since_last_deposit", "sessions_30d", "stake_30d")
    ]
)
FILL = [
    """INSERT INTO players_player (external_id, username, first_name, last_name, email, birth_date, country, currency, language,
           registered_at, acquisition_channel, status, segment, risk_score, attributes, created_at, updated_at)
       SELECT 'B' || lpad(n::text, 8, '0'), '', '', '', '', '1985-05-05', 'MT', CASE WHEN n %% 10 = 0 THEN 'USD' ELSE 'EUR' END, '',
           %(now)s - interval '400 days', 'organic', 'ACTIVE', 'NEW', 0, '{}', %(now)s, %(now)s FROM generate_series(1, %(players)s) n""",
    # three of five are long gone and nearly sure to stay away, of the others a third is at risk; probabilities in steps, because
    # calibration makes ties; values with the long tail that values have
    """INSERT INTO predictions_churnscore (run_id, player_id, probability, lower, upper, value, priority, idle_days, reasons)
       SELECT %(run)s, id, p, greatest(p - 0.04, 0), least(p + 0.04, 1), v, least(p * m, 1), idle, '[]' FROM (
           SELECT id, p, v, idle, CASE WHEN v > 5000 THEN 1.5 WHEN v > 1000 THEN 1.2 ELSE 1 END AS m FROM (
               SELECT id, round((CASE WHEN is_gone THEN 1 - random() ^ 2 / 5 ELSE random() ^ 2 END)::numeric, 3)::float8 AS p,
                   round(exp(random() * 4 + random() * 4)::numeric, 4) AS v,
                   floor(CASE WHEN is_gone THEN 91 + random() * 400 ELSE random() * 91 END)::int AS idle
               FROM (SELECT id, random() < 0.6 AS is_gone FROM players_player) c) a) b""",
    """INSERT INTO predictions_valuescore (run_id, player_id, currency, value, p10, p50, p90, value_90, churn_adjusted, probabilistic,
           boosted, alive, purchases, confidence, reasons)
       SELECT %(run)s, s.player_id, p.currency, s.value, s.value * 0.4, s.value * 0.9, s.value * 2, s.value / 4,
           s.value * (1 - s.probability)::numeric, s.value, s.value, 0.8, 12, 0.8, '[]'
       FROM predictions_churnscore s JOIN players_player p ON p.id = s.player_id WHERE s.run_id = %(run)s""",
    """INSERT INTO predictions_fraudscore (run_id, player_id, score, anomaly, detectors, fraud_type, severity, interval_low, interval_high,
           reasons)
       SELECT %(run)s, id, a ^ 12, a, a ^ 20, CASE WHEN a > 0.98 THEN 'BONUS_ONLY' ELSE '' END, a ^ 20, 0, 1, '[]'
       FROM (SELECT id, random() AS a FROM players_player) b""",
    """INSERT INTO predictions_segmentscore (run_id, player_id, cluster, recency_score, frequency_score, monetary_score, rfm_segment,
           stability, next_cluster, transition_probability, reasons)
       SELECT %(run)s, id, (a * 4)::int %% 4, 1 + (a * 4.99)::int, 3, 3, (ARRAY['Champions', 'Loyal', 'At Risk', 'Lost'])[1 + (id %% 4)],
           1 - a * 0.2, 1, 0.7, '[]' FROM (SELECT id, random() AS a FROM players_player) b""",
    """INSERT INTO predictions_engagementscore (run_id, player_id, probability, lower, upper, logins, deposits, gameplay, decay, reasons)
       SELECT %(run)s, id, a, a * 0.9, a, a * 0.5, a * 0.3, a * 0.2, round((1 - a)::numeric, 2), '[]'
       FROM (SELECT id, random() AS a FROM players_player) b""",
]
TOP = """UPDATE {table} SET reasons = %s WHERE run_id = %s AND player_id IN (
    SELECT player_id FROM {table} WHERE run_id = %s ORDER BY {by} DESC LIMIT 10000)"""
TABLES = {
    "churnscore": "priority",
    "valuescore": "value",
    "fraudscore": "score",
    "segmentscore": "stability",
    "engagementscore": "probability",
}
TABLE_KINDS = ("churn", "ltv", "fraud", "segmentation", "engagement")
GROUPS = [
    {"cluster": number, "name": f"Group {number}", "recommendation": key}
    for number, key in enumerate(("reengage", "vip", "retention", "onboarding"))
]

# name -> (kind, parameters); "deep" scenarios are added from rows in the middle of the order
SCENARIOS: dict[str, tuple[str, dict[str, Any]]] = {
    "churn, by probability": ("churn", {}),
    "churn, by priority": ("churn", {"sort_by": "priority_score"}),
    "churn, by value": ("churn", {"sort_by": "user_value"}),
    "churn, by user id": ("churn", {"sort_by": "user_id"}),
    "churn, high risk by priority": ("churn", {"risk_level": "high", "sort_by": "priority_score"}),
    "churn, low risk by priority": ("churn", {"risk_level": "low", "sort_by": "priority_score"}),
    "churn, medium risk by value": ("churn", {"risk_level": "medium", "sort_by": "user_value"}),
    "churn, page 200 of 50": ("churn", {"page": 200}),
    "churn, page 200, high risk by value": ("churn", {"page": 200, "risk_level": "high", "sort_by": "user_value"}),
    "ltv, high value": ("ltv", {"segment": "high_value"}),
    "ltv, low value, USD": ("ltv", {"segment": "low_value", "currency": "USD"}),
    "fraud, by score": ("fraud", {}),
    "fraud, labelled, by anomaly": ("fraud", {"label": "fraud", "sort_by": "anomaly_score"}),
    "segmentation, one cluster": ("segmentation", {"segment": 2}),
    "segmentation, a named segment": ("segmentation", {"rfm_segment": "At Risk", "sort_by": "stability"}),
    "engagement, not engaged": ("engagement", {"engagement": "not_engaged"}),
}
DEEP: dict[str, tuple[str, dict[str, Any]]] = {
    "churn, cursor in the middle": ("churn", {}),
    "churn, cursor at nine tenths, by value": ("churn", {"sort_by": "user_value"}),
    "churn, cursor in the middle, low risk": ("churn", {"risk_level": "low"}),
    "engagement, cursor in the middle": ("engagement", {}),
}


# lists of the admin, as a manager who may see everything opens them
LISTS: dict[str, tuple[str, dict[str, Any]]] = {
    "admin, churn as it opens": ("churnscore", {}),
    "admin, churn, high risk": ("churnscore", {"risk": "high"}),
    "admin, churn, all players": ("churnscore", {"away": "all"}),
    "admin, value": ("valuescore", {}),
    "admin, fraud": ("fraudscore", {}),
    "admin, segments": ("segmentscore", {}),
    "admin, engagement": ("engagementscore", {}),
}


# every request asks for a threshold that nobody asked for before: on a hundredth, and between two
_ON = [number / 100 for number in range(5, 100)]
_BETWEEN = [0.05 + number * 0.0093 for number in range(100)]
THRESHOLDS: dict[str, tuple[str, list[float]]] = {
    f"{kind}, a new threshold {where}": (kind, places)
    for kind in ("churn", "fraud", "engagement")
    for where, places in (("on a band", _ON), ("within a band", _BETWEEN))
}


class Clock:
    """Seconds inside the database during a request: all statements, and those on score tables."""

    def __init__(self) -> None:
        self.all = self.page = 0.0

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        started = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            seconds = time.perf_counter() - started
            self.all += seconds
            if any(table in sql for table in TABLES):
                self.page += seconds


def fill(players: int) -> Any:
    from django.core.cache import cache
    from django.db import connection

    from predictions.models import Kind, ModelVersion, ScoringRun
    from predictions.summaries import summarise

    with connection.cursor() as cursor:
        cursor.execute(CLEAR)
        cursor.execute("SELECT setseed(%s)", [SEED])
        versions = {}
        for kind in Kind.values:
            version = ModelVersion.objects.create(
                kind=kind,
                number=1,
                status="CHAMPION",
                algorithm="filled in",
                as_of=AS_OF,
                trained_at=AS_OF,
                importance={"days_since_last_deposit": 0.6, "sessions_30d": 0.4},
                curves={"characteristics": GROUPS},
            )
            versions[kind] = version.pk
        run = ScoringRun.objects.create(
            as_of=AS_OF, status="PUBLISHED", is_current=True, versions=versions, summary={"units": UNITS},
            started_at=AS_OF, published_at=AS_OF + timedelta(minutes=5),
        )  # fmt: skip
        for statement in FILL:
            cursor.execute(statement, {"now": AS_OF, "players": players, "run": run.pk})
        for name, by in TABLES.items():
            cursor.execute(TOP.format(table=f"predictions_{name}", by=by), [REASONS, run.pk, run.pk])
            cursor.execute(f"VACUUM ANALYZE predictions_{name}")
        cursor.execute("VACUUM ANALYZE players_player")
    run.summary = {"units": UNITS, **{kind: summarise(kind, run) for kind in TABLE_KINDS}}  # as publishing leaves it
    run.save(update_fields=["summary"])
    cache.clear()
    return run


def kept() -> Any:
    from django.core.cache import cache

    from predictions.models import ScoringRun

    cache.clear()
    return ScoringRun.objects.filter(is_current=True).first()


def deep_cursors(run: Any, players: int, count: int) -> dict[str, list[str]]:
    """Cursors at `count` places around the middle (or nine tenths) of the order, as a walk from page to page would have them."""
    from django.http import QueryDict

    from predictions.api import paging
    from predictions.api.query import checked
    from predictions.api.views import PAGES
    from predictions.selectors import SCORES

    found: dict[str, list[str]] = {}
    for name, (kind, params) in DEEP.items():
        prediction: Any = PAGES[kind].prediction
        values = checked(prediction.query, QueryDict(urlencode(params)))
        sort = prediction.sorts[values["sort_by"]]
        rows = SCORES[kind]._default_manager.filter(run=run).order_by(*sort.order)
        start = int(players * (0.9 if "nine tenths" in name else 0.5))
        mark = paging.fingerprint(prediction.kind, values)
        found[name] = [paging.encode(run, mark, sort, row) for row in rows[start : start + count]]
    return found


def quantiles(seconds: list[float]) -> dict[str, float]:
    """p50, p95 and p99 in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {f"p{share}": round(cuts[share - 1] * 1000, 2) for share in (50, 95, 99)}


class Floor:
    """A page of rows by primary key at places all over the table, in plain psycopg on a connection of its own."""

    def __init__(self, players: int) -> None:
        import psycopg
        from django.db import connection

        parameters = connection.get_connection_params()
        parameters.pop("cursor_factory", None)
        parameters.pop("context", None)
        self.players, self.asked = players, 0
        self.cursor = psycopg.connect(**parameters, autocommit=True).cursor()

    def __call__(self) -> float:
        """Seconds of one page."""
        self.asked += 1
        first = (self.asked * 7919 * 97) % max(self.players - PAGE, 1)
        started = time.perf_counter()
        self.cursor.execute("SELECT * FROM predictions_churnscore WHERE id > %s ORDER BY id LIMIT 50", [first])
        assert len(self.cursor.fetchall()) == min(PAGE, self.players)
        return time.perf_counter() - started


def asking(http: Any, kind: str, variants: list[dict[str, Any]]) -> Callable[[int], None]:
    """Asks the API for the page of a kind, with one variant of its parameters after the other."""

    def ask(number: int) -> None:
        answer = http.get(f"/api/v1/predictions/{kind}/predict", variants[number % len(variants)])
        assert answer.status_code == 200, answer.content[:300]
        assert answer.json()["data"]["results"], variants[number % len(variants)]

    return ask


def opening(http: Any, table: str, params: dict[str, Any]) -> Callable[[int], None]:
    """Opens a list of the admin."""
    from django.urls import reverse

    address = reverse(f"admin:predictions_{table}_changelist")

    def ask(number: int) -> None:
        answer = http.get(address, params)
        assert answer.status_code == 200, (table, answer.status_code)
        assert len(answer.context_data["cl"].result_list) > 0, (table, params)

    return ask


def measure(ask: Callable[[int], None], floor: Floor, requests: int) -> dict[str, Any]:
    from django.db import connection

    total, database, page, base, cpu = [], [], [], [], []
    first: dict[str, float] = {}
    for number in range(requests + 5):
        clock = Clock()
        with connection.execute_wrapper(clock):
            started, busy = time.perf_counter(), time.process_time()
            ask(number)
            seconds, busy = time.perf_counter() - started, time.process_time() - busy
        if not first:
            first = {"first_total_ms": round(seconds * 1000, 1), "first_database_ms": round(clock.all * 1000, 1)}
        if number >= 5:  # the first ones fill what is remembered per run and the caches of this process
            total.append(seconds)
            database.append(clock.all)
            page.append(clock.page)
            cpu.append(busy)
            base.append(floor())  # beside each request, so that both meet the same load
    found = {"total": quantiles(total), "database": quantiles(database), "page": quantiles(page), "floor": quantiles(base)}
    ratio = round(found["page"]["p50"] / found["floor"]["p50"], 1)
    return {**found, "ratio": ratio, "cpu_ms": round(statistics.median(cpu) * 1000, 1), **first}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--players", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--keep", action="store_true", help="use the rows that an earlier run of this benchmark left")
    arguments = parser.parse_args()
    django.setup()
    from django.contrib.auth.models import User
    from django.test import Client

    from loyalty_site.common.api.keys import issue_key
    from loyalty_site.common.clock import utc_now
    from loyalty_site.common.models import ApiClient

    started = time.perf_counter()
    run = (arguments.keep and kept()) or fill(arguments.players)
    print(f"filled {arguments.players:,} players x 5 kinds in {time.perf_counter() - started:.0f} s", file=sys.stderr)
    now = utc_now()
    client = ApiClient.objects.create(name=f"benchmark {now.timestamp()}", created_at=now)
    scopes = ["predictions:read", "fraud:read"]
    issued = issue_key(client, scopes=scopes, at=now, expires_at=now + timedelta(days=1), rate_per_minute=10_000_000)
    http = Client(headers={"Authorization": f"Bearer {issued.plain_text}", "Host": "localhost"})
    floor = Floor(arguments.players)
    report: dict[str, Any] = {"players": arguments.players, "requests": arguments.requests, "pages": {}}
    cursors = deep_cursors(run, arguments.players, arguments.requests)
    work: dict[str, tuple[str, list[dict[str, Any]]]] = {name: (kind, [params]) for name, (kind, params) in SCENARIOS.items()}
    work |= {name: (DEEP[name][0], [{**DEEP[name][1], "cursor": cursor} for cursor in found]) for name, found in cursors.items()}
    work |= {name: (kind, [{"threshold": one} for one in places]) for name, (kind, places) in THRESHOLDS.items()}
    for name, (kind, variants) in work.items():
        # a threshold that comes again would be remembered
        requests = min(arguments.requests, len(variants) - 5) if name in THRESHOLDS else arguments.requests
        tell(name, measure(asking(http, kind, variants), floor, requests), report)
    staff = Client(headers={"Host": "localhost"})
    staff.force_login(User.objects.create_superuser(f"benchmark {now.timestamp()}"))
    for name, (table, params) in LISTS.items():
        tell(name, measure(opening(staff, table, params), floor, max(arguments.requests // 4, 20)), report)
    print(json.dumps(report))


def tell(name: str, found: dict[str, Any], report: dict[str, Any]) -> None:
    report["pages"][name] = found
    print(
        f"{name:42} total {found['total']}  database {found['database']}  page {found['page']}  floor {found['floor']}  "
        f"x{found['ratio']}  cpu {found['cpu_ms']} ms  first {found['first_total_ms']} ms",
        flush=True,
    )


if __name__ == "__main__":
    main()
