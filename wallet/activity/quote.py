"""How a stake would be divided, and what it would count: the answer to the platform before it takes the bet. Reads only, locks nothing."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from loyalty_site.common.clock import require_utc
from loyalty_site.common.money import from_minor
from players.models import Player
from wallet.bonus import engine
from wallet.bonus.split import Parts
from wallet.bonus.values import Activity, Kind
from wallet.errors import InsufficientFunds, InvalidPosting, UnknownPlayer
from wallet.values import check_account_kind

from .load import look
from .wagers import stake_minor


@dataclass(frozen=True, slots=True)
class Split:
    """Whose money it is, in units of the currency: the platform's cash, the bonus, locked winnings."""

    real: Decimal
    bonus: Decimal
    locked: Decimal


@dataclass(frozen=True, slots=True)
class Quote:
    """What a bet would do now, if it settled at once. `verdict` and `rule` say why it would count as it does."""

    currency: str
    grant_id: int | None
    stake: Split
    win: Split | None
    verdict: str
    rule: str
    weight: Decimal
    would_count: Decimal


def quote(
    *,
    player_id: int,
    currency: str,
    stake: Decimal,
    cash: Decimal | None,
    at: datetime,
    product: str = "casino",
    game_code: str = "",
    game_category: str = "",
    provider: str = "",
    win: Decimal | None = None,
    is_free_round: bool = False,
) -> Quote:
    """How `stake` (and `win`) would be split between cash, bonus and locked winnings, and what would count.

    `cash` is the player's cash on the platform; without it the whole stake is cash, as for a reported bet. Raises InsufficientFunds when
    the stake needs more than cash and bonus, InvalidPosting, UnknownPlayer. Changes nothing.
    """
    at = require_utc(at)
    check_account_kind("BONUS", currency)
    bet = Activity(
        source="quote",
        activity_id="quote",
        kind=Kind.BET,
        player_id=player_id,
        currency=currency,
        round_id="quote",
        occurred_at=at,
        received_at=at,
        product=product,
        amount=stake_minor(stake, currency),
        cash_before=None if cash is None else stake_minor(cash, currency),
        ends_round=True,
        game_code=game_code,
        game_category=game_category,
        provider=provider,
        is_free_round=is_free_round,
    )
    if not Player.objects.filter(pk=player_id).exists():
        raise UnknownPlayer(f"there is no player with id {player_id}")
    chunk = look(player_id, bet, at=at)
    won = None if win is None else stake_minor(win, currency)
    try:
        found = engine.quote(chunk.wallets[player_id].wallet, replace(bet, house_edge=chunk.edges.get(game_code)), chunk.tables, win=won)
    except engine.StakeNotCovered as error:
        raise InsufficientFunds(str(error)) from error
    except engine.InvalidActivity as error:
        raise InvalidPosting(str(error)) from error
    return Quote(
        currency,
        found.grant_id,
        _split(found.stake, currency),
        None if found.win is None else _split(found.win, currency),
        found.verdict,
        found.rule,
        found.weight,
        found.would_count,
    )


def _split(parts: Parts, currency: str) -> Split:
    return Split(from_minor(parts.real, currency), from_minor(parts.bonus, currency), from_minor(parts.locked, currency))
