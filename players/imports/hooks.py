"""What the layers above hang on an import: work after it, a veto on undoing it, and clean-up of what they derived from it.

Registered in `AppConfig.ready()` of the app above, so that this package never imports upwards.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from players.models import ImportJob

# (job, touched player ids, at) -> figures, e.g. {"rewards_issued": 3}. Called in slices of at most 5,000 players, outside the
# import's transaction, only when the operator asked for rewards; numbers are summed over the slices. Must be safe to run twice.
AfterImport = Callable[[ImportJob, Sequence[int], datetime], dict[str, Any]]
# (job) -> reasons why the import must stay, in words for staff; empty: nothing was paid on it.
UndoGuard = Callable[[ImportJob], list[str]]
# (cursor) -> None. Runs inside the undo's transaction; the temp table `undone_player(player_id bigint)` holds the players that the import
# created and that go away. Deletes rows that were only derived for them. What it leaves in place keeps the player.
UndoCleaner = Callable[[Any], None]

_after_import: list[AfterImport] = []
_undo_guards: list[UndoGuard] = []
_undo_cleaners: list[UndoCleaner] = []


def register_after_import(function: AfterImport) -> AfterImport:
    if function not in _after_import:
        _after_import.append(function)
    return function


def register_undo_guard(function: UndoGuard) -> UndoGuard:
    if function not in _undo_guards:
        _undo_guards.append(function)
    return function


def register_undo_cleaner(function: UndoCleaner) -> UndoCleaner:
    if function not in _undo_cleaners:
        _undo_cleaners.append(function)
    return function


def has_after_import() -> bool:
    return bool(_after_import)


def run_after_import(job: ImportJob, player_ids: Sequence[int], at: datetime) -> dict[str, Any]:
    """Call every registered function; numbers of equal names are added up."""
    total: dict[str, Any] = {}
    for function in _after_import:
        for key, value in function(job, player_ids, at).items():
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            total[key] = total.get(key, 0) + value if is_number else value
    return total


def undo_refusals(job: ImportJob) -> list[str]:
    return [reason for guard in _undo_guards for reason in guard(job)]


def run_undo_cleaners(cursor: Any) -> None:
    for cleaner in _undo_cleaners:
        cleaner(cursor)
