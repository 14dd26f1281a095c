"""Reads of the players app."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from django.db import connection
from django.db.models import Count, Q
from numpy.typing import NDArray

from loyalty_site.common.clock import require_utc
from loyalty_site.common.sql import id_array
from players.metrics import measure
from players.models import JurisdictionPack, Player
from players.segmentation import SEGMENTS
from players.timeline import player_timeline

__all__ = [
    "ProtectionColumns",
    "pack_in_force",
    "packs_in_force",
    "player_state",
    "player_timeline",
    "protection_columns",
    "segment_distribution",
    "segment_flows",
]

PACK_FIELDS = (
    "bonuses_allowed",
    "offers_need_marketing_consent",
    "scores_need_profiling_consent",
    "max_wagering_multiple",
    "max_bonus_amount",
    "min_bonus_age",
    "min_wagering_hours",
    "one_product_per_bonus",
    "pausing_allowed",
    "no_offers_after_inactive_days",
    "limit_increase_delay_hours",
)


def segment_distribution() -> dict[str, int]:
    """Number of players in each segment, every segment named."""
    counted = dict(Player.objects.order_by().values_list("segment").annotate(players=Count("id")))
    return {segment: counted.get(segment, 0) for segment in SEGMENTS}


def segment_flows(start: datetime, end: datetime) -> dict[str, dict[str, int]]:
    """Where players stood at `start` and where at `end`: {from: {to: players}}, every segment named on both sides.

    Reads the history of moves (`moved_at` at or before an instant counts for it); a player without a move before an instant
    stood in the segment its next move left, or its present one. Players created after `start` are left out.
    """
    start, end = require_utc(start, "start"), require_utc(end, "end")
    if end < start:
        raise ValueError("the end lies before the start")
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH later AS (  -- the first move after each instant says where the player stood before it
                SELECT DISTINCT ON (player_id) player_id, from_segment FROM players_segmentmove
                WHERE moved_at > %(start)s ORDER BY player_id, moved_at, id
            ), later_end AS (
                SELECT DISTINCT ON (player_id) player_id, from_segment FROM players_segmentmove
                WHERE moved_at > %(end)s ORDER BY player_id, moved_at, id
            )
            SELECT COALESCE(later.from_segment, p.segment), COALESCE(later_end.from_segment, p.segment), count(*)
            FROM players_player p LEFT JOIN later ON later.player_id = p.id LEFT JOIN later_end ON later_end.player_id = p.id
            WHERE p.created_at <= %(start)s GROUP BY 1, 2
            """,
            {"start": start, "end": end},
        )
        counted = {(old, new): players for old, new, players in cursor.fetchall()}
    return {old: {new: counted.get((old, new), 0) for new in SEGMENTS} for old in SEGMENTS}


def pack_in_force(jurisdiction_id: int | None, day: date) -> JurisdictionPack | None:
    """The market's rules on a day: of those that hold, the one that began last. None: no market, or no rules for that day."""
    if jurisdiction_id is None:
        return None
    return packs_in_force(day).get(jurisdiction_id)


def packs_in_force(day: date) -> dict[int, JurisdictionPack]:
    """The rules in force on a day, by market id."""
    holding = JurisdictionPack.objects.filter(Q(valid_to__isnull=True) | Q(valid_to__gt=day), valid_from__lte=day)
    return {pack.jurisdiction_id: pack for pack in holding.select_related("jurisdiction").order_by("valid_from")}


@dataclass(frozen=True)
class ProtectionColumns:
    """What stands between players and an offer at one instant; every array is aligned with `player_ids` (ascending).

    `exclusion_kind` is "" without one (the one that ends last counts). `age` is in full years on that day, -1 when the birth date
    is unknown. `jurisdiction_id` is 0 without a market. `packs` holds the rules of each market that has some on that day.
    """

    player_ids: NDArray[np.int64]
    status: NDArray[np.object_]
    excluded: NDArray[np.bool_]
    exclusion_kind: NDArray[np.object_]
    harm_flag: NDArray[np.bool_]
    marketing_consent: NDArray[np.bool_]
    profiling_consent: NDArray[np.bool_]
    age: NDArray[np.int64]
    jurisdiction_id: NDArray[np.int64]
    packs: dict[int, JurisdictionPack]

    def rule(self, name: str) -> NDArray[np.object_]:
        """One field of the market's rules (`PACK_FIELDS`) for every player; None where no rules hold."""
        markets, inverse = np.unique(self.jurisdiction_id, return_inverse=True)
        values = np.empty(len(markets), dtype=object)
        values[:] = [getattr(self.packs[int(market)], name) if int(market) in self.packs else None for market in markets]
        return values[inverse]


