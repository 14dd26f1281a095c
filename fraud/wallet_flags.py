"""What the wallet flagged becomes evidence of reviews: each flag once, however often and by however many workers this runs."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from fraud.models import ReviewFlag
from loyalty_site.common.clock import require_utc
from loyalty_site.common.models import AuditEvent
from wallet.models import WalletFlag

WORDS: dict[str, tuple[str, str]] = {
    WalletFlag.Kind.OVER_MAX_BET: ("stake above the largest bet of a bonus", "stakes above the largest bet of a bonus"),
    WalletFlag.Kind.BONUS_DEBT: ("rolled back win that was not there any more", "rolled back wins that were not there any more"),
    WalletFlag.Kind.CASH_DEBT: ("rollback that left the cash negative", "rollbacks that left the cash negative"),
    WalletFlag.Kind.POINTS_DEBT: ("reversal of points that were spent already", "reversals of points that were spent already"),
}
_NEW = """
    FROM wallet_walletflag AS flag {join}
    WHERE flag.player_id >= %(lower)s AND flag.player_id < %(upper)s AND flag.occurred_at <= %(at)s
      AND NOT EXISTS (SELECT FROM fraud_flagevidence AS taken WHERE taken.flag_id = flag.id)
"""
_FLAGS = _NEW.format(join="")
_FLAGS_WITH_REVIEW = _NEW.format(join="JOIN fraud_reviewflag AS review ON review.player_id = flag.player_id AND review.status = 'OPEN'")
# players before their reviews, as everywhere: who opens a review of one of them waits, or has been seen
_LOCK_SQL = f"SELECT id FROM players_player WHERE id IN (SELECT flag.player_id {_FLAGS}) ORDER BY id FOR NO KEY UPDATE"
_WITHOUT_REVIEW_SQL = f"""
SELECT counted.player_id, coalesce(profile.score, 0), counted.kinds
FROM (
    SELECT player_id, jsonb_object_agg(kind, flags) AS kinds
    FROM (SELECT flag.player_id, flag.kind, count(*) AS flags {_FLAGS} GROUP BY 1, 2) AS per_kind GROUP BY 1
) AS counted
LEFT JOIN fraud_abuseprofile AS profile ON profile.player_id = counted.player_id
WHERE NOT EXISTS (SELECT FROM fraud_reviewflag AS review WHERE review.player_id = counted.player_id AND review.status = 'OPEN')
ORDER BY counted.player_id
"""
_TAKE_SQL = f"""
INSERT INTO fraud_flagevidence (flag_id, review_id, taken_at)
SELECT flag.id, review.id, %(at)s {_FLAGS_WITH_REVIEW}
ORDER BY flag.id
ON CONFLICT (flag_id) DO NOTHING
"""


def take_up_flags(lower_id: int, upper_id: int, at: datetime) -> dict[str, int]:
    """Put every flag of players `lower_id <= id < upper_id` that nobody took up yet into the player's open review, and open one where
    there is none. A fixed number of statements, whatever the range holds. Returns the flags taken ("rows") and the reviews opened.
    """
    at = require_utc(at, "at")
    values: dict[str, Any] = {"lower": lower_id, "upper": upper_id, "at": at}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_LOCK_SQL, values)
        if not cursor.fetchall():
            return {"rows": 0, "reviews": 0}
        cursor.execute(_WITHOUT_REVIEW_SQL, values)
        opened = ReviewFlag.objects.bulk_create(
            ReviewFlag(player_id=player_id, reason=reason(json.loads(kinds)), score_at_flag=score, flagged_at=at)
            for player_id, score, kinds in cursor.fetchall()
        )
        AuditEvent.objects.bulk_create(
            AuditEvent(
                occurred_at=at,
                action="fraud.review_opened",
                subject_type=ReviewFlag._meta.label_lower,
                subject_id=str(review.pk),
                after={"player_id": review.player_id, "score": str(review.score_at_flag)},
                reason=review.reason,
            )
            for review in opened
        )
        cursor.execute(_TAKE_SQL, values)
        taken = cursor.rowcount
    return {"rows": taken, "reviews": len(opened)}


def reason(kinds: dict[str, int]) -> str:
    """Why the system asks, e.g. "The wallet flagged: 2 stakes above the largest bet of a bonus."."""
    return f"The wallet flagged: {', '.join(_counted(kinds))}."


def _counted(kinds: dict[str, int]) -> Iterable[str]:
    for kind, (one, many) in WORDS.items():
        if number := kinds.get(kind, 0):
            yield f"{number:,} {one if number == 1 else many}"
