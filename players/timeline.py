"""What happened to a player, newest first, from all the tables that know something."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import F

from loyalty_site.common.clock import day_start
from players.models import Exclusion, Payment, PlaySession, SegmentMove, TierMove


@dataclass(frozen=True)
class TimelineItem:
    """One line of the timeline. `kind` is PAYMENT, SESSION, PLAY, SEGMENT, TIER or EXCLUSION; `details` holds plain values."""

    at: datetime
    kind: str
    title: str
    details: dict[str, Any]


def player_timeline(player_id: int, limit: int, *, before: datetime | None = None) -> list[TimelineItem]:
    """The newest `limit` items of a player, strictly before an instant if one is given (pass the last item's `at` to page on).

    Plays are summed per UTC day and stand at the day's last play. Each source is read through its index, newest `limit` rows only.
    """
    items: list[TimelineItem] = []
    for source in (_payments, _sessions, _plays, _segment_moves, _tier_moves, _exclusions):
        items.extend(source(player_id, limit, before))
    items.sort(key=lambda item: (item.at, item.kind), reverse=True)
    return items[:limit]


def _payments(player_id: int, limit: int, before: datetime | None) -> Iterator[TimelineItem]:
    rows = Payment.objects.filter(player_id=player_id)
    if before is not None:
        rows = rows.filter(occurred_at__lt=before)
    for row in rows.order_by("-occurred_at", "-id")[:limit]:
        title = (
            row.get_kind_display() if row.status == Payment.Status.COMPLETED else f"{row.get_kind_display()}: {row.get_status_display()}"
        )
        yield TimelineItem(
            row.occurred_at,
            "PAYMENT",
            title,
            {"external_id": row.external_id, "kind": row.kind, "status": row.status, "amount": row.amount, "method": row.method},
        )


def _sessions(player_id: int, limit: int, before: datetime | None) -> Iterator[TimelineItem]:
    rows = PlaySession.objects.filter(player_id=player_id)
    if before is not None:
        rows = rows.filter(started_at__lt=before)
    for row in rows.order_by("-started_at", "-id")[:limit]:
        length = row.ended_at - row.started_at if row.ended_at is not None else None
        minutes = int(length / timedelta(minutes=1)) if length is not None else None
        title = f"Session of {minutes} minutes" if minutes is not None else "Session without a recorded end"
        yield TimelineItem(row.started_at, "SESSION", title, {"external_id": row.external_id, "ended_at": row.ended_at, "minutes": minutes})


def _plays(player_id: int, limit: int, before: datetime | None) -> Iterator[TimelineItem]:
    # The roll-up finds the days worth reading, so that a heavy player costs `limit` days and not a lifetime of rounds.
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH day AS (
                SELECT day FROM players_playerday
                WHERE player_id = %(player)s AND rounds > 0
                    AND (%(before)s::timestamptz IS NULL OR day <= (%(before)s::timestamptz AT TIME ZONE 'UTC')::date)
                ORDER BY day DESC LIMIT %(limit)s
            )
            SELECT day, played.* FROM day CROSS JOIN LATERAL (
                SELECT max(g.played_at) AS last, sum(g.stake) AS stake, sum(g.payout) AS payout, sum(g.rounds) AS rounds,
                    array_agg(DISTINCT game.code ORDER BY game.code) AS games
                FROM players_gameplay g JOIN players_game game ON game.id = g.game_id
                WHERE g.player_id = %(player)s AND g.played_at >= day.day::timestamp AT TIME ZONE 'UTC'
                    AND g.played_at < (day.day + 1)::timestamp AT TIME ZONE 'UTC'
            ) played ORDER BY day DESC
            """,
            {"player": player_id, "before": before, "limit": limit + 1},
        )
        rows = cursor.fetchall()
    for day, last, stake, payout, rounds, games in rows:
        if last is None or (before is not None and last >= before):
            continue
        net: Decimal = payout - stake
        title = f"Played {rounds} rounds of {len(games)} game{'' if len(games) == 1 else 's'}"
        yield TimelineItem(
            last,
            "PLAY",
            title,
            {"day": day, "from": day_start(day), "stake": stake, "payout": payout, "net": net, "rounds": int(rounds), "games": games},
        )


def _segment_moves(player_id: int, limit: int, before: datetime | None) -> Iterator[TimelineItem]:
    rows = SegmentMove.objects.filter(player_id=player_id)
    if before is not None:
        rows = rows.filter(moved_at__lt=before)
    for row in rows.order_by("-moved_at", "-id")[:limit]:
        yield TimelineItem(
            row.moved_at,
            "SEGMENT",
            f"Segment {row.get_from_segment_display() or '-'} to {row.get_to_segment_display()}",
            {"from": row.from_segment, "to": row.to_segment, "run_id": row.run_id},
        )


def _tier_moves(player_id: int, limit: int, before: datetime | None) -> Iterator[TimelineItem]:
    rows = TierMove.objects.filter(player_id=player_id).annotate(old=F("from_tier__name"), new=F("to_tier__name"))
    if before is not None:
        rows = rows.filter(moved_at__lt=before)
    for row in rows.order_by("-moved_at", "-id")[:limit]:
        yield TimelineItem(
            row.moved_at,
            "TIER",
            f"Tier {row.old or '-'} to {row.new}",
            {"from": row.old, "to": row.new, "points": row.points, "reason": row.reason},
        )


def _exclusions(player_id: int, limit: int, before: datetime | None) -> Iterator[TimelineItem]:
    rows = Exclusion.objects.filter(player_id=player_id)
    if before is not None:
        rows = rows.filter(starts_at__lt=before)
    for row in rows.order_by("-starts_at", "-id")[:limit]:
        yield TimelineItem(
            row.starts_at, "EXCLUSION", row.get_kind_display(), {"kind": row.kind, "ends_at": row.ends_at, "reason": row.reason}
        )
