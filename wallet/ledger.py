"""Posting: the only code that writes ledger entries one at a time. Private to the wallet; other layers call `wallet.services`.

A posting is ONE statement: a conditional UPDATE of the account (never below zero, never for a source seen before) whose result
feeds the INSERT of the entry. The account's row lock serialises postings of one account; different accounts never meet.
The unique source decides between two equal requests that race: the loser finds the winner's entry and returns it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from django.db import IntegrityError, connection, transaction

from .errors import CannotReverse, IdempotencyConflict, InsufficientFunds, UnknownPlayer, WalletError
from .models import EARNING_HOUSES, Account, Entry
from .values import Source, account_label, shown

POST_SQL = """
WITH moved AS (
    UPDATE wallet_account
    SET balance = balance + %(amount)s::bigint, version = version + 1, earned_total = earned_total + %(earned)s::bigint
    WHERE player_id = %(player)s::bigint AND unit = %(unit)s::text AND currency = %(currency)s::text
      AND balance + %(amount)s::bigint >= 0
      AND NOT EXISTS (
          SELECT FROM wallet_entry
          WHERE source_ref = %(ref)s::text AND source_type = %(type)s::text AND source_sub = %(sub)s::text)
    RETURNING id, version, balance
)
INSERT INTO wallet_entry (account_id, house, amount, seq, balance_after, source_type, source_ref, source_sub,
                          reversal_of_id, reason, actor_id, occurred_at)
SELECT id, %(house)s::text, %(amount)s::bigint, version, balance, %(type)s::text, %(ref)s::text, %(sub)s::text,
       %(reversal_of)s::bigint, %(reason)s::text, %(actor)s::bigint, %(at)s::timestamptz
FROM moved
RETURNING id, account_id, seq, balance_after
"""

_ATTEMPTS = 4


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


def post(posting: Posting) -> tuple[Entry, bool]:
    """Post once. Returns the entry and whether this call made it (False: the same posting was made before).

    Works in autocommit and inside the caller's transaction. Raises InsufficientFunds, IdempotencyConflict, UnknownPlayer,
    CannotReverse (the original already has a reversal); nothing has moved then.
    """
    parameters = _parameters(posting)
    for _ in range(_ATTEMPTS):
        row = _attempt(posting, parameters)
        if row is not None:
            return _entry(posting, row), True
        if (existing := find(posting.source)) is not None:
            return _same_or_conflict(existing, posting), False
        if not _create_account(posting):
            raise _insufficient(posting)
    raise WalletError(f"account {account_label(posting.unit, posting.currency)} of player {posting.player_id} changed too often; try again")


def find(source: Source) -> Entry | None:
    """The entry that this source made, with its account."""
    return Entry.objects.select_related("account").filter(source_ref=source.ref, source_type=source.type, source_sub=source.sub).first()


def _parameters(posting: Posting) -> dict[str, Any]:
    return {
        "player": posting.player_id,
        "unit": posting.unit,
        "currency": posting.currency,
        "amount": posting.amount,
        "earned": posting.amount if posting.house in EARNING_HOUSES else 0,
        "house": posting.house,
        "type": posting.source.type,
        "ref": posting.source.ref,
        "sub": posting.source.sub,
        "reversal_of": posting.reversal_of_id,
        "reason": posting.reason,
        "actor": posting.actor_id,
        "at": posting.at,
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


def _create_account(posting: Posting) -> bool:
    """Create the account on its first use. True when the posting is worth another try, False when the account was there."""
    with connection.cursor() as cursor:
        if posting.amount > 0:
            cursor.execute(
                "INSERT INTO wallet_account (player_id, unit, currency, balance, version, earned_total) "
                "SELECT id, %s, %s, 0, 0, 0 FROM players_player WHERE id = %s "
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
