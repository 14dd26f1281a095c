"""Decisions into the database, set by set: COPY into a stage, one INSERT..SELECT, one event a decision."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import connection

from rewards.granting.states import TransitionRefused, sources

# What the stage carries for each decision.
_COLUMNS = {
    "id": "bigint",
    "player_id": "bigint",
    "rule_id": "bigint",
    "rule_version_id": "bigint",
    "period": "text",
    "stacking_group": "text",
    "source": "text",
    "idempotency_key": "text",
    "unit": "text",
    "currency": "text",
    "proposed_minor": "bigint",
    "amount_minor": "bigint",
    "wagering_multiple": "numeric",
    "wagering_required": "numeric",
    "expiry_hours": "integer",
    "max_bet_minor": "bigint",
    "eligible_games": "jsonb",
    "bonus_template": "text",
    "status": "text",
    "verdicts": "jsonb",
    "refused_by": "text",
    "facts": "jsonb",
    "expected_cost": "numeric",
    "budget_ids": "bigint[]",
    "reason": "text",
    "maker_id": "bigint",
    "maker_client_id": "bigint",
    "approvals_needed": "smallint",
    "proposed_at": "timestamptz",
    "checked_at": "timestamptz",
    "decided_at": "timestamptz",
    "run_id": "bigint",
    "import_job_id": "bigint",
}
STAGED = tuple(_COLUMNS)
_DEFAULTS = {"diff": "'[]'::jsonb", "error": "''"}
_KEPT = ("id", "player_id", "rule_id", "rule_version_id", "period", "source", "idempotency_key")


def new_ids(count: int) -> list[int]:
    """Ids for `count` new decisions, ascending."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence('rewards_rewarddecision', 'id')) FROM generate_series(1, %s)",
            [count],
        )
        return [row[0] for row in cursor.fetchall()]


def save_decisions(rows: Iterable[Sequence[Any]], *, at: datetime, actor_id: int | None, client_id: int | None) -> None:
    """Insert decisions (columns of STAGED) or renew refused ones with the same id, and write the event of each change.

    The players must be locked. A renewed decision that is refused by the same gate again is no change and gets no event.
    """
    changed = [name for name in STAGED if name not in _KEPT]
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS pg_temp.decision_stage")
        cursor.execute(
            f"CREATE TEMP TABLE decision_stage ({', '.join(f'{name} {kind}' for name, kind in _COLUMNS.items())}) ON COMMIT DROP"
        )
        with cursor.copy(f"COPY decision_stage ({', '.join(STAGED)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        # events first, while the status of renewed decisions is still the old one (foreign keys are checked at commit)
        cursor.execute(
            """
            INSERT INTO rewards_decisionevent (decision_id, occurred_at, from_status, to_status, cause, actor_id, api_client_id,
                note, detail)
            SELECT s.id, %(at)s, COALESCE(d.status, ''), s.status, 'gates', %(actor)s, %(client)s, s.reason,
                jsonb_build_object('path', jsonb_build_array('PROPOSED', 'CHECKED', s.status), 'refused_by', s.refused_by)
            FROM decision_stage s LEFT JOIN rewards_rewarddecision d ON d.id = s.id
            WHERE d.id IS NULL OR d.status <> s.status OR d.refused_by <> s.refused_by
            ORDER BY s.id
            """,
            {"at": at, "actor": actor_id, "client": client_id},
        )
        cursor.execute(
            f"""
            INSERT INTO rewards_rewarddecision AS d ({", ".join(STAGED)}, {", ".join(_DEFAULTS)})
            SELECT {", ".join(STAGED)}, {", ".join(_DEFAULTS.values())} FROM decision_stage ORDER BY id
            ON CONFLICT (id) DO UPDATE SET {", ".join(f"{name} = EXCLUDED.{name}" for name in changed)} WHERE d.status = ANY(%s)
            """,
            [sources("PROPOSED")],
        )
        cursor.execute("SELECT count(*) FROM decision_stage")
        staged = cursor.fetchone()[0]
        cursor.execute("SELECT count(*) FROM decision_stage s JOIN rewards_rewarddecision d ON d.id = s.id AND d.status = s.status")
        if cursor.fetchone()[0] != staged:
            raise TransitionRefused("a decision changed its status while it was being checked; nothing was written")
        cursor.execute("DROP TABLE decision_stage")
