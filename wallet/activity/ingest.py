"""Files of a million bets: staged by COPY, worked by ranges of players, each range one transaction.

The state is the one that reporting every row alone, in the order of the file, would give. Rows that were reported before are dropped by
one statement. Of the rest, players whose rows can have no effect on a bonus are written by INSERT .. SELECT; all others go through the
engine in the order of their rows. A range that was done is done: run again, it finds its rows reported.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import transaction

from loyalty_site.common.clock import require_utc
from loyalty_site.common.jobs import Job, Scope, create_run, execute, register
from wallet.bonus.values import Activity, Kind, Outcome
from wallet.errors import IdempotencyConflict, WalletError

from . import staging
from .load import lock_wallets
from .receive import checked, take_in
from .rows import RowFault, UnreadableFile, read_rows
from .staging import Stage

JOB = "wallet.ingest_wagers"
ROWS_A_CHUNK = 10_000
MAX_SHOWN = 1000
_REMEDY = {
    IdempotencyConflict.slug: "Use a new activity_id for a new event.",
    "insufficient-funds": "Correct the stake, its parts or cash_before.",
}

# What of a range is new, and who needs the engine. `fate`: repeat and conflict were reported before; engine and plain are new.
_SORT_OUT = """
CREATE TEMP TABLE wallet_wager_chunk ON COMMIT DROP AS
WITH mine AS MATERIALIZED (
    SELECT s.* FROM {rows} AS s WHERE s.player_id >= %(lower)s AND s.player_id < %(upper)s
        AND NOT EXISTS (SELECT FROM {together} AS t WHERE t.player_id = s.player_id)
), looked_up AS MATERIALIZED (
    SELECT mine.*, known.id IS NOT NULL AS is_known,
        known.id IS NOT NULL AND (known.player_id, known.currency, known.round_id, known.game_code, known.game_category,
            known.takes_back_id) IS DISTINCT FROM (mine.player_id, mine.currency, mine.round_id, mine.game_code, mine.game_category,
            mine.takes_back_id) OR (mine.kind <> 'ROLLBACK' AND known.amount <> mine.amount) AS is_other,
        known.id IS NULL AND (
            mine.kind = 'ROLLBACK' OR mine.is_free_round OR coalesce(mine.bonus_part, 0) > 0 OR coalesce(mine.locked_part, 0) > 0
            OR mine.takes_back_id <> '' OR mine.takes_back_kind <> ''
            OR coalesce(mine.real_part, mine.amount) <> mine.amount OR (mine.real_part IS NULL AND mine.bonus_part IS NOT NULL)
            OR (mine.real_part IS NULL AND mine.locked_part IS NOT NULL) OR (mine.kind = 'ROUND_END' AND mine.amount <> 0)
            OR (mine.kind = 'BET' AND mine.real_part IS NULL AND mine.cash_before IS NOT NULL
                AND mine.amount > greatest(0, mine.cash_before))
            OR EXISTS (SELECT FROM wallet_wagerevent AS e WHERE e.player_id = mine.player_id AND e.round_id = mine.round_id)
        ) AS is_intricate
    FROM mine LEFT JOIN LATERAL (
        SELECT id, player_id, currency, round_id, game_code, game_category, takes_back_id, amount FROM wallet_wagerevent AS e
        WHERE e.source = mine.source AND e.activity_id = mine.activity_id AND e.kind = mine.kind LIMIT 1
    ) AS known ON true
), players AS MATERIALIZED (
    SELECT player_id, bool_or(is_intricate)
        OR EXISTS (
            SELECT FROM wallet_bonusgrant AS g WHERE g.player_id = looked_up.player_id AND g.status IN ('ACTIVE', 'WAGERING', 'PAUSED'))
        OR EXISTS (SELECT FROM wallet_wagerevent AS e WHERE e.player_id = looked_up.player_id AND e.kind = 'ROLLBACK' AND e.waits)
        AS needs_engine
    FROM looked_up GROUP BY player_id
)
SELECT looked_up.*, CASE WHEN is_other THEN 'conflict' WHEN is_known THEN 'repeat' WHEN needs_engine THEN 'engine' ELSE 'plain' END AS fate
FROM looked_up JOIN players USING (player_id)
"""
# A row of a plain player that is repeated within the file: the first one counts.
_TWICE = """
UPDATE wallet_wager_chunk AS c SET fate = CASE
    WHEN (c.currency, c.round_id, c.game_code, c.game_category, c.amount)
        IS DISTINCT FROM (f.currency, f.round_id, f.game_code, f.game_category, f.amount) THEN 'conflict' ELSE 'repeat' END
