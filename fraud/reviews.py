"""Reviews: a person asks, another person decides. Both acts are audited in the transaction that makes them."""

from datetime import datetime

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction

from fraud.models import AbuseProfile, ReviewFlag
from fraud.scanning import rescore
from loyalty_site.common import audit
from loyalty_site.common.clock import require_utc
from players.models import Player

OUTCOMES = (ReviewFlag.Status.CONFIRMED, ReviewFlag.Status.FALSE_POSITIVE, ReviewFlag.Status.INCONCLUSIVE)


def flag_for_review(player_id: int, reason: str, actor: User | None, at: datetime) -> ReviewFlag:
    """Ask for a review of a player; keeps the score of the moment. `actor` None: the system asks.

    Raises Player.DoesNotExist, and ValidationError without a reason or while a review of this player is open.
    """
    at = require_utc(at, "at")
    reason = reason.strip()
    if not reason:
        raise ValidationError("Give a reason: the person who reviews the player starts from it.")
    with transaction.atomic():
        player = Player.objects.select_for_update(no_key=True).get(pk=player_id)
        if ReviewFlag.objects.filter(player=player, status=ReviewFlag.Status.OPEN).exists():
            raise ValidationError(f"A review of player {player.external_id} is open already; add to it or close it first.")
        profile = AbuseProfile.objects.filter(player=player).first()
        flag = ReviewFlag.objects.create(
            player=player, reason=reason, score_at_flag=profile.score if profile else 0, flagged_at=at, flagged_by=actor
        )
        audit.record(
            "fraud.review_opened",
            flag,
            at=at,
            actor=actor,
            after={"player_id": player.pk, "score": str(flag.score_at_flag)},
            reason=reason,
        )
    return flag


def close_review(flag: ReviewFlag, outcome: str, note: str, actor: User, at: datetime) -> ReviewFlag:
    """Close an open review with an outcome and a note; the person who asked may not close it.

    After FALSE_POSITIVE what was known until now counts no longer in the score, and the player is scored anew at once.
    Raises PermissionDenied for the person who asked, ValidationError for a closed review, an unknown outcome or an empty note.
    """
    at = require_utc(at, "at")
    note = note.strip()
    if outcome not in OUTCOMES:
        raise ValidationError(f"{outcome!r} is no outcome of a review; use {', '.join(OUTCOMES)}.")
    if not note:
        raise ValidationError("Write what was found: the outcome is judged by it later.")
    with transaction.atomic():
        # players before their flags, as everywhere
        Player.objects.select_for_update(no_key=True).get(pk=flag.player_id)
        locked = ReviewFlag.objects.select_for_update().get(pk=flag.pk)
        if locked.status != ReviewFlag.Status.OPEN:
            raise ValidationError(f"This review was closed on {locked.closed_at:%Y-%m-%d} as: {locked.get_status_display()}.")
        if locked.flagged_by_id is not None and locked.flagged_by_id == actor.pk:
            raise PermissionDenied("You asked for this review, so somebody else must close it.")
        locked.status, locked.outcome_note = outcome, note
        locked.closed_at, locked.closed_by = at, actor
        locked.save(update_fields=["status", "outcome_note", "closed_at", "closed_by"])
        audit.record(
            "fraud.review_closed",
            locked,
            at=at,
            actor=actor,
            before={"status": ReviewFlag.Status.OPEN},
            after={"status": outcome, "player_id": locked.player_id},
            reason=note,
        )
        if outcome == ReviewFlag.Status.FALSE_POSITIVE:
            rescore([locked.player_id], at)
    return locked
