"""Caps on what one player gets in a day, in seven days and in thirty days."""

from dataclasses import dataclass

PERIODS = ("day", "week", "month")


@dataclass(frozen=True)
class CapUse:
    """What a player already has in each window, in minor units: issued, approved and waiting together."""

    day: int = 0
    week: int = 0
    month: int = 0

    def plus(self, amount: int) -> "CapUse":
        return CapUse(self.day + amount, self.week + amount, self.month + amount)


def cap_excess(used: CapUse, amount: int, caps: CapUse) -> str | None:
    """The first window whose cap `amount` would break ("day", "week", "month"), or None. Reaching a cap exactly is allowed."""
    for period in PERIODS:
        if getattr(used, period) + amount > getattr(caps, period):
            return period
    return None
