"""What a rollback does: it takes back exactly the part of its own target."""

from decimal import Decimal

from . import counting
from .counting import ZERO
from .event import Event, InvalidActivity, parts_of, set_parts
from .settlement import count
from .split import Parts
from .states import FINAL, OPEN
from .values import Count, Grant, Kind, Posting, Recorded


def cancelled_on_arrival(event: Event, tombstone: Recorded) -> None:
    """An event whose rollback came first: both are kept, neither has an effect."""
    event.recorded.taken_back = True
    set_parts(event.recorded, Parts(event.activity.amount, 0, 0), None)
    tombstone.waits = False
    set_parts(tombstone, parts_of(event.recorded), None)
    event.outcome.also_recorded.append(tombstone)
    event.remember()


def rollback(event: Event) -> None:
    """Take back the bet or win that the event names; wait for it when it has not arrived."""
    activity = event.activity
    target = None
    for kind in (activity.takes_back_kind,) if activity.takes_back_kind else (Kind.BET, Kind.WIN):
        target = target or event.wallet.known.get((activity.source, activity.takes_back_id, kind))
    if target is None:
        event.recorded.waits = True
        event.remember()
        return
    if target.activity.player_id != activity.player_id:
        raise InvalidActivity(f"takes_back_id: {activity.takes_back_id} is an activity of another player")
    if activity.amount not in (0, target.activity.amount):
        raise InvalidActivity(
            f"amount: the rollback takes back {activity.amount}, {target.activity.activity_id} was {target.activity.amount} (minor units); "
            "a rollback takes all of its target or names no amount"
        )
    event.remember()
    if target.taken_back:
        return  # somebody took it back before: the rollback is kept, nothing is left to take
    target.taken_back = True
    grant = event.wallet.grants[target.grant_id] if target.grant_id is not None else None
    set_parts(event.recorded, parts_of(target), grant)
    if target.waits:  # a win that never took effect
        target.waits = False
        event.outcome.also_recorded.append(target)
        set_parts(target, Parts(target.activity.amount, 0, 0), None)
        return
    if target.activity.kind == Kind.BET:
        _take_back_bet(event, target, grant)
    else:
        _take_back_win(event, target, grant)
    if grant is not None:
        event.end_if_due([grant])


def _take_back_bet(event: Event, bet: Recorded, grant: Grant | None) -> None:
    event.outcome.cash_change += bet.real_part
    if grant is None:
        return
    if bet.counted is None:
        grant.open_bets -= 1
        count(event, bet, grant, "CANCELLED")
    elif grant.status in FINAL:
        _note(event, grant, "GRANT_CLOSED", ZERO, ZERO)
    else:
        grant.penalties -= bet.penalty
        grant.required -= bet.penalty
        # a requirement that shrinks below the progress takes the rest of the progress with it, which then is not there to be taken again
        back = min(max(bet.counted, grant.wagered - grant.required), grant.wagered)
        grant.wagered -= back
        _note(event, grant, "ROLLED_BACK", -back, -bet.penalty)
    if bet.activity.is_free_round and grant.status in OPEN:
        grant.spins_left += 1
    if bet.bonus_part or bet.locked_part:
        event.pay_in(grant, bet.bonus_part, bet.locked_part, "stake", "", reverses=bet.activity.key)


def _note(event: Event, grant: Grant, verdict: str, counted: Decimal, penalty: Decimal) -> None:
    """Note what the rollback itself did to the wagering: the negative of what its target did."""
    event.outcome.counts.append(
        Count(
            bet=event.activity.key,
            settled_by=event.activity.key,
            grant_id=grant.grant_id,
            verdict=verdict,
            rule="",
            weight=ZERO,
            counted_stake=ZERO,
            counted=counted,
            penalty=penalty,
            before=grant.wagered - counted,
            after=grant.wagered,
            required_after=grant.required,
        )
    )


def _take_back_win(event: Event, win: Recorded, grant: Grant | None) -> None:
    activity = event.activity
    event.outcome.cash_change -= win.real_part
    if activity.cash_before is not None:
        missing = min(win.real_part, win.real_part - activity.cash_before)
        if missing > 0:
            event.outcome.postings.append(Posting(activity.currency, missing, "debt", "cash", (), unit="OWED"))
            event.flag("CASH_DEBT", grant, activity_id=win.activity.activity_id, amount=str(missing))
    if grant is None or not (win.bonus_part or win.locked_part):
        return
    if grant.terms.base == "spin_winnings" and grant.status in OPEN and _is_of_free_spins(event, win):
        counting.grow(grant, -win.bonus_part)
        _shrink_progress(event, grant)
    lent = event.take(grant, win.bonus_part, win.locked_part, "win", "", reverses=win.activity.key)
    if lent:
        event.flag("BONUS_DEBT", grant, activity_id=win.activity.activity_id, amount=str(lent))


def _shrink_progress(event: Event, grant: Grant) -> None:
    """Progress never passes the requirement, also when that shrinks."""
    over = grant.wagered - grant.required
    if over > ZERO:
        grant.wagered -= over
        _note(event, grant, "ROLLED_BACK", -over, ZERO)


def _is_of_free_spins(event: Event, win: Recorded) -> bool:
    bets = event.wallet.of_round(win.activity.source, win.activity.round_id, Kind.BET)
    return any(bet.activity.is_free_round for bet in bets)
