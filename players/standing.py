"""Changes of a player's standing that other parts of the system decide: abuse score and tier."""

from collections.abc import Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from django.db import connection, transaction

from loyalty_site.common.clock import require_utc
from players.metrics import refresh_metrics_for
from players.models import PlayerMetrics


def apply_abuse_scores(player_ids: Sequence[int], scores: Sequence[Decimal], at: datetime) -> int:
    """Write abuse scores (0 to 100) to `PlayerMetrics.bonus_abuse_score` and, rounded half up, to `Player.risk_score`.

    Players that were never measured are measured as of `at` first. Returns how many players changed.
    Raises ValueError for lists of unequal length, a player named twice, or a score outside 0..100.
    """
    at = require_utc(at, "at")
    ids = _distinct_ids(player_ids, scores=scores)
    exact = [Decimal(score) for score in scores]
    if wrong := [(one, score) for one, score in zip(ids, exact, strict=True) if not (score.is_finite() and 0 <= score <= 100)]:
        raise ValueError(f"abuse score {wrong[0][1]} of player {wrong[0][0]} is not between 0 and 100")
    rounded = [int(score.quantize(Decimal(1), rounding=ROUND_HALF_UP)) for score in exact]
    with transaction.atomic(), connection.cursor() as cursor:
        # players before metrics: the order in which every writer here takes its locks
        cursor.execute("SELECT id FROM players_player WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE", [sorted(ids)])
        measured = set(PlayerMetrics.objects.filter(player_id__in=ids).values_list("player_id", flat=True))
        if missing := [one for one in ids if one not in measured]:
            refresh_metrics_for(missing, at)
        cursor.execute(
            """
            WITH score AS (
                SELECT * FROM unnest(%(ids)s::bigint[], %(exact)s::numeric[], %(rounded)s::smallint[]) AS s(player_id, exact, rounded)
            ), player AS (
                UPDATE players_player p SET risk_score = s.rounded FROM score s
                WHERE p.id = s.player_id AND p.risk_score <> s.rounded RETURNING p.id
            ), metrics AS (
                UPDATE players_playermetrics m SET bonus_abuse_score = round(s.exact, 3) FROM score s
                WHERE m.player_id = s.player_id AND m.bonus_abuse_score <> round(s.exact, 3) RETURNING m.player_id
            )
            SELECT count(*) FROM (SELECT id FROM player UNION SELECT player_id FROM metrics) changed
            """,
            {"ids": ids, "exact": exact, "rounded": rounded},
        )
        return int(cursor.fetchone()[0])


def move_tiers(player_ids: Sequence[int], tier_ids: Sequence[int], points: Sequence[Decimal | None], at: datetime, reason: str) -> int:
    """Put players into tiers by hand and record a TierMove for each whose tier changes. Returns how many changed.

    `points` are the qualifying loyalty points behind each move (None: not the cause, as in a manual override).
    Raises ValueError for lists of unequal length, a player named twice, or an empty reason; an unknown tier is an IntegrityError.
    """
    at = require_utc(at, "at")
    ids = _distinct_ids(player_ids, tier_ids=tier_ids, points=points)
    if not reason.strip():
        raise ValueError("a tier move needs a reason")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT id FROM players_player WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE", [sorted(ids)])
        cursor.execute(
            """
            WITH wanted AS (
                SELECT p.id, p.tier_id AS from_tier_id, w.tier_id, w.points
                FROM unnest(%(ids)s::bigint[], %(tiers)s::bigint[], %(points)s::numeric[]) AS w(id, tier_id, points)
                JOIN players_player p ON p.id = w.id WHERE p.tier_id IS DISTINCT FROM w.tier_id
            ), moved AS (
                UPDATE players_player p SET tier_id = w.tier_id FROM wanted w WHERE p.id = w.id
            )
            INSERT INTO players_tiermove (player_id, from_tier_id, to_tier_id, kind, moved_at, points, reason)
            SELECT id, from_tier_id, tier_id, 'MANUAL', %(at)s, points, %(reason)s FROM wanted ORDER BY id
            """,
            {"ids": ids, "tiers": [int(one) for one in tier_ids], "points": list(points), "at": at, "reason": reason},
        )
        return int(cursor.rowcount)


def _distinct_ids(player_ids: Sequence[int], **columns: Sequence[object]) -> list[int]:
    ids = [int(one) for one in player_ids]
    for name, column in columns.items():
        if len(column) != len(ids):
            raise ValueError(f"{len(ids)} players but {len(column)} {name}")
    if len(set(ids)) != len(ids):
        raise ValueError("a player is named twice")
    return ids
