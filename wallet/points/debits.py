"""Debits of points: what ran out goes first, then the lots that end first give. The pairs of entry and lot are stored."""

from datetime import datetime

from django.db import transaction

from wallet import ledger
from wallet.locks import lock_points_account
from wallet.lots import NotCovered, spend_plan
from wallet.models import Entry

from .expiry import expire_account
from .movements import active_lots, use_lots


def take_points(posting: ledger.Posting) -> Entry:
    """Post a debit of points and pair it with the lots it takes from, earliest end first.

    What has ended but was not swept yet is expired first, so that nobody spends it; a refused debit takes that back with it.
    Raises what `ledger.post` raises.
    """
    with transaction.atomic():
        account = lock_points_account(posting.player_id, posting.unit)
        if account is not None:
            expire_account(account, posting.at)
        entry, created = ledger.post(posting)
        if created:
            _pair(entry, -entry.amount, posting.at)
    return entry


def _pair(entry: Entry, amount: int, at: datetime) -> None:
    try:
        parts = spend_plan(active_lots(entry.account_id, until_sum=amount), amount)
    except NotCovered as gap:
        raise AssertionError(f"account {entry.account_id}: {gap}; run reconcile") from gap
    use_lots(entry.pk, parts, sign=-1, at=at)
