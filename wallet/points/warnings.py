"""Points that end soon: the list of them, and the mark that their players are told once."""

from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from loyalty_site.common.clock import require_utc
from players.models import Exclusion, Player
from wallet.models import Lot, PointsPolicy

from .expiry import postpone

# Players who may be told: nobody under an exclusion, a cool-off or a harm flag is drawn back by points that run out.
_WARN = """
WITH due AS MATERIALIZED (
    SELECT lot.id FROM wallet_lot AS lot
    JOIN wallet_account AS account ON account.id = lot.account_id
    JOIN wallet_pointspolicy AS policy ON policy.unit = account.unit
    JOIN players_player AS player ON player.id = lot.player_id
    LEFT JOIN players_protection AS protection ON protection.player_id = lot.player_id
    WHERE lot.status = 'ACTIVE' AND lot.warned_at IS NULL AND lot.player_id >= %(lower)s AND lot.player_id < %(upper)s
      AND lot.expires_at > %(at)s AND lot.expires_at <= %(horizon)s
      AND lot.expires_at <= %(at)s + policy.warn_days * interval '1 day' AND policy.warn_days > 0
      AND player.status = 'ACTIVE' AND NOT coalesce(protection.harm_flag, false)
      AND NOT EXISTS (
          SELECT FROM players_exclusion AS exclusion
          WHERE exclusion.player_id = lot.player_id AND exclusion.starts_at <= %(at)s
            AND (exclusion.ends_at IS NULL OR exclusion.ends_at > %(at)s))
    ORDER BY lot.id LIMIT %(limit)s FOR UPDATE OF lot SKIP LOCKED
)
UPDATE wallet_lot AS lot SET warned_at = %(at)s FROM due WHERE lot.id = due.id
"""


def warn_expiring(*, at: datetime, lower_id: int, upper_id: int, chunk_size: int = 5000) -> int:
    """Mark the lots of players `lower_id <= id < upper_id` that end within their policy's days of warning. Returns how many.

    Each lot is marked once: the mark is the event that integrators read. A lot whose end moves on by activity is marked anew later.
    """
    at = require_utc(at)
    longest = max(PointsPolicy.objects.values_list("warn_days", flat=True), default=0)
    horizon = at + timedelta(days=longest)
    postpone(at=at, lower_id=lower_id, upper_id=upper_id, ends_before=horizon)
    warned = 0
    parameters: dict[str, Any] = {"at": at, "horizon": horizon, "lower": lower_id, "upper": upper_id, "limit": chunk_size}
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_WARN, parameters)
            if cursor.rowcount == 0:
                return warned
            warned += cursor.rowcount


def expiring_soon(*, at: datetime, unit: str = "", within: timedelta) -> QuerySet[Lot]:
    """Active lots that end after `at` and at most `within` later, of players who may be told, by end and then number.

    Where a unit ends by inactivity the ends are as of the last hourly run.
    """
    at = require_utc(at)
    excluded = Exclusion.objects.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=at), player_id=OuterRef("player_id"), starts_at__lte=at)
    found = (
        Lot.objects.select_related("account", "player")
        .filter(status=Lot.Status.ACTIVE, expires_at__gt=at, expires_at__lte=at + within, player__status=Player.Status.ACTIVE)
        .exclude(player__protection__harm_flag=True)
        .exclude(Exists(excluded))
        .order_by("expires_at", "id")
    )
    return found.filter(account__unit=unit) if unit else found
