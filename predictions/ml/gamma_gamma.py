"""Gamma-Gamma: what somebody spends at a purchase, from the mean of the purchases seen.

A purchase is Gamma(p, rate nu), nu differs between customers as Gamma(q, rate v); amounts do not depend on how often one buys.
Source: Fader and Hardie, "The Gamma-Gamma model of monetary value" (2013), equations 1a and 5.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import gammaln, psi

from predictions.ml.bgnbd import Floats, climb
from predictions.ml.kinds import NotEnoughData

MIN_CUSTOMERS = 300  # with a repeat purchase
# Where parameters are sought, amounts counted in their mean. q stays above 1: below, the population's mean spend would be infinite.
LIMITS = {"p": (1e-3, 1e4), "q": (1.01, 1e4), "v": (1e-6, 1e6)}
BOUNDS = [(float(np.log(low)), float(np.log(high))) for low, high in LIMITS.values()]


@dataclass(frozen=True)
class GammaGamma:
    """Fitted parameters; `n` customers with a repeat purchase; `at_limit` names parameters that stopped at their LIMITS."""

    p: float
    q: float
    v: float
    log_likelihood: float
    n: int
    at_limit: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in LIMITS:
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive and finite, not {value}")
        if self.q <= 1:
            raise ValueError("q must exceed 1: the mean spend would be infinite")

    def expected_spend(self, x: Any, m: Any) -> Floats:
        """Expected amount of a future purchase of somebody whose `x` repeat purchases came to `m` on average; without one, of anybody."""
        x, total = _total(x, m)
        return np.asarray(self.p * (self.v + total) / (self.p * x + self.q - 1))

    def simulate(self, purchases: Any, x: Any, m: Any, rng: np.random.Generator) -> Floats:
        """Total of `purchases` (customers, draws) future purchases drawn from each customer's posterior: nu ~ Gamma(q + p x, v + x m)."""
        purchases = np.asarray(purchases)
        x, total = (np.atleast_1d(column)[:, None] for column in _total(x, m))
        spent = np.zeros(purchases.shape)
        rows, columns = np.nonzero(purchases)
        shape, scale = np.broadcast_to(self.q + self.p * x, spent.shape), np.broadcast_to(self.v + total, spent.shape)
        rate = rng.standard_gamma(shape[rows, columns]) / scale[rows, columns]
        spent[rows, columns] = rng.standard_gamma(self.p * purchases[rows, columns]) / rate
        return spent


def fit(frequency: Any, mean_spend: Any) -> GammaGamma:
    """Parameters of the greatest likelihood, from customers with at least one repeat purchase (others are left out).

    `mean_spend`: mean of the repeat purchases, above 0. Raises NotEnoughData below MIN_CUSTOMERS of them, ValueError for amounts that are
    not positive and finite.
    """
    x, m = (np.asarray(v, dtype=np.float64).ravel() for v in (frequency, mean_spend))
    if x.size != m.size:
        raise ValueError("frequency and mean_spend must have one length")
    if not (x >= 0).all() or np.isinf(x).any():
        raise ValueError("frequency must be finite and not negative")
    x, m = x[x > 0], m[x > 0]
    if not ((m > 0) & np.isfinite(m)).all():
        raise ValueError("mean_spend must be positive and finite where frequency is above 0")
    if x.size < MIN_CUSTOMERS:
        raise NotEnoughData(f"{x.size:,} customers with a repeat purchase, {MIN_CUSTOMERS} are needed: wait for more repeat deposits.")
    unit = float(m.mean())
    spenders = Spenders(x, m / unit)

    def objective(theta: Floats) -> tuple[float, Floats]:
        value, slope = spenders.log_likelihood(theta)
        return -value / x.size, -slope / x.size

    best = climb(objective, np.log([1.0, 2.0, 1.0]), BOUNDS, x.size)
    at_limit = tuple(name for name, value, (low, high) in zip(LIMITS, best, BOUNDS, strict=True) if not low < value < high)
    p, q, v = np.exp(best)
    likelihood = spenders.log_likelihood(best)[0] - x.size * np.log(unit)  # the density of m changes with its unit
    return GammaGamma(float(p), float(q), float(v * unit), float(likelihood), x.size, at_limit)


class Spenders:
    """What the likelihood needs; functions of the number of purchases alone are computed once for each number."""

    def __init__(self, x: Floats, m: Floats) -> None:
        self.x, self.total = x, x * m
        codes, levels = pd.factorize(x)
        self.levels, self.level_customers = np.asarray(levels, dtype=np.float64), np.bincount(codes).astype(np.float64)
        self.log_total = np.log(self.total)
        self.log_m = float(np.log(m).sum())

    def log_likelihood(self, theta: Floats) -> tuple[float, Floats]:
        """Log-likelihood of the means and its gradient in `theta`, the logarithms of p, q, v."""
        p, q, v = np.exp(theta)
        x, n, customers = self.levels, self.level_customers, self.x.size
        log_sum, shape = np.log(v + self.total), p * self.x + q
        value = (
            n @ (gammaln(p * x + q) - gammaln(p * x))
            + customers * (q * theta[2] - gammaln(q))
            + p * (self.x @ self.log_total)
            - self.log_m
            - shape @ log_sum
        )
        both = psi(p * x + q)
        slope = np.array(
            [
                n @ (x * (both - psi(p * x))) + self.x @ (self.log_total - log_sum),
                n @ both + customers * (theta[2] - psi(q)) - log_sum.sum(),
                customers * q / v - (shape / (v + self.total)).sum(),
            ]
        )
        return float(value), slope * np.array([p, q, v])


def _total(x: Any, m: Any) -> tuple[Floats, Floats]:
    """Purchases and their sum; the mean of no purchases is unknown and counts for nothing."""
    x, m = np.asarray(x, dtype=np.float64), np.asarray(m, dtype=np.float64)
    return x, np.asarray(np.where(x > 0, x * np.where(x > 0, m, 0.0), 0.0))