def protection_columns(player_ids: Sequence[int] | NDArray[np.int64], at: datetime) -> ProtectionColumns:
    """Protection of many players at an instant, in two queries. Raises LookupError naming a player that does not exist."""
    at = require_utc(at, "at")
    ids = np.unique(np.asarray(player_ids, dtype=np.int64))
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT p.id, p.status, COALESCE(e.kind, ''), COALESCE(c.harm_flag, false), COALESCE(c.marketing_consent, false),
                COALESCE(c.profiling_consent, false), COALESCE(extract(year FROM age(%(day)s::date, p.birth_date))::int, -1),
                COALESCE(p.jurisdiction_id, 0)
            FROM players_player p
            LEFT JOIN players_protection c ON c.player_id = p.id
            LEFT JOIN (
                SELECT DISTINCT ON (player_id) player_id, kind FROM players_exclusion
                WHERE starts_at <= %(at)s AND (ends_at IS NULL OR ends_at > %(at)s) AND player_id = ANY(%(ids)s)
                ORDER BY player_id, ends_at DESC NULLS FIRST, id
            ) e ON e.player_id = p.id
            WHERE p.id = ANY(%(ids)s) ORDER BY p.id
            """,
            {"ids": ids.tolist(), "at": at, "day": at.date()},
        )
        rows = cursor.fetchall()
    if len(rows) != len(ids):
        missing = np.setdiff1d(ids, np.array([row[0] for row in rows], dtype=np.int64))
        raise LookupError(f"player {int(missing[0])} does not exist")
    columns = list(zip(*rows, strict=True)) if rows else [()] * 8
    kinds = np.array(columns[2], dtype=object)
    return ProtectionColumns(
        player_ids=ids,
        status=np.array(columns[1], dtype=object),
        excluded=np.array([bool(kind) for kind in columns[2]], dtype=bool),
        exclusion_kind=kinds,
        harm_flag=np.array(columns[3], dtype=bool),
        marketing_consent=np.array(columns[4], dtype=bool),
        profiling_consent=np.array(columns[5], dtype=bool),
        age=np.array(columns[6], dtype=np.int64),
        jurisdiction_id=np.array(columns[7], dtype=np.int64),
        packs=packs_in_force(at.date()),
    )


def barred_players(player_ids: Sequence[int], at: datetime) -> set[int]:
    """Those of the players who may be given nothing at `at`: excluded, flagged for harm, or not active. One query."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT p.id FROM players_player p LEFT JOIN players_protection c ON c.player_id = p.id
            WHERE p.id = ANY(%(ids)s::bigint[]) AND (p.status <> 'ACTIVE' OR c.harm_flag OR EXISTS (
                SELECT 1 FROM players_exclusion e
                WHERE e.player_id = p.id AND e.starts_at <= %(at)s AND (e.ends_at IS NULL OR e.ends_at > %(at)s)))
            """,
            {"ids": id_array(player_ids), "at": require_utc(at, "at")},
        )
        return {row[0] for row in cursor.fetchall()}


def player_state(player_id: int, as_of: datetime) -> dict[str, Any]:
    """Everything known of a player: figures computed for `as_of` (nothing later counts), profile, standing, protection and market.

    Exclusions, age and market rules are those of `as_of`; profile, segment, tier, abuse score and consents are the present ones.
    Amounts are Decimals in the player's currency. Raises Player.DoesNotExist.
    """
    as_of = require_utc(as_of, "as_of")
    player = Player.objects.select_related("tier", "jurisdiction", "metrics", "tier_standing").get(pk=player_id)
    protection = protection_columns([player_id], as_of)
    pack = protection.packs.get(player.jurisdiction_id or 0)
    stored = getattr(player, "metrics", None)
    figures = measure([player_id], as_of)[player_id]
    return {
        "player_id": player.external_id,
        "as_of": as_of,
        **_profile(player, as_of.astimezone(UTC).date()),
        **figures,
        "bonus_abuse_score": stored.bonus_abuse_score if stored is not None else 0,
        "metrics_stored_as_of": stored.as_of if stored is not None else None,
        "tier_standing": _tier_standing(player, may_be_told=not (protection.excluded[0] or protection.harm_flag[0])),
        "protection": {
            "excluded": bool(protection.excluded[0]),
            "exclusion_kind": str(protection.exclusion_kind[0]),
            "harm_flag": bool(protection.harm_flag[0]),
            "marketing_consent": bool(protection.marketing_consent[0]),
            "profiling_consent": bool(protection.profiling_consent[0]),
            "age": int(protection.age[0]) if protection.age[0] >= 0 else None,
        },
        "jurisdiction_rules": {name: getattr(pack, name) for name in PACK_FIELDS} if pack is not None else None,
    }


def _tier_standing(player: Player, *, may_be_told: bool) -> dict[str, Any] | None:
    """As of the last look at the player's tier; None before the first. Nobody under protection is told that a tier could be lost."""
    stored = getattr(player, "tier_standing", None)
    if stored is None:
        return None
    shown = {"points_to_next": stored.to_next, "may_be_told": may_be_told, "looked_at": stored.looked_at}
    if may_be_told:
        shown |= {
            "valid_until": stored.valid_until,
            "points_to_keep": stored.to_keep,
            "in_grace": stored.grace_until is not None,
            "next_review_at": stored.next_review_at,
        }
    return shown


def _profile(player: Player, day: date) -> dict[str, Any]:
    return {
        "status": player.status,
        "segment": player.segment,
        "tier": player.tier.name if player.tier is not None else None,
        "tier_rank": player.tier.rank if player.tier is not None else None,
        "risk_score": player.risk_score,
        "country": player.country,
        "jurisdiction": player.jurisdiction.code if player.jurisdiction is not None else None,
        "currency": player.currency,
        "language": player.language,
        "acquisition_channel": player.acquisition_channel,
        "registered_at": player.registered_at,
        "days_since_registration": (day - player.registered_at.astimezone(UTC).date()).days if player.registered_at else None,
        "attributes": player.attributes,
    }
