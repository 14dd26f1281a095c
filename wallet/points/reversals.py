"""Taking entries of points back: a spend returns to the lots it came from, a credit is taken from its lot, further lots, and as a debt."""

from dataclasses import dataclass, replace
from datetime import datetime

from django.db import connection
from django.db.models import Sum

from wallet import ledger
from wallet.errors import CannotReverse
from wallet.locks import lock_account
from wallet.lots import INACTIVITY, Held, Part, TakeBack, expires_at, restore_plan, take_back_plan
from wallet.models import Account, Entry, House, Lot, LotUse, WalletFlag
from wallet.values import Source, shown

from . import policies
from .expiry import expire_account
from .inactivity import last_activity
from .movements import LOT_SOURCE, Credited, active_lots, lot_of, pay_debts, use_lots

_ENTRY_SOURCE = "wallet.entry"  # what the wallet posts beside a reversal, keyed by the entry that is taken back


@dataclass(frozen=True, slots=True)
class _Taken:
    """A lot that the reversed spend took from."""

    held: Held
    amount: int


def reverse_points(original: Entry, posting: ledger.Posting) -> tuple[Entry, bool]:
    """Post the reversal of an entry of points, inside the caller's transaction. Returns it, and whether this call made it.

    Raises CannotReverse for what the wallet posted itself (expiry, debts, reinstatement), and what `ledger.post` raises.
    """
    if original.source_type in (LOT_SOURCE, _ENTRY_SOURCE):
        raise CannotReverse(
            f"entry {original.pk} was made by the wallet itself ({original.get_house_display().lower()}) and cannot be taken back; "
            "expired points are given back by reinstating their lot"
        )
    account = lock_account(original.account_id)
    if ledger.find(posting.source) is not None:
        return ledger.post(posting)  # the same again, or a conflict: nothing moves
    if Entry.objects.filter(reversal_of=original).exists():
        raise CannotReverse(f"entry {original.pk} is already reversed by another source")
    if original.amount > 0:
        return _take_credit_back(account, original, posting), True
    return _return_spend(account, original, posting), True


def _take_credit_back(account: Account, original: Entry, posting: ledger.Posting) -> Entry:
    lot = lot_of(original)
    if lot is None:
        raise AssertionError(f"entry {original.pk} credited points without a lot; run reconcile")
    expire_account(account, posting.at)
    lot.refresh_from_db()
    plan = _take_back(account, lot, original.amount)
    if plan.unexpired:
        _beside(original, posting, plan.unexpired, House.EXPIRY, lot, "unexpire", "had run out; the credit itself is taken back")
    if plan.debt:
        _beside(original, posting, plan.debt, House.DEBT, lot, "debt", "lent: the points were used already")
    entry, _ = ledger.post(posting)
    use_lots(entry.pk, [Part(lot.pk, plan.own)] if plan.own else [], sign=-1, at=posting.at, emptied=Lot.Status.CANCELLED)
    use_lots(entry.pk, plan.others, sign=-1, at=posting.at)
    if not plan.own:  # nothing of it was left and others paid
        Lot.objects.filter(pk=lot.pk).update(status=Lot.Status.CANCELLED)
    if plan.debt:
        WalletFlag.objects.create(
            player_id=account.player_id,
            kind=WalletFlag.Kind.POINTS_DEBT,
            source_ref=str(entry.pk),
            detail={"entry": entry.pk, "reversed": original.pk, "unit": account.unit, "owed": shown(plan.debt, account.unit, "")},
            occurred_at=posting.at,
        )
    return entry


def _take_back(account: Account, lot: Lot, amount: int) -> TakeBack:
    restoring = Lot.objects.filter(restores=lot)
    expired = expired_of(lot)
    others = [held for held in active_lots(account.pk) if held.lot_id != lot.pk]
    own = Held(lot.pk, lot.remaining, lot.earned_at, lot.expires_at)
    return take_back_plan(own, others, amount=amount, expired=expired, restoring=list(restoring.values_list("pk", flat=True)))


