"""1,000,000 players x 20 rules over columns, against the same rules one player at a time in plain Python.

    ./loyalty bench rules [--players N] [--sample N] [--seed S]

All run in this process, one after the other, and are measured in CPU seconds. One at a time is measured twice: with the rules written
out as Python functions (the fastest a loop can be), and interpreted from their trees. Both take a sample of the players (every rule on
each of them) and are scaled up; on the sample all three must give the same amounts to the cent. No database takes part.
"""

import argparse
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal
from typing import Any

import numpy as np

from rewards.rules.engine import CompiledRule, compile_rule, evaluate, trace
from rewards.rules.table import Column, FactTable

AS_OF = datetime(2026, 3, 15, tzinfo=UTC)
SEGMENTS = ("NEW", "WINNING", "BREAKEVEN", "LOSING", "VIP")
COUNTRIES = ("MT", "DE", "SE", "FI", "NO", "CA", "NZ", "IE")
TIERS = ("Bronze", "Silver", "Gold", "Platinum")


def bonus(formula: str, **settings: Any) -> dict[str, Any]:
    return {"type": "BONUS_BALANCE", "formula": formula, "expiry_hours": 48, "max_amount": 500} | settings


# conditions and reward of each rule, and the same rule as a person would write it for one player
RULES: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    ({"segment": "LOSING", "net_loss_min": 100, "session_count_min": 3}, bonus("net_loss * 0.10"),
     "p['segment'] == 'LOSING' and p['net_loss'] >= 100 and p['sessions'] >= 3", "p['net_loss'] * D('0.10')"),
    ({"segment": "LOSING", "net_loss_7d_min": 50}, bonus("net_loss_7d * 0.29"),
     "p['segment'] == 'LOSING' and p['net_loss_7d'] >= 50", "p['net_loss_7d'] * D('0.29')"),
    ({"segment": ["VIP", "WINNING"], "net_loss_7d_min": 20}, bonus("min(net_loss_7d * 0.15, 100)"),
     "p['segment'] in ('VIP', 'WINNING') and p['net_loss_7d'] >= 20", "min(p['net_loss_7d'] * D('0.15'), D(100))"),
    ({"tier": "Gold", "wagered_30d_min": 1000}, bonus("wagered_30d * 0.001"),
     "p['tier'] == 'Gold' and p['wagered_30d'] >= 1000", "p['wagered_30d'] * D('0.001')"),
    ({"tier": ["Gold", "Platinum"], "days_since_last_play_min": 14}, bonus("25"),
     "p['tier'] in ('Gold', 'Platinum') and p['days'] is not None and p['days'] >= 14", "D(25)"),
    ({"country": ["MT", "DE"], "sessions_min": 10, "sessions_max": 30}, bonus("sessions * 0.5"),
     "p['country'] in ('MT', 'DE') and 10 <= p['sessions'] <= 30", "p['sessions'] * D('0.5')"),
    ({"any": [{"segment": "VIP"}, {"total_wagered_min": 20000}]}, bonus("total_wagered * 0.0005"),
     "p['segment'] == 'VIP' or p['total_wagered'] >= 20000", "p['total_wagered'] * D('0.0005')"),
    ({"not": {"country": ["SE", "NO"]}, "net_loss_min": 500}, bonus("net_loss * 0.05 if sessions > 20 else net_loss * 0.02"),
     "p['country'] not in ('SE', 'NO') and p['net_loss'] >= 500",
     "p['net_loss'] * D('0.05') if p['sessions'] > 20 else p['net_loss'] * D('0.02')"),
    ({"segment": "NEW", "total_wagered_min": 10}, bonus("10"), "p['segment'] == 'NEW' and p['total_wagered'] >= 10", "D(10)"),
    ({"days_since_last_play_min": 30, "days_since_last_play_max": 90}, bonus("min(50, total_wagered / 100)"),
     "p['days'] is not None and 30 <= p['days'] <= 90", "min(D(50), p['total_wagered'] / 100)"),
]  # fmt: skip
RULES = RULES + [
    ({**conditions, "sessions_min": conditions.get("sessions_min", 5)}, reward, f"({condition}) and p['sessions'] >= 5", amount)
    for conditions, reward, condition, amount in RULES
    if "session_count_min" not in conditions and "sessions_min" not in conditions
] + [
    ({"segment": "BREAKEVEN", "wagered_30d_min": 500}, bonus("max(5, wagered_30d * 0.002)"),
     "p['segment'] == 'BREAKEVEN' and p['wagered_30d'] >= 500", "max(D(5), p['wagered_30d'] * D('0.002'))"),
    ({"tier": "Platinum"}, bonus("round(net_loss * 0.075, 1)"), "p['tier'] == 'Platinum'",
     "(p['net_loss'] * D('0.075')).quantize(D('0.1'), 'ROUND_HALF_UP')"),
]  # fmt: skip


