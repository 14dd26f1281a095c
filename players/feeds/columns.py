"""Which columns of the source fill which of our fields, when a slice may consist of rows that lack some of them.

A source leaves a key out of a row that has no value for it, and in a quiet slice that row may be alone. A column that the resource has
shown at any other time is then written empty, so that the import sets the row aside with its reason and the feed goes on. Only a column
that no row has ever had is an error.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from players.feeds.client import FeedError
from players.imports.fields import FIELDS
from players.imports.mapping import headers_of, missing_fields, suggest
from players.models import ImportJob, ImportMapping

FILE_PREFIX = "api-"
KINDS = {"players": ("PLAYERS",), "deposits": ("PAYMENTS",), "logs": ("PLAYS", "SESSIONS")}
# a list of deposits does not say in each row that it is one
_CONSTANTS = {"deposits": {"kind": "DEPOSIT"}}
_HEADERS_SHOWN = 40


@dataclass(frozen=True)
class Reading:
    """How to import rows: as which kind, by which mapping, and which columns to add to theirs, empty."""

    kind: str
    mapping: str | dict[str, Any]
    empty: tuple[str, ...] = ()


def mapping_name(resource: str) -> str:
    """The saved mapping that staff may define to read a resource another way than by its headers."""
    return f"api {resource}"


def read_as(resource: str, headers: list[str], later: Callable[[], Iterable[Iterable[str]]]) -> Reading:
    """How to import rows with these `headers`.

    `later` gives the headers of the source's pages after these rows; it is asked only when neither they nor an earlier import have a
    required column. Raises FeedError, with the fields and the remedy, when those pages do not have it either.
    """
    saved = ImportMapping.objects.filter(name=mapping_name(resource), kind__in=KINDS[resource]).first()

    def fit(known: list[str]) -> Reading | None:
        return _by_mapping(saved, headers, known) if saved is not None else _by_headers(resource, headers, known)

    found = fit([])
    if found is not None:
        return found
    known = dict.fromkeys(_seen(resource))
    found = fit(list(known))
    if found is not None:
        return found
    for page in later():
        before = len(known)
        known |= dict.fromkeys(page)
        if len(known) > before and (found := fit(list(known))) is not None:
            return found
    raise FeedError(_complaint(resource, saved, list(dict.fromkeys([*headers, *known]))))


def _by_mapping(saved: ImportMapping, headers: list[str], known: list[str]) -> Reading | None:
    required = {one.name for one in FIELDS[saved.kind] if one.required}
    vital = headers_of({name: spec for name, spec in saved.columns.items() if name in required})
    if vital - {*headers, *known}:
        return None
    return Reading(saved.kind, saved.name, tuple(sorted(headers_of(saved.columns) - set(headers))))


def _by_headers(resource: str, headers: list[str], known: list[str]) -> Reading | None:
    """The first kind of which every required field has a column; of those that need `known` ones for it, the kind that needs the fewest."""
    readings = []
    for kind in KINDS[resource]:
        columns = _columns(resource, kind, headers)
        lacking = [one.name for one in missing_fields(kind, columns)]
        others = _columns(resource, kind, list(dict.fromkeys([*headers, *known])))
        empty = {name: others[name] for name in lacking if name in others and others[name] not in headers}
        if len(empty) == len(lacking):
            readings.append(Reading(kind, {**columns, **empty}, tuple(empty.values())))
    return min(readings, key=lambda one: len(one.empty), default=None)


def _columns(resource: str, kind: str, headers: list[str]) -> dict[str, Any]:
    columns: dict[str, Any] = dict(suggest(kind, headers))
    constants = {name: {"constant": value} for name, value in _CONSTANTS.get(resource, {}).items()}
    return {**constants, **columns}


def _seen(resource: str) -> list[str]:
    """Headers of the resource's latest import of each kind. An import has all required columns, so what was seen once stays known."""
    earlier = ImportJob.objects.filter(file_name__startswith=f"{FILE_PREFIX}{resource}-", result__has_key="headers")
    latest = [earlier.filter(kind=kind).order_by("-id").first() for kind in KINDS[resource]]
    return [header for job in latest if job is not None for header in job.result["headers"]]


def _complaint(resource: str, saved: ImportMapping | None, headers: list[str]) -> str:
    has = f"The rows have: {', '.join(headers[:_HEADERS_SHOWN])}."
    if saved is not None:
        absent = ", ".join(sorted(headers_of(saved.columns) - set(headers)))
        return f"{resource}: no row has {absent}, which the column mapping {saved.name!r} reads. {has} Correct the mapping"
    kind = KINDS[resource][-1]
    missing = ", ".join(one.name for one in missing_fields(kind, _columns(resource, kind, headers)))
    fields = ", ".join(one.name for one in FIELDS[kind])
    return (
        f"{resource}: no column holds {missing}. {has} Save a column mapping named {mapping_name(resource)!r} for them (fields: {fields})"
    )
