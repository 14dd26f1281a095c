"""Giving expired points back: by staff, with a reason, within the policy's days, once."""

from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction

from loyalty_site.common import audit
from loyalty_site.common.clock import require_utc
from wallet import ledger
from wallet.errors import CannotReinstate, InvalidPosting
from wallet.locks import lock_account
from wallet.models import Entry, House, Lot, PointsPolicy
from wallet.protection import refuse_under_protection
from wallet.values import Source, shown

from .credits import credit
from .movements import LOT_SOURCE
from .reversals import expired_of

REINSTATE_PERMISSION = "wallet.reinstate_lot"


def reinstate(lot_id: int, *, reason: str, actor: User, at: datetime) -> Lot:
    """Give back what ran out of an expired lot, as a new lot whose end the unit's policy reckons from now. Once for each lot.

    Raises CannotReinstate (no permission, not expired, too long ago, given back already, a protected player) and InvalidPosting (no
    reason).
    """
    at = require_utc(at)
    if not actor.has_perm(REINSTATE_PERMISSION):
        raise CannotReinstate("you may not give expired points back; ask for the permission 'Can give expired points back'")
    if not (reason := reason.strip()) or len(reason) > 500:
        raise InvalidPosting("give a reason of at most 500 characters: why the points are given back")
    with transaction.atomic():
        account_id = Lot.objects.filter(pk=lot_id).values_list("account_id", flat=True).first()
        if account_id is None:
            raise CannotReinstate(f"there is no lot {lot_id}")
        lock_account(account_id)
        lot = Lot.objects.select_related("account").get(pk=lot_id)
        amount = check_reinstatable(lot, at)
        entry = credit(
            ledger.Posting(
                player_id=lot.player_id,
                unit=lot.account.unit,
                currency="",
                amount=amount,
                house=str(House.REINSTATED),
                source=Source(LOT_SOURCE, str(lot.pk), "reinstate"),
                at=at,
                reason=reason,
                actor_id=actor.pk,
            ),
            restores_id=lot.pk,
        )
        made = Lot.objects.get(entry=entry)
        audit.record(
            "wallet.lot_reinstated",
            lot,
            at=at,
            actor=actor,
            before={"lot": lot.pk, "expired": shown(amount, lot.account.unit, "")},
            after={"lot": made.pk, "entry": entry.pk, "amount": shown(amount, lot.account.unit, "")},
            reason=reason,
        )
    return made


def check_reinstatable(lot: Lot, at: datetime) -> int:
    """Minor units that can be given back of a lot at `at`. Raises CannotReinstate, which says why not."""
    if lot.status != Lot.Status.EXPIRED or lot.closed_at is None:
        raise CannotReinstate(f"lot {lot.pk} is {lot.get_status_display().lower()}; only what has expired can be given back")
    if Entry.objects.filter(source_type=LOT_SOURCE, source_ref=str(lot.pk), source_sub="reinstate").exists():
        raise CannotReinstate(f"the points of lot {lot.pk} were given back already")
    days = PointsPolicy.objects.values_list("reinstate_days", flat=True).get(unit=lot.account.unit)
    if at > lot.closed_at + timedelta(days=days):
        raise CannotReinstate(
            f"lot {lot.pk} expired on {lot.closed_at:%Y-%m-%d}, more than {days} days ago; "
            f"the points policy of {lot.account.unit} sets how long expired points can be given back"
        )
    amount = expired_of(lot)
    if amount == 0:
        raise CannotReinstate(f"nothing of lot {lot.pk} ran out")
    refuse_under_protection(lot.player_id, at, CannotReinstate)
    return amount
