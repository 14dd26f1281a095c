"""The state machine of a bonus grant: which status may follow which, and by which cause. The only place that decides it."""

from enum import StrEnum


class Status(StrEnum):
    OFFERED = "OFFERED"
    QUEUED = "QUEUED"
    ACTIVE = "ACTIVE"
    WAGERING = "WAGERING"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    EXPIRED_UNCLAIMED = "EXPIRED_UNCLAIMED"
    EXPIRED = "EXPIRED"
    LOST = "LOST"
    FORFEITED = "FORFEITED"
    VOIDED = "VOIDED"
    REVERSED = "REVERSED"


WAITING = frozenset({Status.OFFERED, Status.QUEUED})
OPEN = frozenset({Status.ACTIVE, Status.WAGERING, Status.PAUSED})
FINAL = frozenset(Status) - WAITING - OPEN

# from -> to; None is a grant that does not exist yet. What is not listed is refused.
TRANSITIONS: dict[Status | None, frozenset[Status]] = {
    None: frozenset({Status.OFFERED, Status.QUEUED, Status.ACTIVE}),
    Status.OFFERED: frozenset({Status.QUEUED, Status.ACTIVE, Status.EXPIRED_UNCLAIMED, Status.FORFEITED, Status.VOIDED, Status.REVERSED}),
    Status.QUEUED: frozenset({Status.ACTIVE, Status.EXPIRED_UNCLAIMED, Status.FORFEITED, Status.VOIDED, Status.REVERSED}),
    Status.ACTIVE: frozenset(
        {
            Status.WAGERING,
            Status.PAUSED,
            Status.COMPLETED,  # nothing to wager
            Status.EXPIRED,
            Status.LOST,
            Status.FORFEITED,
            Status.VOIDED,
            Status.REVERSED,
        }
    ),
    Status.WAGERING: frozenset(
        {Status.PAUSED, Status.COMPLETED, Status.EXPIRED, Status.LOST, Status.FORFEITED, Status.VOIDED, Status.REVERSED}
    ),
    Status.PAUSED: frozenset({Status.ACTIVE, Status.WAGERING, Status.EXPIRED, Status.FORFEITED, Status.VOIDED, Status.REVERSED}),
}


class IllegalTransition(ValueError):
    """A change of status that the state machine does not know."""


def check(before: Status | None, after: Status) -> None:
    """Raise IllegalTransition unless a grant may go from `before` (None: it is made) to `after`."""
    if after not in TRANSITIONS.get(before, frozenset()):
        was = "a new grant" if before is None else f"a grant that is {before.lower()}"
        end = "; that is final" if before in FINAL else ""
        raise IllegalTransition(f"{was} cannot become {after.lower()}{end}")
