"""Resources that belong to a layer above: that layer registers who takes their rows, in its `AppConfig.ready()`.

A sink takes pages of raw rows and returns figures. What it cannot take it returns as rejected rows with reasons, and goes on.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass
class SinkResult:
    """`rejected`: [{"row", "field", "reason", "remedy"}], never the row itself."""

    rows: int = 0
    changed: int = 0
    rejected: list[dict[str, Any]] = field(default_factory=list)


Sink = Callable[[Iterable[list[dict[str, Any]]], datetime], SinkResult]

_sinks: dict[str, Sink] = {}


def register_sink(resource: str, sink: Sink) -> Sink:
    _sinks[resource] = sink
    return sink


def sink_of(resource: str) -> Sink | None:
    return _sinks.get(resource)
