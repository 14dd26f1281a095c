"""The tier board: who moves at the next review, in numbers and as a picture. Reads stored standings only."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from math import sqrt
from typing import Any

from django.core.cache import cache
from django.db.models import Count, Exists, Min, OuterRef, Q, QuerySet, Sum
from django.urls import reverse
from django.utils.http import urlencode

from players.models import PlayerTier, Tier, VipClearance
from players.programme import tier_ladder, tier_programme

_SECONDS = 60
_SOON = timedelta(days=30)
Outcome = PlayerTier.Outcome
COLUMNS = (Outcome.UP, Outcome.KEEPS, Outcome.GRACE, Outcome.DOWN, Outcome.OVERRIDE, Outcome.FROZEN)
TONES: dict[str, str] = {
    Outcome.UP: "good",
    Outcome.KEEPS: "",
    Outcome.GRACE: "warn",
    Outcome.DOWN: "bad",
    Outcome.OVERRIDE: "info",
    Outcome.FROZEN: "info",
    Outcome.NONE: "",
}

# the picture
_WIDTH, _NODE, _LABEL, _GAP, _HEIGHT = 720, 14, 150, 26, 200


@dataclass(frozen=True)
class Cell:
    players: int
    url: str
    tone: str


@dataclass(frozen=True)
class Line:
    """One tier: how many stand in it by the rules, where they go, and the points that those who would lose it still need."""

    tier: Tier | None  # None: no tier yet
    players: int
    cells: list[Cell]
    to_keep: Decimal


@dataclass(frozen=True)
class Tile:
    name: str
    players: int
    url: str
    note: str


def without_clearance(now: datetime) -> QuerySet[PlayerTier]:
    """Players who hold a VIP tier, by the rules or by an override, without a clearance in force."""
    in_force = VipClearance.objects.filter(player_id=OuterRef("player_id"), status=VipClearance.Status.APPROVED, recheck_on__gt=now.date())
    held = Q(tier__needs_gate=True) | Q(override_tier__needs_gate=True)
    return PlayerTier.objects.filter(held).exclude(Exists(in_force))


def board(now: datetime) -> dict[str, Any]:
    """Context of the board. One pass over the standings, remembered for a minute."""
    found: dict[str, Any] | None = cache.get("tiers:board")
    if found is None:
        found = _board(now)
        cache.set("tiers:board", found, _SECONDS)
    return found


def _board(now: datetime) -> dict[str, Any]:
    tiers = tier_ladder()
    groups: list[Any] = list(
        PlayerTier.objects.order_by()
        .values("tier_id", "outcome", "projected_tier_id")
        .annotate(players=Count("player_id"), to_keep=Sum("to_keep"), first=Min("next_review_at"))
    )
    lines = [_line(tier, [one for one in groups if one["tier_id"] == tier.pk]) for tier in reversed(tiers)]
    if untiered := [one for one in groups if one["tier_id"] is None]:
        lines.append(_line(None, untiered))
    programme = tier_programme()
    first = min((one["first"] for one in groups if one["first"] > now), default=None)
    return {
        "lines": lines,
        "columns": [outcome.label for outcome in COLUMNS],
        "totals": [sum(line.cells[i].players for line in lines) for i in range(len(COLUMNS))],
        "players": sum(line.players for line in lines),
        "tiles": _tiles(now),
        "picture": picture(tiers, groups),
        "programme": programme,
        "next_review": first,
    }


def _line(tier: Tier | None, groups: list[dict[str, Any]]) -> Line:
    counts = {outcome: sum(one["players"] for one in groups if one["outcome"] == outcome) for outcome in COLUMNS}
    chosen: dict[str, Any] = {"tier__id__exact": tier.pk} if tier is not None else {"watch": "untiered"}
    cells = [Cell(counts[one], list_url(**chosen, outcome__exact=one.value), TONES[one]) for one in COLUMNS]
    needed = sum((one["to_keep"] for one in groups if one["outcome"] in (Outcome.GRACE, Outcome.DOWN)), Decimal(0))
    return Line(tier, sum(one["players"] for one in groups), cells, needed)


def _tiles(now: datetime) -> list[Tile]:
    grace, held, waiting = Q(grace_until__isnull=False), Q(override_until__isnull=False), Q(waiting_since__isnull=False)
    # one pass over what the three partial indexes hold
    watched = PlayerTier.objects.filter(grace | held | waiting).aggregate(
        grace=Count("player_id", filter=grace),
        keeps=Count("player_id", filter=grace & Q(outcome=Outcome.KEEPS)),
        held=Count("player_id", filter=held),
        ending=Count("player_id", filter=held & Q(override_until__lte=now + _SOON)),
        waiting=Count("player_id", filter=waiting),
    )
    uncleared = without_clearance(now).aggregate(players=Count("player_id"))["players"]
    return [
        Tile("In grace", watched["grace"], list_url(watch="grace"), f"{watched['keeps']:,} keep at their pace"),
        Tile("Overrides", watched["held"], list_url(watch="override"), f"{watched['ending']:,} end in 30 days"),
        Tile("Wait for clearance", watched["waiting"], list_url(watch="waiting"), "have the points of a VIP tier"),
        Tile("VIP without clearance", uncleared, list_url(watch="uncleared"), "re-check due, or never cleared"),
    ]


def list_url(**query: str | int) -> str:
    return f"{reverse('admin:players_playertier_changelist')}?{urlencode(query)}"


def picture(tiers: list[Tier], groups: list[dict[str, Any]]) -> dict[str, Any]:
    """Bands from the tiers of today (left) to those after the next review (right), highest tier on top.

    A band's height follows the square root of its players, so that a few hundred stay visible beside a million.
    """
    place = {tier.pk: len(tiers) - 1 - i for i, tier in enumerate(tiers)}
    order = {
        outcome: i for i, outcome in enumerate((Outcome.UP, Outcome.OVERRIDE, Outcome.KEEPS, Outcome.FROZEN, Outcome.GRACE, Outcome.DOWN))
    }
    flows = [one for one in groups if one["tier_id"] in place and one["projected_tier_id"] in place and one["outcome"] in order]
    total = sum(sqrt(one["players"]) for one in flows)
    if not total:
        return {}
    scale = _HEIGHT / total
    left = _stack(tiers, place, [(place[one["tier_id"]], one) for one in flows], scale)
    right = _stack(tiers, place, [(place[one["projected_tier_id"]], one) for one in flows], scale)
    bands = []
    for side, key in ((left, "tier_id"), (right, "projected_tier_id")):
        other = "projected_tier_id" if key == "tier_id" else "tier_id"
        for one in sorted(flows, key=lambda flow: (place[flow[key]], place[flow[other]], order[Outcome(flow["outcome"])])):
            node = side[place[one[key]]]
            one[f"y_{key}"] = node["next"]
            node["next"] += sqrt(one["players"]) * scale
            node["players"] += one["players"]
    names = {tier.pk: tier.name for tier in tiers}
    x0, x1 = _LABEL + _NODE, _WIDTH - _LABEL - _NODE
    middle = (x0 + x1) / 2
    for one in flows:
        height = max(sqrt(one["players"]) * scale, 1)
        a, b = one["y_tier_id"], one["y_projected_tier_id"]
        path = (
            f"M{x0:.1f},{a:.1f} C{middle:.1f},{a:.1f} {middle:.1f},{b:.1f} {x1:.1f},{b:.1f} L{x1:.1f},{b + height:.1f} "
            f"C{middle:.1f},{b + height:.1f} {middle:.1f},{a + height:.1f} {x0:.1f},{a + height:.1f} Z"
        )
        title = f"{Outcome(one['outcome']).label}: {one['players']:,} from {names[one['tier_id']]} to {names[one['projected_tier_id']]}"
        bands.append({"path": path, "css": f"tb-{one['outcome'].lower()}", "title": title})
    nodes = [
        {**node, "x": x, "text_x": _LABEL - 10 if x == _LABEL else _WIDTH - _LABEL + 10, "anchor": "end" if x == _LABEL else "start"}
        for x, side in ((_LABEL, left), (_WIDTH - _LABEL - _NODE, right))
        for node in side
    ]
    bottom = max(node["y"] + node["height"] for node in nodes)
    return {"bands": bands, "nodes": nodes, "width": _WIDTH, "height": int(bottom) + 24, "node": _NODE}


def _stack(tiers: list[Tier], place: dict[int, int], flows: list[tuple[int, dict[str, Any]]], scale: float) -> list[dict[str, Any]]:
    """The nodes of one side, top to bottom. Every tier has one, so that both sides line up."""
    nodes, y = [], 24.0
    for tier in reversed(tiers):
        height = sum(sqrt(one["players"]) for at, one in flows if at == place[tier.pk]) * scale
        nodes.append(
            {
                "name": tier.name,
                "color": tier.color,
                "y": y,
                "next": y,
                "height": max(height, 2),
                "players": 0,
                "label_y": y + height / 2 + 4,
            }
        )
        y += height + _GAP
    return nodes
