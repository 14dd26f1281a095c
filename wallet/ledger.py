"""Posting: the only code that writes ledger entries one at a time. Private to the wallet; other layers call `wallet.services`.

A posting is ONE statement: a conditional UPDATE of the account (never below zero, never for a source seen before) whose result
feeds the INSERT of the entry. A source that a bonus grant has is the grant's own: it is posted before the grant is stored, or when its
turn comes. The account's row lock serialises postings of one account; different accounts never meet.
The unique source decides between two equal requests that race: the loser finds the winner's entry and returns it.

A credit of points makes its lot by the same statement. When the lot ends was reckoned by the caller from a points policy that it may
have read long ago, so the statement has the condition that this policy still stands.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import psycopg
from django.db import IntegrityError, connection, transaction

from .errors import CannotReverse, IdempotencyConflict, InsufficientFunds, UnknownPlayer, WalletError
from .models import EARNING_HOUSES, Account, BonusGrant, Entry, House
from .values import Source, account_label, shown

POST_SQL = """
WITH moved AS (
    UPDATE wallet_account
    SET balance = balance + %(amount)s::bigint, version = version + 1, earned_total = earned_total + %(earned)s::bigint,
        owed = owed + %(lent)s::bigint
    WHERE player_id = %(player)s::bigint AND unit = %(unit)s::text AND currency = %(currency)s::text
      AND balance + %(amount)s::bigint >= 0
      AND NOT EXISTS (
          SELECT FROM wallet_entry
          WHERE source_ref = %(ref)s::text AND source_type = %(type)s::text AND source_sub = %(sub)s::text)
      AND NOT EXISTS (
          SELECT FROM wallet_bonusgrant
          WHERE source_ref = %(ref)s::text AND source_type = %(type)s::text AND source_sub = %(sub)s::text)
      AND (NOT %(lot)s::boolean OR (owed = 0 OR %(may_owe)s::boolean) AND EXISTS (
          SELECT FROM wallet_pointspolicy
          WHERE unit = %(unit)s::text AND expiry = %(expiry)s::text AND period = %(period)s::int AND zone = %(zone)s::text
            AND fixed_date IS NOT DISTINCT FROM %(fixed_date)s::date AND pending_hours = %(pending_hours)s::int))
    RETURNING id, version, balance
), posted AS (
    INSERT INTO wallet_entry (account_id, house, amount, seq, balance_after, source_type, source_ref, source_sub,
                              reversal_of_id, reason, actor_id, occurred_at)
    SELECT id, %(house)s::text, %(amount)s::bigint, version, balance, %(type)s::text, %(ref)s::text, %(sub)s::text,
           %(reversal_of)s::bigint, %(reason)s::text, %(actor)s::bigint, %(at)s::timestamptz
    FROM moved
    RETURNING id, account_id, seq, balance_after
), kept AS (
    INSERT INTO wallet_lot (account_id, player_id, entry_id, qty, remaining, status, earned_at, available_at, expires_at, restores_id,
                            house, source_type, source_ref, source_sub)
    SELECT account_id, %(player)s::bigint, id, %(amount)s::bigint, %(amount)s::bigint, 'ACTIVE', %(at)s::timestamptz,
           %(at)s::timestamptz, %(expires_at)s::timestamptz, %(restores)s::bigint, %(house)s::text, %(type)s::text, %(ref)s::text,
           %(sub)s::text
    FROM posted WHERE %(lot)s::boolean
)
SELECT id, account_id, seq, balance_after FROM posted
"""

_ATTEMPTS = 4


class PolicyChanged(Exception):
    """The points policy is another than the one from which the lot's end was reckoned: read it again."""


class PlayerOwes(Exception):
    """The account owes points: the credit must be followed by a payment of the debt, under the account's lock."""


class LotKnown(Exception):
    """The source made a lot before that has no entry: points that wait, or waited and were cancelled."""


@dataclass(frozen=True, slots=True)
class NewLot:
    """The lot that a credit makes, and the policy from which its end was reckoned. `may_owe`: the caller pays the debt from it."""

    expires_at: datetime | None
    expiry: str
    period: int
    fixed_date: date | None
    zone: str
    pending_hours: int
    restores_id: int | None = None
    may_owe: bool = False


