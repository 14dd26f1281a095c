"""Trying a rule without giving anything: on one player, explained, and on all players, summed up. Nothing is written."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
from django.db import connection

from loyalty_site.common.clock import require_utc
from loyalty_site.common.money import from_minor
from players.models import Player, PlayerMetrics
from rewards.facts import load_facts
from rewards.rules.conditions import mask
from rewards.rules.engine import CompiledRule, Proposals, RuleTrace, evaluate, trace
from rewards.rules.table import FactTable, IntArray

_CHUNK = 250_000


class UnknownPlayer(LookupError):
    """No player has this id."""


@dataclass(frozen=True)
class PlayerTest:
    """One rule on one player. metrics_as_of: when the player's figures were computed; None: never."""

    external_id: str
    trace: RuleTrace
    as_of: datetime
    metrics_as_of: datetime | None

    def to_json(self) -> dict[str, Any]:
        metrics_as_of = self.metrics_as_of.isoformat() if self.metrics_as_of else None
        shown = self.trace.to_json() | {"player_id": self.external_id}
        return shown | {"as_of": self.as_of.isoformat(), "metrics_as_of": metrics_as_of}


@dataclass(frozen=True)
class UnitTotal:
    """Amounts of one unit (a currency, or LP, RP, TICKET): how many rewards, their sum and spread."""

    unit: str
    rewards: int
    total: Decimal
    smallest: Decimal
    median: Decimal
    largest: Decimal


@dataclass(frozen=True)
class SegmentShare:
    """One segment: its players, how many match, how many get an amount, and the sums by unit."""

    segment: str
    players: int
    matched: int
    rewards: int
    totals: dict[str, Decimal]


@dataclass(frozen=True)
class PopulationTest:
    """One rule on all players: before any gate, cap or budget."""

    as_of: datetime
    players: int
    matched: int
    rewards: int
    without_amount: dict[str, int]
    totals: list[UnitTotal]
    segments: list[SegmentShare]

    def to_json(self) -> dict[str, Any]:
        return _plain(asdict(self))


def try_on_player(rule: CompiledRule, external_id: str, *, as_of: datetime) -> PlayerTest:
    """Each condition with the player's value and verdict, the formula with its inputs, and the amount. Raises UnknownPlayer."""
    player = Player.objects.filter(external_id=external_id.strip()).only("pk", "external_id").first()
    if player is None:
        raise UnknownPlayer(f"No player has the id {external_id!r}.")
    facts = load_facts(rule.fact_names, as_of, player_ids=[player.pk])
    metrics_as_of = PlayerMetrics.objects.filter(player=player).values_list("as_of", flat=True).first()
    return PlayerTest(player.external_id, trace(rule, facts, 0), facts.as_of, metrics_as_of)


def try_on_all(rule: CompiledRule, *, as_of: datetime) -> PopulationTest:
    """Matches and cost over all players, by unit and by segment, read in ranges of 250,000 players."""
    as_of = require_utc(as_of, "as_of")
    minors: dict[str, list[IntArray]] = {}
    shares: dict[str, dict[str, Any]] = {}
    reasons: dict[str, int] = {}
    players = matched = rewards = 0
    for lower, upper in _ranges():
        facts = load_facts(rule.fact_names | {"segment", "currency"}, as_of, lower_id=lower, upper_id=upper)
        found = evaluate(rule, facts)
        players, matched, rewards = players + len(facts), matched + found.matched, rewards + len(found.player_ids)
        for reason, count in found.without_amount.items():
            reasons[reason] = reasons.get(reason, 0) + count
        _add_amounts(rule, facts, found, minors, shares)
    totals = [_total(unit, np.concatenate(parts)) for unit, parts in sorted(minors.items())]
    segments = [
        SegmentShare(name, share["players"], share["matched"], share["rewards"], {u: from_minor(m, u) for u, m in share["totals"].items()})
        for name, share in sorted(shares.items())
    ]
    return PopulationTest(as_of, players, matched, rewards, reasons, totals, segments)


def _ranges() -> Iterator[tuple[int, int]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT min(id), max(id) FROM players_player")
        lowest, highest = cursor.fetchone()
    if lowest is None:
        return
    for lower in range(lowest, highest + 1, _CHUNK):
        yield lower, min(lower + _CHUNK, highest + 1)


def _add_amounts(rule: CompiledRule, facts: FactTable, found: Proposals, minors: dict[str, Any], shares: dict[str, dict[str, Any]]) -> None:
    hit = mask(rule.conditions, facts)
    rows = np.searchsorted(facts.player_ids, found.player_ids)
    segment, currency = facts.columns["segment"], facts.columns["currency"]
    for code, name in enumerate(segment.categories):
        inside = segment.values == code
        share = shares.setdefault(name, {"players": 0, "matched": 0, "rewards": 0, "totals": {}})
        share["players"] += int(inside.sum())
        share["matched"] += int((inside & hit).sum())
        share["rewards"] += int(inside[rows].sum())
    for code, name in enumerate(currency.categories):
        of_currency = currency.values[rows] == code
        unit = rule.reward.money_unit(name)
        if not of_currency.any():
            continue
        minors.setdefault(unit, []).append(found.minor[of_currency])
        for segment_code, segment_name in enumerate(segment.categories):
            part = found.minor[of_currency & (segment.values[rows] == segment_code)]
            if len(part):
                totals = shares[segment_name]["totals"]
                totals[unit] = totals.get(unit, 0) + sum(part.tolist())


def _total(unit: str, minor: IntArray) -> UnitTotal:
    ordered = np.sort(minor)
    middle = int(ordered[(len(ordered) - 1) // 2])
    total = sum(ordered.tolist())  # Python integers: no overflow
    smallest, median, largest = (from_minor(value, unit) for value in (int(ordered[0]), middle, int(ordered[-1])))
    return UnitTotal(unit, len(ordered), from_minor(total, unit), smallest, median, largest)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if isinstance(value, datetime) else value