FROM (
    SELECT DISTINCT ON (source, activity_id, kind) line_no, source, activity_id, kind, currency, round_id, game_code, game_category, amount
    FROM wallet_wager_chunk WHERE fate = 'plain' ORDER BY source, activity_id, kind, line_no
) AS f
WHERE c.fate = 'plain' AND f.source = c.source AND f.activity_id = c.activity_id AND f.kind = c.kind AND c.line_no > f.line_no
"""
_INSERT_PLAIN = """
INSERT INTO wallet_wagerevent (source, activity_id, kind, player_id, currency, product, round_id, ends_round, amount, real_part, bonus_part,
    locked_part, split_stated, cash_before, takes_back_id, takes_back_kind, game_code, game_category, provider, house_edge, is_free_round,
    coverage, waits, cash_change, occurred_at, received_at)
SELECT c.source, c.activity_id, c.kind, c.player_id, c.currency, c.product, c.round_id, c.ends_round, c.amount, c.amount, 0, 0,
    c.real_part IS NOT NULL, c.cash_before, '', '', c.game_code, c.game_category, c.provider,
    CASE WHEN c.kind = 'BET' THEN coalesce(c.house_edge, g.house_edge) ELSE c.house_edge END, false, c.coverage, false,
    CASE c.kind WHEN 'BET' THEN -c.amount WHEN 'WIN' THEN c.amount ELSE 0 END, c.occurred_at, %(at)s
FROM wallet_wager_chunk AS c LEFT JOIN players_game AS g ON g.code = c.game_code
WHERE c.fate = 'plain' ORDER BY c.player_id, c.line_no
"""
_ROW = """line_no, source, activity_id, kind, player_id, currency, round_id, occurred_at, product, amount, real_part, bonus_part,
    locked_part, cash_before, ends_round, takes_back_id, takes_back_kind, game_code, game_category, provider, house_edge,
    is_free_round, coverage"""


@dataclass(slots=True)
class IngestReport:
    """What became of the rows of a file. `faults` names the first thousand that were not taken; `refused` counts them all."""

    rows: int = 0
    accepted: int = 0
    repeated: int = 0
    refused: int = 0
    run_id: int = 0
    faults: list[RowFault] = field(default_factory=list)


def ingest_file(path: Path, *, at: datetime) -> IngestReport:
    """Take in a CSV file (docs/wallet.md names the columns). Raises UnreadableFile, IngestFailed."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            return ingest(read_rows(lines), at=at)
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"the file is not UTF-8 (byte {error.start}); save it as UTF-8") from error


class IngestFailed(RuntimeError):
    """Chunks that could not be worked. What was done stays done; the file can be run again."""


def ingest(rows: Iterable[Activity | dict[str, Any] | RowFault], *, at: datetime) -> IngestReport:
    """Take in any number of activities, or rows of `rows.read_rows`, as a job of its own; memory does not grow with them.

    One effect per (source, activity_id, kind), as with `receive`; safe to repeat, whole or after a stop. Raises IngestFailed.
    """
    report = IngestReport()
    at = require_utc(at)
    staging.sweep(at)
    stage = staging.fill(_staged(rows, report), at)
    try:
        run = execute(create_run(JOB, as_of=at, parameters={"stage": stage.token}))
        report.run_id = run.pk
        if run.status != run.Status.SUCCEEDED:
            raise IngestFailed(f"run {run.pk} ended as {run.status}: {run.error}; run the file again, nothing is counted twice")
        report.accepted, report.repeated = int(run.result.get("accepted", 0)), int(run.result.get("repeated", 0))
        (count,) = stage.run("SELECT count(*) FROM {refused}")[0]
        shown = stage.run("SELECT line_no, field, reason, remedy FROM {refused} ORDER BY line_no LIMIT %(n)s", {"n": MAX_SHOWN})
        report.refused += count
        report.faults = sorted([*report.faults, *(RowFault(*row) for row in shown)], key=lambda fault: fault.line)[:MAX_SHOWN]
    finally:
        staging.drop(stage)
    return report


def _staged(rows: Iterable[Activity | dict[str, Any] | RowFault], report: IngestReport) -> Iterable[dict[str, Any]]:
    for row in rows:
        report.rows += 1
        if isinstance(row, RowFault):
            report.refused += 1
            if len(report.faults) < MAX_SHOWN:
                report.faults.append(row)
        elif isinstance(row, Activity):
            one = checked(row)
            if isinstance(one, Activity):
                yield staging.row_of(one, report.rows)
            else:
                report.refused += 1
                if len(report.faults) < MAX_SHOWN:
                    report.faults.append(_fault(report.rows, one))
        else:
            yield row


