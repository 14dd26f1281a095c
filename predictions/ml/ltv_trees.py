"""LightGBM in the few forms that value needs, kept as text: an artifact opens under any release that reads the text format."""

from typing import Any

import numpy as np

_SETTINGS: dict[str, Any] = {
    "num_leaves": 15,
    "learning_rate": 0.08,
    "min_data_in_leaf": 60,
    "lambda_l2": 1.0,
    "feature_fraction": 0.7,
    "max_bin": 63,
    # features are dropped at binning otherwise, by a limit that a single fit may lower
    "feature_pre_filter": False,
    "verbosity": -1,
    # one thread and fixed order: the same data and seed give the same trees on any machine with the same library
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
}
_ROUNDS = 80


class Trees:
    """Boosted trees over columns in a fixed order. Constant once made."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._booster: Any = None

    def __getstate__(self) -> dict[str, str]:
        return {"text": self.text}

    def __setstate__(self, state: dict[str, str]) -> None:
        self.text, self._booster = state["text"], None

    @property
    def booster(self) -> Any:
        import lightgbm

        if self._booster is None:
            self._booster = lightgbm.Booster(model_str=self.text)
        return self._booster

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Shape (rows,): the mean, the quantile, or the probability."""
        if not len(inputs):
            return np.empty(0)
        answer: np.ndarray = np.asarray(self.booster.predict(inputs, num_threads=1), dtype=float)
        return answer

    def contributions(self, inputs: np.ndarray) -> tuple[np.ndarray, float]:
        """Exact TreeSHAP: (rows, features) and the base. ArithmeticError when they do not add up to `predict`."""
        if not len(inputs):
            return np.empty((0, self.booster.num_feature())), 0.0
        parts = np.asarray(self.booster.predict(inputs, pred_contrib=True, num_threads=1), dtype=float)
        raw = np.asarray(self.booster.predict(inputs, raw_score=True, num_threads=1), dtype=float)
        if not np.allclose(parts.sum(axis=1), raw, rtol=1e-6, atol=1e-6):
            raise ArithmeticError("contributions do not add up to the prediction")
        return parts[:, :-1], float(parts[0, -1])


class Binned:
    """Inputs binned once for several targets: binning costs as much as a few dozen trees."""

    def __init__(self, inputs: np.ndarray, *, seed: int) -> None:
        import lightgbm

        self._settings = {**_SETTINGS, "seed": seed}
        self._data = lightgbm.Dataset(inputs, label=np.zeros(len(inputs)), params=self._settings, free_raw_data=False)
        self._data.construct()

    def fit(self, target: np.ndarray, *, weights: np.ndarray | None = None, rounds: int = _ROUNDS, **settings: Any) -> Trees:
        """Trees for one target (rows,); `settings` are LightGBM's (objective, alpha, ...)."""
        import lightgbm

        self._data.set_label(target)
        self._data.set_weight(np.ones(len(target)) if weights is None else weights)
        booster = lightgbm.train({**self._settings, **settings}, self._data, num_boost_round=rounds)
        return Trees(booster.model_to_string())
