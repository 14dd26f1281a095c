"""The abuse score of many signals, and the band it falls into.

score = 100 x (1 - prod(1 - w x s x 2^(-age / half-life))): signals support each other, never exceed 100, and fade.

Bands (edges are settings; defaults 31, 61, 81). Scores are real numbers: a band is entered at its edge exactly (31.0 is REDUCED,
30.999 is not), and left only when the score has fallen the hysteresis below it (with 10: at 21.0 exactly, not at 21.001).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

BANDS = ("NONE", "REDUCED", "WAGERING", "BLOCKED")


@dataclass(frozen=True)
class BandEdges:
    reduced: float = 31
    wagering: float = 61
    blocked: float = 81
    hysteresis: float = 10

    def __post_init__(self) -> None:
        if not 0 < self.reduced < self.wagering < self.blocked <= 100:
            raise ValueError(
                f"abuse bands begin at {self.reduced}, {self.wagering} and {self.blocked}; they must rise and lie between 0 and 100"
            )
        if not 0 <= self.hysteresis < self.reduced:
            raise ValueError(
                f"the hysteresis of abuse bands is {self.hysteresis}; it must be below the first edge, {self.reduced}, "
                "or nobody could ever leave the first band"
            )


@dataclass(frozen=True)
class WeighedSignal:
    kind: str
    key: str
    strength: float
    age_days: float


@dataclass(frozen=True)
class Contribution:
    """`contribution` = weight x strength x decay; `points` is its part of the score (all parts add up to the score)."""

    kind: str
    key: str
    weight: float
    strength: float
    decay: float
    contribution: float
    points: float


@dataclass(frozen=True)
class Score:
    value: float
    contributions: Sequence[Contribution]


def score_signals(signals: Iterable[WeighedSignal], weights: dict[str, float], half_life_days: float) -> Score:
    """Score and contributions, largest first. A signal from the future counts as fresh. Raises KeyError for a kind without weight.

    Points split the score in proportion to -ln(1 - contribution), the measure in which a noisy-or adds up.
    """
    if half_life_days <= 0:
        raise ValueError(f"the half-life of abuse signals is {half_life_days} days; it must be above 0")
    parts = []
    for signal in signals:
        decay = 2.0 ** (-max(signal.age_days, 0.0) / half_life_days)
        parts.append((signal, weights[signal.kind], decay, weights[signal.kind] * signal.strength * decay))
    logs = [-math.log1p(-min(part, 1 - 1e-12)) for *_, part in parts]
    value = 100 * (1 - math.prod(1 - part for *_, part in parts))
    total = sum(logs)
    contributions = [
        Contribution(signal.kind, signal.key, weight, signal.strength, decay, part, value * log / total if total else 0.0)
        for (signal, weight, decay, part), log in zip(parts, logs, strict=True)
    ]
    return Score(value, sorted(contributions, key=lambda one: (-one.points, one.kind, one.key)))


def next_band(current: str, score: float, edges: BandEdges) -> str:
    """The band after `current` at `score`: the highest whose edge is reached, or that is held and not yet left."""
    held = BANDS.index(current)
    starts = (0.0, edges.reduced, edges.wagering, edges.blocked)
    for band in range(len(BANDS) - 1, 0, -1):
        if score >= starts[band] or (band <= held and score > starts[band] - edges.hysteresis):
            return BANDS[band]
    return BANDS[0]
