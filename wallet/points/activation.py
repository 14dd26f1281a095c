"""Points that wait: they become usable at their time or by an event, or are cancelled when their cause is taken back."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from loyalty_site.common import audit
from loyalty_site.common.clock import require_utc
from loyalty_site.common.sql import id_array
from wallet.errors import CannotReverse, InvalidPosting
from wallet.locks import lock_account, lock_accounts_of_lots
from wallet.models import EARNING_HOUSES, Entry, Lot
from wallet.values import Source, shown

from . import policies
from .credits import find_lot
from .movements import Credited, pay_debts

_DUE = """
SELECT id FROM wallet_lot
WHERE status = 'PENDING' AND available_at <= %(at)s AND player_id >= %(lower)s AND player_id < %(upper)s
ORDER BY available_at, id LIMIT %(limit)s
"""
# the clock of points runs from when they become usable: at their time, or now for those that an event releases
_DAYS = """
SELECT account.unit, (least(lot.available_at, %(at)s) AT TIME ZONE policy.zone)::date
FROM wallet_lot AS lot JOIN wallet_account AS account ON account.id = lot.account_id
JOIN wallet_pointspolicy AS policy ON policy.unit = account.unit
WHERE lot.id = ANY(%(ids)s::bigint[]) AND lot.status = 'PENDING' GROUP BY 1, 2
"""
_ACTIVATE = f"""
WITH due AS MATERIALIZED (
    SELECT lot.id AS lot_id, lot.account_id, lot.qty, lot.house, lot.source_type, lot.source_ref, lot.source_sub,
           least(lot.available_at, %(at)s) AS usable_at, ends.at AS expires_at, nextval('wallet_entry_id_seq') AS entry_id,
           account.version + row_number() OVER in_order AS seq, account.balance + sum(lot.qty) OVER in_order AS balance_after
    FROM wallet_lot AS lot JOIN wallet_account AS account ON account.id = lot.account_id
    JOIN wallet_pointspolicy AS policy ON policy.unit = account.unit
    JOIN unnest(%(units)s::text[], %(days)s::date[], %(ends)s::timestamptz[]) AS ends(unit, day, at)
      ON ends.unit = account.unit AND ends.day = (least(lot.available_at, %(at)s) AT TIME ZONE policy.zone)::date
    WHERE lot.id = ANY(%(ids)s::bigint[]) AND lot.status = 'PENDING'
    WINDOW in_order AS (PARTITION BY lot.account_id ORDER BY lot.available_at, lot.id ROWS UNBOUNDED PRECEDING)
), posted AS (
    INSERT INTO wallet_entry (id, account_id, house, amount, seq, balance_after, source_type, source_ref, source_sub, reason, occurred_at)
    SELECT entry_id, account_id, house, qty, seq, balance_after, source_type, source_ref, source_sub, 'points became usable', %(at)s
    FROM due ORDER BY entry_id
), raised AS (
    UPDATE wallet_account AS account
    SET balance = account.balance + sums.amount, version = account.version + sums.entries, earned_total = account.earned_total + sums.earned
    FROM (
        SELECT account_id, sum(qty) AS amount, count(*) AS entries,
               coalesce(sum(qty) FILTER (WHERE house IN ({", ".join(f"'{house}'" for house in EARNING_HOUSES)})), 0) AS earned
        FROM due GROUP BY account_id
    ) AS sums WHERE account.id = sums.account_id
), opened AS (
    UPDATE wallet_lot AS lot SET status = 'ACTIVE', entry_id = due.entry_id, available_at = due.usable_at, expires_at = due.expires_at
    FROM due WHERE lot.id = due.lot_id
)
SELECT lot_id, entry_id, qty FROM due
"""


def activate_lots(*, at: datetime, lower_id: int, upper_id: int, chunk_size: int = 5000) -> int:
    """Post the waiting points of players `lower_id <= id < upper_id` whose time has come at `at`. Returns how many lots became active.

    Chunks of `chunk_size` lots are transactions of their own; safe to run twice. A debt of the player is paid from them.
    """
    activated = 0
    parameters: dict[str, Any] = {"at": require_utc(at), "lower": lower_id, "upper": upper_id, "limit": chunk_size}
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_DUE, parameters)
            due = [row[0] for row in cursor.fetchall()]
            if not due:
                return activated
            lock_accounts_of_lots(due)
            activated += len(_activate(cursor, due, at))


def release_pending(*, source: Source, at: datetime) -> Entry:
    """Make the points usable that this source keeps waiting: the event they waited for has come. Again returns the first entry.

    Raises InvalidPosting (no such points), CannotReverse (they were cancelled).
    """
    at = require_utc(at)
    with transaction.atomic():
        lot = _locked(source)
        if lot.status == Lot.Status.CANCELLED and lot.entry_id is None:
            raise CannotReverse(f"the points of source {source} were cancelled; make a new credit instead")
        if lot.entry_id is None:
            with connection.cursor() as cursor:
                _activate(cursor, [lot.pk], at)
            lot.refresh_from_db()
    entry = lot.entry
    assert entry is not None
    return entry


def cancel_pending(*, source: Source, at: datetime, reason: str, actor: User | None = None) -> Lot:
    """Cancel points that wait, because their cause was taken back. Again returns the cancelled lot.

    Raises InvalidPosting (no reason, no such points), CannotReverse (they are usable already: reverse their entry).
    """
    at = require_utc(at)
    if not reason.strip():
        raise InvalidPosting("reason is empty; say why the points are cancelled")
    with transaction.atomic():
        lot = _locked(source)
        if lot.entry_id is not None:
            raise CannotReverse(f"the points of source {source} are usable already; reverse their entry {lot.entry_id} instead")
        if lot.status == Lot.Status.PENDING:
            lot.status, lot.remaining, lot.closed_at = Lot.Status.CANCELLED, 0, at
            lot.save(update_fields=["status", "remaining", "closed_at"])
            amount = shown(lot.qty, lot.account.unit, "")
            audit.record("wallet.lot_cancelled", lot, at=at, actor=actor, before={"pending": amount}, after={"pending": "0"}, reason=reason)
    return lot


def _locked(source: Source) -> Lot:
    """The lot of a source as it is under its account's lock."""
    found = find_lot(source)
    if found is None:
        raise InvalidPosting(f"no points wait under source {source}")
    lock_account(found.account_id)
    return Lot.objects.select_related("account", "entry").get(pk=found.pk)


def _activate(cursor: CursorWrapper, lot_ids: Iterable[int], at: datetime) -> list[Credited]:
    """Post the pending ones of the lots, whose accounts are locked."""
    known = policies.read_policies()
    parameters: dict[str, Any] = {"ids": id_array(lot_ids), "at": at}
    cursor.execute(_DAYS, parameters)
    units, days, ends = [], [], []
    for unit, day in cursor.fetchall():
        units.append(unit)
        days.append(day)
        ends.append(policies.ends_of_days(known[unit], [day])[1][0])
    if not units:
        return []
    cursor.execute(_ACTIVATE, {**parameters, "units": units, "days": days, "ends": ends})
    credited = [Credited(*row) for row in cursor.fetchall()]
    pay_debts(cursor, credited, at=at)
    return credited
