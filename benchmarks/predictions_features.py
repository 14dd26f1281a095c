"""Features of players with 12 months of activity: seconds, against pandas on the same rows and against one full read of the roll-up.

    ./loyalty bench predictions_features [players] [seed]

Fills an empty database with events of a year (six habits of players, from every third day to once), rolls them up as an ingest would, and
measures in one process, one after the other:

- features range by range (10,000 players each, as a scoring run does), and with all players in one range;
- floor: the whole roll-up read once over the same connection (binary COPY, thrown away);
- baseline: pandas on the same rows, read by CSV COPY into `pandas.read_csv` (its fastest way in), the same features by groupby. Where both
  have a feature the values must agree to 1e-9, or the benchmark fails.

Seconds are wall clock; CPU seconds are those of this process and of its database process (Linux). Memory is the peak of this process.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import django

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "loyalty_site.settings")
django.setup()

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from django.db import connection, transaction  # noqa: E402

from players.activity.days import TOUCHED_DAYS, create_touched_tables, refresh_days  # noqa: E402
from predictions.features import currency_units, frame, history, iterate, labels, ranges  # noqa: E402
from predictions.ml.features import FEATURE_NAMES, MONEY_FEATURES  # noqa: E402

AS_OF = datetime(2026, 3, 15, 2, 30, tzinfo=UTC)
CUT = AS_OF.replace(hour=0, minute=0)
# one in so many days is a visit; a third of the players stop after some months
_HABIT = "(ARRAY[3, 6, 14, 40, 120, 365])[1 + mod(p.id, 6)]"
_HASH = "(hashint8extended(p.id * 1000 + d, %(seed)s) & 1048575)"
FILL = [
    """INSERT INTO players_game (code, name, provider, category, house_edge, round_sd)
       SELECT 'game-' || n, 'Game ' || n, 'studio', (ARRAY['slots', 'slots', 'slots', 'roulette', 'live', 'sports'])[1 + mod(n, 6)], 0.04, 5
       FROM generate_series(1, 50) n""",
    """INSERT INTO players_player (external_id, username, first_name, last_name, email, birth_date, country, currency, language,
           registered_at, acquisition_channel, status, segment, risk_score, attributes, created_at, updated_at)
       SELECT 'B' || n, '', '', '', '', '1985-05-05', 'MT', (ARRAY['EUR', 'EUR', 'EUR', 'SEK'])[1 + mod(n, 4)], '',
           %(now)s - interval '400 days', 'organic', 'ACTIVE', 'NEW', 0, '{}', %(now)s, %(now)s FROM generate_series(1, %(players)s) n""",
    f"""INSERT INTO players_playsession (player_id, external_id, started_at, ended_at, ip, device_id)
       SELECT p.id, 's' || d, at, at + (300 + h) * interval '1 second',
           ('10.' || (p.id & 255) || '.' || (h & 3) || '.' || (p.id >> 8 & 255))::inet, 'dev-' || p.id || '-' || (h & 1)
       FROM players_player p CROSS JOIN generate_series(1, 365) d
           CROSS JOIN LATERAL (SELECT {_HASH} AS whole) w
           CROSS JOIN LATERAL (SELECT w.whole & 4095 AS h, %(cut)s - d * interval '1 day' + (w.whole & 65535) * interval '1 second' AS at) x
       WHERE mod(w.whole >> 5, {_HABIT}) = 0 AND (mod(p.id, 3) > 0 OR d > mod(p.id * 7, 300))""",
    """INSERT INTO players_gameplay (player_id, external_id, session_ref, game_id, played_at, stake, payout, bonus_stake, rounds)
       SELECT e.player_id, e.external_id || '-' || n, e.external_id, 1 + mod(e.player_id + n * (1 + mod(e.id, 3)), 50),
           e.started_at + n * interval '60 seconds', (50 + mod(e.id * 37 + n, 400)) / 10.0, mod(e.id * 41 + n * 7, 500) / 10.0,
           CASE WHEN mod(e.id, 9) = 0 THEN 3 ELSE 0 END, 20 + mod(e.id, 17)
       FROM players_playsession e CROSS JOIN generate_series(1, 2) n""",
    """INSERT INTO players_payment (player_id, external_id, kind, status, amount, method, instrument, occurred_at)
       SELECT player_id, 'd' || external_id, CASE WHEN mod(id, 10) = 1 THEN 'WITHDRAWAL' ELSE 'DEPOSIT' END,
           CASE WHEN mod(id, 17) = 0 THEN 'FAILED' ELSE 'COMPLETED' END, 5 + mod(id * 13, 60),
           CASE WHEN mod(id, 5) = 0 THEN 'wallet' ELSE 'card' END, 'i-' || player_id || '-' || mod(id, 2),
           started_at + interval '10 seconds'
       FROM players_playsession WHERE mod(id, 4) < 2""",
]


def fill(players: int, seed: int) -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE players_player, players_game RESTART IDENTITY CASCADE")
        for statement in FILL:
            cursor.execute(statement, {"now": AS_OF, "cut": CUT, "players": players, "seed": seed})
        cursor.execute("ANALYZE players_player, players_payment, players_playsession, players_gameplay")
        for lower, upper in ranges(10_000):
            with transaction.atomic():
                create_touched_tables(cursor)
                cursor.execute(
                    f"""INSERT INTO {TOUCHED_DAYS} SELECT DISTINCT player_id, (started_at AT TIME ZONE 'UTC')::date
                    FROM players_playsession WHERE player_id >= %s AND player_id < %s""",
                    [lower, upper],
                )
                refresh_days(cursor)
        tables = ("playerday", "gameplay", "playsession", "payment")
        cursor.execute("VACUUM ANALYZE " + ", ".join(f"players_{name}" for name in tables))
        cursor.execute("SELECT " + ", ".join(f"(SELECT count(*) FROM players_{name})" for name in tables))
        return dict(zip(tables, cursor.fetchone(), strict=True))


def database_cpu() -> float:
    """CPU seconds of this connection's database process, NaN where it cannot be looked at."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def timed(name: str, work: Callable[[], Any], **more: Any) -> tuple[float, Any]:
    started, own, base = time.perf_counter(), time.process_time(), database_cpu()
    found = work()
    seconds = time.perf_counter() - started
    line = {
        "what": name,
        "seconds": round(seconds, 2),
        "client_cpu": round(time.process_time() - own, 2),
        "database_cpu": round(database_cpu() - base, 2),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(json.dumps(line | more), flush=True)
    return seconds, found


def read_all(sql: str) -> int:
    received = 0
    with connection.cursor() as cursor, cursor.copy(f"COPY ({sql}) TO STDOUT (FORMAT binary)") as copy:
        for block in copy:
            received += len(block)
    return received


def read_frame(sql: str) -> pd.DataFrame:
    held = BytesIO()
    with connection.cursor() as cursor, cursor.copy(f"COPY ({sql}) TO STDOUT (FORMAT csv, HEADER)") as copy:
        for block in copy:
            held.write(block)
    held.seek(0)
    return pd.read_csv(held)


def pandas_features(units: dict[str, float]) -> pd.DataFrame:
    """The features by groupby, from the same rows."""
    cut = f"timestamptz '{CUT.isoformat()}'"
    days = read_frame(f"SELECT *, date '{CUT.date()}' - day AS age FROM players_playerday WHERE day < date '{CUT.date()}'")
    people = read_frame("SELECT id AS player_id, currency FROM players_player").set_index("player_id")
    plays = read_frame(
        f"""SELECT e.player_id, e.game_id, g.category, e.stake FROM players_gameplay e JOIN players_game g ON g.id = e.game_id
        WHERE played_at >= {cut} - interval '90 days' AND played_at < {cut}"""
    )
    visits = read_frame(
        f"""SELECT player_id, ip, device_id, CASE WHEN ended_at < {cut} THEN floor(extract(epoch FROM ended_at - started_at)) END AS seconds
        FROM players_playsession WHERE started_at >= {cut} - interval '90 days' AND started_at < {cut}"""
    )
    paid = read_frame(
        f"""SELECT player_id, method, instrument, status FROM players_payment WHERE occurred_at >= {cut} - interval '365 days'
        AND occurred_at < {cut} AND kind IN ('DEPOSIT', 'WITHDRAWAL')"""
    )
    f = pd.DataFrame(index=people.index)
    unit = people["currency"].map(units)

    def sums(column: str, length: int) -> pd.Series:
        return days.loc[days["age"] <= length].groupby("player_id")[column].sum().reindex(f.index).fillna(0)

    active = days[(days["deposit_count"] > 0) | (days["rounds"] > 0) | (days["sessions"] > 0)]
    late = active[active["age"] <= 90]
    by_player = active.groupby("player_id")["age"]
    for length in (7, 14, 30, 90):
        f[f"sessions_{length}d"] = sums("sessions", length)
    for length in (7, 30, 90):
        f[f"active_days_{length}d"] = active[active["age"] <= length].groupby("player_id").size().reindex(f.index).fillna(0)
        f[f"stake_{length}d"] = sums("stake", length)
    for name, rows in (("activity", active), ("deposit", days[days["deposit_count"] > 0]), ("play", days[days["rounds"] > 0])):
        f[f"days_since_last_{name}"] = rows.groupby("player_id")["age"].min().reindex(f.index)
    f["usual_gap_days"] = ((by_player.max() - by_player.min()) / (by_player.size() - 1).replace(0, np.nan)).reindex(f.index)
    f["gap_overdue"] = f["days_since_last_activity"] / f["usual_gap_days"]
    weekday = pd.to_datetime(late["day"]).dt.day_of_week
    by_weekday = late.groupby(["player_id", weekday]).size().unstack(fill_value=0).reindex(f.index).fillna(0)
    f["weekend_share"] = (by_weekday[5] + by_weekday[6]) / by_weekday.sum(axis=1).replace(0, np.nan)
    f["top_weekday_share"] = by_weekday.max(axis=1) / by_weekday.sum(axis=1).replace(0, np.nan)
    weeks = active[active["age"] <= 91].assign(week=lambda rows: (rows["age"] - 1) // 7)
    f["active_weeks_90d"] = weeks.groupby("player_id")["week"].nunique().reindex(f.index).fillna(0)
    for length in (30, 90):
        f[f"deposit_count_{length}d"], f[f"deposits_{length}d"] = sums("deposit_count", length), sums("deposits", length)
    for length in (30, 90, 365):
        f[f"ngr_{length}d"] = sums("stake", length) - sums("payout", length)
    f["deposit_count_total"], f["deposits_total"], f["stake_total"] = (sums(name, 10**6) for name in ("deposit_count", "deposits", "stake"))
    f["deposit_mean"] = f["deposits_total"] / f["deposit_count_total"].replace(0, np.nan)
    failed, done = sums("failed_deposit_count", 365), sums("deposit_count", 365)
    f["deposit_failure_rate"] = failed / (failed + done).replace(0, np.nan)
    f["withdrawals_90d"], f["withdrawal_count_90d"] = sums("withdrawals", 90), sums("withdrawal_count", 90)
    f["theo_90d"], f["rounds_90d"], f["refunds_365d"] = sums("theo", 90), sums("rounds", 90), sums("refunds", 365)
    f["max_stake_90d"] = days[days["age"] <= 90].groupby("player_id")["max_stake"].max().reindex(f.index).fillna(0)
    f["stake_mean_90d"] = f["stake_90d"] / f["rounds_90d"].replace(0, np.nan)
    for name, column in (("deposits", "deposits"), ("stake", "stake"), ("sessions", "sessions")):
        f[f"{name}_trend"] = 3 * f[f"{column}_30d"] / f[f"{column}_90d"].replace(0, np.nan)
        if name != "deposits":
            f[f"{name}_week_trend"] = 30 / 7 * f[f"{column}_7d"] / f[f"{column}_30d"].replace(0, np.nan)
    stake = f["stake_90d"].replace(0, np.nan)
    f["win_ratio_90d"] = sums("payout", 90) / stake
    f["bonus_share_90d"] = sums("bonus_stake", 90) / stake
    staked = days[(days["age"] <= 90) & (days["stake"] > 0)].assign(result=lambda rows: rows["payout"] - rows["stake"]).groupby("player_id")
    f["volatility_90d"] = (staked["result"].std() / staked["stake"].mean()).reindex(f.index)
    games = plays.groupby(["player_id", "game_id"])["stake"].sum().groupby("player_id")
    f["game_variety_90d"] = games.size().reindex(f.index).fillna(0)
    f["top_game_share_90d"] = games.max().reindex(f.index) / stake
    kinds = {"roulette": "table", "blackjack": "table", "poker": "table"}
    by_kind = plays.groupby(["player_id", plays["category"].replace(kinds)])["stake"].sum().unstack(fill_value=0).reindex(f.index)
    for kind in ("slots", "table", "live", "sports"):
        f[f"{kind}_share_90d"] = by_kind[kind] / stake
    of_visits = visits.groupby("player_id")
    f["session_minutes_mean"] = (of_visits["seconds"].mean() / 60).reindex(f.index)
    f["ips"], f["devices"] = (of_visits[name].nunique().reindex(f.index).fillna(0) for name in ("ip", "device_id"))
    f["payment_methods"] = paid[paid["status"] == "COMPLETED"].groupby("player_id")["method"].nunique().reindex(f.index).fillna(0)
    f["instruments"] = paid.groupby("player_id")["instrument"].nunique().reindex(f.index).fillna(0)
    f["rapid_deposits"] = f["deposit_count_90d"] / (f["sessions_90d"] + 1)
    money = days[days["deposits"] > 0].groupby("player_id")
    f["bg_frequency"] = (money.size() - 1).reindex(f.index)
    f["bg_age"] = (money["age"].max() / 7).reindex(f.index)
    f["bg_recency"] = ((money["age"].max() - money["age"].min()) / 7).reindex(f.index)
    first = days.loc[money["age"].idxmax()].set_index("player_id")["deposits"]
    f["bg_spend"] = ((money["deposits"].sum() - first) / (money.size() - 1).replace(0, np.nan)).reindex(f.index)
    for name in set(MONEY_FEATURES) & set(f.columns):
        f[name] = f[name] / unit
    return f


def main(players: int, seed: int) -> None:
    started = time.perf_counter()
    rows = fill(players, seed)
    print(json.dumps({"players": players, "seed": seed, "rows": rows, "fill_seconds": round(time.perf_counter() - started, 1)}), flush=True)
    _, units = timed("currency units (once a run)", lambda: currency_units(AS_OF))
    read_all("SELECT * FROM players_playerday")  # both sides find the pages in memory
    floor, _ = timed("floor: one full read of the roll-up", lambda: read_all("SELECT * FROM players_playerday"))
    ranged, sizes = timed("features, ranges of 10,000", lambda: [len(part) for part in iterate(AS_OF)])
    whole, table = timed("features, one range", lambda: frame(0, 2**62, AS_OF, units=units))
    timed("labels, one range", lambda: labels(0, 2**62, AS_OF - timedelta(days=60), 30, AS_OF))
    timed("history, 3 cut-offs of 20,000 players", lambda: history(AS_OF, 30, 3, sample=20_000))
    baseline, expected = timed("baseline: pandas on the same rows", lambda: pandas_features(dict(units)))
    assert sum(sizes) == len(table) == len(expected)
    for name in expected.columns:
        np.testing.assert_allclose(table[name].to_numpy(), expected[name].to_numpy(float), rtol=1e-9, atol=1e-9, err_msg=name)
    print(
        json.dumps(
            {
                "features": len(FEATURE_NAMES),
                "compared": len(expected.columns),
                "seconds": round(ranged, 2),
                "players_per_second": round(players / ranged),
                "pandas_over_ours": round(baseline / ranged, 2),
                "pandas_over_ours_one_range": round(baseline / whole, 2),
                "ours_over_floor": round(ranged / floor, 2),
            }
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
