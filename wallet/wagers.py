"""Bets reported by the platform: counted once towards the wagering of the player's open bonuses."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import IntegrityError, transaction

from loyalty_site.common.clock import require_utc
from loyalty_site.common.money import MoneyError, from_minor, to_minor
from players.models import Player

from . import wagering
from .errors import IdempotencyConflict, InvalidPosting, UnknownPlayer, WalletError
from .grants import COMPLETED, close_grants
from .locks import lock_bonus_account, lock_bonus_accounts, lock_open_grants
from .models import BonusGrant, GrantEvent, GrantStatus, WagerCount, WagerEvent
from .values import MAX_AMOUNT_MINOR, check_account_kind


@dataclass(frozen=True, slots=True)
class WagerProgress:
    """What a bet did: the part of the stake that counted, and its effect on each open grant in the order of use.

    `repeated` is True when the activity was reported before; then everything is as it was the first time.
    """

    activity_id: str
    stake: Decimal
    counted: Decimal
    counts: tuple[wagering.Count, ...]
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


def record_wagers(bets: Sequence[ReportedBet]) -> list[WagerProgress | WalletError]:
    """Count several bets in one transaction, in the order given. Each stands for itself: its place in the answer holds its progress
    or the refusal that `record_wager` would raise.

    All accounts are locked before the first bet, so that a batch and a bulk posting never hold what the other waits for.
    """
    answers: list[WagerProgress | WalletError] = []
    with transaction.atomic():
        lock_bonus_accounts({(one.player_id, one.currency) for one in bets})
        for one in bets:
            try:
                answers.append(
                    record_wager(
                        player_id=one.player_id,
                        stake=one.stake,
                        game_code=one.game_code,
                        game_category=one.game_category,
                        activity_id=one.activity_id,
                        at=one.at,
                        currency=one.currency,
                    )
                )
            except WalletError as refusal:
                answers.append(refusal)
    return answers


def record_wager(
    *, player_id: int, stake: Decimal, game_code: str, game_category: str, activity_id: str, at: datetime, currency: str
) -> WagerProgress:
    """Count a bet placed at `at` towards the player's open bonuses in `currency`; release what it completes.

    One effect per (player, activity_id): a repeated report returns the first result, one with another stake, game or currency raises
    IdempotencyConflict. Raises InvalidPosting for a negative or inexact stake, UnknownPlayer for an unknown player.
    """
    at = require_utc(at, "bet time")
    minor = _stake_minor(stake, currency)
    if not activity_id or len(activity_id) > 80:
        raise InvalidPosting("activity_id must have 1 to 80 characters")
    if len(game_code) > 80 or len(game_category) > 40:
        raise InvalidPosting("game_code may have 80 characters, game_category 40")
    event = WagerEvent(
        player_id=player_id,
        activity_id=activity_id,
        currency=currency,
        stake=minor,
        game_code=game_code,
        game_category=game_category,
        occurred_at=at,
    )
    try:
        with transaction.atomic():
            return _count(event)
    except IntegrityError:  # the same activity was reported at the same time: its result is there now
        stored = _stored(event)
        if stored is None:
            raise
        return _repeat(stored, event)


def _count(event: WagerEvent) -> WagerProgress:
    account = lock_bonus_account(event.player_id, event.currency)
    if (stored := _stored(event)) is not None:
        return _repeat(stored, event)
    if account is None and not Player.objects.filter(pk=event.player_id).exists():
        raise UnknownPlayer(f"there is no player with id {event.player_id}")
    grants = {grant.pk: grant for grant in lock_open_grants(account)} if account else {}
    stake = from_minor(event.stake, event.currency)
    bet = wagering.Bet(stake, event.game_code, event.game_category, event.occurred_at)
    counts = wagering.count_bet(bet, [_terms(grant) for grant in grants.values()])
    event.counted = sum((count.counted for count in counts), Decimal(0))
    event.save(force_insert=True)
    WagerCount.objects.bulk_create(
        WagerCount(
            wager=event,
            grant_id=count.grant_id,
            verdict=count.verdict,
            counted=count.counted,
            progress_before=count.before,
            progress_after=count.after,
        )
        for count in counts
    )
    for count in counts:
        if count.counted > 0:
            _move_on(grants[count.grant_id], count, event)
    close_grants([count.grant_id for count in counts if count.completes], COMPLETED, at=event.occurred_at)
    return WagerProgress(event.activity_id, stake, event.counted, tuple(counts))


def _move_on(grant: BonusGrant, count: wagering.Count, event: WagerEvent) -> None:
    """Store the progress; the first counted bet makes an active grant a wagering one."""
    grant.wagered = count.after
    if grant.status == GrantStatus.ACTIVE:
        GrantEvent.objects.create(
            grant=grant,
            from_status=GrantStatus.ACTIVE,
            to_status=GrantStatus.WAGERING,
            cause=f"first counted bet {event.activity_id}",
            occurred_at=event.occurred_at,
        )
        grant.status = GrantStatus.WAGERING
    grant.save(update_fields=["wagered", "status"])


def _terms(grant: BonusGrant) -> wagering.GrantTerms:
    assert grant.activated_at is not None  # an open grant was activated: a CHECK of the table says so
    return wagering.GrantTerms(
        grant_id=grant.pk,
        required=grant.wagering_required,
        wagered=grant.wagered,
        activated_at=grant.activated_at,
        expires_at=grant.expires_at,
        max_bet=None if grant.max_bet is None else from_minor(grant.max_bet, grant.currency),
        eligible_games=tuple(grant.eligible_games),
        paused=grant.status == GrantStatus.PAUSED,
    )


def _stored(event: WagerEvent) -> WagerEvent | None:
    return WagerEvent.objects.filter(player_id=event.player_id, activity_id=event.activity_id, kind=event.kind).first()


def _repeat(stored: WagerEvent, asked: WagerEvent) -> WagerProgress:
    for name in ("currency", "stake", "game_code", "game_category"):
        if getattr(stored, name) != getattr(asked, name):
            raise IdempotencyConflict(
                f"activity {asked.activity_id} of player {asked.player_id} was reported before with "
                f"{name} {getattr(stored, name)!r}, now {getattr(asked, name)!r}; use a new activity_id for a new bet"
            )
    counts = tuple(
        wagering.Count(
            count.grant_id, count.verdict, count.counted, count.progress_before, count.progress_after, count.grant.wagering_required
        )
        for count in stored.counts.select_related("grant").order_by("id")
    )
    return WagerProgress(stored.activity_id, from_minor(stored.stake, stored.currency), stored.counted, counts, repeated=True)


def _stake_minor(stake: Decimal, currency: str) -> int:
    check_account_kind("BONUS", currency)
    try:
        minor = to_minor(stake, currency)
    except MoneyError as error:
        raise InvalidPosting(f"stake: {error}") from error
    if not 0 <= minor <= MAX_AMOUNT_MINOR:
        raise InvalidPosting(f"stake must not be negative, not {stake} {currency}")
    return minor
