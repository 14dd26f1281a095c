"""What players give up: offers they decline, bonuses they surrender, and what a withdrawal costs them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.contrib.auth.models import User
from django.db import transaction

from loyalty_site.common import audit
from loyalty_site.common.clock import require_utc
from loyalty_site.common.models import AuditEvent
from loyalty_site.common.money import from_minor
from players.models import Player

from ..bonus.states import FINAL, Status
from ..errors import GrantRefused, IdempotencyConflict, InvalidPosting, UnknownPlayer
from ..locks import lock_bonus_of_players
from ..models import OPEN_STATUSES, BonusGrant, Unit
from ..values import check_account_kind, positive_minor
from . import queue
from .closing import Closing
from .queue import ACT_PERMISSION, locked_grant, require_permission

WITHDRAWAL_ACTION = "wallet.withdrawal_noted"
_WITHDRAWAL = "wallet.withdrawal"


@dataclass(frozen=True, slots=True)
class GrantLoss:
    """What a withdrawal takes of one grant, units of the currency."""

    grant_id: int
    bonus: Decimal
    locked: Decimal
    wagering_left: Decimal


@dataclass(frozen=True, slots=True)
class ForfeitPreview:
    """What a withdrawal pays and what it costs. Cash is always paid in full; bonus money under terms may be lost by it."""

    cash_paid: Decimal
    lost: tuple[GrantLoss, ...] = ()

    @property
    def bonus_lost(self) -> Decimal:
        return sum((loss.bonus for loss in self.lost), Decimal(0))

    @property
    def locked_lost(self) -> Decimal:
        return sum((loss.locked for loss in self.lost), Decimal(0))


def decline_grant(grant_id: int, *, at: datetime, reason: str, actor: User | None = None) -> BonusGrant:
    """Turn an offer down. Raises GrantRefused when it is no offer any more."""
    return _give_up(grant_id, "declined", (Status.OFFERED,), at, reason, actor)


def surrender_grant(grant_id: int, *, at: datetime, reason: str, actor: User | None = None) -> BonusGrant:
    """Give a bonus up, offered, queued or open: what is left of it is forfeited, and the next one in the queue begins.

    Raises GrantRefused: ended already, no reason, or no permission.
    """
    return _give_up(grant_id, "surrendered", tuple(status for status in Status if status not in FINAL), at, reason, actor)


def _give_up(grant_id: int, verb: str, allowed: Sequence[Status], at: datetime, reason: str, actor: User | None) -> BonusGrant:
    require_permission(actor, ACT_PERMISSION)
    at = require_utc(at)
    if not (reason := reason.strip()) or len(reason) > 250:
        raise GrantRefused("give a reason of at most 250 characters: why the bonus is given up")
    with transaction.atomic():
        grant = locked_grant(grant_id)
        if grant.status not in allowed:
            raise GrantRefused(f"bonus grant {grant_id} is {grant.get_status_display().lower()}; it cannot be {verb}")
        before = grant.status
        closing = Closing(Status.FORFEITED, f"{verb}: {reason}", {"by": "player" if actor is None else "staff"})
        queue.end([grant_id], closing, at=at, actor_id=None if actor is None else actor.pk)
        queue.record(f"wallet.grant_{verb}", grant, before, at=at, actor=actor, reason=reason)
    grant.refresh_from_db()
    return grant


def forfeit_preview(player_id: int, currency: str, at: datetime, amount: Decimal = Decimal(0)) -> ForfeitPreview:
    """What a withdrawal of `amount` at `at` would cost the player, bonus by bonus. Writes nothing. Raises InvalidPosting."""
    check_account_kind(Unit.BONUS, currency)
    return ForfeitPreview(amount, tuple(_loss(grant) for grant in _forfeited_by_withdrawal(player_id, currency, require_utc(at))))


def withdraw(*, player_id: int, currency: str, amount: Decimal, withdrawal_ref: str, at: datetime) -> ForfeitPreview:
    """Note a withdrawal of cash: the open bonuses of the currency whose terms say so are forfeited. The cash itself is the platform's and
    is never held back. One effect per `withdrawal_ref`: told again it returns the first answer; with another amount it is refused.

    A bonus that began after `at` is not touched by a withdrawal reported late. Raises InvalidPosting, UnknownPlayer, IdempotencyConflict.
    """
    at = require_utc(at)
    if not withdrawal_ref or len(withdrawal_ref) > 80:
        raise InvalidPosting("withdrawal_ref must have 1 to 80 characters")
    minor = positive_minor(amount, Unit.BONUS, currency)
    content = {"currency": currency, "amount": str(minor)}
    subject = (_WITHDRAWAL, f"{player_id}:{withdrawal_ref}"[:64])
    with transaction.atomic():
        # one withdrawal of a player at a time, also of one without any bonus account
        if Player.objects.select_for_update(no_key=True).only("id").filter(pk=player_id).first() is None:
            raise UnknownPlayer(f"there is no player with id {player_id}")
        lock_bonus_of_players([player_id])
        noted = AuditEvent.objects.filter(
            subject_type=subject[0], subject_id=subject[1], action=WITHDRAWAL_ACTION, after__ref=withdrawal_ref
        ).first()
        if noted is not None:
            return _repeat(noted, content, withdrawal_ref, amount)
        grants = _forfeited_by_withdrawal(player_id, currency, at)
        preview = ForfeitPreview(amount, tuple(_loss(grant) for grant in grants))
        closing = Closing(Status.FORFEITED, f"forfeited by withdrawal {withdrawal_ref}", {"withdrawal": withdrawal_ref})
        queue.end([grant.pk for grant in grants], closing, at=at)
        lost = [[loss.grant_id, str(loss.bonus), str(loss.locked), str(loss.wagering_left)] for loss in preview.lost]
        audit.record(WITHDRAWAL_ACTION, subject, at=at, after={**content, "ref": withdrawal_ref, "lost": lost})
    return preview


def _repeat(noted: AuditEvent, asked: dict[str, str], ref: str, amount: Decimal) -> ForfeitPreview:
    if {name: noted.after[name] for name in asked} != asked:
        raise IdempotencyConflict(
            f"withdrawal {ref} was told before with {noted.after['amount']} minor units of {noted.after['currency']}; "
            "use a new withdrawal_ref for another withdrawal"
        )
    lost = (GrantLoss(int(one[0]), Decimal(one[1]), Decimal(one[2]), Decimal(one[3])) for one in noted.after["lost"])
    return ForfeitPreview(amount, tuple(lost))


def _forfeited_by_withdrawal(player_id: int, currency: str, at: datetime) -> list[BonusGrant]:
    found = BonusGrant.objects.filter(player_id=player_id, currency=currency, status__in=OPEN_STATUSES, activated_at__lte=at)
    return [grant for grant in found.order_by("expires_at", "id") if grant.terms.get("forfeit_on_withdrawal", True)]


def _loss(grant: BonusGrant) -> GrantLoss:
    return GrantLoss(
        grant.pk,
        from_minor(grant.balance, grant.currency),
        from_minor(grant.locked, grant.currency),
        grant.wagering_required - grant.wagered,
    )
