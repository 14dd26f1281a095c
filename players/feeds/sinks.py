"""Resources that belong to a layer above: that layer registers who takes their rows, in its `AppConfig.ready()`.

A sink takes one page of raw rows, each row for itself and safe to be told again, and answers which it refused. What it cannot take it
names with the reason and goes on; `refusals` keeps such rows and tells them again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Refused:
    """Why the row at `position` (from 0) of the page was not taken. `field` is empty when it is about the whole row."""

    position: int
    field: str
    reason: str
    remedy: str


Sink = Callable[[list[dict[str, Any]], datetime], list[Refused]]

_sinks: dict[str, Sink] = {}


def register_sink(resource: str, sink: Sink) -> Sink:
    _sinks[resource] = sink
    return sink


def sink_of(resource: str) -> Sink | None:
    return _sinks.get(resource)
