"""Which market a player belongs to."""

from collections.abc import Sequence
from datetime import datetime

from django.contrib.auth.models import User
from django.db import connection, transaction

from loyalty_site.common import audit
from loyalty_site.common.clock import require_utc
from players.models import Jurisdiction


def assign_market(jurisdiction_ids: Sequence[int], *, reason: str, actor: User | None, at: datetime) -> int:
    """Put players who have no market into these, by their country; returns how many. Audited per market.

    A country that stands in several of them goes to the market named like the country, then by code.
    """
    at = require_utc(at, "at")
    if not reason.strip():
        raise ValueError("assigning players to a market needs a reason")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            """
            WITH market AS (
                SELECT DISTINCT ON (country) country, j.id
                FROM players_jurisdiction j CROSS JOIN LATERAL unnest(j.countries) AS c(country)
                WHERE j.id = ANY(%(ids)s) ORDER BY country, j.code <> country, j.code
            ), chosen AS (
                SELECT p.id, m.id AS market_id FROM players_player p JOIN market m ON m.country = p.country
                WHERE p.jurisdiction_id IS NULL ORDER BY p.id FOR NO KEY UPDATE OF p
            ), assigned AS (
                UPDATE players_player p SET jurisdiction_id = c.market_id, updated_at = %(at)s FROM chosen c WHERE p.id = c.id
                RETURNING c.market_id
            )
            SELECT market_id, count(*) FROM assigned GROUP BY market_id
            """,
            {"ids": list(jurisdiction_ids), "at": at},
        )
        counts = dict(cursor.fetchall())
        for market in Jurisdiction.objects.filter(pk__in=counts):
            audit.record("players.market_assigned", market, at=at, actor=actor, after={"players": counts[market.pk]}, reason=reason)
    return sum(counts.values())
