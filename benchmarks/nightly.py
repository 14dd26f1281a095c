"""The nightly run over players with 12 months of roll-up: seconds a stage, peak memory, and how time grows with the number of players.

    ./loyalty bench nightly [--players 10000 100000]

Each size starts from an empty database: players, 35 days of events, eleven more months of day rows, six rules, four tiers. Then one
nightly run in this process, without further workers. The slope is log(time ratio) / log(size ratio) between the first and the last
size: 1 is linear. Memory is the peak resident size of this process (the database has its own).
"""

import argparse
import json
import math
import resource
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import django

AS_OF = datetime(2026, 3, 15, 2, 30, tzinfo=UTC)
RULES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "weekly-cashback": ({"segment": "LOSING", "net_loss_7d_min": 20}, {"formula": "net_loss_7d * 0.05", "max_amount": 50}, "WEEK"),
    "vip-week": ({"segment": "VIP", "wagered_7d_min": 100}, {"formula": "wagered_7d * 0.002", "max_amount": 100}, "WEEK"),
    "win-back": ({"days_since_last_play_min": 14, "days_since_last_play_max": 60}, {"formula": "5", "max_amount": 5}, "MONTH"),
    "active": ({"sessions_30d_min": 4}, {"type": "LOYALTY_POINTS", "formula": "sessions_30d * 2", "max_amount": 100}, "MONTH"),
    "tickets": ({"sessions_7d_min": 2}, {"type": "TICKETS", "formula": "1", "max_amount": 1}, "WEEK"),
    "points": ({"wagered_30d_min": 50}, {"type": "REWARD_POINTS", "formula": "min(wagered_30d / 100, 50)", "max_amount": 50}, "MONTH"),
}

CLEAR = """
TRUNCATE players_player, rewards_rewardrule, rewards_ruleversion, players_tier, players_game, players_jurisdiction,
    common_jobrun, rewards_budgetaccount RESTART IDENTITY CASCADE
"""
FILL = [
    """INSERT INTO players_game (code, name, provider, category, house_edge, round_sd)
       SELECT 'game-' || n, 'Game ' || n, 'studio', 'slots', 0.04, 5 FROM generate_series(1, 50) n""",
    """INSERT INTO players_player (external_id, username, first_name, last_name, email, birth_date, country, jurisdiction_id, currency,
           language, registered_at, acquisition_channel, status, segment, risk_score, attributes, created_at, updated_at)
       SELECT 'B' || n, '', '', '', '', '1985-05-05', 'MT', (SELECT id FROM players_jurisdiction), 'EUR', '', %(now)s - interval '400 days',
           'organic', 'ACTIVE', 'NEW', 0, '{}', %(now)s, %(now)s FROM generate_series(1, %(players)s) n""",
    """INSERT INTO players_protection (player_id, marketing_consent, marketing_consent_at, profiling_consent, harm_flag, harm_note)
       SELECT id, true, %(now)s, true, false, '' FROM players_player""",
    """INSERT INTO players_gameplay (player_id, external_id, session_ref, game_id, played_at, stake, payout, bonus_stake, rounds)
       SELECT p.id, 'r' || d, 's' || d, 1 + (p.id + d) %% 50, %(now)s - d * interval '1 day' - interval '3 hours',
           20 + (hashint8(p.id * 41 + d) & 127), (hashint8(p.id * 43 + d) & 255) * 0.8, 0, 30
       FROM players_player p CROSS JOIN generate_series(0, 34) d WHERE (hashint8(p.id * 37 + d) & 7) < 2""",
    """INSERT INTO players_playsession (player_id, external_id, started_at, ended_at, ip, device_id)
       SELECT player_id, session_ref, played_at - interval '20 minutes', played_at + interval '20 minutes',
           ('10.' || (player_id >> 16 & 255) || '.' || (player_id >> 8 & 255) || '.' || (player_id & 255))::inet, 'dev-' || player_id
       FROM players_gameplay""",
    """INSERT INTO players_payment (player_id, external_id, kind, status, amount, method, instrument, occurred_at)
       SELECT player_id, 'd' || session_ref, 'DEPOSIT', 'COMPLETED', 25, 'card', 'card-' || player_id, played_at - interval '25 minutes'
       FROM players_gameplay WHERE (hashint8(player_id * 31 + id) & 3) = 0""",
    """INSERT INTO players_playerday (player_id, day, deposits, deposit_count, failed_deposit_count, withdrawals, withdrawal_count, refunds,
           stake, payout, bonus_stake, theo, rounds, max_stake, games, sessions, playtime_seconds)
       SELECT p.id, (%(now)s - d * interval '1 day')::date, 10, 1, 0, 0, 0, 0, 60, (hashint8(p.id * 29 + d) & 127), 0, 2.4, 40, 1.5, 1, 1,
           2400
       FROM players_player p CROSS JOIN generate_series(36, 365) d WHERE (hashint8(p.id * 37 + d) & 7) < 1""",
]


