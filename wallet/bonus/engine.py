"""What one event does to a wallet: the only place that decides it.

`apply` takes the working copy of a wallet and one activity, changes the copy and returns everything that happened, in order. Events
may come in any order, late or twice: a repeated one does nothing, a win before its bet and a rollback before its target wait until it
arrives. Of a player's events that move money, the order of arrival decides, as cash on the platform moves in that order too.
"""

from collections.abc import Mapping

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from . import counting, split
from .counting import ZERO
from .split import NotCovered, Parts
from .states import FINAL, OPEN, Status
from .values import Activity, Count, Grant, Kind, Outcome, Posting, Recorded, Wallet
from .weights import Table
from .working import Work


class InvalidActivity(ValueError):
    """A report that contradicts itself or the wallet; the message names the field. Nothing has changed."""


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
    _check(activity)
    event = _Event(wallet, activity, tables)
    match activity.kind:
        case Kind.BET:
            _bet(event)
        case Kind.WIN:
            _win(event)
        case Kind.ROLLBACK:
            _rollback(event)
        case Kind.ROUND_END:
            event.remember()
            _settle(event)
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


class _Event(Work):
    """One activity at event."""

    def __init__(self, wallet: Wallet, activity: Activity, tables: Mapping[int, Table]) -> None:
        super().__init__(wallet, activity.received_at, tables)
        self.activity = activity
        self.recorded = Recorded(activity)
        self.outcome.recorded = self.recorded

    def remember(self) -> None:
        self.wallet.remember(self.recorded)

    def of_round(self, kind: Kind) -> list[Recorded]:
        return self.wallet.of_round(self.activity.source, self.activity.round_id, kind)


def _repeat(known: Recorded, activity: Activity) -> Outcome:
    for name in (*_CONTENT, "amount") if activity.kind != Kind.ROLLBACK else _CONTENT:
        before, now = getattr(known.activity, name), getattr(activity, name)
        if before != now:
            raise Conflict(
                f"{activity.kind} {activity.activity_id} of {activity.source} was reported before with {name} {before!r}, now {now!r}; "
                "use a new activity_id for a new event"
            )
    return Outcome(known, repeated=True)


def _check(activity: Activity) -> None:
    stated = [part for part in (activity.real_part, activity.bonus_part, activity.locked_part) if part is not None]
    if activity.amount < 0 or any(part < 0 for part in stated):
        raise InvalidActivity("amount and its parts must not be negative; report a rollback to take something back")
    if stated and sum(stated) != activity.amount and not activity.is_free_round:
        raise InvalidActivity(f"the parts add up to {sum(stated)}, the amount is {activity.amount} (minor units); state all parts or none")
    if (activity.kind == Kind.ROLLBACK) != bool(activity.takes_back_id):
        raise InvalidActivity("takes_back_id: a rollback names the bet or win that it takes back, and only a rollback does")
    if not activity.round_id or not activity.activity_id:
        raise InvalidActivity("activity_id and round_id must not be empty")


def _stated(activity: Activity) -> Parts | None:
    if activity.real_part is None and activity.bonus_part is None and activity.locked_part is None:
        return None
    return Parts(activity.real_part or 0, activity.bonus_part or 0, activity.locked_part or 0)


def _set_parts(recorded: Recorded, parts: Parts, grant: Grant | None) -> None:
    recorded.real_part, recorded.bonus_part, recorded.locked_part = parts.real, parts.bonus, parts.locked
    if grant is not None:
        recorded.grant_id = grant.grant_id


def _parts(recorded: Recorded) -> Parts:
    return Parts(recorded.real_part, recorded.bonus_part, recorded.locked_part)


# bets


def _bet(event: _Event) -> None:
    activity = event.activity
    if (tombstone := event.wallet.waiting_rollback(activity)) is not None:
        _cancelled_on_arrival(event, tombstone)
        return
    grant = event.open_grant(activity.product)
    why_not = counting.unusable(grant, activity) if grant else ""
    if grant and activity.is_free_round and not why_not and not grant.spins_left:
        grant = None  # a free round of the platform's own
    usable = grant if not why_not else None
    parts = Parts(0, 0, 0) if activity.is_free_round else _stake(activity, usable)
    event.remember()
    _set_parts(event.recorded, parts, grant)
    event.outcome.cash_change -= parts.real
    if usable is not None:
        usable.open_bets += 1
        if activity.is_free_round:
            usable.spins_left -= 1
        if parts.on_grant:
            event.take(usable, parts.bonus, parts.locked, "stake", "")
    elif grant is not None:
        _count(event, event.recorded, grant, why_not)
    _wins_that_waited(event)
    if activity.ends_round or _round_has_ended(event):
        _settle(event)


