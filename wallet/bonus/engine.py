"""What one event does to a wallet: the only place that decides it.

`apply` takes the working copy of a wallet and one activity, changes the copy and returns everything that happened, in order. Events
may come in any order, late or twice: a repeated one does nothing, a win before its bet and a rollback before its target wait until it
arrives. Of a player's events that move money, the order of arrival decides, as cash on the platform moves in that order too.
"""

from collections.abc import Mapping
from datetime import datetime

from . import counting, split
from .event import Event, InvalidActivity, check, set_parts, stated_parts
from .quoting import Quote, quote
from .rollback import cancelled_on_arrival, rollback
from .settlement import count, settle
from .split import NotCovered, Parts
from .stakes import is_spin_of, stake_of
from .states import OPEN, Status
from .values import Activity, Grant, Kind, Outcome, Recorded, Wallet
from .weights import Table
from .working import Work

__all__ = ["Conflict", "InvalidActivity", "Quote", "StakeNotCovered", "activate_next", "apply", "close", "quote"]


class Conflict(ValueError):
    """An activity that was reported before with other content. Nothing has changed."""


StakeNotCovered = NotCovered

# what must be the same when an activity is reported again; a rollback need not name the amount
_CONTENT = ("player_id", "currency", "round_id", "game_code", "game_category", "takes_back_id")


def apply(wallet: Wallet, activity: Activity, tables: Mapping[int, Table]) -> Outcome:
    """Let `activity` take effect on `wallet`. `tables`: contribution tables by id, all that the wallet's grants name.

    Raises Conflict, InvalidActivity, StakeNotCovered; the wallet is unchanged then.
    """
    known = wallet.known.get(activity.key)
    if known is not None:
        return _repeat(known, activity)
    check(activity)
    event = Event(wallet, activity, tables)
    match activity.kind:
        case Kind.BET:
            _bet(event)
        case Kind.WIN:
            _win(event)
        case Kind.ROLLBACK:
            rollback(event)
        case Kind.ROUND_END:
            event.remember()
            settle(event)
    return event.outcome


def close(wallet: Wallet, grant_id: int, after: Status, cause: str, *, at: datetime) -> Outcome:
    """End an open grant by a decision (expiry, forfeit, void, reversal). Raises IllegalTransition."""
    work = Work(wallet, at, {})
    work.end(wallet.grants[grant_id], after, cause)
    return work.outcome


def activate_next(wallet: Wallet, product: str, *, at: datetime) -> Outcome:
    """Begin the first queued grant of a product, when none of it is open and the player may take up bonuses."""
    work = Work(wallet, at, {})
    if not any(grant.status in OPEN and grant.product == product for grant in wallet.grants.values()):
        work.activate_next(product)
    return work.outcome


def _repeat(known: Recorded, activity: Activity) -> Outcome:
    for name in (*_CONTENT, "amount") if activity.kind != Kind.ROLLBACK else _CONTENT:
        before, now = getattr(known.activity, name), getattr(activity, name)
        if before != now:
            raise Conflict(
                f"{activity.kind} {activity.activity_id} of {activity.source} was reported before with {name} {before!r}, now {now!r}; "
                "use a new activity_id for a new event"
            )
    return Outcome(known, repeated=True)


# bets


def _bet(event: Event) -> None:
    activity = event.activity
    if (tombstone := event.wallet.waiting_rollback(activity)) is not None:
        cancelled_on_arrival(event, tombstone)
        return
    grant = event.open_grant(activity.product)
    why_not = counting.unusable(grant, activity) if grant else ""
    if grant and activity.is_free_round and not is_spin_of(grant, activity):
        grant = None  # a free round of the platform's own
    usable = grant if not why_not else None
    parts = Parts(0, 0, 0) if activity.is_free_round else stake_of(activity, usable)
    event.remember()
    set_parts(event.recorded, parts, grant)
    event.outcome.cash_change -= parts.real
    if usable is not None:
        usable.open_bets += 1
        if activity.is_free_round:
            usable.spins_left -= 1
        if parts.on_grant:
            event.take(usable, parts.bonus, parts.locked, "stake", "")
    elif grant is not None:
        count(event, event.recorded, grant, why_not)
    _wins_that_waited(event)
    if activity.ends_round or _round_has_ended(event):
        settle(event)


def _round_has_ended(event: Event) -> bool:
    return bool(event.of_round(Kind.ROUND_END)) or any(
        one.activity.ends_round for kind in (Kind.BET, Kind.WIN) for one in event.of_round(kind) if one is not event.recorded
    )


# wins


def _win(event: Event) -> None:
    activity = event.activity
    if (tombstone := event.wallet.waiting_rollback(activity)) is not None:
        cancelled_on_arrival(event, tombstone)
        return
    bets = event.of_round(Kind.BET)
    stated = stated_parts(activity)
    if stated is None and not bets and event.open_grant(activity.product) is not None:
        event.recorded.waits = True
        event.remember()
        return
    _credit_win(event, event.recorded, bets, stated)
    event.remember()
    if activity.ends_round:
        settle(event)
    elif event.recorded.grant_id is not None:
        event.end_if_due([event.wallet.grants[event.recorded.grant_id]])


def _credit_win(event: Event, recorded: Recorded, bets: list[Recorded], stated: Parts | None) -> None:
    """Divide a win in the ratio of the round's stakes (or as stated) and credit it."""
    win = recorded.activity
    grant = _grant_of(event, bets) if bets else event.open_grant(win.product)
    if grant is not None and grant.currency != win.currency:
        grant = None
    free = bool(bets) and all(bet.activity.is_free_round for bet in bets)
    if stated is not None:
        parts = stated
        if parts.on_grant and grant is None:
            raise InvalidActivity("bonus_part: the player has no bonus that could have won this; report the win as real money")
    elif free and grant is not None:
        parts = Parts(0, win.amount, 0)
    else:
        stakes = Parts(sum(b.real_part for b in bets), sum(b.bonus_part for b in bets), sum(b.locked_part for b in bets))
        parts = split.win_parts(win.amount, stakes, to_locked=grant is not None and grant.terms.winnings == "locked")
    set_parts(recorded, parts, grant if parts.on_grant else None)
    event.outcome.cash_change += parts.real
    if grant is None or not parts.on_grant:
        return
    if free and grant.status in OPEN:
        counting.grow(grant, parts.on_grant)
    event.pay_in(grant, parts.bonus, parts.locked, "win", _sub(event, recorded))


def _grant_of(event: Event, bets: list[Recorded]) -> Grant | None:
    """The grant that the round is played on: that of the latest bet with bonus money or a free spin, else of the latest bet."""
    bound = [bet for bet in bets if bet.grant_id is not None]
    staked = [bet for bet in bound if bet.bonus_part or bet.locked_part or bet.activity.is_free_round]
    for bet in reversed(staked or bound):
        return event.wallet.grants.get(bet.grant_id or 0)
    return None


def _wins_that_waited(event: Event) -> None:
    for win in event.of_round(Kind.WIN):
        if win.waits:
            win.waits = False
            _credit_win(event, win, event.of_round(Kind.BET), None)
            event.outcome.also_recorded.append(win)


def _sub(event: Event, recorded: Recorded) -> str:
    """Part of the source of a posting: empty for the activity itself, the waiting win's id for one that took effect with it."""
    return "" if recorded is event.recorded else f"win-{len(event.outcome.also_recorded)}"
