"""Taking back a bonus whose ground is gone: the deposit that triggered it was charged back, or the reward was revoked.

The credit is reversed in full. What the player has lost of it is lent first, so that the wallet shows a debt instead of a smaller
reversal; what the bonus has won besides is forfeited. A grant that has ended is final and stays as it is.
"""

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction

from loyalty_site.common import audit
from loyalty_site.common.clock import require_utc
from loyalty_site.common.models import AuditEvent
from players.models import Player

from .. import ledger
from ..bonus.states import FINAL, OPEN, Status
from ..errors import GrantRefused, InvalidPosting, UnknownPlayer
from ..locks import lock_bonus_of_players
from ..models import BonusGrant, Entry, GrantMovement, House, Unit, WalletFlag
from ..values import Source, shown
from . import queue
from .closing import Closing
from .queue import locked_grant

DEPOSIT_REVERSED_ACTION = "wallet.deposit_reversed"


def reverse_grant(grant_id: int, *, cause: str, source: Source, at: datetime, actor: User | None = None) -> BonusGrant:
    """End a grant as REVERSED. Offered and queued ones hold no money; of an open one the whole credit goes back to where it came from.

    A shortfall becomes a debt of the account (house code debt) and a flag. The same source again returns the grant as it is.
    Raises GrantRefused: there is no such grant, it has ended otherwise, or no cause.
    """
    at = require_utc(at)
    if not (cause := cause.strip()) or len(cause) > 300:
        raise GrantRefused("give a cause of at most 300 characters: why the bonus is taken back")
    with transaction.atomic():
        grant = locked_grant(grant_id)
        if grant.status == Status.REVERSED and grant.events.filter(detail__source=str(source)).exists():
            return grant
        if grant.status in FINAL:
            raise GrantRefused(f"bonus grant {grant_id} is {grant.get_status_display().lower()}; that is final")
        before = grant.status
        taken, lent = _take_credit_back(grant, cause, source, at, actor) if grant.status in OPEN else (0, 0)
        detail = {"source": str(source), "credit": str(taken), "lent": str(lent)}
        queue.end([grant_id], Closing(Status.REVERSED, cause, detail), at=at, actor_id=None if actor is None else actor.pk)
        if lent:
            _flag(grant, source, lent, at)
        audit.record(
            "wallet.grant_reversed",
            grant,
            at=at,
            actor=actor,
            before={"status": before},
            after={
                "status": Status.REVERSED,
                "credit": shown(taken, Unit.BONUS, grant.currency),
                "lent": shown(lent, Unit.BONUS, grant.currency),
            },
            reason=cause,
        )
    grant.refresh_from_db()
    return grant


def reverse_deposit(*, player_id: int, deposit_ref: str, at: datetime, source: Source) -> list[int]:
    """Take back every bonus that a deposit triggered and that has not ended, because the deposit was charged back or rolled back.

    It is remembered, so that the deposit triggers none afterwards either. Returns the ids of the grants that are reversed now. Told
    again it does nothing more. Raises InvalidPosting, UnknownPlayer.
    """
    if not deposit_ref or len(deposit_ref) > 80:
        raise InvalidPosting("deposit_ref must have 1 to 80 characters")
    with transaction.atomic():
        if not Player.objects.filter(pk=player_id).exists():
            raise UnknownPlayer(f"there is no player with id {player_id}")
        lock_bonus_of_players([player_id])
        found = BonusGrant.objects.filter(player_id=player_id, deposit_ref=deposit_ref).exclude(status__in=FINAL)
        ids = list(found.order_by("id").values_list("pk", flat=True))
        for grant_id in ids:
            reverse_grant(grant_id, cause=f"deposit {deposit_ref} was taken back", source=source, at=at)
        if not is_deposit_reversed(player_id, deposit_ref):
            after = {"ref": deposit_ref, "source": str(source), "grants": ids}
            audit.record(DEPOSIT_REVERSED_ACTION, _deposit(player_id, deposit_ref), at=at, after=after)
    return ids


def is_deposit_reversed(player_id: int, deposit_ref: str) -> bool:
    """Whether the platform has told that this deposit of the player was charged back or rolled back."""
    kind, name = _deposit(player_id, deposit_ref)
    told = AuditEvent.objects.filter(subject_type=kind, subject_id=name, action=DEPOSIT_REVERSED_ACTION)
    return told.filter(after__ref=deposit_ref).exists()


def _deposit(player_id: int, deposit_ref: str) -> tuple[str, str]:
    """The subject under which the audit trail keeps a deposit."""
    return "wallet.deposit", f"{player_id}:{deposit_ref}"[:64]


def _take_credit_back(grant: BonusGrant, cause: str, source: Source, at: datetime, actor: User | None) -> tuple[int, int]:
    """Reverse the entry that credited the grant; returns (taken, lent), minor units. Free spins were never credited: nothing."""
    credit = Entry.objects.filter(
        account_id=grant.account_id,
        source_type=grant.source_type,
        source_ref=grant.source_ref,
        source_sub=grant.source_sub,
        reversals__isnull=True,
    ).first()
    if credit is None:
        return 0, 0
    lent = max(0, credit.amount - grant.balance - grant.locked)
    actor_id = None if actor is None else actor.pk

    def post(amount: int, house: str, part: str, reversal_of: int | None) -> Entry:
        name = Source(source.type, source.ref, f"{source.sub}grant-{grant.pk}-{part}"[:64])
        posting = ledger.Posting(grant.player_id, Unit.BONUS, grant.currency, amount, house, name, at, cause, actor_id, reversal_of)
        return ledger.post(posting)[0]

    if lent:
        loan = post(lent, House.DEBT, "lent", None)
        GrantMovement.objects.create(grant=grant, entry=loan, amount=lent)
        grant.balance += lent
    reversal = post(-credit.amount, credit.house, "reverse", credit.pk)
    from_balance = min(grant.balance, credit.amount)
    from_locked = credit.amount - from_balance
    for pocket, part in (("balance", from_balance), ("locked", from_locked)):
        if part:
            GrantMovement.objects.create(grant=grant, entry=reversal, pocket=pocket, amount=-part)
    grant.balance -= from_balance
    grant.locked -= from_locked
    grant.save(update_fields=["balance", "locked"])
    return credit.amount, lent


def _flag(grant: BonusGrant, source: Source, lent: int, at: datetime) -> None:
    WalletFlag.objects.get_or_create(
        player_id=grant.player_id,
        kind=WalletFlag.Kind.BONUS_DEBT,
        source_ref=f"grant-{grant.pk}",
        defaults={"grant": grant, "detail": {"source": str(source), "amount": str(lent)}, "occurred_at": at},
    )