def _stake(activity: Activity, grant: Grant | None) -> Parts:
    """The parts of a stake. Without a statement of the platform and without its cash balance, the whole stake is cash."""
    bonus, locked = (grant.balance, grant.locked) if grant else (0, 0)
    stated = _stated(activity)
    if stated is not None:
        if stated.bonus > bonus or stated.locked > locked:
            raise StakeNotCovered(
                f"the stake takes {stated.bonus} from the bonus and {stated.locked} from locked winnings; "
                f"there are {bonus} and {locked} to play with (minor units)"
            )
        return stated
    if activity.cash_before is None:
        return Parts(activity.amount, 0, 0)
    order = grant.terms.fund_order if grant else "real_first"
    return split.stake_parts(order, activity.amount, cash=max(0, activity.cash_before), bonus=bonus, locked=locked)


def _round_has_ended(event: _Event) -> bool:
    return bool(event.of_round(Kind.ROUND_END)) or any(
        one.activity.ends_round for kind in (Kind.BET, Kind.WIN) for one in event.of_round(kind) if one is not event.recorded
    )


# wins


def _win(event: _Event) -> None:
    activity = event.activity
    if (tombstone := event.wallet.waiting_rollback(activity)) is not None:
        _cancelled_on_arrival(event, tombstone)
        return
    bets = event.of_round(Kind.BET)
    stated = _stated(activity)
    if stated is None and not bets and event.open_grant(activity.product) is not None:
        event.recorded.waits = True
        event.remember()
        return
    _credit_win(event, event.recorded, bets, stated)
    event.remember()
    if activity.ends_round:
        _settle(event)
    elif event.recorded.grant_id is not None:
        event.end_if_due([event.wallet.grants[event.recorded.grant_id]])


def _credit_win(event: _Event, recorded: Recorded, bets: list[Recorded], stated: Parts | None) -> None:
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
    _set_parts(recorded, parts, grant if parts.on_grant else None)
    event.outcome.cash_change += parts.real
    if grant is None or not parts.on_grant:
        return
    if free and grant.status in OPEN:
        _grow(grant, parts.on_grant)
    event.pay_in(grant, parts.bonus, parts.locked, "win", _sub(event, recorded))


def _grant_of(event: _Event, bets: list[Recorded]) -> Grant | None:
    """The grant that the round is played on: that of the latest bet with bonus money or a free spin, else of the latest bet."""
    bound = [bet for bet in bets if bet.grant_id is not None]
    staked = [bet for bet in bound if bet.bonus_part or bet.locked_part or bet.activity.is_free_round]
    for bet in reversed(staked or bound):
        return event.wallet.grants.get(bet.grant_id or 0)
    return None


def _grow(grant: Grant, amount: int) -> None:
    """Free spins: what they win is the bonus, and sets what has to be wagered."""
    grant.principal = max(0, grant.principal + amount)
    grant.required = counting.requirement(grant) + grant.penalties


def _wins_that_waited(event: _Event) -> None:
    for win in event.of_round(Kind.WIN):
        if win.waits:
            win.waits = False
            _credit_win(event, win, event.of_round(Kind.BET), None)
            event.outcome.also_recorded.append(win)


def _sub(event: _Event, recorded: Recorded) -> str:
    """Part of the source of a posting: empty for the activity itself, the waiting win's id for one that took effect with it."""
    return "" if recorded is event.recorded else f"win-{len(event.outcome.also_recorded)}"


# settlement


def _settle(event: _Event) -> None:
    """Count the open bets of the round that has ended."""
    touched: list[Grant] = []
    bets = event.of_round(Kind.BET)
    for bet in bets:
        if bet.grant_id is None or bet.counted is not None:
            continue
        grant = event.wallet.grants[bet.grant_id]
        grant.open_bets -= 1
        if grant.status in FINAL:
            _count(event, bet, grant, "GRANT_CLOSED")
        else:
            _judge(event, bet, grant, bets)
        touched.append(grant)
    if event.recorded.grant_id is not None:
        touched.append(event.wallet.grants[event.recorded.grant_id])
    event.end_if_due({grant.grant_id: grant for grant in touched}.values())


