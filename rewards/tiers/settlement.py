"""Tiers by the rules for many players at once: the statement that does what `qualification.decide` does for one.

A pass rolls up new entries, decides, and writes moves and standings, all under the players' row locks. It is safe to repeat and to run
beside itself; a second pass for the same instant changes nothing.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from loyalty_site.common.clock import require_utc
from loyalty_site.common.sql import id_array
from players.models import Tier, TierProgramme
from players.programme import tier_ladder, tier_programme
from players.tier_standing import create_tier_look, write_tier_look
from rewards.tiers.periods import Periods
from rewards.tiers.qualification import PACE_DAYS, Ladder, Programme, Step, Window
from rewards.tiers.qualifying import roll_up

_ALL_IN_RANGE = "{column} >= %(lower)s AND {column} < %(upper)s"
_THOSE_NAMED = "{column} = ANY(%(ids)s::bigint[])"

FROZEN_SQL = """
CASE WHEN p.status <> 'ACTIVE' THEN p.status
     WHEN EXISTS (SELECT FROM players_exclusion AS e WHERE e.player_id = p.id AND e.starts_at <= %(at)s
                  AND (e.ends_at IS NULL OR e.ends_at > %(at)s)) THEN 'EXCLUDED'
     ELSE '' END
"""

_REASONS = """
CASE kind WHEN 'UPGRADE' THEN 'points earned' WHEN 'REVIEW' THEN 'review: too few points to keep the tier'
    WHEN 'GRACE_END' THEN 'the grace ended without the points to keep the tier' WHEN 'OVERRIDE_END' THEN 'the override ended' ELSE '' END
"""


def settle_range(lower_id: int, upper_id: int, as_of: datetime) -> dict[str, Any]:
    """Qualification, review, grace and the ends of overrides for `lower_id <= player < upper_id`, as of the instant.

    Returns rows (players who moved), and by name: up, down, other moves, graces begun, frozen, waiting for a clearance.
    """
    return _settle(_ALL_IN_RANGE, {"lower": lower_id, "upper": upper_id}, as_of)


def settle_players(player_ids: Sequence[int], at: datetime) -> dict[str, Any]:
    """The same for named players; what posts points calls it after its commit, so that players go up at once."""
    return _settle(_THOSE_NAMED, {"ids": id_array(sorted(set(player_ids)))}, at)


def rules_of(programme: TierProgramme) -> Programme:
    return Programme(Window(programme.window), programme.rolling_days, programme.grace_days, programme.soft_landing)


def ladder_of(tiers: Sequence[Tier]) -> Ladder:
    return [Step(tier.pk, int(tier.entry_points * 100), int(tier.keep_points * 100), tier.needs_gate) for tier in tiers]


def local_day(at: datetime, zone: str) -> date:
    return at.astimezone(ZoneInfo(zone)).date()


def _settle(where: str, parameters: dict[str, Any], at: datetime) -> dict[str, Any]:
    at = require_utc(at, "as_of")
    ladder = ladder_of(tier_ladder())
    if not ladder:
        return {"rows": 0}
    programme = tier_programme()
    with transaction.atomic(), connection.cursor() as cursor:
        _hold(cursor, where, parameters)
        roll_up(cursor, where, parameters, programme.zone)
        _end_clearances(cursor, where, parameters, programme, at)
        create_tier_look(cursor)
        _look(cursor, where, parameters, programme, ladder, at)
        figures = _figures(cursor, at)
        write_tier_look(cursor, at)
    return figures


def _hold(cursor: CursorWrapper, where: str, parameters: dict[str, Any]) -> None:
    """The players' row locks, in order of id: who settles a player, settles alone."""
    cursor.execute(f"SELECT id FROM players_player WHERE {where.format(column='id')} ORDER BY id FOR NO KEY UPDATE", parameters)


