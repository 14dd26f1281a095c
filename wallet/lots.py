"""Points in lots, the arithmetic of it: when a lot ends, which lots a debit takes from, where a reversal goes. Pure.

Amounts are whole minor units. Instants are aware; an end is the first instant after the last day, so a lot that ends with 31 January is
usable on all of 31 January in the programme's zone.
"""

import calendar
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

NEVER, DAYS, MONTHS, FIXED_DATE, INACTIVITY = "never", "days", "months", "fixed_date", "inactivity"
MONTH_END, QUARTER_END, YEAR_END = "month_end", "quarter_end", "year_end"
_MONTHS_IN = {MONTH_END: 1, QUARTER_END: 3, YEAR_END: 12}

# far above any programme, far below the end of the calendar
LONGEST_PERIOD = {DAYS: 36_500, INACTIVITY: 36_500, MONTHS: 1_200, MONTH_END: 1_200, QUARTER_END: 400, YEAR_END: 100}

GRACE, NO_RESTORE = "grace", "none"
_LAST_INSTANT = datetime.max.replace(tzinfo=UTC)


class NotCovered(ValueError):
    """The lots do not hold the amount."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What decides the life of a lot; fields as in `PointsPolicy`. Raises ValueError naming the field that makes no sense."""

    expiry: str = NEVER
    period: int = 0
    fixed_date: date | None = None
    zone: str = "UTC"
    pending_hours: int = 0
    restore: str = GRACE
    restore_days: int = 14

    def __post_init__(self) -> None:
        if self.expiry not in (NEVER, FIXED_DATE, *LONGEST_PERIOD):
            raise ValueError(f"expiry {self.expiry!r} is unknown; use one of {', '.join((NEVER, FIXED_DATE, *LONGEST_PERIOD))}")
        if self.expiry in LONGEST_PERIOD and not 0 <= self.period <= LONGEST_PERIOD[self.expiry]:
            raise ValueError(f"period must lie between 0 and {LONGEST_PERIOD[self.expiry]} for expiry {self.expiry}, not {self.period}")
        if self.expiry in (DAYS, MONTHS, INACTIVITY) and self.period == 0:
            raise ValueError(f"period must be at least 1 for expiry {self.expiry}")
        if self.expiry == FIXED_DATE and self.fixed_date is None:
            raise ValueError("fixed_date must be given for expiry on a fixed date")
        if self.restore not in (GRACE, NO_RESTORE):
            raise ValueError(f"restore {self.restore!r} is unknown; use {GRACE} or {NO_RESTORE}")
        zone_of(self.zone)


