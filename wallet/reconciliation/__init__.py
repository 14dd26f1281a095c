"""Proof of the books: what the wallet caches against what its rows say, and the log replayed from nothing. Reads only.

`reconcile` is the quick proof of a range of players that runs by the hour; `verify` proves the whole database.
"""

from .report import Check, CheckResult, Difference, ReconcileError, ReconcileReport, SideSum, require_balanced
from .run import RANGE, reconcile, verify

__all__ = [
    "RANGE",
    "Check",
    "CheckResult",
    "Difference",
    "ReconcileError",
    "ReconcileReport",
    "SideSum",
    "reconcile",
    "require_balanced",
    "verify",
]
