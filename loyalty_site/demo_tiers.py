"""Some of the demo's players have a past in the tiers, so that the board has people in every column.

Points are posted through the wallet at the times at which they would have been earned, and each story is settled at those times: the
moves, graces and reviews are those of the rules.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import connection, transaction

from players.models import PlayerTier, Tier
from players.programme import tier_programme
from rewards.tiers.clearances import Evidence, approve_clearance, request_clearance
from rewards.tiers.overrides import override_tier
from rewards.tiers.qualification import Window, period_of
from rewards.tiers.settlement import rules_of, settle_players
from wallet.models import Entry
from wallet.services import Source, add_points

SOURCE = "demo.tiers"
_SHARE, _FEWEST, _MOST = 0.05, 33, 220

_CANDIDATES = """
SELECT p.id FROM players_player AS p LEFT JOIN players_protection AS c ON c.player_id = p.id
WHERE p.status = 'ACTIVE' AND NOT COALESCE(c.harm_flag, false)
  AND NOT EXISTS (SELECT FROM players_exclusion AS e WHERE e.player_id = p.id)
  AND NOT EXISTS (SELECT FROM players_playertier AS t WHERE t.player_id = p.id)
ORDER BY md5(p.id::text) LIMIT %s
"""


@dataclass(frozen=True)
class Story:
    """Points earned two quarters ago, in the last one, and lately; `looks`: at which of the instants the player was settled."""

    name: str
    before: int = 0
    last: int = 0
    lately: int = 0
    looks: tuple[str, ...] = ("before", "last")
    clearance: bool = False
    override: str = ""


STORIES = (
    Story("gold, keeps by the pace", before=10_500, last=8_600, lately=9_000, looks=("before", "last", "review")),
    Story("gold, missed the review and has the points to come", before=10_500, last=7_500, lately=420),
    Story("gold, missed the review and does not play", before=10_800, last=6_900),
    Story("gold, would go into grace", last=10_400, lately=300),
    Story("silver, on the way up", last=1_900, lately=9_600),
    Story("silver, would go into grace", last=1_250),
    Story("silver since the grace ended", before=10_200, looks=("before", "review", "grace_end")),
    Story("platinum with clearance", last=52_000, lately=21_000, clearance=True),
    Story("waits for clearance", last=11_000, lately=51_000),
    Story("held up by an override", last=1_400, lately=200, override="Gold"),
    Story("held down by an override", last=10_600, lately=900, override="Bronze"),
)


def tell_stories(now: datetime) -> dict[str, int]:
    """Post the points and settle. Returns how many players got each story; nothing when it was done before.

    Raises LookupError without the tiers and staff of setup_demo, or when the programme's window is not a calendar one.
    """
    if Entry.objects.filter(source_type=SOURCE).exists():
        return {}
    rules = rules_of(tier_programme())
    if rules.window not in (Window.MONTH, Window.QUARTER, Window.YEAR):
        raise LookupError("the stories are written for calendar periods; set the tier programme's window to one")
    tiers = {tier.name: tier for tier in Tier.objects.all()}
    if missing := {"Bronze", "Silver", "Gold", "Platinum"} - tiers.keys():
        raise LookupError(f"there is no tier {', '.join(sorted(missing))}; run setup_demo first")
    manager, compliance = _staff("crm_manager"), _staff("compliance")
    today = now.date()
    this = period_of(rules, today, today)[0]
    last = period_of(rules, this - timedelta(days=1), today)[0]
    before = period_of(rules, last - timedelta(days=1), today)[0]
    instants = {
        "before": _instant(before, 50),
        "last": _instant(last, 50),
        "review": _instant(this, 0),
        "grace_end": _instant(this, rules.grace_days),
        "lately": max(now - timedelta(days=6), _instant(this, 0)),
    }
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM players_player")
        wanted = max(_FEWEST, min(_MOST, int(cursor.fetchone()[0] * _SHARE)))
        cursor.execute(_CANDIDATES, [wanted])
        players = [row[0] for row in cursor.fetchall()]
    told = [(player, STORIES[i % len(STORIES)]) for i, player in enumerate(players)]
    with transaction.atomic():
        for name, at in instants.items():
            if at > now:
                continue
            for player, story in told:
                if points := getattr(story, name, 0):
                    _earn(player, points, name, at)
            if name == "last":
                for player, story in told:
                    if story.clearance:
                        _clear(player, manager, compliance, at)
            settle_players([player for player, story in told if name in story.looks], at)
        settle_players([player for player, _ in told], now)
        for player, story in told:
            if story.override and not PlayerTier.objects.get(pk=player).frozen:
                until = today + timedelta(days=12 + player % 60)
                override_tier(
                    player, tiers[story.override].pk, until, reason=f"Agreed with the player: {story.name}.", actor=manager, at=now
                )
    return dict(Counter(story.name for _, story in told))


def _earn(player_id: int, points: int, part: str, at: datetime) -> None:
    amount = Decimal(points) + Decimal(player_id % 97)  # no two players are quite alike
    add_points(
        player_id=player_id, unit="LP", amount=amount, source=Source(SOURCE, f"{player_id}:{part}"), at=at, reason="points for play",
        house="game",
    )  # fmt: skip


def _clear(player_id: int, manager: User, compliance: User, at: datetime) -> None:
    evidence = Evidence(
        "Passport and address verified by video, file kept by Compliance.",
        "Salary and savings statements cover the stakes of twelve months.",
        "No marker of harm in twelve months; deposit limit in place.",
        at.date() + timedelta(days=365),
    )
    request = request_clearance(player_id, evidence, actor=manager, reason="The player reaches Platinum.", at=at)
    approve_clearance(request.pk, actor=compliance, note="Evidence seen and complete.", at=at)


def _staff(username: str) -> User:
    user = get_user_model().objects.filter(username=username).first()
    if not isinstance(user, User):
        raise LookupError(f"there is no member of staff {username}; run setup_demo first")
    return user


def _instant(day: date, days: int) -> datetime:
    moment = day + timedelta(days=days)
    return datetime(moment.year, moment.month, moment.day, 1, tzinfo=UTC)
