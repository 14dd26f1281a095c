"""Of whom each kind says something: who may play is free to leave or to come, and who must be asked before being profiled was.

Churn and engagement are withheld of players who are excluded or closed (models do not learn from them). Everything but fraud is withheld
of players whose market asks for consent to profiling, as long as they have not given it; abuse is looked for whoever consents.
"""

from collections.abc import Iterable
from datetime import datetime

from django.db import connection

from loyalty_site.common.sql import id_array
from predictions.models import Kind

FREE_PLAYERS_ONLY = frozenset({Kind.CHURN, Kind.ENGAGEMENT})
WITHOUT_CONSENT = frozenset({Kind.FRAUD})
# One sentence for both: who asks for a score is not told that somebody has excluded himself.
NOT_FREE = "Withheld, because the player is excluded or the account is closed: who may not play neither leaves nor comes back by choice."
NOT_CONSENTED = "Withheld, because the player's market asks for consent to profiling, and the player has not given it."
# SQL over players_player p and the instant %(at)s: neither excluded nor closed
FREE_SQL = """(p.status <> 'CLOSED' AND NOT EXISTS (
    SELECT FROM players_exclusion e WHERE e.player_id = p.id AND e.starts_at <= %(at)s AND (e.ends_at IS NULL OR e.ends_at > %(at)s)))"""
# SQL of the same kind: the rules in force (of those that hold, the ones that began last) ask for no consent, or it was given
CONSENTED_SQL = """(NOT coalesce((
        SELECT k.scores_need_profiling_consent FROM players_jurisdictionpack k
        WHERE k.jurisdiction_id = p.jurisdiction_id AND k.valid_from <= (%(at)s AT TIME ZONE 'UTC')::date
            AND (k.valid_to IS NULL OR k.valid_to > (%(at)s AT TIME ZONE 'UTC')::date)
        ORDER BY k.valid_from DESC LIMIT 1
    ), false) OR EXISTS (SELECT FROM players_protection c WHERE c.player_id = p.id AND c.profiling_consent))"""


def why_withheld(kind: str, *, is_free: bool, has_consented: bool) -> str | None:
    """Why a kind says nothing of a player, in words for whoever asks; None when it may."""
    if kind not in WITHOUT_CONSENT and not has_consented:
        return NOT_CONSENTED
    if kind in FREE_PLAYERS_ONLY and not is_free:
        return NOT_FREE
    return None


def withheld_of(kind: str, player_id: int, at: datetime) -> str | None:
    """The same for a player at an instant, from the database; None for an unknown player."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {FREE_SQL}, {CONSENTED_SQL} FROM players_player p WHERE p.id = %(player)s", {"at": at, "player": player_id})
        row = cursor.fetchone()
    return None if row is None else why_withheld(kind, is_free=row[0], has_consented=row[1])


def unconsented(player_ids: Iterable[int], at: datetime) -> frozenset[int]:
    """Those of the players who must not be profiled at `at`, by consent as it stands now: taking it back counts at once."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT p.id FROM players_player p WHERE p.id = ANY(%(ids)s::bigint[]) AND NOT {CONSENTED_SQL}",
            {"at": at, "ids": id_array(list(player_ids))},
        )
        return frozenset(row[0] for row in cursor.fetchall())
