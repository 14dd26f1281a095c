"""What every threshold would mean, computed from the histogram of a run and the reliability that was measured at training.

Pure arithmetic, nothing is assumed: a band's share of true cases is read off the reliability table (predicted against observed, on the
cut-off that no choice was made on); where none was measured there is no precision.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

Row = Mapping[str, Any]


def observed_share(probability: float, reliability: Sequence[Row]) -> float | None:
    """The share of true cases among players with about this probability, by straight lines between the measured bands.

    Outside of what was measured the nearest band holds. None without a measurement.
    """
    points = sorted((float(row["predicted"]), float(row["observed"])) for row in reliability)
    if not points:
        return None
    if probability <= points[0][0]:
        return points[0][1]
    for (low, at_low), (high, at_high) in zip(points, points[1:], strict=False):
        if probability <= high:
            return at_low + (at_high - at_low) * (probability - low) / (high - low) if high > low else at_high
    return points[-1][1]


def of_currency(bands: Sequence[Row], currency: str) -> list[dict[str, Any]]:
    """The bands with the players of one currency alone. Raises KeyError for bands of a run that did not count them by currency."""
    found = []
    for band in bands:
        own = (band["currencies"] if band["players"] else {}).get(currency, {"players": 0, "sum": 0.0})
        money = {name: {currency: band[name][currency]} if currency in band.get(name, {}) else {} for name in ("value", "stake")}
        found.append({**band, **own, **money})
    return found


def can_split(bands: Sequence[Row]) -> bool:
    """Whether the run counted its players by currency."""
    return all("currencies" in band for band in bands if band["players"])


def probability_steps(bands: Sequence[Row], reliability: Sequence[Row]) -> list[dict[str, Any]]:
    """One step per band, plus the end: what lies at or above `threshold`.

    players; share of all; expected: true cases among them; precision: expected / players; recall: expected / expected of all;
    value: {currency: amount} at stake with these players, a negative one as 0; loss: {currency: amount} times the share of true cases of
    its band. expected, precision, recall and loss are None without a measured reliability.
    """
    shares = [observed_share(_middle(band), reliability) for band in bands]
    cases = [None if share is None else share * band["players"] for band, share in zip(bands, shares, strict=True)]
    all_players = sum(int(band["players"]) for band in bands)
    all_cases = None if None in cases else sum(case for case in cases if case is not None)
    steps = []
    bands = [{**band, "value": _at_stake(band)} for band in bands]
    for first in range(len(bands) + 1):
        players = sum(int(band["players"]) for band in bands[first:])
        expected = None if all_cases is None else sum(case for case in cases[first:] if case is not None)
        steps.append(
            {
                "threshold": float(bands[first]["from"]) if first < len(bands) else float(bands[-1]["to"]),
                "players": players,
                "share": players / all_players if all_players else 0.0,
                "expected": expected,
                "precision": expected / players if expected is not None and players else None,
                "recall": expected / all_cases if expected is not None and all_cases else None,
                "value": _money(bands[first:], [1.0] * (len(bands) - first)),
                "loss": None if expected is None else _money(bands[first:], [share or 0.0 for share in shares[first:]]),
            }
        )
    return steps


def amount_steps(bands: Sequence[Row], currency: str) -> list[dict[str, Any]]:
    """Steps over the bands of one currency: players at or above the amount, and what they are predicted to bring in."""
    all_players = sum(int(band["players"]) for band in bands)
    steps = []
    for first in range(len(bands)):
        players = sum(int(band["players"]) for band in bands[first:])
        steps.append(
            {
                "threshold": float(bands[first]["from"]),
                "players": players,
                "share": players / all_players if all_players else 0.0,
                "expected": None,
                "precision": None,
                "recall": None,
                "value": _money([band for band in bands[first:] if currency in band["value"]], [1.0] * (len(bands) - first)),
                "loss": None,
            }
        )
    return steps


def step_at(steps: Sequence[Row], threshold: float) -> int:
    """Number of the first step at or above `threshold`; the last one when there is none."""
    return next((number for number, step in enumerate(steps) if step["threshold"] >= threshold - 1e-9), len(steps) - 1)


def _middle(band: Row) -> float:
    """The mean probability of a band's players where it is known, else the middle of its ends."""
    if band.get("sum") is not None and band["players"]:
        return float(band["sum"]) / int(band["players"])
    return (float(band["from"]) + float(band["to"])) / 2


def _at_stake(band: Row) -> Mapping[str, str]:
    """Runs of earlier releases know only the sum of a band: below zero it counts as nothing."""
    if "stake" in band:
        return dict(band["stake"])
    return {currency: str(max(Decimal(text), Decimal(0))) for currency, text in band["value"].items()}


def _money(bands: Sequence[Row], weights: Sequence[float]) -> dict[str, float]:
    totals: dict[str, Decimal] = {}
    for band, weight in zip(bands, weights, strict=False):
        for currency, text in band["value"].items():
            totals[currency] = totals.get(currency, Decimal(0)) + Decimal(text) * Decimal(repr(weight))
    return {currency: round(float(total), 2) for currency, total in sorted(totals.items())}
