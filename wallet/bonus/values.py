"""The values that go in and out of the engine. Money is in minor units of the currency (int); progress, weights and penalties are
exact decimals of the currency with six places."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from .states import Status
from .terms import Terms


class Kind(StrEnum):
    BET = "BET"
    WIN = "WIN"
    ROLLBACK = "ROLLBACK"
    ROUND_END = "ROUND_END"


@dataclass(frozen=True, slots=True)
class Activity:
    """One report of the platform. The parts are None when the platform did not state them."""

    source: str
    activity_id: str
    kind: Kind
    player_id: int
    currency: str
    round_id: str
    occurred_at: datetime
    received_at: datetime
    product: str = "casino"
    amount: int = 0
    real_part: int | None = None
    bonus_part: int | None = None
    locked_part: int | None = None
    cash_before: int | None = None
    ends_round: bool = False
    takes_back_id: str = ""
    takes_back_kind: str = ""
    game_code: str = ""
    game_category: str = ""
    provider: str = ""
    house_edge: Decimal | None = None
    is_free_round: bool = False
    coverage: Decimal | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        return self.source, self.activity_id, self.kind


@dataclass(slots=True)
class Recorded:
    """An activity that the wallet knows, with what it did. Its parts always add up to the amount, unless it waits or is a free round."""

    activity: Activity
    real_part: int = 0
    bonus_part: int = 0
    locked_part: int = 0
    grant_id: int | None = None
    waits: bool = False
    event_id: int | None = None  # database id; None until it is written
    entry_id: int | None = None
    counted: Decimal | None = None  # of a bet: added to the progress when it was settled; None: not settled
    penalty: Decimal = Decimal(0)
    taken_back: bool = False


@dataclass(slots=True)
class Grant:
    """The working copy of a grant. `required` includes the penalties."""

    grant_id: int
    product: str
    currency: str
    status: Status
    terms: Terms
    principal: int
    balance: int
    locked: int
    deposit: int
    required: Decimal
    wagered: Decimal
    penalties: Decimal
    spins_left: int
    open_bets: int
    released: int  # paid out in all
    kept: int  # kept by the house at completion and after it
    activated_at: datetime | None
    expires_at: datetime
    queue_order: int = 0
    house: str = "rewards"  # what its money is credited against when it leaves the queue

    @property
    def money(self) -> int:
        return self.balance + self.locked


@dataclass(slots=True)
class Wallet:
    """What the engine works on: the grants of one player, the activities of the
    rounds concerned, and what the player owes per currency on the bonus account. Grants are those that are open or queued, and closed
    ones that a known activity names. `may_start` is False while the player may not take up bonuses (exclusion, harm): the queue waits."""

    player_id: int
    grants: dict[int, Grant] = field(default_factory=dict)
    known: dict[tuple[str, str, str], Recorded] = field(default_factory=dict)
    owed: dict[str, int] = field(default_factory=dict)
    may_start: bool = True
    _rounds: dict[tuple[str, str], list[Recorded]] = field(default_factory=dict, init=False, repr=False)
    _rollbacks: dict[tuple[str, str], Recorded] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for recorded in list(self.known.values()):
            self.remember(recorded)

    def remember(self, recorded: Recorded) -> None:
        """Add an activity, in the order in which activities took effect. The only way to add one after the wallet was made."""
        activity = recorded.activity
        self.known[activity.key] = recorded
        self._rounds.setdefault((activity.source, activity.round_id), []).append(recorded)
        if activity.kind == Kind.ROLLBACK and recorded.waits:
            self._rollbacks[activity.source, activity.takes_back_id] = recorded

    def of_round(self, source: str, round_id: str, kind: Kind) -> list[Recorded]:
        """The activities of a round that still stand, in the order in which they took effect."""
        return [one for one in self._rounds.get((source, round_id), ()) if one.activity.kind == kind and not one.taken_back]

    def waiting_rollback(self, activity: Activity) -> Recorded | None:
        """The rollback of `activity`, when it arrived first."""
        found = self._rollbacks.get((activity.source, activity.activity_id))
        if found is None or not found.waits or found.activity.takes_back_kind not in ("", activity.kind):
            return None
        return found


@dataclass(frozen=True, slots=True)
class Movement:
    """A part of a posting that belongs to one pocket of a grant: "balance" or "locked"."""

    grant_id: int
    pocket: str
    amount: int


@dataclass(frozen=True, slots=True)
class Posting:
    """An entry to be made on the player's bonus account (or, for `unit` OWED, on the account of owed cash).

    The movements add up to the amount. Its source is the activity and `sub`, unless it belongs to a grant: `credits_grant` marks the
    first credit of a grant that left the queue (the grant's own source), `closes_grant` what a grant's end takes (source wallet.grant,
    its id and `sub`). `reverses` is the key of the activity whose entry it takes back.
    """

    currency: str
    amount: int
    house: str
    sub: str
    movements: tuple[Movement, ...]
    unit: str = "BONUS"
    reverses: tuple[str, str, str] | None = None
    credits_grant: int | None = None
    closes_grant: int | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """What an event did to the wagering of a grant. `bet` and `settled_by` are keys of activities; fields as in WagerCount."""

    bet: tuple[str, str, str]
    settled_by: tuple[str, str, str]
    grant_id: int
    verdict: str
    rule: str
    weight: Decimal
    counted_stake: Decimal
    counted: Decimal
    penalty: Decimal
    before: Decimal
    after: Decimal
    required_after: Decimal


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of status. A final one has closed the grant: what was left is in the postings."""

    grant_id: int
    before: Status
    after: Status
    cause: str
    at: datetime
    detail: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Payout:
    """Cash that the platform has to credit: the released part of a grant. `sub` names the posting that it belongs to."""

    grant_id: int
    currency: str
    amount: int
    sub: str


@dataclass(frozen=True, slots=True)
class Flag:
    kind: str
    grant_id: int | None
    detail: dict[str, str]


@dataclass(slots=True)
class Outcome:
    """Everything that one event did, in order. The wallet that was passed in has been changed accordingly.

    `cash_change` is what the platform has to add to the player's cash for this event (a stake's real part is negative).
    """

    recorded: Recorded | None = None  # None: not an activity, but a decision (the end of a grant)
    repeated: bool = False
    also_recorded: list[Recorded] = field(default_factory=list)  # events that waited for this one, now with their parts
    postings: list[Posting] = field(default_factory=list)
    counts: list[Count] = field(default_factory=list)
    transitions: list[Transition] = field(default_factory=list)
    payouts: list[Payout] = field(default_factory=list)
    flags: list[Flag] = field(default_factory=list)
    cash_change: int = 0