def _judge(event: _Event, bet: Recorded, grant: Grant, bets: list[Recorded]) -> None:
    stakes = sum(one.activity.amount for one in bets)
    won = sum(win.activity.amount for win in event.of_round(Kind.WIN) if not win.waits)
    judged = counting.judge(bet, grant, won * bet.activity.amount // stakes if stakes else 0, event.tables)
    grant.penalties += judged.penalty
    grant.required += judged.penalty
    counted = min(judged.counts, grant.required - grant.wagered)
    verdict = "CAPPED" if judged.verdict == "COUNTED" and counted < judged.counts else judged.verdict
    _count(event, bet, grant, verdict, judged, counted)
    if counted > ZERO and grant.status == Status.ACTIVE:
        event.move(grant, Status.WAGERING, f"first counted bet {bet.activity.activity_id}")
    if verdict == "FLAGGED":
        event.flag(
            "OVER_MAX_BET", grant, activity_id=bet.activity.activity_id, stake=str(bet.activity.amount), max_bet=str(grant.terms.max_bet)
        )


def _count(
    event: _Event,
    bet: Recorded,
    grant: Grant,
    verdict: str,
    judged: counting.Judgement | None = None,
    counted: Decimal = ZERO,
) -> None:
    """Note what a bet did to its grant, and let the progress move."""
    judged = judged or counting.Judgement(verdict)
    before = grant.wagered
    grant.wagered += counted
    bet.counted, bet.penalty = counted, judged.penalty
    event.outcome.counts.append(
        Count(
            bet=bet.activity.key,
            settled_by=event.activity.key,
            grant_id=grant.grant_id,
            verdict=verdict,
            rule=judged.rule,
            weight=judged.weight,
            counted_stake=judged.counted_stake,
            counted=counted,
            penalty=judged.penalty,
            before=before,
            after=grant.wagered,
            required_after=grant.required,
        )
    )


# rollbacks


def _cancelled_on_arrival(event: _Event, rollback: Recorded) -> None:
    """An event whose rollback came first: both are kept, neither has an effect."""
    event.recorded.taken_back = True
    _set_parts(event.recorded, Parts(event.activity.amount, 0, 0), None)
    rollback.waits = False
    _set_parts(rollback, _parts(event.recorded), None)
    event.outcome.also_recorded.append(rollback)
    event.remember()


def _rollback(event: _Event) -> None:
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
    _set_parts(event.recorded, _parts(target), grant)
    if target.waits:  # a win that never took effect
        target.waits = False
        event.outcome.also_recorded.append(target)
        _set_parts(target, Parts(target.activity.amount, 0, 0), None)
        return
    if target.activity.kind == Kind.BET:
        _take_back_bet(event, target, grant)
    else:
        _take_back_win(event, target, grant)
    if grant is not None:
        event.end_if_due([grant])


def _take_back_bet(event: _Event, bet: Recorded, grant: Grant | None) -> None:
    event.outcome.cash_change += bet.real_part
    if grant is None:
        return
    if bet.counted is None:
        grant.open_bets -= 1
        _count(event, bet, grant, "CANCELLED")
    elif grant.status in FINAL:
        _note_rollback(event, grant, "GRANT_CLOSED", ZERO, ZERO)
    else:
        grant.penalties -= bet.penalty
        grant.required -= bet.penalty
        # a requirement that shrinks below the progress takes the rest of the progress with it
        back = max(bet.counted, grant.wagered - grant.required)
        grant.wagered -= back
        _note_rollback(event, grant, "ROLLED_BACK", -back, -bet.penalty)
    if bet.activity.is_free_round and grant.status in OPEN:
        grant.spins_left += 1
    if bet.bonus_part or bet.locked_part:
        event.pay_in(grant, bet.bonus_part, bet.locked_part, "stake", "", reverses=bet.activity.key)


def _note_rollback(event: _Event, grant: Grant, verdict: str, counted: Decimal, penalty: Decimal) -> None:
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


def _take_back_win(event: _Event, win: Recorded, grant: Grant | None) -> None:
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
        _grow(grant, -win.bonus_part)
        _shrink_progress(event, grant)
    lent = event.take(grant, win.bonus_part, win.locked_part, "win", "", reverses=win.activity.key)
    if lent:
        event.flag("BONUS_DEBT", grant, activity_id=win.activity.activity_id, amount=str(lent))


def _shrink_progress(event: _Event, grant: Grant) -> None:
    """Progress never passes the requirement, also when that shrinks."""
    over = grant.wagered - grant.required
    if over > ZERO:
        grant.wagered -= over
        _note_rollback(event, grant, "ROLLED_BACK", -over, ZERO)


def _is_of_free_spins(event: _Event, win: Recorded) -> bool:
    bets = event.wallet.of_round(win.activity.source, win.activity.round_id, Kind.BET)
    return any(bet.activity.is_free_round for bet in bets)


# quotes


@dataclass(frozen=True, slots=True)
class Quote:
    """How a stake and a win would be divided now, and what the stake would count. Changes nothing."""

    grant_id: int | None
    stake: Parts
    win: Parts | None
    verdict: str
    rule: str
    weight: Decimal
    would_count: Decimal


def quote(wallet: Wallet, bet: Activity, tables: Mapping[int, Table], *, win: int | None = None) -> Quote:
    """What `apply` would do with a bet that settles at once. Raises StakeNotCovered, InvalidActivity."""
    _check(bet)
    grant = Work(wallet, bet.received_at, tables).open_grant(bet.product)
    why_not = counting.unusable(grant, bet) if grant else "NO_BONUS"
    usable = grant if grant and not why_not else None
    parts = Parts(0, 0, 0) if bet.is_free_round else _stake(bet, usable)
    won = None if win is None else split.win_parts(win, parts, to_locked=usable is not None and usable.terms.winnings == "locked")
    if usable is None:
        return Quote(grant.grant_id if grant else None, parts, won, why_not, "", ZERO, ZERO)
    recorded = Recorded(bet)
    _set_parts(recorded, parts, usable)
    judged = counting.judge(recorded, usable, win or 0, tables)
    would_count = min(judged.counts, usable.required + judged.penalty - usable.wagered)
    return Quote(usable.grant_id, parts, won, judged.verdict, judged.rule, judged.weight, would_count)
