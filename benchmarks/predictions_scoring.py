"""A scoring run over many players with all models: seconds a stage, peak memory, the ratio to a floor, and single predictions.

    ./loyalty bench predictions_scoring [--players 100000] [--trained-on 10000] [--nights 3] [--requests 300] [--keep]

Fills an empty database with players of six habits and a year of activity, trains the models of the product on some of them (not counted),
and runs the job "predictions" night after night in this process, without further workers. No activity comes in between, so every night
scores the same features. The floor is what any scoring of these players
costs: the same features and the binary COPY of constant rows into the same tables, range by range. "ratio" is the scoring stage over it.
Single predictions run with models loaded once: described profiles (no database row is read for them), players, what-if, explanations.

Memory is the peak resident size of this process; the database has its own. Models put into use here skip the gate: what is measured is
time, not quality (`predictions_churn`, `predictions_value` and `predictions_oracle` measure that).
"""

import argparse
import json
import os
import resource
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "loyalty_site.settings")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import django

AS_OF = datetime(2026, 3, 15, 2, 30, tzinfo=UTC)
SEED = 1
# one in so many days is a visit; a third of the players stop at some point of the year
_HABIT = "(ARRAY[4, 9, 20, 45, 90, 180])[1 + mod(p.id, 6)]"
_DAY = f"""mod(hashint8extended(p.id * 1000 + d, {SEED}) & 1048575, {_HABIT}) = 0 AND (mod(p.id, 3) > 0 OR d > mod(p.id * 7, 300))"""
_AT = "%(cut)s - v.d * interval '1 day' + interval '12 hours'"
FILL = [
    """INSERT INTO players_game (code, name, provider, category, house_edge, round_sd)
       SELECT 'game-' || n, 'Game ' || n, 'studio', (ARRAY['slots', 'slots', 'roulette', 'live', 'sports'])[1 + mod(n, 5)], 0.04, 5
       FROM generate_series(1, 50) n""",
    """INSERT INTO players_player (external_id, username, first_name, last_name, email, birth_date, country, currency, language,
           registered_at, acquisition_channel, status, segment, risk_score, attributes, created_at, updated_at)
       SELECT 'B' || n, '', '', '', '', '1985-05-05', 'MT', (ARRAY['EUR', 'EUR', 'EUR', 'SEK'])[1 + mod(n, 4)], '',
           %(cut)s - interval '400 days', 'organic', 'ACTIVE', 'NEW', mod(n, 40), '{}', %(cut)s, %(cut)s
       FROM generate_series(1, %(players)s) n""",
    f"CREATE TEMP TABLE visit AS SELECT p.id, d FROM players_player p CROSS JOIN generate_series(1, 365) d WHERE {_DAY}",
    f"""INSERT INTO players_playsession (player_id, external_id, started_at, ended_at, ip, device_id)
       SELECT id, 's' || d, {_AT}, {_AT} + (600 + (id & 1023)) * interval '1 second', '10.0.0.1', 'dev-' || id
       FROM visit v WHERE d <= 95""",
    f"""INSERT INTO players_gameplay (player_id, external_id, session_ref, game_id, played_at, stake, payout, bonus_stake, rounds)
       SELECT id, 's' || d, 's' || d, 1 + mod(id + d, 50), {_AT}, 10 + mod(id * 37 + d, 40), mod(id * 41 + d * 7, 50),
           CASE WHEN mod(d, 9) = 0 THEN 3 ELSE 0 END, 30 FROM visit v WHERE d <= 95""",
    f"""INSERT INTO players_payment (player_id, external_id, kind, status, amount, method, instrument, occurred_at)
       SELECT id, 'd' || d, 'DEPOSIT', CASE WHEN mod(d, 17) = 0 THEN 'FAILED' ELSE 'COMPLETED' END, 5 + mod(id * 13 + d, 60), 'card',
           'i-' || id, {_AT} FROM visit v WHERE mod(id + d, 2) = 0""",
    """INSERT INTO players_playerday (player_id, day, deposits, deposit_count, failed_deposit_count, withdrawals, withdrawal_count, refunds,
           stake, payout, bonus_stake, theo, rounds, max_stake, games, sessions, playtime_seconds)
       SELECT id, %(cut)s::date - d, CASE WHEN paid THEN 5 + mod(id * 13 + d, 60) ELSE 0 END, paid::int,
           (mod(id + d, 2) = 0)::int - paid::int,
           0, 0, 0, 10 + mod(id * 37 + d, 40), mod(id * 41 + d * 7, 50), CASE WHEN mod(d, 9) = 0 THEN 3 ELSE 0 END, 1.2, 30, 2, 1, 1, 900
       FROM (SELECT *, mod(id + d, 2) = 0 AND mod(d, 17) > 0 AS paid FROM visit) v""",
]
TABLES = ("player", "playerday", "playsession", "gameplay", "payment")


