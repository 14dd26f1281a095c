"""BG/NBD: how often somebody buys again, and whether they still do. Maximum likelihood, expectations and posterior draws.

While alive a customer buys at a Poisson rate lambda ~ Gamma(r, rate alpha); after each purchase they leave for good with probability
p ~ Beta(a, b). Source: Fader, Hardie and Lee, "Counting your customers the easy way" (Marketing Science 24, 2005), equations 6 to 10.

A customer is three numbers, all times in one unit (the product uses weeks): `x`, repeat purchases (whole, 0 or more; the first purchase is
not counted); `t_x`, time from the first purchase to the last (0 when x = 0); `T`, time from the first purchase to the end of observation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit, gammaln, hyp2f1, psi

from predictions.ml.kinds import NotEnoughData

# With 30 customers about one fit in twelve runs away to infinite parameters; from 300 on none did.
MIN_CUSTOMERS = 300
# Where parameters are sought, time counted in tenths of the longest T. r or a of 100 say that customers hardly differ (by a tenth) in rate
# or loyalty; beyond, the likelihood is flat and the series of the expectation loses its digits. One at its limit is named in `at_limit`.
LIMITS = {"r": (1e-4, 100.0), "alpha": (1e-4, 1e4), "a": (1e-4, 100.0), "b": (1e-4, 1e4)}
BOUNDS = [(float(np.log(low)), float(np.log(high))) for low, high in LIMITS.values()]
_SAMPLE = 20_000  # rows of the first, rough fit that gives the full one its start
_BLOCK = 16_384  # rows whose temporaries stay in the processor's cache
_POLE = 1e-6  # closeness at which a removable singularity is stepped around

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class BgNbd:
    """Fitted parameters; `log_likelihood` without penalty, `n` customers; `at_limit` names parameters that stopped at their LIMITS.

    The methods take arrays (or numbers) that broadcast against each other.
    """

    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float
    n: float
    at_limit: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in LIMITS:
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive and finite, not {value}")
        if self.a > 1.01 * LIMITS["a"][1]:
            raise ValueError(f"a must not exceed {LIMITS['a'][1]:g}: expectations would lose their digits")

    def probability_alive(self, x: Any, t_x: Any, T: Any) -> Floats:
        """Probability that the customer has not left, at the end of observation. 1 when x = 0: one leaves only after a repeat purchase."""
        x, t_x, T = (np.asarray(v, dtype=np.float64) for v in (x, t_x, T))
        gone = (self.r + x) * np.log((self.alpha + T) / (self.alpha + t_x)) + np.log(self.a) - np.log(self.b + np.maximum(x, 1) - 1)
        return np.asarray(np.where(x > 0, expit(-gone), 1.0))

    def expected_purchases(self, t: Any, x: Any, t_x: Any, T: Any) -> Floats:
        """Expected purchases in the next `t` units of time.

        Equation 10 with Euler's form of 2F1: the powers of (1 - z) collapse to a - 1 and the arguments stay small, where the textbook
        form overflows from x of about 3,000. a = 1 and a + b + x = 1 are removable singularities; with a whole r - a SciPy's 2F1 is NaN
        for some arguments. All three are stepped around.
        """
        t, x, T = (np.asarray(v, dtype=np.float64) for v in (t, x, T))
        a = self.a if abs(self.a - 1) >= _POLE else 1 + _POLE
        a += 1e-8 if abs(self.r - a - round(self.r - a)) < 1e-9 else 0.0
        c = a + self.b + x - 1
        c = np.where(np.abs(c) < _POLE, _POLE, c)
        left = (self.alpha + T) / (self.alpha + T + t)  # 1 - z
        series = hyp2f1(a + self.b - 1 - self.r, a - 1, c, 1 - left)
        purchases = c / (a - 1) * (1 - left ** (a - 1) * series)
        # rounding may leave -1e-17 for a horizon of nothing
        return np.asarray(np.maximum(purchases, 0.0) * self.probability_alive(x, t_x, T))

    def simulate(self, horizon: float, x: Any, t_x: Any, T: Any, draws: int, rng: np.random.Generator) -> Ints:
        """Purchases in the next `horizon` units of time, drawn from each customer's posterior; shape (customers, draws).

        Given that the customer is alive, lambda ~ Gamma(r + x, alpha + T) and p ~ Beta(a, b + x), independent. They buy until the horizon
        or until they leave, whichever comes first: alive x min(Poisson(lambda * horizon), Geometric(p)).
        """
        x, t_x, T = np.broadcast_arrays(*(np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (x, t_x, T)))
        purchases = np.zeros((x.size, draws), dtype=np.int64)
        row, column = np.nonzero(rng.random(purchases.shape) < self.probability_alive(x, t_x, T)[:, None])
        bought = rng.poisson(rng.standard_gamma(self.r + x[row]) * (horizon / (self.alpha + T[row])))
        # one leaves after the first purchase at the earliest, so only two or more can be cut short
        many = np.flatnonzero(bought > 1)
        bought[many] = np.minimum(bought[many], _geometric(rng.beta(self.a, self.b + x[row[many]]), rng))
        purchases[row, column] = bought
        return purchases

    def generate(self, T: Any, rng: np.random.Generator, horizon: float = 0.0) -> tuple[Ints, Floats, Ints]:
        """New customers by the model's law, observed for `T` from their first purchase: (x, t_x, purchases in the `horizon` after T)."""
        T = np.asarray(T, dtype=np.float64)
        rate = rng.standard_gamma(self.r, T.size) / self.alpha
        leaving = rng.beta(self.a, self.b, T.size)
        x, t_x, future = np.zeros(T.size, dtype=np.int64), np.zeros(T.size), np.zeros(T.size, dtype=np.int64)
        clock = np.zeros(T.size)
        left = np.flatnonzero(rate > 0)
        while left.size:
            clock[left] += rng.standard_exponential(left.size) / rate[left]
            left = left[clock[left] <= T[left] + horizon]
            seen = clock[left] <= T[left]
            x[left[seen]] += 1
            t_x[left[seen]] = clock[left[seen]]
            future[left[~seen]] += 1
            left = left[rng.random(left.size) >= leaving[left]]
        return x, t_x, future


