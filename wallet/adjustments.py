"""Corrections of balances by staff: a reason always, a second person above a limit, an audit row for every step."""

from datetime import datetime, timedelta
from decimal import Decimal

from constance import config
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Sum
from django.db.models.functions import Abs

from loyalty_site.common import audit
from loyalty_site.common.clock import require_utc
from loyalty_site.common.money import from_minor
from players.models import Player

from . import ledger
from .errors import AdjustmentRefused, InsufficientFunds, InvalidPosting, UnknownPlayer
from .grants.offers import is_free
from .locks import lock_bonus_of_players
from .models import Account, AdjustmentRequest, Entry, House, Product, Unit
from .points.credits import credit
from .postings import add_bonus, check_requirement, signed_minor, take
from .protection import refuse_under_protection
from .values import ADJUSTMENT_SOURCE, Source, money_unit, shown

REQUEST_PERMISSION = "wallet.adjust_wallet"
APPROVE_PERMISSION = "wallet.approve_adjustment"

_TOGETHER = timedelta(hours=24)  # small corrections by one person for one account within this time count as one
_SAME_CLICK = timedelta(seconds=60)


def request_adjustment(
    *,
    player_id: int,
    unit: str,
    amount: Decimal,
    reason: str,
    maker: User,
    at: datetime,
    currency: str = "",
    wagering_required: Decimal | None = None,
    expires_at: datetime | None = None,
) -> AdjustmentRequest:
    """Ask for a correction: positive `amount` gives, negative takes. Below the threshold ADJUSTMENT_SECOND_FROM_AMOUNT (in the unit
    itself) it is posted at once, from there on it waits for a second person. What the same person posted alone to the same account
    in the last 24 hours counts towards the limit. A bonus credit needs its terms.

    Raises AdjustmentRefused (no permission, nobody could approve, the very same was asked for a moment ago), InvalidPosting,
    InsufficientFunds, UnknownPlayer.
    """
    at = require_utc(at)
    with transaction.atomic():
        # one request a player at a time: the second of two sees the first
        Player.objects.select_for_update(no_key=True).filter(pk=player_id).first()
        request = check_adjustment(
            player_id=player_id,
            unit=unit,
            amount=amount,
            reason=reason,
            maker=maker,
            at=at,
            currency=currency,
            wagering_required=wagering_required,
            expires_at=expires_at,
        )
        request.save(force_insert=True)
        audit.record("wallet.adjustment_requested", request, at=at, actor=maker, after=_content(request), reason=request.reason)
        if not request.needs_second_person:
            _post(request, checker=None, note="below the limit for a second person", at=at)
    return request


def check_adjustment(
    *,
    player_id: int,
    unit: str,
    amount: Decimal,
    reason: str,
    maker: User,
    at: datetime,
    currency: str = "",
    wagering_required: Decimal | None = None,
    expires_at: datetime | None = None,
) -> AdjustmentRequest:
    """What `request_adjustment` would store, unsaved; raises what it would raise. Writes nothing."""
    if not maker.has_perm(REQUEST_PERMISSION):
        raise AdjustmentRefused("you may not adjust wallets; ask for the permission 'Can ask for a wallet adjustment'")
    if not (reason := reason.strip()) or len(reason) > 500:
        raise InvalidPosting("give a reason of at most 500 characters: who asked for the correction, and why")
    minor = signed_minor(amount, unit, currency)
    if unit == Unit.BONUS and minor > 0:
        _check_terms(wagering_required, expires_at, at)
    elif wagering_required is not None or expires_at is not None:
        raise InvalidPosting("wagering and expiry are terms of a bonus credit only; leave them empty")
    if not Player.objects.filter(pk=player_id).exists():
        raise UnknownPlayer(f"there is no player with id {player_id}")
    if minor > 0:
        refuse_under_protection(player_id, at, AdjustmentRefused)
    _refuse_repetition(player_id, unit, currency, minor, reason, maker, at)
    alone = _posted_alone(player_id, unit, currency, maker, at)
    needs_second = from_minor(abs(minor) + alone, money_unit(unit, currency)) >= config.ADJUSTMENT_SECOND_FROM_AMOUNT
    if needs_second and not _someone_else_may_approve(maker):
        raise AdjustmentRefused(
            f"{shown(abs(minor), unit, currency)} needs a second person, but nobody else may approve adjustments; "
            "give someone the permission 'Can approve or reject another person's adjustment' first"
        )
    request = AdjustmentRequest(
        player_id=player_id,
        unit=unit,
        currency=currency,
        amount=minor,
        wagering_required=wagering_required,
        expires_at=expires_at,
        reason=reason,
        needs_second_person=needs_second,
        maker_id=maker.pk,
        requested_at=at,
    )
    if minor < 0:
        _check_covered(request)
    return request


