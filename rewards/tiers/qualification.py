"""Tiers by the rules, for one player: a pure decision from standing, points by day, ladder and programme.

The set-based statement in `settlement` does the same for many players at once; a property test holds the two equal. Points are whole
hundredths. Days are days of the programme's zone; spans of days are half-open. `docs/tiers.md` has the rules in words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum

PACE_DAYS = 30


class Window(StrEnum):
    ROLLING = "rolling"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"
    ANNIVERSARY = "anniversary"


class Outcome(StrEnum):
    UP = "UP"
    KEEPS = "KEEPS"
    GRACE = "GRACE"
    DOWN = "DOWN"
    OVERRIDE = "OVERRIDE"
    FROZEN = "FROZEN"
    NONE = "NONE"


class Kind(StrEnum):
    """What moved a player. NOTHING: the tier did not change."""

    NOTHING = ""
    UPGRADE = "UPGRADE"
    REVIEW = "REVIEW"
    GRACE_END = "GRACE_END"
    OVERRIDE_END = "OVERRIDE_END"


@dataclass(frozen=True)
class Programme:
    window: Window
    rolling_days: int
    grace_days: int
    soft_landing: bool


@dataclass(frozen=True)
class Step:
    """A tier of the ladder. `entry` and `keep` in hundredths, keep <= entry."""

    tier_id: int
    entry: int
    keep: int
    needs_gate: bool = False


Ladder = Sequence[Step]  # lowest first


@dataclass(frozen=True)
class Override:
    tier_id: int
    until: date


@dataclass(frozen=True)
class Standing:
    """`tier_id` by the rules; `valid_until` is the day of the review, `grace_until` the day on which a grace that runs is over."""

    tier_id: int | None
    valid_until: date
    grace_until: date | None = None
    frozen: str = ""
    frozen_on: date | None = None
    override: Override | None = None
    waiting: int | None = None

    @property
    def effective(self) -> int | None:
        return self.override.tier_id if self.override else self.tier_id


@dataclass(frozen=True)
class Situation:
    """present: the tier the player has; frozen: why no tier may move, or ""; cleared: a VIP clearance is in force;
    joined: the day whose anniversaries begin the player's years; points: qualifying hundredths by day."""

    present: int | None
    joined: date
    points: Mapping[date, int]
    frozen: str = ""
    cleared: bool = False

    def earned(self, start: date, end: date) -> int:
        return sum(points for day, points in self.points.items() if start <= day < end)


@dataclass(frozen=True)
class Figures:
    """metric: of the running window; review_metric: so far in the period the next review looks at; projected: the tier after it."""

    metric: int
    review_metric: int
    pace: int
    to_next: int | None
    to_keep: int
    next_review: date
    outcome: Outcome
    projected: int | None


@dataclass(frozen=True)
class Decision:
    """adopted: the tier was taken over as found; moved_metric: the points behind the move, None without one."""

    standing: Standing
    kind: Kind
    moved_metric: int | None
    adopted: bool
    figures: Figures


# Periods.


