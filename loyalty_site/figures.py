"""The figures of the start page. Money comes from the day roll-up (never from single plays), per currency, for whole UTC days."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db import connection
from django.db.models import Count, F, Q, Sum

from fraud.models import ReviewFlag
from loyalty_site.common.clock import day_start
from loyalty_site.common.models import JobRun
from loyalty_site.common.money import from_minor
from players.models import Player, PlayerDay, QuarantinedRow, Tier
from rewards.models import DecisionStatus, RewardDecision
from wallet.models import OPEN_STATUSES, AdjustmentRequest, BonusGrant, PayoutInstruction, VoidRequest

ZERO = Decimal(0)
# a reward is issued at the latest this long after it was proposed; bounds the scan through the index on proposed_at
_ISSUED_WITHIN = timedelta(days=31)


@dataclass(frozen=True)
class DayTotals:
    """One UTC day of one currency: `ggr` is stake minus payout, `net_deposits` deposits minus withdrawals and refunds."""

    active_players: int = 0
    deposits: Decimal = ZERO
    net_deposits: Decimal = ZERO
    stake: Decimal = ZERO
    ggr: Decimal = ZERO


@dataclass(frozen=True)
class IssuedTotals:
    """Rewards issued on one UTC day: number (all units), bonus money at face value, and its expected cost."""

    count: int = 0
    bonus_money: Decimal = ZERO
    expected_cost: Decimal = ZERO


@dataclass(frozen=True)
class Workload:
    """What waits for people now. Counts are of the whole site; sums are of one currency."""

    pending_rewards: int = 0
    pending_reward_sum: Decimal = ZERO
    oldest_pending_at: datetime | None = None
    pending_adjustments: int = 0
    open_reviews: int = 0
    quarantined_rows: int = 0
    failed_runs: int = 0
    failed_issues: int = 0
    expiring_bonuses: int = 0
    expiring_bonus_sum: Decimal = ZERO
    pending_voids: int = 0
    failed_payouts: int = 0
    bonus_liability: Decimal = ZERO
    open_bonuses: int = 0


@dataclass(frozen=True)
class Population:
    """How the players of one currency are spread. Bands count days since the last play."""

    players: int = 0
    segments: dict[str, int] = field(default_factory=dict)
    tiers: list[tuple[str, str, int]] = field(default_factory=list)
    inactivity: list[tuple[str, int]] = field(default_factory=list)
    measured: int = 0


def reference_day(today: date) -> date | None:
    """`today` when it has activity, else the latest earlier day that has; None on an empty site."""
    return PlayerDay.objects.filter(day__lte=today).order_by("-day").values_list("day", flat=True).first()


def currencies(base: str) -> list[str]:
    """Currencies that players have: `base` first, then by number of players."""
    counts = Player.objects.order_by().values_list("currency").annotate(n=Count("pk"))
    return [code for code, _ in sorted(counts, key=lambda row: (row[0] != base, -row[1], row[0]))]


def day_totals(currency: str, first: date, last: date) -> dict[date, DayTotals]:
    """Totals of each day with activity from `first` to `last`, both included."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT d.day, count(*) FILTER (WHERE d.rounds > 0 OR d.sessions > 0 OR d.deposit_count > 0), sum(d.deposits), "
            "sum(d.deposits - d.withdrawals - d.refunds), sum(d.stake), sum(d.stake - d.payout) "
            "FROM players_playerday d JOIN players_player p ON p.id = d.player_id "
            "WHERE d.day BETWEEN %s AND %s AND p.currency = %s GROUP BY d.day",
            [first, last, currency],
        )
        return {row[0]: DayTotals(*row[1:]) for row in cursor.fetchall()}


def issued_totals(currency: str, first: date, last: date) -> dict[date, IssuedTotals]:
    """Rewards to players of `currency` by day of issue, later revoked ones included, from `first` to `last`."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (r.issued_at AT TIME ZONE 'UTC')::date, count(*), coalesce(sum(r.amount_minor) FILTER (WHERE r.unit = 'BONUS'), 0), "
            "coalesce(sum(r.expected_cost) FILTER (WHERE r.unit = 'BONUS'), 0) "
            "FROM rewards_rewarddecision r JOIN players_player p ON p.id = r.player_id "
            "WHERE r.proposed_at >= %s AND r.issued_at >= %s AND r.issued_at < %s AND p.currency = %s GROUP BY 1",
            [day_start(first) - _ISSUED_WITHIN, day_start(first), day_start(last + timedelta(days=1)), currency],
        )
        return {day: IssuedTotals(count, from_minor(int(minor), currency), cost) for day, count, minor, cost in cursor.fetchall()}


def rewards_by_status(currency: str, first: date, last: date) -> dict[date, dict[str, int]]:
    """Number of rewards by day of proposal and present status."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (r.proposed_at AT TIME ZONE 'UTC')::date, r.status, count(*) "
            "FROM rewards_rewarddecision r JOIN players_player p ON p.id = r.player_id "
            "WHERE r.proposed_at >= %s AND r.proposed_at < %s AND p.currency = %s GROUP BY 1, 2",
            [day_start(first), day_start(last + timedelta(days=1)), currency],
        )
        found: dict[date, dict[str, int]] = {}
        for day, status, count in cursor.fetchall():
            found.setdefault(day, {})[status] = count
        return found


