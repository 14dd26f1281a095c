"""The kinds of activity and the exact columns of their stage tables."""

from typing import Any

from django.db import models


class ActivityKind(models.TextChoices):
    """What a row is. The values equal those of `ImportMapping.FileKind`."""

    TOTALS = "TOTALS", "Totals per player"
    PLAYERS = "PLAYERS", "Player profiles"
    PAYMENTS = "PAYMENTS", "Payments"
    SESSIONS = "SESSIONS", "Sessions"
    PLAYS = "PLAYS", "Game plays"


_AMOUNT = "numeric(20,4)"

_TYPES: dict[ActivityKind, dict[str, str]] = {
    ActivityKind.PLAYERS: {
        "external_id": "text NOT NULL",
        "username": "text",
        "first_name": "text",
        "last_name": "text",
        "email": "text",
        "birth_date": "date",
        "country": "text",
        "currency": "text",
        "language": "text",
        "registered_at": "timestamptz",
        "acquisition_channel": "text",
        "status": "text",
        "marketing_consent": "boolean",
        "profiling_consent": "boolean",
        "attributes": "jsonb",
    },
    ActivityKind.PAYMENTS: {
        "player_external_id": "text NOT NULL",
        "external_id": "text NOT NULL",
        "kind": "text NOT NULL",
        "status": "text",
        "amount": f"{_AMOUNT} NOT NULL",
        "method": "text",
        "instrument": "text",
        "occurred_at": "timestamptz NOT NULL",
    },
    ActivityKind.SESSIONS: {
        "player_external_id": "text NOT NULL",
        "external_id": "text NOT NULL",
        "started_at": "timestamptz NOT NULL",
        "ended_at": "timestamptz",
        "ip": "inet",
        "device_id": "text",
    },
    ActivityKind.PLAYS: {
        "player_external_id": "text NOT NULL",
        "external_id": "text NOT NULL",
        "session_ref": "text",
        "game_code": "text NOT NULL",
        "game_category": "text",
        "played_at": "timestamptz NOT NULL",
        "stake": f"{_AMOUNT} NOT NULL",
        "payout": f"{_AMOUNT} NOT NULL",
        "bonus_stake": _AMOUNT,
        "rounds": "integer",
    },
    ActivityKind.TOTALS: {
        "player_external_id": "text NOT NULL",
        "as_of": "timestamptz NOT NULL",
        "total_deposited": f"{_AMOUNT} NOT NULL",
        "total_wagered": f"{_AMOUNT} NOT NULL",
        "total_won": f"{_AMOUNT} NOT NULL",
        "sessions": "integer",
        "playtime_hours": "numeric(14,4)",
        "bets": "bigint",
    },
}

COLUMNS: dict[str, tuple[str, ...]] = {kind: tuple(types) for kind, types in _TYPES.items()}


def stage_name(kind: str) -> str:
    return f"stage_{ActivityKind(kind).value.lower()}"


def create_stage(cursor: Any, kind: str) -> str:
    """Create the empty temporary stage table of `kind` in the current transaction and return its name.

    It has the columns of `COLUMNS[kind]` plus `stage_row`, which numbers the rows in the order they arrive: name the columns when
    filling it. It is dropped at commit; a stage left over in the same transaction is replaced.
    """
    name = stage_name(kind)
    columns = ", ".join(f"{column} {sql_type}" for column, sql_type in _TYPES[ActivityKind(kind)].items())
    cursor.execute(f"DROP TABLE IF EXISTS pg_temp.{name}")
    cursor.execute(f"CREATE TEMP TABLE {name} ({columns}, stage_row bigint GENERATED ALWAYS AS IDENTITY) ON COMMIT DROP")
    return name
