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
# beside the zeros a bin may hold fewer rows than its share of all, but no fewer than a quarter of that
_PARTS_OF_A_BIN = 4


class DriftError(ValueError):
    """Distributions that cannot be compared; the message says why."""


@dataclass(frozen=True)
class Drift:
    """One feature. `limit` is the PSI from which it counts as moved at this number of rows, `ks_limit` the same for KS.

    `missing_before` and `missing_now` are shares of NaN. `quartiles_before` and `quartiles_now` (lower, median, upper) are those of the
    known values: None where all are unknown, and before also where the reference kept none.
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
    quartiles_before: list[float] | None
    quartiles_now: list[float] | None
    rows: int


def reference_bins(frame: pd.DataFrame, names: Sequence[str], bins: int = BINS) -> dict[str, Any]:
    """{"rows": n, "features": {name: {"edges": [...], "counts": [...], "missing": n, "median": x, "quartiles": [x, x, x]}}}.

    `counts`: rows in the bins. `median` and `quartiles` (lower, median, upper) are those of the known values, None where all are unknown.
    `edges` are the inner ends, k of them for k + 1 bins (at most one more than `bins`); a value on an edge belongs to the bin above it.
    Where many are 0 they have a bin of their own. Raises DriftError below FEWEST_ROWS rows or two bins.
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
        quartiles = _quartiles(known)
        features[name] = {
            "edges": edges.tolist(),
            "counts": counts.tolist(),
            "missing": missing,
            "median": quartiles[1] if quartiles else None,
            "quartiles": quartiles,
        }
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
    """Ends halfway between the quantiles, so that a value that many share lies in the middle of its bin and not at its end.

    Round stakes in currency units all move a little when the unit does; ends at these values would call that drift. Only 0 keeps its
    meaning whatever the unit: shared by more rows than a bin would hold it has a bin of its own, and the others are cut by their own
    quantiles. Else amounts that three quarters of the players have none of would have two ends, and PSI would miss that all of them grew.
    """
    if not len(known):
        return np.zeros(0)
    others = known[known != 0]
    shares_zero = len(known) - len(others) > len(known) / bins
    rest = others if shares_zero else known
    parts = min(bins - int(shares_zero), int(_PARTS_OF_A_BIN * bins * len(rest) / len(known)))
    middles = np.unique(np.quantile(rest, (np.arange(parts) + 0.5) / parts, method="higher")) if parts else np.zeros(0)
    ends = (middles[1:] + middles[:-1]) / 2
    if shares_zero:
        beside_zero = [rest[rest < 0].max(initial=-np.inf) / 2, rest[rest > 0].min(initial=np.inf) / 2]
        ends = np.concatenate([ends[middles[1:] * middles[:-1] > 0], beside_zero])
    edges: np.ndarray = np.unique(ends[np.isfinite(ends)])
    return edges


def _quartiles(known: np.ndarray) -> list[float] | None:
    return [float(one) for one in np.quantile(known, (0.25, 0.5, 0.75))] if len(known) else None


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
        quartiles_before=kept.get("quartiles"),
        quartiles_now=_quartiles(values[np.isfinite(values)]),
        rows=len(values),
    )
