"""Whether the values a model is asked about still look like those it learned from.

At training the distribution of every feature is kept as shares of bins (`reference_bins`, plain JSON); at scoring the same bins are
filled again (`compare`). Three distances per feature, over the bins and one more for NaN:

- PSI, sum of (q - p) ln(q / p), symmetric;
- KL, sum of q ln(q / p): information lost by taking the reference for the present;
- KS, the largest difference of the cumulated shares over the ends of the bins: a lower bound of the exact statistic.

Without any drift PSI is not 0: it is about (1/n + 1/m) times a chi-square with (bins - 1) degrees of freedom for n present and m
reference rows (B. Yurdakul, Statistical Properties of Population Stability Index, 2018). So a limit is never below what chance reaches
with probability `alpha`, shared among the features; the customary 0.1 and 0.25 hold when there are rows enough.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

BINS = 10
ALPHA = 0.01
FEWEST_ROWS = 100
MODERATE, MAJOR = 0.1, 0.25
LEVELS = ("none", "moderate", "major")
# half a row is added to every bin, so that an empty one has a logarithm
_PRIOR = 0.5


class DriftError(ValueError):
    """Distributions that cannot be compared; the message says why."""


@dataclass(frozen=True)
class Drift:
    """One feature. `limit` is the PSI from which it counts as moved at this number of rows, `ks_limit` the same for KS.

    `missing_before` and `missing_now` are shares of NaN.
    """

    feature: str
    psi: float
    kl: float
    ks: float
    limit: float
    ks_limit: float
    level: str
    missing_before: float
    missing_now: float
    rows: int


def reference_bins(frame: pd.DataFrame, names: Sequence[str], bins: int = BINS) -> dict[str, Any]:
    """{"rows": n, "features": {name: {"edges": [...], "counts": [...], "missing": n}}}: counts of rows in the bins of each feature.

    `edges` are the inner ends, k of them for k + 1 bins: quantiles of the known values without repeats, a value on an edge belongs to
    the bin above it. A value that many share (0) gets a bin that begins with it. Raises DriftError below FEWEST_ROWS rows or two bins.
    """
    if len(frame) < FEWEST_ROWS:
        raise DriftError(f"{len(frame)} rows tell too little of a distribution; use at least {FEWEST_ROWS}")
    if bins < 2:
        raise DriftError(f"{bins} bins tell nothing apart; use at least 2")
    features: dict[str, Any] = {}
    for name in names:
        values = frame[name].to_numpy(dtype=float)
        known = values[np.isfinite(values)]
        edges = _edges(known, bins)
        counts, missing = _counts(values, edges)
        features[name] = {"edges": edges.tolist(), "counts": counts.tolist(), "missing": missing}
    return {"rows": len(frame), "features": features}


def compare(reference: Mapping[str, Any], frame: pd.DataFrame, *, alpha: float = ALPHA) -> list[Drift]:
    """Every feature of the reference against the present values, the most moved first.

    A feature is `moderate` from max(0.1, limit of chance) and `major` from max(0.25, limit of chance). Raises DriftError below
    FEWEST_ROWS rows or when a feature is not in `frame`.
    """
    if len(frame) < FEWEST_ROWS:
        raise DriftError(f"{len(frame)} rows tell too little of a distribution; use at least {FEWEST_ROWS}")
    missing = [name for name in reference["features"] if name not in frame]
    if missing:
        raise DriftError(f"the present values lack {', '.join(missing)}")
    share = alpha / max(len(reference["features"]), 1)
    found = [
        _drift(name, kept, frame[name].to_numpy(dtype=float), int(reference["rows"]), share) for name, kept in reference["features"].items()
    ]
    return sorted(found, key=lambda one: (-one.psi, one.feature))


def psi_limit(rows: int, reference_rows: int, bins: int, alpha: float) -> float:
    """The PSI that `bins` bins exceed with probability `alpha` when nothing has moved."""
    from scipy.stats import chi2

    return float((1 / rows + 1 / reference_rows) * chi2.ppf(1 - alpha, max(bins - 1, 1)))


def ks_limit(rows: int, reference_rows: int, alpha: float) -> float:
    """The two-sample Kolmogorov-Smirnov statistic exceeded with probability at most `alpha` when nothing has moved."""
    return float(np.sqrt(-np.log(alpha / 2) / 2 * (1 / rows + 1 / reference_rows)))


def _edges(known: np.ndarray, bins: int) -> np.ndarray:
    if not len(known):
        return np.zeros(0)
    inner: np.ndarray = np.unique(np.quantile(known, np.arange(1, bins) / bins, method="higher"))
    # an edge at the smallest value would leave the bin below it empty
    above: np.ndarray = inner[inner > known.min()]
    return above


def _counts(values: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, int]:
    finite = np.isfinite(values)
    position = np.searchsorted(edges, values[finite], side="right")
    return np.bincount(position, minlength=len(edges) + 1), int((~finite).sum())


def _drift(name: str, kept: Mapping[str, Any], values: np.ndarray, reference_rows: int, alpha: float) -> Drift:
    counts, missing = _counts(values, np.array(kept["edges"], dtype=float))
    now = np.append(counts, missing).astype(float)
    before = np.append(kept["counts"], kept["missing"]).astype(float)
    used = (now + before) > 0
    now, before = now[used], before[used]
    q = (now + _PRIOR) / (now + _PRIOR).sum()
    p = (before + _PRIOR) / (before + _PRIOR).sum()
    psi = float(((q - p) * np.log(q / p)).sum())
    limit = psi_limit(len(values), reference_rows, len(now), alpha)
    level = LEVELS[int(psi >= max(MODERATE, limit)) + int(psi >= max(MAJOR, limit))]
    return Drift(
        feature=name,
        psi=psi,
        kl=float((q * np.log(q / p)).sum()),
        ks=float(np.abs(np.cumsum(now / now.sum() - before / before.sum())).max()),
        limit=max(MODERATE, limit),
        ks_limit=ks_limit(len(values), reference_rows, alpha),
        level=level,
        missing_before=int(kept["missing"]) / reference_rows,
        missing_now=missing / len(values),
        rows=len(values),
    )
