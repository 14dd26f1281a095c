"""Activity rows in the column order of the stages, with plain defaults."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from players.activity import COLUMNS, ActivityKind

_DEFAULTS: dict[str, dict[str, Any]] = {
    ActivityKind.PLAYERS: {},
    ActivityKind.PAYMENTS: {"kind": "DEPOSIT", "status": "COMPLETED", "amount": Decimal("10"), "method": "card"},
    ActivityKind.SESSIONS: {},
    ActivityKind.PLAYS: {"game_code": "reel", "game_category": "slots", "stake": Decimal("1"), "payout": Decimal("0"), "rounds": 1},
    ActivityKind.TOTALS: {
        "total_deposited": Decimal("0"),
        "total_wagered": Decimal("0"),
        "total_won": Decimal("0"),
        "sessions": 0,
        "playtime_hours": Decimal("0"),
    },
}


def moment(day: int, hour: int = 12, minute: int = 0, *, month: int = 3) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def stage_row(kind: str, /, **values: Any) -> list[Any]:
    """One row of `kind`; unnamed columns take a plain default or None."""
    content = _DEFAULTS[kind] | values
    unknown = set(content) - set(COLUMNS[kind])
    assert not unknown, unknown
    return [content.get(column) for column in COLUMNS[kind]]


def payment(player: str, ref: str, at: datetime, **values: Any) -> list[Any]:
    return stage_row(ActivityKind.PAYMENTS, player_external_id=player, external_id=ref, occurred_at=at, **values)


def session(player: str, ref: str, started: datetime, ended: datetime | None = None, **values: Any) -> list[Any]:
    return stage_row(ActivityKind.SESSIONS, player_external_id=player, external_id=ref, started_at=started, ended_at=ended, **values)


def play(player: str, ref: str, at: datetime, **values: Any) -> list[Any]:
    return stage_row(ActivityKind.PLAYS, player_external_id=player, external_id=ref, played_at=at, **values)


def totals(player: str, as_of: datetime, **values: Any) -> list[Any]:
    return stage_row(ActivityKind.TOTALS, player_external_id=player, as_of=as_of, **values)


def profile(external_id: str, **values: Any) -> list[Any]:
    return stage_row(ActivityKind.PLAYERS, external_id=external_id, **values)
