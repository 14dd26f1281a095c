"""Overrides: a member of staff gives a player another tier until a day, with a reason. It beats the rules and ends by itself."""

from datetime import date, datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction

from loyalty_site.common import audit
from loyalty_site.common.clock import require_utc
from players.models import Player, PlayerTier, Tier, TierMove, VipClearance
from players.programme import tier_programme
from rewards.granting.columns import lock_players
from rewards.tiers.projection import day_start
from rewards.tiers.settlement import local_day, settle_players

PERMISSION = "players.override_tier"
LONGEST_DAYS = 3_653  # ten years: more is a slip of the pen, or a tier for ever without anybody looking again
_CLEARED = ("override_tier", "override_until", "override_by", "override_at")


class OverrideRefused(ValueError):
    """An override that may not be made or lifted; the message says what to do instead."""


def override_tier(player_id: int, tier_id: int, last_day: date, *, reason: str, actor: User, at: datetime) -> PlayerTier:
    """Give the player the tier to the end of `last_day` in the programme's zone; an override that holds already is replaced.

    Raises PermissionDenied, or OverrideRefused: no reason, a day that is over or more than ten years away, a frozen player, a VIP tier
    without clearance.
    """
    at = require_utc(at, "at")
    if not actor.has_perm(PERMISSION):
        raise PermissionDenied(f"Your role does not have the permission {PERMISSION}.")
    if not reason.strip():
        raise OverrideRefused("an override needs a reason")
    zone = tier_programme().zone
    today = local_day(at, zone)
    if last_day < today:
        raise OverrideRefused(f"last day: {last_day} is over; give today or a later day")
    if last_day > today + timedelta(days=LONGEST_DAYS):
        raise OverrideRefused(f"last day: {last_day} is more than ten years away; give an earlier day")
    tier = Tier.objects.get(pk=tier_id)
    with transaction.atomic():
        standing = _settled(player_id, at)
        before = _state(standing)
        cleared = VipClearance.objects.filter(
            player_id=player_id, status=VipClearance.Status.APPROVED, recheck_on__gt=local_day(at, zone)
        ).exists()
        if tier.needs_gate and not cleared:
            raise OverrideRefused(f"{tier.name} needs a VIP clearance in force: ask for one first")
        standing.override_tier, standing.override_by, standing.override_at = tier, actor, at
        standing.override_until, standing.override_reason = day_start(last_day + timedelta(days=1), zone), reason.strip()
        _save(standing, TierMove.Kind.OVERRIDE, reason, at)
        audit.record("players.tier_overridden", standing.player, at=at, actor=actor, before=before, after=_state(standing), reason=reason)
        settle_players([player_id], at)
    return PlayerTier.objects.get(pk=player_id)


def lift_override(player_id: int, *, reason: str, actor: User, at: datetime) -> PlayerTier:
    """End the override now: the player has the tier by the rules again. Raises PermissionDenied, OverrideRefused."""
    at = require_utc(at, "at")
    if not actor.has_perm(PERMISSION):
        raise PermissionDenied(f"Your role does not have the permission {PERMISSION}.")
    if not reason.strip():
        raise OverrideRefused("lifting an override needs a reason")
    with transaction.atomic():
        standing = _settled(player_id, at)
        if standing.override_tier_id is None:
            raise OverrideRefused("the player has no override")
        before = _state(standing)
        for name in _CLEARED:
            setattr(standing, name, None)
        standing.override_reason = ""
        _save(standing, TierMove.Kind.OVERRIDE_END, reason, at)
        audit.record(
            "players.tier_override_lifted", standing.player, at=at, actor=actor, before=before, after=_state(standing), reason=reason
        )
        settle_players([player_id], at)
    return PlayerTier.objects.get(pk=player_id)


def _settled(player_id: int, at: datetime) -> PlayerTier:
    """The standing under the player's lock, brought up to date, so that the override starts from what the rules say now."""
    if not Player.objects.filter(pk=player_id).exists():
        raise Player.DoesNotExist(f"there is no player with id {player_id}")
    lock_players([player_id])
    settle_players([player_id], at)
    standing = PlayerTier.objects.select_related("player", "tier", "override_tier").filter(pk=player_id).first()
    if standing is None:
        raise OverrideRefused("there are no tiers; set up the ladder first")
    if standing.frozen:
        raise OverrideRefused(f"the player is {standing.get_frozen_display().lower()}: no tier moves until that ends")
    return standing


def _save(standing: PlayerTier, kind: str, reason: str, at: datetime) -> None:
    standing.save(update_fields=[*_CLEARED, "override_reason"])
    player = standing.player
    tier_id = standing.override_tier_id or standing.tier_id
    if player.tier_id == tier_id:
        return
    if tier_id is not None:
        TierMove.objects.create(
            player=player,
            from_tier_id=player.tier_id,
            to_tier_id=tier_id,
            kind=kind,
            moved_at=at,
            points=standing.metric,
            reason=reason.strip()[:200],
        )
    player.tier_id = tier_id
    player.save(update_fields=["tier"])


def _state(standing: PlayerTier) -> dict[str, Any]:
    return {
        "tier_by_rules": standing.tier.name if standing.tier else None,
        "override": standing.override_tier.name if standing.override_tier else None,
        "until": standing.override_until.isoformat() if standing.override_until else None,
    }
