"""Figures of models and checks of their gate in words: what each is called, whether it is a share, and which way is better."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_ACTIVE = "_active"


@dataclass(frozen=True)
class Metric:
    """`direction`: 1 when higher is better, -1 when lower is, 0 when neither."""

    label: str
    is_share: bool = False
    direction: int = 0

    @property
    def wants(self) -> str:
        return {1: "higher is better", -1: "lower is better"}.get(self.direction, "")

    def better(self, mine: Any, other: Any) -> bool | None:
        """Whether `mine` is better than `other`; None where it cannot be said or they are equal."""
        if not self.direction or not all(isinstance(one, (int, float)) for one in (mine, other)) or mine == other:
            return None
        return bool((mine > other) == (self.direction > 0))


# in the order in which pages show them
_METRICS = {
    "auc": Metric("AUC", direction=1),
    "pr_auc": Metric("PR-AUC", direction=1),
    "brier": Metric("Brier score", direction=-1),
    "log_loss": Metric("Log loss", direction=-1),
    "ece": Metric("Calibration error (ECE)", direction=-1),
    "base_rate": Metric("Base rate", is_share=True),
    "gini": Metric("Normalised Gini", direction=1),
    "scaled_error": Metric("Squared error over the player's scale", direction=-1),
    "coverage": Metric("Coverage of the 80 % interval", is_share=True),
    "coverage_80": Metric("Coverage of the 80 % interval", is_share=True),
    "below_p10": Metric("Values below P10 (10 % wanted)", is_share=True),
    "below_p50": Metric("Values below P50 (50 % wanted)", is_share=True),
    "below_p90": Metric("Values below P90 (90 % wanted)", is_share=True),
    "coverage_closed": Metric("Coverage, ends of the interval included", is_share=True),
    "coverage_all": Metric("Coverage among all players, ends included", is_share=True),
    "coverage_nothing": Metric("Brought in nothing, as was said", is_share=True, direction=1),
    "certain_share": Metric("Players said to bring in nothing", is_share=True),
    "interval_width": Metric("Mean width of the interval"),
    "mae": Metric("Mean absolute error", direction=-1),
    "mae_p50": Metric("Mean absolute error of P50", direction=-1),
    "median_absolute_error": Metric("Median absolute error", direction=-1),
    "median_absolute_error_p50": Metric("Median absolute error of P50", direction=-1),
    "rmse": Metric("Root mean squared error", direction=-1),
    "bias": Metric("Bias of the total", is_share=True),
    "silhouette": Metric("Silhouette", direction=1),
    "stability": Metric("Stability", is_share=True, direction=1),
    "rank_agreement": Metric("Agreement of two forests (rank)", direction=1),
    "top_agreement": Metric("Agreement on the top hundredth", is_share=True, direction=1),
    "share_above_95": Metric("Players above 0.95", is_share=True),
    "share_above_99": Metric("Players above 0.99", is_share=True),
    "transition_log_loss": Metric("Log loss of transitions", direction=-1),
    "transition_accuracy": Metric("Accuracy of transitions", is_share=True, direction=1),
}


def metric(name: str) -> Metric:
    """Also of a check of the gate, which is called as its figure is. One that is not known here is shown under its own name."""
    plain = name.removesuffix(_ACTIVE)
    known = _METRICS.get(plain)
    if known is None:
        return Metric(name.replace("_", " ").capitalize())
    return known if plain == name else Metric(f"{known.label} among active players", known.is_share, known.direction)


def in_order(names: Iterable[str]) -> list[str]:
    """As pages show them: of all players, of the active ones, and those not known here."""
    places = {name: place for place, name in enumerate(_METRICS)}

    def place(name: str) -> tuple[bool, bool, int, str]:
        plain = name.removesuffix(_ACTIVE)
        return plain not in places, plain != name, places.get(plain, 0), name

    return sorted(set(names), key=place)


def known_in_order(names: Iterable[str]) -> list[str]:
    """The same, of all players and known here only."""
    return [name for name in in_order(names) if name in _METRICS]
