"""The reference figures of a reward's expected value, also called the naive figures.

    expected_wager   = base_wager x retention_multiplier
    expected_revenue = expected_wager x house_edge
    expected_profit  = expected_revenue - reward_cost
    roi_percent      = expected_profit / reward_cost x 100

They count all expected wagering as gain that the reward caused, and the face value as its cost. So they are an upper bound on what
a reward earns, and a reward that fails even them is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

_ROI_PLACES = Decimal("0.0001")
_HUNDRED = Decimal(100)


@dataclass(frozen=True)
class ExpectedValue:
    """Columns of equal length; money in the player's currency. `roi_percent` is None where the reward costs nothing."""

    base_wager: Sequence[Decimal]
    retention_multiplier: Sequence[Decimal]
    expected_wager: Sequence[Decimal]
    house_edge: Sequence[Decimal]
    expected_revenue: Sequence[Decimal]
    reward_cost: Sequence[Decimal]
    expected_profit: Sequence[Decimal]
    roi_percent: Sequence[Decimal | None]


def expected_value(
    base_wager: Sequence[Decimal],
    retention_multiplier: Sequence[Decimal],
    house_edge: Sequence[Decimal],
    reward_cost: Sequence[Decimal],
) -> ExpectedValue:
    """The reference figures for columns of rewards. Raises ValueError for columns of different lengths and negative costs."""
    if len({len(base_wager), len(retention_multiplier), len(house_edge), len(reward_cost)}) != 1:
        raise ValueError("columns of different lengths")
    if any(cost < 0 for cost in reward_cost):
        raise ValueError("a reward's cost cannot be negative")
    wager = [base * multiplier for base, multiplier in zip(base_wager, retention_multiplier, strict=True)]
    revenue = [amount * edge for amount, edge in zip(wager, house_edge, strict=True)]
    profit = [income - cost for income, cost in zip(revenue, reward_cost, strict=True)]
    roi = [
        (gain / cost * _HUNDRED).quantize(_ROI_PLACES, rounding=ROUND_HALF_EVEN) if cost else None
        for gain, cost in zip(profit, reward_cost, strict=True)
    ]
    return ExpectedValue(base_wager, retention_multiplier, wager, house_edge, revenue, reward_cost, profit, roi)


def roi_above(figures: ExpectedValue, threshold_percent: Decimal) -> list[bool]:
    """Whether each ROI is above the threshold, compared without division or rounding. A reward that costs nothing always is."""
    return [
        cost == 0 or gain * _HUNDRED > threshold_percent * cost
        for gain, cost in zip(figures.expected_profit, figures.reward_cost, strict=True)
    ]


def monthly_base_wager(total_wagered: Decimal, days_known: int | None) -> Decimal:
    """Historical average wager per 30 days. A player known for less than 30 days, or since an unknown day, counts as one month."""
    if days_known is None or days_known <= 30:
        return total_wagered
    return (total_wagered * 30 / days_known).quantize(Decimal("0.0001"), rounding=ROUND_HALF_EVEN)
