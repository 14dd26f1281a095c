"""Settled bets in short: a bet that is a round of its own, staked from cash, counted towards the player's open bonus."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from loyalty_site.common.clock import require_utc
from loyalty_site.common.money import MoneyError, to_minor
from wallet.bonus.values import Activity, Kind
from wallet.errors import InvalidPosting, WalletError
from wallet.values import MAX_AMOUNT_MINOR, check_account_kind

from .answers import Counted, Received
from .receive import receive

SOURCE = "api"


@dataclass(frozen=True, slots=True)
class WagerProgress:
    """What a bet did: the part of the stake that counted, and its effect on the grant it was placed on.

    `repeated` is True when the activity was reported before; then everything is as it was the first time.
    """

    activity_id: str
    stake: Decimal
    counted: Decimal
    counts: tuple[Counted, ...]
    repeated: bool = False

    @property
    def completed_grant_ids(self) -> tuple[int, ...]:
        return tuple(count.grant_id for count in self.counts if count.completes)


@dataclass(frozen=True, slots=True)
class ReportedBet:
    """The arguments of `record_wager`, for a batch."""

    player_id: int
    stake: Decimal
    game_code: str
    game_category: str
    activity_id: str
    at: datetime
    currency: str


def record_wagers(bets: Sequence[ReportedBet], *, source: str = SOURCE) -> list[WagerProgress | WalletError]:
    """Count several settled bets in one transaction, in the order given. Each stands for itself: its place in the answer holds its
    progress or the refusal that `record_wager` would raise."""
    asked = [_activity(bet, source) for bet in bets]
    answers = iter(receive([one for one in asked if isinstance(one, Activity)]))
    return [one if isinstance(one, WalletError) else _progress(next(answers)) for one in asked]


def record_wager(
    *,
    player_id: int,
    stake: Decimal,
    game_code: str,
    game_category: str,
    activity_id: str,
    at: datetime,
    currency: str,
    source: str = SOURCE,
) -> WagerProgress:
    """Count a bet placed at `at` towards the player's open bonus; release what it completes.

    One effect per (source, activity_id): a repeated report returns the first result, one with another player, stake, game or currency
    raises IdempotencyConflict. Raises InvalidPosting for a negative or inexact stake, UnknownPlayer for an unknown player.
    """
    (answer,) = record_wagers([ReportedBet(player_id, stake, game_code, game_category, activity_id, at, currency)], source=source)
    if isinstance(answer, WalletError):
        raise answer
    return answer


def _activity(bet: ReportedBet, source: str) -> Activity | WalletError:
    at = require_utc(bet.at, "bet time")
    if not bet.activity_id or len(bet.activity_id) > 80:
        return InvalidPosting("activity_id must have 1 to 80 characters")
    try:
        amount = stake_minor(bet.stake, bet.currency)
    except WalletError as refusal:
        return refusal
    return Activity(
        source=source,
        activity_id=bet.activity_id,
        kind=Kind.BET,
        player_id=bet.player_id,
        currency=bet.currency,
        round_id=bet.activity_id,
        occurred_at=at,
        received_at=at,
        amount=amount,
        ends_round=True,
        game_code=bet.game_code,
        game_category=bet.game_category,
    )


def stake_minor(stake: Decimal, currency: str) -> int:
    """A stake in minor units. Raises InvalidPosting for one that is negative, too large or finer than the currency."""
    check_account_kind("BONUS", currency)
    try:
        minor = to_minor(stake, currency)
    except MoneyError as error:
        raise InvalidPosting(f"stake: {error}") from error
    if not 0 <= minor <= MAX_AMOUNT_MINOR:
        raise InvalidPosting(f"stake must not be negative, not {stake} {currency}")
    return minor


def _progress(answer: Received | WalletError) -> WagerProgress | WalletError:
    if isinstance(answer, WalletError):
        return answer
    return WagerProgress(answer.activity_id, answer.amount, answer.counted, answer.counts, answer.repeated)
