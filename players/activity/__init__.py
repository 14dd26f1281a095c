"""Activity comes in here: typed stage tables, a set-based merge, and the day roll-up of exactly what the merge touched.

    with transaction.atomic(), connection.cursor() as cursor:
        stage = create_stage(cursor, ActivityKind.PAYMENTS)
        ...fill `stage` by COPY or INSERT..SELECT, naming the columns of COLUMNS[kind]...
        counts = merge_stage(cursor, ActivityKind.PAYMENTS, at=now)

Guarantees: the same event twice has one effect; among duplicates in one stage the last row wins; rows that change nothing
write nothing; two merges of the same players in two sessions run one after the other (player rows are locked in id order
before anything is read), so neither deadlocks nor loses the other's figures.
"""

from .columns import COLUMNS, ActivityKind, create_stage
from .days import TOUCHED_DAYS, TOUCHED_PLAYERS, create_touched_tables, lock_touched_players, refresh_days
from .merge import MergeCounts, merge_stage

__all__ = [
    "COLUMNS",
    "TOUCHED_DAYS",
    "TOUCHED_PLAYERS",
    "ActivityKind",
    "MergeCounts",
    "create_stage",
    "create_touched_tables",
    "lock_touched_players",
    "merge_stage",
    "refresh_days",
]
