"""By how much one score ranks better than another, and how sure that is."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata


def auc_difference(y: ArrayLike, first: ArrayLike, second: ArrayLike) -> tuple[float, float]:
    """AUC of `first` less AUC of `second` for the same rows, and the standard error of this difference.

    By the method of DeLong, DeLong and Clarke-Pearson (1988): the two are paired, so what is hard for both cancels. `y` (n)
    holds outcomes of 0 and 1, the scores (n) are finite. Raises ValueError with fewer than two rows of either outcome.
    """
    outcomes, scores, others = (np.asarray(column, dtype=np.float64) for column in (y, first, second))
    positive = outcomes == 1
    if min(positive.sum(), (~positive).sum()) < 2:
        raise ValueError("two rows of each outcome are needed for the error of a difference")
    won = [_placements(each[positive], each[~positive]) for each in (scores, others)]
    of_positives, of_negatives = (won[0][side] - won[1][side] for side in (0, 1))
    variance = of_positives.var(ddof=1) / len(of_positives) + of_negatives.var(ddof=1) / len(of_negatives)
    return float(of_positives.mean()), float(np.sqrt(variance))


def _placements(positives: np.ndarray, negatives: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each positive the share of negatives below it, of each negative the share of positives above it; ties count half."""
    ranks = rankdata(np.concatenate([positives, negatives]))
    below = (ranks[: len(positives)] - rankdata(positives)) / len(negatives)
    return below, 1 - (ranks[len(positives) :] - rankdata(negatives)) / len(positives)
