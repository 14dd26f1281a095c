"""From a raw score to a probability that holds, with an interval: fitted on outcomes that the scoring model has not seen.

The map is a logistic one (Platt 1999) whose slope may change at quantiles of the score: log-odds = intercept + sum of slope_j * part of the
score in piece j, all slopes positive, pulled towards one common slope. Strictly increasing, so it never reorders or ties players, as
isotonic regression does; flexible enough for scores that are no log-odds; and never 0 or 1, because log-odds stay within what as many
outcomes could show.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit
from scipy.stats import beta

INTERVAL = 0.90
# how firmly the slopes are held together, in units of log-likelihood; negligible beside some hundred outcomes a piece
STIFFNESS = 1.0
PIECES = 6
# of the rarer outcome
OUTCOMES_PER_PIECE = 50
BANDS = 20
ROWS_PER_BAND = 100
MIN_SLOPE = 1e-3


@dataclass(frozen=True)
class Calibrator:
    """`knots` (k + 1) cut the score, standardised by `centre` and `width`, into pieces of `slopes` (k). `limit` bounds the log-odds.

    `band_at` (bands), `band_low`, `band_high`: at a calibrated log-odds, how far below and above it the interval reaches.
    """

    centre: float
    width: float
    knots: np.ndarray
    intercept: float
    slopes: np.ndarray
    limit: float
    band_at: np.ndarray
    band_low: np.ndarray
    band_high: np.ndarray

    def log_odds(self, raw: np.ndarray) -> np.ndarray:
        """Calibrated log-odds (n) of raw scores (n): strictly increasing."""
        parts = _parts((np.asarray(raw, dtype=np.float64) - self.centre) / self.width, self.knots)
        line = self.intercept + parts @ self.slopes
        # the last unit before the limit is squeezed rather than cut off, so that the order of the players survives there
        over = np.maximum(np.abs(line) - (self.limit - 1), 0)
        found: np.ndarray = np.sign(line) * (np.minimum(np.abs(line), self.limit - 1) + over / (1 + over))
        return found

    def probability(self, raw: np.ndarray) -> np.ndarray:
        """Calibrated probabilities (n) of raw scores (n), between 0 and 1, neither reached."""
        found: np.ndarray = expit(self.log_odds(raw))
        return found

    def interval(self, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ends (n each) of the 90 % interval for the share of positives among players of this score.

        It is about the share in a group of equal scores, not about one player, whose outcome is yes or no. From the outcomes used for
        calibration: per band of at least 100 rows (each player counted once) the Jeffreys interval (Brown, Cai and DasGupta 2001) of the
        observed share, taken as a distance from the predicted one in log-odds, interpolated between bands; it always holds the
        probability itself.
        """
        middle = self.log_odds(raw)
        low = middle - np.interp(middle, self.band_at, self.band_low)
        high = middle + np.interp(middle, self.band_at, self.band_high)
        return expit(low), expit(high)


def fit(raw: np.ndarray, outcomes: np.ndarray, players: np.ndarray | None = None) -> Calibrator:
    """A calibrator from raw scores (n) and outcomes (n, 0 or 1) of rows that the scoring model was not fitted on.

    `players` (n): whom each row is of, when some have several (the same player at two cut-offs). Every row counts for the probability; for
    the interval the rows of one player count as one, because they say hardly more than one of them would.
    Raises ValueError when a score is not finite or only one outcome occurs.
    """
    scores, y = np.asarray(raw, dtype=np.float64), np.asarray(outcomes, dtype=np.float64)
    if scores.shape != y.shape or scores.ndim != 1:
        raise ValueError(f"scores {scores.shape} and outcomes {y.shape} must be columns of equal length")
    if not np.isfinite(scores).all() or not np.isin(y, (0.0, 1.0)).all():
        raise ValueError("scores must be finite and outcomes 0 or 1")
    if not 0 < y.sum() < len(y):
        raise ValueError("both outcomes are needed to calibrate, all are the same")
    centre, width = float(scores.mean()), float(scores.std()) or 1.0
    standard = (scores - centre) / width
    knots = _knots(standard, int(min(y.sum(), len(y) - y.sum())))
    intercept, slopes = _fit_slopes(_parts(standard, knots), y)
    limit = max(float(np.log(2 * len(y) + 1)), 2.0)
    bare = Calibrator(centre, width, knots, intercept, slopes, limit, *(np.zeros(1) for _ in range(3)))
    return Calibrator(centre, width, knots, intercept, slopes, limit, *_bands(bare.log_odds(scores), y, players))


def _knots(standard: np.ndarray, rarer: int) -> np.ndarray:
    pieces = int(np.clip(rarer // OUTCOMES_PER_PIECE, 1, PIECES))
    inner = np.unique(np.quantile(standard, np.linspace(0, 1, pieces + 1)[1:-1]))
    # the outer pieces reach on: scores beyond those seen keep their order
    return np.concatenate([[-np.inf], inner, [np.inf]])


def _parts(standard: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """How far each score (n) reaches into each piece, (n, pieces), measured from the first inner knot (from 0 without one)."""
    inner = knots[1:-1]
    if not len(inner):
        return standard[:, None]
    first = np.minimum(standard - inner[0], 0)
    lower, upper = inner, np.append(inner[1:], np.inf)
    rest = np.clip(standard[:, None] - lower, 0, upper - lower)
    return np.column_stack([first, rest])


def _fit_slopes(parts: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    count = parts.shape[1]

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        line = theta[0] + parts @ theta[1:]
        steps = np.diff(theta[1:])
        value = np.sum(np.logaddexp(0, line) - y * line) + STIFFNESS * steps @ steps + STIFFNESS / 2 * theta[1:] @ theta[1:] / count
        residual = expit(line) - y
        slope = parts.T @ residual + STIFFNESS * theta[1:] / count
        slope[:-1] -= 2 * STIFFNESS * steps
        slope[1:] += 2 * STIFFNESS * steps
        return float(value), np.append(residual.sum(), slope)

    start = np.append(logit(np.clip(y.mean(), 1e-6, 1 - 1e-6)), np.ones(count))
    bounds = [(None, None)] + [(MIN_SLOPE, None)] * count
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 1000, "ftol": 1e-12, "gtol": 1e-8})
    if not np.isfinite(found.x).all():
        raise ValueError("the calibration did not converge to finite numbers")
    return float(found.x[0]), found.x[1:]


def _bands(log_odds: np.ndarray, y: np.ndarray, players: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    order = np.argsort(log_odds, kind="stable")
    count = int(np.clip(len(y) // ROWS_PER_BAND, 1, BANDS))
    at, low, high = [], [], []
    for rows in np.array_split(order, count):
        n = len(rows) if players is None else len(np.unique(players[rows]))
        positives = y[rows].mean() * n
        # the log-odds of the mean, not the mean of the log-odds: the share of a band is what is observed
        middle = logit(expit(log_odds[rows]).mean())
        ends = beta.ppf([(1 - INTERVAL) / 2, (1 + INTERVAL) / 2], positives + 0.5, n - positives + 0.5)
        at.append(middle)
        low.append(max(middle - logit(ends[0]), 0.0))
        high.append(max(logit(ends[1]) - middle, 0.0))
    return np.array(at), np.array(low), np.array(high)
