"""Loyalty points for play, and the tiers that they lead to.

A player earns stake x points per unit wagered x the tier's multiplier for every full day of play. The exact sum is kept per player
(`PlayPoints`); the wallet gets its whole hundredths, so it does not matter how many nights a sum was reckoned in. A day that is
corrected later changes the sum, and the difference is posted: more points as a credit, fewer by taking back earlier postings.
"""

import logging
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from constance import config
from django.db import connection, transaction

from loyalty_site.common.money import from_minor
from players.selectors import protection_columns
from players.services import move_tiers
from rewards.granting.columns import lock_players
from rewards.models import PlayPoints
from wallet.models import Entry
from wallet.services import Source, WalletError, add_points, create_credit_stage, post_credit_stage, reverse_entry

logger = logging.getLogger(__name__)

WALLET_SOURCE = "play"
HOUSE = "game"

# players whose stakes up to the day changed since they were last reckoned: the new exact sum, and what the wallet should have
_CHANGED = """
CREATE TEMP TABLE play_points_change ON COMMIT DROP AS
SELECT s.player_id, s.stake, COALESCE(k.credited_minor, 0) AS credited, COALESCE(k.postings, 0) AS postings,
    COALESCE(k.earned, 0) + (s.stake - COALESCE(k.stake, 0)) * %(rate)s * COALESCE(t.earn_multiplier, 1) AS earned
FROM (
    SELECT player_id, sum(stake) AS stake FROM players_playerday
    WHERE player_id >= %(lower)s AND player_id < %(upper)s AND day < %(today)s GROUP BY player_id
) s
JOIN players_player p ON p.id = s.player_id
LEFT JOIN players_tier t ON t.id = p.tier_id
LEFT JOIN rewards_playpoints k ON k.player_id = s.player_id
WHERE s.stake <> COALESCE(k.stake, 0)
"""

_STAGE = f"""
INSERT INTO wallet_credit_stage (line_no, player_id, unit, currency, amount_minor, source_type, source_ref, source_sub, reason)
SELECT row_number() OVER (ORDER BY player_id), player_id, 'LP', '', floor(earned * 100)::bigint - credited, '{WALLET_SOURCE}',
    player_id || ':' || %(through)s, postings + 1, 'points for play through ' || %(through)s
FROM play_points_change WHERE floor(earned * 100)::bigint > credited ORDER BY player_id
"""

_REMEMBER = """
INSERT INTO rewards_playpoints AS k (player_id, through, stake, earned, credited_minor, postings, updated_at)
SELECT player_id, %(through)s, stake, earned, GREATEST(floor(earned * 100)::bigint, credited),
    postings + (floor(earned * 100)::bigint > credited)::int, %(at)s
FROM play_points_change ORDER BY player_id
ON CONFLICT (player_id) DO UPDATE SET through = EXCLUDED.through, stake = EXCLUDED.stake, earned = EXCLUDED.earned,
    credited_minor = EXCLUDED.credited_minor, postings = EXCLUDED.postings, updated_at = EXCLUDED.updated_at
"""


def credit_play_points(lower_id: int, upper_id: int, as_of: datetime) -> dict[str, Any]:
    """Post the loyalty points of all full days (UTC) before `as_of` for `lower_id <= player < upper_id`. Safe to repeat.

    Returns rows (players whose sum changed), points posted, players whose points were taken back, and players who owe points because
    they spent them before a correction.
    """
    today = as_of.astimezone(UTC).date()
    through = max(today.toordinal() - 1, 1)
    parameters: dict[str, Any] = {
        "lower": lower_id,
        "upper": upper_id,
        "today": today,
        "through": today.fromordinal(through).isoformat(),
        "rate": Decimal(config.POINTS_PER_WAGERED),
        "at": as_of,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS pg_temp.play_points_change")
        cursor.execute(_CHANGED, parameters)
        cursor.execute("SELECT player_id FROM play_points_change ORDER BY player_id")
        changed = [row[0] for row in cursor.fetchall()]
        if not changed:
            return {"rows": 0}
        lock_players(changed)
        create_credit_stage(cursor)
        cursor.execute(_STAGE, parameters)
        posted = post_credit_stage(cursor, house=HOUSE, at=as_of)
        cursor.execute(_REMEMBER, parameters)
        cursor.execute("SELECT player_id FROM play_points_change WHERE floor(earned * 100)::bigint < credited ORDER BY player_id")
        fewer = [row[0] for row in cursor.fetchall()]
        cursor.execute("DROP TABLE play_points_change")
        owing = sum(not _take_back(player, as_of) for player in fewer)
    return {
        "rows": len(changed),
        "points": float(posted.by_unit.get("LP", Decimal(0))),
        "taken_back": len(fewer) - owing,
        "owing": owing,
    }


def _take_back(player_id: int, at: datetime) -> bool:
    """Lower the player's posted points to what is earned, by reversing the latest postings for play and crediting any excess again.

    False when the player has spent them: then the difference stays as a debt that the next earnings pay.
    """
    points = PlayPoints.objects.select_for_update().get(pk=player_id)
    excess = points.credited_minor - int(points.earned * 100 // 1)
    postings = Entry.objects.filter(
        account__player_id=player_id, account__unit="LP", source_type=WALLET_SOURCE, reversal_of=None, reversals=None
    ).order_by("-pk")
    reason = "a day of play was corrected"
    ref, sub, reversed_minor = f"{player_id}:{points.through}", points.postings, 0
    try:
        with transaction.atomic():
            for entry in postings.iterator(chunk_size=50):
                sub += 1
                reverse_entry(entry.pk, source=Source(WALLET_SOURCE, ref, f"{sub}-back"), at=at, reason=reason, actor=None)
                reversed_minor += entry.amount
                if reversed_minor >= excess:
                    break
            if reversed_minor > excess:
                sub += 1
                add_points(
                    player_id=player_id,
                    unit="LP",
                    amount=from_minor(reversed_minor - excess, "LP"),
                    source=Source(WALLET_SOURCE, ref, str(sub)),
                    at=at,
                    reason=reason,
                    house=HOUSE,
                )
    except WalletError as refusal:
        logger.info("rewards.points_owed player=%s minor=%s cause=%s", player_id, excess, type(refusal).__name__)
        return False
    PlayPoints.objects.filter(pk=player_id).update(credited_minor=points.credited_minor - excess, postings=sub)
    return True


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