def fit(frequency: Any, recency: Any, T: Any, weights: Any = None, penalizer: float = 0.0) -> BgNbd:
    """Parameters of the greatest likelihood.

    `weights`: customers each row stands for (default 1). `penalizer` adds penalizer * (r^2 + alpha^2 + a^2 + b^2) to the mean negative
    log-likelihood, alpha in tenths of the longest T. Raises NotEnoughData below MIN_CUSTOMERS customers, or when nobody bought twice;
    ValueError when the figures contradict each other.
    """
    x, t_x, T, weights = _checked(frequency, recency, T, weights)
    customers = float(weights.sum())
    if customers < MIN_CUSTOMERS:
        raise NotEnoughData(
            f"{customers:,.0f} customers with a purchase, {MIN_CUSTOMERS} are needed: wait until more have made a first deposit."
        )
    if not x.any():
        raise NotEnoughData(f"None of {customers:,.0f} customers bought a second time: wait for repeat deposits.")
    unit = float(T.max()) / 10
    everyone, start = Customers.merged(x, t_x / unit, T / unit, weights), np.zeros(4)
    if x.size > 5 * _SAMPLE:
        rough = _maximise(_sample(x, t_x / unit, T / unit, weights), start, penalizer)
        start = start if _at_limit(rough) else rough  # the likelihood is flat at a limit that only a few customers ask for
    best = _maximise(everyone, start, penalizer)
    r, alpha, a, b = np.exp(best)
    # the density of the times changes with their unit: one factor for each repeat purchase
    likelihood = everyone.log_likelihood(best)[0] - float(weights @ x) * np.log(unit)
    return BgNbd(float(r), float(alpha * unit), float(a), float(b), float(likelihood), customers, _at_limit(best))