def period_of(programme: Programme, day: date, joined: date) -> tuple[date, date]:
    """The period that contains `day`; of the rolling window: the N days that end with it."""
    if programme.window is Window.ROLLING:
        return day - timedelta(days=programme.rolling_days - 1), day + timedelta(days=1)
    if programme.window is Window.ANNIVERSARY:
        years = day.year - joined.year
        if anniversary(joined, years) > day:
            years -= 1
        return anniversary(joined, years), anniversary(joined, years + 1)
    months = {Window.MONTH: 1, Window.QUARTER: 3, Window.YEAR: 12}[programme.window]
    start = date(day.year, (day.month - 1) // months * months + 1, 1)
    count = start.year * 12 + start.month - 1 + months
    return start, date(count // 12, count % 12 + 1, 1)


def anniversary(joined: date, years: int) -> date:
    """29 February has its anniversary on the 28th in other years."""
    try:
        return joined.replace(year=joined.year + years)
    except ValueError:
        return date(joined.year + years, 2, 28)


def end_of_next_period(programme: Programme, day: date, joined: date) -> date:
    """Until when a tier reached on `day` is valid. Rolling: the next period is the N days after that day."""
    if programme.window is Window.ROLLING:
        return day + timedelta(days=programme.rolling_days + 1)
    return period_of(programme, period_of(programme, day, joined)[1], joined)[1]


def end_of_this_period(programme: Programme, day: date, joined: date) -> date:
    """Until when a tier is valid that a review on `day` left. Rolling: the N days that begin with that day."""
    if programme.window is Window.ROLLING:
        return day + timedelta(days=programme.rolling_days)
    return period_of(programme, day, joined)[1]


def reviewed_from(programme: Programme, valid_until: date, joined: date) -> date:
    """The first day of the period that a review on `valid_until` looks at."""
    return period_of(programme, valid_until - timedelta(days=1), joined)[0]


# The decision.


def decide(known: Standing | None, seen: Situation, ladder: Ladder, programme: Programme, today: date) -> Decision:
    """What the rules make of a player on `today`. Deciding again on the same day with the same points changes nothing more.

    The order: take over a tier that was set elsewhere; freeze or thaw; end an override that is over; go up as far as the points
    of the running window reach; otherwise review a tier whose validity is over, and end a grace.
    """
    rules = _Rules(seen, ladder, programme, today)
    standing = known
    adopted = standing is None or standing.effective != seen.present
    if standing is None or adopted:
        waiting = standing.waiting if standing else None
        freeze = (standing.frozen, standing.frozen_on) if standing else ("", None)
        standing = Standing(seen.present, end_of_next_period(programme, today, seen.joined), None, *freeze, waiting=waiting)
    if seen.frozen:
        since = standing.frozen_on or today
        standing = replace(standing, frozen=seen.frozen, frozen_on=since)
        return Decision(standing, Kind.NOTHING, None, adopted, rules.figures(standing))
    if standing.frozen_on is not None:  # the days of a freeze are no days of grace
        grace = standing.grace_until + (today - standing.frozen_on) if standing.grace_until else None
        standing = replace(standing, frozen="", frozen_on=None, grace_until=grace)
    before = seen.present
    ended = standing.override is not None and standing.override.until <= today
    if ended:
        standing = replace(standing, override=None)
    standing, kind, metric = rules.apply(standing)
    if standing.effective == before:
        kind, metric = Kind.NOTHING, None
    elif ended:
        kind, metric = Kind.OVERRIDE_END, rules.metric
    standing = replace(standing, waiting=rules.waiting(standing))
    return Decision(standing, kind, metric, adopted, rules.figures(standing))


class _Rules:
    def __init__(self, seen: Situation, ladder: Ladder, programme: Programme, today: date) -> None:
        self.seen, self.ladder, self.programme, self.today = seen, ladder, programme, today
        self.tomorrow = today + timedelta(days=1)
        self.position = {step.tier_id: position for position, step in enumerate(ladder)}
        self.window, self.period_end = period_of(programme, today, seen.joined)
        self.metric = seen.earned(self.window, self.tomorrow)
        self.pace = seen.earned(today - timedelta(days=PACE_DAYS - 1), self.tomorrow)
        self.reached = self.highest_entry(self.metric)

    def may(self, position: int) -> bool:
        return self.seen.cleared or not self.ladder[position].needs_gate

    def at(self, standing: Standing) -> int:
        """Position on the ladder; -1 below it."""
        return self.position[standing.tier_id] if standing.tier_id is not None else -1

    def highest_entry(self, points: int, *, gate: bool = True) -> int:
        return max((i for i, step in enumerate(self.ladder) if step.entry <= points and (self.may(i) or not gate)), default=-1)

    def kept_by(self, position: int, points: int) -> bool:
        """The lowest tier is always kept: there is nothing below it."""
        return position <= 0 or (self.ladder[position].keep <= points and self.may(position))

    def landing(self, position: int, points: int) -> int:
        """Where a player who loses the tier lands: by the keep thresholds, and softly one step below where the programme says so."""
        below = range(position)
        target = max((i for i in below if self.kept_by(i, points)), default=0)
        if self.programme.soft_landing:
            target = max(target, max((i for i in below if self.may(i)), default=0))
        return target

    def apply(self, standing: Standing) -> tuple[Standing, Kind, int | None]:
        position = self.at(standing)
        if self.reached > position:
            valid = end_of_next_period(self.programme, self.today, self.seen.joined)
            risen = replace(standing, tier_id=self.ladder[self.reached].tier_id, valid_until=valid, grace_until=None)
            return risen, Kind.UPGRADE, self.metric
        if position < 0 or (standing.grace_until is None and standing.valid_until > self.today):
            return standing, Kind.NOTHING, None
        start = reviewed_from(self.programme, standing.valid_until, self.seen.joined)
        days, in_grace = self.programme.grace_days, standing.grace_until is not None
        grace_until = standing.grace_until if standing.grace_until is not None else self.today + timedelta(days=days)
        end = min(self.tomorrow, grace_until) if in_grace or days else standing.valid_until
        points = self.seen.earned(start, end)
        renewed = end_of_this_period(self.programme, self.today, self.seen.joined)
        if self.kept_by(position, points) or self.reached >= position:
            return replace(standing, valid_until=renewed, grace_until=None), Kind.NOTHING, None
        if grace_until > self.today:
            return replace(standing, grace_until=grace_until), Kind.NOTHING, None
        fallen = max(self.landing(position, points), self.reached)
        lower = replace(standing, tier_id=self.ladder[fallen].tier_id, valid_until=renewed, grace_until=None)
        return lower, Kind.GRACE_END if in_grace else Kind.REVIEW, points

    def waiting(self, standing: Standing) -> int | None:
        """The tier that the points reach and only the missing clearance keeps shut."""
        wanted = self.highest_entry(self.metric, gate=False)
        return self.ladder[wanted].tier_id if wanted > max(self.at(standing), self.reached) else None

    def figures(self, standing: Standing) -> Figures:
        position = self.at(standing)
        start = reviewed_from(self.programme, standing.valid_until, self.seen.joined)
        review = standing.grace_until or standing.valid_until
        points = self.seen.earned(start, min(self.tomorrow, review))
        to_next = max(self.ladder[position + 1].entry - self.metric, 0) if position + 1 < len(self.ladder) else None
        to_keep = max(self.ladder[position].keep - points, 0) if position > 0 else 0
        outcome, projected = self.outlook(standing, position, points, max((review - max(self.tomorrow, start)).days, 0), review)
        return Figures(self.metric, points, self.pace, to_next, to_keep, review, outcome, projected)

    def outlook(self, standing: Standing, position: int, points: int, days_left: int, review: date) -> tuple[Outcome, int | None]:
        """What the next review does if the player goes on as in the last 30 days, and the tier that the player has in the end."""
        if self.seen.frozen:
            return Outcome.FROZEN, standing.effective
        if standing.override is not None and standing.override.until > review:
            return Outcome.OVERRIDE, standing.effective
        expected = points + self.pace * days_left // PACE_DAYS
        left_now = 0 if self.programme.window is Window.ROLLING else (self.period_end - self.tomorrow).days
        up = self.highest_entry(max(expected, self.metric + self.pace * left_now // PACE_DAYS))
        if up > position:
            return Outcome.UP, self.ladder[up].tier_id
        if position < 0:
            return Outcome.NONE, None
        if self.kept_by(position, expected):
            return Outcome.KEEPS, standing.tier_id
        landing = self.ladder[self.landing(position, expected)].tier_id
        in_the_end = standing.grace_until is not None or self.programme.grace_days == 0
        return Outcome.DOWN if in_the_end else Outcome.GRACE, landing