def _posted_alone(player_id: int, unit: str, currency: str, maker: User, at: datetime) -> int:
    """Minor units that the maker moved on the account without a second person in the time that counts together."""
    alone = AdjustmentRequest.objects.filter(
        player_id=player_id,
        unit=unit,
        currency=currency,
        maker_id=maker.pk,
        status=AdjustmentRequest.Status.POSTED,
        needs_second_person=False,
        requested_at__gt=at - _TOGETHER,
    )
    return int(alone.aggregate(minor=Sum(Abs("amount")))["minor"] or 0)


def _refuse_repetition(player_id: int, unit: str, currency: str, minor: int, reason: str, maker: User, at: datetime) -> None:
    """A form that is sent twice must not move twice."""
    same = AdjustmentRequest.objects.filter(
        player_id=player_id,
        unit=unit,
        currency=currency,
        amount=minor,
        reason=reason,
        maker_id=maker.pk,
        requested_at__gt=at - _SAME_CLICK,
    ).first()
    if same is not None:
        raise AdjustmentRefused(
            f"you asked for the very same adjustment a moment ago: it is adjustment {same.pk}; "
            "if you mean a second one, say so in the reason"
        )


def _refuse_behind_another_bonus(player_id: int) -> None:
    """A correction moves money when it is posted; behind an open bonus it would only join the queue."""
    if not is_free(player_id, Product.CASINO):
        raise AdjustmentRefused(
            "the player has an open or queued casino bonus, and the correction would have to wait behind it: "
            "let that one end first, or offer a bonus of a template, which queues"
        )


def _check_terms(wagering_required: Decimal | None, expires_at: datetime | None, at: datetime) -> None:
    if wagering_required is None or expires_at is None:
        raise InvalidPosting("a bonus credit needs its terms: the amount to wager and the time it expires")
    check_requirement(wagering_required)
    if require_utc(expires_at, "expires_at") <= at:
        raise InvalidPosting("expires_at must lie in the future")


def approve_adjustment(request_id: int, *, checker: User, at: datetime, note: str = "") -> AdjustmentRequest:
    """Post a waiting adjustment. The checker is never the maker, whatever their rights.

    Raises AdjustmentRefused; InsufficientFunds when the player has spent the money meanwhile (the request stays open).
    """
    with transaction.atomic():
        request = _open_request(request_id, checker, "approve")
        _post(request, checker=checker, note=note.strip(), at=require_utc(at))
    return request


def reject_adjustment(request_id: int, *, checker: User, at: datetime, note: str) -> AdjustmentRequest:
    """Turn a waiting adjustment down, with a note. Raises AdjustmentRefused."""
    if not note.strip():
        raise AdjustmentRefused("say why the adjustment is rejected")
    with transaction.atomic():
        request = _open_request(request_id, checker, "reject")
        request.status = AdjustmentRequest.Status.REJECTED
        _decide(request, checker, note.strip(), require_utc(at))
        audit.record("wallet.adjustment_rejected", request, at=at, actor=checker, after=_content(request), reason=request.decision_note)
    return request


