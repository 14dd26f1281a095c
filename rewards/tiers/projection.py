"""Where one player stands and what comes next, reckoned now from the ledger. Writes nothing."""

from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection

from loyalty_site.common.clock import require_utc
from players.models import Player, PlayerTier, Tier, VipClearance
from players.programme import tier_ladder, tier_programme
from rewards.tiers.qualification import Outcome, Override, Situation, Standing, decide, period_of, reviewed_from
from rewards.tiers.qualifying import points_by_day
from rewards.tiers.settlement import FROZEN_SQL, ladder_of, local_day, rules_of

# what nobody may tell a player whom it could push to play on
_UNTOLD_SQL = """
SELECT p.tier_id, {frozen}, COALESCE(c.harm_flag, false) OR EXISTS (SELECT FROM players_exclusion AS e
    WHERE e.player_id = p.id AND e.starts_at <= %(at)s AND (e.ends_at IS NULL OR e.ends_at > %(at)s)),
    COALESCE(p.registered_at, p.created_at)
FROM players_player AS p LEFT JOIN players_protection AS c ON c.player_id = p.id WHERE p.id = %(player)s
"""


@dataclass(frozen=True)
class TierView:
    """A player's tier as of `as_of`. Points are points. `rule_tier` differs from `tier` while an override holds.

    `may_be_told` is False for players under an exclusion, a cool-off or a harm flag: then `keep_text` is empty, and no message may say
    that the tier could be lost. `projected` is the tier after the next review (after the grace, when one would follow).
    """

    as_of: datetime
    tier: Tier | None
    rule_tier: Tier | None
    since: datetime | None
    valid_until: datetime
    grace_until: datetime | None
    frozen: str
    override_until: datetime | None
    override_reason: str
    metric: Decimal
    window_from: date
    review_metric: Decimal
    review_from: date
    next_tier: Tier | None
    next_needs_clearance: bool
    to_next: Decimal | None
    to_keep: Decimal
    next_review_at: datetime
    days_left: int
    outcome: Outcome
    projected: Tier | None
    waiting_for: Tier | None
    may_be_told: bool
    keep_text: str

    @property
    def in_grace(self) -> bool:
        return self.grace_until is not None


def standing_of(row: PlayerTier, zone: str) -> Standing:
    """A stored standing as the pure rules see it, in days of the zone."""

    def day(moment: datetime | None) -> date | None:
        return local_day(moment, zone) if moment is not None else None

    valid = local_day(row.valid_until, zone)
    override = None
    if row.override_tier_id is not None and row.override_until is not None:
        override = Override(row.override_tier_id, local_day(row.override_until, zone))
    return Standing(row.tier_id, valid, day(row.grace_until), row.frozen, day(row.frozen_since), override, row.waiting_tier_id)


def tier_view(player_id: int, at: datetime) -> TierView | None:
    """The player's tier and projection now; None while there is no ladder. Raises Player.DoesNotExist."""
    at = require_utc(at, "at")
    programme, tiers = tier_programme(), tier_ladder()
    with connection.cursor() as cursor:
        cursor.execute(_UNTOLD_SQL.format(frozen=FROZEN_SQL), {"player": player_id, "at": at})
        found = cursor.fetchone()
    if found is None:
        raise Player.DoesNotExist(f"there is no player with id {player_id}")
    if not tiers:
        return None
    present, frozen, untold, joined_at = found
    zone, today, rules = programme.zone, local_day(at, programme.zone), rules_of(programme)
    cleared = VipClearance.objects.filter(player_id=player_id, status=VipClearance.Status.APPROVED, recheck_on__gt=today).exists()
    joined = local_day(joined_at, zone)
    row = PlayerTier.objects.filter(pk=player_id).first()
    known = standing_of(row, zone) if row is not None else None
    situation = Situation(present, joined, points_by_day(player_id, zone), frozen, cleared)
    decision = decide(known, situation, ladder_of(tiers), rules, today)
    standing, figures = decision.standing, decision.figures
    by_id = {tier.pk: tier for tier in tiers}
    place = next((i for i, tier in enumerate(tiers) if tier.pk == standing.tier_id), -1)
    following = tiers[place + 1] if place + 1 < len(tiers) else None
    override = standing.override
    view: dict[str, Any] = {
        "as_of": at,
        "tier": by_id.get(standing.effective or 0),
        "rule_tier": by_id.get(standing.tier_id or 0),
        "since": row.since if row is not None and row.tier_id == standing.tier_id and not decision.adopted else at,
        "valid_until": day_start(standing.valid_until, zone),
        "grace_until": day_start(standing.grace_until, zone) if standing.grace_until else None,
        "frozen": standing.frozen,
        "override_until": day_start(override.until, zone) if override else None,
        "override_reason": row.override_reason if row is not None and override else "",
        "metric": _points(figures.metric),
        "window_from": period_of(rules, today, joined)[0],
        "review_metric": _points(figures.review_metric),
        "review_from": reviewed_from(rules, standing.valid_until, joined),
        "next_tier": following,
        "next_needs_clearance": following is not None and following.needs_gate and not cleared,
        "to_next": _points(figures.to_next) if figures.to_next is not None else None,
        "to_keep": _points(figures.to_keep),
        "next_review_at": day_start(figures.next_review, zone),
        "days_left": max((figures.next_review - today).days, 0),
        "outcome": figures.outcome,
        "projected": by_id.get(figures.projected or 0),
        "waiting_for": by_id.get(standing.waiting or 0),
        "may_be_told": not untold,
    }
    return TierView(**view, keep_text="" if untold else _keep_text(view))


def day_start(day: date, zone: str) -> datetime:
    """The instant at which the day begins in the zone."""
    return datetime.combine(day, time(0, 0), ZoneInfo(zone)).astimezone(ZoneInfo("UTC"))


def _keep_text(view: dict[str, Any]) -> str:
    """What a player may be told about keeping the tier; nothing when there is nothing to do."""
    tier, to_keep = view["rule_tier"], view["to_keep"]
    if tier is None or not to_keep or view["frozen"] or view["override_until"]:
        return ""
    points = f"{to_keep:,.2f}".removesuffix(".00")
    return f"{points} points before {view['next_review_at']:%Y-%m-%d %H:%M} UTC keep {tier.name}."


def _points(hundredths: int) -> Decimal:
    return Decimal(hundredths).scaleb(-2)
