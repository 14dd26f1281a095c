"""Reads of the wallet. Amounts come out as Decimals in their unit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Count, QuerySet, Sum

from loyalty_site.common.money import from_minor
from players.models import Player

from .models import OPEN_STATUSES, Account, AdjustmentRequest, BonusGrant, Entry, Lot, Unit
from .points.warnings import expiring_soon as expiring_soon
from .values import Balance, money_unit


@dataclass(frozen=True, slots=True)
class LedgerSum:
    """Postings of one house code and unit: what players got, what they gave, how many."""

    house: str
    unit: str
    currency: str
    entries: int
    given: Decimal
    taken: Decimal

    @property
    def net(self) -> Decimal:
        """Net to the players; the house has the opposite."""
        return self.given - self.taken


@dataclass(frozen=True, slots=True)
class Liability:
    """What players hold of one unit."""

    unit: str
    currency: str
    holders: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class WalletFacts:
    """Wallet figures of one player that rules may use; the bonus balance is that in the player's own currency."""

    lp_balance: Decimal = Decimal("0.00")
    lp_earned: Decimal = Decimal("0.00")
    rp_balance: Decimal = Decimal("0.00")
    ticket_balance: Decimal = Decimal("0")
    bonus_balance: Decimal = Decimal("0.00")
    open_grants: int = 0


def balances(player_id: int) -> list[Balance]:
    """All balances of a player: LP, RP and TICKET always (zero without an account), bonus money per currency held.

    Raises Player.DoesNotExist.
    """
    currency = Player.objects.values_list("currency", flat=True).get(pk=player_id)
    found = {(account.unit, account.currency): account for account in Account.objects.filter(player_id=player_id)}
    kinds = [("LP", ""), ("RP", ""), ("TICKET", ""), ("BONUS", currency)]
    kinds += sorted(kind for kind in found if kind not in kinds)
    waiting = Lot.objects.filter(player_id=player_id, status=Lot.Status.PENDING).order_by().values_list("account__unit")
    pending = dict(waiting.annotate(points=Sum("remaining")))

    def shown(unit: str, code: str, minor: int) -> Decimal:
        return from_minor(minor, money_unit(unit, code))

    nothing = Account()
    return [
        Balance(
            unit,
            code,
            amount=shown(unit, code, account.balance),
            earned_total=shown(unit, code, account.earned_total),
            owed=shown(unit, code, account.owed),
            pending=shown(unit, code, pending.get(unit, 0)),
        )
        for unit, code in kinds
        for account in [found.get((unit, code), nothing)]
    ]


def entries(player_id: int, *, unit: str = "", currency: str = "") -> QuerySet[Entry]:
    """Ledger entries of a player, newest first, with their accounts."""
    accounts = Account.objects.filter(player_id=player_id)
    if unit:
        accounts = accounts.filter(unit=unit)
    if currency:
        accounts = accounts.filter(currency=currency)
    # by id list: the planner then walks unique (account, seq) instead of the whole ledger
    return Entry.objects.select_related("account").filter(account_id__in=list(accounts.values_list("pk", flat=True))).order_by("-id")


def grants(player_id: int, *, open_only: bool = False) -> QuerySet[BonusGrant]:
    """Bonus grants of a player, newest first."""
    found = BonusGrant.objects.filter(player_id=player_id).order_by("-id")
    return found.filter(status__in=OPEN_STATUSES) if open_only else found


def ledger_sums(*, since: datetime | None = None, until: datetime | None = None) -> list[LedgerSum]:
    """Postings with `since <= occurred_at < until`, by house code, unit and currency. Sums are exact."""
    found = Entry.objects.all()
    if since is not None:
        found = found.filter(occurred_at__gte=since)
    if until is not None:
        found = found.filter(occurred_at__lt=until)
    with connection.cursor() as cursor:
        inner, parameters = found.order_by().values("house", "amount", "account_id").query.sql_with_params()
        cursor.execute(
            "SELECT e.house, a.unit, a.currency, count(*), coalesce(sum(e.amount) FILTER (WHERE e.amount > 0), 0), "
            f"coalesce(-sum(e.amount) FILTER (WHERE e.amount < 0), 0) FROM ({inner}) AS e "
            "JOIN wallet_account AS a ON a.id = e.account_id GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
            parameters,
        )
        rows = cursor.fetchall()
    return [
        LedgerSum(house, unit, code, count, from_minor(int(given), money_unit(unit, code)), from_minor(int(taken), money_unit(unit, code)))
        for house, unit, code, count, given, taken in rows
    ]


def liabilities() -> list[Liability]:
    """What all players hold, by unit and currency."""
    rows = (
        Account.objects.filter(balance__gt=0)
        .order_by("unit", "currency")
        .values("unit", "currency")
        .annotate(holders=Count("pk"), minor=Sum("balance"))
    )
    return [
        Liability(row["unit"], row["currency"], row["holders"], from_minor(int(row["minor"]), money_unit(row["unit"], row["currency"])))
        for row in rows
    ]


def wallet_facts(
    *, lower_id: int | None = None, upper_id: int | None = None, player_ids: Sequence[int] | None = None
) -> dict[int, WalletFacts]:
    """Wallet figures of the players in an id range or list, one statement for all. Players without an account are left out
    (their facts are `WalletFacts()`)."""
    where, parameters = "", dict[str, Any]()
    if player_ids is not None:
        where, parameters = "AND player.id = ANY(%(ids)s)", {"ids": list(player_ids)}
    elif lower_id is not None and upper_id is not None:
        where, parameters = "AND player.id >= %(lower)s AND player.id < %(upper)s", {"lower": lower_id, "upper": upper_id}
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT player.id, player.currency,
                   coalesce(max(account.balance) FILTER (WHERE account.unit = 'LP'), 0),
                   coalesce(max(account.earned_total) FILTER (WHERE account.unit = 'LP'), 0),
                   coalesce(max(account.balance) FILTER (WHERE account.unit = 'RP'), 0),
                   coalesce(max(account.balance) FILTER (WHERE account.unit = 'TICKET'), 0),
                   coalesce(max(account.balance) FILTER (WHERE account.unit = 'BONUS' AND account.currency = player.currency), 0),
                   coalesce(max(open.grants), 0)
            FROM players_player AS player
            JOIN wallet_account AS account ON account.player_id = player.id
            LEFT JOIN LATERAL (
                SELECT count(*) AS grants FROM wallet_bonusgrant AS g
                WHERE g.player_id = player.id AND g.status IN ('ACTIVE', 'WAGERING', 'PAUSED') AND account.unit = 'BONUS'
            ) AS open ON true
            WHERE true {where}
            GROUP BY player.id, player.currency
            """,
            parameters,
        )
        rows = cursor.fetchall()
    return {
        player_id: WalletFacts(
            lp_balance=from_minor(lp, Unit.LP),
            lp_earned=from_minor(earned, Unit.LP),
            rp_balance=from_minor(rp, Unit.RP),
            ticket_balance=from_minor(tickets, Unit.TICKET),
            bonus_balance=from_minor(bonus, currency),
            open_grants=open_grants,
        )
        for player_id, currency, lp, earned, rp, tickets, bonus, open_grants in rows
    }


def pending_adjustments() -> QuerySet[AdjustmentRequest]:
    return AdjustmentRequest.objects.filter(status=AdjustmentRequest.Status.PENDING).select_related("player", "maker").order_by("id")
