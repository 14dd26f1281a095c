"""Numbers, names and characteristics of clusters.

With four clusters the numbers mean what integrators know: 0 inactive, 1 high-value and active, 2 regular, 3 new or trying out. With more,
the further ones are regular players in order of what they deposit.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .kinds import Cutoff
from .segmentation_fit import Scaler

INACTIVE, HIGH_VALUE, REGULAR, NEW = "reengage", "vip", "retention", "onboarding"
_WORDS = {INACTIVE: "Inactive", HIGH_VALUE: "High value, active", REGULAR: "Regular", NEW: "New or trying out"}
_RECENCY, _FREQUENCY, _MONETARY = 0, 1, 2


def order(centres: np.ndarray) -> np.ndarray:
    """Indices of `centres` (standardised, shape (k, 3)) in their final order.

    1 is the cluster with the highest frequency plus monetary minus recency; 0 the longest away of the others; 3 the one with the fewest
    deposits of the rest, which separates those who are here but hardly deposited yet; the remaining ones by monetary, highest first.
    """
    remaining = list(range(len(centres)))

    def take(score: np.ndarray) -> int:
        best = max(remaining, key=lambda number: score[number])
        remaining.remove(best)
        return best

    high = take(centres[:, _FREQUENCY] + centres[:, _MONETARY] - centres[:, _RECENCY])
    inactive = take(centres[:, _RECENCY])
    if len(centres) < 4:
        rest = sorted(remaining, key=lambda number: -centres[number, _MONETARY])
        return np.array([inactive, high, *rest])
    new = take(-centres[:, _FREQUENCY])
    rest = sorted(remaining, key=lambda number: -centres[number, _MONETARY])
    return np.array([inactive, high, rest[0], new, *rest[1:]])


def key(number: int) -> str:
    """What to do with a cluster of that number; a key of the recommendations."""
    return {0: INACTIVE, 1: HIGH_VALUE, 3: NEW}.get(number, REGULAR)


def names(clusters: int) -> list[str]:
    """One name per number, all different."""
    keys = [key(number) for number in range(clusters)]
    regular = keys.count(REGULAR)
    answer, seen = [], 0
    for each in keys:
        if each == REGULAR and regular > 1:
            seen += 1
            answer.append(f"{_WORDS[each]} {seen}")
        else:
            answer.append(_WORDS[each])
    return answer


def characteristics(
    cutoffs: Sequence[Cutoff],
    nearest: Callable[[np.ndarray, np.ndarray], np.ndarray],
    scaler: Scaler,
    centres: np.ndarray,
) -> list[Mapping[str, Any]]:
    """One dictionary per cluster, of the players at the last of `cutoffs`. Money in currency units, sessions over 90 days.

    `avg_ltv` is what was really brought in over the 365 days after the latest cut-off for which that is known ("ltv_basis":
    "following_365_days"), otherwise over the 365 days before the last one ("previous_365_days").
    """
    last = cutoffs[-1]
    cluster = nearest(scaler.points(last.features), centres)
    value, value_cluster, basis = last.features["ngr_365d"].to_numpy(float), cluster, "previous_365_days"
    for cutoff in reversed(cutoffs):
        if cutoff.labels["ngr_365d"].notna().any():
            value, basis = cutoff.labels["ngr_365d"].to_numpy(float), "following_365_days"
            value_cluster = nearest(scaler.points(cutoff.features), centres)
            break
    centre_values = scaler.values(centres)
    answer: list[Mapping[str, Any]] = []
    for number, name in enumerate(names(len(centres))):
        inside = cluster == number
        answer.append(
            {
                "cluster": number,
                "name": name,
                "recommendation": key(number),
                "players": int(inside.sum()),
                "share": float(inside.mean()),
                "avg_ltv": _mean(value[value_cluster == number]),
                "ltv_basis": basis,
                "avg_sessions": _mean(last.features["sessions_90d"].to_numpy(float)[inside]),
                "avg_deposits": _mean(last.features["deposits_total"].to_numpy(float)[inside]),
                "centre": {
                    "recency_days": float(centre_values[number, _RECENCY]),
                    "deposits": float(centre_values[number, _FREQUENCY]),
                    "deposited": float(centre_values[number, _MONETARY]),
                },
            }
        )
    return answer


def _mean(values: np.ndarray) -> float | None:
    """Mean of what is known; None when nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None
