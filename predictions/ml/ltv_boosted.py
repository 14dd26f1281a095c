"""Value over 90 days by gradient boosting: mean, three quantiles, and the probabilities that there is any and that it is a gain.

Net gaming revenue is heavy-tailed and its noise grows with what a player turns over. So trees learn the ratio of the value to the player's
own scale, s = floor + |NGR of 90 days| + |NGR of 365 days| / 4 + deposits and theoretical win of 90 days, everything known at the cut-off;
floor is the median size of a value that is not 0. A whale's ratio is as tame as anybody's, and a tree never has to reach a value that
it has not seen. The mean minimises squared error of the ratio with weight sqrt(s), between the two usual laws (variance of the value
proportional to s, and to s squared). The quantiles minimise the pinball loss of the ratio; as s is known, the quantile of the value is s
times that of the ratio.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .kinds import NotEnoughData
from .ltv_trees import Binned, Trees

# columns that make up the scale, and their share in it
SCALE = {"ngr_90d": 1.0, "ngr_365d": 0.25, "deposits_90d": 1.0, "theo_90d": 1.0}
BOOSTED = "gradient boosting"
QUANTILES = (0.1, 0.5, 0.9)
MAXIMUM_ROWS = 200_000


@dataclass(frozen=True)
class Scale:
    """`means`: what each column of SCALE adds on average over the rows that were learned from, in the order of SCALE."""

    floor: float
    means: tuple[float, ...]

    @property
    def mean(self) -> float:
        return self.floor + sum(self.means)

    @classmethod
    def fit(cls, frame: pd.DataFrame, value: np.ndarray) -> "Scale":
        """NotEnoughData when every value is 0."""
        sizes = np.abs(value[value != 0])
        if not len(sizes):
            raise NotEnoughData("nobody brought in anything in the 90 days after any cut-off: wait for play.")
        floor = float(np.median(sizes))
        return cls(floor, tuple(float(mean) for mean in parts(frame).mean(axis=0)))

    def of(self, frame: pd.DataFrame) -> np.ndarray:
        """Currency units, shape (rows,), positive."""
        answer: np.ndarray = self.floor + parts(frame).sum(axis=1)
        return answer


def parts(frame: pd.DataFrame) -> np.ndarray:
    """What each column of SCALE adds, shape (rows, 4); unknown adds nothing."""
    raw = np.abs(frame[list(SCALE)].to_numpy(float)) * np.array(list(SCALE.values()))
    answer: np.ndarray = np.nan_to_num(raw, nan=0.0)
    return answer


@dataclass(frozen=True)
class Boosted:
    features: tuple[str, ...]
    scale: Scale
    nonzero: Trees
    gain: Trees
    mean: Trees
    quantiles: tuple[Trees, ...]

    def inputs(self, frame: pd.DataFrame) -> np.ndarray:
        return matrix(frame, self.features)

    def value(self, frame: pd.DataFrame) -> np.ndarray:
        """Expected NGR of the next 90 days, currency units, shape (rows,)."""
        answer: np.ndarray = self.scale.of(frame) * self.mean.predict(self.inputs(frame))
        return answer

    def distribution(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Columns value, low, middle, high (90 days, currency units), scale; nonzero (probability of any) and gain (that it is positive,
        if there is any)."""
        inputs, scale = self.inputs(frame), self.scale.of(frame)
        ratios = np.sort(np.column_stack([trees.predict(inputs) for trees in self.quantiles]), axis=1)
        columns = {
            "value": scale * self.mean.predict(inputs),
            "low": scale * ratios[:, 0],
            "middle": scale * ratios[:, 1],
            "high": scale * ratios[:, 2],
            "nonzero": self.nonzero.predict(inputs),
            "gain": self.gain.predict(inputs),
            "scale": scale,
        }
        return pd.DataFrame(columns, index=frame.index)

    def contributions(self, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """(rows, features) and base (rows,), currency units of 90 days, adding up to `value`.

        The value is a product, scale times ratio. Each factor's part is its Shapley value against the mean scale and the mean ratio. The
        ratio's part is spread by TreeSHAP. The scale is a sum, so its part is spread by how far each of its terms is from that term's
        mean: a column below its mean takes away, whatever the others add.
        """
        scale, terms = self.scale.of(frame), parts(frame)
        by_ratio, base_ratio = self.mean.contributions(self.inputs(frame))
        ratio = base_ratio + by_ratio.sum(axis=1)
        answer = by_ratio * ((scale + self.scale.mean) / 2)[:, None]
        factor = (ratio + base_ratio) / 2
        for column, name in enumerate(SCALE):
            answer[:, self.features.index(name)] += (terms[:, column] - self.scale.means[column]) * factor
        return answer, np.full(len(frame), self.scale.mean * base_ratio)


def fit(frame: pd.DataFrame, value: np.ndarray, features: tuple[str, ...], *, seed: int) -> Boosted:
    """On rows of any number of cut-offs with their NGR of the following 90 days (rows,). At most 200,000 rows, drawn by `seed`."""
    if len(frame) > MAXIMUM_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(len(frame), MAXIMUM_ROWS, replace=False))
        frame, value = frame.iloc[rows], value[rows]
    scale = Scale.fit(frame, value)
    own = scale.of(frame)
    ratio = value / own
    inputs, any_value = matrix(frame, features), value != 0
    binned = Binned(inputs, seed=seed)
    return Boosted(
        features,
        scale,
        nonzero=binned.fit(any_value.astype(float), objective="binary", rounds=50),
        gain=Binned(inputs[any_value], seed=seed).fit((value[any_value] > 0).astype(float), objective="binary", rounds=50),
        mean=binned.fit(ratio, weights=np.sqrt(own), objective="regression"),
        quantiles=tuple(binned.fit(ratio, objective="quantile", alpha=share) for share in QUANTILES),
    )


def matrix(frame: pd.DataFrame, features: tuple[str, ...]) -> np.ndarray:
    """Shape (rows, features); NaN is kept, trees split on it. ValueError names missing columns."""
    missing = [name for name in features if name not in frame.columns]
    if missing:
        raise ValueError(f"the frame lacks {', '.join(missing)}")
    answer: np.ndarray = frame[list(features)].to_numpy(float)
    return answer