def expired_of(lot: Lot) -> int:
    """Minor units that ran out of the lot and were not given back since."""
    ran_out = LotUse.objects.filter(lot=lot, entry__house=House.EXPIRY).aggregate(sum=Sum("amount"))["sum"] or 0
    given_back = Lot.objects.filter(restores=lot, house=House.REINSTATED).aggregate(sum=Sum("qty"))["sum"] or 0
    return max(0, -int(ran_out) - int(given_back))


def _beside(original: Entry, posting: ledger.Posting, amount: int, house: str, lot: Lot, sub: str, reason: str) -> None:
    """A credit that goes before the reversal, on the same lot."""
    source = Source(_ENTRY_SOURCE, str(original.pk), sub)
    before = replace(posting, amount=amount, house=str(house), source=source, reason=reason, reversal_of_id=None)
    entry, _ = ledger.post(before)
    use_lots(entry.pk, [Part(lot.pk, amount)], sign=1, at=posting.at)


def _return_spend(account: Account, original: Entry, posting: ledger.Posting) -> Entry:
    policy = policies.current(account.unit)
    plan = restore_plan([(one.held, one.amount) for one in _taken(account, original, posting.at)], policy, posting.at)
    entry, _ = ledger.post(posting)
    use_lots(entry.pk, [*plan.back, *plan.lost], sign=1, at=posting.at)
    made = None
    if plan.grace:
        made = Lot.objects.create(
            account=account,
            player_id=account.player_id,
            entry=entry,
            qty=plan.grace,
            remaining=plan.grace,
            status=Lot.Status.ACTIVE,
            earned_at=posting.at,
            available_at=posting.at,
            expires_at=plan.grace_until,
            restores_id=plan.grace_of[0],
            house=posting.house,
            source_type=posting.source.type,
            source_ref=posting.source.ref,
            source_sub=posting.source.sub,
        )
    for part in plan.lost:
        source = Source(LOT_SOURCE, str(part.lot_id), f"expire:{entry.pk}")
        lost, _ = ledger.post(
            replace(
                posting, amount=-part.amount, house=str(House.EXPIRY), source=source, reason="had run out meanwhile", reversal_of_id=None
            )
        )
        use_lots(lost.pk, [part], sign=-1, at=posting.at, emptied=Lot.Status.EXPIRED)
    if plan.pays:
        with connection.cursor() as cursor:
            pay_debts(cursor, [Credited(lot_id or _made(made), entry.pk, amount) for lot_id, amount in plan.pays], at=posting.at)
    return entry


def _made(lot: Lot | None) -> int:
    assert lot is not None  # a plan that pays from the new lot has one
    return int(lot.pk)


def _taken(account: Account, original: Entry, at: datetime) -> list[_Taken]:
    """What the spend took from which lot, with the ends as they are right now: later activity may have moved them on."""
    policy = policies.current(account.unit)
    last = None
    if policy.expiry == INACTIVITY:
        with connection.cursor() as cursor:
            last = last_activity(cursor, unit=account.unit, account_id=account.pk, player_id=account.player_id, at=at)
    uses = list(LotUse.objects.filter(entry=original).select_related("lot").order_by("id"))
    credits = [use.lot.entry_id for use in uses]
    reversed_ids = set(Entry.objects.filter(reversal_of_id__in=credits).values_list("reversal_of_id", flat=True))
    taken = []
    for use in uses:
        lot = use.lot
        end = lot.expires_at
        if policy.expiry == INACTIVITY and end is not None and last is not None:
            moved = expires_at(policy, max(last, lot.available_at or lot.earned_at))
            if moved is not None and moved > end:
                end = moved
                Lot.objects.filter(pk=lot.pk, status__in=(Lot.Status.SPENT, Lot.Status.ACTIVE)).update(expires_at=moved)
        taken.append(_Taken(Held(lot.pk, lot.remaining, lot.earned_at, end, lot.entry_id in reversed_ids), -use.amount))
    return taken
