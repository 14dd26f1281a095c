"""How a bet counts towards the wagering of bonus grants. Pure: values in, values out, exact decimals.

The stake is offered to the open grants in the order they are given (earliest expiry first). Each takes what it still needs; only
the rest is offered to the next, so no unit of stake ever counts twice. Progress never passes the requirement.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

COUNTED = "COUNTED"
CAPPED = "CAPPED"
OVER_MAX_BET = "OVER_MAX_BET"
GAME_NOT_ELIGIBLE = "GAME_NOT_ELIGIBLE"
BEFORE_GRANT = "BEFORE_GRANT"
AFTER_EXPIRY = "AFTER_EXPIRY"
STAKE_USED = "STAKE_USED"
NO_STAKE = "NO_STAKE"
PAUSED = "PAUSED"


@dataclass(frozen=True, slots=True)
class Bet:
    """A settled bet. `stake` is in units of the currency, `placed_at` an aware instant."""

    stake: Decimal
    game_code: str
    game_category: str
    placed_at: datetime


@dataclass(frozen=True, slots=True)
class GrantTerms:
    """What of an open grant decides how a bet counts. Amounts in units of the currency."""

    grant_id: int
    required: Decimal
    wagered: Decimal
    activated_at: datetime
    expires_at: datetime
    max_bet: Decimal | None = None
    eligible_games: tuple[str, ...] = ()
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Count:
    """What a bet did to one grant, and why."""

    grant_id: int
    verdict: str
    counted: Decimal
    before: Decimal
    after: Decimal
    required: Decimal

    @property
    def completes(self) -> bool:
        return self.counted > 0 and self.after == self.required


def is_eligible(eligible_games: Iterable[str], game_code: str, game_category: str) -> bool:
    """Whether a game counts: named by code or by category, upper and lower case alike. An empty list admits every game."""
    names = {name.casefold() for name in eligible_games}
    return not names or game_code.casefold() in names or game_category.casefold() in names


def count_bet(bet: Bet, grants: Sequence[GrantTerms]) -> list[Count]:
    """The effect of `bet` on each of the grants, in the given order."""
    rest = bet.stake
    counts = []
    for terms in grants:
        refusal = _refusal(bet, terms, rest)
        counted = Decimal(0) if refusal else min(rest, terms.required - terms.wagered)
        verdict = refusal or (CAPPED if counted < rest else COUNTED)
        rest -= counted
        counts.append(Count(terms.grant_id, verdict, counted, terms.wagered, terms.wagered + counted, terms.required))
    return counts


def _refusal(bet: Bet, terms: GrantTerms, rest: Decimal) -> str:
    """Why the bet doesn't count for the grant at all; empty when it does. The order is the order of the reasons shown to people."""
    if bet.stake == 0:
        return NO_STAKE
    if bet.placed_at < terms.activated_at:
        return BEFORE_GRANT
    if bet.placed_at >= terms.expires_at:
        return AFTER_EXPIRY
    if terms.paused:
        return PAUSED
    if not is_eligible(terms.eligible_games, bet.game_code, bet.game_category):
        return GAME_NOT_ELIGIBLE
    if terms.max_bet is not None and bet.stake > terms.max_bet:
        return OVER_MAX_BET
    return STAKE_USED if rest == 0 else ""
