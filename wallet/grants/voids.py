"""Voiding a bonus: one person asks and names the case, another decides. Never the same person, superusers included."""

from datetime import datetime

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import transaction

from loyalty_site.common import audit
from loyalty_site.common.clock import require_utc

from ..bonus.states import FINAL, Status
from ..errors import GrantRefused
from ..models import VoidRequest
from ..values import shown
from . import queue
from .closing import Closing
from .queue import locked_grant, require_permission

REQUEST_PERMISSION = "wallet.request_void"
APPROVE_PERMISSION = "wallet.approve_void"


def request_void(grant_id: int, *, case_id: str, reason: str, actor: User, at: datetime) -> VoidRequest:
    """Ask to void a bonus that has not ended. Raises GrantRefused: no permission, no case or reason, asked for already, or nobody else
    could approve it."""
    require_permission(actor, REQUEST_PERMISSION)
    at = require_utc(at)
    case_id, reason = case_id.strip(), reason.strip()
    if not case_id or len(case_id) > 60:
        raise GrantRefused("name the case that justifies it, in at most 60 characters")
    if not reason or len(reason) > 500:
        raise GrantRefused("give a reason of at most 500 characters")
    with transaction.atomic():
        grant = locked_grant(grant_id)
        if grant.status in FINAL:
            raise GrantRefused(f"bonus grant {grant_id} is {grant.get_status_display().lower()}; only what has not ended can be voided")
        waiting = VoidRequest.objects.filter(grant=grant, status=VoidRequest.Status.PENDING).first()
        if waiting is not None:
            raise GrantRefused(f"voiding bonus grant {grant_id} was asked for already: request {waiting.pk}")
        if not _someone_else_may_approve(actor):
            raise GrantRefused(
                "a void needs a second person, but nobody else may approve it; "
                "give someone the permission 'Can void a bonus that another person asked to void' first"
            )
        request = VoidRequest.objects.create(grant=grant, case_id=case_id, reason=reason, maker=actor, requested_at=at)
        audit.record("wallet.void_requested", request, at=at, actor=actor, after=_content(request), reason=reason)
    return request


def approve_void(request_id: int, *, actor: User, at: datetime, note: str = "") -> VoidRequest:
    """Void the bonus: what is left of it is forfeited, and the next one in the queue begins. Raises GrantRefused."""
    at = require_utc(at)
    with transaction.atomic():
        request = _open_request(request_id, actor, "approve")
        grant = request.grant
        if grant.status in FINAL:
            raise GrantRefused(f"bonus grant {grant.pk} is {grant.get_status_display().lower()} meanwhile; reject the request")
        detail = {"case": request.case_id, "request": str(request.pk)}
        closing = Closing(Status.VOIDED, f"voided, case {request.case_id}: {request.reason}"[:300], detail)
        queue.end([grant.pk], closing, at=at, actor_id=actor.pk)
        _decide(request, VoidRequest.Status.VOIDED, actor, note, at)
        audit.record("wallet.void_approved", request, at=at, actor=actor, after=_content(request), reason=note.strip() or request.reason)
    request.grant.refresh_from_db()
    return request


def reject_void(request_id: int, *, actor: User, at: datetime, note: str) -> VoidRequest:
    """Turn a void down, with a note. Raises GrantRefused."""
    at = require_utc(at)
    if not note.strip():
        raise GrantRefused("say why the void is rejected")
    with transaction.atomic():
        request = _open_request(request_id, actor, "reject")
        _decide(request, VoidRequest.Status.REJECTED, actor, note, at)
        audit.record("wallet.void_rejected", request, at=at, actor=actor, after=_content(request), reason=request.decision_note)
    return request


def _open_request(request_id: int, actor: User, verb: str) -> VoidRequest:
    """Lock the grant's wallet and the request, then check that this person may decide on it now."""
    found = VoidRequest.objects.filter(pk=request_id).first()
    if found is None:
        raise GrantRefused(f"there is no void request {request_id}")
    grant = locked_grant(found.grant_id)
    request = VoidRequest.objects.select_for_update(of=("self",)).get(pk=request_id)
    request.grant = grant
    if request.status != VoidRequest.Status.PENDING:
        raise GrantRefused(f"void request {request_id} is {request.get_status_display().lower()} already")
    require_permission(actor, APPROVE_PERMISSION)
    if request.maker_id == actor.pk:
        raise GrantRefused(f"you asked for void {request_id} yourself; another person must {verb} it")
    return request


def _decide(request: VoidRequest, status: str, actor: User, note: str, at: datetime) -> None:
    request.status, request.checker, request.decided_at, request.decision_note = status, actor, at, note.strip()[:500]
    request.save(update_fields=["status", "checker", "decided_at", "decision_note"])


def _someone_else_may_approve(maker: User) -> bool:
    users = get_user_model()._default_manager
    backend = "django.contrib.auth.backends.ModelBackend"
    return bool(users.with_perm(APPROVE_PERMISSION, backend=backend).filter(is_active=True).exclude(pk=maker.pk).exists())


def _content(request: VoidRequest) -> dict[str, str | int]:
    grant = request.grant
    return {
        "grant": grant.pk,
        "player": grant.player_id,
        "case": request.case_id,
        "status": request.status,
        "left": shown(grant.balance + grant.locked, "BONUS", grant.currency),
    }