@dataclass(frozen=True, slots=True)
class Posting:
    """What is to be posted. `amount` is in minor units and signed: positive to the player."""

    player_id: int
    unit: str
    currency: str
    amount: int
    house: str
    source: Source
    at: datetime
    reason: str = ""
    actor_id: int | None = None
    reversal_of_id: int | None = None
    lot: NewLot | None = None


def post(posting: Posting) -> tuple[Entry, bool]:
    """Post once. Returns the entry and whether this call made it (False: the same posting was made before).

    Works in autocommit and inside the caller's transaction. Raises InsufficientFunds, IdempotencyConflict, UnknownPlayer,
    CannotReverse (the original already has a reversal); nothing has moved then. With a lot also PolicyChanged, PlayerOwes and LotKnown,
    which `wallet.points.credits` deals with.
    """
    parameters = _parameters(posting)
    for _ in range(_ATTEMPTS):
        row = _attempt(posting, parameters)
        if row is not None:
            return _entry(posting, row), True
        if (existing := find(posting.source)) is not None:
            return _same_or_conflict(existing, posting), False
        refuse_source_of_grant(posting.source)
        if posting.lot is not None:
            _check_lot(posting, posting.lot)
        if not _create_account(posting):
            raise _insufficient(posting)
    raise WalletError(f"account {account_label(posting.unit, posting.currency)} of player {posting.player_id} changed too often; try again")


def find(source: Source) -> Entry | None:
    """The entry that this source made, with its account."""
    return Entry.objects.select_related("account").filter(source_ref=source.ref, source_type=source.type, source_sub=source.sub).first()


def refuse_source_of_grant(source: Source) -> None:
    """Raise IdempotencyConflict when a bonus grant has this source: an offered or queued one is credited with it later."""
    grants = BonusGrant.objects.filter(source_ref=source.ref, source_type=source.type, source_sub=source.sub)
    if (grant_id := grants.values_list("pk", flat=True).first()) is not None:
        raise IdempotencyConflict(f"source {source} already made bonus grant {grant_id}. Use a new source for a new posting.")


def _parameters(posting: Posting) -> dict[str, Any]:
    return {
        "player": posting.player_id,
        "unit": posting.unit,
        "currency": posting.currency,
        "amount": posting.amount,
        "earned": posting.amount if posting.house in EARNING_HOUSES else 0,
        "lent": posting.amount if posting.house == House.DEBT else 0,
        "house": posting.house,
        "type": posting.source.type,
        "ref": posting.source.ref,
        "sub": posting.source.sub,
        "reversal_of": posting.reversal_of_id,
        "reason": posting.reason,
        "actor": posting.actor_id,
        "at": posting.at,
        **(_NO_LOT if posting.lot is None else _lot_parameters(posting.lot)),
    }


def _lot_parameters(lot: NewLot) -> dict[str, Any]:
    return {
        "lot": True,
        "may_owe": lot.may_owe,
        "expires_at": lot.expires_at,
        "restores": lot.restores_id,
        "expiry": lot.expiry,
        "period": lot.period,
        "fixed_date": lot.fixed_date,
        "zone": lot.zone,
        "pending_hours": lot.pending_hours,
    }


_NO_LOT: dict[str, Any] = {
    **dict.fromkeys(("expires_at", "restores", "expiry", "period", "fixed_date", "zone", "pending_hours")),
    "lot": False,
    "may_owe": False,
}


def _attempt(posting: Posting, parameters: dict[str, Any]) -> tuple[int, int, int, int] | None:
    """Run the statement; None when it moved nothing (no account, not enough, or a source seen before)."""
    try:
        if not connection.in_atomic_block:
            return _run(parameters)  # one statement is one transaction: no BEGIN and COMMIT around it
        with transaction.atomic():
            return _run(parameters)
    except IntegrityError as error:
        constraint = getattr(getattr(error.__cause__, "diag", None), "constraint_name", "")
        if constraint == "entry_source_once":
            return None  # the same source was posted while we waited for the account
        if constraint == "lot_source_once" and find(posting.source) is None:
            raise LotKnown from error
        if constraint == "lot_source_once":
            return None
        if constraint == "entry_reversed_once":
            raise CannotReverse(f"entry {posting.reversal_of_id} is already reversed by another source") from error
        raise