def _end_clearances(cursor: CursorWrapper, where: str, parameters: dict[str, Any], programme: TierProgramme, at: datetime) -> None:
    """Clearances whose re-check is due end; the player's page and the list of clearances ask for a new one."""
    cursor.execute(
        f"""
        WITH ended AS (
            UPDATE players_vipclearance SET status = 'EXPIRED', ended_at = %(at)s
            WHERE {where.format(column="player_id")} AND status = 'APPROVED' AND recheck_on <= %(today)s RETURNING id, recheck_on
        )
        INSERT INTO common_auditevent (occurred_at, action, subject_type, subject_id, before, after, reason)
        SELECT %(at)s, 'players.clearance_expired', 'players.vipclearance', id::text,
            '{{"status": "APPROVED"}}'::jsonb, '{{"status": "EXPIRED"}}'::jsonb,
            'the re-check of ' || recheck_on || ' is due' FROM ended ORDER BY id
        """,
        {**parameters, "at": at, "today": local_day(at, programme.zone)},
    )


def _look(cursor: CursorWrapper, where: str, parameters: dict[str, Any], programme: TierProgramme, ladder: Ladder, at: datetime) -> None:
    values = {
        **parameters,
        "at": at,
        "today": local_day(at, programme.zone),
        "zone": programme.zone,
        "ids_of_tiers": [step.tier_id for step in ladder],
        "entries": [step.entry for step in ladder],
        "keeps": [step.keep for step in ladder],
        "gates": [step.needs_gate for step in ladder],
        "grace": programme.grace_days,
        "soft": programme.soft_landing,
    }
    cursor.execute(_look_sql(programme, where.format(column="p.id")), values)


