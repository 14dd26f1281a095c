"""Row locks of the wallet, all in one place and always in one order, so that no two transactions can wait for each other.

Order: 1. accounts by id, 2. grants by id, 3. lots by id. Whoever needs a grant locks all bonus accounts of its player first: together
they are the mutex of the player's bonuses, because one product has one open grant whatever its currency. A transaction that locks
several accounts locks them in one statement, sorted. Callers that hold locks of their own (budgets, decisions) take those before they
call the wallet.

`ledger.post` needs no call to this module: its conditional UPDATE takes the lock of the one account it moves.
"""

from collections.abc import Collection, Iterable

from django.db import connection

from loyalty_site.common.sql import id_array

from .errors import UnknownPlayer
from .models import OPEN_STATUSES, Account, BonusGrant


def lock_bonus_of_grants(grant_ids: Iterable[int]) -> None:
    """Lock the bonus accounts of the players of these grants, in order of account id."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM (SELECT id FROM wallet_account WHERE unit = 'BONUS' AND player_id = ANY (ARRAY("
            "SELECT DISTINCT player_id FROM wallet_bonusgrant WHERE id = ANY(%s::bigint[]))) ORDER BY id FOR UPDATE) AS locked",
            [id_array(grant_ids)],
        )


def lock_bonus_of_players(player_ids: Iterable[int]) -> None:
    """Lock all bonus accounts of these players, in order of account id."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM (SELECT id FROM wallet_account WHERE unit = 'BONUS' AND player_id = ANY(%s::bigint[]) "
            "ORDER BY id FOR UPDATE) AS locked",
            [id_array(player_ids)],
        )


def lock_bonus_wallet(player_id: int, currency: str) -> Account:
    """The player's bonus account in `currency`, made if there is none; all bonus accounts of the player are locked.

    Raises UnknownPlayer.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO wallet_account (player_id, unit, currency, balance, version, earned_total, owed) "
            "SELECT id, 'BONUS', %(currency)s, 0, 0, 0, 0 FROM players_player WHERE id = %(player)s AND NOT EXISTS ("
            "SELECT FROM wallet_account WHERE player_id = %(player)s AND unit = 'BONUS' AND currency = %(currency)s) "
            "ON CONFLICT (player_id, unit, currency) DO NOTHING",
            {"player": player_id, "currency": currency},
        )
    accounts = list(Account.objects.select_for_update().filter(player_id=player_id, unit="BONUS").order_by("id"))
    account = next((one for one in accounts if one.currency == currency), None)
    if account is None:
        raise UnknownPlayer(f"there is no player with id {player_id}")
    return account


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


def lock_points_account(player_id: int, unit: str) -> Account | None:
    """Lock a player's account of points or tickets and return it as it is now; None when the player never had one."""
    return Account.objects.select_for_update().filter(player_id=player_id, unit=unit, currency="").first()


def lock_accounts(account_ids: Iterable[int]) -> None:
    """Lock accounts in order of their id."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM (SELECT id FROM wallet_account WHERE id = ANY(%s::bigint[]) ORDER BY id FOR UPDATE) AS locked",
            [id_array(account_ids)],
        )


def lock_accounts_of_lots(lot_ids: Iterable[int]) -> None:
    """Lock the accounts of these lots, in order of account id."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM (SELECT id FROM wallet_account WHERE id = ANY (ARRAY("
            "SELECT DISTINCT account_id FROM wallet_lot WHERE id = ANY(%s::bigint[]))) ORDER BY id FOR UPDATE) AS locked",
            [id_array(lot_ids)],
        )


def lock_accounts_of_player(player_id: int) -> None:
    """Lock all accounts of a player, in order of account id: for whoever moves several units at once."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM wallet_account WHERE player_id = %s ORDER BY id FOR UPDATE", [player_id])
