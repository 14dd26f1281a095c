"""Bonus money that leaves or returns outside of play: spending, corrections, and taking such entries back."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from .. import ledger
from ..bonus.states import Status
from ..errors import CannotReverse, InsufficientFunds
from ..locks import lock_bonus_of_players
from ..models import OPEN_STATUSES, BonusGrant, Entry, GrantMovement, House, Pocket, Unit
from ..values import shown
from . import queue
from .closing import EXPIRED, Closing

# what play moved is taken back by a rollback of the activity, so that the round and its wagering follow
_OF_PLAY = (House.STAKE, House.WIN, House.DEBT)


def take_from_grants(posting: ledger.Posting) -> Entry:
    """Post a debit of bonus money, shared out over the open grants of the currency, earliest expiry first.

    Winnings that are locked until the wagering is complete cannot be spent. What has expired but was not swept yet is closed first, so
    nobody spends it. Raises InsufficientFunds.
    """
    with transaction.atomic():
        lock_bonus_of_players([posting.player_id])
        if ledger.find(posting.source) is None:
            _expire_due(posting.player_id, posting.at)
            grants = _spendable(posting.player_id, posting.currency, posting.at)
            covered = sum(grant.balance for grant in grants)
            if grants and covered < -posting.amount:
                raise InsufficientFunds(
                    f"the player can spend {shown(covered, Unit.BONUS, posting.currency)}, "
                    f"which does not cover {shown(-posting.amount, Unit.BONUS, posting.currency)}"
                )
        else:
            grants = []
        entry, created = ledger.post(posting)
        if created:
            _share_out(entry, grants)
    return entry


def _expire_due(player_id: int, at: datetime) -> None:
    due = BonusGrant.objects.filter(player_id=player_id, status__in=OPEN_STATUSES, expires_at__lte=at)
    queue.end(list(due.values_list("pk", flat=True)), EXPIRED, at=at, only_due=True)


def _spendable(player_id: int, currency: str, at: datetime) -> list[BonusGrant]:
    found = BonusGrant.objects.filter(player_id=player_id, currency=currency, status__in=OPEN_STATUSES, expires_at__gt=at)
    return list(found.order_by("expires_at", "id"))


def _share_out(entry: Entry, grants: Sequence[BonusGrant]) -> None:
    """Distribute a debit over the grants in their order."""
    rest = -entry.amount
    for grant in grants:
        part = min(rest, grant.balance)
        if part:
            GrantMovement.objects.create(grant=grant, entry=entry, amount=-part)
            grant.balance -= part
            grant.save(update_fields=["balance"])
            rest -= part
    if rest:
        raise InsufficientFunds(f"{shown(rest, Unit.BONUS, entry.account.currency)} of the balance cannot be spent now")


def check_reversible(original: Entry) -> None:
    """Every grant that the entry touched must be open, and still hold what is to be taken from it. Raises CannotReverse,
    InsufficientFunds."""
    if original.house in _OF_PLAY:
        raise CannotReverse(f"entry {original.pk} belongs to a bet or a win; report a rollback of that activity instead")
    for movement in original.movements.select_related("grant"):
        grant = movement.grant
        if grant.status not in OPEN_STATUSES:
            raise CannotReverse(f"bonus grant {grant.pk} is {grant.get_status_display().lower()}; its money is no longer in the wallet")
        if getattr(grant, movement.pocket) < movement.amount:
            raise InsufficientFunds(
                f"bonus grant {grant.pk} has {shown(getattr(grant, movement.pocket), Unit.BONUS, grant.currency)} left "
                f"of {shown(movement.amount, Unit.BONUS, grant.currency)}"
            )


def return_to_grants(original: Entry, entry: Entry, actor_id: int | None) -> None:
    """Let the reversal `entry` move on the same pockets of the same grants. The reversal of a grant's credit ends the grant."""
    for movement in original.movements.select_related("grant").order_by("grant_id", "pocket"):
        grant = movement.grant
        GrantMovement.objects.create(grant=grant, entry=entry, pocket=movement.pocket, amount=-movement.amount)
        pocket = Pocket(movement.pocket).value
        setattr(grant, pocket, getattr(grant, pocket) - movement.amount)
        grant.save(update_fields=[pocket])
        if movement.amount > 0:  # the entry was the grant's credit
            closing = Closing(Status.REVERSED, f"credit reversed by {entry.source_type} {entry.source_ref}", {"reversal": str(entry.pk)})
            queue.end([grant.pk], closing, at=entry.occurred_at, actor_id=actor_id)
