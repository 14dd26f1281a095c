"""The points policies as the wallet's statements need them: read once, and checked by the statement that uses them."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

from django.apps import apps as global_apps
from django.db import connections

from wallet.errors import InvalidPosting
from wallet.ledger import NewLot
from wallet.lots import Policy, end_of_day, expires_at, last_day
from wallet.models import House, PointsPolicy

UNITS = ("LP", "RP", "TICKET")

# what waits for the policy's hours before it can be used: what play and rules give. What people or earlier systems give is there at once
WAITING_HOUSES = (House.REWARDS, House.GAME)

_known: dict[str, Policy] = {}


def read_policies() -> dict[str, Policy]:
    """The policies of all units as they are now."""
    found = {row.unit: policy_of(row) for row in PointsPolicy.objects.all()}
    _known.clear()
    _known.update(found)
    return found


def policy_of(row: PointsPolicy) -> Policy:
    return Policy(
        expiry=row.expiry,
        period=row.period,
        fixed_date=row.fixed_date,
        zone=row.zone,
        pending_hours=row.pending_hours,
        restore=row.restore,
        restore_days=row.restore_days,
    )


def current(unit: str) -> Policy:
    """The policy of a unit as it is now. Raises InvalidPosting when the unit has none."""
    return _existing(unit, read_policies())


def remembered(unit: str) -> Policy:
    """The policy of a unit as this process last read it. Whoever uses it must have the database check that it still stands."""
    return _known[unit] if unit in _known else current(unit)


def forget() -> None:
    """Read the policies anew next time."""
    _known.clear()


def _existing(unit: str, found: dict[str, Policy]) -> Policy:
    if unit not in found:
        raise InvalidPosting(f"there is no points policy for {unit}; run `migrate`, which makes the missing ones")
    return found[unit]


def new_lot(policy: Policy, at: datetime, *, restores_id: int | None = None, may_owe: bool = False) -> NewLot:
    """The lot of points that can be used from `at`."""
    return NewLot(
        expires_at=expires_at(policy, at),
        expiry=policy.expiry,
        period=policy.period,
        fixed_date=policy.fixed_date,
        zone=policy.zone,
        pending_hours=policy.pending_hours,
        restores_id=restores_id,
        may_owe=may_owe,
    )


def ends_of_days(policy: Policy, days: Iterable[date]) -> tuple[Sequence[date], Sequence[datetime | None]]:
    """For each local day from which a clock runs, the end of its points: two columns for a statement to join."""
    known = sorted(set(days))
    ends = [last_day(policy, day) for day in known]
    return known, [None if end is None else end_of_day(end, policy.zone) for end in ends]


def seed_policies(apps: Any = None, using: str = "default", **kwargs: Any) -> None:
    """Make the policy rows that are missing: points never end until the operator says otherwise. Receiver of `post_migrate`."""
    try:
        model = (apps or global_apps).get_model("wallet", "PointsPolicy")
    except LookupError:  # migrating to a state before the policies
        return
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [model._meta.db_table])
        if not cursor.fetchone()[0]:
            return
    model._default_manager.using(using).bulk_create([model(unit=unit) for unit in UNITS], ignore_conflicts=True)
