"""Keep the account links of a range of players equal to their sessions and payments."""

import hashlib
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection

from fraud.detectors import DEFAULTS, DetectorParameters
from loyalty_site.common.clock import require_utc

_FRESH = """
CREATE TEMP TABLE fresh_link ON COMMIT DROP AS
SELECT player_id, kind, left(encode(sha256(convert_to(%(salt)s || kind || ':' || value, 'UTF8')), 'hex'), 32) AS token,
    sum(uses)::int AS uses, min(first_seen_at) AS first_seen_at, max(last_seen_at) AS last_seen_at
FROM (
    SELECT player_id, 'DEVICE' AS kind, device_id AS value, count(*) AS uses,
        min(started_at) AS first_seen_at, max(started_at) AS last_seen_at
    FROM players_playsession
    WHERE player_id >= %(lower)s AND player_id < %(upper)s AND started_at >= %(since)s AND started_at < %(as_of)s AND device_id <> ''
    GROUP BY player_id, device_id
    UNION ALL
    SELECT player_id, 'IP', CASE family(ip) WHEN 6 THEN network(set_masklen(ip, 64))::text ELSE host(ip) END,
        count(*), min(started_at), max(started_at)
    FROM players_playsession
    WHERE player_id >= %(lower)s AND player_id < %(upper)s AND started_at >= %(since)s AND started_at < %(as_of)s AND ip IS NOT NULL
    GROUP BY player_id, 3
    UNION ALL
    SELECT player_id, 'INSTRUMENT', instrument, count(*), min(occurred_at), max(occurred_at)
    FROM players_payment
    WHERE player_id >= %(lower)s AND player_id < %(upper)s AND occurred_at >= %(since)s AND occurred_at < %(as_of)s AND instrument <> ''
    GROUP BY player_id, instrument
) used
GROUP BY player_id, kind, value
"""

_WRITE = """
INSERT INTO fraud_accountlink AS l (player_id, kind, token, uses, first_seen_at, last_seen_at)
SELECT player_id, kind, token, uses, first_seen_at, last_seen_at FROM fresh_link ORDER BY player_id, kind, token
ON CONFLICT (player_id, kind, token) DO UPDATE SET uses = EXCLUDED.uses, first_seen_at = EXCLUDED.first_seen_at,
    last_seen_at = EXCLUDED.last_seen_at
WHERE (l.uses, l.first_seen_at, l.last_seen_at) IS DISTINCT FROM (EXCLUDED.uses, EXCLUDED.first_seen_at, EXCLUDED.last_seen_at)
"""

_REMOVE = """
DELETE FROM fraud_accountlink l WHERE player_id >= %(lower)s AND player_id < %(upper)s
AND NOT EXISTS (SELECT 1 FROM fresh_link f WHERE f.player_id = l.player_id AND f.kind = l.kind AND f.token = l.token)
"""


def token_salt() -> str:
    """Derived from the installation's secret key; a new key makes new tokens at the next refresh of all players."""
    return hashlib.sha256(f"account-link:{settings.SECRET_KEY}".encode()).hexdigest()


def refresh_links(lower_id: int, upper_id: int, as_of: datetime, parameters: DetectorParameters = DEFAULTS) -> int:
    """Recompute the links of the players with `lower_id <= id < upper_id` from the look-back window that ends at `as_of`.

    Must run in a transaction. IPv6 addresses count as their /64 network, which is what one home gets. Returns links written or removed.
    """
    as_of = require_utc(as_of, "as_of")
    values: dict[str, Any] = {
        "lower": lower_id,
        "upper": upper_id,
        "as_of": as_of,
        "since": as_of - timedelta(days=parameters.link_window_days),
        "salt": token_salt(),
    }
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS pg_temp.fresh_link")
        cursor.execute(_FRESH, values)
        cursor.execute("ANALYZE fresh_link")
        cursor.execute(_WRITE)
        changed = cursor.rowcount
        cursor.execute(_REMOVE, values)
        changed += cursor.rowcount
        cursor.execute("DROP TABLE fresh_link")
    return int(changed)
