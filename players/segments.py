"""Reclassification of players in batches, with a history of every move."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet

from loyalty_site.common.clock import require_utc
from players import thresholds
from players.models import Player
from players.segmentation import SEGMENTS, classify

ZERO = Decimal(0)


def classify_segments(lower_id: int, upper_id: int, as_of: datetime, run_id: int | None = None) -> dict[str, int]:
    """Put the players with `lower_id <= id < upper_id` into the segment their stored metrics call for.

    Returns {"rows": players looked at, "moved": players whose segment changed, and the number of players in each segment}.
    A player without metrics counts as one without activity. Every change is a SegmentMove at `as_of`; run again, nothing moves.
    """
    return _reclassify(Player.objects.filter(id__gte=lower_id, id__lt=upper_id), as_of, run_id)


def classify_segments_for(player_ids: Sequence[int], as_of: datetime, run_id: int | None = None) -> dict[str, int]:
    """`classify_segments` for some players."""
    return _reclassify(Player.objects.filter(id__in=list(player_ids)), as_of, run_id)


def _reclassify(players: QuerySet[Player], as_of: datetime, run_id: int | None) -> dict[str, int]:
    as_of = require_utc(as_of, "as_of")
    rows = list(players.order_by("id").values_list("id", "segment", "metrics__total_wagered", "metrics__net_pnl", "metrics__sessions"))
    found = classify(
        [row[2] or ZERO for row in rows], [row[3] or ZERO for row in rows], [row[4] or 0 for row in rows], thresholds.segment_thresholds()
    ).tolist()
    wanted = {row[0]: segment for row, segment in zip(rows, found, strict=True) if row[1] != segment}
    moved = _move(wanted, as_of, run_id) if wanted else 0
    counts = Counter(found)
    return {"rows": len(rows), "moved": moved, **{segment: counts[segment] for segment in SEGMENTS}}


def _move(wanted: dict[int, str], as_of: datetime, run_id: int | None) -> int:
    """Write the new segments; a player that another session moved there meanwhile is left alone."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT id FROM players_player WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE", [sorted(wanted)])
        parameters: dict[str, Any] = {"ids": list(wanted), "segments": list(wanted.values()), "at": as_of, "run": run_id}
        cursor.execute(
            """
            WITH wanted AS (
                SELECT p.id, p.segment AS from_segment, w.segment AS to_segment
                FROM unnest(%(ids)s::bigint[], %(segments)s::text[]) AS w(id, segment) JOIN players_player p ON p.id = w.id
                WHERE p.segment <> w.segment
            ), moved AS (
                UPDATE players_player p SET segment = w.to_segment FROM wanted w WHERE p.id = w.id
            )
            INSERT INTO players_segmentmove (player_id, from_segment, to_segment, moved_at, run_id)
            SELECT id, from_segment, to_segment, %(at)s, %(run)s FROM wanted ORDER BY id
            """,
            parameters,
        )
        return int(cursor.rowcount)
