"""Row locks of the wallet, all in one place and always in one order, so that no two transactions can wait for each other.

Order: 1. accounts by id, 2. grants by id (later: lots by id). Whoever needs a grant locks its account first: the account's row is
the mutex of everything under it. A transaction that locks several accounts locks them in one statement, sorted. Callers that hold
locks of their own (budgets, decisions) take those before they call the wallet.

`ledger.post` needs no call to this module: its conditional UPDATE takes the lock of the one account it moves.
"""

from collections.abc import Collection, Sequence

from django.db import connection

from .models import OPEN_STATUSES, Account, BonusGrant


def lock_accounts_of_grants(grant_ids: Sequence[int]) -> None:
    """Lock the accounts of these grants, in order of account id."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM wallet_account WHERE id IN (SELECT account_id FROM wallet_bonusgrant WHERE id = ANY(%s)) "
            "ORDER BY id FOR UPDATE",
            [list(grant_ids)],
        )


def lock_bonus_account(player_id: int, currency: str) -> Account | None:
    """Lock a player's bonus account and return it as it is now; None when the player never had one."""
    return Account.objects.select_for_update().filter(player_id=player_id, unit="BONUS", currency=currency).first()


def lock_bonus_accounts(kinds: Collection[tuple[int, str]]) -> None:
    """Lock the bonus accounts of (player id, currency) pairs, in order of account id; pairs without an account are passed over."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM wallet_account WHERE unit = 'BONUS' "
            "AND (player_id, currency) IN (SELECT * FROM unnest(%s::bigint[], %s::text[])) ORDER BY id FOR UPDATE",
            [[player for player, _ in kinds], [currency for _, currency in kinds]],
        )


def lock_account(account_id: int) -> Account:
    return Account.objects.select_for_update().get(pk=account_id)


def lock_open_grants(account: Account) -> list[BonusGrant]:
    """The open grants of a locked account in the order in which they are used: earliest expiry, then id. Locked in id order."""
    grants = list(
        BonusGrant.objects.select_for_update().filter(account=account, player_id=account.player_id, status__in=OPEN_STATUSES).order_by("id")
    )
    return sorted(grants, key=lambda grant: (grant.expires_at, grant.pk))
