"""One wallet rebuilt from its log. Pure: rows in, differences out; every decision is the engine's.

Given is what the log holds: the activity as reported (with the house edge of the game as it was), the changes of status that came from
outside with what they decided, the terms as frozen, and contribution tables, whose begun rules never change. All else is made anew: parts
of stakes and wins, weights, progress, penalties, ends, releases, debts.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal

from wallet.bonus import engine
from wallet.bonus.closing import release
from wallet.bonus.counting import requirement
from wallet.bonus.states import FINAL, OPEN, Status, check
from wallet.bonus.values import Activity, Grant, Outcome, Wallet
from wallet.bonus.weights import Table
from wallet.values import PLATFORM_SOURCE

Key = tuple[str, str, str]

_NEVER = datetime.min.replace(tzinfo=UTC)
_ALWAYS = datetime.max.replace(tzinfo=UTC)
_COMPARED = (
    "status", "balance", "locked", "principal", "deposit", "required", "wagered", "penalties", "released", "kept", "open_bets",
    "expires_at",
)  # fmt: skip


class ReplayFailed(ValueError):
    """The log contradicts itself; the message says where."""


@dataclass(frozen=True, slots=True)
class StatusChange:
    """A change of status as logged. `before` is None for a new grant."""

    number: int
    grant_id: int
    before: Status | None
    after: Status
    at: datetime
    detail: Mapping[str, str] = field(default_factory=dict)
    entry_seq: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """An activity as logged, and what is stored of its effect: (real, bonus, locked part, grant, waits); None: not to be compared."""

    number: int
    activity: Activity
    entry_seq: int | None = None
    effect: tuple[int, int, int, int | None, bool] | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """Bonus money that neither an activity nor a change of status moved."""

    entry_seq: int
    at: datetime
    house: str
    currency: str
    grant_id: int
    pocket: str
    amount: int


@dataclass(frozen=True, slots=True)
class Counted:
    """What a bet (or its rollback) did to a grant, as stored."""

    bet: Key
    grant_id: int
    verdict: str
    counted: Decimal
    penalty: Decimal


@dataclass(slots=True)
class Log:
    """All that the replay of one player looks at. `grants` are as stored."""

    player_id: int
    grants: dict[int, Grant] = field(default_factory=dict)
    statuses: list[StatusChange] = field(default_factory=list)
    activity: list[Report] = field(default_factory=list)
    counts: list[Counted] = field(default_factory=list)
    moved: list[Moved] = field(default_factory=list)

    def in_order(self) -> list[StatusChange | Report | Moved]:
        """The log in one order. What has no number of its own stands by the entries of the account, then by time."""
        numbered: list[StatusChange | Report] = [*self.statuses, *self.activity]
        steps: list[StatusChange | Report | Moved] = [*sorted(numbered, key=lambda one: one.number)]
        for moved in reversed(self.moved):
            place = 0
            for position, step in enumerate(steps):
                if step.entry_seq is not None and step.entry_seq < moved.entry_seq:
                    place = position + 1
            while place < len(steps) and steps[place].entry_seq is None and _time(steps[place]) <= moved.at:
                if _ends(steps[place], moved.grant_id):
                    break
                place += 1
            steps.insert(place, moved)
        return steps


def _ends(step: StatusChange | Report | Moved, grant_id: int) -> bool:
    return isinstance(step, StatusChange) and step.grant_id == grant_id and step.after in FINAL


def _time(step: StatusChange | Report | Moved) -> datetime:
    return step.activity.received_at if isinstance(step, Report) else step.at


class ReplayedWallet:
    """Runs a log through the engine and says where it comes out otherwise than stored."""

    def __init__(self, log: Log, tables: Mapping[int, Table]) -> None:
        self.log = log
        self.wallet = Wallet(log.player_id, may_start=False)
        self.expected: Counter[tuple[int, Status | None, Status]] = Counter()
        self.counts: list[tuple[Key, int, str, Decimal, Decimal]] = []
        self.starts: dict[datetime, list[int]] = {}
        for change in log.statuses:
            if change.before == Status.QUEUED and change.after == Status.ACTIVE:
                self.starts.setdefault(change.at, []).append(change.grant_id)
        self.tables = tables

    def run(self) -> None:
        """Raises ReplayFailed or what the engine raises, when the log cannot have happened."""
        for step in self.log.in_order():
            if isinstance(step, Report):
                self._report(step.activity)
            elif isinstance(step, StatusChange):
                self._change(step)
            else:
                self._move(step)

    # activity: the engine decides

    def _report(self, activity: Activity) -> None:
        waited = self._let_start(activity.received_at)
        outcome = engine.apply(self.wallet, activity, self.tables)
        if outcome.repeated:
            raise ReplayFailed(f"{activity.kind} {activity.activity_id} of {activity.source} is in the log twice")
        self._note(outcome)
        for grant_id, (expires_at, queue_order) in waited.items():
            grant = self.wallet.grants[grant_id]
            grant.queue_order = queue_order
            if grant.status == Status.QUEUED or grant.terms.wagering_seconds is None:
                grant.expires_at = expires_at

    def _let_start(self, at: datetime) -> dict[int, tuple[datetime, int]]:
        """Let the engine start exactly those queued grants that were started at that instant, in the order of the log.

        Returns (end of waiting, place in the queue) of the queued grants, to be put back: who was next was decided then.
        """
        queued = {one.grant_id: one for one in self.wallet.grants.values() if one.status == Status.QUEUED}
        starting = [grant_id for grant_id in self.starts.get(at, ()) if grant_id in queued]
        self.wallet.may_start = bool(starting)
        waited = {grant_id: (grant.expires_at, grant.queue_order) for grant_id, grant in queued.items()}
        for grant_id, grant in queued.items():
            grant.expires_at = _ALWAYS if grant_id in starting else _NEVER
            grant.queue_order = starting.index(grant_id) if grant_id in starting else 0
        return waited

    def _note(self, outcome: Outcome) -> None:
        for change in outcome.transitions:
            self.expected[change.grant_id, change.before, change.after] += 1
        self.counts += [(count.bet, count.grant_id, count.verdict, count.counted, count.penalty) for count in outcome.counts]

    # changes from outside: the log decides, by the rules of the state machine

    def _change(self, change: StatusChange) -> None:
        key = change.grant_id, change.before, change.after
        if self.expected[key]:
            self.expected[key] -= 1
            return
        grant = self.wallet.grants.get(change.grant_id)
        was = grant.status if grant is not None else None
        if was != change.before:
            raise ReplayFailed(
                f"grant {change.grant_id} is {was or 'not there'} when the log makes it {change.after} from {change.before or 'nothing'}"
            )
        check(change.before, change.after)
        if grant is None:
            grant = self._new(change.grant_id)
        grant.status = change.after
        self._take_decisions(grant, change.detail)
        if change.after == Status.ACTIVE and change.before != Status.PAUSED:
            self._start(grant, change.at)
        elif change.after in FINAL:
            self._end(grant, change.detail)
        elif change.after == Status.WAGERING and grant.wagered <= 0:
            raise ReplayFailed(f"the log makes grant {grant.grant_id} {change.after}, but no bet counted")

    def _new(self, grant_id: int) -> Grant:
        stored = self.log.grants[grant_id]
        free_spins = stored.terms.kind == "free_spins"
        grant = replace(
            stored, principal=0 if free_spins else stored.principal, balance=0, locked=0, required=Decimal(0), wagered=Decimal(0),
            penalties=Decimal(0), spins_left=0, open_bets=0, released=0, kept=0, activated_at=None,
        )  # fmt: skip
        self.wallet.grants[grant_id] = grant
        return grant

    def _take_decisions(self, grant: Grant, detail: Mapping[str, str]) -> None:
        """What the change says it decided; where it does not, the stored grant stands."""
        if grant.terms.kind != "free_spins":
            grant.principal = int(detail.get("principal", grant.principal))
        grant.deposit = int(detail.get("deposit", grant.deposit))
        if "expires_at" in detail:
            grant.expires_at = datetime.fromisoformat(detail["expires_at"])

    def _start(self, grant: Grant, at: datetime) -> None:
        grant.activated_at = at
        grant.spins_left = grant.terms.spins if grant.terms.kind == "free_spins" else 0
        grant.required = requirement(grant)
        grant.balance = grant.principal

    def _end(self, grant: Grant, detail: Mapping[str, str]) -> None:
        """Ends that follow from the grant's state must follow from it here, too; what was left must be what the end says."""
        # a platform that runs the bonus itself ends it by what it knows, not by what it reported
        is_ours = detail.get("decided_by") != PLATFORM_SOURCE
        if is_ours and grant.status == Status.COMPLETED and (grant.wagered < grant.required or grant.spins_left):
            raise ReplayFailed(f"the log completes grant {grant.grant_id} at {grant.wagered} of {grant.required}")
        if is_ours and grant.status == Status.LOST and (grant.money >= grant.terms.min_bet or grant.open_bets):
            raise ReplayFailed(f"the log loses grant {grant.grant_id}, with {grant.money} minor units left and {grant.open_bets} open bets")
        if int(detail.get("money", grant.money)) != grant.money:
            raise ReplayFailed(f"grant {grant.grant_id} ended with {detail['money']} minor units left, the log says {grant.money}")
        if grant.status == Status.COMPLETED:
            released, kept = release(grant)
            grant.released += released
            grant.kept += kept
        grant.balance = grant.locked = 0

    def _move(self, moved: Moved) -> None:
        grant = self.wallet.grants.get(moved.grant_id)
        if grant is None:
            raise ReplayFailed(f"money moved on grant {moved.grant_id} before it was there")
        if moved.pocket == "locked":
            grant.locked += moved.amount
        else:
            grant.balance += moved.amount
        if moved.house == "debt":
            self.wallet.owed[moved.currency] = self.wallet.owed.get(moved.currency, 0) + moved.amount

    # what came out

    def differences(self) -> Iterator[tuple[int, str]]:
        """(grant id, text) of everything that is stored otherwise than the log says."""
        for grant_id, stored in self.log.grants.items():
            rebuilt = self.wallet.grants.get(grant_id)
            if rebuilt is None:
                yield grant_id, f"grant {grant_id} is not in the log"
                continue
            for name in _COMPARED:
                if name in ("required", "principal") and rebuilt.activated_at is None:
                    continue
                was, now = getattr(stored, name), getattr(rebuilt, name)
                if was != now:
                    yield grant_id, f"grant {grant_id}: {name} is {was}, the log says {now}"
            if rebuilt.status in OPEN and rebuilt.spins_left != stored.spins_left:
                yield grant_id, f"grant {grant_id}: spins_left is {stored.spins_left}, the log says {rebuilt.spins_left}"
        for (grant_id, before, after), missing in self.expected.items():
            if missing:
                yield grant_id, f"grant {grant_id}: the log says {before} -> {after}, and no status event does"
        yield from self._count_differences()
        yield from self._effect_differences()

    def _effect_differences(self) -> Iterator[tuple[int, str]]:
        for report in self.log.activity:
            recorded = self.wallet.known[report.activity.key]
            now = (recorded.real_part, recorded.bonus_part, recorded.locked_part, recorded.grant_id, recorded.waits)
            if report.effect is not None and report.effect != now:
                named = report.effect[3] or recorded.grant_id or 0
                name = f"{report.activity.kind} {report.activity.activity_id}"
                yield named, f"{name}: its parts, grant and waiting are {report.effect}, the log says {now}"

    def _count_differences(self) -> Iterator[tuple[int, str]]:
        stored = Counter((one.bet, one.grant_id, one.verdict, one.counted, one.penalty) for one in self.log.counts)
        rebuilt = Counter(self.counts)
        for (bet, grant_id, verdict, counted, _), _times in (stored - rebuilt).items():
            yield grant_id, f"grant {grant_id}: {bet[2]} {bet[1]} is stored as {verdict} {counted}, the log says otherwise"
        for (bet, grant_id, verdict, counted, _), _times in (rebuilt - stored).items():
            yield grant_id, f"grant {grant_id}: {bet[2]} {bet[1]} must be {verdict} {counted}, and is not stored so"


def rebuild(log: Log, tables: Mapping[int, Table]) -> Sequence[tuple[int, str]]:
    """Replay one log; (grant id, text) of each difference. A log that cannot be replayed is one. `tables`: contribution tables by id."""
    wallet = ReplayedWallet(log, tables)
    try:
        wallet.run()
    except (ValueError, KeyError) as failure:
        return [(next(iter(log.grants), 0), f"the log cannot be replayed: {failure}")]
    return list(wallet.differences())