def fill(players: int) -> dict[str, int]:
    from django.core.cache import cache
    from django.db import connection, transaction

    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE players_player, players_game, common_jobrun, predictions_scoringrun RESTART IDENTITY CASCADE")
        cursor.execute("DELETE FROM predictions_modelversion")
        with transaction.atomic():
            for statement in FILL:
                cursor.execute(statement, {"cut": AS_OF.replace(hour=0, minute=0), "players": players})
            cursor.execute("DROP TABLE visit")
        cursor.execute("VACUUM ANALYZE " + ", ".join(f"players_{name}" for name in TABLES))
        cursor.execute("SELECT " + ", ".join(f"(SELECT count(*) FROM players_{name})" for name in TABLES))
        rows = dict(zip(TABLES, cursor.fetchone(), strict=True))
    cache.clear()
    return rows


def train() -> dict[str, str]:
    """Train every kind and put it into use, whatever its gate says. Returns kind to algorithm."""
    from predictions import training
    from predictions.models import Kind, ModelVersion

    chosen = {}
    for kind in Kind.values:
        version = training.train(kind, as_of=AS_OF, seed=SEED, requested_by=None, is_synthetic=True)
        ModelVersion.objects.filter(pk=version.pk).update(status=ModelVersion.Status.CHAMPION)
        chosen[str(kind)] = version.algorithm
    return chosen


