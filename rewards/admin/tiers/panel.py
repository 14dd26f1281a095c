"""A player's tier as staff see it: on the standing's page and on the player's page."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.urls import reverse

from loyalty_site.common.admin.display import DASH, badge
from players.admin.moves import KIND_TONES
from players.models import PlayerTier, Tier, TierMove, VipClearance
from rewards.tiers.projection import TierView, tier_view
from rewards.tiers.qualification import Outcome

from .board import TONES

_MOVES = 12


def points(value: Decimal | None) -> str:
    return DASH if value is None else f"{value:,.2f}".removesuffix(".00")


def tier_badge(tier: Tier | None) -> Any:
    return badge(tier.name, color=tier.color) if tier else DASH


def tier_panel(player_id: int, now: datetime) -> dict[str, Any]:
    """Context of the panel: figures reckoned now, the way to the next tier and to keep the present one, moves and clearances."""
    view = tier_view(player_id, now)
    if view is None:
        return {}
    moves = TierMove.objects.filter(player_id=player_id).select_related("from_tier", "to_tier").order_by("-moved_at", "-id")[:_MOVES]
    clearances = VipClearance.objects.filter(player_id=player_id).select_related("requested_by", "approver").order_by("-id")[:5]
    return {
        "view": view,
        "tier": tier_badge(view.tier),
        "rule_tier": tier_badge(view.rule_tier),
        "outcome": badge(PlayerTier.Outcome(view.outcome.value).label, TONES[view.outcome.value]),
        "projected": tier_badge(view.projected),
        "tiles": _tiles(view),
        "bars": _bars(view),
        "facts": _facts(view),
        "moves": [
            {
                "row": move,
                "kind": badge(move.get_kind_display(), KIND_TONES.get(TierMove.Kind(move.kind), "")),
                "old": tier_badge(move.from_tier),
                "new": tier_badge(move.to_tier),
                "points": points(move.points),
            }
            for move in moves
        ],
        "clearances": clearances,
        "link": reverse("admin:players_playertier_change", args=[player_id]) if PlayerTier.objects.filter(pk=player_id).exists() else "",
    }


def _tiles(view: TierView) -> list[tuple[str, str]]:
    review = "Grace ends" if view.in_grace else "Next review"
    return [
        ("Qualifying points", points(view.metric)),
        (f"To {view.next_tier.name}" if view.next_tier else "To the next tier", points(view.to_next)),
        (f"To keep {view.rule_tier.name}" if view.rule_tier else "To keep", points(view.to_keep)),
        (review, f"{view.days_left} d"),
    ]


def _bars(view: TierView) -> list[dict[str, Any]]:
    """Progress to the next tier and to keeping this one, as whole percent."""
    bars = []
    if view.next_tier is not None and view.next_tier.entry_points:
        needed = view.next_tier.entry_points
        bars.append(_bar(f"To {view.next_tier.name}", view.metric, needed, f"since {view.window_from:%Y-%m-%d}"))
    if view.rule_tier is not None and view.rule_tier.keep_points and view.rule_tier.rank:
        last = f"the review of {view.valid_until:%Y-%m-%d}" if not view.in_grace else f"the grace to {view.grace_until:%Y-%m-%d}"
        bars.append(_bar(f"To keep {view.rule_tier.name}", view.review_metric, view.rule_tier.keep_points, f"for {last}"))
    return bars


def _bar(name: str, has: Decimal, needed: Decimal, note: str) -> dict[str, Any]:
    percent = min(int(100 * has / needed), 100)
    return {"name": name, "percent": percent, "text": f"{points(has)} of {points(needed)}", "note": note, "done": percent == 100}


def _facts(view: TierView) -> list[tuple[str, Any]]:
    facts: list[tuple[str, Any]] = [
        ("By the rules since", f"{view.since:%Y-%m-%d}" if view.since else DASH),
        ("Valid until", f"{view.valid_until:%Y-%m-%d %H:%M} UTC"),
        ("Benefits", ", ".join(view.tier.benefits) if view.tier and view.tier.benefits else DASH),
    ]
    if view.grace_until:
        facts.append(("Grace until", f"{view.grace_until:%Y-%m-%d %H:%M} UTC"))
    if view.override_until:
        facts.append(("Override until", f"{view.override_until:%Y-%m-%d %H:%M} UTC: {view.override_reason}"))
    if view.frozen:
        facts.append(("Frozen", f"{view.frozen.lower()}: no tier moves until that ends"))
    if view.waiting_for:
        facts.append(("Waits for clearance", f"has the points of {view.waiting_for.name}"))
    elif view.next_needs_clearance and view.next_tier is not None:
        facts.append(("Next tier", f"{view.next_tier.name} needs a VIP clearance"))
    if view.outcome is Outcome.GRACE and view.projected is not None:
        facts.append(("At this pace", f"the review would begin a grace, and {view.projected.name} would follow"))
    if not view.may_be_told:
        facts.append(
            (
                "May be told",
                badge("no", "bad", title="Under an exclusion, a cool-off or a harm flag nobody says that a tier could be lost."),
            )
        )
    return facts
