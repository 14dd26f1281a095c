"""Exact contributions of features to the path length of an isolation forest.

Every node has an expected path length: the mean, over the training rows below it, of depth plus the usual correction c(n) for a leaf with
n rows. A row's way down changes it split by split; each change belongs to the feature that was split on (Saabas 2014, "Interpreting random
forests"). The changes from root to leaf add up to the difference between leaf and root, so that, averaged over trees, they add up to the
row's mean path length minus that of the forest. The sign is turned: a positive contribution makes a row more isolated.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

_EULER = 0.5772156649015329


@dataclass(frozen=True)
class _Tree:
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    expected: np.ndarray


@dataclass(frozen=True)
class Forest:
    """The trees of a fitted scikit-learn IsolationForest, as arrays."""

    trees: tuple[_Tree, ...]
    features: int

    @classmethod
    def of(cls, forest: Any) -> "Forest":
        trees = tuple(
            _tree(estimator.tree_, columns) for estimator, columns in zip(forest.estimators_, forest.estimators_features_, strict=True)
        )
        return cls(trees, forest.n_features_in_)


def correction(rows: np.ndarray) -> np.ndarray:
    """Mean length of an unsuccessful search in a binary tree of that many rows; 0 for one row (Liu et al. 2008, equation 1)."""
    count = np.asarray(rows, dtype=float)
    safe = np.maximum(count, 3)
    answer = 2 * (np.log(safe - 1) + _EULER) - 2 * (safe - 1) / safe
    result: np.ndarray = np.where(count <= 1, 0.0, np.where(count <= 2, 1.0, answer))
    return result


def contributions(forest: Forest, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows, features) and base (rows,): base + sum = minus the mean path length. ArithmeticError when they do not add up."""
    # the trees compare single-precision values, as scikit-learn stores them
    values = inputs.astype(np.float32)
    total = np.zeros((len(inputs), forest.features))
    base, reached = 0.0, np.zeros(len(inputs))
    for tree in forest.trees:
        node = np.zeros(len(inputs), dtype=np.intp)
        base -= tree.expected[0]
        while (inside := np.flatnonzero(tree.left[node] >= 0)).size:
            here = node[inside]
            split = tree.feature[here]
            goes_left = values[inside, split] <= tree.threshold[here]
            below = np.where(goes_left, tree.left[here], tree.right[here])
            total[inside, split] -= tree.expected[below] - tree.expected[here]
            node[inside] = below
        reached -= tree.expected[node]
    count = len(forest.trees)
    total, base, reached = total / count, base / count, reached / count
    if not np.allclose(base + total.sum(axis=1), reached, rtol=1e-9, atol=1e-9):
        raise ArithmeticError("contributions do not add up to the path length")
    return total, np.full(len(inputs), base)


def _tree(tree: Any, columns: np.ndarray) -> _Tree:
    left, right, rows = tree.children_left, tree.children_right, tree.n_node_samples
    depth = np.zeros(tree.node_count)
    # a parent always has a lower number than its children
    for node in range(tree.node_count):
        if left[node] >= 0:
            depth[[left[node], right[node]]] = depth[node] + 1
    expected = depth + correction(rows)
    for node in range(tree.node_count - 1, -1, -1):
        if left[node] >= 0:
            below = np.array([left[node], right[node]])
            expected[node] = np.average(expected[below], weights=rows[below])
    feature = np.where(left >= 0, columns[np.maximum(tree.feature, 0)], 0)
    return _Tree(feature, tree.threshold, left, right, expected)
