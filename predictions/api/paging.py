"""Pages over the scores of one run, by keyset: any depth costs one index range.

The keys of a page are read first, from the index alone where the filter allows it; then the rows of those keys. A cursor holds the
last key, the run and the filters it belongs to, and is signed: it cannot be mixed with other filters and never mixes two runs.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.core import signing
from django.core.cache import cache
from django.db.models import QuerySet

from loyalty_site.common.api.problems import Problem, field_problem
from predictions.models import ScoringRun

_SALT = "predictions.page"
_REMEMBERED = int(timedelta(days=7).total_seconds())
_NOT_FILTERS = frozenset({"page", "page_size", "cursor", "include_details"})


@dataclass(frozen=True)
class Sort:
    """`column` of the score table (or of the player), with the player as the last key where the column is not unique.

    `nullable`: rows without a value come after all others, whichever the direction.
    """

    column: str
    descending: bool = True
    unique: bool = False
    nullable: bool = False

    @property
    def order(self) -> list[str]:
        first = f"-{self.column}" if self.descending else self.column
        return [first] if self.unique else [first, "player_id"]

    def parts(self, rows: QuerySet[Any]) -> list[QuerySet[Any]]:
        """`rows` in order, as ranges of the index one after the other: those with a value, then those without.

        An index that falls holds nulls first, so no single range of it has them last. The part without a value keeps the whole order,
        though its first key is the same everywhere: by the player alone the planner would not see that the index has that order.
        """
        ordered = rows.order_by(*self.order)
        return [ordered.filter(**{f"{self.column}__isnull": empty}) for empty in (False, True)] if self.nullable else [ordered]

    def value_of(self, row: Any) -> Any:
        """The key of a row, as JSON holds it exactly."""
        value: Any = row
        for part in self.column.split("__"):
            value = getattr(value, part)
        return str(value) if isinstance(value, Decimal) else value


BY_PLAYER = Sort("player__external_id", descending=False, unique=True)


@dataclass(frozen=True)
class Position:
    """After the row with this key."""

    value: Any
    player_id: int


def fingerprint(kind: str, values: dict[str, Any]) -> str:
    """What a cursor belongs to: the kind, the filters and the order."""
    filters = {name: value for name, value in values.items() if name not in _NOT_FILTERS}
    return hashlib.sha256(json.dumps([kind, filters], sort_keys=True, default=str).encode()).hexdigest()[:16]


def encode(run: ScoringRun, mark: str, sort: Sort, row: Any) -> str:
    return signing.dumps([run.pk, mark, sort.value_of(row), row.player_id], salt=_SALT, compress=True)


def decode(cursor: str, mark: str) -> tuple[ScoringRun, Position]:
    """The run and the position. Raises a 400 for a cursor that is not ours, belongs to other filters, or whose run is gone."""
    try:
        run_id, belongs_to, value, player_id = signing.loads(cursor, salt=_SALT)
    except (signing.BadSignature, ValueError, TypeError):
        raise _bad_cursor("the cursor is not one that this API gave") from None
    if belongs_to != mark:
        raise _bad_cursor("the cursor belongs to other filters or another order")
    run = ScoringRun.objects.filter(pk=run_id, status=ScoringRun.Status.PUBLISHED).first()
    if run is None:
        raise _bad_cursor("the scores that this cursor walks through have been replaced and deleted")
    return run, Position(value, player_id)


def _bad_cursor(detail: str) -> Problem:
    return field_problem("cursor", detail, "Begin again without cursor, and keep filters and sort_by the same from page to page.")


def keys_after(rows: QuerySet[Any], sort: Sort, position: Position, limit: int) -> list[int]:
    """Player ids after a position, in order. Exact index ranges: the rest of the equal values, the values beyond, the rows without one."""
    first, *rest = sort.parts(rows)
    if position.value is None:
        # the position is among the rows without a value, which are the last part
        ranges = [one.filter(player_id__gt=position.player_id) for one in rest]
    else:
        beyond = first.filter(**{f"{sort.column}__{'lt' if sort.descending else 'gt'}": position.value})
        equal = rows.filter(**{sort.column: position.value}, player_id__gt=position.player_id).order_by("player_id")
        ranges = [beyond] if sort.unique else [equal, beyond, *rest]
    return _first_of(ranges, limit)


def keys_from(rows: QuerySet[Any], sort: Sort, offset: int, limit: int) -> list[int]:
    """Player ids from an offset on, in order."""
    first, *rest = sort.parts(rows)
    found = list(first.values_list("player_id", flat=True)[offset : offset + limit])
    for empty in rest:
        if len(found) < limit:
            # the page may lie beyond the last value: counted no further than the offset, which is bounded (`query.DEEPEST_ROW`)
            skipped = 0 if found else offset - first[:offset].count()
            found += empty.values_list("player_id", flat=True)[skipped : skipped + limit - len(found)]
    return found


def _first_of(ranges: Sequence[QuerySet[Any]], limit: int) -> list[int]:
    """The first player ids of ranges that follow each other; later ranges are read only when the earlier do not fill the limit."""
    found: list[int] = []
    for one in ranges:
        if len(found) < limit:
            found += one.values_list("player_id", flat=True)[: limit - len(found)]
    return found


def rows_of(rows: QuerySet[Any], keys: list[int]) -> list[Any]:
    """The rows of the keys, in the order of the keys, with the player's id and currency."""
    found = rows.filter(player_id__in=keys).select_related("player")
    fields = [field.name for field in rows.model._meta.concrete_fields if field.name != "player"]
    found = found.only(*fields, "player__external_id", "player__currency")
    by_player = {row.player_id: row for row in found}
    return [by_player[key] for key in keys if key in by_player]


def remembered(run: ScoringRun, name: str, compute: Callable[[], Any]) -> Any:
    """An answer about a run, which changes with its revision alone; computed when nobody has yet. Plain JSON, not None."""
    digest = hashlib.sha256(f"{run.pk}:{run.published_at}:{run.revision}:{name}".encode()).hexdigest()
    key = f"predictions:{digest[:40]}"
    known = cache.get(key)
    if known is None:
        known = compute()
        cache.set(key, known, _REMEMBERED)
    return known
