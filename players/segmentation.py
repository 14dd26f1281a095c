"""Which segment a player belongs to, by thresholds. Pure: columns in, a column out.

Order of the questions (the first yes decides):

1. VIP: wagered at least `vip_from_wagered` AND at least `vip_from_sessions` sessions;
2. NEW: wagered less than `new_below_wagered`, or nothing at all;
3. BREAKEVEN: |net result| is at most `breakeven_band` of the amount wagered;
4. WINNING: the net result is positive; LOSING: it is negative.

Amounts are compared as exact decimals, so a player exactly on a threshold always lands on the same side: "at least" and
"at most" include it, "less than" does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

NEW, WINNING, BREAKEVEN, LOSING, VIP = "NEW", "WINNING", "BREAKEVEN", "LOSING", "VIP"
SEGMENTS = (NEW, WINNING, BREAKEVEN, LOSING, VIP)


@dataclass(frozen=True)
class SegmentThresholds:
    """Amounts in the player's currency; the band is a share of the amount wagered. Raises ValueError for values that cannot work."""

    new_below_wagered: Decimal = Decimal(1000)
    vip_from_wagered: Decimal = Decimal(100000)
    vip_from_sessions: int = 50
    breakeven_band: Decimal = Decimal("0.02")

    def __post_init__(self) -> None:
        for name in ("new_below_wagered", "vip_from_wagered", "breakeven_band"):
            value = getattr(self, name)
            if not isinstance(value, Decimal) or not value.is_finite() or value < 0:
                raise ValueError(f"{name} must be a Decimal of 0 or more, not {value!r}")
        if self.vip_from_sessions < 0:
            raise ValueError(f"vip_from_sessions must be 0 or more, not {self.vip_from_sessions}")
        if self.vip_from_wagered < self.new_below_wagered:
            raise ValueError(
                f"vip_from_wagered ({self.vip_from_wagered}) is below new_below_wagered ({self.new_below_wagered}): "
                "a player would be new and a VIP at once"
            )


def classify(
    total_wagered: Sequence[Decimal] | NDArray[Any],
    net_pnl: Sequence[Decimal] | NDArray[Any],
    sessions: Sequence[int] | NDArray[Any],
    thresholds: SegmentThresholds,
) -> NDArray[np.str_]:
    """Segment of each player. All three columns have one length; amounts are Decimals (or integers), never floats.

    `net_pnl` is won minus wagered. Raises ValueError for columns of unequal length and TypeError for floats.
    """
    wagered, result = _exact(total_wagered, "total_wagered"), _exact(net_pnl, "net_pnl")
    played = np.asarray(sessions, dtype=np.int64)
    if not len(wagered) == len(result) == len(played):
        raise ValueError(f"columns differ in length: {len(wagered)} wagered, {len(result)} net_pnl, {len(played)} sessions")
    if len(wagered) == 0:
        return np.empty(0, dtype="<U9")
    vip = _truth(wagered >= thresholds.vip_from_wagered) & (played >= thresholds.vip_from_sessions)
    new = _truth(wagered < thresholds.new_below_wagered) | _truth(wagered == 0)
    even = _truth(np.abs(result) <= wagered * thresholds.breakeven_band)
    winning = _truth(result > 0)
    return np.select([vip & ~_truth(wagered == 0), new, even, winning], [VIP, NEW, BREAKEVEN, WINNING], default=LOSING)


def _exact(column: Sequence[Decimal] | NDArray[Any], name: str) -> NDArray[np.object_]:
    values = np.empty(len(column), dtype=object)
    values[:] = column
    if isinstance(column, np.ndarray) and column.dtype.kind == "f":
        raise TypeError(f"{name} holds floats; thresholds are compared with exact Decimals")
    if any(isinstance(value, float) for value in values):
        raise TypeError(f"{name} holds floats; thresholds are compared with exact Decimals")
    return values


def _truth(column: Any) -> NDArray[np.bool_]:
    return np.asarray(column, dtype=bool)
