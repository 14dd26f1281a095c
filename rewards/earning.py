"""Points for play: every full UTC day is reckoned by the rules that hold on it, and the difference goes to the wallet.

What each rule gave on each day is kept (`DayEarning`), and the exact sum per player and unit (`PlayPoints`); the wallet gets its whole
hundredths, so it does not matter in how many nights a sum was reckoned. A day whose figures changed since is reckoned again and the
difference posted: more points as a credit, fewer by taking back earlier postings. docs/points.md describes the rules.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Min
from django.db.models.functions import Floor

from loyalty_site.common.clock import require_utc
from loyalty_site.common.money import from_minor
from rewards.granting.columns import lock_players
from rewards.models import DayEarning, EarningRule, PlayPoints
from wallet.models import Account, Entry, Lot
from wallet.services import Source, add_points, cancel_pending, create_credit_stage, post_credit_stage, reverse_entry

WALLET_SOURCE = "play"
HOUSE = "game"
UNITS = ("LP", "RP")
# days reckoned in one statement: bounds its memory when a long history is taken in at once
_WINDOW_DAYS = 31

_FIGURES = ("stake", "bonus_stake", "theo", "rounds", "games", "max_stake")

# full days whose figures are not those that were reckoned; a day that is gone is in it, too
_CHANGED = f"""
CREATE TEMP TABLE earning_day ON COMMIT DROP AS
SELECT COALESCE(d.player_id, e.player_id) AS player_id, COALESCE(d.day, e.day) AS day
FROM (
    SELECT player_id, day, {", ".join(_FIGURES)} FROM players_playerday
    WHERE player_id >= %(lower)s AND player_id < %(upper)s AND day >= %(start)s AND day < %(today)s AND stake > 0
) d FULL JOIN (
    SELECT player_id, day, {", ".join(_FIGURES)} FROM rewards_dayearning
    WHERE player_id >= %(lower)s AND player_id < %(upper)s AND day >= %(start)s AND day < %(today)s
) e ON e.player_id = d.player_id AND e.day = d.day
WHERE ({", ".join(f"d.{name}" for name in _FIGURES)}) IS DISTINCT FROM ({", ".join(f"e.{name}" for name in _FIGURES)})
"""

# The tier held when the day ended: where the last move before its end led, else where the next one left from, else the present one.
# Read again under the players' locks, because the first look took none.
_FACTS = f"""
CREATE TEMP TABLE earning_fact ON COMMIT DROP AS
SELECT c.player_id, c.day, p.currency, {", ".join(f"d.{name}" for name in _FIGURES)},
    COALESCE(e.multiplier, (
        SELECT t.earn_multiplier FROM players_tier t WHERE t.id = CASE
            WHEN before.id IS NOT NULL THEN before.to_tier_id WHEN after.id IS NOT NULL THEN after.from_tier_id ELSE p.tier_id END
    ), 1) AS multiplier,
    COALESCE(e.lp, 0) AS lp_before, COALESCE(e.rp, 0) AS rp_before
FROM earning_day c
JOIN players_player p ON p.id = c.player_id
LEFT JOIN players_playerday d ON d.player_id = c.player_id AND d.day = c.day AND d.stake > 0
LEFT JOIN rewards_dayearning e ON e.player_id = c.player_id AND e.day = c.day
LEFT JOIN LATERAL (
    SELECT m.id, m.to_tier_id FROM players_tiermove m
    WHERE m.player_id = c.player_id AND m.moved_at < (c.day + 1)::timestamp AT TIME ZONE 'UTC' ORDER BY m.moved_at DESC, m.id DESC LIMIT 1
) before ON true
LEFT JOIN LATERAL (
    SELECT m.id, m.from_tier_id FROM players_tiermove m
    WHERE m.player_id = c.player_id AND m.moved_at >= (c.day + 1)::timestamp AT TIME ZONE 'UTC' ORDER BY m.moved_at, m.id LIMIT 1
) after ON true
WHERE c.day >= %(first)s AND c.day < %(last)s
    AND ({", ".join(f"d.{name}" for name in _FIGURES)}) IS DISTINCT FROM ({", ".join(f"e.{name}" for name in _FIGURES)})
