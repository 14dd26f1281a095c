"""How many players lie above a threshold, without reading a million of them.

The players of a run are counted in bands of a hundredth before it is shown (`predictions.selectors.histogram`). A threshold on a hundredth
needs the bands above it, and where it is not itself included, the players who lie exactly on it; any other one needs the players of the
one band that it cuts. Both are a short range of an index, so every answer is exact and takes milliseconds. Bands begin at the floats
nearest to the hundredths, and everything is compared as floats: there is no "nearly".
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from django.db.models import Count, QuerySet

from predictions.models import ScoringRun
from predictions.selectors import LEADING

Tally = dict[str, int]


class Above:
    """Counts over `rows`, all scores of `kind` in `run`. A run without bands (of an earlier release) is counted row by row."""

    def __init__(self, kind: str, run: ScoringRun, rows: QuerySet[Any]) -> None:
        self._kind, self._run, self._rows = str(kind), run, rows
        self._column = LEADING[self._kind]

    @cached_property
    def _bands(self) -> Sequence[Mapping[str, Any]]:
        """Read alone: the rest of a run's summary is of no use here."""
        found = ScoringRun.objects.filter(pk=self._run.pk).values_list(f"summary__{self._kind}__histogram", flat=True).first()
        return found or []

    def count(self, threshold: float, *, inclusive: bool = False) -> int:
        """Players whose figure is above `threshold`, or with `inclusive` at least that."""

        def of_rows(rows: QuerySet[Any]) -> Tally:
            return {"": rows.count()}

        return self._tally(threshold, inclusive, "players", of_rows, lambda band: {"": band["players"]})[""]

    def types(self, threshold: float) -> Tally:
        """Kind of the strongest signal to players above `threshold`, most first; fraud alone has one."""

        def of_rows(rows: QuerySet[Any]) -> Tally:
            return dict(rows.order_by().values_list("fraud_type").annotate(players=Count("pk")))

        found = self._tally(threshold, False, "types", of_rows, lambda band: band["types"])
        return {name: players for name, players in sorted(found.items(), key=lambda one: (-one[1], one[0])) if players}

    def _tally(
        self,
        threshold: float,
        inclusive: bool,
        needed: str,
        of_rows: Callable[[QuerySet[Any]], Tally],
        of_band: Callable[[Mapping[str, Any]], Tally],
    ) -> Tally:
        above = {f"{self._column}__{'gte' if inclusive else 'gt'}": threshold}
        bands = self._bands
        if not bands or needed not in bands[0]:
            return of_rows(self._rows.filter(**above))
        place = max(bisect_right(bands, threshold, key=lambda band: band["from"]) - 1, 0)
        if threshold == bands[place]["from"]:
            whole, part, sign = bands[place:], {self._column: threshold}, 0 if inclusive else -1
        else:
            upper = {} if place == len(bands) - 1 else {f"{self._column}__lt": bands[place + 1]["from"]}
            whole, part, sign = bands[place + 1 :], {**above, **upper}, 1
        found: Tally = {"": 0}
        for band in whole:
            _add(found, of_band(band))
        if sign:
            _add(found, of_rows(self._rows.filter(**part)), sign)
        return found


def _add(found: Tally, more: Mapping[str, int], sign: int = 1) -> None:
    for name, players in more.items():
        found[name] = found.get(name, 0) + sign * players
