"""One activity at work: what it says, what it is in the wallet, and the checks that it must pass."""

from collections.abc import Mapping

from .split import Parts
from .values import Activity, Grant, Kind, Recorded, Wallet
from .weights import Table
from .working import Work


class InvalidActivity(ValueError):
    """A report that contradicts itself or the wallet; the message names the field. Nothing has changed."""


class Event(Work):
    """One activity at work."""

    def __init__(self, wallet: Wallet, activity: Activity, tables: Mapping[int, Table]) -> None:
        super().__init__(wallet, activity.received_at, tables)
        self.activity = activity
        self.recorded = Recorded(activity)
        self.outcome.recorded = self.recorded

    def remember(self) -> None:
        self.wallet.remember(self.recorded)

    def of_round(self, kind: Kind) -> list[Recorded]:
        return self.wallet.of_round(self.activity.source, self.activity.round_id, kind)


def check(activity: Activity) -> None:
    """Raise InvalidActivity for a report that contradicts itself."""
    stated = [part for part in (activity.real_part, activity.bonus_part, activity.locked_part) if part is not None]
    if activity.amount < 0 or any(part < 0 for part in stated):
        raise InvalidActivity("amount and its parts must not be negative; report a rollback to take something back")
    if stated and sum(stated) != activity.amount and not activity.is_free_round:
        raise InvalidActivity(f"the parts add up to {sum(stated)}, the amount is {activity.amount} (minor units); state all parts or none")
    if (activity.kind == Kind.ROLLBACK) != bool(activity.takes_back_id):
        raise InvalidActivity("takes_back_id: a rollback names the bet or win that it takes back, and only a rollback does")
    if not activity.round_id or not activity.activity_id:
        raise InvalidActivity("activity_id and round_id must not be empty")


def stated_parts(activity: Activity) -> Parts | None:
    """The parts that the platform stated; None when it stated none."""
    if activity.real_part is None and activity.bonus_part is None and activity.locked_part is None:
        return None
    return Parts(activity.real_part or 0, activity.bonus_part or 0, activity.locked_part or 0)


def set_parts(recorded: Recorded, parts: Parts, grant: Grant | None) -> None:
    """Note what an activity moved, and on which grant."""
    recorded.real_part, recorded.bonus_part, recorded.locked_part = parts.real, parts.bonus, parts.locked
    if grant is not None:
        recorded.grant_id = grant.grant_id


def parts_of(recorded: Recorded) -> Parts:
    return Parts(recorded.real_part, recorded.bonus_part, recorded.locked_part)