"""

# One line a player, day and rule. A day without single plays is one stake of unknown games: only rules for all play know it, and no
# cap per play applies. The stages: which plays, which rule for each kind of play, points of each play, sums of each rule.
_LINES = """
CREATE TEMP TABLE earning_line ON COMMIT DROP AS
WITH play AS MATERIALIZED (
    SELECT f.player_id, f.day, f.currency, f.multiplier, g.game_id, g.stake, g.bonus_stake
    FROM earning_fact f JOIN players_gameplay g ON g.player_id = f.player_id AND (g.played_at AT TIME ZONE 'UTC')::date = f.day
        AND g.played_at >= f.day::timestamp AT TIME ZONE 'UTC' AND g.played_at < (f.day + 1)::timestamp AT TIME ZONE 'UTC'
), staked AS (
    SELECT * FROM play
    UNION ALL
    SELECT f.player_id, f.day, f.currency, f.multiplier, NULL, f.stake, f.bonus_stake FROM earning_fact f
    WHERE f.stake > 0 AND NOT EXISTS (SELECT FROM play WHERE play.player_id = f.player_id AND play.day = f.day)
), kind AS (
    SELECT DISTINCT day, currency, game_id FROM staked
), chosen AS (
    SELECT kind.*, rule.* FROM kind
    LEFT JOIN players_game game ON game.id = kind.game_id
    CROSS JOIN (VALUES ('LP'), ('RP')) AS unit(name)
    CROSS JOIN LATERAL (
        SELECT r.id AS rule_id, r.unit, r.rate * r.weight AS rate, r.uses_tier_multiplier, r.counts_bonus_stake, r.daily_cap, r.event_cap
        FROM rewards_earningrule r
        WHERE r.unit = unit.name AND r.valid_from <= kind.day AND (r.valid_to IS NULL OR r.valid_to > kind.day)
            AND r.currency IN ('', kind.currency)
            AND CASE r.scope WHEN 'game' THEN lower(r.key) = lower(game.code) WHEN 'provider' THEN lower(r.key) = lower(game.provider)
                WHEN 'category' THEN lower(r.key) = lower(game.category) ELSE true END
        ORDER BY array_position(ARRAY['game', 'provider', 'category', 'default'], r.scope::text), r.currency DESC, r.valid_from DESC
        LIMIT 1
    ) rule
), earned AS (
    SELECT s.player_id, s.day, c.rule_id, c.unit, c.daily_cap, count(s.game_id) AS events,
        sum(x.counted) AS stake, sum(x.points) AS uncapped,
        sum(CASE WHEN s.game_id IS NULL THEN x.points ELSE LEAST(x.points, c.event_cap) END) AS points
    FROM staked s
    JOIN chosen c ON c.day = s.day AND c.currency = s.currency AND c.game_id IS NOT DISTINCT FROM s.game_id
    CROSS JOIN LATERAL (SELECT s.stake - CASE WHEN c.counts_bonus_stake THEN 0 ELSE s.bonus_stake END AS stake) paid
    CROSS JOIN LATERAL (
        SELECT paid.stake AS counted, paid.stake * c.rate * CASE WHEN c.uses_tier_multiplier THEN s.multiplier ELSE 1 END AS points
    ) x
    GROUP BY s.player_id, s.day, c.rule_id, c.unit, c.daily_cap
)
SELECT player_id, day, rule_id, unit, events, stake, uncapped, LEAST(points, daily_cap) AS points FROM earned
"""

_SUMS = """
CREATE TEMP TABLE earning_sum ON COMMIT DROP AS
SELECT f.*, COALESCE(l.lp, 0) AS lp, COALESCE(l.rp, 0) AS rp, COALESCE(l.lines, '[]'::jsonb) AS lines
FROM earning_fact f LEFT JOIN (
    SELECT player_id, day, sum(points) FILTER (WHERE unit = 'LP') AS lp, sum(points) FILTER (WHERE unit = 'RP') AS rp,
        jsonb_agg(jsonb_build_object('rule', rule_id, 'unit', unit, 'events', events, 'stake', stake::text,
            'uncapped', uncapped::text, 'points', points::text) ORDER BY unit, points DESC, rule_id) AS lines
    FROM earning_line GROUP BY player_id, day
) l ON l.player_id = f.player_id AND l.day = f.day
"""

_STORE = f"""
INSERT INTO rewards_dayearning AS e (player_id, day, {", ".join(_FIGURES)}, multiplier, lp, rp, lines, reckoned_at)
SELECT player_id, day, {", ".join(_FIGURES)}, multiplier, lp, rp, lines, %(at)s
FROM earning_sum WHERE stake IS NOT NULL ORDER BY player_id, day
ON CONFLICT (player_id, day) DO UPDATE SET {", ".join(f"{name} = EXCLUDED.{name}" for name in _FIGURES)},
    lp = EXCLUDED.lp, rp = EXCLUDED.rp, lines = EXCLUDED.lines, reckoned_at = EXCLUDED.reckoned_at
