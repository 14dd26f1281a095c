"""What the wallet answers to a reported activity."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from loyalty_site.common.money import from_minor
from wallet.bonus.values import Count, Kind, Outcome, Recorded
from wallet.models import WagerCount


@dataclass(frozen=True, slots=True)
class Counted:
    """What the event did to the wagering of a grant, and why. Amounts in units of the currency."""

    activity_id: str
    grant_id: int
    verdict: str
    rule: str
    weight: Decimal
    counted_stake: Decimal
    counted: Decimal
    penalty: Decimal
    before: Decimal
    after: Decimal
    required: Decimal

    @property
    def completes(self) -> bool:
        return self.counted > 0 and self.after == self.required


@dataclass(frozen=True, slots=True)
class Received:
    """What a reported event did. Amounts in units of the currency.

    `repeated`: it was reported before, and this is what it did then. `waits`: it came before the bet or win that it belongs to and takes
    effect with that. `cash_change` is what the platform has to add to the player's cash for it; released bonus money is not in it, that
    comes as a pay-out instruction.
    """

    source: str
    activity_id: str
    kind: str
    player_id: int
    currency: str
    amount: Decimal
    real: Decimal
    bonus: Decimal
    locked: Decimal
    cash_change: Decimal
    grant_id: int | None
    waits: bool
    repeated: bool
    counts: tuple[Counted, ...] = ()

    @property
    def counted(self) -> Decimal:
        return sum((count.counted for count in self.counts), Decimal(0))

    @property
    def completed_grant_ids(self) -> tuple[int, ...]:
        return tuple(count.grant_id for count in self.counts if count.completes)


def answer(recorded: Recorded, cash_change: int, counts: Iterable[Counted], *, repeated: bool) -> Received:
    activity = recorded.activity
    currency = activity.currency
    return Received(
        source=activity.source,
        activity_id=activity.activity_id,
        kind=str(activity.kind),
        player_id=activity.player_id,
        currency=currency,
        amount=from_minor(amount_of(recorded), currency),
        real=from_minor(recorded.real_part, currency),
        bonus=from_minor(recorded.bonus_part, currency),
        locked=from_minor(recorded.locked_part, currency),
        cash_change=from_minor(cash_change, currency),
        grant_id=recorded.grant_id,
        waits=recorded.waits,
        repeated=repeated,
        counts=tuple(counts),
    )


def amount_of(recorded: Recorded) -> int:
    """Stake or win, minor units; of a rollback that took effect what it took back, as the platform need not name it."""
    if recorded.activity.kind == Kind.ROLLBACK and not recorded.waits:
        return recorded.real_part + recorded.bonus_part + recorded.locked_part
    return recorded.activity.amount


def first_answer(outcome: Outcome) -> Received:
    assert outcome.recorded is not None
    return answer(outcome.recorded, outcome.cash_change, map(_counted, outcome.counts), repeated=False)


def counts_of(event_ids: Iterable[int]) -> Mapping[int, list[Counted]]:
    """What these events did to the wagering of grants, by event id."""
    found: dict[int, list[Counted]] = {}
    for row in WagerCount.objects.filter(settled_by__in=list(event_ids)).select_related("wager").order_by("id"):
        found.setdefault(row.settled_by_id, []).append(
            Counted(
                row.wager.activity_id,
                row.grant_id,
                row.verdict,
                row.rule,
                row.weight,
                row.counted_stake,
                row.counted,
                row.penalty,
                row.progress_before,
                row.progress_after,
                row.required_after,
            )
        )
    return found


def _counted(count: Count) -> Counted:
    return Counted(
        count.bet[1],
        count.grant_id,
        count.verdict,
        count.rule[:120],
        count.weight,
        count.counted_stake,
        count.counted,
        count.penalty,
        count.before,
        count.after,
        count.required_after,
    )