def _look_sql(programme: TierProgramme, where: str) -> str:
    rules = rules_of(programme)
    here = Periods(rules.window, rules.rolling_days, "joined")
    rolling = rules.window is Window.ROLLING
    today, gate_ok = "%(today)s::date", "(cleared OR NOT gate)"
    left_now = "0" if rolling else f"({here.end(today)} - ({today} + 1))"
    landing = f"""GREATEST(
        COALESCE((SELECT max(pos) FROM ladder WHERE pos < {{pos}} AND (pos = 0 OR (keep <= {{points}} AND {gate_ok}))), 0),
        CASE WHEN %(soft)s THEN COALESCE((SELECT max(pos) FROM ladder WHERE pos < {{pos}} AND {gate_ok}), 0) ELSE 0 END)"""
    return f"""
    INSERT INTO players_tier_look (player_id, present, effective, adopted, kind, moved_metric, reason, tier_id, valid_until, grace_until,
        frozen, keeps_override, waiting_id, metric, review_metric, pace, to_next, to_keep, next_review_at, outcome, projected_id)
    WITH ladder AS MATERIALIZED (
        SELECT (pos - 1)::int AS pos, id, entry, keep, gate
        FROM unnest(%(ids_of_tiers)s::bigint[], %(entries)s::bigint[], %(keeps)s::bigint[], %(gates)s::boolean[])
            WITH ORDINALITY AS l(id, entry, keep, gate, pos)
    ), who AS MATERIALIZED (
        SELECT p.id AS player_id, p.tier_id AS present, {FROZEN_SQL} AS frozen,
            EXISTS (SELECT FROM players_vipclearance AS c
                    WHERE c.player_id = p.id AND c.status = 'APPROVED' AND c.recheck_on > {today}) AS cleared,
            (COALESCE(p.registered_at, p.created_at) AT TIME ZONE %(zone)s)::date AS joined,
            st.player_id IS NULL OR p.tier_id IS DISTINCT FROM COALESCE(st.override_tier_id, st.tier_id) AS adopted,
            st.tier_id AS old_tier, st.waiting_tier_id AS old_waiting, st.override_tier_id,
            (st.valid_until AT TIME ZONE %(zone)s)::date AS old_valid, (st.grace_until AT TIME ZONE %(zone)s)::date AS old_grace,
            (st.frozen_since AT TIME ZONE %(zone)s)::date AS frozen_on, (st.override_until AT TIME ZONE %(zone)s)::date AS override_on
        FROM players_player AS p LEFT JOIN players_playertier AS st ON st.player_id = p.id WHERE {where}
    ), stood AS MATERIALIZED (  -- as found, taken over or thawed
        SELECT player_id, present, frozen, cleared, joined, adopted, old_waiting,
            CASE WHEN adopted THEN present ELSE old_tier END AS tier0,
            CASE WHEN adopted THEN {here.end_of_next(today)} ELSE old_valid END AS valid0,
            CASE WHEN adopted THEN NULL WHEN frozen = '' AND frozen_on IS NOT NULL THEN old_grace + ({today} - frozen_on)
                 ELSE old_grace END AS grace0,
            CASE WHEN NOT adopted THEN override_tier_id END AS override0, CASE WHEN NOT adopted THEN override_on END AS override_on
        FROM who
    ), windows AS MATERIALIZED (
        SELECT *, {here.start(today)} AS running_from, {here.reviewed_from("valid0")} AS reviewed_from,
            frozen = '' AND override_on <= {today} AS override_ends
        FROM stood
    ), counted AS MATERIALIZED (
        SELECT w.*, COALESCE(sums.metric, 0) AS metric, COALESCE(sums.pace, 0) AS pace, COALESCE(sums.today, 0) AS of_today,
            COALESCE(sums.reviewed, 0) AS reviewed, COALESCE(sums.through, 0) AS through,
            COALESCE(standing.pos, -1) AS pos0, standing.keep AS keep0, standing.gate AS gate0
        FROM windows AS w
        LEFT JOIN ladder AS standing ON standing.id = w.tier0
        LEFT JOIN LATERAL (
            SELECT sum(points) FILTER (WHERE day >= w.running_from)::bigint AS metric,
                sum(points) FILTER (WHERE day > {today} - {PACE_DAYS})::bigint AS pace,
                sum(points) FILTER (WHERE day = {today})::bigint AS today,
                sum(points) FILTER (WHERE day >= w.reviewed_from AND day < w.valid0)::bigint AS reviewed,
                sum(points) FILTER (WHERE day >= w.reviewed_from AND day < COALESCE(w.grace0, 'infinity'))::bigint AS through
            FROM rewards_qualifyingday
            WHERE player_id = w.player_id AND day <= {today} AND day >= LEAST(w.running_from, w.reviewed_from, {today} - {PACE_DAYS - 1})
        ) AS sums ON true
    ), reached AS MATERIALIZED (
        SELECT *, COALESCE((SELECT max(pos) FROM ladder WHERE entry <= metric AND {gate_ok}), -1) AS reached,
            COALESCE((SELECT max(pos) FROM ladder WHERE entry <= metric), -1) AS wanted,
            CASE WHEN grace0 IS NOT NULL OR %(grace)s > 0 THEN through ELSE reviewed END AS decisive
        FROM counted
    ), acts AS MATERIALIZED (
        SELECT *, CASE
            WHEN frozen <> '' THEN 'FROZEN'
            WHEN reached > pos0 THEN 'UP'
            WHEN pos0 < 0 OR (grace0 IS NULL AND valid0 > {today}) THEN 'STAY'
            WHEN pos0 = 0 OR (keep0 <= decisive AND (cleared OR NOT gate0)) OR reached >= pos0 THEN 'KEEP'
            WHEN COALESCE(grace0, {today} + %(grace)s) > {today} THEN 'GRACE'
            ELSE 'FALL' END AS act
        FROM reached
    ), settled AS MATERIALIZED (
        SELECT *,
            CASE act WHEN 'UP' THEN reached WHEN 'FALL' THEN GREATEST({landing.format(pos="pos0", points="decisive")}, reached)
                 ELSE pos0 END AS pos1,
            CASE WHEN act = 'UP' THEN {here.end_of_next(today)} WHEN act IN ('KEEP', 'FALL') THEN {here.end_of_this(today)}
                 ELSE valid0 END AS valid1,
            CASE WHEN act IN ('UP', 'KEEP', 'FALL') THEN NULL WHEN act = 'GRACE' THEN COALESCE(grace0, {today} + %(grace)s)
                 ELSE grace0 END AS grace1,
            CASE WHEN act = 'UP' THEN 0 WHEN act IN ('KEEP', 'FALL') THEN {"of_today" if rolling else "metric"}
                 WHEN act = 'GRACE' OR grace0 IS NOT NULL THEN through ELSE reviewed END AS points1
        FROM acts
    ), ahead AS MATERIALIZED (  -- what the next review looks at, and the pace until then
        SELECT s.*, CASE WHEN override_ends THEN NULL ELSE override0 END AS override1,
            COALESCE(grace1, valid1) AS review1, standing.id AS tier1, standing.keep AS keep1, standing.gate AS gate1,
            (SELECT entry FROM ladder WHERE pos = pos1 + 1) AS next_entry,
            points1 + floor(pace::numeric * GREATEST(COALESCE(grace1, valid1) - GREATEST({today} + 1, {here.reviewed_from("valid1")}), 0)
                            / {PACE_DAYS})::bigint AS expected,
            metric + floor(pace::numeric * {left_now} / {PACE_DAYS})::bigint AS expected_now
        FROM settled AS s LEFT JOIN ladder AS standing ON standing.pos = s.pos1
    ), projected AS MATERIALIZED (
        SELECT *, (SELECT max(pos) FROM ladder WHERE entry <= GREATEST(expected, expected_now) AND {gate_ok}) AS up,
            COALESCE(override1, tier1) AS effective
        FROM ahead
    ), outlook AS MATERIALIZED (
        SELECT *, CASE
            WHEN frozen <> '' THEN 'FROZEN'
            WHEN override1 IS NOT NULL AND override_on > review1 THEN 'OVERRIDE'
            WHEN up > pos1 THEN 'UP'
            WHEN pos1 < 0 THEN 'NONE'
            WHEN pos1 = 0 OR (keep1 <= expected AND (cleared OR NOT gate1)) THEN 'KEEPS'
            WHEN grace1 IS NOT NULL OR %(grace)s = 0 THEN 'DOWN'
            ELSE 'GRACE' END AS outcome,
            CASE WHEN effective IS NOT DISTINCT FROM present THEN '' WHEN override_ends THEN 'OVERRIDE_END' WHEN act = 'UP' THEN 'UPGRADE'
                 WHEN grace0 IS NOT NULL THEN 'GRACE_END' ELSE 'REVIEW' END AS kind
        FROM projected
    )
    SELECT player_id, present, effective, adopted, kind,
        CASE WHEN kind = 'UPGRADE' OR kind = 'OVERRIDE_END' THEN metric WHEN kind <> '' THEN decisive END / 100.0,
        {_REASONS}, tier1, valid1::timestamp AT TIME ZONE %(zone)s, grace1::timestamp AT TIME ZONE %(zone)s,
        frozen, override1 IS NOT NULL,
        CASE WHEN frozen <> '' THEN old_waiting WHEN wanted > GREATEST(pos1, reached) THEN (SELECT id FROM ladder WHERE pos = wanted) END,
        metric / 100.0, points1 / 100.0, pace / 100.0, CASE WHEN next_entry IS NOT NULL THEN GREATEST(next_entry - metric, 0) / 100.0 END,
        CASE WHEN pos1 > 0 THEN GREATEST(keep1 - points1, 0) ELSE 0 END / 100.0,
        review1::timestamp AT TIME ZONE %(zone)s, outcome,
        CASE WHEN outcome IN ('FROZEN', 'OVERRIDE') THEN effective WHEN outcome = 'KEEPS' THEN tier1
             WHEN outcome = 'UP' THEN (SELECT id FROM ladder WHERE pos = up)
             WHEN outcome IN ('GRACE', 'DOWN') THEN (SELECT id FROM ladder WHERE pos = {landing.format(pos="pos1", points="expected")}) END
    FROM outlook ORDER BY player_id
    """


def _figures(cursor: CursorWrapper, at: datetime) -> dict[str, Any]:
    cursor.execute(
        """
        SELECT count(*) FILTER (WHERE kind <> ''), count(*) FILTER (WHERE kind = 'UPGRADE'),
            count(*) FILTER (WHERE kind IN ('REVIEW', 'GRACE_END')), count(*) FILTER (WHERE kind = 'OVERRIDE_END'),
            count(*) FILTER (WHERE look.grace_until IS NOT NULL AND was.grace_until IS NULL), count(*) FILTER (WHERE look.frozen <> ''),
            count(*) FILTER (WHERE waiting_id IS NOT NULL)
        FROM players_tier_look AS look LEFT JOIN players_playertier AS was ON was.player_id = look.player_id
        """
    )
    names = ("rows", "up", "down", "overrides_ended", "graces_begun", "frozen", "waiting")
    return dict(zip(names, cursor.fetchone(), strict=True))
