"""Credits of points: each makes a lot. What must wait becomes a pending lot without an entry, which is no part of the balance."""

from dataclasses import replace
from datetime import datetime

from django.db import IntegrityError, connection, transaction

from wallet import ledger
from wallet.errors import IdempotencyConflict, InvalidPosting, UnknownPlayer, WalletError
from wallet.locks import lock_points_account
from wallet.lots import pending_until
from wallet.models import Account, Entry, Lot
from wallet.values import Source, shown

from . import policies
from .movements import Credited, pay_debts

_ATTEMPTS = 4


def credit(posting: ledger.Posting, *, restores_id: int | None = None) -> Entry:
    """Post a credit of points that can be used at once, with its lot; a debt of the player is paid from it in the same transaction.

    Raises what `ledger.post` raises; IdempotencyConflict also when the source stands for points that wait or were cancelled.
    """
    made = _credit(posting, may_wait=False, restores_id=restores_id)
    if isinstance(made, Lot):
        raise IdempotencyConflict(f"source {posting.source} stands for points that wait or were cancelled, lot {made.pk}; use a new source")
    return made


def credit_or_keep(posting: ledger.Posting) -> Entry | Lot:
    """Post a credit, or keep it as a pending lot where the unit's policy says that such points wait. Raises as `credit`."""
    return _credit(posting, may_wait=posting.house in policies.WAITING_HOUSES, restores_id=None)


def _credit(posting: ledger.Posting, *, may_wait: bool, restores_id: int | None) -> Entry | Lot:
    for _ in range(_ATTEMPTS):
        policy = policies.remembered(posting.unit)
        if may_wait and policy.pending_hours:
            if policies.current(posting.unit) != policy:
                continue
            return add_pending(posting, pending_until(policy, posting.at))
        lot = policies.new_lot(policy, posting.at, restores_id=restores_id)
        try:
            return ledger.post(replace(posting, lot=lot))[0]
        except ledger.PolicyChanged:
            policies.forget()
        except ledger.PlayerOwes:
            if (entry := _credit_and_pay(posting, replace(lot, may_owe=True))) is not None:
                return entry
        except ledger.LotKnown:
            if (known := find_lot(posting.source)) is not None:
                return _same_lot(known, posting)
    raise WalletError(f"the points policy of {posting.unit} changed too often; try again")


def _credit_and_pay(posting: ledger.Posting, lot: ledger.NewLot) -> Entry | None:
    """The credit of a player who owes points, and the payment. None when the policy has changed meanwhile."""
    with transaction.atomic():
        lock_points_account(posting.player_id, posting.unit)
        try:
            entry, created = ledger.post(replace(posting, lot=lot))
        except ledger.PolicyChanged:
            policies.forget()
            return None
        if created:
            made = Lot.objects.values_list("pk", flat=True).get(entry_id=entry.pk)
            with connection.cursor() as cursor:
                pay_debts(cursor, [Credited(made, entry.pk, entry.amount)], at=posting.at)
    return entry


def add_pending(posting: ledger.Posting, available_at: datetime | None) -> Entry | Lot:
    """Keep points for the player that become usable at `available_at`, or at the event that releases them (None). No entry, no balance.

    The same source and content again returns the first lot, or its entry when it is active by now. Raises InvalidPosting,
    IdempotencyConflict, UnknownPlayer.
    """
    if available_at is not None and available_at <= posting.at:
        raise InvalidPosting(f"pending_until {available_at:%Y-%m-%d %H:%M} UTC must lie after the posting; leave it out for points of now")
    if (entry := ledger.find(posting.source)) is not None:
        return _same_entry(entry, posting)
    ledger.refuse_source_of_grant(posting.source)
    account = _account(posting)
    source = posting.source
    try:
        with transaction.atomic():
            return Lot.objects.create(
                account=account,
                player_id=posting.player_id,
                qty=posting.amount,
                remaining=posting.amount,
                status=Lot.Status.PENDING,
                earned_at=posting.at,
                available_at=available_at,
                house=posting.house,
                source_type=source.type,
                source_ref=source.ref,
                source_sub=source.sub,
            )
    except IntegrityError:
        lot = find_lot(source)
        if lot is None:
            raise
    return _same_lot(lot, posting)


def find_lot(source: Source) -> Lot | None:
    """The lot that this source made."""
    found = Lot.objects.select_related("account", "entry")
    return found.filter(source_ref=source.ref, source_type=source.type, source_sub=source.sub).first()


def _account(posting: ledger.Posting) -> Account:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO wallet_account (player_id, unit, currency, balance, version, earned_total, owed) "
            "SELECT id, %s, '', 0, 0, 0, 0 FROM players_player WHERE id = %s ON CONFLICT (player_id, unit, currency) DO NOTHING",
            [posting.unit, posting.player_id],
        )
    account = Account.objects.filter(player_id=posting.player_id, unit=posting.unit).first()
    if account is None:
        raise UnknownPlayer(f"there is no player with id {posting.player_id}")
    return account


def _same_entry(entry: Entry, posting: ledger.Posting) -> Entry:
    account = entry.account
    if (account.player_id, account.unit, entry.amount, entry.house) != (posting.player_id, posting.unit, posting.amount, posting.house):
        raise IdempotencyConflict(
            f"source {posting.source} was already posted as entry {entry.pk}: {shown(entry.amount, account.unit, account.currency)} "
            f"({entry.house}) for player {account.player_id}. Use a new source for a new posting."
        )
    return entry


def _same_lot(lot: Lot, posting: ledger.Posting) -> Entry | Lot:
    kept = (lot.player_id, lot.account.unit, lot.qty, lot.house)
    if kept != (posting.player_id, posting.unit, posting.amount, posting.house):
        raise IdempotencyConflict(
            f"source {posting.source} already made lot {lot.pk}: {shown(lot.qty, lot.account.unit, '')} ({lot.house}) for player "
            f"{lot.player_id}. Use a new source for a new posting."
        )
    return lot if lot.entry is None else lot.entry