def workload(currency: str, now: datetime) -> Workload:
    """Open work at `now`; failed runs count for 7 days, bonuses that end within 24 hours. Sums are in `currency`."""
    pending = RewardDecision.objects.filter(status=DecisionStatus.PENDING).order_by()
    money = pending.filter(unit="BONUS", currency=currency).aggregate(minor=Sum("amount_minor"))["minor"] or 0
    ending = (
        BonusGrant.objects.filter(
            status__in=OPEN_STATUSES, expires_at__gte=now, expires_at__lt=now + timedelta(hours=24), currency=currency
        )
        .order_by()
        .aggregate(n=Count("pk"), minor=Sum("balance"))
    )
    held = (
        BonusGrant.objects.filter(status__in=OPEN_STATUSES, currency=currency)
        .order_by()
        .aggregate(n=Count("pk"), minor=Sum(F("balance") + F("locked")))
    )
    return Workload(
        pending_rewards=pending.count(),
        pending_reward_sum=from_minor(int(money), currency),
        oldest_pending_at=pending.order_by("proposed_at").values_list("proposed_at", flat=True).first(),
        pending_adjustments=AdjustmentRequest.objects.filter(status=AdjustmentRequest.Status.PENDING).order_by().count(),
        open_reviews=ReviewFlag.objects.filter(status=ReviewFlag.Status.OPEN).order_by().count(),
        quarantined_rows=QuarantinedRow.objects.filter(status=QuarantinedRow.Status.OPEN).order_by().count(),
        failed_runs=JobRun.objects.filter(
            status=JobRun.Status.FAILED, parent__isnull=True, created_at__gte=now - timedelta(days=7)
        ).count(),
        failed_issues=RewardDecision.objects.filter(status=DecisionStatus.ISSUE_FAILED).order_by().count(),
        expiring_bonuses=ending["n"],
        expiring_bonus_sum=from_minor(int(ending["minor"] or 0), currency),
        pending_voids=VoidRequest.objects.filter(status=VoidRequest.Status.PENDING).order_by().count(),
        failed_payouts=PayoutInstruction.objects.filter(status=PayoutInstruction.Status.FAILED).order_by().count(),
        bonus_liability=from_minor(int(held["minor"] or 0), currency),
        open_bonuses=held["n"],
    )


INACTIVITY_BANDS: tuple[tuple[str, int, int | None], ...] = (
    ("0–6 days", 0, 6),
    ("7–29 days", 7, 29),
    ("30–89 days", 30, 89),
    ("90 days +", 90, None),
)


def population(currency: str, today: date) -> Population:
    """Segments, tiers and inactivity of the players of `currency`. Two grouped scans: remember the answer for some minutes."""
    players = Player.objects.filter(currency=currency).order_by()
    segments = dict(players.values_list("segment").annotate(n=Count("pk")))
    by_tier = dict(players.values_list("tier_id").annotate(n=Count("pk")))
    tiers = [(tier.name, tier.color, by_tier.get(tier.pk, 0)) for tier in Tier.objects.order_by("-rank")]
    if by_tier.get(None):
        tiers.append(("No tier yet", "#94a3b8", by_tier[None]))
    bands = {
        f"band_{number}": Count(
            "pk",
            filter=Q(metrics__last_play_on__lte=today - timedelta(days=shortest))
            & (Q() if longest is None else Q(metrics__last_play_on__gte=today - timedelta(days=longest))),
        )
        for number, (_, shortest, longest) in enumerate(INACTIVITY_BANDS)
    }
    counted = players.filter(metrics__isnull=False).aggregate(
        measured=Count("pk"), never=Count("pk", filter=Q(metrics__last_play_on__isnull=True)), **bands
    )
    inactivity = [(name, counted[f"band_{number}"]) for number, (name, _, _) in enumerate(INACTIVITY_BANDS)]
    return Population(
        players=sum(segments.values()),
        segments=segments,
        tiers=tiers,
        inactivity=[*inactivity, ("Never played", counted["never"])],
        measured=counted["measured"],
    )