@dataclass(frozen=True, slots=True)
class Held:
    """A lot as the plans see it. `expires_at` None: never ends. `taken_back`: the credit that made it was reversed."""

    lot_id: int
    remaining: int
    earned_at: datetime
    expires_at: datetime | None
    taken_back: bool = False

    def ended(self, at: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= at


@dataclass(frozen=True, slots=True)
class Part:
    """An amount of one lot."""

    lot_id: int
    amount: int


@dataclass(frozen=True, slots=True)
class Restoration:
    """Where the points of a reversed spend go: `back` to their lots; `lost` to lots that have ended, to expire again at once; or into one
    new lot of `grace` that ends at `grace_until` and gives back the lots `grace_of`. `pays`: what came back on lots whose own credit was
    taken back meanwhile (lot id None: in the new lot); it pays the player's debt first."""

    back: tuple[Part, ...] = ()
    lost: tuple[Part, ...] = ()
    grace: int = 0
    grace_until: datetime | None = None
    grace_of: tuple[int, ...] = ()
    pays: tuple[tuple[int | None, int], ...] = ()


@dataclass(frozen=True, slots=True)
class TakeBack:
    """How a credit is taken back: `own` from its lot, `others` from further lots. Of `own`, `unexpired` had expired and is given back
    first (nobody owes what ran out), and `debt` is not there and is lent."""

    own: int
    others: tuple[Part, ...]
    unexpired: int
    debt: int


def zone_of(name: str) -> ZoneInfo:
    """The time zone of a name. Raises ValueError when there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"zone {name!r} is unknown; use a name of the IANA list such as Europe/Malta or UTC") from error


def local_day(at: datetime, zone: str) -> date:
    return at.astimezone(zone_of(zone)).date()


def end_of_day(day: date, zone: str) -> datetime:
    """The first instant after the day in the zone, in UTC; also where midnight is skipped or comes twice."""
    following = day + timedelta(days=1)
    return datetime(following.year, following.month, following.day, tzinfo=zone_of(zone)).astimezone(UTC)


def last_day(policy: Policy, day: date) -> date | None:
    """The last day on which points of `day` (the local day from which the clock runs) are usable; None: they never end.

    A fixed date that lies behind ends nothing: points of later days never end until a new date is set.
    """
    if policy.expiry in (DAYS, INACTIVITY):
        return day + timedelta(days=policy.period)
    if policy.expiry == MONTHS:
        return _months_later(day, policy.period)
    if policy.expiry in _MONTHS_IN:
        months = _MONTHS_IN[policy.expiry]
        first_month = (day.month - 1) // months * months + 1
        in_last_month = _months_later(date(day.year, first_month, 1), months * (policy.period + 1) - 1)
        return in_last_month.replace(day=calendar.monthrange(in_last_month.year, in_last_month.month)[1])
    if policy.expiry == FIXED_DATE:
        assert policy.fixed_date is not None
        return policy.fixed_date if policy.fixed_date >= day else None
    return None


def expires_at(policy: Policy, since: datetime) -> datetime | None:
    """The end of points whose clock runs from `since` (when they became usable, or the last activity that counts)."""
    day = last_day(policy, local_day(since, policy.zone))
    return None if day is None else end_of_day(day, policy.zone)


def grace_until(policy: Policy, at: datetime) -> datetime:
    """The end of what is given back at `at` for a number of days."""
    return end_of_day(local_day(at, policy.zone) + timedelta(days=policy.restore_days), policy.zone)


def pending_until(policy: Policy, at: datetime) -> datetime | None:
    """When points earned at `at` become usable; None: at once."""
    return at + timedelta(hours=policy.pending_hours) if policy.pending_hours else None


def spend_order(lot: Held) -> tuple[bool, datetime, datetime, int]:
    """Sort key: earliest end first and never last, then earliest earned, then lowest number."""
    return lot.expires_at is None, lot.expires_at or _LAST_INSTANT, lot.earned_at, lot.lot_id


def spend_plan(lots: Iterable[Held], amount: int) -> list[Part]:
    """Which lots give how much of `amount`, in the order of spending. Raises NotCovered."""
    parts, rest = [], amount
    for lot in sorted(lots, key=spend_order):
        if rest == 0:
            break
        part = min(rest, lot.remaining)
        if part:
            parts.append(Part(lot.lot_id, part))
            rest -= part
    if rest:
        raise NotCovered(f"{rest} of {amount} minor units are in no lot")
    return parts


def restore_plan(taken: Sequence[tuple[Held, int]], policy: Policy, at: datetime) -> Restoration:
    """Where a reversed spend returns to, given what it took from which lot."""
    back, lost, ended, pays = [], [], [], list[tuple[int | None, int]]()
    for lot, amount in taken:
        if not lot.ended(at):
            back.append(Part(lot.lot_id, amount))
            if lot.taken_back:
                pays.append((lot.lot_id, amount))
        elif policy.restore == GRACE and policy.restore_days:
            ended.append((lot, amount))
        else:
            lost.append(Part(lot.lot_id, amount))
    if owed := sum(amount for lot, amount in ended if lot.taken_back):
        pays.append((None, owed))
    return Restoration(
        back=tuple(back),
        lost=tuple(lost),
        grace=sum(amount for _, amount in ended),
        grace_until=grace_until(policy, at) if ended else None,
        grace_of=tuple(lot.lot_id for lot, _ in ended),
        pays=tuple(pays),
    )


def take_back_plan(own: Held, others: Sequence[Held], *, amount: int, expired: int = 0, restoring: Sequence[int] = ()) -> TakeBack:
    """How to take back the credit of `amount` that made the lot `own`: what remains of it, then the lots that gave it back (`restoring`),
    then those that come later in the order of spending, then a debt. `expired` is what ran out of it and was not given back."""
    kept = min(own.remaining, amount)
    unexpired = min(expired, amount - kept)
    rest = amount - kept - unexpired
    parts = []
    for lot in sorted(others, key=lambda lot: (lot.lot_id not in restoring, spend_order(lot))):
        if lot.lot_id in restoring or spend_order(lot) > spend_order(own):
            part = min(rest, lot.remaining)
            if part:
                parts.append(Part(lot.lot_id, part))
                rest -= part
    return TakeBack(own=kept + unexpired + rest, others=tuple(parts), unexpired=unexpired, debt=rest)


def _months_later(day: date, months: int) -> date:
    """The same day of a later month, or that month's last day when it is shorter."""
    index = day.year * 12 + day.month - 1 + months
    year, month = divmod(index, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
