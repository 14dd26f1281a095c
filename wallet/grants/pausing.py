"""Pausing a bonus, where the market allows it. Its time goes on; bets do not count meanwhile."""

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction

from loyalty_site.common.clock import require_utc
from players.models import Jurisdiction, Player
from players.selectors import packs_in_force

from ..bonus import states
from ..bonus.states import Status
from ..errors import GrantRefused
from ..models import BonusGrant, GrantEvent
from . import queue
from .closing import COMPLETED, LOST, NO_WAGERING, Closing
from .queue import ACT_PERMISSION, locked_grant, require_permission

_OTHER_MARKETS = "*"


def pause_grant(grant_id: int, *, at: datetime, reason: str, actor: User | None = None) -> BonusGrant:
    """Pause an open bonus. Raises GrantRefused: the market does not allow it, it is not open, its time is up, or no permission."""
    require_permission(actor, ACT_PERMISSION)
    at = require_utc(at)
    with transaction.atomic():
        grant = locked_grant(grant_id)
        if not pausing_allowed(grant.player_id, at):
            raise GrantRefused("the rules of the player's market do not allow to pause a bonus")
        if grant.expires_at <= at:
            raise GrantRefused(f"the time of bonus grant {grant_id} was up at {grant.expires_at:%Y-%m-%d %H:%M} UTC")
        return _move(grant, Status.PAUSED, "paused", at, reason, actor)


def resume_grant(grant_id: int, *, at: datetime, reason: str, actor: User | None = None) -> BonusGrant:
    """Let a paused bonus go on, as it was before. Raises GrantRefused."""
    require_permission(actor, ACT_PERMISSION)
    at = require_utc(at)
    with transaction.atomic():
        grant = locked_grant(grant_id)
        if grant.status != Status.PAUSED:
            raise GrantRefused(f"bonus grant {grant_id} is {grant.get_status_display().lower()}, not paused")
        paused = GrantEvent.objects.filter(grant=grant, to_status=Status.PAUSED).order_by("-id").first()
        before = Status(paused.from_status) if paused is not None else Status.ACTIVE
        _move(grant, before, "resumed", at, reason, actor)
        # rounds that were open when it was paused may have met the requirement, or lost the rest, meanwhile
        if (closing := _due_end(grant)) is not None:
            queue.end([grant_id], closing, at=at)
            grant.refresh_from_db()
        return grant


def _due_end(grant: BonusGrant) -> Closing | None:
    """How a grant ends that may go on but has nothing left to do: as `Work.end_if_due` of the engine decides."""
    if grant.spins_left or (grant.terms["kind"] == "free_spins" and grant.open_bets):
        return None
    money = grant.balance + grant.locked
    if grant.wagered >= grant.wagering_required and (money or grant.wagering_required > 0):
        return COMPLETED if grant.wagering_required > 0 else NO_WAGERING
    return LOST if money < grant.terms["min_bet"] and grant.open_bets == 0 else None


def _move(grant: BonusGrant, after: Status, verb: str, at: datetime, reason: str, actor: User | None) -> BonusGrant:
    if not (reason := reason.strip()) or len(reason) > 250:
        raise GrantRefused("give a reason of at most 250 characters")
    before = Status(grant.status)
    try:
        states.check(before, after)
    except states.IllegalTransition as error:
        raise GrantRefused(f"bonus grant {grant.pk}: {error}") from error
    grant.status = after
    grant.save(update_fields=["status"])
    GrantEvent.objects.create(
        grant=grant,
        from_status=before,
        to_status=after,
        cause=f"{verb}: {reason}",
        actor_id=None if actor is None else actor.pk,
        occurred_at=at,
    )
    queue.record(f"wallet.grant_{verb}", grant, before, at=at, actor=actor, reason=reason)
    return grant


def pausing_allowed(player_id: int, at: datetime) -> bool:
    """By the rules in force in the player's market; a player of no market has those of the market "*", if there are any."""
    packs = packs_in_force(at.date())
    market = Player.objects.values_list("jurisdiction_id", flat=True).get(pk=player_id)
    if market is None:
        market = Jurisdiction.objects.filter(code=_OTHER_MARKETS).values_list("pk", flat=True).first()
    pack = packs.get(market) if market is not None else None
    return pack is not None and pack.pausing_allowed