def _at_limit(theta: Floats) -> tuple[str, ...]:
    return tuple(name for name, value, (low, high) in zip(LIMITS, theta, BOUNDS, strict=True) if not low < value < high)


@dataclass(frozen=True)
class Customers:
    """What the likelihood needs of the customers, equal rows merged: those with x = 0 count by T alone, sums over x need each x once."""

    x: Floats  # repeat customers
    t_x: Floats
    T: Floats
    weights: Floats
    single_T: Floats  # customers without a repeat purchase
    single_weights: Floats
    levels: Floats  # every x there is, 0 included, and customers with it
    level_weights: Floats

    @classmethod
    def merged(cls, x: Floats, t_x: Floats, T: Floats, weights: Floats) -> "Customers":
        """Merge equal (x, t_x, T)."""
        level_of, levels = pd.factorize(x)
        level_weights = np.bincount(level_of, weights, minlength=len(levels)).astype(np.float64)
        again = x > 0
        single_T, single_weights = _merge(weights[~again], T[~again])
        several, last, whole, counts = _merge(weights[again], x[again], t_x[again], T[again])
        return cls(several, last, whole, counts, single_T, single_weights, np.asarray(levels, dtype=np.float64), level_weights)

    def log_likelihood(self, theta: Floats) -> tuple[float, Floats]:
        """Log-likelihood and its gradient in `theta`, the logarithms of r, alpha, a, b."""
        r, alpha, a, b = np.exp(theta)
        x, n, customers = self.levels, self.level_weights, self.level_weights.sum()
        ab = psi(a + b) - psi(a + b + x)
        single = alpha + self.single_T
        log_single = self.single_weights @ np.log(single)
        # the value and its slopes in r, alpha, a and b
        sums = np.array(
            [
                n @ (gammaln(r + x) - gammaln(a + b + x) + gammaln(b + x))
                + customers * (gammaln(a + b) - gammaln(b) - gammaln(r) + r * theta[1])
                - r * log_single,
                n @ psi(r + x) + customers * (theta[1] - psi(r)) - log_single,
                customers * r / alpha - r * (self.single_weights @ (1 / single)),
                n @ ab,
                n @ (ab + psi(b + x) - psi(b)),
            ]
        )
        for begin in range(0, self.x.size, _BLOCK):
            part = slice(begin, begin + _BLOCK)
            sums += _repeaters(r, alpha, a, b, self.x[part], self.t_x[part], self.T[part], self.weights[part])
        return float(sums[0]), sums[1:] * np.exp(theta)


def _repeaters(r: float, alpha: float, a: float, b: float, x: Floats, t_x: Floats, T: Floats, weights: Floats) -> Floats:
    """What the times of customers with a repeat purchase add: value, slopes in r, alpha, a, b."""
    whole, last = alpha + T, alpha + t_x
    log_whole = np.log(whole)
    quiet = log_whole - np.log(last)
    shape, rest = r + x, b + x - 1
    odds = shape * quiet - np.log(rest / a)  # log-odds of having left with the last purchase
    tail = np.exp(-np.abs(odds))
    gone = weights * (np.where(odds >= 0, 1.0, tail) / (1 + tail))
    value = weights @ (np.maximum(odds, 0) + np.log1p(tail) - shape * log_whole)
    by_alpha = (gone - weights) @ (shape / whole) - gone @ (shape / last)
    return np.array([value, gone @ quiet - weights @ log_whole, by_alpha, gone.sum() / a, -(gone @ (1 / rest))])


def _maximise(customers: Customers, start: Floats, penalizer: float) -> Floats:
    """Logarithms of the best parameters by L-BFGS-B."""
    total = customers.level_weights.sum()

    def objective(theta: Floats) -> tuple[float, Floats]:
        value, slope = customers.log_likelihood(theta)
        squares = penalizer * np.exp(2 * theta)
        return float(squares.sum() - value / total), 2 * squares - slope / total

    return climb(objective, start, BOUNDS, total)