def _run(parameters: dict[str, Any]) -> tuple[int, int, int, int] | None:
    # A plain psycopg cursor, because Django's has no way to ask for a prepared statement (a third of the CPU of a posting).
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(POST_SQL, parameters, prepare=True)
        row: tuple[int, int, int, int] | None = cursor.fetchone()
        return row


def _entry(posting: Posting, row: tuple[int, int, int, int]) -> Entry:
    entry_id, account_id, seq, balance_after = row
    entry = Entry(
        pk=entry_id,
        account_id=account_id,
        house=posting.house,
        amount=posting.amount,
        seq=seq,
        balance_after=balance_after,
        source_type=posting.source.type,
        source_ref=posting.source.ref,
        source_sub=posting.source.sub,
        reversal_of_id=posting.reversal_of_id,
        reason=posting.reason,
        actor_id=posting.actor_id,
        occurred_at=posting.at,
    )
    entry._state.adding = False
    entry._state.db = connection.alias
    return entry


def _same_or_conflict(existing: Entry, posting: Posting) -> Entry:
    account = existing.account
    was = (account.player_id, account.unit, account.currency, existing.amount, existing.house, existing.reversal_of_id)
    asked = (posting.player_id, posting.unit, posting.currency, posting.amount, posting.house, posting.reversal_of_id)
    if was != asked:
        raise IdempotencyConflict(
            f"source {posting.source} was already posted as entry {existing.pk}: "
            f"{shown(existing.amount, account.unit, account.currency)} ({existing.house}) for player {account.player_id}; "
            f"now asked: {shown(posting.amount, posting.unit, posting.currency)} ({posting.house}) for player {posting.player_id}. "
            "Use a new source for a new posting."
        )
    return existing


def _check_lot(posting: Posting, lot: NewLot) -> None:
    """Raise what kept the lot from being made, if anything did."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT (SELECT owed FROM wallet_account WHERE player_id = %(player)s AND unit = %(unit)s AND currency = %(currency)s),
                   EXISTS (SELECT FROM wallet_pointspolicy WHERE unit = %(unit)s AND expiry = %(expiry)s AND period = %(period)s
                           AND zone = %(zone)s AND fixed_date IS NOT DISTINCT FROM %(fixed_date)s::date
                           AND pending_hours = %(pending_hours)s)
            """,
            _parameters(posting),
        )
        owed, policy_stands = cursor.fetchone()
    if not policy_stands:
        raise PolicyChanged
    if owed and not lot.may_owe:
        raise PlayerOwes


def _create_account(posting: Posting) -> bool:
    """Create the account on its first use. True when the posting is worth another try, False when the account was there."""
    with connection.cursor() as cursor:
        if posting.amount > 0:
            cursor.execute(
                "INSERT INTO wallet_account (player_id, unit, currency, balance, version, earned_total, owed) "
                "SELECT id, %s, %s, 0, 0, 0, 0 FROM players_player WHERE id = %s "
                "ON CONFLICT (player_id, unit, currency) DO NOTHING",
                [posting.unit, posting.currency, posting.player_id],
            )
            if cursor.rowcount:
                return True
        cursor.execute("SELECT 1 FROM players_player WHERE id = %s", [posting.player_id])
        if cursor.fetchone() is None:
            raise UnknownPlayer(f"there is no player with id {posting.player_id}")
    # a credit never lacks funds: another request created the account a moment ago
    return posting.amount > 0


def _insufficient(posting: Posting) -> InsufficientFunds:
    balance = (
        Account.objects.filter(player_id=posting.player_id, unit=posting.unit, currency=posting.currency)
        .values_list("balance", flat=True)
        .first()
    )
    return InsufficientFunds(
        f"the player has {shown(balance or 0, posting.unit, posting.currency)}, "
        f"which does not cover {shown(-posting.amount, posting.unit, posting.currency)}"
    )
