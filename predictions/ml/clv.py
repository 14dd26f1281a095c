"""Lifetime value of customers: how often (BG/NBD) times how much (Gamma-Gamma), with an interval from posterior draws.

The mean is exact. The percentiles are simulated, in chunks of bounded memory: future purchases are alive x min(Poisson, Geometric), each
with a Gamma spend (Fader, Hardie and Lee 2005; Fader and Hardie 2013), so they hold both not knowing the customer and the luck of the
period. They take the fitted parameters as known.
"""

from typing import Any

import numpy as np
import pandas as pd

from predictions.ml.bgnbd import BgNbd, Floats
from predictions.ml.gamma_gamma import GammaGamma

COLUMNS = ("bg_frequency", "bg_recency", "bg_age", "bg_spend")
DAYS_PER_UNIT = 7.0  # bg_recency and bg_age are in weeks
DRAWS = 200
_CHUNK_CELLS = 1_000_000  # (rows x draws) simulated at once: about 60 MB


def value(
    bg: BgNbd, gg: GammaGamma, frame: pd.DataFrame, horizon_days: float, *, seed: int, draws: int = DRAWS, margin: Any = 1.0
) -> pd.DataFrame:
    """Value in the next `horizon_days` of each row of `frame`: value, p10, p50, p90, alive, purchases; same index.

    `frame` holds COLUMNS as in `predictions.ml.features`: repeat deposit days, weeks to the last and to the end of observation, mean of the
    repeat deposit days (NaN without one: then everybody's mean is expected). `margin`: what is kept of a unit deposited, 0 or more, one
    number or one for each row. Rows without a deposit (NaN in the first three) are NaN throughout.

    value, alive and purchases depend on the row alone; the percentiles also on `seed` and the row's place, by the error of `draws` draws
    (200: about 2 % in probability). Raises ValueError for figures that contradict each other.
    """
    if draws < 10:
        raise ValueError("an interval needs at least 10 draws")
    if not (np.isfinite(horizon_days) and horizon_days > 0):
        raise ValueError("horizon_days must be positive")
    x, t_x, T, m, margins = _columns(frame, margin)
    answer = np.full((len(frame), 6), np.nan)
    known = np.flatnonzero(~np.isnan(T))
    horizon = horizon_days / DAYS_PER_UNIT
    x, t_x, T, m, margins = x[known], t_x[known], T[known], m[known], margins[known]
    purchases = bg.expected_purchases(horizon, x, t_x, T)
    answer[known, 0] = purchases * gg.expected_spend(x, m) * margins
    answer[known, 4] = bg.probability_alive(x, t_x, T)
    answer[known, 5] = purchases
    step = max(1, _CHUNK_CELLS // draws)
    for chunk, begin in enumerate(range(0, known.size, step)):
        part = slice(begin, begin + step)
        rng = np.random.default_rng([seed, chunk])
        drawn = _simulate(bg, gg, x[part], t_x[part], T[part], m[part], horizon, draws, rng)
        # "weibull" makes the expected coverage of p10 to p90 exactly 80 % at any number of draws
        percentiles = np.percentile(drawn, (10, 50, 90), axis=1, method="weibull").T
        answer[known[part], 1:4] = percentiles * margins[part, None]
    return pd.DataFrame(answer, index=frame.index, columns=["value", "p10", "p50", "p90", "alive", "purchases"])


def simulate(bg: BgNbd, gg: GammaGamma, frame: pd.DataFrame, horizon_days: float, *, draws: int, rng: np.random.Generator) -> Floats:
    """Amounts spent in the next `horizon_days`, shape (rows, draws), from each customer's posterior. No row may be without a deposit."""
    x, t_x, T, m, _ = _columns(frame, 1.0)
    if np.isnan(T).any():
        raise ValueError(f"row {int(np.argmax(np.isnan(T)))} has no deposit to go by")
    return _simulate(bg, gg, x, t_x, T, m, horizon_days / DAYS_PER_UNIT, draws, rng)


def _simulate(
    bg: BgNbd, gg: GammaGamma, x: Floats, t_x: Floats, T: Floats, m: Floats, horizon: float, draws: int, rng: np.random.Generator
) -> Floats:
    return gg.simulate(bg.simulate(horizon, x, t_x, T, draws, rng), x, m, rng)


def _columns(frame: pd.DataFrame, margin: Any) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """x, t_x, T, m and margin as arrays; NaN together in rows without a deposit. The first contradiction is named with its row."""
    x, t_x, T, m = (frame[name].to_numpy(dtype=np.float64) for name in COLUMNS)
    margins = np.broadcast_to(np.asarray(margin, dtype=np.float64), x.shape)
    unknown = np.isnan(x)
    known = ~unknown
    for message, bad in (
        ("bg_frequency, bg_recency and bg_age must be known together", (np.isnan(t_x) != unknown) | (np.isnan(T) != unknown)),
        ("bg_frequency must be whole, finite and not negative", known & ((x < 0) | (x != np.floor(x)) | np.isinf(x))),
        ("bg_age must be finite and not negative", known & ((T < 0) | np.isinf(T))),
        ("bg_recency must lie between 0 and bg_age", known & ~((t_x >= 0) & (t_x <= T))),
        ("bg_spend must be positive and finite where bg_frequency is above 0", (x > 0) & ~((m > 0) & np.isfinite(m))),
        ("margin must be finite and not negative", ~((margins >= 0) & np.isfinite(margins))),
    ):
        if bad.any():
            raise ValueError(f"{message}: row {frame.index[int(np.argmax(bad))]}")
    return x, t_x, T, m, margins