def climb(
    objective: Callable[[Floats], tuple[float, Floats]], start: Floats, bounds: list[tuple[float, float]], customers: float
) -> Floats:
    """Minimise a mean negative log-likelihood with its gradient. Raises NotEnoughData when the search does not settle."""
    answer = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-13, "gtol": 1e-7, "maxiter": 1000})
    low, high = np.transpose(bounds)
    slope = np.where((answer.x <= low) | (answer.x >= high), 0.0, answer.jac)
    if not np.isfinite(answer.fun) or np.abs(slope).max() > 1e-4:
        raise NotEnoughData(
            f"The purchases of {customers:,.0f} customers do not determine the model ({answer.message}): wait for more history."
        )
    return np.asarray(answer.x, dtype=np.float64)


def _checked(frequency: Any, recency: Any, T: Any, weights: Any) -> tuple[Floats, Floats, Floats, Floats]:
    """The columns as arrays, refused when they contradict each other; the message names the column."""
    x, t_x, T = (np.ascontiguousarray(v, dtype=np.float64).ravel() for v in (frequency, recency, T))
    weights = np.ones(x.size) if weights is None else np.ascontiguousarray(weights, dtype=np.float64).ravel()
    if not x.size == t_x.size == T.size == weights.size:
        raise ValueError("frequency, recency, T and weights must have one length")
    for name, bad in (
        ("frequency must be whole and not negative", ~(x >= 0) | (x != np.floor(x)) | np.isinf(x)),
        ("T must be finite and not negative", ~((T >= 0) & np.isfinite(T))),
        ("recency must lie between 0 and T", ~((t_x >= 0) & (t_x <= T))),
        ("recency must be 0 without a repeat purchase", (x == 0) & (t_x > 0)),
        ("weights must be finite and not negative", ~((weights >= 0) & np.isfinite(weights))),
    ):
        if bad.any():
            raise ValueError(f"{name}: row {int(np.argmax(bad))}")
    some = weights > 0
    return (x, t_x, T, weights) if some.all() else (x[some], t_x[some], T[some], weights[some])


def _sample(x: Floats, t_x: Floats, T: Floats, weights: Floats) -> Customers:
    """Every k-th row: only a place to start from, so that the full search needs few steps."""
    step = x.size // _SAMPLE
    return Customers.merged(x[::step], t_x[::step], T[::step], weights[::step])


def _merge(weights: Floats, *columns: Floats) -> tuple[Floats, ...]:
    """Distinct rows and, last, the weight of each. Returned as they are when times are so fine that hardly two rows are equal."""
    times = columns[-1]
    probe = times[:: max(1, times.size // 1000)]
    if times.size > 10_000 and np.unique(probe).size > probe.size / 2:
        return *columns, weights
    key = np.zeros(times.size, dtype=np.int64)
    for column in columns:
        codes, values = pd.factorize(column)
        # numbered anew after each column, so that the product cannot overflow
        key = pd.Series(key * len(values) + codes).factorize()[0].astype(np.int64)
    counts = np.asarray(np.bincount(key, weights), dtype=np.float64)
    first = np.zeros(counts.size, dtype=np.int64)
    first[key[::-1]] = np.arange(times.size - 1, -1, -1)
    return *(column[first] for column in columns), counts


def _geometric(leaving: Floats, rng: np.random.Generator) -> Floats:
    """Purchases until one leaves (1, 2, ...) by inversion; kept as a float, since someone who hardly ever leaves makes it overflow."""
    leaving = np.clip(leaving, 1e-300, 1 - 1e-16)
    return np.maximum(np.ceil(np.log1p(-rng.random(leaving.shape)) / np.log1p(-leaving)), 1.0)
