"""Geometry of the small pictures: everything is computed here, the templates only write it out as SVG.

Coordinates are those of a view box of WIDTH x HEIGHT; y grows downwards. All functions are pure and take plain rows.
"""

from collections.abc import Mapping, Sequence
from math import floor, log10, sqrt
from typing import Any

WIDTH, HEIGHT = 420, 260
LEFT, RIGHT, TOP, BOTTOM = 44, 22, 12, 34
_SMALLEST, _LARGEST = 2.5, 8.0

Row = Mapping[str, Any]


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _frame(x_ticks: Sequence[tuple[float, str]], y_ticks: Sequence[tuple[float, str]]) -> dict[str, Any]:
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
        "right": WIDTH - RIGHT,
        "top": TOP,
        "bottom": HEIGHT - BOTTOM,
        "x_ticks": [{"x": f"{_x(at):.1f}", "label": label} for at, label in x_ticks],
        "y_ticks": [{"y": f"{_y(at):.1f}", "label": label} for at, label in y_ticks],
    }


_SHARES = [(0.0, "0 %"), (0.25, "25 %"), (0.5, "50 %"), (0.75, "75 %"), (1.0, "100 %")]


def calibration(rows: Sequence[Row], baseline: Sequence[Row] = ()) -> dict[str, Any] | None:
    """Predicted against observed share per band; the nearer to the diagonal, the truer. The area of a point is its players."""
    if not rows:
        return None
    most = max(float(row["n"]) for row in rows)
    return {
        **_frame(_SHARES, _SHARES),
        "diagonal": f"M{_x(0):.1f},{_y(0):.1f} L{_x(1):.1f},{_y(1):.1f}",
        "points": [
            {
                "x": f"{_x(row['predicted']):.1f}",
                "y": f"{_y(row['observed']):.1f}",
                "r": f"{max(_SMALLEST, _LARGEST * sqrt(row['n'] / most)):.1f}",
                "title": f"predicted {row['predicted']:.1%}, observed {row['observed']:.1%}, {row['n']:,} players",
            }
            for row in rows
        ],
        "line": _path([(_x(row["predicted"]), _y(row["observed"])) for row in rows]),
        "baseline": _path([(_x(row["predicted"]), _y(row["observed"])) for row in baseline]),
    }


def lift(rows: Sequence[Row], baseline: Sequence[Row] = ()) -> dict[str, Any] | None:
    """Bars: how many times the average rate each tenth of the players has, the highest scores first; 1 is no better than chance."""
    if not rows:
        return None
    top = _round_up(max(float(row["lift"]) for row in (*rows, *baseline)))
    bars = _bars([float(row["lift"]) for row in rows], top)
    for bar, row in zip(bars, rows, strict=True):
        bar["title"] = f"tenth {row['decile']}: {row['lift']:.2f} times the average, {row['positives']:,.0f} of {row['n']:,} players"
    middles = [bar["middle"] for bar in bars]
    return {
        **_frame([], [(at / top, f"{at:g}x") for at in _ticks(top)]),
        "bars": bars,
        "labels": [{"x": f"{bar['middle']:.1f}", "label": row["decile"]} for bar, row in zip(bars, rows, strict=True)],
        "chance": f"{_y(1 / top):.1f}",
        "baseline": _path([(x, _y(float(row["lift"]) / top)) for x, row in zip(middles, baseline, strict=False)]),
    }


def deciles(rows: Sequence[Row]) -> dict[str, Any] | None:
    """Pairs of bars: mean predicted and mean actual value of each tenth, the highest predictions first."""
    if not rows:
        return None
    top = _round_up(max(max(float(row["predicted"]), float(row["actual"])) for row in rows))
    predicted = _bars([float(row["predicted"]) for row in rows], top, part=0, parts=2)
    actual = _bars([float(row["actual"]) for row in rows], top, part=1, parts=2)
    for bar, other, row in zip(predicted, actual, rows, strict=True):
        bar["title"] = other["title"] = f"tenth {row['decile']}: predicted {row['predicted']:,.1f}, actual {row['actual']:,.1f}"
    return {
        **_frame([], [(at / top, f"{at:,g}") for at in _ticks(top)]),
        "bars": predicted,
        "others": actual,
        "labels": [
            {"x": f"{(bar['middle'] + other['middle']) / 2:.1f}", "label": row["decile"]}
            for bar, other, row in zip(predicted, actual, rows, strict=True)
        ],
    }


def thresholds(rows: Sequence[Row]) -> dict[str, Any] | None:
    """Precision and recall by threshold, as measured."""
    if not rows:
        return None
    known = [row for row in rows if row.get("precision") is not None]
    return {
        **_frame(_SHARES, _SHARES),
        "line": _path([(_x(row["threshold"]), _y(row["precision"])) for row in known]),
        "baseline": _path([(_x(row["threshold"]), _y(row["recall"])) for row in rows if row.get("recall") is not None]),
    }