def _open_request(request_id: int, checker: User, verb: str) -> AdjustmentRequest:
    """Lock the request, then check that this person may decide on it now."""
    request = AdjustmentRequest.objects.select_for_update().filter(pk=request_id).first()
    if request is None:
        raise AdjustmentRefused(f"there is no adjustment {request_id}")
    if request.status != AdjustmentRequest.Status.PENDING:
        raise AdjustmentRefused(f"adjustment {request_id} is {request.get_status_display().lower()} already")
    if not checker.has_perm(APPROVE_PERMISSION):
        raise AdjustmentRefused(
            "you may not decide on adjustments; ask for the permission 'Can approve or reject another person's adjustment'"
        )
    if request.maker_id == checker.pk:
        raise AdjustmentRefused(f"you asked for adjustment {request_id} yourself; another person must {verb} it")
    return request


def _post(request: AdjustmentRequest, *, checker: User | None, note: str, at: datetime) -> None:
    request.entry = _move(request, at)
    request.status = AdjustmentRequest.Status.POSTED
    _decide(request, checker, note, at)
    actor = checker if checker is not None else request.maker
    audit.record("wallet.adjustment_posted", request, at=at, actor=actor, after=_content(request), reason=note)


def _move(request: AdjustmentRequest, at: datetime) -> Entry:
    if request.amount > 0:
        refuse_under_protection(request.player_id, at, AdjustmentRefused)
    source = Source(ADJUSTMENT_SOURCE, str(request.pk))
    if request.unit == Unit.BONUS and request.amount > 0:
        assert request.wagering_required is not None and request.expires_at is not None  # noqa: PT018 - checked when requested
        if request.expires_at <= at:
            raise AdjustmentRefused(f"adjustment {request.pk} gives a bonus that has expired meanwhile; reject it and ask again")
        lock_bonus_of_players([request.player_id])
        _refuse_behind_another_bonus(request.player_id)
        add_bonus(
            player_id=request.player_id,
            currency=request.currency,
            amount=from_minor(request.amount, request.currency),
            wagering_required=request.wagering_required,
            expires_at=request.expires_at,
            source=source,
            at=at,
            reason=request.reason,
            actor=request.maker,
            house=House.MANUAL,
        )
        return Entry.objects.get(source_ref=source.ref, source_type=source.type, source_sub=source.sub)
    posting = ledger.Posting(
        request.player_id, request.unit, request.currency, request.amount, House.MANUAL, source, at, request.reason, request.maker_id
    )
    return take(posting) if request.amount < 0 else credit(posting)


def _decide(request: AdjustmentRequest, checker: User | None, note: str, at: datetime) -> None:
    request.checker_id = None if checker is None else checker.pk
    request.decided_at = at
    request.decision_note = note[:500]
    request.save(update_fields=["status", "checker", "decided_at", "decision_note", "entry"])


def _check_covered(request: AdjustmentRequest) -> None:
    balance = (
        Account.objects.filter(player_id=request.player_id, unit=request.unit, currency=request.currency)
        .values_list("balance", flat=True)
        .first()
        or 0
    )
    if balance < -request.amount:
        raise InsufficientFunds(
            f"the player has {shown(balance, request.unit, request.currency)}, "
            f"which does not cover {shown(-request.amount, request.unit, request.currency)}"
        )


def _someone_else_may_approve(maker: User) -> bool:
    users = get_user_model()._default_manager
    backend = "django.contrib.auth.backends.ModelBackend"
    return bool(users.with_perm(APPROVE_PERMISSION, backend=backend).filter(is_active=True).exclude(pk=maker.pk).exists())


def _content(request: AdjustmentRequest) -> dict[str, str | int | None]:
    return {
        "player": request.player_id,
        "unit": request.unit,
        "currency": request.currency,
        "amount": str(from_minor(request.amount, money_unit(request.unit, request.currency))),
        "status": request.status,
        "entry": request.entry_id,
    }