def _ranges(parameters: dict[str, Any]) -> Iterator[tuple[int, int]]:
    stage = Stage(parameters["stage"])
    staging_exists = stage.run("SELECT to_regclass(%(name)s) IS NOT NULL", {"name": stage.rows})[0][0]
    if not staging_exists:
        raise staging.StageLost("the staged rows are gone; run the file again: nothing is counted twice")
    return staging.ranges(stage, ROWS_A_CHUNK)


def _work(scope: Scope) -> dict[str, Any]:
    stage = Stage(scope.parameters["stage"])
    staging.check(stage)
    with transaction.atomic():
        return work_together(stage, scope.as_of) if scope.lower_id < 0 else work_range(stage, scope.lower_id, scope.upper_id, scope.as_of)


def work_range(stage: Stage, lower: int, upper: int, at: datetime) -> dict[str, Any]:
    """Take in the rows of players `lower <= id < upper`, in the caller's transaction."""
    asked = {"lower": lower, "upper": upper, "at": at}
    lock_wallets(
        row[0] for row in stage.run("SELECT DISTINCT player_id FROM {rows} WHERE player_id >= %(lower)s AND player_id < %(upper)s", asked)
    )
    stage.run(_SORT_OUT, asked)
    stage.run(_TWICE)
    stage.run(_INSERT_PLAIN, asked)
    stage.run(
        """INSERT INTO {refused} SELECT line_no, 'activity_id', kind || ' ' || activity_id || ' of ' || source
            || ' was reported before with other content', %(remedy)s FROM wallet_wager_chunk WHERE fate = 'conflict'""",
        {"remedy": _REMEDY[IdempotencyConflict.slug]},
    )
    counts = dict(stage.run("SELECT fate, count(*) FROM wallet_wager_chunk GROUP BY 1"))
    result = {"rows": sum(counts.values()), "accepted": counts.get("plain", 0), "repeated": counts.get("repeat", 0)}
    rows = stage.run(f"SELECT {_ROW} FROM wallet_wager_chunk WHERE fate = 'engine' ORDER BY line_no") if counts.get("engine") else []
    stage.run("DROP TABLE wallet_wager_chunk")
    return _through_the_engine(stage, rows, at, result)


def work_together(stage: Stage, at: datetime) -> dict[str, Any]:
    """Take in the rows of the players whose ids cross, in the order of the file."""
    rows = stage.run(f"SELECT {_ROW} FROM {{rows}} WHERE player_id IN (SELECT player_id FROM {{together}}) ORDER BY line_no")
    lock_wallets(row[4] for row in rows)
    result = {"rows": len(rows), "accepted": 0, "repeated": 0}
    for start in range(0, len(rows), ROWS_A_CHUNK):
        _through_the_engine(stage, rows[start : start + ROWS_A_CHUNK], at, result)
    return result


def _through_the_engine(stage: Stage, rows: list[tuple[Any, ...]], at: datetime, result: dict[str, Any]) -> dict[str, Any]:
    asked = [(row[0], checked(_activity(row, at))) for row in rows]
    valid = [one for _, one in asked if isinstance(one, Activity)]
    outcomes = iter(take_in(valid).results if valid else [])
    for line, one in asked:
        outcome = next(outcomes) if isinstance(one, Activity) else one
        if isinstance(outcome, Outcome):
            result["repeated" if outcome.repeated else "accepted"] += 1
        else:
            fault = _fault(line, outcome)
            stage.run(
                "INSERT INTO {refused} VALUES (%(line)s, %(field)s, %(reason)s, %(remedy)s)",
                {"line": line, "field": fault.field, "reason": fault.reason, "remedy": fault.remedy},
            )
    return result


def _fault(line: int, error: WalletError) -> RowFault:
    name, colon, _ = str(error).partition(":")
    if isinstance(error, IdempotencyConflict):
        name, colon = "activity_id", ":"
    return RowFault(line, name if colon and name.isidentifier() else "", str(error), _REMEDY.get(error.slug, "Correct the row."))


def _activity(row: tuple[Any, ...], at: datetime) -> Activity:
    _, source, activity_id, kind, player_id, currency, round_id, occurred_at, *rest = row
    return Activity(source, activity_id, Kind(kind), player_id, currency, round_id, occurred_at, at, *rest)


register(Job(JOB, "Take in reported activity", _work, _ranges))
