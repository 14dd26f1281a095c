"""Features and labels of players as of an instant, computed by the database. `docs/predictions-features.md` says what counts."""

from .frames import frame, frame_for, iterate, ranges
from .history import cutoffs, data_window, history, with_earlier
from .labels import labels, labels_for
from .units import currency_units

__all__ = [
    "currency_units",
    "cutoffs",
    "data_window",
    "frame",
    "frame_for",
    "history",
    "iterate",
    "labels",
    "labels_for",
    "ranges",
    "with_earlier",
]
