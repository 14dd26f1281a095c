"""The outbox: what the operator's platform has to do with cash, delivered once.

An instruction is written in the transaction that releases the money. Delivery is a loop of its own: claim (a short transaction, rows by
SKIP LOCKED), send (no transaction, no lock), mark. A claim moves the next attempt beyond the longest request, so nobody else sends the
same instruction meanwhile. A process that dies between sending and marking leaves the claim to run out; then the same request is sent
again with the same key, and the platform must answer it with what it did the first time. "Once" is by that key.
"""

import hashlib
import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import connection, transaction

from loyalty_site.common import audit
from loyalty_site.common.clock import require_utc
from loyalty_site.common.models import ApiClient
from loyalty_site.common.money import from_minor

from .errors import IdempotencyConflict, InvalidPosting, WalletError
from .models import PayoutInstruction
from .platform import Answer, Platform, send

logger = logging.getLogger(__name__)

RETRY_PERMISSION = "wallet.retry_payout"
SENDING = "being sent; no answer recorded yet"
Status = PayoutInstruction.Status

_BATCH = 40
_CONNECTIONS = 8
_LEASE = timedelta(minutes=5)
_FIRST_PAUSE = 30.0
_LONGEST_PAUSE = 6 * 3600.0

_CLAIM_SQL = """
WITH due AS MATERIALIZED (
    SELECT id FROM wallet_payoutinstruction
    WHERE status = 'PENDING' AND next_attempt_at <= %(at)s
    ORDER BY next_attempt_at, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE wallet_payoutinstruction AS payout
SET attempts = payout.attempts + 1, last_error = %(sending)s, next_attempt_at = %(until)s
FROM due WHERE payout.id = due.id
RETURNING payout.id
"""


class UnknownPayout(WalletError):
    slug = "unknown-payout"


@dataclass(slots=True)
class DeliveryReport:
    """Outcome of one round. `configured` is False when there is no platform to send to. `halted`: it did not answer, the rest waits."""

    configured: bool = True
    sent: int = 0
    delivered: int = 0
    postponed: int = 0
    failed: int = 0
    halted: bool = False


def deliver_due(at: datetime, limit: int = 500, *, platform: Platform | None = None) -> DeliveryReport:
    """Send the pending instructions that are due at `at`, oldest first, at most `limit`. Any number of processes may do so at once.

    The platform comes from the settings unless given; without one nothing is sent. Stops early when a whole batch finds the platform
    away. Raises RuntimeError inside a transaction: a claim that is not committed protects nothing.
    """
    at = require_utc(at, "at")
    platform = platform or Platform.from_settings()
    if platform is None:
        return DeliveryReport(configured=False)
    if connection.in_atomic_block:
        raise RuntimeError("pay-outs cannot be delivered inside a transaction: their claims must be committed before anything is sent")
    started = time.monotonic()
    report = DeliveryReport()
    with ThreadPoolExecutor(max_workers=_CONNECTIONS) as connections:
        while report.sent < limit and not report.halted:
            now = at + timedelta(seconds=time.monotonic() - started)
            batch = _claim(now, min(_BATCH, limit - report.sent))
            if not batch:
                break
            requests = {connections.submit(send, platform, one.key, body_of(one), now): one for one in batch}
            reached = False
            for request in as_completed(requests):
                answer = request.result()
                reached |= answer.reached
                outcome = _mark(requests[request], answer, at + timedelta(seconds=time.monotonic() - started))
                setattr(report, outcome, getattr(report, outcome) + 1)
            report.sent += len(batch)
            report.halted = not reached
    if report.sent:
        logger.info(
            "wallet.payouts_sent sent=%s delivered=%s postponed=%s failed=%s",
            report.sent,
            report.delivered,
            report.postponed,
            report.failed,
        )
    return report


def body_of(instruction: PayoutInstruction) -> bytes:
    """The request's JSON. It says nothing of the attempt, so a repeated request is the same to the last byte."""
    return json.dumps(
        {
            "key": instruction.key,
            "player_id": instruction.player.external_id,
            "grant_id": instruction.grant_id,
            "direction": "credit" if instruction.amount > 0 else "debit",
            "currency": instruction.currency,
            "amount": str(from_minor(abs(instruction.amount), instruction.currency)),
            "amount_minor": abs(instruction.amount),
            "created_at": instruction.created_at.isoformat().replace("+00:00", "Z"),
        },
        separators=(",", ":"),
        sort_keys=True,
        ensure_ascii=False,
    ).encode()


def pause_before_next(key: str, attempt: int) -> timedelta:
    """The pause after attempt number `attempt` (1, 2, ...): 30 seconds, doubled each time, at most 6 hours, of which the key's hash
    decides between a half and the whole, so that what failed together does not come back together."""
    full = min(_FIRST_PAUSE * 2.0 ** min(attempt - 1, 20), _LONGEST_PAUSE)
    share = int.from_bytes(hashlib.sha256(f"{key}:{attempt}".encode()).digest()[:4], "big") / 2**32
    return timedelta(seconds=round(full * (0.5 + share / 2), 3))


