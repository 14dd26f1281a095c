"""Writing where players stand in the tiers: the door for what qualification and review decided about many players."""

from datetime import datetime
from typing import Any

from django.db.backends.utils import CursorWrapper

LOOK = "players_tier_look"

_CREATE = f"""
CREATE TEMP TABLE IF NOT EXISTS {LOOK} (
    player_id bigint, present bigint, effective bigint, adopted boolean, kind text, moved_metric numeric, reason text,
    tier_id bigint, valid_until timestamptz, grace_until timestamptz, frozen text, keeps_override boolean, waiting_id bigint,
    metric numeric, review_metric numeric, pace numeric, to_next numeric, to_keep numeric,
    next_review_at timestamptz, outcome text, projected_id bigint
) ON COMMIT DROP
"""

# a tier that was set elsewhere is remembered once: when no move of ours led to it
_ADOPTED = f"""
INSERT INTO players_tiermove (player_id, from_tier_id, to_tier_id, kind, moved_at, reason)
SELECT look.player_id, last.to_tier_id, look.present, 'IMPORT', %(at)s, 'taken over as found'
FROM {LOOK} AS look
LEFT JOIN LATERAL (
    SELECT to_tier_id FROM players_tiermove WHERE player_id = look.player_id ORDER BY moved_at DESC, id DESC LIMIT 1
) AS last ON true
WHERE look.adopted AND look.present IS NOT NULL AND last.to_tier_id IS DISTINCT FROM look.present
ORDER BY look.player_id
"""

_MOVED = f"""
INSERT INTO players_tiermove (player_id, from_tier_id, to_tier_id, kind, moved_at, points, reason)
SELECT player_id, present, effective, kind, %(at)s, moved_metric, reason FROM {LOOK} WHERE kind <> '' AND effective IS NOT NULL
ORDER BY player_id
"""

_TIERS = f"""
UPDATE players_player AS player SET tier_id = look.effective FROM {LOOK} AS look
WHERE player.id = look.player_id AND player.tier_id IS DISTINCT FROM look.effective
"""

_FIGURES = ("metric", "review_metric", "pace", "to_next", "to_keep", "next_review_at", "outcome")
_COMPARED = ("tier_id", "valid_until", "grace_until", "frozen", "override_tier_id", "waiting_tier_id", "projected_tier_id", *_FIGURES)
_OVERRIDE = {"override_tier_id": "NULL", "override_until": "NULL", "override_reason": "''", "override_by_id": "NULL", "override_at": "NULL"}

# rows that stay as they are are not written
_STANDINGS = f"""
INSERT INTO players_playertier AS old (player_id, tier_id, since, valid_until, grace_until, frozen, frozen_since,
    {", ".join(_OVERRIDE)}, waiting_tier_id, waiting_since, projected_tier_id, looked_at, {", ".join(_FIGURES)})
SELECT look.player_id, look.tier_id, CASE WHEN look.adopted OR was.tier_id IS DISTINCT FROM look.tier_id THEN %(at)s ELSE was.since END,
    look.valid_until, look.grace_until, look.frozen, CASE WHEN look.frozen <> '' THEN COALESCE(was.frozen_since, %(at)s) END,
    {", ".join(f"CASE WHEN look.keeps_override THEN was.{name} ELSE {empty} END" for name, empty in _OVERRIDE.items())},
    look.waiting_id,
    CASE WHEN look.waiting_id IS NULL THEN NULL WHEN was.waiting_tier_id = look.waiting_id THEN was.waiting_since ELSE %(at)s END,
    look.projected_id, %(at)s, {", ".join(f"look.{name}" for name in _FIGURES)}
FROM {LOOK} AS look LEFT JOIN players_playertier AS was ON was.player_id = look.player_id
ORDER BY look.player_id
ON CONFLICT (player_id) DO UPDATE SET (tier_id, since, valid_until, grace_until, frozen, frozen_since, {", ".join(_OVERRIDE)},
    waiting_tier_id, waiting_since, projected_tier_id, looked_at, {", ".join(_FIGURES)})
  = (EXCLUDED.tier_id, EXCLUDED.since, EXCLUDED.valid_until, EXCLUDED.grace_until, EXCLUDED.frozen, EXCLUDED.frozen_since,
    {", ".join(f"EXCLUDED.{name}" for name in _OVERRIDE)}, EXCLUDED.waiting_tier_id, EXCLUDED.waiting_since, EXCLUDED.projected_tier_id,
    EXCLUDED.looked_at, {", ".join(f"EXCLUDED.{name}" for name in _FIGURES)})
WHERE ({", ".join(f"old.{name}" for name in _COMPARED)}) IS DISTINCT FROM ({", ".join(f"EXCLUDED.{name}" for name in _COMPARED)})
   OR old.since IS DISTINCT FROM EXCLUDED.since
"""


def create_tier_look(cursor: CursorWrapper) -> str:
    """Create (or empty) the temp table that takes decisions about players; returns its name. It vanishes at commit.

    One row a player. `present` is the tier that the player has, `effective` the one that the player gets; `tier_id` the one by the
    rules. `kind` is empty when the player does not move. Points are in points; the caller holds the players' rows.
    """
    cursor.execute(_CREATE)
    cursor.execute(f"TRUNCATE {LOOK}")
    return LOOK


def write_tier_look(cursor: CursorWrapper, at: datetime) -> int:
    """Store what the table holds: moves, the players' tiers, their standings. Returns how many standings changed."""
    parameters: dict[str, Any] = {"at": at}
    cursor.execute(_ADOPTED, parameters)
    cursor.execute(_MOVED, parameters)
    cursor.execute(_TIERS)
    cursor.execute(_STANDINGS, parameters)
    return int(cursor.rowcount)