"""

_FORGET = """
DELETE FROM rewards_dayearning e USING earning_sum s WHERE s.stake IS NULL AND e.player_id = s.player_id AND e.day = s.day
"""

_DIFFERENCES = """
SELECT player_id, unit, sum(difference) AS difference FROM (
    SELECT player_id, 'LP' AS unit, lp - lp_before AS difference FROM earning_sum
    UNION ALL SELECT player_id, 'RP', rp - rp_before FROM earning_sum
) d WHERE difference <> 0 GROUP BY player_id, unit
"""

_OPEN = f"""
INSERT INTO rewards_playpoints (player_id, unit, through, earned, credited_minor, postings, updated_at)
SELECT player_id, unit, %(through)s, 0, 0, 0, %(at)s FROM ({_DIFFERENCES}) d ORDER BY player_id, unit
ON CONFLICT (player_id, unit) DO NOTHING
"""

_ADD = f"""
UPDATE rewards_playpoints k SET through = %(through)s, earned = k.earned + d.difference, updated_at = %(at)s
FROM ({_DIFFERENCES}) d WHERE k.player_id = d.player_id AND k.unit = d.unit
"""

# what the wallet lacks; the ref and part of a loyalty posting are those of earlier releases
_STAGE = f"""
INSERT INTO wallet_credit_stage (line_no, player_id, unit, currency, amount_minor, source_type, source_ref, source_sub, reason)
SELECT row_number() OVER (ORDER BY k.player_id, k.unit), k.player_id, k.unit, '', floor(k.earned * 100)::bigint - k.credited_minor,
    '{WALLET_SOURCE}', k.player_id || ':' || %(through)s, CASE k.unit WHEN 'LP' THEN '' ELSE k.unit || '-' END || (k.postings + 1),
    'points for play through ' || %(through)s
