"""The tiers that earned points lead to."""

from datetime import datetime
from typing import Any

from django.db import connection

from loyalty_site.common.money import from_minor
from players.selectors import protection_columns
from players.services import move_tiers

_HIGHER_TIER = """
SELECT p.id, reached.id, COALESCE(a.earned_total, 0) FROM players_player p
LEFT JOIN players_tier present ON present.id = p.tier_id
LEFT JOIN wallet_account a ON a.player_id = p.id AND a.unit = 'LP' AND a.currency = ''
JOIN LATERAL (
    SELECT t.id, t.rank FROM players_tier t WHERE t.entry_points * 100 <= COALESCE(a.earned_total, 0) ORDER BY t.rank DESC LIMIT 1
) reached ON present.id IS NULL OR reached.rank > present.rank
WHERE p.id >= %s AND p.id < %s AND p.status = 'ACTIVE' ORDER BY p.id
"""


def raise_tiers(lower_id: int, upper_id: int, as_of: datetime) -> dict[str, Any]:
    """Move players up to the highest tier whose entry threshold their earned points (net of reversals) meet. Nobody moves down.

    Players under an exclusion or not active stay where they are.
    """
    with connection.cursor() as cursor:
        cursor.execute(_HIGHER_TIER, [lower_id, upper_id])
        found = cursor.fetchall()
    if not found:
        return {"rows": 0}
    protection = protection_columns([player for player, _, _ in found], as_of)
    frozen = set(protection.player_ids[protection.excluded].tolist())
    moves = [move for move in found if move[0] not in frozen]
    if not moves:
        return {"rows": 0, "frozen": len(found)}
    players, tiers, minor = zip(*moves, strict=True)
    moved = move_tiers(players, tiers, [from_minor(int(one), "LP") for one in minor], as_of, "points earned")
    return {"rows": moved, "frozen": len(found) - len(moves)}