def fill(players: int) -> None:
    from django.core.cache import cache
    from django.db import connection

    from loyalty_site.common import jobs
    from players.models import Jurisdiction, JurisdictionPack, Tier
    from rewards import rule_services

    with connection.cursor() as cursor:
        cursor.execute(CLEAR)
        market = Jurisdiction.objects.create(code="MT", name="Malta", countries=["MT"])
        JurisdictionPack.objects.create(jurisdiction=market, valid_from="2020-01-01")
        for rank, (name, points) in enumerate([("Bronze", 0), ("Silver", 1000), ("Gold", 10000), ("Platinum", 50000)]):
            Tier.objects.create(name=name, rank=rank, entry_points=points, keep_points=points)
        for statement in FILL:
            cursor.execute(statement, {"now": AS_OF, "players": players})
    cache.clear()
    at = AS_OF - timedelta(days=1)
    caller = rule_services.Caller(reason="benchmark")
    for rule_id, (conditions, reward, period) in RULES.items():
        config = {"type": "BONUS_BALANCE", "wagering_requirement": 5, "expiry_hours": 168, **reward}
        if config["type"] != "BONUS_BALANCE":
            config = {"type": config["type"], "formula": config["formula"], "max_amount": config["max_amount"]}
        saved = rule_services.save_rule(
            rule_id,
            rule_services.RuleHeader(name=rule_id),
            rule_services.RuleContent(conditions, config, period=period),
            at=at,
            caller=caller,
        )
        rule_services.set_active(saved.rule, True, at=at, caller=caller)
    # the day rows of the last weeks, as the ingest of those days would have left them
    jobs.execute(jobs.create_run("players.rollup", as_of=AS_OF, parameters={"days": 35}))
    with connection.cursor() as cursor:
        # only what is filled: an analysed empty table would be planned for as if it stayed empty
        cursor.execute("VACUUM ANALYZE players_player, players_protection, players_playerday, players_gameplay, players_playsession")
        cursor.execute("VACUUM ANALYZE players_payment")


def night(players: int) -> dict[str, Any]:
    from loyalty_site.common import jobs
    from players.models import PlayerDay
    from rewards.models import RewardDecision

    fill(players)
    started, cpu = time.perf_counter(), time.process_time()
    run = jobs.execute(jobs.create_run("nightly", as_of=AS_OF))
    seconds = time.perf_counter() - started
    assert run.status == "SUCCEEDED", run.error
    stages = {stage.name: (stage.finished_at - stage.started_at).total_seconds() for stage in run.stages.order_by("id")}
    return {
        "players": players,
        "day_rows": PlayerDay.objects.count(),
        "decisions": RewardDecision.objects.count(),
        "issued": RewardDecision.objects.filter(status="ISSUED").count(),
        "seconds": round(seconds, 1),
        "process_cpu_seconds": round(time.process_time() - cpu, 1),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "stages": {name: round(value, 1) for name, value in stages.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--players", type=int, nargs="+", default=[10_000, 100_000])
    sizes = sorted(parser.parse_args().players)
    results = []
    for size in sizes:
        results.append(night(size))
        print(json.dumps(results[-1]), flush=True)
    if len(results) > 1:
        first, last = results[0], results[-1]
        growth = math.log(last["players"] / first["players"])
        slopes = {
            name: round(math.log(last["stages"][name] / first["stages"][name]) / growth, 2)
            for name in last["stages"]
            if first["stages"][name] > 0.2
        }
        print(json.dumps({"slope": round(math.log(last["seconds"] / first["seconds"]) / growth, 2), "slope_by_stage": slopes}))


if __name__ == "__main__":
    django.setup()
    main()