FROM rewards_playpoints k
WHERE k.player_id = ANY(%(players)s) AND floor(k.earned * 100)::bigint > k.credited_minor ORDER BY k.player_id, k.unit
"""

_CREDITED = """
UPDATE rewards_playpoints SET credited_minor = floor(earned * 100)::bigint, postings = postings + 1
WHERE player_id = ANY(%(players)s) AND floor(earned * 100)::bigint > credited_minor
"""


def credit_play_points(lower_id: int, upper_id: int, as_of: datetime) -> dict[str, Any]:
    """Post the points of all full days (UTC) before `as_of` for `lower_id <= player < upper_id`. Safe to repeat.

    Only days since the first rule holds are looked at, and only those whose figures are new or changed are reckoned. Returns rows
    (players with such a day), points (LP) and reward_points (RP) posted, sums of players that were taken back, and accounts that owe points
    because they were spent before a correction.
    """
    today = require_utc(as_of, "as_of").date()
    start = EarningRule.objects.aggregate(first=Min("valid_from"))["first"]
    if start is None:
        return {"rows": 0}
    with transaction.atomic(), connection.cursor() as cursor:
        _drop(cursor, "earning_day")
        cursor.execute(_CHANGED, {"lower": lower_id, "upper": upper_id, "start": start, "today": today})
        cursor.execute("SELECT DISTINCT player_id FROM earning_day ORDER BY player_id")
        players = [row[0] for row in cursor.fetchall()]
        if not players:
            return {"rows": 0}
        lock_players(players)
        _reckon(cursor, today, as_of)
        posted, fewer, owing = _settle(cursor, players, today, as_of)
    result = {
        "rows": len(players),
        "points": float(posted.by_unit.get("LP", Decimal(0))),
        "taken_back": fewer,
        "owing": owing,
    }
    if reward_points := posted.by_unit.get("RP"):
        result["reward_points"] = float(reward_points)
    return result


def _reckon(cursor: Any, today: date, at: datetime) -> None:
    """Reckon the days of `earning_day`, a window of days at a time, and add the differences to the exact sums."""
    cursor.execute("ANALYZE earning_day")
    cursor.execute("SELECT DISTINCT day FROM earning_day ORDER BY day")
    days = [row[0] for row in cursor.fetchall()]
    for first in range(0, len(days), _WINDOW_DAYS):
        window = days[first : first + _WINDOW_DAYS]
        parameters = {"first": window[0], "last": date.fromordinal(window[-1].toordinal() + 1), "at": at, "through": _through(today)}
        _drop(cursor, "earning_fact", "earning_line", "earning_sum")
        cursor.execute(_FACTS, parameters)
        cursor.execute("ANALYZE earning_fact")
        for statement in (_LINES, _SUMS, _STORE, _FORGET, _OPEN, _ADD):
            cursor.execute(statement, parameters)


def _settle(cursor: Any, players: list[int], today: date, at: datetime) -> tuple[Any, int, int]:
    """Bring the wallet to the exact sums. Returns (result of the credits, sums that fell, accounts of theirs that owe points)."""
    parameters = {"players": players, "through": _through(today)}
    create_credit_stage(cursor)
    cursor.execute(_STAGE, parameters)
    posted = post_credit_stage(cursor, house=HOUSE, at=at)
    cursor.execute(_CREDITED, parameters)
    sums = PlayPoints.objects.filter(player_id__in=players).annotate(whole=Floor(F("earned") * 100))
    fewer = list(sums.filter(credited_minor__gt=F("whole")).order_by("player_id", "unit"))
    for points in fewer:
        _take_back(points, at)
    owing = Account.objects.filter(player_id__in={points.player_id for points in fewer}, unit__in=("LP", "RP"), owed__gt=0).count()
    return posted, len(fewer), owing


def _take_back(points: PlayPoints, at: datetime) -> None:
    """Lower the player's points to what is earned, by taking the latest postings for play back and crediting any excess again.

    Points that still wait are cancelled; what was spent already becomes a debt in the wallet that the next credits pay.
    """
    player_id, unit = points.player_id, points.unit
    excess = points.credited_minor - int(points.earned * 100 // 1)
    reason = "a day of play was corrected"
    mark = "" if unit == "LP" else f"{unit}-"
    ref, sub = f"{player_id}:{points.through}", points.postings
    waiting = Lot.objects.filter(
        player_id=player_id, account__unit=unit, status=Lot.Status.PENDING, house=HOUSE, source_type=WALLET_SOURCE
    ).order_by("-pk")
    postings = Entry.objects.filter(
        account__player_id=player_id, account__unit=unit, house=HOUSE, source_type=WALLET_SOURCE, reversal_of=None, reversals=None
    ).order_by("-pk")
    taken = 0
    for lot in waiting.iterator(chunk_size=50):
        if taken >= excess:
            break
        cancel_pending(source=Source(lot.source_type, lot.source_ref, lot.source_sub), at=at, reason=reason)
        taken += lot.qty
    for entry in postings.iterator(chunk_size=50):
        if taken >= excess:
            break
        sub += 1
        reverse_entry(entry.pk, source=Source(WALLET_SOURCE, ref, f"{mark}{sub}-back"), at=at, reason=reason, actor=None)
        taken += entry.amount
    if taken > excess:
        sub += 1
        add_points(
            player_id=player_id,
            unit=unit,
            amount=from_minor(taken - excess, unit),
            source=Source(WALLET_SOURCE, ref, f"{mark}{sub}"),
            at=at,
            reason=reason,
            house=HOUSE,
        )
    PlayPoints.objects.filter(player_id=player_id, unit=unit).update(credited_minor=points.credited_minor - excess, postings=sub)


def explain_day(player_id: int, day: date) -> dict[str, Any] | None:
    """What the player earned on a UTC day, rule by rule; None when the day was not reckoned (no play, before the programme, not over).

    Points are exact; the wallet holds whole hundredths of the sum over all days. Each line names its rule as it reads now, which for
    a rule that has begun is how it was applied.
    """
    found = DayEarning.objects.filter(player_id=player_id, day=day).first()
    return None if found is None else explanations([found])[0]


def explanations(days: list[DayEarning]) -> list[dict[str, Any]]:
    """The same for several days, with one look-up of rules."""
    ids = {line["rule"] for day in days for line in day.lines}
    rules = {rule.pk: rule for rule in EarningRule.objects.filter(pk__in=ids)}
    return [
        {
            "day": day.day,
            "stake": day.stake,
            "bonus_stake": day.bonus_stake,
            "multiplier": day.multiplier,
            "lp": day.lp,
            "rp": day.rp,
            "reckoned_at": day.reckoned_at,
            "lines": [_explained(line, rules[line["rule"]]) for line in day.lines],
        }
        for day in days
    ]


def _explained(line: dict[str, Any], rule: EarningRule) -> dict[str, Any]:
    points, uncapped = Decimal(line["points"]), Decimal(line["uncapped"])
    return {
        "rule": rule,
        "unit": line["unit"],
        "events": line["events"],
        "stake": Decimal(line["stake"]),
        "rate": rule.rate * rule.weight,
        "uncapped": uncapped,
        "points": points,
        "is_capped": points < uncapped,
    }


def _through(today: date) -> str:
    return date.fromordinal(max(today.toordinal() - 1, 1)).isoformat()


def _drop(cursor: Any, *tables: str) -> None:
    cursor.execute(f"DROP TABLE IF EXISTS {', '.join(f'pg_temp.{table}' for table in tables)}")
