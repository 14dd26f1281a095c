"""VIP clearances: evidence asked for by one person, approved by another, until a re-check date. Each step is audited."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction

from loyalty_site.common import audit
from loyalty_site.common.clock import require_utc
from players.models import Player, VipClearance
from players.programme import tier_programme
from players.selectors import barred_players
from rewards.granting.columns import lock_players
from rewards.tiers.settlement import local_day, settle_players

REQUEST_PERMISSION = "players.request_vipclearance"
APPROVE_PERMISSION = "players.approve_vipclearance"
LONGEST_DAYS = 731  # two years: a re-check that nobody lives to see is none
_Status = VipClearance.Status


class ClearanceRefused(ValueError):
    """A clearance that may not be asked for, approved or withdrawn; the message says what to do instead."""


@dataclass(frozen=True)
class Evidence:
    """What was verified, and where the proof is kept: each part is needed. `recheck_on` ends the clearance."""

    identity: str
    affordability: str
    harm_check: str
    recheck_on: date


def request_clearance(player_id: int, evidence: Evidence, *, actor: User, reason: str, at: datetime) -> VipClearance:
    """Ask for a clearance. Raises PermissionDenied, or ClearanceRefused: evidence missing, re-check date not within the next two
    years, the player is excluded, flagged for harm or not active, or a request is open already."""
    at = require_utc(at, "at")
    _require(actor, REQUEST_PERMISSION)
    for name in ("identity", "affordability", "harm_check"):
        if not getattr(evidence, name).strip():
            raise ClearanceRefused(f"{name.replace('_', ' ')}: say what was verified and where the evidence is kept")
    _check_recheck(evidence.recheck_on, at)
    with transaction.atomic():
        player = Player.objects.get(pk=player_id)
        lock_players([player_id])
        _check_player(player_id, at)
        try:
            with transaction.atomic():
                clearance = VipClearance.objects.create(
                    player=player,
                    identity=evidence.identity.strip(),
                    affordability=evidence.affordability.strip(),
                    harm_check=evidence.harm_check.strip(),
                    recheck_on=evidence.recheck_on,
                    requested_by=actor,
                    requested_at=at,
                )
        except IntegrityError as error:
            raise ClearanceRefused("a clearance of this player waits for approval already; decide on that one first") from error
        after = {"recheck_on": evidence.recheck_on.isoformat(), "clearance": clearance.pk}
        audit.record("players.clearance_requested", player, at=at, actor=actor, after=after, reason=reason)
    return clearance


def approve_clearance(clearance_id: int, *, actor: User, note: str, at: datetime) -> VipClearance:
    """Approve what somebody else asked for. It replaces an older clearance, and the player goes up at once if the points are there.

    Raises PermissionDenied (also for the person who asked, whatever their rights), ClearanceRefused."""
    at = require_utc(at, "at")
    with transaction.atomic():
        clearance = _open_request(clearance_id, actor, note)
        _check_recheck(clearance.recheck_on, at)
        _check_player(clearance.player_id, at)
        VipClearance.objects.filter(player_id=clearance.player_id, status=_Status.APPROVED).update(status=_Status.REPLACED, ended_at=at)
        _decide(clearance, _Status.APPROVED, "players.clearance_approved", actor, note, at)
        settle_players([clearance.player_id], at)
    return clearance


def reject_clearance(clearance_id: int, *, actor: User, note: str, at: datetime) -> VipClearance:
    """Turn down what somebody else asked for. Raises PermissionDenied, ClearanceRefused."""
    at = require_utc(at, "at")
    with transaction.atomic():
        clearance = _open_request(clearance_id, actor, note)
        _decide(clearance, _Status.REJECTED, "players.clearance_rejected", actor, note, at)
    return clearance


def withdraw_clearance(clearance_id: int, *, actor: User, reason: str, at: datetime) -> None:
    """End a clearance in force. The tier stays until its review, which no longer keeps it. Raises PermissionDenied, ClearanceRefused."""
    at = require_utc(at, "at")
    _require(actor, APPROVE_PERMISSION)
    if not reason.strip():
        raise ClearanceRefused("withdrawing a clearance needs a reason")
    with transaction.atomic():
        clearance = _locked(clearance_id)
        if clearance.status != _Status.APPROVED:
            raise ClearanceRefused("this clearance is not in force")
        clearance.status, clearance.ended_at = _Status.WITHDRAWN, at
        clearance.save(update_fields=["status", "ended_at"])
        after = {"clearance": clearance.pk, "status": clearance.status}
        audit.record("players.clearance_withdrawn", clearance.player, at=at, actor=actor, after=after, reason=reason)
        settle_players([clearance.player_id], at)


def _open_request(clearance_id: int, actor: User, note: str) -> VipClearance:
    _require(actor, APPROVE_PERMISSION)
    if not note.strip():
        raise ClearanceRefused("write what you checked: it is kept with the decision")
    clearance = _locked(clearance_id)
    if clearance.status != _Status.REQUESTED:
        raise ClearanceRefused(f"this clearance is decided already: {clearance.get_status_display().lower()}")
    if clearance.requested_by_id == actor.pk:
        raise PermissionDenied("You asked for this clearance, so somebody else must decide on it.")
    return clearance


def _locked(clearance_id: int) -> VipClearance:
    """The clearance under its player's lock: one decision at a time."""
    player_id = VipClearance.objects.values_list("player_id", flat=True).get(pk=clearance_id)
    lock_players([player_id])
    return VipClearance.objects.select_related("player").get(pk=clearance_id)


def _decide(clearance: VipClearance, status: str, action: str, actor: User, note: str, at: datetime) -> None:
    clearance.status, clearance.approver, clearance.decided_at, clearance.decision_note = status, actor, at, note.strip()
    clearance.save(update_fields=["status", "approver", "decided_at", "decision_note"])
    after = {"clearance": clearance.pk, "status": status, "recheck_on": clearance.recheck_on.isoformat()}
    audit.record(action, clearance.player, at=at, actor=actor, before={"status": "REQUESTED"}, after=after, reason=note)


def _check_recheck(recheck_on: date, at: datetime) -> None:
    today = local_day(at, tier_programme().zone)
    if recheck_on <= today:
        raise ClearanceRefused(f"re-check date: {recheck_on} is not in the future; give a later day")
    if recheck_on > today + timedelta(days=LONGEST_DAYS):
        raise ClearanceRefused(f"re-check date: {recheck_on} is more than two years away; give an earlier day")


def _check_player(player_id: int, at: datetime) -> None:
    if barred_players([player_id], at):
        raise ClearanceRefused("the player is excluded, flagged for harm or not active: no VIP tier while that stands")


def _require(actor: User, permission: str) -> None:
    if not actor.has_perm(permission):
        raise PermissionDenied(f"Your role does not have the permission {permission}.")
