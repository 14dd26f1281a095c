"""A batch laid out as rows in the order in which they are decided."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from loyalty_site.common.clock import day_start
from loyalty_site.common.money import exponent, from_minor, to_minor
from rewards.granting.batch import GrantBatch, Proposals, period_key
from rewards.granting.columns import PlayerColumns, object_array
from rewards.models import RewardRule

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Origin:
    """What all rows of one `Proposals` share."""

    proposals: Proposals
    rule: RewardRule | None
    priority: int
    stacking_group: str
    period: str
    period_start: datetime | None

    @property
    def rule_key(self) -> int:
        return self.rule.pk if self.rule else 0


@dataclass
class Rows:
    """Candidate rewards, one row each, sorted by player, then priority (higher first), then rule id, then key.

    player: row in the player columns; origin: index into `origins`; item: position within its Proposals; proposed, amount: minor
    units; multiple: wagering multiple after penalties; decision: id of the decision that the row renews, 0 for a new one.
    """

    origins: list[Origin]
    player_id: IntArray
    player: IntArray
    origin: IntArray
    item: IntArray
    proposed: IntArray
    amount: IntArray
    multiple: npt.NDArray[np.object_]
    unit: npt.NDArray[np.object_]
    currency: npt.NDArray[np.object_]
    decision: IntArray

    def __len__(self) -> int:
        return len(self.player_id)

    def each(self, of_origin: Any) -> npt.NDArray[np.object_]:
        """A property of each row's origin, as a column."""
        return object_array([of_origin(origin) for origin in self.origins])[self.origin]

    def money_unit(self, row: int) -> str:
        return str(self.currency[row] or self.unit[row])

    def decimal(self, row: int, minor: int) -> Decimal:
        return from_minor(minor, self.money_unit(row))

    def decimals(self, minor: IntArray) -> list[Decimal]:
        """A column of minor units as decimals of each row's unit."""
        return [from_minor(value, currency or unit) for value, currency, unit in zip(minor.tolist(), self.currency, self.unit, strict=True)]

    def in_minor(self, value: Decimal) -> IntArray:
        """One threshold of money in the minor units of every row, rounded down."""
        units = [currency or unit for currency, unit in zip(self.currency, self.unit, strict=True)]
        table = {one: to_minor(value, one, "DOWN") for one in set(units)}
        return np.array([table[one] for one in units], dtype=np.int64)

    def take(self, kept: npt.NDArray[Any]) -> "Rows":
        return Rows(
            self.origins,
            *(
                getattr(self, name)[kept]
                for name in ("player_id", "player", "origin", "item", "proposed", "amount", "multiple", "unit", "currency", "decision")
            ),
        )


def period_start(period: str, at: datetime) -> datetime | None:
    """The instant (UTC) at which the period of `at` began; None for ONCE."""
    day = at.astimezone(UTC).date()
    if period == "DAY":
        return day_start(day)
    if period == "WEEK":
        return day_start(day - timedelta(days=day.weekday()))
    if period == "MONTH":
        return day_start(day.replace(day=1))
    return None


def origin_of(proposals: Proposals, at: datetime) -> Origin:
    version = proposals.version
    if version is None:
        return Origin(proposals, None, 0, "", "", None)
    within = proposals.period_at or at
    key = period_key(version.period, within.astimezone(UTC).date())
    return Origin(proposals, version.rule, version.rule.priority, version.stacking_group, key, period_start(version.period, within))


def lay_out(batch: GrantBatch, players: PlayerColumns) -> Rows:
    """The rows of a batch. Raises ValueError for amounts that are not positive, a player twice in one rule's proposals, or bonus
    money without an expiry; LookupError for an unknown player."""
    origins = [origin_of(proposals, batch.at) for proposals in batch.proposals]
    for one in origins:
        _check(one.proposals)
    counts = [len(one.proposals.player_ids) for one in origins]
    origin = np.repeat(np.arange(len(origins), dtype=np.int64), counts)
    item = np.concatenate([np.arange(count, dtype=np.int64) for count in counts])
    player_id = np.concatenate([np.asarray(one.proposals.player_ids, dtype=np.int64) for one in origins])
    minor = np.concatenate([np.asarray(one.proposals.minor, dtype=np.int64) for one in origins])
    priority = np.array([one.priority for one in origins], dtype=np.int64)[origin]
    rule_key = np.array([one.rule_key for one in origins], dtype=np.int64)[origin]
    order = np.lexsort((item, rule_key, -priority, player_id))
    player_id, origin, item, minor = player_id[order], origin[order], item[order], minor[order]
    player = players.positions(player_id)
    units = object_array([one.proposals.terms.unit for one in origins])[origin]
    multiple = object_array([one.proposals.terms.wagering_multiple for one in origins])[origin]
    currency = np.where(units == "BONUS", players["currency"][player], "")
    none = np.zeros(len(order), dtype=np.int64)
    return Rows(origins, player_id, player, origin, item, minor, minor.copy(), multiple, units, currency, none)


def _check(proposals: Proposals) -> None:
    terms = proposals.terms
    exponent(terms.unit)
    if terms.unit not in ("BONUS", "LP", "RP", "TICKET"):
        raise ValueError(f"unknown unit {terms.unit!r}; use BONUS, LP, RP or TICKET")
    if terms.unit == "BONUS" and not terms.expiry_hours:
        raise ValueError("bonus money needs expiry_hours; say when it ends")
    if terms.unit != "BONUS" and terms.wagering_multiple:
        raise ValueError(f"{terms.unit} cannot be wagered; only bonus money has a wagering requirement")
    if terms.wagering_multiple < 0:
        raise ValueError("a wagering multiple cannot be negative")
    if any(amount <= 0 for amount in proposals.minor):
        raise ValueError("a reward's amount must be above zero")
    if proposals.version is not None and len(set(map(int, proposals.player_ids))) != len(proposals.player_ids):
        raise ValueError(f"a player stands twice in the proposals of {proposals.version}")