def make_players(count: int, seed: int) -> FactTable:
    """Skewed money, mixed segments, a twentieth without play."""
    rng = np.random.default_rng(seed)

    def money(mean: float, zeros: float) -> Column:
        values = np.where(rng.random(count) < zeros, 0, rng.lognormal(np.log(mean), 1.2, count))
        return Column(np.round(values * 10_000).astype(np.int64) // 100 * 100, None, 4)

    def category(names: tuple[str, ...]) -> Column:
        return Column(rng.integers(0, len(names), count), None, 0, names)

    columns = {
        "segment": category(SEGMENTS), "country": category(COUNTRIES), "tier": category(TIERS),
        "currency": Column(np.zeros(count, dtype=np.int64), None, 0, ("EUR",)),
        "net_loss": money(200, 0.4), "net_loss_7d": money(40, 0.6), "wagered_30d": money(800, 0.3), "total_wagered": money(5000, 0.05),
        "sessions": Column(rng.poisson(15, count).astype(np.int64)),
        "days_since_last_play": Column(rng.integers(0, 120, count), rng.random(count) < 0.05),
    }  # fmt: skip
    return FactTable(np.arange(1, count + 1, dtype=np.int64), columns, AS_OF)


def interpreted(rules: list[CompiledRule], players: FactTable) -> list[dict[int, Decimal]]:
    """The same compiled rules, walked for one player at a time (what the test page does)."""
    results: list[dict[int, Decimal]] = [{} for _ in rules]
    for row in range(len(players)):
        for result, rule in zip(results, rules, strict=True):
            found = trace(rule, players, row)
            if found.amount is not None:
                result[found.player_id] = found.amount
    return results


def one_at_a_time(players: FactTable) -> list[dict[int, Decimal]]:
    """What a loop over players with a dict of facts each does, rules compiled to Python beforehand."""
    names = {"days": "days_since_last_play"} | {name: name for name in players.columns if name != "days_since_last_play"}
    functions = [
        eval(f"lambda p, D: ({amount}) if ({condition}) else None")  # noqa: S307 - our own constants above
        for _, _, condition, amount in RULES
    ]
    cent, highest = Decimal("0.01"), Decimal(500)
    results: list[dict[int, Decimal]] = [{} for _ in RULES]
    for row in range(len(players)):
        player = {short: players.value(name, row) for short, name in names.items()}
        player_id = int(players.player_ids[row])
        for result, function in zip(results, functions, strict=True):
            amount = function(player, Decimal)
            if amount is not None and (cut := min(amount, highest).quantize(cent, ROUND_DOWN)) > 0:
                result[player_id] = cut
    return results


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--players", type=int, default=1_000_000)
    arguments.add_argument("--sample", type=int, default=5_000)
    arguments.add_argument("--seed", type=int, default=1)
    options = arguments.parse_args()
    players = make_players(options.players, options.seed)
    sample = players.take(slice(0, options.sample))
    scale = len(players) / len(sample)
    seconds: dict[str, float] = {}

    def measured(name: str, work: Callable[[], Any], times: float = 1) -> Any:
        started = time.process_time()
        result = work()
        seconds[name] = (time.process_time() - started) * times
        return result

    rules = measured("compile", lambda: [compile_rule(conditions, reward) for conditions, reward, _, _ in RULES])
    found = measured("columns", lambda: [evaluate(rule, players) for rule in rules])
    amounts = measured("amounts as Decimals", lambda: [one.amounts for one in found])
    by_hand = measured("one at a time, rules written as Python", lambda: one_at_a_time(sample), scale)
    by_tree = measured("one at a time, rules interpreted", lambda: interpreted(rules, sample), scale)
    last = int(sample.player_ids[-1])
    columns = [
        {player: amount for player, amount in zip(one.player_ids.tolist(), decimals, strict=True) if player <= last}
        for one, decimals in zip(found, amounts, strict=True)
    ]
    same = columns == by_hand == by_tree
    whole = seconds["columns"] + seconds["amounts as Decimals"]
    report = {
        "players": len(players),
        "rules": len(rules),
        "rewards": sum(len(one.player_ids) for one in found),
        "cpu_seconds": {name: round(value, 3) for name, value in seconds.items()},
        "one_at_a_time_measured_on": len(sample),
        "ratio_to_rules_written_as_python": round(seconds["one at a time, rules written as Python"] / whole, 1),
        "ratio_to_rules_interpreted": round(seconds["one at a time, rules interpreted"] / whole, 1),
        "sample_equal_to_the_cent": same,
    }
    print(json.dumps(report, indent=2))
    if not same:
        raise SystemExit("the two ways disagree")


if __name__ == "__main__":
    main()