class Stopwatch:
    """Seconds inside named functions, as they are called by the product."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self.seconds[name] += time.perf_counter() - started

        return timed

    def taken(self) -> dict[str, float]:
        taken = {name: round(seconds, 2) for name, seconds in self.seconds.items()}
        self.seconds.clear()
        return taken


class Timed:
    """A model whose predictions are timed under its kind."""

    def __init__(self, kind: str, model: Any, watch: Stopwatch) -> None:
        self.model, self.features, self.algorithm = model, model.features, model.algorithm
        self.predict = watch.around(f"predict {kind}", model.predict)
        self.explain = watch.around(f"explain {kind}", model.explain)


def instrument(watch: Stopwatch) -> None:
    from predictions import drifting, features, preparing, pruning, scoring, similar, summaries

    opened = scoring.models_of
    features.frame = watch.around("features", features.frame)
    features.frame_for = watch.around("features of the top", features.frame_for)
    scoring.copy_rows = watch.around("copy", scoring.copy_rows)
    scoring.known_of = watch.around("detectors and deposits", scoring.known_of)
    scoring.models_of = lambda run: {kind: Timed(kind, model, watch) for kind, model in opened(run).items()}
    preparing.store_reasons = watch.around("reasons in all", preparing.store_reasons)
    preparing.add_points = watch.around("points of history", preparing.add_points)
    pruning._delete_ended = watch.around("scores of ended runs", pruning._delete_ended)
    pruning._thin = watch.around("history thinned", pruning._thin)
    drifting.of_run = watch.around("drift", drifting.of_run)
    summaries.summarise = watch.around("summaries", summaries.summarise)
    similar.store = watch.around("past cases", similar.store)


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def night(number: int, watch: Stopwatch) -> dict[str, Any]:
    from loyalty_site.common import jobs

    run = jobs.execute(jobs.create_run("predictions", as_of=AS_OF + timedelta(days=number)))
    assert run.status == "SUCCEEDED", run.error
    seconds = {stage.name: round((stage.finished_at - stage.started_at).total_seconds(), 1) for stage in run.stages.order_by("id")}
    results = {stage.name: stage.result for stage in run.stages.order_by("id")}
    return {"night": number + 1, "seconds": seconds, "parts": watch.taken(), "results": results, "peak_memory_mb": peak_mb()}


def floor() -> dict[str, float]:
    """Features, and constant rows into the same tables by the same COPY, in the same ranges and transactions."""
    import numpy as np
    from django.db import connection, transaction

    from predictions import features, scoring
    from predictions.models import ScoringRun
    from predictions.rows import Column, copy_rows
    from predictions.selectors import SCORES, current_run

    run = current_run()
    assert run is not None
    spare = ScoringRun.objects.create(as_of=AS_OF - timedelta(days=1000), started_at=AS_OF, status="ABANDONED")
    first = {kind: SCORES[kind].objects.filter(run=run).order_by("player_id").values().first() for kind in run.versions}
    frame_seconds = copy_seconds = 0.0
    units = features.currency_units(AS_OF)
    started = time.perf_counter()
    for lower, upper in features.ranges(10_000):
        with transaction.atomic():
            begun = time.perf_counter()
            frame = features.frame(lower, upper, AS_OF, units=units)
            frame_seconds += time.perf_counter() - begun
            begun = time.perf_counter()
            ids = frame.index.to_numpy(np.int64)
            for kind, row in first.items():
                columns = constant(row, ids, spare.pk, scoring.NO_REASONS)
                copy_rows(SCORES[kind]._meta.db_table, columns, len(ids))
            copy_seconds += time.perf_counter() - begun
    whole = time.perf_counter() - started
    with connection.cursor() as cursor:
        for kind in first:
            cursor.execute(f"DELETE FROM {SCORES[kind]._meta.db_table} WHERE run_id = %s", [spare.pk])
    assert all(isinstance(column, Column) for column in columns.values())
    return {"seconds": round(whole, 1), "features": round(frame_seconds, 1), "copy": round(copy_seconds, 1)}


def constant(row: dict[str, Any], ids: Any, run_id: int, no_reasons: str) -> dict[str, Any]:
    import numpy as np

    from predictions.rows import Column, Type

    columns = {
        "run_id": Column(Type.BIGINT, np.full(len(ids), run_id, dtype=np.int64)),
        "player_id": Column(Type.BIGINT, ids),
        "reasons": Column(Type.JSON, no_reasons),
    }
    whole = {"idle_days": Type.INT}
    for name, value in row.items():
        if name in ("id", "run_id", "player_id", "reasons"):
            continue
        if isinstance(value, float) or value is None and name in ("alive", "purchases"):
            columns[name] = Column(Type.FLOAT, np.full(len(ids), value or 0.0))
        elif isinstance(value, int):
            columns[name] = Column(whole.get(name, Type.SMALLINT), np.full(len(ids), value))
        elif isinstance(value, str):
            columns[name] = Column(Type.TEXT, np.full(len(ids), value, dtype=object))
        else:
            columns[name] = Column(Type.AMOUNT, np.full(len(ids), int((value or 0) * 10_000), dtype=np.int64))
    return columns


def single(requests: int, players: int) -> dict[str, Any]:
    """p50, p95 and p99 in milliseconds, after the first call, which loads the models."""
    from predictions import services
    from predictions.models import Kind

    profile = {"days_since_last_activity": 12, "sessions_30d": 3, "deposit_count_90d": 4, "deposits_90d": 6.5, "tenure_days": 200}
    customer = {
        "age": 41, "income": 52_000, "credit_score": 690, "tenure_months": 30, "region": "North", "acquisition_channel": "Online",
        "products": [], "transactions": [],
    }  # fmt: skip
    works: dict[str, Callable[[int], Any]] = {
        "profile, churn": lambda n: services.score_profile(Kind.CHURN, {**profile, "sessions_30d": n % 9}),
        "profile, value": lambda n: services.score_profile(Kind.LTV, {**profile, "sessions_30d": n % 9}),
        "described customer": lambda n: services.score_profile(Kind.PROFILE, {**customer, "age": 20 + n % 50}),
        "player, all kinds": lambda n: services.score_player(1 + n * 7919 % players, AS_OF),
        "player, why churn": lambda n: services.explain_player(Kind.CHURN, 1 + n * 7919 % players),
        "what if, all kinds": lambda n: services.what_if(1 + n * 7919 % players, {"sessions_30d": n % 9}, AS_OF),
        "similar cases": lambda n: services.similar_cases(1 + n * 7919 % players),
        "what would keep the player": lambda n: services.counterfactual(1 + n * 7919 % players),
    }
    found = {}
    for name, work in works.items():
        seconds = []
        try:
            for number in range(requests + 3):
                started = time.perf_counter()
                work(number)
                seconds.append(time.perf_counter() - started)
        except (services.Unavailable, services.InvalidProfile) as error:
            found[name] = {"unavailable": str(error)}
            continue
        cuts = statistics.quantiles(seconds[3:], n=100, method="inclusive")
        found[name] = {f"p{share}": round(cuts[share - 1] * 1000, 1) for share in (50, 95, 99)}
        print(json.dumps({name: found[name]}), flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--players", type=int, default=100_000)
    parser.add_argument("--trained-on", type=int, default=10_000, help="players of each cut-off that the models learn from")
    parser.add_argument("--nights", type=int, default=3)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--keep", action="store_true", help="use the players and models that an earlier run of this benchmark left")
    arguments = parser.parse_args()
    os.environ["LOYALTY_MODELS_TRAINING_PLAYERS"] = str(arguments.trained_on)
    django.setup()
    started = time.perf_counter()
    if not arguments.keep:
        rows = fill(arguments.players)
        print(json.dumps({"rows": rows, "fill_seconds": round(time.perf_counter() - started, 1)}), flush=True)
        started = time.perf_counter()
        print(json.dumps({"models": train(), "training_seconds": round(time.perf_counter() - started, 1)}), flush=True)
    print(json.dumps({"players": arguments.players, "memory_before_mb": peak_mb()}), flush=True)
    watch = Stopwatch()
    instrument(watch)
    last: dict[str, Any] = {}
    for number in range(arguments.nights):
        last = night(number, watch)
        print(json.dumps(last), flush=True)
    least = floor()
    watch.taken()
    ratio = round(last["seconds"]["predictions.score"] / least["seconds"], 2)
    print(json.dumps({"floor": least, "ratio": ratio, "peak_memory_mb": peak_mb()}), flush=True)
    single(arguments.requests, arguments.players)


if __name__ == "__main__":
    main()
