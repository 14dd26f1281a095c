"""What the gates read about players: loaded once a batch, one row a player, as columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db import connection

from players.selectors import ProtectionColumns, protection_columns

ObjectArray = npt.NDArray[np.object_]

# The market of players whose own market is unknown, when compliance has set one up.
OTHER_MARKETS = "*"

_COLUMNS = (
    "id",
    "currency",
    "segment",
    "registered_at",
    "metrics_at",
    "total_wagered",
    "theo",
    "first_activity_on",
    "last_activity_on",
    "abuse_score",
    "abuse_band",
)

_SQL = """
SELECT p.id, p.currency, p.segment, p.registered_at, m.as_of, COALESCE(m.total_wagered, 0), COALESCE(m.house_edge_contribution, 0),
    m.first_activity_on, m.last_activity_on, COALESCE(a.score, 0), COALESCE(a.band, 'NONE')
FROM players_player p
LEFT JOIN players_playermetrics m ON m.player_id = p.id
LEFT JOIN fraud_abuseprofile a ON a.player_id = p.id
WHERE p.id = ANY(%(ids)s) ORDER BY p.id
"""


@dataclass(frozen=True)
class PlayerColumns:
    """Columns in order of `ids` (ascending). `packs` has the rules of each player's market in force on the day of `at`, or None."""

    ids: npt.NDArray[np.int64]
    values: dict[str, ObjectArray]
    protection: ProtectionColumns
    packs: ObjectArray
    at: datetime

    def positions(self, player_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Row of each player in these columns."""
        return np.searchsorted(self.ids, player_ids)

    def __getitem__(self, name: str) -> ObjectArray:
        return self.values[name]


def lock_players(player_ids: Sequence[int]) -> None:
    """Hold the players' rows, in id order, to the end of the transaction: one batch at a time decides about a player.

    That makes caps, per-player budgets, stacking and duplicates exact under concurrency. Foreign keys and reads are not held up.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM players_player WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE", [list(player_ids)])


def load_players(player_ids: Sequence[int], at: datetime) -> PlayerColumns:
    """Everything that the gates read about the players, for the instant `at`. Raises LookupError for an unknown player."""
    protection = protection_columns(player_ids, at)
    with connection.cursor() as cursor:
        cursor.execute(_SQL, {"ids": protection.player_ids.tolist()})
        rows = cursor.fetchall()
    by_column = list(zip(*rows, strict=True)) if rows else [()] * len(_COLUMNS)
    values = {name: object_array(column) for name, column in zip(_COLUMNS, by_column, strict=True)}
    return PlayerColumns(protection.player_ids, values, protection, _packs(protection), at)


def object_array(values: Sequence[Any]) -> ObjectArray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _packs(protection: ProtectionColumns) -> ObjectArray:
    other = next((pack for pack in protection.packs.values() if pack.jurisdiction.code == OTHER_MARKETS), None)
    return object_array([protection.packs.get(market) if market else other for market in protection.jurisdiction_id.tolist()])


def days_known(players: PlayerColumns, row: int) -> int | None:
    """Days since the player registered or was first active, whichever is earlier; None when neither is known."""
    registered, first = players["registered_at"][row], players["first_activity_on"][row]
    days = [day for day in (registered.astimezone(UTC).date() if registered else None, first) if day is not None]
    return (players.at.astimezone(UTC).date() - min(days)).days if days else None


def observed_house_edge(players: PlayerColumns, row: int, default: Decimal) -> Decimal:
    """Theoretical win per unit wagered of the player's own play; `default` without play or without games of known edge."""
    wagered, theo = players["total_wagered"][row], players["theo"][row]
    if not wagered or not theo:
        return default
    return (theo / wagered).quantize(Decimal("0.000001"))