def _claim(at: datetime, limit: int) -> list[PayoutInstruction]:
    """Take due instructions for this process until the lease ends. The attempt's number tells later marks whose they are."""
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM_SQL, {"at": at, "limit": limit, "sending": SENDING, "until": at + _LEASE})
        ids = [row[0] for row in cursor.fetchall()]
    return list(PayoutInstruction.objects.filter(pk__in=ids).select_related("player").order_by("id"))


def _mark(claimed: PayoutInstruction, answer: Answer, at: datetime) -> str:
    """Record an answer; returns the field of the report that counts it.

    A success counts whoever reports it. A failure counts only while this attempt is the latest: another process may have taken over.
    """
    rows = PayoutInstruction.objects.filter(pk=claimed.pk)
    if answer.delivered:
        rows.exclude(status=Status.DELIVERED).update(status=Status.DELIVERED, delivered_at=at, platform_ref=answer.reference, last_error="")
        return "delivered"
    mine = rows.filter(status=Status.PENDING, attempts=claimed.attempts)
    error = answer.error[:300]
    attempt = (claimed.attempts - 1) % settings.PLATFORM_MAX_ATTEMPTS + 1
    if attempt == settings.PLATFORM_MAX_ATTEMPTS:
        if mine.update(status=Status.FAILED, last_error=error):
            logger.error("wallet.payout_failed payout=%s attempts=%s", claimed.pk, claimed.attempts)
        return "failed"
    pause = max(pause_before_next(claimed.key, attempt), timedelta(seconds=min(answer.wait, _LONGEST_PAUSE)))
    mine.update(last_error=error, next_attempt_at=at + pause)
    return "postponed"


def retry_payout(payout_id: int, *, reason: str, actor: User, at: datetime) -> PayoutInstruction:
    """Make an instruction due at once: one that was given up gets another round of attempts, one that waits is sent in the next minute.

    Raises PermissionDenied, UnknownPayout, and InvalidPosting when it is delivered or being sent right now.
    """
    at = require_utc(at, "at")
    if not actor.has_perm(RETRY_PERMISSION):
        raise PermissionDenied("You may not send pay-out instructions again.")
    if not reason.strip():
        raise InvalidPosting("sending a pay-out again needs a reason")
    with transaction.atomic():
        payout = _locked(pk=payout_id)
        if payout.status == Status.DELIVERED:
            raise InvalidPosting(f"pay-out {payout.key} is delivered (platform reference {payout.platform_ref or 'not given'})")
        if is_being_sent(payout, at):
            raise InvalidPosting(f"pay-out {payout.key} is being sent right now; look again in a few minutes")
        before = {"status": payout.status, "attempts": payout.attempts, "error": payout.last_error}
        payout.status, payout.next_attempt_at = Status.PENDING, at
        payout.save(update_fields=["status", "next_attempt_at"])
        audit.record(
            "wallet.payout_retried", payout, at=at, actor=actor, before=before, after={"status": payout.status}, reason=reason.strip()
        )
    return payout


def is_being_sent(payout: PayoutInstruction, at: datetime) -> bool:
    """Whether a process holds a claim on it at `at`."""
    return payout.status == Status.PENDING and payout.last_error == SENDING and payout.next_attempt_at > at


def confirm_payout(
    key: str, platform_ref: str, at: datetime, *, actor: User | None = None, api_client: ApiClient | None = None
) -> PayoutInstruction:
    """The platform says that it has done what the instruction `key` asks for. Again with the same reference: no further effect.

    Raises UnknownPayout, InvalidPosting without a reference, IdempotencyConflict when another reference was confirmed before.
    """
    at = require_utc(at, "at")
    reference = platform_ref.strip()
    if not 0 < len(reference) <= 120:
        raise InvalidPosting("platform reference: give the platform's own number of the payment, 1 to 120 characters")
    with transaction.atomic():
        payout = _locked(key=key)
        if payout.status == Status.DELIVERED:
            if payout.platform_ref not in ("", reference):
                raise IdempotencyConflict(f"pay-out {key} was confirmed with the reference {payout.platform_ref!r}, not {reference!r}")
            if payout.platform_ref == reference:
                return payout
        before = {"status": payout.status, "platform_ref": payout.platform_ref}
        payout.status, payout.platform_ref, payout.last_error = Status.DELIVERED, reference, ""
        payout.delivered_at = payout.delivered_at or at
        payout.save(update_fields=["status", "platform_ref", "last_error", "delivered_at"])
        after: dict[str, Any] = {"status": payout.status, "platform_ref": reference}
        audit.record("wallet.payout_confirmed", payout, at=at, actor=actor, api_client=api_client, before=before, after=after)
    return payout


def _locked(**which: Any) -> PayoutInstruction:
    payout = PayoutInstruction.objects.select_for_update(of=("self",)).select_related("player").filter(**which).first()
    if payout is None:
        raise UnknownPayout(f"there is no pay-out instruction {next(iter(which.values()))!r}")
    return payout