def spark(points: Sequence[tuple[Any, float]], *, ceiling: float | None = None) -> dict[str, Any] | None:
    """A line without axes through (instant, value), in a box of 160 x 36. `ceiling` fixes the scale to 0..ceiling."""
    if len(points) < 2:
        return None
    first, last = points[0][0], points[-1][0]
    span = (last - first).total_seconds() or 1.0
    low = 0.0 if ceiling else min(value for _, value in points)
    high = ceiling or max(value for _, value in points)
    height = (high - low) or 1.0
    places = [(3 + 154 * (at - first).total_seconds() / span, 33 - 30 * (value - low) / height) for at, value in points]
    return {"path": _path(places), "x": f"{places[-1][0]:.1f}", "y": f"{places[-1][1]:.1f}"}


def beyond(low: Any, mean: Any, high: Any) -> str:
    """On which side of its interval a mean lies, "above" or "below", in the whole units that are shown; empty within.

    Few players make up the mean of a long tail.
    """
    return "above" if round(mean) > round(high) else "below" if round(mean) < round(low) else ""


def value_range(low: float, mean: float, high: float, median: float | None = None) -> dict[str, Any]:
    """Places of an interval, its mean and its median on one line from the least of them (or 0) to the greatest, in hundredths.

    Of a long tail the mean may lie beyond the interval: the line is made longer then, and the mark stands where the mean is. Amounts are
    written as whole ones; what rounds to none is 0, never "-0".
    """
    told = [low, mean, high] if median is None else [low, mean, high, median]
    start, end = min(0.0, *told), max(0.0, *told)
    scale = 100 / ((end - start) * 1.04 or 1.0)  # a mark at the very end would be cut in half
    return {
        "left": f"{(low - start) * scale:.1f}",
        "width": f"{(high - low) * scale:.1f}",
        "mean": f"{(mean - start) * scale:.1f}",
        "median": "" if median is None else f"{(median - start) * scale:.1f}",
        "low": f"{low:z,.0f}",
        "high": f"{high:z,.0f}",
        "mean_text": f"{mean:z,.0f}",
        "median_text": "" if median is None else f"{median:z,.0f}",
        "beyond": beyond(low, mean, high),
    }


def histogram(counts: Sequence[int]) -> list[dict[str, Any]]:
    """Columns side by side in a box of 1000 x 100; heights by the square root, so that thin bands stay visible beside the crowd."""
    most = max((sqrt(count) for count in counts), default=0.0)
    width = 1000 / max(len(counts), 1)
    return [
        {
            "x": f"{number * width:.2f}",
            "width": f"{max(width - 1.2, 0.6):.2f}",
            "height": f"{max(100 * sqrt(count) / most, 1.5) if count else 0:.2f}",
            "y": f"{100 - (max(100 * sqrt(count) / most, 1.5) if count else 0):.2f}",
            "count": count,
        }
        for number, count in enumerate(counts)
    ]


def _bars(values: Sequence[float], top: float, *, part: int = 0, parts: int = 1) -> list[dict[str, Any]]:
    slot = (WIDTH - LEFT - RIGHT) / len(values)
    width = slot * 0.72 / parts
    bars = []
    for number, value in enumerate(values):
        x = LEFT + slot * (number + 0.14) + part * width
        y = _y(min(max(value, 0.0) / top, 1.0))
        bars.append(
            {
                "x": f"{x:.1f}",
                "y": f"{y:.1f}",
                "width": f"{width - (1 if parts > 1 else 0):.1f}",
                "height": f"{max(HEIGHT - BOTTOM - y, 0.5):.1f}",
                "middle": x + width / 2,
                "title": "",
            }
        )
    return bars


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "".join(f"{'L' if number else 'M'}{x:.1f},{y:.1f} " for number, (x, y) in enumerate(points)).strip() if len(points) > 1 else ""


_STEPS = {1: 0.25, 1.5: 0.5, 2: 0.5, 2.5: 0.5, 3: 1, 4: 1, 5: 1, 6: 2, 8: 2, 10: 2}  # round top of an axis to the step of its ticks


def _round_up(value: float) -> float:
    """The next round number that an axis may end at; 1 for anything that is not above 0."""
    power = _power(value)
    return next(one * power for one in (*_STEPS, 20) if one * power >= value * (1 - 1e-9)) if value > 0 else 1.0


def _ticks(top: float) -> list[float]:
    power = _power(top)
    step = _STEPS[min(_STEPS, key=lambda one: abs(one * power - top))] * power
    return [step * number for number in range(round(top / step) + 1)]


def _power(value: float) -> float:
    return float(10.0 ** floor(log10(value))) if value > 0 else 1.0
