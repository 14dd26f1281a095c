"""How fast activity fades once a player stays away: an exponential law fitted to what happened after the last visit.

Of players last seen w weeks ago who used to come on d days a week, the expected activity in the following 7 days (1: any) is

    exp(a + b z - (c + e z) w),  z = log(1 + d)

so that each further week without a visit loses the share 1 - exp(-(c + e z)) of it. Fitted by Poisson quasi-likelihood with a logarithmic
link, which is consistent for a yes/no outcome as well (Zou 2004, "A modified Poisson regression approach to prospective studies with
binary data"). It describes whom one sees still away, regular and fading players together: what a contact changes, it does not say.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

IDLE, ACTIVE_DAYS, TENURE = "days_since_last_activity", "active_days_90d", "tenure_days"
WINDOW_DAYS = 90
# beyond the window of the active days nothing is known of how a player used to come
MOST_WEEKS = 13.0
RIDGE = 1.0


@dataclass(frozen=True)
class Decay:
    """The four numbers of the law; `loss` answers for players."""

    level: float
    level_by_habit: float
    rate: float
    rate_by_habit: float

    def loss(self, habit: np.ndarray) -> np.ndarray:
        """Relative loss of activity a week (n), 0 to below 1, for players of these habits (n, see `habits`)."""
        found: np.ndarray = -np.expm1(-np.clip(self.rate + self.rate_by_habit * habit, 0, 5))
        return found

    def activity(self, weeks: np.ndarray, habit: np.ndarray) -> np.ndarray:
        """Expected activity (n) in the 7 days after having been away for `weeks` (n)."""
        found: np.ndarray = np.exp(self.level + self.level_by_habit * habit - np.clip(self.rate + self.rate_by_habit * habit, 0, 5) * weeks)
        return found


def habits(values: np.ndarray, features: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Weeks since the last activity (n, at most 13) and log(1 + active days a week before it) (n) of rows (n, features).

    Active days a week: those of the last 90 days over the days of these that lie before the last activity (at least 7), and after
    registration where that is known. Who was never active counts as away for 13 weeks.
    """
    for name in (IDLE, ACTIVE_DAYS):
        if name not in features:
            raise ValueError(f"the decay of activity needs the feature {name}")
    idle = np.nan_to_num(values[:, features.index(IDLE)], nan=MOST_WEEKS * 7)
    present = np.full(len(values), float(WINDOW_DAYS))
    if TENURE in features:
        present = np.fmin(values[:, features.index(TENURE)], WINDOW_DAYS)
    days = np.nan_to_num(values[:, features.index(ACTIVE_DAYS)])
    weekly = 7 * days / np.maximum(present - idle, 7)
    return np.minimum(idle / 7, MOST_WEEKS), np.log1p(np.minimum(weekly, 7))


def fit(weeks: np.ndarray, habit: np.ndarray, active: np.ndarray) -> Decay:
    """The law from weeks away, habits and activity in the following 7 days (n each). Raises ValueError when nobody was active."""
    if not active.sum():
        raise ValueError("nobody was active afterwards, no decay can be fitted")
    columns = np.column_stack([np.ones_like(weeks), habit, -weeks, -weeks * habit])
    held = np.array([0.0, 0.0, RIDGE, RIDGE])

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        line = np.clip(columns @ theta, -30, 5)
        expected = np.exp(line)
        value = np.sum(expected - active * line) + held @ theta**2 / 2
        return float(value) / len(active), (columns.T @ (expected - active) + held * theta) / len(active)

    start = np.array([np.log(active.mean()), 0.0, 0.1, 0.0])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500, "ftol": 1e-12, "gtol": 1e-8})
    if not np.isfinite(found.x).all():
        raise ValueError("the decay did not converge to finite numbers")
    return Decay(*(float(number) for number in found.x))


def curve(decay: Decay, weeks: np.ndarray, habit: np.ndarray, active: np.ndarray) -> list[dict[str, Any]]:
    """Per whole week away: "weeks", "n", and the "observed" and "fitted" activity in the 7 days after."""
    expected, whole = decay.activity(weeks, habit), np.floor(weeks).astype(int)
    rows = []
    for week in np.unique(whole):
        inside = whole == week
        rows.append(
            {
                "weeks": int(week),
                "n": int(inside.sum()),
                "observed": float(active[inside].mean()),
                "fitted": float(expected[inside].mean()),
            }
        )
    return rows
