"""Figures that count the same thing over windows of different length, and where the last of a kind is told."""

import math

Values = dict[str, float | None]

TOTAL = 10**6  # days of a window that reaches back to the beginning
WINDOWS: tuple[tuple[tuple[str, int], ...], ...] = (
    (("sessions_7d", 7), ("sessions_14d", 14), ("sessions_30d", 30), ("sessions_90d", 90)),
    (("active_days_7d", 7), ("active_days_30d", 30), ("active_days_90d", 90)),
    (("stake_7d", 7), ("stake_30d", 30), ("stake_90d", 90)),
    (("deposit_count_30d", 30), ("deposit_count_90d", 90), ("deposit_count_total", TOTAL)),
    (("deposits_30d", 30), ("deposits_90d", 90), ("deposits_total", TOTAL)),
)
# what a window is empty of when the last of its kind lies before it
LAST = {"sessions": "days_since_last_activity", "active_days": "days_since_last_activity", "stake": "days_since_last_play",
        "deposit_count": "days_since_last_deposit", "deposits": "days_since_last_deposit"}  # fmt: skip


def family_of(family: tuple[tuple[str, int], ...]) -> str:
    """What a family counts: "sessions" of sessions_7d, sessions_14d and so on."""
    return family[0][0].rsplit("_", 1)[0]


def spread(days: int, count: float | None, tenure: float | None, floor: float | None) -> float:
    """Days since the last of `count` events in equal steps over a window, no later than `floor` days ago. Without a count: at `floor`."""
    here = days if tenure is None else min(float(days), tenure)
    step = float(math.floor(here / (count + 1))) if count is not None else 1.0
    return min(max(step, floor if floor is not None else 0.0), float(days))
